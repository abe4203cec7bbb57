package detections

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/axiomhq/hyperloglog"
)

// accumulator folds the values of events in order of time. Missing values are
// passed over.
type accumulator interface {
	add(v any)
	merge(o accumulator) // adds what another of its kind was given
	clone() accumulator
	value() any
	encode(e *encoder)
	decode(d *decoder)
}

// removable accumulators can also let go of what they were given.
type removable interface {
	accumulator
	remove(v any)
	unmerge(o accumulator)
}

type counter struct{ n int }

func (c *counter) add(v any) {
	if v == true {
		c.n++
	}
}
func (c *counter) remove(v any) {
	if v == true {
		c.n--
	}
}
func (c *counter) merge(o accumulator)   { c.n += o.(*counter).n }
func (c *counter) unmerge(o accumulator) { c.n -= o.(*counter).n }
func (c *counter) clone() accumulator    { out := *c; return &out }
func (c *counter) value() any            { return c.n }

// distinct counts different values: exactly up to maxExact, beyond it by a
// HyperLogLog sketch. A sketch cannot let go of values, so those that came in
// sketches are kept beside the exact ones, one for each fold of the window.
type distinct struct {
	seen     map[any]int
	sketch   *hyperloglog.Sketch // of values beyond maxExact; never removed from
	sketches []*distinct         // of folds, each with a sketch

	whole    *hyperloglog.Sketch // of all of them, to estimate from; nil when it must be made anew
	stale    int                 // values that whole still holds
	estimate int                 // the last one; 0 when there is none
	since    int                 // values put into a sketch after it
}

// maxExact is how many values are told apart exactly. sketchPrecision gives 4,096
// registers, so that an estimate is within sketchError of the truth two times
// out of three (1.04 divided by the root of the registers).
const (
	maxExact        = 10_000
	maxExactFold    = 256
	sketchPrecision = 12
	sketchError     = 0.01625
)

func newDistinct() *distinct { return &distinct{seen: map[any]int{}} }

func (d *distinct) add(v any) { each(v, func(k any) { d.addCounted(k, 1) }) }

func (d *distinct) addCounted(k any, n int) {
	if d.sketch != nil {
		d.sketch.Insert(scalarBytes(k))
		d.since++
		return
	}
	if d.seen[k] += n; d.whole != nil && d.seen[k] == n {
		d.whole.Insert(scalarBytes(k))
		d.since++
	}
}

func (d *distinct) remove(v any) { each(v, func(k any) { d.removeCounted(k, 1) }) }

func (d *distinct) removeCounted(k any, n int) {
	if d.seen[k] -= n; d.seen[k] <= 0 {
		delete(d.seen, k)
		d.stale++
	}
}

func (d *distinct) merge(o accumulator) {
	x := o.(*distinct)
	if x.sketch != nil {
		d.sketches = append(d.sketches, x)
		if d.whole != nil {
			x.fill(d.whole)
		}
		d.estimate = 0
		return
	}
	for k, n := range x.seen {
		d.addCounted(k, n)
	}
	for _, y := range x.sketches {
		d.merge(y)
	}
}

func (d *distinct) unmerge(o accumulator) {
	x := o.(*distinct)
	if x.sketch != nil {
		d.sketches = slices.DeleteFunc(d.sketches, func(s *distinct) bool { return s == x })
		d.whole, d.estimate = nil, 0
		return
	}
	for k, n := range x.seen {
		d.removeCounted(k, n)
	}
}

// settle turns many exact values into a sketch, for good. Only accumulators that
// nothing is removed from any more may be settled.
func (d *distinct) settle(most int) {
	if d.sketch == nil && len(d.seen) <= most && len(d.sketches) == 0 {
		return
	}
	if d.sketch == nil {
		d.sketch = newSketch()
	}
	d.fill(d.sketch)
	d.seen, d.sketches, d.whole, d.estimate = map[any]int{}, nil, nil, 0
}

// fill adds the values to a sketch.
func (d *distinct) fill(s *hyperloglog.Sketch) {
	for k := range d.seen {
		s.Insert(scalarBytes(k))
	}
	for _, x := range d.sketches {
		x.fill(s)
	}
	if d.sketch != nil && d.sketch != s {
		if err := s.Merge(d.sketch); err != nil {
			panic(err) // of one precision, always
		}
	}
}

