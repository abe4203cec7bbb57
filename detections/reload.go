package detections

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"portcullis/internal/yamldoc"
)

// SetRules puts other rules or parameters in place. All are compiled before any
// is swapped; on an error nothing changes. Rules that are the same as before
// keep their windows and open alerts; the open alerts of all others resolve.
func (e *Engine) SetRules(set *RuleSet, params map[string]map[string]any) error {
	if err := set.CheckParams(params); err != nil {
		return err
	}
	old := map[string]*ruleState{}
	for _, r := range e.rules {
		old[r.ID] = r
	}
	var rules []*ruleState
	table := newNameTable()
	var entity [entityKinds]int
	for i, p := range entityPaths {
		entity[i] = table.field(p)
	}
	kept := map[*ruleState]*ruleState{}
	for i, r := range set.Rules {
		d := &yamldoc.Decoder{Src: r.src}
		c := compile(r, params[r.ID], set.lists, table, d)
		if err := d.Problems.Err(); err != nil {
			return err
		}
		if err := c.compileExceptions(set, table); err != nil {
			return err
		}
		st := &ruleState{compiled: c, order: i, level: set.levels[r.ID], print: fingerprint(c, set.lists)}
		if was := old[r.ID]; was != nil && was.print == st.print {
			st.groups, st.swept, st.waiting = was.groups, was.swept, was.waiting
			st.bytes, st.words, st.gone = was.bytes, was.words, was.gone
			kept[was] = st
		}
		rules = append(rules, st)
	}
	if e.capture != nil {
		e.capture.Abandon()
	}
	e.rules, e.entityAt = rules, entity
	e.eval.row, e.eval.agg = newRow(table), newRow(table)
	for _, r := range rules {
		r.coldLimit = r.findColdLimit(&e.eval)
	}
	e.index()
	e.arrange()
	e.countExceptions(set)
	e.findLarge()
	e.moveWatches(kept)
	e.refilter()
	return nil
}

// moveWatches hands what is followed closely to the rules that take the place of
// unchanged ones. The alerts of the others resolve: nothing follows them any more.
func (e *Engine) moveWatches(kept map[*ruleState]*ruleState) {
	watches := slices.Concat(e.queues...)
	slices.SortFunc(watches, watchOrder)
	e.queues = make([]queue, len(e.byLevel))
	for _, w := range watches {
		to := kept[w.rule]
		if to == nil {
			e.abandon(w)
			continue
		}
		w.rule = to
		for _, m := range []machine{w.settled, w.ahead} {
			if m != nil {
				m.pos().c = to.compiled
			}
		}
		q := &e.queues[to.level]
		w.index = len(*q)
		*q = append(*q, w)
	}
	for i := range e.queues {
		heap.Init(&e.queues[i])
	}
}

// watchOrder orders watches by rule and group.
func watchOrder(a, b *watch) int {
	return cmp.Or(cmp.Compare(a.rule.order, b.rule.order), cmp.Compare(a.group.key, b.group.key))
}

// abandon resolves the alerts of a group whose rule is gone.
func (e *Engine) abandon(w *watch) {
	open := make([]Alert, 0, len(w.alerts)+len(w.late))
	for _, o := range w.alerts {
		open = append(open, o.alert)
	}
	for _, l := range w.late {
		open = append(open, l.alert)
	}
	for _, a := range open {
		if e.swallowed[a.ID] {
			delete(e.swallowed, a.ID)
			continue
		}
		e.opts.OnChange(Change{Resolved, a.endedBy(e.newest)})
	}
}

// fingerprint is equal for two compiled rules that cannot be told apart by what
// they do.
func fingerprint(c *compiled, lists Lists) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %q %q %v %v %q %q %v %v", c.kind, c.Where.Value, groupNames(c), c.Window, c.Quiet, c.Having.Value, c.MissingKey, c.params, c.types)
	for _, s := range c.Steps {
		fmt.Fprintf(h, "%q %q %d", s.Name, s.Where.Value, s.Times)
	}
	fmt.Fprintf(h, "%v %v %q %q %q %v %v %q %s", c.Ordered, c.Within, c.After.Value, c.Expect.Value, c.Rule.Value.Value, c.Learn, c.Forget, c.When.Value, c.On)
	for _, r := range c.SeverityWhen {
		fmt.Fprintf(h, "%q %s", r.If.Value, r.Severity)
	}
	if p := c.Publish; p != nil {
		fmt.Fprintf(h, "%q %q %v", p.List, p.Value.Value, p.TTL)
	}
	for _, n := range keys(c.Evidence) {
		fmt.Fprintf(h, "%q %q", n, c.Evidence[n].Value)
	}
	for _, n := range c.lists {
		fmt.Fprintf(h, "%q %q", n, lists[n].entries)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func groupNames(c *compiled) []string {
	keys, _ := c.Rule.keys()
	names := make([]string, len(c.group))
	for i, g := range c.group {
		names[i] = g.name
		if text := keys[i]; text.Name != "" {
			names[i] += "=" + text.Value
		}
	}
	return names
}

// arrange sorts rules by level, and makes the lists that they fill.
func (e *Engine) arrange() {
	e.byLevel = [][]*ruleState{nil}
	e.readsSignals = false
	filled := map[string]*filledList{}
	for _, r := range e.rules {
		for r.level >= len(e.byLevel) {
			e.byLevel = append(e.byLevel, nil)
		}
		if r.derives || r.On == "signals" {
			e.byLevel[r.level] = append(e.byLevel[r.level], r)
		}
		e.readsSignals = e.readsSignals || r.On == "signals"
		if r.Publish != nil {
			filled[r.Publish.List] = e.filled[r.Publish.List]
		}
		for _, name := range r.filled {
			filled[name] = e.filled[name]
		}
	}
	for name, l := range filled {
		if l == nil {
			filled[name] = newFilledList()
		}
	}
	e.filled = filled
}
