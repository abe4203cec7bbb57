package detections

import (
	"cmp"
	"container/heap"
	"math"
	"time"
)

// watch follows a group closely: settled walks the entries up to the watermark,
// where order is final, and decides; ahead, in a live engine, walks all of them
// so that an alert opens at once.
type watch struct {
	rule   *ruleState
	group  *group
	values map[string]string

	settled *machine
	ahead   *machine

	alerts []*openAlert // open ones in order of their episodes
	late   []*lateAlert // raised by late evidence alone, open
	dirty  bool         // late entries came since lateWalk
	walked int64        // watermark of the last lateWalk

	due   int64 // watermark at which something can happen next
	index int   // place in the queue
}

// alert is the open alert of an episode, nil if it was not told.
func (w *watch) alert(nth int) *openAlert {
	for _, a := range w.alerts {
		if a.nth == nth {
			return a
		}
	}
	return nil
}

// queue orders watches by the watermark at which to look at them again, so that
// a tick costs what happens and not what is open.
type queue []*watch

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if a.due != b.due {
		return a.due < b.due
	}
	return cmp.Or(cmp.Compare(a.rule.order, b.rule.order), cmp.Compare(a.group.key, b.group.key)) < 0
}
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for package heap.
func (q *queue) Push(x any) {
	w := x.(*watch)
	w.index = len(*q)
	*q = append(*q, w)
}

// Pop is for package heap.
func (q *queue) Pop() any {
	old := *q
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return w
}

// follow begins to follow a group.
func (e *Engine) follow(r *ruleState, g *group) *watch {
	if g.watch == nil {
		g.watch = &watch{rule: r, group: g, values: r.groupValues(g.key), walked: math.MinInt64 / 2}
		heap.Push(&e.queue, g.watch)
	}
	return g.watch
}

// schedule sets when a watch is looked at again.
func (e *Engine) schedule(w *watch) {
	w.due = w.next()
	heap.Fix(&e.queue, w.index)
}

// next is the earliest watermark at which something can happen to the group.
func (w *watch) next() int64 {
	due := int64(math.MaxInt64)
	window := w.rule.Window.Milliseconds()
	if m := w.settled; m != nil {
		entries := w.group.entries
		switch {
		case !m.c.slides() && m.lo < len(entries):
			due = entries[m.lo].t + window
		case m.c.slides() && m.hi < len(entries):
			due = entries[m.hi].t
		case len(entries) > 0:
			due = entries[0].t + window // it leaves
		default:
			due = 0
		}
		if m.ep != nil {
			due = min(max(due, 1), m.ep.lastTrue+m.c.Quiet.Milliseconds())
		}
	}
	if w.dirty {
		due = min(due, w.walked+w.rule.lateStep())
	}
	for _, l := range w.late {
		due = min(due, l.ends(w.rule))
	}
	return due
}

// tick looks at what is due when the watermark has moved far enough.
func (e *Engine) tick(force bool) {
	wm := e.watermark()
	if !force && wm-e.ticked < tick.Milliseconds() {
		return
	}
	e.ticked = wm
	var again []*watch
	for len(e.queue) > 0 && (e.queue[0].due <= wm) {
		w := heap.Pop(&e.queue).(*watch)
		if e.settle(w, wm, force) {
			again = append(again, w)
		}
	}
	if force {
		for _, w := range e.queue {
			if w.dirty {
				e.lateWalk(w, wm)
				w.due = w.next()
			}
		}
		heap.Init(&e.queue)
	}
	for _, w := range again {
		w.due = max(w.next(), wm+1)
		heap.Push(&e.queue, w)
	}
	if wm-e.swept >= time.Minute.Milliseconds() {
		e.swept = wm
		for _, r := range e.rules {
			if every := max(r.Window/4, time.Minute).Milliseconds(); wm-r.swept >= every {
				r.swept = wm
				e.sweep(r)
			}
		}
	}
}

// settle walks a group's entries up to the watermark, and tells whether the
// group is to be followed on.
func (e *Engine) settle(w *watch, wm int64, force bool) bool {
	r, g := w.rule, w.group
	if m := w.settled; m != nil {
		m.advance(g.entries, wm, &e.eval, func(o outcome) {
			w.ahead = nil // what it made of the same events is out of date
			if o.closed == nil {
				e.tell(w, m, m.ep)
				return
			}
			e.resolve(w, m.opened, o.closed, o.closedAt)
		})
		if m.ep != nil && w.ahead == nil {
			e.tell(w, m, m.ep)
		}
	}
	if w.dirty && (force || e.lateWalkDue(w, wm)) {
		e.lateWalk(w, wm)
	}
	e.resolveLate(w, wm)
	e.evict(r, g)
	if m := w.settled; m != nil && m.ep == nil && m.finished(g.entries) && !g.possible(r.compiled, &e.eval) {
		w.settled, w.ahead = nil, nil
	}
	if w.settled != nil || w.dirty || len(w.late) > 0 {
		return true
	}
	g.watch = nil
	return false
}

// evict drops the entries that no window can need any more.
func (e *Engine) evict(r *ruleState, g *group) {
	if len(g.entries) == 0 {
		return
	}
	wm := e.watermark()
	n := 0
	if g.watch != nil && g.watch.settled != nil {
		n = g.watch.settled.done(g.entries, wm)
	} else {
		cut := wm - r.Window.Milliseconds()
		for n < len(g.entries) && g.entries[n].t <= cut {
			n++
		}
	}
	for k := range n {
		if en := &g.entries[k]; en.isLate() && r.keptUntil(en) > wm {
			g.keepLate(*en) // others of its time may follow
		}
	}
	g.drop(n)
}

// pastKept is how long it is remembered that an episode was told, so that late
// events do not tell it again; maxPast how many of a group are.
const (
	pastKept = 7 * 24 * time.Hour
	maxPast  = 64
)

// sweep forgets groups of which nothing is left.
func (e *Engine) sweep(r *ruleState) {
	wm := e.watermark()
	for key, g := range r.groups {
		if b := g.beyond; b != nil {
			b.forget(r, wm)
			if len(b.late) == 0 && len(b.past) == 0 && (g.watch == nil || !g.watch.dirty) {
				g.beyond = nil
			}
		}
		if g.watch != nil {
			continue
		}
		e.evict(r, g)
		if len(g.entries) == 0 && g.beyond == nil {
			delete(r.groups, key)
		}
	}
}