func (d *distinct) clone() accumulator {
	out := &distinct{seen: make(map[any]int, len(d.seen)), sketches: slices.Clone(d.sketches)}
	for k, n := range d.seen {
		out.seen[k] = n
	}
	if d.sketch != nil {
		out.sketch = d.sketch.Clone()
	}
	return out
}

// value is the number of different values. An estimate takes a tenth of a
// millisecond, so one is used again until its own error could have come in; the
// same holds for values that left the window.
func (d *distinct) value() any {
	if !d.approximate() {
		return len(d.seen)
	}
	from := d.sketch
	if from == nil || len(d.seen)+len(d.sketches) > 0 {
		if d.whole == nil || float64(d.stale) > sketchError*float64(len(d.seen)) {
			d.whole, d.stale, d.estimate = newSketch(), 0, 0
			d.fill(d.whole)
		}
		from = d.whole
	}
	if d.estimate == 0 || float64(d.since) > sketchError/4*float64(d.estimate) {
		d.estimate, d.since = int(from.Estimate()), 0
	}
	return d.estimate
}

// approximate tells that the value is an estimate.
func (d *distinct) approximate() bool { return d.sketch != nil || len(d.sketches) > 0 }

func newSketch() *hyperloglog.Sketch {
	s, err := hyperloglog.NewSketch(sketchPrecision, true)
	if err != nil {
		panic(err) // the precision is one that the library knows
	}
	return s
}

// scalarBytes tells scalars of every type apart.
func scalarBytes(v any) []byte {
	switch v := v.(type) {
	case string:
		return append([]byte{'s'}, v...)
	case float64:
		return binary.LittleEndian.AppendUint64([]byte{'n'}, math.Float64bits(v))
	case bool:
		if v {
			return []byte{'t'}
		}
		return []byte{'f'}
	}
	return nil
}

type valueList struct {
	seen map[any]bool
	list []any
}

func (l *valueList) add(v any) {
	each(v, func(k any) {
		if len(l.list) < maxValues && !l.seen[k] {
			l.seen[k] = true
			l.list = append(l.list, k)
		}
	})
}
func (l *valueList) merge(o accumulator) {
	for _, v := range o.(*valueList).list {
		l.add(v)
	}
}
func (l *valueList) clone() accumulator {
	out := &valueList{seen: map[any]bool{}}
	out.merge(l)
	return out
}
func (l *valueList) value() any { return slices.Clone(l.list) }

type extreme struct {
	sign float64
	set  bool
	best float64
}

func (e *extreme) add(v any) {
	if n, ok := number(v); ok && (!e.set || n*e.sign > e.best*e.sign) {
		e.set, e.best = true, n
	}
}
func (e *extreme) merge(o accumulator) {
	if x := o.(*extreme); x.set {
		e.add(x.best)
	}
}
func (e *extreme) clone() accumulator { out := *e; return &out }
func (e *extreme) value() any {
	if !e.set {
		return nil
	}
	return e.best
}

type mean struct {
	total bool
	sum   float64
	n     int
}

func (m *mean) add(v any) {
	if x, ok := number(v); ok {
		m.sum += x
		m.n++
	}
}
func (m *mean) merge(o accumulator) {
	m.sum += o.(*mean).sum
	m.n += o.(*mean).n
}
func (m *mean) clone() accumulator { out := *m; return &out }
func (m *mean) value() any {
	switch {
	case math.IsInf(m.sum, 0) || math.IsNaN(m.sum) || m.n == 0 && !m.total:
		return nil
	case m.total:
		return m.sum
	}
	return m.sum / float64(m.n)
}

type edge struct {
	last bool
	v    any
}

func (e *edge) add(v any) {
	if v != nil && (e.last || e.v == nil) {
		e.v = v
	}
}
func (e *edge) merge(o accumulator) { e.add(o.(*edge).v) }
func (e *edge) clone() accumulator  { out := *e; return &out }
func (e *edge) value() any          { return e.v }

// each visits the scalars in v: v itself, or its elements when it is an array.
func each(v any, visit func(any)) {
	switch v := v.(type) {
	case string, float64, bool:
		visit(v)
	case int:
		visit(float64(v))
	case []any:
		for _, e := range v {
			each(e, visit)
		}
	}
}
