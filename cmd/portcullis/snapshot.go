package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// A snapshot is what a start needs beside the journal. It is a sequence of frames
// behind a line of text, so that it is written as it is made and read as it
// comes. A frame is its kind, the length of its body (4 bytes, little endian),
// the CRC-32C of both and the body, and the body.
const snapshotMagic = "portcullis snapshot 1\n"

// The kinds of frames, in the order in which they come.
const (
	framePosition byte = 'p' // of the last bundle that the engine has seen: 8 bytes, little endian
	frameFeed     byte = 'f' // a monitor: its source, a zero, and its state; one for each
	frameChange   byte = 'c' // a change of an alert that the responder had not kept, in order
	framePeople   byte = 'h' // who logged in of late, see networkacl.Healthy; one at most
	frameSeen     byte = 's' // a part of the log_ids
	frameEngine   byte = 'e' // a part of the engine's state
	frameEnd      byte = 'z' // the last, empty
)

const frameHead = 1 + 4 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frameHeader is what stands before a body.
func frameHeader(kind byte, body []byte) (head [frameHead]byte) {
	head[0] = kind
	binary.LittleEndian.PutUint32(head[1:], uint32(len(body)))
	binary.LittleEndian.PutUint32(head[5:], crc32.Update(crc32.Checksum(head[:5], castagnoli), castagnoli, body))
	return head
}

func appendFrame(to []byte, kind byte, body []byte) []byte {
	head := frameHeader(kind, body)
	return append(append(to, head[:]...), body...)
}

func writeFrame(w io.Writer, kind byte, body []byte) error {
	head := frameHeader(kind, body)
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

var errSnapshot = errors.New("the snapshot is damaged or of another version")

// frame is one part of a snapshot.
type frame struct {
	kind byte
	body []byte
}

// readFrames calls take with each frame of a snapshot but the last, which it
// proves to be there, with nothing behind it. Bodies are take's to keep.
func readFrames(r io.Reader, take func(frame) error) error {
	magic := make([]byte, len(snapshotMagic))
	if err := readAll(r, magic); err != nil {
		return err
	}
	if string(magic) != snapshotMagic {
		return errSnapshot
	}
	for {
		f, err := readFrame(r)
		if err != nil {
			return err
		}
		if f.kind == frameEnd {
			break
		}
		if err := take(f); err != nil {
			return err
		}
	}
	switch n, err := io.ReadFull(r, magic[:1]); {
	case n > 0:
		return errSnapshot
	case err != io.EOF:
		return err // the store proves all of it with its end
	}
	return nil
}

func readFrame(r io.Reader) (f frame, err error) {
	var head [frameHead]byte
	if err := readAll(r, head[:]); err != nil {
		return f, err
	}
	f.kind = head[0]
	// A length that is damaged must not take more memory than the snapshot has bytes.
	for left := int(binary.LittleEndian.Uint32(head[1:])); left > 0; {
		n := min(left, 1<<20)
		f.body = slices.Grow(f.body, n)
		f.body = f.body[:len(f.body)+n]
		if err := readAll(r, f.body[len(f.body)-n:]); err != nil {
			return f, err
		}
		left -= n
	}
	if frameHeader(f.kind, f.body) != head {
		return f, errSnapshot
	}
	return f, nil
}

// readAll fills b. A snapshot that ends before is damaged.
func readAll(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", errSnapshot)
	}
	return err
}
