package detections

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// state is the machine of a setting's last value: it holds when an event
// changes the value in the way that `when` asks, and until it is changed back.
type state struct {
	walk
	value any   // as of at; nil while unknown
	at    int64 // when it was last set; 0 while unknown
	was   any   // of the open episode: the value before it opened
}

var _ machine = (*state)(nil)

func (s *state) clone() machine {
	out := *s
	out.walk = s.copied()
	return &out
}

func (s *state) advance(entries []entry, until int64, v *evaluator, visit func(outcome)) {
	for s.hi < len(entries) && entries[s.hi].t <= until {
		e := &entries[s.hi]
		s.expire(e.t-1, visit)
		s.hi++
		if e.t >= s.at {
			s.set(e, v, visit)
		}
	}
	s.expire(until, visit)
}

// set takes in an event that says what the value is now.
func (s *state) set(e *entry, v *evaluator, visit func(outcome)) {
	now := plainState(s.c.keptOf(e)[0])
	if now == nil {
		return
	}
	was := s.value
	s.value, s.at = now, e.t
	if s.ep == nil {
		if s.holds(was, now, v) {
			s.was = was
			s.open(e.t, e.isLate()).absorb(e)
			s.ep.was, s.ep.now = was, now
			visit(outcome{})
		}
		return
	}
	s.ep.absorb(e)
	if !s.holds(s.was, now, v) {
		s.close(e.t, visit) // it was changed back
		return
	}
	s.ep.now, s.ep.lastTrue = now, e.t
}

func (s *state) holds(was, now any, v *evaluator) bool {
	v.agg.clear()
	v.agg.set("was", was)
	v.agg.set("now", now)
	ok, err := s.c.when.holds(v.agg)
	if err != nil {
		v.fail(s.c, err)
	}
	v.judged(s.c, s.at, ok)
	return ok
}

// maxState bounds the text of a value that is remembered as it is.
const maxState = 4096

// plainState makes a value fit to be kept: one that is too large becomes nil.
func plainState(v any) any {
	switch v := v.(type) {
	case nil, bool, float64:
		return v
	case string:
		if len(v) <= maxState {
			return v
		}
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil || len(b) > maxState {
		return nil
	}
	return v
}

func (s *state) slip([]entry, int, *evaluator) bool { return false }

func (s *state) takeLate(*entry, int) bool { return false }

func (s *state) finished(entries []entry, _ int64) bool { return s.hi == len(entries) }

func (s *state) done([]entry, int64) int { return s.hi }

func (s *state) shift(_ []entry, n int) { s.lo, s.hi = 0, s.hi-n }

func (s *state) next(entries []entry) int64 {
	switch {
	case s.hi < len(entries):
		return entries[s.hi].t
	case s.ep != nil && s.c.Quiet == 0:
		return never // until it is changed back
	}
	return 0
}

// until is for ever: a setting keeps its value however long ago it was set.
func (s *state) until() int64 {
	if s.at == 0 {
		return 0
	}
	return never
}

func (s *state) encode(enc *encoder) {
	enc.int(s.at)
	enc.value(s.value)
	enc.value(s.was)
}

func (s *state) decode(d *decoder, _ []entry, _ *evaluator) {
	s.at, s.value, s.was = d.int(), d.value(), d.value()
}

// rememberer is a machine that knows more than the entries still tell.
type rememberer interface {
	machine
	until() int64 // the watermark at which it knows nothing that matters
}

var (
	_ rememberer = (*firstSeen)(nil)
	_ rememberer = (*state)(nil)
)

// memory writes down what a machine knows, to be kept while nothing happens in
// its group.
func memory(m rememberer) []byte {
	enc := &encoder{}
	enc.int(m.until())
	enc.len(m.pos().opened)
	enc.int(m.pos().since)
	m.encode(enc)
	return enc.b
}

// memoryUntil is the watermark until which a memory matters.
func memoryUntil[T string | []byte](memory T) int64 {
	d := &decoder{b: []byte(memory[:min(len(memory), binary.MaxVarintLen64)])}
	return d.int()
}

// recall gives a machine what memory wrote.
func recall(m rememberer, b []byte, v *evaluator) error {
	d := &decoder{b: b}
	d.int()
	m.pos().opened, m.pos().since = int(d.uint()), d.int()
	m.decode(d, nil, v)
	if d.err != nil || len(d.b) > 0 {
		return fmt.Errorf("recall what a group remembers: %w", errSnapshot)
	}
	return nil
}
