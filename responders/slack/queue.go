package slack

import (
	"time"

	"portcullis/responders"
)

// maxReplies bounds the transitions that wait for one incident; more of them go
// to the log, and a last reply says so.
const maxReplies = 200

// transitionSize bounds one transition, as size counts.
const transitionSize = 1000

// queue holds what is still to be shown and what is shown where. It is not safe
// for concurrent use.
type queue struct {
	debounce time.Duration
	arrivals uint64
	waiting  map[string]*entry // by incident id
	roots    map[string]*root  // by incident id
}

// entry is what waits for one incident: the newest report, and every transition
// in order. However fast reports come, it stays one entry.
type entry struct {
	id       string
	arrival  uint64 // place in the order of arrival
	report   responders.Report
	version  uint64 // counts the reports, so that a send in flight knows whether it was the newest
	stale    bool   // the root message does not show report
	due      time.Time
	replies  []reply
	overflow int // transitions that went to the log for want of room
}

type reply struct {
	text      string
	broadcast bool
	logged    bool // the log has it too, since Slack was not taking messages
}

// root is what we know of an incident's message.
type root struct {
	ref    Ref       // zero until posted
	asked  bool      // the store was asked for it
	saved  bool      // the store has it
	tried  time.Time // last attempt to show a report
	shown  [32]byte  // digest of what it shows; zero if that is not known
	logged bool      // since the last success, the log has a report of this incident
	gone   int       // how often in a row a reply found no message
}

// job is one thing to send.
type job struct {
	id      string
	version uint64
	report  responders.Report
	reply   *reply // nil for the root message
	root    root   // a copy; settle writes it back
}

func newQueue(debounce time.Duration) queue {
	return queue{debounce: debounce, waiting: map[string]*entry{}, roots: map[string]*root{}}
}

// put adds a report. It returns false if its transition found no room.
func (q *queue) put(r responders.Report, now time.Time) bool {
	e := q.waiting[r.Incident.ID]
	if e == nil {
		q.arrivals++
		e = &entry{id: r.Incident.ID, arrival: q.arrivals}
		q.waiting[e.id] = e
	}
	e.report = r
	e.version++
	if !e.stale {
		e.stale = true
		e.due = now
		if t := q.root(e.id).tried; !t.IsZero() && t.Add(q.debounce).After(now) {
			e.due = t.Add(q.debounce)
		}
	}
	if r.Transition == "" {
		return true
	}
	if len(e.replies) >= maxReplies {
		e.overflow++
		return false
	}
	e.replies = append(e.replies, reply{text: r.Transition, broadcast: r.Broadcast})
	return true
}

func (q *queue) root(id string) *root {
	r := q.roots[id]
	if r == nil {
		r = &root{}
		q.roots[id] = r
	}
	return r
}

// next picks what to send at now: new incidents and transitions before moved
// numbers, each in order of arrival, and a root message before its replies. If
// nothing may go yet it returns false and when to ask again, or zero time if
// nothing waits. hurry ignores the debounce.
func (q *queue) next(now time.Time, hurry bool) (job, time.Time, bool) {
	var best *entry
	var again time.Time
	for _, e := range q.waiting {
		if !q.ready(e, now, hurry) {
			if again.IsZero() || e.due.Before(again) {
				again = e.due
			}
			continue
		}
		if best == nil || q.before(e, best) {
			best = e
		}
	}
	if best == nil {
		return job{}, again, false
	}
	j := job{id: best.id, version: best.version, report: best.report, root: *q.root(best.id)}
	if !best.rootDue(now, hurry) && j.root.ref.TS != "" {
		r := best.replies[0]
		j.reply = &r
	}
	return j, time.Time{}, true
}

// messages is how many are still to be sent.
func (q *queue) messages() (n int) {
	for _, e := range q.waiting {
		if e.stale {
			n++
		}
		n += len(e.replies)
	}
	return n
}

// rootDue tells whether the root message is to be sent now.
func (e *entry) rootDue(now time.Time, hurry bool) bool {
	return e.stale && (hurry || !e.due.After(now))
}

// ready tells whether e has something that may be sent now. Replies wait for
// the root message, not for its updates.
func (q *queue) ready(e *entry, now time.Time, hurry bool) bool {
	posted := q.root(e.id).ref.TS != ""
	return e.rootDue(now, hurry) || len(e.replies) > 0 && (posted || !e.stale)
}

func (q *queue) before(a, b *entry) bool {
	au, bu := q.urgent(a), q.urgent(b)
	switch {
	case au != bu:
		return au
	case au || a.due.Equal(b.due):
		return a.arrival < b.arrival
	}
	return a.due.Before(b.due)
}

func (q *queue) urgent(e *entry) bool {
	return len(e.replies) > 0 || q.root(e.id).ref.TS == ""
}

// sent notes that j was delivered.
func (q *queue) sent(j job, now time.Time) {
	e := q.waiting[j.id]
	if e == nil {
		return
	}
	if j.reply == nil {
		e.stale = e.version != j.version
		e.due = now.Add(q.debounce)
	} else {
		e.replies = e.replies[1:]
	}
	if len(e.replies) == 0 && e.overflow > 0 {
		e.replies = []reply{{text: number(e.overflow) + " more transitions came while this channel was behind; they are in the log", logged: true}}
		e.overflow = 0
	}
	if !e.stale && len(e.replies) == 0 {
		delete(q.waiting, j.id)
	}
}

// drop gives up on all that waits for an incident.
func (q *queue) drop(id string) { delete(q.waiting, id) }

// repost makes the incident's next message a new one.
func (q *queue) repost(id string, now time.Time) {
	r := q.root(id)
	r.ref, r.saved, r.shown, r.asked = Ref{}, false, [32]byte{}, true
	if e := q.waiting[id]; e != nil {
		e.stale, e.due = true, now
	}
}

// forget frees what is kept for a closed incident with nothing left to send.
func (q *queue) forget(id string) {
	if q.waiting[id] == nil {
		delete(q.roots, id)
	}
}

// unlogged returns the reports of an incident that neither Slack nor the log
// has shown, one for each transition, and marks them as logged.
func (q *queue) unlogged(id string) []responders.Report {
	e, r := q.waiting[id], q.root(id)
	if e == nil {
		return nil
	}
	var reports []responders.Report
	for i := range e.replies {
		if !e.replies[i].logged {
			e.replies[i].logged = true
			one := e.report
			one.Transition = e.replies[i].text
			reports = append(reports, one)
		}
	}
	if len(reports) == 0 && !r.logged {
		one := e.report
		one.Transition = ""
		reports = append(reports, one)
	}
	r.logged = true
	return reports
}
