package detections

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// sequence is the machine of ordered steps: a chain of events, one step after
// the other, from the first to the last within a time. A later step may compare
// its event with those of earlier ones.
type sequence struct {
	walk
	chains []chain // those that wait for their next event, oldest first
	taken  map[string]bool
	shed   int64
}

var _ machine = (*sequence)(nil)

// chain is the beginning of a sequence. Of chains that wait for the same event
// only the one that began last is kept: it can do all that the others could.
type chain struct {
	step   int // the step that the next event must be
	times  int // events that this step has so far
	begun  int64
	events []entry // in order
	carry  [][]any // for each step, the kept values of its first event; nil before
	waits  string  // its key
}

// maxChains bounds the chains of one group. The oldest go first.
const maxChains = 1000

func (s *sequence) clone() machine {
	out := *s
	out.walk = s.copied()
	out.chains = slices.Clone(s.chains) // a chain is never changed, only followed by a longer one
	out.taken = nil
	for id := range s.taken {
		out.take(id)
	}
	return &out
}

func (s *sequence) take(id string) {
	if s.taken == nil {
		s.taken = map[string]bool{}
	}
	s.taken[id] = true
}

func (s *sequence) advance(entries []entry, until int64, v *evaluator, visit func(outcome)) {
	for s.hi < len(entries) && entries[s.hi].t <= until {
		e := &entries[s.hi]
		s.end(e.t-1, visit)
		s.hi++
		if whole := s.follow(e, v); whole != nil {
			s.hold(whole, e, visit)
		}
	}
	s.end(until, visit)
}

// end closes the open episode in time, and forgets the chains that it used up.
func (s *sequence) end(until int64, visit func(outcome)) {
	s.expire(until, func(o outcome) {
		s.chains = slices.DeleteFunc(slices.Clone(s.chains), func(c chain) bool { return c.begun <= s.since })
		s.taken = nil
		visit(o)
	})
}

// follow extends the chains that the event is the next step of, begins one
// where it can be the first, and returns a chain that is whole now.
func (s *sequence) follow(e *entry, v *evaluator) *chain {
	s.chains = slices.DeleteFunc(slices.Clone(s.chains), func(c chain) bool { return c.begun <= e.t-s.c.Within.Milliseconds() })
	var whole *chain
	var longer, waiting []chain
	for i := len(s.chains) - 1; i >= 0; i-- {
		if c, ok := s.extend(&s.chains[i], e, v); ok {
			longer = append(longer, c)
		}
	}
	begin := chain{begun: e.t, carry: make([][]any, len(s.c.steps))}
	if c, ok := s.extend(&begin, e, v); ok {
		longer = append(longer, c)
	}
	for i := range longer {
		c := &longer[i]
		if c.step == len(s.c.steps) {
			if whole == nil || c.begun > whole.begun {
				whole = c
			}
			continue
		}
		waiting = append(waiting, *c)
	}
	s.keep(waiting)
	return whole
}

// extend is the chain with one event more, false when it is not the next step.
func (s *sequence) extend(c *chain, e *entry, v *evaluator) (chain, bool) {
	step := &s.c.steps[c.step]
	if e.mask&(1<<c.step) == 0 || !s.agrees(step, c, e, v) {
		return chain{}, false
	}
	out := chain{step: c.step, times: c.times + 1, begun: c.begun, events: append(slices.Clone(c.events), *e), carry: slices.Clone(c.carry)}
	if out.carry[c.step] == nil {
		out.carry[c.step] = s.c.keptOf(e)
	}
	if out.times >= step.times {
		out.step, out.times = c.step+1, 0
	}
	out.waits = s.key(&out)
	return out, true
}

// agrees evaluates the part of a step's condition that looks at earlier steps.
func (s *sequence) agrees(step *step, c *chain, e *entry, v *evaluator) bool {
	if step.relation == nil {
		return true
	}
	v.agg.clear()
	kept := s.c.keptOf(e)
	for i, f := range s.c.kept {
		v.agg.set(f.name, kept[i])
		for k, values := range c.carry {
			if values != nil && k < c.step {
				v.agg.set(s.c.steps[k].name+"."+f.name, values[i])
			}
		}
	}
	v.cover.related(s.c, step, v.agg)
	ok, err := step.relation.holds(v.agg)
	if err != nil {
		v.fail(s.c, err)
	}
	return ok
}

