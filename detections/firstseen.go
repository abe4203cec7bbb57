package detections

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// firstSeen is the machine of values that are new to their group: the first
// country of a user, the first network of an administrator. It remembers each
// value until it was not seen for `forget`, and says nothing while the group
// itself is younger than `learn`. It also knows the event before, for travel.
type firstSeen struct {
	walk
	born  int64 // time of the group's first event
	last  int64 // and of its last
	known map[string]sighting
	prev  *place
	shed  int64

	margin int64 // how far back events may still be under way; 0 behind the watermark
	unsure bool  // such an event could have made the news that opened the episode known
}

var _ machine = (*firstSeen)(nil)

// sighting is when a value was seen first and last.
type sighting struct{ first, last int64 }

// place is where and when the group was seen.
type place struct {
	t        int64
	lat, lon float64
}

// maxKnown bounds the values that one group remembers. The one not seen for
// longest goes first.
const maxKnown = 500

func (f *firstSeen) clone() machine {
	out := *f
	out.walk = f.copied()
	out.known = maps.Clone(f.known)
	return &out
}

func (f *firstSeen) advance(entries []entry, until int64, v *evaluator, visit func(outcome)) {
	for f.hi < len(entries) && entries[f.hi].t <= until {
		e := &entries[f.hi]
		f.expire(e.t-1, visit)
		f.hi++
		news, sure := f.see(e, v)
		switch {
		case news && f.ep == nil:
			f.unsure = !sure
			f.open(e.t, e.isLate()).absorb(e)
			visit(outcome{})
		case news:
			f.ep.absorb(e)
			f.ep.lastTrue = max(f.ep.lastTrue, e.t)
		}
	}
	f.expire(until, visit)
}

// see takes note of an event, and tells whether its value is news, and whether it
// is whatever is still under way: the same value, seen while the group learned or
// before it was forgotten, would make it known.
func (f *firstSeen) see(e *entry, v *evaluator) (news, sure bool) {
	value, ok := keyText(f.c.keptOf(e)[0])
	if !ok {
		return false, false
	}
	if len(f.known) == 0 || e.t-f.last >= f.c.Forget.Milliseconds() {
		f.known, f.prev, f.born, f.last = map[string]sighting{}, nil, e.t, e.t // all is forgotten
	}
	f.born, f.last = min(f.born, e.t), max(f.last, e.t)
	s, known := f.known[value]
	known = known && e.t-s.last < f.c.Forget.Milliseconds() // one that was seen later counts too
	learned := e.t-f.born >= f.c.Learn.Milliseconds()
	news = !known && learned && f.holds(e, v)
	under := e.t - f.margin
	sure = under-f.born >= f.c.Learn.Milliseconds() && (s == sighting{} || under-s.last >= f.c.Forget.Milliseconds())
	if !known {
		s = sighting{e.t, e.t}
	}
	f.known[value] = sighting{min(s.first, e.t), max(s.last, e.t)}
	if len(f.known) > maxKnown {
		f.forgetOldest()
	}
	if p, ok := f.c.placeOf(e); ok && (f.prev == nil || p.t >= f.prev.t) {
		f.prev = &p
	}
	return news, sure
}

// holds evaluates having, which may ask how far and how fast the group moved.
func (f *firstSeen) holds(e *entry, v *evaluator) bool {
	if f.c.having == nil {
		return true
	}
	v.agg.clear()
	if p, ok := f.c.placeOf(e); ok && f.prev != nil {
		km := distanceKM(f.prev.lat, f.prev.lon, p.lat, p.lon)
		v.agg.set(nameTravelKM, km)
		v.agg.set(nameTravelHours, math.Abs(float64(p.t-f.prev.t))/3_600_000)
		// A minute at least: two events of one second are not at the speed of light.
		v.agg.set(nameTravelKMH, km/max(math.Abs(float64(p.t-f.prev.t))/3_600_000, 1.0/60))
	}
	ok, err := f.c.having.holds(v.agg)
	if err != nil {
		v.fail(f.c, err)
	}
	v.judged(f.c, e.t, ok)
	return ok
}

// What having may ask of a first_seen rule, as functions without arguments.
const (
	nameTravelKM    = "travel_km"
	nameTravelHours = "travel_hours"
	nameTravelKMH   = "travel_kmh"
)

func (f *firstSeen) forgetOldest() {
	oldest := slices.MinFunc(slices.Collect(maps.Keys(f.known)), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.known[a].last, f.known[b].last), cmp.Compare(a, b))
	})
	delete(f.known, oldest)
	f.shed++
}

// distanceKM is the length of the great circle between two places in degrees.
func distanceKM(lat1, lon1, lat2, lon2 float64) float64 {
	const radius, degree = 6371.0, math.Pi / 180
	a := math.Sin((lat2 - lat1) * degree / 2)
	b := math.Sin((lon2 - lon1) * degree / 2)
	h := a*a + math.Cos(lat1*degree)*math.Cos(lat2*degree)*b*b
	return 2 * radius * math.Asin(min(1, math.Sqrt(h)))
}

func (f *firstSeen) slip([]entry, int, *evaluator) bool { return false }

func (f *firstSeen) takeLate(*entry, int) bool { return false }

func (f *firstSeen) finished(entries []entry, _ int64) bool { return f.hi == len(entries) }

func (f *firstSeen) done([]entry, int64) int { return f.hi }

func (f *firstSeen) shift(_ []entry, n int) { f.lo, f.hi = 0, f.hi-n }

func (f *firstSeen) next(entries []entry) int64 {
	if f.hi < len(entries) {
		return entries[f.hi].t
	}
	return 0
}

// until is the watermark at which nothing that is remembered matters any more.
func (f *firstSeen) until() int64 {
	return f.last + f.c.Forget.Milliseconds()
}

func (f *firstSeen) encode(enc *encoder) {
	enc.int(f.born)
	enc.int(f.last)
	enc.int(f.shed)
	enc.bool(f.unsure)
	enc.bool(f.prev != nil)
	if f.prev != nil {
		enc.int(f.prev.t)
		enc.float(f.prev.lat)
		enc.float(f.prev.lon)
	}
	enc.len(len(f.known))
	for _, value := range keys(f.known) {
		enc.string(value)
		enc.int(f.known[value].first - f.born)
		enc.int(f.known[value].last - f.born)
	}
}

func (f *firstSeen) decode(d *decoder, _ []entry, _ *evaluator) {
	f.born, f.last, f.shed, f.unsure = d.int(), d.int(), d.int(), d.bool()
	if d.bool() {
		f.prev = &place{d.int(), d.float(), d.float()}
	}
	for range d.len() {
		value := d.string()
		f.known[value] = sighting{f.born + d.int(), f.born + d.int()}
	}
}
