package detections

import (
	"math"
)

// evaluator runs programs with buffers that are kept between runs. It belongs
// to one engine and is not safe for concurrent use.
type evaluator struct {
	row  *row // fields of the present event
	agg  *row // aggregates by name, and what a kind of rule adds to them
	fail func(c *compiled, err error)

	probe *probe    // nil but for the tools that explain
	cover *coverage // nil but for tests of rules
}

// machine walks the entries of one group in order of time and finds the
// episodes in which the rule holds. What it finds depends on nothing but the
// entries. There is one for each kind of rule.
type machine interface {
	// pos is the part that all machines share.
	pos() *walk
	// advance walks on through the entries up to and including time until, and
	// hands every episode that opened or closed to visit, in order.
	advance(entries []entry, until int64, v *evaluator, visit func(outcome))
	// clone copies all that advance changes.
	clone() machine
	// slip takes in an entry that was inserted at pos, before the last one
	// walked. It may overlook an episode and never finds one that advance would
	// not. It is false when the machine must be made anew.
	slip(entries []entry, pos int, v *evaluator) bool
	// takeLate takes in an entry behind the watermark that was inserted at pos.
	// dirty asks for a walk over all that is kept, which tells late alerts.
	takeLate(en *entry, pos int) (dirty bool)
	// finished reports whether nothing that is kept can still open an episode, or
	// matter to one, at a watermark.
	finished(entries []entry, wm int64) bool
	// done is how many leading entries no later step needs at a watermark.
	done(entries []entry, wm int64) int
	// shift tells that the first n entries are about to be dropped.
	shift(entries []entry, n int)
	// next is the earliest time at which a step can do something.
	next(entries []entry) int64
	// encode writes what cannot be worked out from the entries walked; decode
	// reads it, with walk restored and the entries in place.
	encode(enc *encoder)
	decode(d *decoder, entries []entry, v *evaluator)
}

// walk is where a machine stands among its entries.
type walk struct {
	c      *compiled
	lo, hi int      // entries before hi are done; kinds with a window still hold entries[lo:hi]
	ep     *episode // the open one
	opened int      // episodes opened so far
	since  int64    // entries up to this time were evidence of an episode that is over
}

func (w *walk) pos() *walk { return w }

func newWalk(c *compiled) walk { return walk{c: c, since: math.MinInt64} }

// copied is the walk for a clone of its machine.
func (w *walk) copied() walk {
	out := *w
	if w.ep != nil {
		out.ep = w.ep.clone()
	}
	return out
}

// outcome tells what a step did.
type outcome struct {
	closed   *episode // the one that resolved, at closedAt; nil when one opened
	closedAt int64
}

// newMachine makes the machine for a rule.
func newMachine(c *compiled) machine {
	switch c.kind {
	case Sequence:
		return &sequence{walk: newWalk(c)}
	case Absence:
		return &absence{walk: newWalk(c)}
	case FirstSeen:
		return &firstSeen{walk: newWalk(c), known: map[string]sighting{}}
	case State:
		return &state{walk: newWalk(c)}
	}
	return newWindow(c)
}

// open begins an episode.
func (w *walk) open(at int64, late bool) *episode {
	w.ep = newEpisode(w.c, at)
	w.ep.late = late
	w.opened++
	return w.ep
}

// quietEnd is when the open episode resolves if its condition holds no more.
func (w *walk) quietEnd() int64 {
	if w.c.Quiet == 0 {
		return math.MaxInt64 // a state lasts until it is changed back
	}
	return w.ep.lastTrue + w.c.Quiet.Milliseconds()
}

// close ends the open episode. Its evidence is used up: the group opens another
// only on what came after. Else one event an hour would open one alert an hour
// for as long as an old burst stands in a window of days.
func (w *walk) close(at int64, visit func(outcome)) {
	ep := w.ep
	w.ep, w.since = nil, ep.lastTrue
	visit(outcome{closed: ep, closedAt: at})
}

// expire closes the open episode when its quiet time ended by the time until,
// and reports whether it did.
func (w *walk) expire(until int64, visit func(outcome)) bool {
	if w.ep == nil || until < w.quietEnd() {
		return false
	}
	w.close(w.quietEnd(), visit)
	return true
}
