package detections

import (
	"math"
	"slices"
	"time"
)

// Late evidence, behind the watermark and up to days old, still raises its
// alert, marked late. It is judged with whatever entries of its time are kept:
// the entries of the present window, and other late ones. What was told already
// is not told again.

// lateAlert is an open alert that late evidence raised.
type lateAlert struct {
	openAlert
	ep   *episode
	keep int64 // watermark until which more evidence is waited for
}

func (l *lateAlert) quietAt(r *ruleState) int64 { return l.ep.lastTrue + r.Quiet.Milliseconds() }

// ends is the watermark at which the alert resolves.
func (l *lateAlert) ends(r *ruleState) int64 { return max(l.keep, l.quietAt(r)) }

// overlaps reports whether an episode belongs to a stretch of time that was
// told: one that began with the windows ending at from.
func (ep *episode) overlaps(from, to, window int64) bool {
	return ep.opened <= to && ep.lastTrue >= from-window
}

// keptUntil is the watermark until which others may follow a late entry.
func (r *ruleState) keptUntil(en *entry) int64 {
	return en.behind + max(r.span(), r.Quiet.Milliseconds())
}

// lateStep is how far the watermark moves between two walks over many entries.
func (r *ruleState) lateStep() int64 { return max(r.span(), r.Quiet.Milliseconds()) / 16 }

// addLate takes in an entry that arrived behind the watermark.
func (e *Engine) addLate(r *ruleState, g *group, en entry) {
	if en.t <= e.watermark()-r.span() {
		g.keepLate(en)
		w := e.follow(r, g)
		w.dirty = true
		e.schedule(w)
		return
	}
	pos := g.insert(en, r.nHaving)
	w := g.watch
	if w == nil && !g.possible(r.compiled, &e.eval) {
		return
	}
	w = e.follow(r, g)
	w.ahead = nil // it is made anew from settled
	w.dirty = w.settled == nil || w.settled.takeLate(&en, pos) || w.dirty
	e.schedule(w)
}

// lateWalkDue spreads the cost of walking over many entries.
func (e *Engine) lateWalkDue(w *watch, wm int64) bool {
	n := len(w.group.entries)
	if b := w.group.beyond; b != nil {
		n += len(b.late)
	}
	return n <= 256 || wm >= w.walked+w.rule.lateStep()
}

// lateWalk finds the episodes that late entries make, and tells those that
// were not told.
func (e *Engine) lateWalk(w *watch, wm int64) {
	w.dirty, w.walked = false, wm
	r, g := w.rule, w.group
	entries := g.entries
	if b := g.beyond; b != nil && len(b.late) > 0 {
		entries = append(slices.Clone(b.late), g.entries...)
		slices.SortFunc(entries, func(a, b entry) int { return a.compare(&b) })
	}
	m := newMachine(r.compiled)
	m.advance(entries, wm, &e.eval, func(o outcome) {
		if o.closed != nil {
			e.tellLate(w, o.closed, wm)
		}
	})
	if ep := m.pos().ep; ep != nil {
		e.tellLate(w, ep, wm)
	}
	if w.settled == nil && len(g.entries) > 0 && g.possible(r.compiled, &e.eval) {
		// What is left may yet be joined by entries in time.
		w.settled = newMachine(r.compiled)
		w.settled.advance(g.entries, wm, &e.eval, func(outcome) {})
		w.settled.pos().ep, w.settled.pos().opened = nil, 0
	}
}

// tellLate tells an episode that late entries made, unless it was told.
func (e *Engine) tellLate(w *watch, ep *episode, wm int64) {
	r, window := w.rule, w.rule.span()
	if ep.lateUntil == 0 {
		return
	}
	if b := w.group.beyond; b != nil && slices.ContainsFunc(b.past, func(s span) bool { return ep.overlaps(s.from, s.to, window) }) {
		return
	}
	if m := w.settled; m != nil && m.pos().ep != nil && ep.overlaps(m.pos().ep.opened, math.MaxInt64, window) {
		return
	}
	for _, o := range w.alerts {
		if ep.overlaps(o.alert.OpenedAt.UnixMilli(), math.MaxInt64, window) {
			return
		}
	}
	ep.late = true
	keep := ep.lateUntil + max(r.span(), r.Quiet.Milliseconds())
	i := slices.IndexFunc(w.late, func(l *lateAlert) bool { return ep.overlaps(l.ep.opened, l.quietAt(r), window) })
	if i < 0 {
		a := ep.alert(r.compiled, e.tenant, w, &e.eval)
		a.ID = w.alertID(&a)
		w.late = append(w.late, &lateAlert{openAlert: openAlert{alert: a, told: ep.count}, ep: ep, keep: keep})
		e.announce(Change{Opened, a})
		e.emit(w, ep)
		e.publish(w, ep)
		return
	}
	l := w.late[i]
	l.keep = max(l.keep, keep)
	if ep.count <= l.ep.count {
		return
	}
	l.ep = ep
	id := l.alert.ID
	l.alert = ep.alert(r.compiled, e.tenant, w, &e.eval)
	l.alert.ID = id
	if ep.count >= 2*l.told {
		l.told = ep.count
		e.announce(Change{Updated, l.alert})
	}
}

// adopt hands a late alert to the episode in time that goes on where it ended.
func (w *watch) adopt(ep *episode) *lateAlert {
	i := slices.IndexFunc(w.late, func(l *lateAlert) bool {
		return ep.overlaps(l.ep.opened, l.quietAt(w.rule), w.rule.span())
	})
	if i < 0 {
		return nil
	}
	l := w.late[i]
	w.late = slices.Delete(w.late, i, i+1)
	return l
}

// resolveLate ends the late alerts that nothing more is waited for.
func (e *Engine) resolveLate(w *watch, wm int64) {
	w.late = slices.DeleteFunc(w.late, func(l *lateAlert) bool {
		if wm < l.ends(w.rule) {
			return false
		}
		at := l.quietAt(w.rule)
		a := l.alert
		end := msTime(at)
		a.ResolvedAt = &end
		w.group.remember(span{l.ep.opened, at})
		e.announce(Change{Resolved, a})
		return true
	})
}

// remember notes that an episode was told.
func (g *group) remember(s span) {
	if g.beyond == nil {
		g.beyond = &beyond{}
	}
	if len(g.beyond.past) >= maxPast {
		g.beyond.past = slices.Delete(g.beyond.past, 0, 1)
	}
	g.beyond.past = append(g.beyond.past, s)
}

// forget drops what is remembered for longer than needed.
func (b *beyond) forget(r *ruleState, wm int64) {
	b.late = slices.DeleteFunc(b.late, func(en entry) bool { return r.keptUntil(&en) <= wm })
	keep := max(pastKept, 2*r.Window, 2*r.Within) / time.Millisecond
	b.past = slices.DeleteFunc(b.past, func(s span) bool { return s.to < wm-int64(keep) })
}
