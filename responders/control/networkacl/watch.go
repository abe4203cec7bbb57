package networkacl

import (
	"encoding/json"
	"fmt"
	"time"

	"portcullis/responders/hold"
)

// An entry whose policy says log_first is counted before it denies. What it
// matched is told by the tenant itself, in an acls_summary every ten minutes;
// without one nobody can say, so it goes on counting.

// mostShare is the share of all requests above which an entry that was counted is
// not promoted: it matches more than any attack should.
const mostShare = 0.5

// watched is what is known of an entry that is counted first.
type watched struct {
	Since    time.Time `json:"since"`              // when it was written
	Until    time.Time `json:"until,omitzero"`     // what the latest summary covers
	Matched  int       `json:"matched,omitempty"`  // requests that its ACL matched since
	Total    int       `json:"total,omitempty"`    // requests that its ACL was asked about
	Promoted bool      `json:"promoted,omitempty"` // it denies now
}

// Summary is what network ACLs did in ten minutes, as the tenant's log tells.
type Summary struct {
	Start, End time.Time
	ACLs       []Matches
}

// Matches is what one ACL did.
type Matches struct {
	ID             string
	Matched, Total int // requests
}

// ReadSummary reads an acls_summary event from its payload.
func ReadSummary(payload []byte) (Summary, error) {
	type count struct {
		Successes int `json:"successes"`
	}
	var ev struct {
		Details struct {
			Start time.Time `json:"start_time"`
			End   time.Time `json:"end_time"`
			Stats []struct {
				ID    string `json:"acl_id"`
				Match count  `json:"match"`
				Total count  `json:"total_request_count"`
			} `json:"stats"`
		} `json:"details"`
	}
	if err := json.Unmarshal(payload, &ev); err != nil {
		return Summary{}, fmt.Errorf("read acls_summary: %w", err)
	}
	s := Summary{Start: ev.Details.Start, End: ev.Details.End}
	for _, st := range ev.Details.Stats {
		s.ACLs = append(s.ACLs, Matches{st.ID, st.Match.Successes, st.Total.Successes})
	}
	return s, nil
}

// maxSummaries bounds those that wait for the next look.
const maxSummaries = 100

// Summarised hands over what network ACLs did; the next look uses it. It may be
// called from any goroutine.
func (c *Control) Summarised(s Summary) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.summaries) == maxSummaries {
		c.summaries = c.summaries[1:]
	}
	c.summaries = append(c.summaries, s)
}

func (c *Control) takeSummaries() []Summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.summaries
	c.summaries = nil
	return out
}

// watch notes since when entries are counted.
func (p *pass) watch() {
	for _, sp := range p.slots {
		if sp.Level != LevelLog || sp.err != nil || sp.again {
			continue
		}
		for _, h := range sp.holds {
			if _, known := p.doc.Watched[h.Key()]; known || !logsFirst(h) || !sp.covers(sp.m.Applied, valueOf(h)) {
				continue
			}
			if p.doc.Watched == nil {
				p.doc.Watched = map[string]watched{}
			}
			p.doc.Watched[h.Key()] = watched{Since: p.now}
		}
	}
}

// promote lets the entries deny that were counted for long enough, and reports
// whether there were any.
func (p *pass) promote() bool {
	summaries := p.takeSummaries()
	any := false
	for _, sp := range p.slots {
		if sp.Level != LevelLog || sp.ours == nil {
			continue
		}
		for _, h := range sp.m.counting(sp.holds) {
			w, known := p.doc.Watched[h.Key()]
			if !known || !sp.covers(sp.m.Applied, valueOf(h)) {
				continue
			}
			w.learn(summaries, sp.ours.ID)
			if p.doubts(h, w) == "" && !p.now.Before(w.Since.Add(h.Entry.LogFirst)) {
				w.Promoted, any = true, true
				p.rep.Notes = append(p.rep.Notes, fmt.Sprintf("%s was only counted until now: its network ACL matched %d of %d requests; it is %s from here on",
					h.Subject, w.Matched, w.Total, p.becomes(h)))
			}
			p.doc.Watched[h.Key()] = w
		}
	}
	return any
}

// learn adds what summaries tell of the time since the entry was written. One that
// began before it counts whole: the ACL may have had other entries.
func (w *watched) learn(summaries []Summary, acl string) {
	for _, s := range summaries {
		if !s.End.After(w.Since) || !s.End.After(w.Until) {
			continue
		}
		for _, m := range s.ACLs {
			if m.ID == acl {
				w.Matched, w.Total, w.Until = w.Matched+m.Matched, w.Total+m.Total, s.End
			}
		}
	}
}

// doubts says why an entry is not to deny yet; "" when nothing speaks against it.
func (p *pass) doubts(h *hold.Hold, w watched) string {
	switch {
	case w.Until.IsZero() || w.Until.Before(w.Since.Add(h.Entry.LogFirst)) && w.Until.Before(p.now.Add(-summaryEvery)):
		return "the tenant's log has not told yet what it matches"
	case w.Matched == 0:
		return "it has matched no request"
	case float64(w.Matched) > mostShare*float64(w.Total):
		return fmt.Sprintf("it matched %d of %d requests, more than an attack should: a person decides", w.Matched, w.Total)
	}
	return ""
}

// summaryEvery is how often the tenant tells.
const summaryEvery = 10 * time.Minute

func (p *pass) becomes(h *hold.Hold) string {
	s, _, err := slotOf(h, true)
	if err != nil {
		return "denied"
	}
	return s.done()
}

// watchNote says of a hold that it is only counted so far.
func (p *pass) watchNote(h *hold.Hold) string {
	if !logsFirst(h) || p.promoted(h) {
		return ""
	}
	note := "counted first, for " + h.Entry.LogFirst.String()
	if w, known := p.doc.Watched[h.Key()]; known && !p.now.Before(w.Since.Add(h.Entry.LogFirst)) {
		if why := p.doubts(h, w); why != "" {
			note = "only counted: " + why
		}
	}
	return note
}
