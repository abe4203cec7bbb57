package detections

import (
	"math"

	"github.com/expr-lang/expr/vm"
)

// evaluator runs programs with buffers that are kept between runs. It belongs
// to one engine and is not safe for concurrent use.
type evaluator struct {
	vm   vm.VM
	row  env // fields of the present event
	agg  env // aggregates by name
	fail func(c *compiled, err error)
}

// machine walks the entries of one group in order and finds the episodes in
// which the rule holds. What it finds depends on nothing but the entries.
type machine struct {
	c      *compiled
	lo, hi int           // the window is entries[lo:hi]; entries before hi are done
	sums   []accumulator // for the aggregates of having; nil for those computed on demand
	ep     *episode      // the open one
	opened int           // episodes opened so far
	judged int64         // of closing windows: the start of the last one judged
	since  int64         // entries up to this time were evidence of an episode that is over
}

func newMachine(c *compiled) *machine {
	m := &machine{c: c, judged: math.MinInt64, since: math.MinInt64, sums: make([]accumulator, c.nHaving)}
	for i := range m.sums {
		if acc, ok := aggregateFuncs[c.aggs[i].fn].make().(removable); ok {
			m.sums[i] = acc
		}
	}
	return m
}

func (m *machine) clone() *machine {
	out := *m
	out.sums = make([]accumulator, len(m.sums))
	for i, acc := range m.sums {
		if acc != nil {
			out.sums[i] = cloneAccumulator(acc)
		}
	}
	if m.ep != nil {
		out.ep = m.ep.clone()
	}
	return &out
}

func (m *machine) push(e *entry) {
	for i, acc := range m.sums {
		if acc != nil {
			acc.add(e.vals[i])
		}
	}
	m.hi++
}

func (m *machine) pop(e *entry) {
	for i, acc := range m.sums {
		if acc != nil {
			acc.(removable).remove(e.vals[i])
		}
	}
	m.lo++
}

// holds evaluates having over the present window.
func (m *machine) holds(entries []entry, v *evaluator) bool {
	if m.c.having == nil {
		return true
	}
	clear(v.agg)
	for i, acc := range m.sums {
		if acc == nil {
			acc = aggregateFuncs[m.c.aggs[i].fn].make()
			for k := m.lo; k < m.hi; k++ {
				acc.add(entries[k].vals[i])
			}
		}
		v.agg[m.c.aggs[i].name] = acc.value()
	}
	ok, err := m.c.having.holds(&v.vm, v.agg)
	if err != nil {
		v.fail(m.c, err)
	}
	return ok
}

// outcome tells what a step did.
type outcome struct {
	closed   *episode // the one that resolved, at closedAt; nil when one opened
	closedAt int64
}

// advance walks on through the entries up to and including time until, and
// hands every episode that opened or closed to visit, in order.
func (m *machine) advance(entries []entry, until int64, v *evaluator, visit func(outcome)) {
	if m.c.slides() {
		m.advanceSliding(entries, until, v, visit)
	} else {
		m.advanceClosing(entries, until, v, visit)
	}
	m.expire(entries, until, visit)
}

// expire closes the open episode when its quiet time ended by the time until,
// and reports whether it did. The evidence of an episode that is over is used
// up: the group opens another only on what came after. Else one event an hour
// would open one alert an hour for as long as an old burst stands in a window
// of days.
func (m *machine) expire(entries []entry, until int64, visit func(outcome)) bool {
	if m.ep == nil {
		return false
	}
	end := m.ep.lastTrue + m.c.Quiet.Milliseconds()
	if until < end {
		return false
	}
	ep := m.ep
	m.ep, m.since = nil, ep.lastTrue
	if !m.c.slides() {
		m.since-- // the window that held last ends before lastTrue
	}
	for m.lo < m.hi && entries[m.lo].t <= m.since {
		m.pop(&entries[m.lo])
	}
	visit(outcome{closed: ep, closedAt: end})
	return true
}