// keep takes in longer chains, in order, each in place of an older one that waits
// for the same.
func (s *sequence) keep(longer []chain) {
	if len(longer) == 0 {
		return
	}
	slices.Reverse(longer) // the last stands before others that began with it
	all := append(longer, s.chains...)
	slices.SortStableFunc(all, func(a, b chain) int { return cmp.Compare(a.begun, b.begun) })
	latest := make(map[string]int, len(all))
	for i := range all {
		if at, is := latest[all[i].waits]; !is || all[at].begun < all[i].begun {
			latest[all[i].waits] = i
		}
	}
	kept := all[:0]
	for i := range all {
		if latest[all[i].waits] == i {
			kept = append(kept, all[i])
		}
	}
	if n := len(kept) - maxChains; n > 0 {
		kept = kept[n:]
		s.shed += int64(n)
	}
	s.chains = kept
}

// key is equal for chains that wait for the same event: those as far, of which
// what steps to come name is the same.
func (s *sequence) key(c *chain) string {
	enc := &encoder{}
	enc.len(c.step)
	enc.len(c.times)
	for k, values := range c.carry {
		if values == nil {
			continue
		}
		for i, last := range s.c.steps[k].needed {
			if last >= c.step {
				enc.value(values[i])
			}
		}
	}
	return string(enc.b)
}

// hold opens an episode with a whole chain, or adds it to the open one.
func (s *sequence) hold(c *chain, e *entry, visit func(outcome)) {
	opens := s.ep == nil
	if opens {
		late := slices.ContainsFunc(c.events, func(en entry) bool { return en.isLate() })
		s.open(e.t, late)
	}
	for i := range c.events {
		if id := c.events[i].id; !s.taken[id] {
			s.take(id)
			s.ep.absorb(&c.events[i])
		}
	}
	s.ep.lastTrue = e.t
	if opens {
		visit(outcome{})
	}
}

func (s *sequence) slip([]entry, int, *evaluator) bool { return false }

func (s *sequence) takeLate(_ *entry, pos int) (dirty bool) {
	if pos < s.hi {
		s.hi++
		return true
	}
	return false
}

func (s *sequence) finished(entries []entry, _ int64) bool { return s.hi == len(entries) }

func (s *sequence) done(entries []entry, wm int64) int {
	if s.hi < len(entries) {
		wm = min(wm, entries[s.hi].t-1)
	}
	n := 0
	for n < s.hi && entries[n].t <= wm-s.c.span() {
		n++
	}
	return n
}

func (s *sequence) shift(_ []entry, n int) { s.lo, s.hi = max(0, s.lo-n), max(0, s.hi-n) }

func (s *sequence) next(entries []entry) int64 {
	switch {
	case s.hi < len(entries):
		return entries[s.hi].t
	case len(entries) > 0:
		return entries[0].t + s.c.span()
	}
	return 0
}

func (s *sequence) encode(enc *encoder) {
	enc.int(s.shed)
	enc.strings(keys(s.taken))
	enc.len(len(s.chains))
	for i := range s.chains {
		c := &s.chains[i]
		enc.len(c.step)
		enc.len(c.times)
		enc.int(c.begun)
		encodeEntries(enc, c.events)
		for _, values := range c.carry {
			enc.bool(values != nil)
			for _, v := range values {
				enc.value(v)
			}
		}
	}
}

func (s *sequence) decode(d *decoder, _ []entry, _ *evaluator) {
	s.shed = d.int()
	for _, id := range d.strings() {
		s.take(id)
	}
	for range d.len() {
		c := chain{step: int(d.uint()), times: int(d.uint()), begun: d.int(), events: decodeEntries(d, s.c), carry: make([][]any, len(s.c.steps))}
		for i := range c.carry {
			if !d.bool() {
				continue
			}
			c.carry[i] = make([]any, len(s.c.kept))
			for k := range c.carry[i] {
				c.carry[i][k] = d.value()
			}
		}
		if c.step >= len(s.c.steps) || d.err != nil {
			d.fail()
			return
		}
		c.waits = s.key(&c)
		s.chains = append(s.chains, c)
	}
}

// possibleSteps reports whether the entries hold an event for every step.
func (c *compiled) possibleSteps(entries []entry) bool {
	var all uint16
	for i := range entries {
		all |= entries[i].mask
	}
	return popcount(all) == len(c.steps)
}

func popcount(m uint16) int { return bits.OnesCount16(m) }

// never is a time that does not come.
const never = math.MaxInt64
