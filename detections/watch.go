package detections

import (
	"cmp"
	"container/heap"
	"math"
	"reflect"
	"slices"
	"time"
)

// watch follows a group closely: settled walks the entries up to the watermark,
// where order is final, and decides; ahead, in a live engine, walks all of them
// so that an alert opens at once.
type watch struct {
	rule   *ruleState
	group  *group
	values map[string]string

	settled machine
	ahead   machine

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
		heap.Push(&e.queues[r.level], g.watch)
	}
	return g.watch
}

// schedule sets when a watch is looked at again.
func (e *Engine) schedule(w *watch) {
	w.due = w.next()
	heap.Fix(&e.queues[w.rule.level], w.index)
}

// next is the earliest watermark at which something can happen to the group.
func (w *watch) next() int64 {
	due := int64(math.MaxInt64)
	if m := w.settled; m != nil {
		due = m.next(w.group.entries)
		if at := m.pos(); at.ep != nil {
			due = min(max(due, 1), at.quietEnd())
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

// tick looks at what is due when the watermark has moved far enough, level by
// level: a rule that reads what others say comes after them.
func (e *Engine) tick(force bool) {
	wm := e.watermark()
	if !force && wm-e.ticked < tick.Milliseconds() {
		return
	}
	e.ticked = wm
	var signals []signal
	for level := range e.queues {
		for _, r := range e.byLevel[level] {
			e.release(r, wm)
			if r.On == "signals" {
				e.hearSignals(r, signals, wm)
			}
		}
		e.tickQueue(&e.queues[level], wm, force)
		signals = append(signals, e.takeSignals()...)
	}
	e.heard = wm
	if wm-e.swept >= time.Minute.Milliseconds() {
		e.swept = wm
		e.forgetFilled(wm)
		e.findLarge()
		for _, r := range e.rules {
			if r.groups.len() <= sweptWhole && wm-r.swept >= r.sweepEvery() {
				r.swept = wm
				for part := range r.groups.shards {
					e.sweepPart(r, part, wm)
				}
			}
		}
	}
	for _, r := range e.large {
		e.sweepParts(r, wm)
	}
}

// tickQueue settles the groups of one level that are due.
func (e *Engine) tickQueue(q *queue, wm int64, force bool) {
	var again []*watch
	for len(*q) > 0 && (*q)[0].due <= wm {
		w := heap.Pop(q).(*watch)
		if e.settle(w, wm, force) {
			again = append(again, w)
		}
	}
	if force {
		for _, w := range *q {
			if w.dirty {
				e.touch(w.rule, w.group)
				e.lateWalk(w, wm)
				w.due = w.next()
			}
		}
		heap.Init(q)
	}
	for _, w := range again {
		w.due = max(w.next(), wm+1)
		heap.Push(q, w)
	}
}

// step walks a group's entries up to the watermark and tells what comes of it.
func (e *Engine) step(w *watch, wm int64) {
	m := w.settled
	if s, ok := m.(*sequence); ok {
		was := s.shed
		defer func() { e.shed(w.rule.ID, shedChains, s.shed-was) }()
	}
	e.probe.enterGroup(w.rule, w.group)
	defer func() { e.probe.leaveGroup(m, wm) }()
	m.advance(w.group.entries, wm, &e.eval, func(o outcome) {
		w.ahead = nil // what it made of the same events is out of date
		at := m.pos()
		if o.closed != nil {
			e.publish(w, o.closed)
			e.resolve(w, at.opened, o.closed, o.closedAt)
			return
		}
		e.tell(w, at)
		e.correct(w, at)
		e.emit(w, at.ep)
	})
	at := m.pos()
	if w.ahead != nil && w.ahead.pos().hi < at.hi {
		w.ahead = nil // the watermark passed where it had stopped, before what was far ahead then
	}
	if at.ep != nil && w.ahead == nil {
		e.tell(w, at)
	}
	e.publish(w, at.ep)
	e.withdraw(w, wm)
}

// correct tells anew an alert of a state that was told ahead with another value
// before it, which events under way then changed. It may never resolve.
func (e *Engine) correct(w *watch, at *walk) {
	o := w.alert(at.opened)
	if w.rule.kind != State || o == nil || at.ep.count > 1 {
		return
	}
	a := at.ep.alert(w.rule.compiled, e.tenant, w, &e.eval)
	a.keepIdentity(&o.alert)
	if !reflect.DeepEqual(a, o.alert) {
		o.alert, o.told, o.toldAt = a, at.ep.count, at.ep.lastTrue
		e.announce(Change{Updated, a})
	}
}

// withdraw resolves an alert that was told ahead of the watermark, and that the
// events under way then did not bear out. Only states can be changed back unseen;
// whatever else is told so is told wrongly, and does not stay open for ever.
func (e *Engine) withdraw(w *watch, wm int64) {
	for _, o := range slices.Clone(w.alerts) {
		if o.nth > w.settled.pos().opened && o.alert.OpenedAt.UnixMilli() <= wm {
			w.alerts = slices.DeleteFunc(w.alerts, func(a *openAlert) bool { return a == o })
			e.announce(Change{Resolved, o.alert.endedBy(0)})
		}
	}
}

// settle walks a group's entries up to the watermark, and tells whether the
// group is to be followed on.
func (e *Engine) settle(w *watch, wm int64, force bool) bool {
	r, g := w.rule, w.group
	e.touch(r, g)
	was := g.size()
	defer func() { r.bytes += g.size() - was }()
	if w.settled != nil {
		e.step(w, wm)
	}
	if w.dirty && (force || e.lateWalkDue(w, wm)) {
		e.lateWalk(w, wm)
	}
	e.resolveLate(w, wm)
	e.evict(r, g, wm)
	if m := w.settled; m != nil && m.pos().ep == nil && m.finished(g.entries, wm) && (r.remembers() || !g.possible(r.compiled, &e.eval)) {
		if k, ok := m.(rememberer); ok {
			g.memory = memory(k)
		}
		w.settled, w.ahead = nil, nil
	}
	if w.settled != nil || w.dirty || len(w.late) > 0 {
		return true
	}
	g.watch = nil
	e.cool(r, g)
	return false
}

// evict drops the entries that no window after a watermark can need.
func (e *Engine) evict(r *ruleState, g *group, wm int64) {
	if len(g.entries) == 0 {
		return
	}
	n := 0
	if g.watch != nil && g.watch.settled != nil {
		n = g.watch.settled.done(g.entries, wm)
	} else {
		cut := wm - r.span()
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

// sweptWhole is how many groups a rule may have and still be swept at once. More
// are swept part by part, so that no event waits for all.
const sweptWhole = 2048

// findLarge lists the rules that are swept part by part.
func (e *Engine) findLarge() {
	e.large = e.large[:0]
	for _, r := range e.rules {
		if r.groups.len() > sweptWhole {
			e.large = append(e.large, r)
		}
	}
}

// sweepEvery is how far the watermark moves until a group is swept again.
func (r *ruleState) sweepEvery() int64 {
	if r.remembers() { // for days: little becomes old in a while
		return max(r.span()/4, (10 * time.Minute).Milliseconds())
	}
	return max(r.span()/4, time.Minute.Milliseconds())
}

// sweepParts sweeps the parts whose time has come: when depends on the watermark
// alone, since what is swept decides when a rule is full.
func (e *Engine) sweepParts(r *ruleState, wm int64) {
	step := r.sweepEvery() / groupShards
	from, to := floorDiv(r.swept, step), floorDiv(wm, step)
	r.swept = wm
	for part := max(from, to-groupShards) + 1; part <= to; part++ {
		e.sweepPart(r, int(part%groupShards), wm)
	}
}

// sweepPart forgets the groups of a part of which nothing is left.
func (e *Engine) sweepPart(r *ruleState, part int, wm int64) {
	for _, g := range r.groups.shards[part] {
		was := g.size()
		switch {
		case g.hot != nil:
			e.touch(r, g)
			e.sweepHot(r, g, wm)
		case r.remembers() && memoryUntil(g.cold) < wm:
			e.touch(r, g)
			g.cold = ""
		case !r.remembers():
			e.evictCold(r, g, wm-r.span())
		}
		r.bytes += g.size() - was
		if g.hot == nil && g.cold == "" {
			e.touch(r, g)
			r.bytes -= g.size()
			r.groups.drop(g)
		}
	}
}

// sweepHot drops what is not needed of a group that is not packed, and packs it
// again if little is left.
func (e *Engine) sweepHot(r *ruleState, g *group, wm int64) {
	if g.memory != nil && memoryUntil(g.memory) < wm {
		g.memory = nil
	}
	if b := g.beyond; b != nil {
		b.forget(r, wm)
		if len(b.late) == 0 && len(b.past) == 0 && (g.watch == nil || !g.watch.dirty) {
			g.beyond = nil
		}
	}
	if g.watch != nil {
		return
	}
	e.evict(r, g, wm)
	if len(g.entries) == 0 && g.beyond == nil && g.memory == nil {
		g.hot = nil
		return
	}
	e.cool(r, g)
}
