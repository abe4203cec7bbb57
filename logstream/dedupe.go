package logstream

import "math/bits"

// Dedupe remembers log_ids. It keeps a 64-bit hash of each in two generations:
// when the younger holds half of the bound the older is forgotten, so the last
// half of the bound is always remembered and never more than the bound.
//
// An id takes 11 to 22 bytes, and 8 more while it is in the younger generation;
// the default bound of 2,000,000 ids comes to 42 MB, which are taken as ids
// arrive. A new id is taken for a known one when two hashes meet: with 2,000,000
// remembered the odds are 1 in 9·10¹² an event, about one event lost in 300
// years at 1,000 a second. The hash is fixed, so that a saved Dedupe works
// after a restart, and so not proof against ids made to collide; log_ids are
// made by Auth0 and not by its users.
//
// It is not safe for concurrent use.
type Dedupe struct {
	half       int
	young, old hashSet
	order      [][]uint64 // the younger generation as it came, in blocks that are only appended to
}

// orderBlock is how many hashes a block of the order has.
const orderBlock = 1 << 15

// NewDedupe returns a Dedupe for at most max ids; 2,000,000 if max is not positive.
func NewDedupe(max int) *Dedupe {
	if max <= 0 {
		max = 2_000_000
	}
	return &Dedupe{half: (max + 1) / 2}
}

// Seen remembers id and reports whether it was remembered already.
func (d *Dedupe) Seen(id string) bool {
	h := hash64(id)
	if d.young.has(h) {
		return true
	}
	known := d.old.has(h)
	if d.young.n >= d.half {
		// The older generation is left as it is: a capture may still read it.
		d.old, d.young, d.order = d.young, hashSet{slots: make([]uint64, len(d.young.slots))}, nil
	}
	d.remember(h)
	return known
}

// remember adds a hash to the younger generation.
func (d *Dedupe) remember(h uint64) {
	h = max(h, 1) // 0 is no hash
	d.young.add(h)
	last := len(d.order) - 1
	if last < 0 || len(d.order[last]) == orderBlock {
		d.order = append(d.order, nil)
		last++
	}
	d.order[last] = append(d.order[last], h)
}

// Has reports whether id is remembered, and changes nothing.
func (d *Dedupe) Has(id string) bool {
	h := hash64(id)
	return d.young.has(h) || d.old.has(h)
}

// Len returns how many ids are remembered, counting those in both generations twice.
func (d *Dedupe) Len() int { return d.young.n + d.old.n }

// A hashSet is a set of hashes with open addressing. 0 marks a free slot, so
// a hash of 0 counts as 1.
type hashSet struct {
	slots []uint64 // a power of two, at most three quarters taken
	n     int
}

func (s *hashSet) has(h uint64) bool {
	if s.n == 0 {
		return false
	}
	return s.slots[s.slot(max(h, 1))] != 0
}

// slot returns where h is, or the free slot where it belongs.
func (s *hashSet) slot(h uint64) int {
	mask := len(s.slots) - 1
	i := int(h) & mask
	for s.slots[i] != 0 && s.slots[i] != h {
		i = (i + 1) & mask
	}
	return i
}

func (s *hashSet) add(h uint64) {
	h = max(h, 1)
	if 4*(s.n+1) > 3*len(s.slots) {
		s.grow()
	}
	if i := s.slot(h); s.slots[i] == 0 {
		s.slots[i] = h
		s.n++
	}
}

func (s *hashSet) grow() {
	old := s.slots
	s.slots = make([]uint64, max(64, 2*len(old)))
	for _, h := range old {
		if h != 0 {
			s.slots[s.slot(h)] = h
		}
	}
}

// hash64 is a fixed 64-bit hash: each eight bytes are mixed in by a 64 × 64
// multiplication whose halves are folded together.
func hash64(s string) uint64 {
	const k0, k1 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93 // odd, bits evenly spread
	h := uint64(len(s)) * k1
	for len(s) >= 8 {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		h = fold(h^w, k0) + k1
		s = s[8:]
	}
	var w uint64
	for i := range len(s) {
		w |= uint64(s[i]) << (8 * i)
	}
	return fold(fold(h^w, k0)^k1, k0)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
