package detections

import "math"

// window is the machine of match and aggregate rules, and of baselines. Its
// conditions look at entries[lo:hi].
type window struct {
	walk
	sums   []accumulator // for the aggregates of having; nil for those computed on demand
	judged int64         // of closing windows: the start of the last one judged
	past   []*history    // for the baselines of having
}

var _ machine = (*window)(nil)

func newWindow(c *compiled) *window {
	m := &window{walk: newWalk(c), judged: math.MinInt64, sums: make([]accumulator, c.nHaving)}
	for i := range m.sums {
		if acc, ok := newAccumulator(c.aggs[i].fn).(removable); ok {
			m.sums[i] = acc
		}
	}
	for range c.baselines {
		m.past = append(m.past, newHistory())
	}
	return m
}

func (m *window) clone() machine {
	out := *m
	out.walk = m.copied()
	out.sums = make([]accumulator, len(m.sums))
	for i, acc := range m.sums {
		if acc != nil {
			out.sums[i] = acc.clone()
		}
	}
	out.past = make([]*history, len(m.past))
	for i, h := range m.past {
		out.past[i] = h.clone()
	}
	return &out
}

func (m *window) push(e *entry) {
	for i, acc := range m.sums {
		if acc != nil {
			e.addTo(acc, i)
		}
	}
	m.hi++
}

func (m *window) pop(e *entry) {
	for i, acc := range m.sums {
		if acc != nil {
			e.takeFrom(acc.(removable), i)
		}
	}
	m.lo++
}

// holds evaluates having over the present window, which ends at the time end.
func (m *window) holds(entries []entry, end int64, v *evaluator) bool {
	if m.c.having == nil {
		return true
	}
	v.agg.clear()
	for i, acc := range m.sums {
		if acc == nil {
			acc = newAccumulator(m.c.aggs[i].fn)
			for k := m.lo; k < m.hi; k++ {
				entries[k].addTo(acc, i)
			}
		}
		v.agg.set(m.c.aggs[i].name, acc.value())
	}
	for i, h := range m.past {
		b := &m.c.baselines[i]
		b.put(v.agg, h, m.c.aggs[b.agg].name, end)
	}
	ok, err := m.c.having.holds(v.agg)
	if err != nil {
		v.fail(m.c, err)
	}
	v.judged(m.c, end, ok)
	return ok
}

func (m *window) advance(entries []entry, until int64, v *evaluator, visit func(outcome)) {
	if m.c.slides() {
		m.advanceSliding(entries, until, v, visit)
	} else {
		m.advanceClosing(entries, until, v, visit)
	}
	m.end(entries, until, visit)
}

// end closes the open episode when its quiet time ended by the time until, and
// lets go of the evidence that this used up.
func (m *window) end(entries []entry, until int64, visit func(outcome)) bool {
	return m.expire(until, func(o outcome) {
		if !m.c.slides() {
			m.since-- // the window that held last ends before lastTrue
		}
		for m.lo < m.hi && entries[m.lo].t <= m.since {
			m.pop(&entries[m.lo])
		}
		visit(o)
	})
}