// advanceSliding judges the window that ends with each event at t:
// (t-window, t], without what happened exactly a window before.
func (m *machine) advanceSliding(entries []entry, until int64, v *evaluator, visit func(outcome)) {
	window := m.c.Window.Milliseconds()
	for m.hi < len(entries) && entries[m.hi].t <= until {
		e := &entries[m.hi]
		m.expire(entries, e.t-1, visit)
		m.push(e)
		for entries[m.lo].t <= e.t-window && m.lo < m.hi-1 {
			m.pop(&entries[m.lo])
		}
		held := m.holds(entries, v)
		switch {
		case held && m.ep == nil:
			m.open(entries, e.t, e.isLate(), visit)
		case m.ep != nil:
			m.ep.absorb(e)
			if held {
				m.ep.lastTrue = e.t
			}
		}
	}
}

// advanceClosing judges the window that begins with each event, when it is
// over: [t, t+window), without what happens exactly a window later. Of events
// of the same millisecond the first begins the window, so that it holds them all.
func (m *machine) advanceClosing(entries []entry, until int64, v *evaluator, visit func(outcome)) {
	window := m.c.Window.Milliseconds()
	for m.lo < len(entries) && entries[m.lo].t+window <= until {
		end := entries[m.lo].t + window
		if m.expire(entries, end-1, visit) {
			continue // its evidence is used up: the next window begins elsewhere
		}
		for m.hi < len(entries) && entries[m.hi].t < end {
			if m.ep != nil {
				m.ep.absorb(&entries[m.hi])
			}
			m.push(&entries[m.hi])
		}
		if start := entries[m.lo].t; start != m.judged {
			m.judged = start
			if m.holds(entries, v) {
				if m.ep == nil {
					m.open(entries, end, m.cameAfter(entries, end), visit)
				}
				m.ep.lastTrue = end
			}
		}
		m.pop(&entries[m.lo])
	}
}

// cameAfter reports whether an entry of the window arrived after its end.
func (m *machine) cameAfter(entries []entry, end int64) bool {
	for k := m.lo; k < m.hi; k++ {
		if entries[k].behind >= end {
			return true
		}
	}
	return false
}

func (m *machine) open(entries []entry, at int64, late bool, visit func(outcome)) {
	m.ep = newEpisode(m.c, at)
	m.ep.late = late
	m.opened++
	for k := m.lo; k < m.hi; k++ {
		m.ep.absorb(&entries[k])
	}
	visit(outcome{})
}

// slip takes in an entry that was inserted at pos, before the last one walked.
// Only the window that ends with the last is judged again.
func (m *machine) slip(entries []entry, pos int, v *evaluator) {
	e, last := &entries[pos], entries[m.hi].t
	inWindow := e.t > last-m.c.Window.Milliseconds() && e.t > m.since
	if inWindow {
		m.push(e)
	} else {
		m.lo, m.hi = m.lo+1, m.hi+1
	}
	if m.ep != nil && e.t > m.ep.opened {
		m.ep.absorb(e)
	}
	if !inWindow || !m.holds(entries, v) {
		return
	}
	if m.ep == nil {
		m.open(entries, last, false, func(outcome) {})
	}
	m.ep.lastTrue = last
}

// finished reports whether every entry was walked and every window judged.
func (m *machine) finished(entries []entry) bool {
	if m.c.slides() {
		return m.hi == len(entries)
	}
	return m.lo == len(entries)
}

// done is how many leading entries no later step needs at a watermark.
func (m *machine) done(entries []entry, wm int64) int {
	if m.c.slides() {
		if m.hi < len(entries) {
			wm = min(wm, entries[m.hi].t-1) // not walked yet, and it needs its window
		}
		for m.lo < m.hi && entries[m.lo].t <= wm-m.c.Window.Milliseconds() {
			m.pop(&entries[m.lo])
		}
	}
	return m.lo
}
