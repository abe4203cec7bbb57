package detections

// A group holds so many entries at most. When there are more, those that lie
// close together become one, a fold, which stands for all of them: its counts
// stay exact, its distinct values too while they are few, and only the edge of a
// window falls between its events as if they had all come at the last one's time.

const (
	// maxEntries is how many entries a group may have before some are folded.
	maxEntries = 4096
	// keptApart are the entries beyond the watermark that are never folded, so
	// that an alert opens at the event that made its rule hold.
	keptApart = 1024
	// cellsInWindow is how finely a window is divided: a fold lies within one cell.
	cellsInWindow = 512
)

// fold is what several events of a group came to.
type fold struct {
	n       int
	begin   int64 // time of the first
	first   string
	accs    []accumulator // for each aggregate
	weights []int
	seen    entitySets
	publish valueList
}

// foldEntries makes folds of entries[from:to] that lie in one cell.
func (g *group) foldEntries(c *compiled, from, to int) {
	if to-from < 2 {
		return
	}
	cell := max(c.span()/cellsInWindow, 1)
	out := g.entries[:from:from]
	for i := from; i < to; {
		j := i + 1
		for j < to && floorDiv(g.entries[j].t, cell) == floorDiv(g.entries[i].t, cell) && g.entries[j].isLate() == g.entries[i].isLate() {
			j++
		}
		if j-i == 1 {
			out = append(out, g.entries[i])
		} else {
			out = append(out, foldOf(c, g.entries[i:j]))
		}
		i = j
	}
	g.entries = append(out, g.entries[to:]...)
}

// foldOf is one entry that stands for several.
func foldOf(c *compiled, entries []entry) entry {
	last := &entries[len(entries)-1]
	f := &fold{begin: entries[0].start(), first: entries[0].firstID(), weights: make([]int, len(c.aggs)), publish: valueList{seen: map[any]bool{}}}
	for i := range c.aggs {
		f.accs = append(f.accs, newAccumulator(c.aggs[i].fn))
	}
	out := entry{t: last.t, id: last.id, mask: last.mask, fold: f}
	for k := range entries {
		e := &entries[k]
		f.n += e.count()
		out.mask |= e.mask
		out.behind = max(out.behind, e.behind)
		for i, acc := range f.accs {
			e.addTo(acc, i)
			f.weights[i] += e.weight(i)
		}
		e.eachEntity(f.seen.add)
		if c.Publish != nil {
			e.addPublished(&f.publish)
		}
	}
	for _, acc := range f.accs {
		if d, ok := acc.(*distinct); ok {
			d.settle(maxExactFold)
		}
	}
	return out
}

// start is the time of the entry's first event.
func (e *entry) start() int64 {
	if e.fold != nil {
		return e.fold.begin
	}
	return e.t
}

func (e *entry) firstID() string {
	if e.fold != nil {
		return e.fold.first
	}
	return e.id
}

// count is how many events the entry stands for.
func (e *entry) count() int {
	if e.fold != nil {
		return e.fold.n
	}
	return 1
}

// addTo adds the entry's value for an aggregate.
func (e *entry) addTo(acc accumulator, i int) {
	if e.fold != nil {
		acc.merge(e.fold.accs[i])
		return
	}
	acc.add(e.vals[i])
}

// takeFrom is the reverse of addTo.
func (e *entry) takeFrom(acc removable, i int) {
	if e.fold != nil {
		acc.unmerge(e.fold.accs[i])
		return
	}
	acc.remove(e.vals[i])
}

func (e *entry) eachEntity(visit func(i int, v string)) {
	if e.fold == nil {
		for i, v := range e.entity {
			if v != "" {
				visit(i, v)
			}
		}
		return
	}
	for i := range e.fold.seen {
		for _, v := range keys(e.fold.seen[i]) {
			visit(i, v)
		}
	}
}

// addPublished adds the values that the entry's events publish.
func (e *entry) addPublished(to *valueList) {
	if e.fold != nil {
		to.merge(&e.fold.publish)
		return
	}
	to.add(e.vals[len(e.vals)-1])
}

// compact folds entries of a group that has too many.
func (e *Engine) compact(r *ruleState, g *group) {
	if len(g.entries) <= maxEntries {
		return
	}
	w := g.watch
	if r.kind == Sequence || r.kind == Absence || r.remembers() {
		// Each event may matter by itself: there is nothing to fold.
		if len(g.entries) > 4*maxEntries {
			e.dropOldest(r, g, maxEntries)
		}
		return
	}
	if w != nil && w.settled != nil {
		m := w.settled.(*window)
		w.ahead = nil
		unwalked := len(g.entries) - m.hi
		if unwalked > 2*keptApart {
			g.foldEntries(r.compiled, m.hi+keptApart, len(g.entries))
		}
		before := len(g.entries)
		g.foldEntries(r.compiled, m.lo, m.hi)
		m.hi -= before - len(g.entries)
		before = len(g.entries)
		g.foldEntries(r.compiled, 0, m.lo)
		m.lo, m.hi = m.lo-(before-len(g.entries)), m.hi-(before-len(g.entries))
		m.resum(g.entries)
	} else {
		g.foldEntries(r.compiled, 0, len(g.entries))
	}
	if len(g.entries) > maxEntries { // spread over many cells: the oldest go
		e.dropOldest(r, g, len(g.entries)-maxEntries)
	}
}

// dropOldest lets entries go that no fold could take in.
func (e *Engine) dropOldest(r *ruleState, g *group, n int) {
	lost := int64(0)
	for i := range n {
		lost += int64(g.entries[i].count())
	}
	g.drop(n)
	g.dropped += lost
	g.lost = true
	e.shed(r.ID, shedEntries, lost)
}

func (f *fold) encode(enc *encoder) {
	enc.len(f.n)
	enc.int(f.begin)
	enc.string(f.first)
	for i, acc := range f.accs {
		acc.encode(enc)
		enc.len(f.weights[i])
	}
	for _, set := range f.seen {
		enc.strings(keys(set))
	}
	f.publish.encode(enc)
}

func decodeFold(d *decoder, c *compiled) *fold {
	f := &fold{n: int(d.uint()), begin: d.int(), first: d.string(), publish: valueList{seen: map[any]bool{}}}
	for _, a := range c.aggs {
		acc := newAccumulator(a.fn)
		acc.decode(d)
		f.accs = append(f.accs, acc)
		f.weights = append(f.weights, int(d.uint()))
	}
	for i := range f.seen {
		for _, v := range d.strings() {
			f.seen.add(i, v)
		}
	}
	f.publish.decode(d)
	return f
}
