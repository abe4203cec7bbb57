package detections

import (
	"slices"
	"strconv"
	"time"
)

// countExceptions keeps the counts of the exceptions that there are.
func (e *Engine) countExceptions(set *RuleSet) {
	counts := map[string]*Excepted{}
	for _, x := range set.Exceptions {
		counts[x.Name()] = e.stats.Exceptions[x.Name()]
		if counts[x.Name()] == nil {
			counts[x.Name()] = &Excepted{Rule: x.Rule, Where: x.Where.Value}
		}
	}
	e.stats.Exceptions = counts
}

// leavesOut finds the exception of the rule that leaves out the event in the row,
// which happened at t; nil if there is none.
func (e *Engine) leavesOut(r *ruleState, t int64) *exception {
	for _, x := range r.eventExceptions {
		if t >= x.ends {
			continue
		}
		holds, err := x.prog.holds(e.eval.row)
		if err != nil {
			e.ruleFailed(r.compiled, err)
		}
		if holds {
			return x
		}
	}
	return nil
}

// swallows finds the exception under which an alert is not told; nil if there is
// none. An alert that goes on after the exception is over is told.
func (e *Engine) swallows(a *Alert) *exception {
	i := slices.IndexFunc(e.rules, func(r *ruleState) bool { return r.ID == a.Rule })
	if i < 0 {
		return nil
	}
	return e.swallowsOf(e.rules[i], a.Group, a.UpdatedAt.UnixMilli())
}

func (e *Engine) swallowsOf(r *ruleState, group map[string]string, at int64) *exception {
	for _, x := range r.groupExceptions {
		if at >= x.ends {
			continue
		}
		e.eval.agg.clear()
		members := map[string]any{}
		for i, name := range x.group {
			if v, ok := valueOfKey(group[name], x.kinds[i]); ok {
				members[name] = v
				e.eval.agg.set(name, v)
			}
		}
		e.eval.agg.set("group", members)
		holds, err := x.prog.holds(e.eval.agg)
		e.eval.agg.clear()
		if err != nil {
			e.ruleFailed(r.compiled, err)
		}
		if holds {
			return x
		}
	}
	return nil
}

// valueOfKey is the value that a part of a group's key was written from.
func valueOfKey(text string, kind FieldKind) (any, bool) {
	switch kind {
	case NumberKind:
		n, err := strconv.ParseFloat(text, 64)
		return n, err == nil
	case BoolKind:
		b, err := strconv.ParseBool(text)
		return b, err == nil
	}
	return text, text != ""
}

// announce tells of a change of an alert, unless an exception swallows it.
func (e *Engine) announce(c Change) {
	id := c.Alert.ID
	swallowed := e.swallowed[id]
	if !swallowed && c.Transition != Opened {
		e.opts.OnChange(c)
		return
	}
	x := e.swallows(&c.Alert)
	if x != nil {
		e.probe.swallows(&c.Alert, x)
	}
	switch {
	case x == nil && !swallowed:
		e.opts.OnChange(c)
	case x == nil: // the exception ended while the alert went on
		delete(e.swallowed, id)
		opened := c
		opened.Transition, opened.Alert.ResolvedAt = Opened, nil
		e.opts.OnChange(opened)
		if c.Transition == Resolved {
			e.opts.OnChange(c)
		}
	case c.Transition == Resolved:
		delete(e.swallowed, id)
	case !swallowed:
		e.swallow(id, x)
	}
}

func (e *Engine) swallow(id string, x *exception) {
	e.swallowed[id] = true
	e.stats.Exceptions[x.Name()].Alerts++
}

// refilter looks at the open alerts again after exceptions changed: one that is
// swallowed now resolves, one that no longer is opens.
func (e *Engine) refilter() {
	for _, a := range e.everyOpen() {
		x := e.swallows(&a)
		switch {
		case x != nil && !e.swallowed[a.ID]:
			e.swallow(a.ID, x)
			e.opts.OnChange(Change{Resolved, a.endedBy(e.newest)})
		case x == nil && e.swallowed[a.ID]:
			delete(e.swallowed, a.ID)
			if a.UpdatedAt = a.UpdatedAt.Add(time.Millisecond); a.UpdatedAt.Before(msTime(e.newest)) {
				a.UpdatedAt = msTime(e.newest)
			}
			e.opts.OnChange(Change{Opened, a}) // newer than all that was told of it before
		}
	}
}
