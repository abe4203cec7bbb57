package logstream

import (
	"encoding/binary"
	"errors"
	"iter"
	"slices"
)

// A DedupeCapture is the ids that a [Dedupe] remembered at one instant. It may be
// read by another goroutine while the Dedupe goes on.
type DedupeCapture struct {
	young [][]uint64
	old   []uint64 // slots, 0 where none is
}

// Capture returns what is remembered now, without copying it.
func (d *Dedupe) Capture() DedupeCapture {
	return DedupeCapture{young: slices.Clone(d.order), old: d.old.slots}
}

// A part of a capture begins with these bytes.
const (
	youngPart = 2
	oldPart   = 3
)

// Parts yields the capture in parts of at most 256 KiB and a byte, for
// [Dedupe.Restore]. A part is valid until the next.
func (c DedupeCapture) Parts() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		part := make([]byte, 0, 1+8*orderBlock)
		write := func(kind byte, hashes []uint64) bool {
			part = append(part[:0], kind)
			for _, h := range hashes {
				if h != 0 {
					part = binary.LittleEndian.AppendUint64(part, h)
				}
			}
			return len(part) == 1 || yield(part)
		}
		for slots := range slices.Chunk(c.old, orderBlock) {
			if !write(oldPart, slots) {
				return
			}
		}
		for _, block := range c.young {
			if !write(youngPart, block) {
				return
			}
		}
	}
}

var errDedupe = errors.New("restore seen log_ids: the data is damaged or of another version")

// Restore remembers the ids of one part of a capture. The bound stays d's own:
// what is beyond it is dropped. After an error nothing was added.
func (d *Dedupe) Restore(part []byte) error {
	if len(part) == 0 || len(part)%8 != 1 {
		return errDedupe
	}
	kind, hashes := part[0], part[1:]
	if kind != youngPart && kind != oldPart {
		return errDedupe
	}
	for ; len(hashes) > 0; hashes = hashes[8:] {
		h := binary.LittleEndian.Uint64(hashes)
		switch {
		case kind == youngPart && d.young.n < max(d.half, 1) && !d.young.has(h):
			d.remember(h)
		case kind == oldPart && d.old.n < max(d.half, 1):
			d.old.add(h)
		}
	}
	return nil
}
