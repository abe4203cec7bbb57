package logstream

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// Dedupe remembers log_ids. It keeps a 64-bit hash of each in two generations:
// when the younger holds half of the bound the older is forgotten, so the last
// half of the bound is always remembered and never more than the bound.
//
// An id takes 11 to 22 bytes; the default bound of 2,000,000 ids comes to 34 MB,
// which are taken as ids arrive. A new id is taken for a known one when two hashes meet: with 2,000,000
// remembered the odds are 1 in 9·10¹² an event, about one event lost in 300
// years at 1,000 a second. The hash is fixed, so that a saved Dedupe works
// after a restart, and so not proof against ids made to collide; log_ids are
// made by Auth0 and not by its users.
//
// It is not safe for concurrent use.
type Dedupe struct {
	half       int
	young, old hashSet
}

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
		d.young, d.old = d.old, d.young
		d.young.clear()
	}
	d.young.add(h)
	return known
}

// Has reports whether id is remembered, and changes nothing.
func (d *Dedupe) Has(id string) bool {
	h := hash64(id)
	return d.young.has(h) || d.old.has(h)
}

// Len returns how many ids are remembered, counting those in both generations twice.
func (d *Dedupe) Len() int { return d.young.n + d.old.n }

const dedupeVersion = 1

// MarshalBinary returns the remembered ids for [Dedupe.UnmarshalBinary].
func (d *Dedupe) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, 17+8*d.Len())
	b = append(b, dedupeVersion)
	for _, s := range [...]*hashSet{&d.young, &d.old} {
		b = binary.LittleEndian.AppendUint64(b, uint64(s.n))
		for _, h := range s.slots {
			if h != 0 {
				b = binary.LittleEndian.AppendUint64(b, h)
			}
		}
	}
	return b, nil
}

// UnmarshalBinary replaces the remembered ids by those saved. The bound stays
// d's own: what is beyond it is dropped.
func (d *Dedupe) UnmarshalBinary(b []byte) error {
	errBad := errors.New("restore seen log_ids: the data is damaged or of another version")
	if len(b) == 0 || b[0] != dedupeVersion {
		return errBad
	}
	b = b[1:]
	var sets [2]hashSet
	for i := range sets {
		if len(b) < 8 {
			return errBad
		}
		n := binary.LittleEndian.Uint64(b)
		if b = b[8:]; n > uint64(len(b)/8) {
			return errBad
		}
		for range n {
			if sets[i].n < max(d.half, 1) {
				sets[i].add(binary.LittleEndian.Uint64(b))
			}
			b = b[8:]
		}
	}
	if len(b) > 0 {
		return errBad
	}
	d.young, d.old = sets[0], sets[1]
	return nil
}

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

// clear forgets all hashes and keeps the memory.
func (s *hashSet) clear() {
	clear(s.slots)
	s.n = 0
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
