package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"portcullis/detections"
	"portcullis/internal/journal"
)

// findings writes every change of an alert to the journal, as it was found: what
// the responder made of it is in the deeds. The engine does not wait for it. A
// snapshot does: the engine that is restored from one does not make again what
// came before.
type findings struct {
	tenant *tenant

	mu      sync.Mutex // guards what follows
	waiting []detections.Change
	told    uint64        // changes there were
	written uint64        // of these, in the journal
	moved   chan struct{} // closed, and another in its place, when one of them grows
}

func newFindings(t *tenant) *findings { return &findings{tenant: t, moved: make(chan struct{})} }

// add takes a change to write.
func (f *findings) add(c detections.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = append(f.waiting, c)
	f.told++
	f.move()
}

// move wakes who waits. mu is held.
func (f *findings) move() {
	close(f.moved)
	f.moved = make(chan struct{})
}

// mark is how many changes there were so far.
func (f *findings) mark() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told
}

// reached waits until so many changes are written.
func (f *findings) reached(ctx context.Context, mark uint64) error {
	for {
		f.mu.Lock()
		done, moved := f.written >= mark, f.moved
		f.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// run writes until ctx ends, and then what waits. What the store does not take
// is tried again: the changes after it must not overtake it.
func (f *findings) run(ctx context.Context) error {
	failing := false
	for {
		f.mu.Lock()
		moved, n := f.moved, len(f.waiting)
		var next detections.Change
		if n > 0 {
			next = f.waiting[0]
		}
		f.mu.Unlock()
		if n == 0 {
			select {
			case <-moved:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		err := f.write(context.WithoutCancel(ctx), next)
		if err == nil {
			f.wrote()
			failing = false
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		if !failing {
			f.tenant.log.Error("findings not journaled, trying on", "err", err)
		}
		failing = true
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// wrote notes that the first change that waited is written.
func (f *findings) wrote() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = f.waiting[1:]
	f.written++
	f.move()
}

func (f *findings) write(ctx context.Context, c detections.Change) error {
	_, err := f.tenant.daemon.journal.AppendFinding(ctx, f.tenant.name, c.ID(), storedChange{c.Transition, storedAlert{c.Alert, c.Alert.Title}})
	if errors.Is(err, journal.ErrTooLarge) || errors.Is(err, journal.ErrInvalid) { // never will it be taken
		f.tenant.log.Error("finding not journaled", "change", c.ID(), "err", err)
		return nil
	}
	return err
}

// readFindings calls visit with the changes of a tenant's alerts, or of all
// tenants' if tenant is "", in order. One can come again after a crash.
func readFindings(ctx context.Context, j *journal.Journal, tenant string, visit func(detections.Change) error) error {
	return j.ReadFindings(ctx, tenant, func(seq uint64, _ time.Time, doc json.RawMessage) error {
		c, err := decodeChange(doc)
		if err != nil {
			return fmt.Errorf("finding %d: %w", seq, err)
		}
		return visit(c)
	})
}
