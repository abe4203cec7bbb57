package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"portcullis/detections"
	"portcullis/internal/journal"
	"portcullis/logstream"
)

// bundlesAhead is how many bundles are read and decoded while one is evaluated.
const bundlesAhead = 8

// replayed is a bundle of the journal, decoded.
type replayed struct {
	seq     uint64
	arrived time.Time
	clock   time.Time
	events  []logstream.Event
}

// replay evaluates what the journal has past the intake's position and arrived
// since then, and was not seen. It is read and decoded ahead, on another core.
func (l *life) replay(ctx context.Context, since time.Time) (events int, err error) {
	in := l.intake
	ahead := make(chan replayed, bundlesAhead)
	after := in.position
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(ahead)
		return l.t.daemon.journal.ReplayBundles(ctx, l.t.name, after, since, func(b journal.Bundle) error {
			r := replayed{seq: b.Seq, arrived: b.Arrived, clock: b.Clock, events: make([]logstream.Event, 0, len(b.Events))}
			for _, raw := range b.Events {
				ev, err := logstream.Decode(raw)
				if err != nil {
					return fmt.Errorf("event in the journal at %d: %w", b.Seq, err)
				}
				r.events = append(r.events, ev)
			}
			select {
			case ahead <- r:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	for r := range ahead {
		l.arrived = r.arrived
		if !r.clock.IsZero() {
			in.engine.Advance(r.clock)
		}
		for i := range r.events {
			if ev := &r.events[i]; !in.seen.Seen(ev.ID) {
				in.engine.Ingest(ev)
				l.hear(ctx, ev)
				l.t.meet(ev, r.arrived)
				events++
			}
		}
		in.position = r.seq
	}
	return events, group.Wait()
}

// restoring is what was read of a snapshot so far.
type restoring struct {
	positions int
	position  uint64
	feeds     map[string][]byte // by source
	changes   []detections.Change
	people    []byte
	seen      *logstream.Dedupe
	engine    *detections.Restoration
}

// framesAhead is how many frames are read and proven while one is restored.
const framesAhead = 8

// loadSnapshot restores the latest snapshot, and reports whether there is one.
// After an error nothing was restored.
func (l *life) loadSnapshot(ctx context.Context) (found bool, err error) {
	r, found, err := l.t.daemon.journal.GetSnapshot(ctx, l.snapshotName())
	if err != nil || !found {
		return false, err
	}
	defer r.Close()
	s := restoring{feeds: map[string][]byte{}, seen: logstream.NewDedupe(maxSeen), engine: l.intake.engine.Restoration()}
	frames := make(chan frame, framesAhead)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(frames)
		return readFrames(r, func(f frame) error {
			select {
			case frames <- f:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	group.Go(func() error {
		for f := range frames {
			if err := s.take(f); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return false, err
	}
	if s.positions != 1 {
		return false, errSnapshot
	}
	if err := s.engine.Finish(); err != nil {
		return false, err
	}
	l.intake.seen, l.intake.position = s.seen, s.position
	if s.people != nil {
		if err := l.t.people.healthy.UnmarshalBinary(s.people); err != nil {
			l.t.log.Warn("healthy logins are learned anew: no addresses are joined into networks until then", "err", err)
		}
	}
	for _, c := range s.changes {
		l.offer(c)
	}
	for name, m := range l.t.monitors {
		if state, known := s.feeds[name]; known {
			if err := m.UnmarshalBinary(state); err != nil {
				l.t.log.Warn("what was usual for the feed is learned anew", "source", name, "err", err)
			}
		}
	}
	return true, nil
}

// take restores one frame.
func (s *restoring) take(f frame) error {
	switch f.kind {
	case framePosition:
		if len(f.body) != 8 {
			return errSnapshot
		}
		s.positions, s.position = s.positions+1, binary.LittleEndian.Uint64(f.body)
	case frameFeed:
		source, state, ok := bytes.Cut(f.body, []byte{0})
		if !ok {
			return errSnapshot
		}
		s.feeds[string(source)] = state
	case frameChange:
		c, err := decodeChange(f.body)
		if err != nil {
			return errors.Join(errSnapshot, err)
		}
		s.changes = append(s.changes, c)
	case framePeople:
		s.people = f.body
	case frameSeen:
		return s.seen.Restore(f.body)
	case frameEngine:
		return s.engine.Part(f.body)
	default:
		return fmt.Errorf("%w: it has a part %q", errSnapshot, f.kind)
	}
	return nil
}
