package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"portcullis/detections"
	"portcullis/logstream"
)

const (
	// sliceTime is how long the intake is kept from its events at a time while a
	// snapshot is made.
	sliceTime = 3 * time.Millisecond
	// partsAhead is how many parts of the engine's state may wait for the store.
	partsAhead = 16
)

// saving is a snapshot on its way: of the instant at which it began, encoded in
// slices between the intake's batches, and written by a goroutine of its own.
type saving struct {
	head   []byte // the frames of what is small
	seen   logstream.DedupeCapture
	engine *detections.Capture
	parts  chan []byte                 // of the engine
	next   []byte                      // the part that parts has no room for yet; nil after the last
	fresh  int                         // events since the snapshot before
	found  func(context.Context) error // waits until what was found before is in the journal
	stop   context.CancelCauseFunc
	size   int64      // of what was written; read it once kept has told
	kept   chan error // what became of it
}

// head writes what a snapshot holds beside the log_ids and the engine.
func (in *intake) head() ([]byte, error) {
	b := appendFrame([]byte(snapshotMagic), framePosition, binary.LittleEndian.AppendUint64(nil, in.position))
	for _, source := range sortedKeys(in.life.t.monitors) {
		state, err := in.life.t.monitors[source].MarshalBinary()
		if err != nil {
			return nil, err
		}
		b = appendFrame(b, frameFeed, append(append([]byte(source), 0), state...))
	}
	people, err := in.life.t.people.healthy.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b = appendFrame(b, framePeople, people)
	changes, err := in.life.unanswered.encode()
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		b = appendFrame(b, frameChange, c)
	}
	return b, nil
}

// begin begins a snapshot of the state as it is now.
func (in *intake) begin(ctx context.Context) error {
	head, err := in.head()
	if err != nil {
		return err
	}
	engine, err := in.engine.Capture()
	if err != nil {
		return err
	}
	s := &saving{head: head, seen: in.seen.Capture(), engine: engine, parts: make(chan []byte, partsAhead), kept: make(chan error, 1), fresh: in.fresh}
	found := in.life.findings.mark()
	s.found = func(ctx context.Context) error { return in.life.findings.reached(ctx, found) }
	ctx, s.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	in.saving, in.fresh, in.savedAt = s, 0, time.Now()
	in.slice()
	go func() {
		r, w := io.Pipe()
		go func() { w.CloseWithError(s.write(ctx, w)) }()
		err := in.life.t.daemon.journal.PutSnapshot(ctx, in.life.snapshotName(), r)
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		s.kept <- err
	}()
	return nil
}

// slice makes the next part of the snapshot.
func (in *intake) slice() {
	s := in.saving
	part, more, err := s.engine.Next(sliceTime)
	switch {
	case err != nil:
		s.next = nil
		s.stop(err)
	case more:
		s.next = part
	default:
		s.next = nil
		close(s.parts)
	}
}

// write writes the snapshot, the engine's parts as they come.
func (s *saving) write(ctx context.Context, w io.Writer) error {
	if _, err := w.Write(s.head); err != nil {
		return err
	}
	s.size += int64(len(s.head))
	frame := func(kind byte, body []byte) error {
		s.size += frameHead + int64(len(body))
		return writeFrame(w, kind, body)
	}
	for part := range s.seen.Parts() {
		if err := frame(frameSeen, part); err != nil {
			return err
		}
	}
	for {
		select {
		case part, more := <-s.parts:
			if !more {
				if err := s.found(ctx); err != nil {
					return err
				}
				return frame(frameEnd, nil)
			}
			if err := frame(frameEngine, part); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// saved takes note of what became of the snapshot that was on its way.
func (in *intake) saved(err error) {
	s := in.saving
	in.saving = nil
	s.engine.Abandon()
	s.stop(nil)
	if err != nil {
		in.missed += s.fresh
		return
	}
	in.missed = 0
	in.counts.Snapshots++
	in.counts.SavedBytes = s.size
}

// abandon gives up the snapshot that is on its way, if one is.
func (in *intake) abandon() {
	if in.saving != nil {
		in.saving.stop(errStopping)
		in.saved(<-in.saving.kept)
	}
}

// save writes the state and waits: the last thing before a stop.
func (in *intake) save(ctx context.Context) error {
	if in.fresh+in.missed == 0 {
		return nil
	}
	err := in.begin(ctx)
	if err == nil {
		err = in.finish(ctx)
	}
	if err != nil {
		return fmt.Errorf("keep the engine's state: %w", err)
	}
	return nil
}

// finish makes what is left of the snapshot that was begun, and waits for it.
func (in *intake) finish(ctx context.Context) error {
	s := in.saving
	for {
		parts := s.parts
		if s.next == nil {
			parts = nil
		}
		select {
		case parts <- s.next:
			in.slice()
		case err := <-s.kept:
			in.saved(err)
			return err
		case <-ctx.Done():
			in.abandon()
			return ctx.Err()
		}
	}
}
