package detections

import (
	"slices"
	"sort"
)

// group is the state of one rule for one group of events.
//
// While no window of its entries could satisfy the rule, a group is nothing but
// its entries. Once one could, it is hot: settled walks the entries up to the
// watermark, where order is final, and decides; ahead, in a live engine, walks
// all of them so that an alert opens at once.
type group struct {
	key     string
	values  map[string]string
	entries []entry
	present []int // how many values the entries hold for each aggregate of having

	settled *machine
	ahead   *machine // nil when entries arrived out of order since it walked
	unseen  int      // how many entries ahead has not seen

	alerts   []*openAlert // open ones in order of their episodes
	past     []span       // episodes whose entries are still kept
	keepTill int64        // late entries are kept until the watermark is here
	lateOne  *openAlert   // raised by late evidence alone
}

// span is the time from the opening of an episode to its resolution.
type span struct{ from, to int64 }

// openAlert is an alert that was told and has not resolved.
type openAlert struct {
	alert  Alert
	nth    int   // number of its episode in the machine
	told   int   // count when last told
	toldAt int64 // when the condition held last, when last told
}

func (g *group) hot() bool { return g.settled != nil || g.lateOne != nil }

// insert puts an entry at its place, and tells whether it is the last.
func (g *group) insert(e entry, nHaving int) (pos int, inOrder bool) {
	n := len(g.entries)
	if n == 0 || g.entries[n-1].compare(&e) < 0 {
		pos, inOrder = n, true
		g.entries = append(g.entries, e)
	} else {
		pos = sort.Search(n, func(i int) bool { return g.entries[i].compare(&e) > 0 })
		g.entries = slices.Insert(g.entries, pos, e)
	}
	if g.present == nil && nHaving > 0 {
		g.present = make([]int, nHaving)
	}
	for i := range g.present {
		g.present[i] += weight(e.vals[i])
	}
	return pos, inOrder
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
			g.present[i] -= weight(g.entries[k].vals[i])
		}
	}
	for _, m := range []*machine{g.settled, g.ahead} {
		if m == nil {
			continue
		}
		for m.lo < n {
			m.pop(&g.entries[m.lo])
		}
		m.lo, m.hi = m.lo-n, m.hi-n
	}
	g.entries = slices.Delete(g.entries, 0, n)
}

// possible reports whether some window of the entries might satisfy the rule.
// It errs only towards yes.
func (g *group) possible(c *compiled, v *evaluator) bool {
	if c.having == nil || !c.rises {
		return len(g.entries) > 0
	}
	clear(v.agg)
	for i := range c.nHaving {
		a := &c.aggs[i]
		v.agg[a.name] = a.bound(g.present[i])
	}
	ok, err := c.having.holds(&v.vm, v.agg)
	return ok || err != nil
}
