package detections

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// newAccumulator makes an empty accumulator of an aggregate's function.
func newAccumulator(fn string) accumulator {
	if p, ok := strings.CutPrefix(fn, "percentile:"); ok {
		percent, _ := strconv.ParseFloat(p, 64) // the compiler wrote it
		return newQuantile(percent)
	}
	return aggregateFuncs[fn].make()
}

// quantile knows how often each number came. Numbers are kept as they are up to
// maxExact different ones, and to three digits beyond: an error of half a per cent.
type quantile struct {
	percent float64
	seen    map[float64]int
	n       int
	rounded bool
}

func newQuantile(percent float64) *quantile {
	return &quantile{percent: percent, seen: map[float64]int{}}
}

func (q *quantile) add(v any) {
	if x, ok := number(v); ok && !math.IsNaN(x) && !math.IsInf(x, 0) {
		q.put(x, 1)
	}
}

func (q *quantile) put(x float64, n int) {
	if q.rounded {
		x = threeDigits(x)
	}
	q.seen[x] += n
	q.n += n
	if !q.rounded && len(q.seen) > maxExact {
		q.round()
	}
}

func (q *quantile) round() {
	was := q.seen
	q.rounded, q.seen, q.n = true, map[float64]int{}, 0
	for x, n := range was {
		q.put(x, n)
	}
}

func threeDigits(x float64) float64 {
	out, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'e', 2, 64), 64)
	return out
}

func (q *quantile) merge(o accumulator) {
	from := o.(*quantile)
	if from.rounded && !q.rounded {
		q.round()
	}
	for x, n := range from.seen {
		q.put(x, n)
	}
}

func (q *quantile) clone() accumulator {
	out := newQuantile(q.percent)
	out.rounded = q.rounded
	out.merge(q)
	return out
}

// value is the smallest number that so many per cent of all do not exceed. The
// median of an even count is the mean of the two in the middle.
func (q *quantile) value() any {
	if q.n == 0 {
		return nil
	}
	sorted := make([]float64, 0, len(q.seen))
	for x := range q.seen {
		sorted = append(sorted, x)
	}
	slices.Sort(sorted)
	rank := max(1, int(math.Ceil(q.percent/100*float64(q.n))))
	v := q.at(sorted, rank)
	if q.percent == 50 && q.n%2 == 0 {
		v += (q.at(sorted, rank+1) - v) / 2
	}
	return v
}

// at is the number of a rank, from 1.
func (q *quantile) at(sorted []float64, rank int) float64 {
	for _, x := range sorted {
		if rank -= q.seen[x]; rank <= 0 {
			return x
		}
	}
	return sorted[len(sorted)-1]
}

func (q *quantile) encode(e *encoder) {
	keys := make([]float64, 0, len(q.seen))
	for x := range q.seen {
		keys = append(keys, x)
	}
	slices.Sort(keys)
	e.bool(q.rounded)
	e.len(len(keys))
	for _, x := range keys {
		e.float(x)
		e.int(int64(q.seen[x]))
	}
}

func (q *quantile) decode(d *decoder) {
	q.rounded = d.bool()
	for range d.len() {
		x, n := d.float(), int(d.int())
		if d.err != nil || n <= 0 || math.IsNaN(x) {
			d.fail()
			return
		}
		q.seen[x] += n
		q.n += n
	}
}
