package detections

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// tell opens or updates the alert of a machine's open episode.
func (e *Engine) tell(w *watch, m *walk) {
	ep := m.ep
	open := w.alert(m.opened)
	if open == nil {
		a := ep.alert(w.rule.compiled, e.tenant, w, &e.eval)
		open = &openAlert{alert: a, nth: m.opened, told: ep.count, toldAt: ep.lastTrue}
		w.alerts = append(w.alerts, open)
		if l := w.adopt(ep); l != nil {
			open.alert.keepIdentity(&l.alert)
			e.announce(Change{Updated, open.alert})
			return
		}
		open.alert.ID = w.alertID(&a)
		e.announce(Change{Opened, open.alert})
		return
	}
	soon := ep.count < 2*open.told && ep.lastTrue-open.toldAt < time.Minute.Milliseconds() || ep.count <= open.told
	if soon && !e.rose(w.rule.compiled, ep, open.alert.Severity) {
		return
	}
	open.told, open.toldAt = ep.count, ep.lastTrue
	was := open.alert
	open.alert = ep.alert(w.rule.compiled, e.tenant, w, &e.eval)
	open.alert.keepIdentity(&was)
	if was.Severity.Rank() > open.alert.Severity.Rank() {
		open.alert.Severity = was.Severity // it never falls while the alert is open
	}
	e.announce(Change{Updated, open.alert})
}

// tellWhole tells the open alerts as they are, whatever was told of them last.
func (e *Engine) tellWhole() {
	watches := slices.Concat(e.queues...)
	slices.SortFunc(watches, watchOrder)
	for _, w := range watches {
		if w.settled == nil || w.settled.pos().ep == nil {
			continue
		}
		m := w.settled.pos()
		if o := w.alert(m.opened); o != nil && o.told < m.ep.count {
			e.touch(w.rule, w.group)
			o.told = 0
			e.tell(w, m)
		}
	}
}

// keepIdentity makes a the same alert as was. One that late evidence opened
// stays late, and opened when it opened.
func (a *Alert) keepIdentity(was *Alert) {
	a.ID = was.ID
	if was.Late {
		a.Late = true
		if was.OpenedAt.Before(a.OpenedAt) {
			a.OpenedAt = was.OpenedAt
		}
	}
}

// resolve ends the alert of an episode.
func (e *Engine) resolve(w *watch, nth int, ep *episode, at int64) {
	a := ep.alert(w.rule.compiled, e.tenant, w, &e.eval)
	if i := slices.IndexFunc(w.alerts, func(o *openAlert) bool { return o.nth == nth }); i >= 0 {
		a.keepIdentity(&w.alerts[i].alert)
		w.alerts = slices.Delete(w.alerts, i, i+1)
	} else {
		a.ID = w.alertID(&a)
		e.announce(Change{Opened, a})
	}
	end := msTime(at)
	a.ResolvedAt = &end
	w.group.remember(span{a.OpenedAt.UnixMilli(), at})
	e.announce(Change{Resolved, a})
}

// alertID names an alert for ever: the same events give the same id. An alert
// told ahead may turn out to have opened earlier and to be over, and another to
// open at the very time it was told: the end of the one before tells them apart,
// and their number where a state went to and fro within one moment.
func (w *watch) alertID(a *Alert) string {
	opened, before, same := a.OpenedAt.UnixMilli(), int64(0), 0
	if b := w.group.beyond; b != nil {
		for _, s := range b.past {
			if s.to <= opened {
				before = max(before, s.to)
			}
			if s.from == opened && s.to == opened {
				same++
			}
		}
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %d %d %v", a.Tenant, a.Rule, opened, before, a.Late)
	if same > 0 {
		fmt.Fprintf(h, " %d", same)
	}
	for _, k := range keys(a.Group) {
		fmt.Fprintf(h, " %q=%q", k, a.Group[k])
	}
	return "al_" + hex.EncodeToString(h.Sum(nil)[:8])
}

// OpenAlerts returns the alerts that are open now and not swallowed by an
// exception, in order of opening.
func (e *Engine) OpenAlerts() []Alert {
	return slices.DeleteFunc(e.everyOpen(), func(a Alert) bool { return e.swallowed[a.ID] })
}

// CountOpen is how many alerts OpenAlerts would return, and costs much less.
func (e *Engine) CountOpen() int {
	n := 0
	for _, q := range e.queues {
		for _, w := range q {
			for _, o := range w.alerts {
				if !e.swallowed[o.alert.ID] {
					n++
				}
			}
			for _, l := range w.late {
				if !e.swallowed[l.alert.ID] {
					n++
				}
			}
		}
	}
	return n
}

// everyOpen is OpenAlerts with those that are swallowed.
func (e *Engine) everyOpen() []Alert {
	var out []Alert
	watches := slices.Concat(e.queues...)
	slices.SortFunc(watches, watchOrder)
	for _, w := range watches {
		for _, o := range w.alerts {
			out = append(out, o.alert)
		}
		for _, l := range w.late {
			out = append(out, l.alert)
		}
	}
	slices.SortStableFunc(out, func(a, b Alert) int { return a.OpenedAt.Compare(b.OpenedAt) })
	return out
}
