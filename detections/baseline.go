package detections

import (
	"math"
	"slices"
	"time"
)

// baseline is one use of baseline(aggregate, span) in having: what is usual for
// the group at this hour, from the windows of the span that are over.
type baseline struct {
	agg    int    // of which aggregate
	fn     string // and its function
	name   string // its name in the environment; .mean and others follow
	bucket int64  // length of the windows that it is made of, ms
	span   int64  // how far it looks back, ms
}

// The members of a baseline.
var baselineMembers = []string{"mean", "deviation", "z", "samples"}

// A history is made of windows side by side, each a bucket. Those of the same
// hour of the week are compared when there are enough of them, else those of the
// same hour of the day, else all.
const (
	fewAlike   = 3  // buckets of one hour
	fewInAll   = 12 // buckets of any hour
	maxBuckets = 10_000
	// heldOut is for how long the buckets of an open episode are left out: an
	// attack is not usual, but what lasts longer is how things are now.
	heldOut = 24 * time.Hour
)

// mark is the value of one bucket; none is kept for an empty one.
type mark struct {
	k     int64 // start of the bucket divided by its length
	value float64
	out   bool // left out
}

// history is the past of one baseline for one group.
type history struct {
	first int64 // the bucket of the group's first event, which is not whole
	cur   int64 // the bucket that is being filled
	held  bool  // it belongs to an episode
	acc   accumulator
	marks []mark // those before cur, in order

	at    int64 // the bucket that usual was worked out for
	usual usual
}

// usual is what is known of the past.
type usual struct {
	mean, deviation float64
	samples         int
}

func newHistory() *history { return &history{first: never, cur: never, at: never} }

func (h *history) clone() *history {
	out := *h
	out.marks = slices.Clip(h.marks) // never changed, only appended to
	if h.acc != nil {
		out.acc = h.acc.clone()
	}
	return &out
}

// note adds the value of an entry.
func (h *history) note(b *baseline, e *entry, ep *episode) {
	t := e.t
	k := floorDiv(t, b.bucket)
	switch {
	case h.acc == nil:
		h.first, h.cur = k, k
		h.acc = b.fresh()
	case k > h.cur:
		h.finish(b)
		h.cur, h.held, h.acc = k, false, b.fresh()
	}
	if k == h.cur { // else it came late: what is usual stays
		e.addTo(h.acc, b.agg)
		h.held = h.held || ep != nil && t-ep.opened < heldOut.Milliseconds()
	}
}

func (b *baseline) fresh() accumulator { return newAccumulator(b.fn) }

// finish turns the present bucket into a mark.
func (h *history) finish(b *baseline) {
	v, _ := number(h.acc.value())
	h.marks = append(h.marks, mark{h.cur, v, h.held})
	old := h.cur - b.span/b.bucket - 2
	n := 0
	for n < len(h.marks) && h.marks[n].k < old {
		n++
	}
	h.marks = h.marks[n:]
}

// put names what the baseline is for a window that ends at t, compared with the
// value of the aggregate now. Without enough of a past they are missing.
func (b *baseline) put(to *row, h *history, aggName string, t int64) {
	k := floorDiv(t, b.bucket)
	if k != h.at {
		h.at, h.usual = k, h.work(b, k)
	}
	to.set(b.name+".samples", h.usual.samples)
	if h.usual.samples == 0 {
		return
	}
	to.set(b.name+".mean", h.usual.mean)
	to.set(b.name+".deviation", h.usual.deviation)
	if now := to.get(aggName); now.kind == numberValue {
		to.set(b.name+".z", (now.num-h.usual.mean)/h.usual.deviation)
	}
}

// work computes what is usual for bucket k from those before it, but for the
// last: a window that ends in k reaches into it.
func (h *history) work(b *baseline, k int64) usual {
	from, to := max(h.first+1, k-b.span/b.bucket), k-2
	if h.acc == nil || to < from {
		return usual{}
	}
	marks := h.marks
	if h.cur <= to {
		v, _ := number(h.acc.value())
		marks = append(slices.Clip(marks), mark{h.cur, v, h.held})
	}
	for _, class := range []struct {
		alike func(j int64) bool
		few   int
	}{{b.sameHourOf(k, 168), fewAlike}, {b.sameHourOf(k, 24), fewAlike}, {func(int64) bool { return true }, fewInAll}} {
		var s past
		for j := from; j <= to; j++ {
			if class.alike(j) {
				s.n++
			}
		}
		for _, m := range marks {
			switch {
			case m.k < from || m.k > to || !class.alike(m.k):
			case m.out:
				s.n--
			default:
				s.sum += m.value
				s.squares += m.value * m.value
			}
		}
		if s.n >= class.few {
			return s.usual()
		}
	}
	return usual{}
}

// sameHourOf tells the buckets that begin in the same hour as k does, of a cycle
// of so many hours.
func (b *baseline) sameHourOf(k, cycle int64) func(int64) bool {
	const hour = 3_600_000
	// The epoch was a Thursday; it does not matter which hour of the week is first.
	of := func(j int64) int64 { return floorDiv(j*b.bucket, hour) % cycle }
	want := of(k)
	return func(j int64) bool { return of(j) == want }
}

type past struct {
	n            int
	sum, squares float64
}

// usual gives mean and deviation. Counts of rare events scatter by the root of
// their mean, and a past without any scatter must not make one event infinite:
// the deviation is at least that root, and at least 1.
func (s past) usual() usual {
	mean := s.sum / float64(s.n)
	variance := max(0, s.squares/float64(s.n)-mean*mean)
	return usual{mean, max(math.Sqrt(variance), math.Sqrt(max(mean, 0)), 1), s.n}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func (h *history) encode(enc *encoder) {
	enc.bool(h.acc != nil)
	if h.acc == nil {
		return
	}
	enc.int(h.first)
	enc.int(h.cur)
	enc.bool(h.held)
	h.acc.encode(enc)
	enc.len(len(h.marks))
	last := h.first
	for _, m := range h.marks {
		enc.int(m.k - last)
		last = m.k
		enc.float(m.value)
		enc.bool(m.out)
	}
}

func (h *history) decode(d *decoder, b *baseline) {
	if !d.bool() {
		return
	}
	h.first, h.cur, h.held = d.int(), d.int(), d.bool()
	h.acc = b.fresh()
	h.acc.decode(d)
	last := h.first
	for range d.len() {
		m := mark{last + d.int(), d.float(), d.bool()}
		last = m.k
		h.marks = append(h.marks, m)
	}
}
