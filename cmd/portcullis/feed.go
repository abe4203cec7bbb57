package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"portcullis/detections"
	"portcullis/logstream"
	"portcullis/responders"
)

// feedState is what was last said of a tenant's feed.
type feedState struct {
	mu   sync.Mutex
	last tenantHealth
	open map[string]detections.Alert // alerts about sources, by source
}

// tenantHealth is what `tenant health` shows of one tenant.
type tenantHealth struct {
	Tenant  string            `json:"tenant"`
	Verdict logstream.Verdict `json:"verdict"`
	Reasons []string          `json:"reasons"`
	Sources []sourceHealth    `json:"sources"`
}

type sourceHealth struct {
	Source      string            `json:"source"`
	Verdict     logstream.Verdict `json:"verdict"`
	Reasons     []string          `json:"reasons"`
	Note        string            `json:"note,omitempty"` // what cannot be seen of the source, which is no reason
	Since       time.Time         `json:"since"`
	LastEvent   time.Time         `json:"last_event,omitzero"`
	LastArrival time.Time         `json:"last_arrival,omitzero"`
	LagSeconds  float64           `json:"lag_seconds"`
	PerMinute   float64           `json:"events_per_minute"`
	Usual       float64           `json:"usual_per_minute"`
}

var severityOf = map[logstream.Verdict]int{logstream.Clear: 0, logstream.Degraded: 1, logstream.Blind: 2}

// health judges every source. A tenant is seen as well as by its best source;
// what is wrong with the others is said all the same.
func (t *tenant) health(now time.Time) tenantHealth {
	h := tenantHealth{Tenant: t.name, Verdict: logstream.Blind, Reasons: []string{}}
	for _, name := range sortedKeys(t.monitors) {
		m := t.monitors[name].Verdict(now)
		s := sourceHealth{Source: name, Verdict: m.Verdict, Reasons: m.Reasons, Since: m.Since, LastEvent: m.LastEvent, LastArrival: m.LastArrival,
			LagSeconds: m.Lag.Seconds(), PerMinute: m.Rate, Usual: m.Usual}
		if s.Reasons == nil {
			s.Reasons = []string{}
		}
		if note := t.streamNote.Load(); note != nil && name == "webhook" {
			s.Note = *note
		}
		h.Sources = append(h.Sources, s)
		if severityOf[m.Verdict] < severityOf[h.Verdict] {
			h.Verdict = m.Verdict
		}
		for _, r := range m.Reasons {
			h.Reasons = append(h.Reasons, name+": "+r)
		}
	}
	if in, holder := t.current.Load(), t.standby.Load(); holder != nil {
		h.Verdict, h.Reasons = logstream.Blind, []string{"standby: ask " + *holder + ", which guards it"}
	} else if in == nil {
		h.Verdict, h.Reasons = logstream.Blind, append([]string{"not guarded: recovering"}, h.Reasons...)
	} else if why := in.trouble.Load(); why != nil {
		h.Verdict, h.Reasons = logstream.Blind, append([]string{"events cannot be kept: " + *why}, h.Reasons...)
	}
	return h
}

// remember takes up the alerts about sources that a life before has left open:
// they are resolved when the source is seen again, and not told twice until then.
func (f *feedState) remember(kept []detections.Alert) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		f.open = map[string]detections.Alert{}
	}
	for _, a := range kept {
		if source := a.Group["source"]; a.Rule == feedRule && a.ResolvedAt == nil && f.open[source].ID == "" {
			f.open[source] = a
		}
	}
}

// watchFeed tells the responder how well the tenant is seen, and raises alerts
// when that changes.
func (l *life) watchFeed() {
	t, now := l.t, l.t.daemon.opts.now()
	h := t.health(now)
	l.responder.SetFeed(responders.Feed{Blind: h.Verdict == logstream.Blind, Reason: strings.Join(h.Reasons, "; ")})
	l.watchGap(h.Verdict == logstream.Blind, now)
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	t.feed.last = h
	for _, s := range h.Sources {
		open, told := t.feed.open[s.Source]
		severity := map[logstream.Verdict]detections.Severity{logstream.Degraded: detections.Medium, logstream.Blind: detections.High}[s.Verdict]
		if told && severity != open.Severity {
			end := now.UTC()
			open.ResolvedAt, open.UpdatedAt = &end, end
			l.tellOfFeed(detections.Change{Transition: detections.Resolved, Alert: open})
			delete(t.feed.open, s.Source)
			told = false
		}
		if !told && severity != "" && now.Sub(s.Since) >= feedPatience {
			a := feedAlert(t.name, s, severity)
			t.feed.open[s.Source] = a
			l.tellOfFeed(detections.Change{Transition: detections.Opened, Alert: a})
		}
	}
}

// tellOfFeed takes a change of an alert about a source. No snapshot carries it:
// whoever lives next looks at the sources anew.
func (l *life) tellOfFeed(c detections.Change) {
	l.findings.add(c)
	l.responder.Offer(c)
}

// streamPatience is how long a log stream may stand still without lines being lost:
// Auth0 sends again what was not taken.
const streamPatience = 5 * time.Minute

// watchGap takes a log stream that stood still for one that lost lines, where there
// is no poll to read them. A poll tells its gaps itself.
func (l *life) watchGap(blind bool, now time.Time) {
	if l.t.poll != nil {
		return
	}
	switch {
	case blind && l.blindSince.IsZero():
		l.blindSince = now
	case !blind && !l.blindSince.IsZero():
		if still := now.Sub(l.blindSince); still > streamPatience {
			l.t.tellGap(fmt.Sprintf("lines of the tenant's log may be missing: its stream stood still for %s", still.Round(time.Second)), l.blindSince)
		}
		l.blindSince = time.Time{}
	}
}

// feedRule is what alerts about sources name as their rule.
const feedRule = "feed-health"

// feedPatience is how long a feed must be other than clear before people are
// told: a request that failed once is no news.
const feedPatience = time.Minute

// feedAlert is the alert that a source of a tenant is not seen well.
func feedAlert(tenant string, s sourceHealth, severity detections.Severity) detections.Alert {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d", tenant, s.Source, s.Verdict, s.Since.UnixMilli()))
	title := "The tenant's log is seen only in part"
	if s.Verdict == logstream.Blind {
		title = "The tenant's log is not seen"
	}
	return detections.Alert{
		ID: "al_" + hex.EncodeToString(sum[:8]), Rule: feedRule, Tenant: tenant, Severity: severity, Campaign: "feed-health",
		Group: map[string]string{"source": s.Source}, Title: title, OpenedAt: s.Since.UTC(), UpdatedAt: s.Since.UTC(), Count: 1,
		Entities: detections.Entities{IP: []string{}, UserID: []string{}, ClientID: []string{}, JA4: []string{}},
		EventIDs: []string{}, Responses: []detections.Response{},
		Evidence: map[string]any{"verdict": string(s.Verdict), "reasons": s.Reasons},
	}
}
