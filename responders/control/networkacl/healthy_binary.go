package networkacl

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// healthyFormat is the version of the form in which a memory is written.
const healthyFormat = 1

// keySize is a key and its count.
const keySize = 8 + 4

var errHealthy = errors.New("the memory of healthy logins is damaged or of another version")

// MarshalBinary writes what is remembered. It is quick: only the days that changed
// are written anew.
func (h *Healthy) MarshalBinary() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.state
	size := 64 + len(s.Marked)*(8+binary.MaxVarintLen64) + len(s.Own)*(1+16+binary.MaxVarintLen64)
	for _, d := range s.Days {
		size += len(d.Counts)*keySize + 5*binary.MaxVarintLen64
	}
	b := append(make([]byte, 0, size), healthyFormat)
	b = binary.AppendVarint(b, s.Since.UnixMilli())
	b = binary.AppendUvarint(b, uint64(len(s.Days)))
	for n, d := range s.Days {
		b = append(binary.AppendVarint(b, n), d.write()...)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Marked)))
	for k, n := range s.Marked {
		b = binary.AppendVarint(binary.LittleEndian.AppendUint64(b, k), n)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Own)))
	for a, n := range s.Own {
		b = append(append(b, byte(a.BitLen()/8)), a.AsSlice()...)
		b = binary.AppendVarint(b, n)
	}
	return b, nil
}

func (d *day) write() []byte {
	if d.written == nil {
		b := make([]byte, 0, len(d.Counts)*keySize+3*binary.MaxVarintLen64)
		for _, n := range []int{d.Total, d.Lost, len(d.Counts)} {
			b = binary.AppendUvarint(b, uint64(n))
		}
		for k, n := range d.Counts {
			b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(b, k), n)
		}
		d.written = b
	}
	return d.written
}

// UnmarshalBinary puts back what was written. After an error nothing is known.
func (h *Healthy) UnmarshalBinary(data []byte) error {
	r := &healthyReader{left: data}
	s := r.state()
	var err error
	if r.bad || len(r.left) > 0 {
		s, err = healthyState{}, errHealthy
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = s
	return err
}

// healthyReader reads what was written; bad says that it is not that.
type healthyReader struct {
	left []byte
	bad  bool
}

func (r *healthyReader) bytes(n int) []byte {
	if n < 0 || n > len(r.left) {
		r.bad, r.left = true, nil
		return make([]byte, 16) // of no account
	}
	out := r.left[:n]
	r.left = r.left[n:]
	return out
}

func (r *healthyReader) varint() int64 {
	v, n := binary.Varint(r.left)
	r.bytes(max(n, -1))
	r.bad = r.bad || n <= 0
	return v
}

// count reads how many things of a size at least follow.
func (r *healthyReader) count(size int) int {
	v, n := binary.Uvarint(r.left)
	r.bytes(max(n, -1))
	if n <= 0 || v > uint64(len(r.left)/size) {
		r.bad, r.left = true, nil
		return 0
	}
	return int(v)
}

// number reads a count of things that are past.
func (r *healthyReader) number() int {
	v, n := binary.Uvarint(r.left)
	r.bytes(max(n, -1))
	r.bad = r.bad || n <= 0 || v > 1<<40
	return int(v)
}

func (r *healthyReader) state() healthyState {
	var s healthyState
	if r.bytes(1)[0] != healthyFormat {
		r.bad = true
		return s
	}
	if ms := r.varint(); ms != (time.Time{}).UnixMilli() {
		s.Since = time.UnixMilli(ms).UTC()
	}
	for range r.count(4) {
		n, d := r.varint(), &day{Counts: map[uint64]uint32{}}
		d.Total, d.Lost = r.number(), r.number()
		entries := r.bytes(r.count(keySize) * keySize)
		for e := range slices.Chunk(entries, keySize) {
			if len(e) == keySize {
				d.Counts[binary.LittleEndian.Uint64(e)] = binary.LittleEndian.Uint32(e[8:])
			}
		}
		if s.Days == nil {
			s.Days = map[int64]*day{}
		}
		s.Days[n] = d
	}
	for range r.count(9) {
		if s.Marked == nil {
			s.Marked = map[uint64]int64{}
		}
		k := binary.LittleEndian.Uint64(r.bytes(8))
		s.Marked[k] = r.varint()
	}
	for range r.count(6) {
		a, ok := netip.AddrFromSlice(r.bytes(int(r.bytes(1)[0])))
		n := r.varint()
		r.bad = r.bad || !ok
		if s.Own == nil {
			s.Own = map[netip.Addr]int64{}
		}
		s.Own[a] = n
	}
	return s
}