// advanceSliding judges the window that ends with each event at t:
// (t-window, t], without what happened exactly a window before.
func (m *window) advanceSliding(entries []entry, until int64, v *evaluator, visit func(outcome)) {
	window := m.c.Window.Milliseconds()
	for m.hi < len(entries) && entries[m.hi].t <= until {
		e := &entries[m.hi]
		m.end(entries, e.t-1, visit)
		m.push(e)
		for entries[m.lo].t <= e.t-window && m.lo < m.hi-1 {
			m.pop(&entries[m.lo])
		}
		m.note(e)
		held := m.holds(entries, e.t, v)
		switch {
		case held && m.ep == nil:
			m.openWith(entries, e.t, e.isLate(), visit)
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
func (m *window) advanceClosing(entries []entry, until int64, v *evaluator, visit func(outcome)) {
	window := m.c.Window.Milliseconds()
	for m.lo < len(entries) && entries[m.lo].t+window <= until {
		end := entries[m.lo].t + window
		if m.end(entries, end-1, visit) {
			continue // its evidence is used up: the next window begins elsewhere
		}
		for m.hi < len(entries) && entries[m.hi].t < end {
			if m.ep != nil {
				m.ep.absorb(&entries[m.hi])
			}
			m.note(&entries[m.hi])
			m.push(&entries[m.hi])
		}
		if start := entries[m.lo].t; start != m.judged {
			m.judged = start
			if m.holds(entries, end, v) {
				if m.ep == nil {
					m.openWith(entries, end, m.cameAfter(entries, end), visit)
				}
				m.ep.lastTrue = end
			}
		}
		m.pop(&entries[m.lo])
	}
}

// note adds an entry to what baselines are made of.
func (m *window) note(e *entry) {
	for i, h := range m.past {
		b := &m.c.baselines[i]
		h.note(b, e, m.ep)
	}
}

// cameAfter reports whether an entry of the window arrived after its end.
func (m *window) cameAfter(entries []entry, end int64) bool {
	for k := m.lo; k < m.hi; k++ {
		if entries[k].behind >= end {
			return true
		}
	}
	return false
}

func (m *window) openWith(entries []entry, at int64, late bool, visit func(outcome)) {
	ep := m.open(at, late)
	for k := m.lo; k < m.hi; k++ {
		ep.absorb(&entries[k])
	}
	visit(outcome{})
}

// slip judges again only the window that ends with the last entry.
func (m *window) slip(entries []entry, pos int, v *evaluator) bool {
	e, last := &entries[pos], entries[m.hi].t
	for i, h := range m.past {
		if h.acc == nil || floorDiv(e.t, m.c.baselines[i].bucket) != h.cur {
			return false // what is usual must have it, and that bucket is done
		}
	}
	m.note(e)
	inWindow := e.t > last-m.c.Window.Milliseconds() && e.t > m.since
	if inWindow {
		m.push(e)
	} else {
		m.lo, m.hi = m.lo+1, m.hi+1
	}
	if m.ep != nil && e.t > m.ep.opened {
		m.ep.absorb(e)
	}
	if !inWindow || !m.holds(entries, last, v) {
		return true
	}
	if m.ep == nil {
		m.openWith(entries, last, false, func(outcome) {})
	}
	m.ep.lastTrue = last
	return true
}

func (m *window) takeLate(en *entry, pos int) (dirty bool) {
	if m.ep != nil && pos < m.hi && en.t >= m.ep.opened-m.c.Window.Milliseconds() {
		m.ep.absorb(en)
	}
	switch {
	case pos < m.lo:
		m.lo, m.hi = m.lo+1, m.hi+1
		return true
	case pos < m.hi:
		m.push(en)
		return m.c.slides()
	}
	return false
}

// finished reports whether every entry was walked and every window judged, and
// no baseline is made of what was.
func (m *window) finished(entries []entry, wm int64) bool {
	if m.pastUntil() > wm {
		return false
	}
	if m.c.slides() {
		return m.hi == len(entries)
	}
	return m.lo == len(entries)
}

// pastUntil is the watermark until which baselines look back on what was.
func (m *window) pastUntil() int64 {
	until := int64(0)
	for i, h := range m.past {
		if h.acc != nil {
			b := &m.c.baselines[i]
			until = max(until, (h.cur+2)*b.bucket+b.span)
		}
	}
	return until
}

func (m *window) done(entries []entry, wm int64) int {
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

func (m *window) shift(entries []entry, n int) {
	for m.lo < n {
		m.pop(&entries[m.lo])
	}
	m.lo, m.hi = m.lo-n, m.hi-n
}

func (m *window) next(entries []entry) int64 {
	window := m.c.Window.Milliseconds()
	switch {
	case !m.c.slides() && m.lo < len(entries):
		return entries[m.lo].t + window
	case m.c.slides() && m.hi < len(entries):
		return entries[m.hi].t
	case len(entries) > 0:
		return entries[0].t + window // it leaves
	}
	return m.pastUntil()
}

func (m *window) encode(enc *encoder) {
	enc.int(m.judged)
	for _, h := range m.past {
		h.encode(enc)
	}
}

func (m *window) decode(d *decoder, entries []entry, _ *evaluator) {
	m.judged = d.int()
	m.resum(entries)
	for i, h := range m.past {
		h.decode(d, &m.c.baselines[i])
	}
}

// resum works out the sums of the window anew.
func (m *window) resum(entries []entry) {
	for i, acc := range m.sums {
		if acc != nil {
			m.sums[i] = newAccumulator(m.c.aggs[i].fn)
		}
	}
	hi := m.hi
	for m.hi = m.lo; m.hi < hi; {
		m.push(&entries[m.hi])
	}
}
