package detections

import (
	"math"
	"slices"
)

// Late evidence, behind the watermark and up to days old, still raises its
// alert, marked late. It is judged with whatever entries of its time are kept.

// addLate takes in an entry that was inserted at pos behind the watermark.
func (e *Engine) addLate(r *ruleState, g *group, pos int) {
	en := g.entries[pos]
	// Neighbours of its time must be able to follow it.
	g.keepTill = max(g.keepTill, e.watermark()+max(r.Window, r.Quiet).Milliseconds())
	g.ahead = nil
	if m := g.settled; m != nil {
		switch {
		case pos < m.lo:
			m.lo, m.hi = m.lo+1, m.hi+1
		case pos < m.hi:
			m.push(&en)
		}
		if m.ep != nil {
			m.ep.absorb(&en)
			return
		}
	}
	if slices.ContainsFunc(g.past, func(s span) bool { return en.t >= s.from-r.Window.Milliseconds() && en.t <= s.to }) {
		return // its episode was told
	}
	if !g.possible(r.compiled, &e.eval) {
		return
	}
	if g.values == nil {
		g.values = r.groupValues(g.key)
	}
	if found := e.lateEpisode(r, g, en.t); found != nil {
		e.tellLate(r, g, found)
	}
}

// lateEpisode finds the episode that an event of time t belongs to.
func (e *Engine) lateEpisode(r *ruleState, g *group, t int64) *episode {
	m := newMachine(r.compiled)
	var found *episode
	consider := func(ep *episode) {
		if ep != nil && t <= ep.lastTrue && t >= ep.opened-r.Window.Milliseconds() {
			found = ep
		}
	}
	until := g.entries[len(g.entries)-1].t
	if !r.rises && r.having != nil {
		until = e.watermark()
	}
	m.advance(g.entries, until, &e.eval, func(o outcome) { consider(o.closed) })
	consider(m.ep)
	return found
}

func (e *Engine) tellLate(r *ruleState, g *group, ep *episode) {
	ep.late = true
	a := ep.alert(r.compiled, e.tenant, g.values, &e.eval)
	if g.lateOne == nil {
		a.ID = alertID(&a)
		g.lateOne = &openAlert{alert: a, told: ep.count}
		r.hot[g] = struct{}{}
		e.opts.OnChange(Change{Opened, a})
		return
	}
	a.ID = g.lateOne.alert.ID
	g.lateOne.alert = a
	if ep.count >= 2*g.lateOne.told {
		g.lateOne.told = ep.count
		e.opts.OnChange(Change{Updated, a})
	}
}

func (e *Engine) resolveLate(r *ruleState, g *group) {
	a := g.lateOne.alert
	end := a.UpdatedAt.Add(r.Quiet)
	a.ResolvedAt = &end
	g.past = append(g.past, span{a.OpenedAt.UnixMilli(), min(end.UnixMilli(), math.MaxInt64)})
	g.lateOne = nil
	e.opts.OnChange(Change{Resolved, a})
}
