package detections

import (
	"slices"
	"sort"
)

// group is the state of one rule for one group of events. While nothing can come
// of it, it is packed; see compact.go.
type group struct {
	key   string
	cold  string // packed entries, or what a group that remembers knows
	n     uint16 // packed entries
	lost  bool   // events of it were let go to stay within the rule's memory
	epoch uint32 // of the latest capture that needs it no more
	*hot         // nil while it is packed
}

// hot is a group that is not packed. While no window of its entries could
// satisfy the rule, it is nothing but its entries; once one could, it has a watch.
type hot struct {
	entries []entry
	present []int   // how many values the entries hold for each aggregate of having
	watch   *watch  // nil while nothing can come of the entries
	beyond  *beyond // what is kept beside the window; nil for most groups
	memory  []byte  // what a group that remembers knows, while it has no watch
	dropped int64   // entries let go because there were too many
}

// beyond is what is remembered of a group longer than its windows.
type beyond struct {
	late []entry // entries that came after their window had passed, in order
	past []span  // episodes that were told and are over
}

// span is the time from the opening of an episode to its end.
type span struct{ from, to int64 }

// openAlert is an alert that was told and has not resolved.
type openAlert struct {
	alert  Alert
	nth    int   // number of its episode in the machine
	told   int   // count when last told
	toldAt int64 // when the condition held last, when last told
}

// insert puts an entry at its place, and tells which that is.
func (g *group) insert(e entry, nHaving int) (pos int) {
	g.entries, pos = insertEntry(g.entries, e)
	if g.present == nil && nHaving > 0 {
		g.present = make([]int, nHaving)
	}
	for i := range g.present {
		g.present[i] += e.weight(i)
	}
	return pos
}

func insertEntry(to []entry, e entry) (out []entry, pos int) {
	n := len(to)
	if n == 0 || to[n-1].compare(&e) < 0 {
		return append(to, e), n
	}
	pos = sort.Search(n, func(i int) bool { return to[i].compare(&e) > 0 })
	return slices.Insert(to, pos, e), pos
}

// keepLate puts an entry among those that came after their window had passed.
func (g *group) keepLate(e entry) {
	if g.beyond == nil {
		g.beyond = &beyond{}
	}
	g.beyond.late, _ = insertEntry(g.beyond.late, e)
}

// weight bounds what the entry can add to an aggregate.
func (e *entry) weight(i int) int {
	if e.fold != nil {
		return e.fold.weights[i]
	}
	return weight(e.vals[i])
}

// weight bounds what one entry can add to an aggregate.
func weight(v any) int {
	if v == false {
		return 0
	}
	n := 0
	each(v, func(any) { n++ })
	return n
}

// drop forgets the first n entries.
func (g *group) drop(n int) {
	if n == 0 {
		return
	}
	for k := range n {
		for i := range g.present {
			g.present[i] -= g.entries[k].weight(i)
		}
	}
	if w := g.watch; w != nil {
		for _, m := range []machine{w.settled, w.ahead} {
			if m != nil {
				m.shift(g.entries, n)
			}
		}
	}
	// Moving what is left to the front for every few entries dropped would cost
	// the whole window each time: the next growth of the slice leaves them behind.
	clear(g.entries[:n])
	if g.entries = g.entries[n:]; len(g.entries) == 0 {
		g.entries = nil
	}
}

// possible reports whether some window of the entries might satisfy the rule.
// It errs only towards yes: every aggregate of a condition that only rises is
// put at or past what it is over any part of the entries.
func (g *group) possible(c *compiled, v *evaluator) bool {
	switch {
	case c.kind == Sequence && !c.probed:
		return c.possibleSteps(g.entries)
	case c.probed || c.having == nil || !c.rises || len(c.baselines) > 0:
		return len(g.entries) > 0
	}
	return c.boundHolds(v, func(i int) int {
		if g.present == nil {
			return 0
		}
		return g.present[i]
	})
}

// boundHolds evaluates having with every aggregate at or past what it can be
// over any part of entries that hold so many values for it.
func (c *compiled) boundHolds(v *evaluator, present func(i int) int) bool {
	v.agg.clear()
	for i := range c.nHaving {
		v.agg.set(c.aggs[i].name, c.aggs[i].bound(present(i)))
	}
	ok, err := c.having.holds(v.agg)
	return ok || err != nil
}
