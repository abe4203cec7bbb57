package detections

import "slices"

// absence is the machine of what did not happen: an `after` event that no
// `expect` event of its group follows within a time. It is judged when that time
// is over. The alert resolves when the event comes after all.
type absence struct {
	walk
	waiting []entry // after events that nothing has answered, in order
}

var _ machine = (*absence)(nil)

// The marks of entries of an absence rule.
const (
	markAfter uint16 = 1 << iota
	markExpect
)

func (a *absence) clone() machine {
	out := *a
	out.walk = a.copied()
	out.waiting = slices.Clone(a.waiting)
	return &out
}

func (a *absence) deadline() int64 { return a.waiting[0].t + a.c.Within.Milliseconds() }

func (a *absence) advance(entries []entry, until int64, _ *evaluator, visit func(outcome)) {
	for a.hi < len(entries) && entries[a.hi].t <= until {
		e := &entries[a.hi]
		a.judge(e.t-1, visit)
		a.expire(e.t-1, visit)
		a.hi++
		if e.mask&markExpect != 0 {
			a.waiting = nil
			if a.ep != nil {
				a.ep.absorb(e)
				a.close(e.t, visit) // it came after all
			}
		}
		if e.mask&markAfter != 0 {
			a.waiting = append(slices.Clip(a.waiting), *e)
			if len(a.waiting) > maxEntries {
				a.waiting = a.waiting[1:] // the alert of those before it tells of the group all the same
			}
		}
	}
	a.judge(until, visit)
	a.expire(until, visit)
}

// judge tells of the events whose time is over by the time until.
func (a *absence) judge(until int64, visit func(outcome)) {
	for len(a.waiting) > 0 && a.deadline() <= until {
		e, at := a.waiting[0], a.deadline()
		a.expire(at-1, visit)
		a.waiting = a.waiting[1:]
		opens := a.ep == nil
		if opens {
			a.open(at, e.behind >= at)
		}
		a.ep.absorb(&e)
		a.ep.lastTrue = at
		if opens {
			visit(outcome{})
		}
	}
}

func (a *absence) slip([]entry, int, *evaluator) bool { return false }

func (a *absence) takeLate(en *entry, pos int) (dirty bool) {
	if pos >= a.hi {
		return false
	}
	a.hi++
	if en.mask&markExpect != 0 { // it answers what stands before it
		a.waiting = slices.DeleteFunc(slices.Clone(a.waiting), func(w entry) bool { return w.compare(en) < 0 })
		return false
	}
	return true
}

func (a *absence) finished(entries []entry, _ int64) bool {
	return a.hi == len(entries) && len(a.waiting) == 0 && len(entries) == 0
}

func (a *absence) done(entries []entry, wm int64) int {
	n := 0
	for n < a.hi && entries[n].t <= wm-a.c.span() {
		n++
	}
	return n
}

func (a *absence) shift(_ []entry, n int) { a.lo, a.hi = max(0, a.lo-n), max(0, a.hi-n) }

func (a *absence) next(entries []entry) int64 {
	due := int64(never)
	if a.hi < len(entries) {
		due = entries[a.hi].t
	} else if len(entries) > 0 {
		due = entries[0].t + a.c.span()
	}
	if len(a.waiting) > 0 {
		due = min(due, a.deadline())
	}
	if due == never {
		return 0
	}
	return due
}

func (a *absence) encode(enc *encoder) { encodeEntries(enc, a.waiting) }

func (a *absence) decode(d *decoder, _ []entry, _ *evaluator) { a.waiting = decodeEntries(d, a.c) }
