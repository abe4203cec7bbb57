package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"portcullis/detections"
	"portcullis/internal/journal"
	"portcullis/logstream"
)

const (
	// maxSeen bounds the log_ids remembered to recognise what Auth0 delivers
	// again: at least half of it always, 17 bytes each. See docs/operations.md.
	maxSeen = 4_000_000
	// Deliveries that wait are journaled together, up to these bounds: one synced
	// write for many.
	groupEvents     = 4096
	groupDeliveries = 64
	// A snapshot bounds what a start must replay.
	snapshotEvents = 200_000
	snapshotEvery  = time.Minute
)

var errStopping = errors.New("the daemon is stopping")

// intake is the one way into a tenant's journal and engine. Sources hand over
// batches and wait until they are durable; one goroutine owns the engine, so
// the order of the journal is the order of evaluation.
type intake struct {
	life   *life
	engine *detections.Engine
	seen   *logstream.Dedupe

	queue    chan *delivery
	do       chan func()
	gone     chan struct{} // closed when nothing is taken any more
	position uint64
	// doubt is that an append has failed: what was to be written may be in the
	// journal all the same, past position.
	doubt bool

	fresh   int                    // events since the last snapshot was begun
	missed  int                    // events before it that no snapshot answers for
	savedAt time.Time              // when the last was begun
	saving  *saving                // the snapshot on its way; nil while none is
	trouble atomic.Pointer[string] // why the journal cannot be written
	stats   atomic.Pointer[intakeStats]
	counts  intakeStats
}

// intakeStats is what metrics tell of an intake.
type intakeStats struct {
	Events     map[string]int64 // by source
	Duplicates map[string]int64
	Bundles    int64
	Engine     detections.Stats
	OpenAlerts int
	Watermark  time.Time
	Snapshots  int64
	NotSaved   int64 // snapshots that were not kept
	SavedBytes int64
}

// delivery is a batch that a source waits for.
type delivery struct {
	source string
	batch  logstream.Batch
	done   chan error
}

func newIntake(l *life, e *detections.Engine) *intake {
	in := &intake{
		life: l, engine: e, seen: logstream.NewDedupe(maxSeen), queue: make(chan *delivery, groupDeliveries),
		do: make(chan func()), gone: make(chan struct{}), savedAt: time.Now(),
	}
	in.counts.Events, in.counts.Duplicates = map[string]int64{}, map[string]int64{}
	return in
}

// deliver takes a batch in, and returns when it is durable and evaluated.
func (in *intake) deliver(source string) logstream.Deliver {
	return func(ctx context.Context, b logstream.Batch) error {
		d := &delivery{source: source, batch: b, done: make(chan error, 1)}
		select {
		case in.queue <- d:
		case <-in.gone:
			return errStopping
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case err := <-d.done: // not ctx: the intake reads the batch's memory
			return err
		case <-in.gone:
			select { // it may have been taken at the very end
			case err := <-d.done:
				return err
			default:
				return errStopping
			}
		}
	}
}

// patiently delivers for a source that has nobody to send the batch again: while
// the store fails it waits.
func (in *intake) patiently(source string) logstream.Deliver {
	deliver := in.deliver(source)
	return func(ctx context.Context, b logstream.Batch) error {
		for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
			err := deliver(ctx, b)
			if err == nil || ctx.Err() != nil || errors.Is(err, errStopping) || !storeTrouble(err) {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
	}
}

// storeTrouble tells errors that pass when the disk has room again.
func storeTrouble(err error) bool {
	return errors.Is(err, journal.ErrFull) || errors.Is(err, journal.ErrReadOnlyStore)
}

// run owns the engine until ctx ends, and then takes in what waits and saves.
func (in *intake) run(ctx context.Context) error {
	defer close(in.gone)
	defer in.abandon()                  // what is on its way when this ends otherwise than it should
	whole := context.WithoutCancel(ctx) // an append that is cut short may have been written or not
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		var parts chan<- []byte
		var next []byte
		var kept <-chan error
		if s := in.saving; s != nil {
			if kept = s.kept; s.next != nil {
				parts, next = s.parts, s.next
			}
		}
		select {
		case <-ctx.Done():
			in.abandon()
			bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			for {
				select {
				case d := <-in.queue:
					in.take(bound, d)
				default:
					return in.save(bound)
				}
			}
		case d := <-in.queue:
			in.take(whole, d)
		case f := <-in.do:
			f()
		case <-ticker.C:
			in.publish()
		case parts <- next:
			in.slice()
		case err := <-kept:
			if in.saved(err); err != nil {
				in.counts.NotSaved++
				in.life.t.log.Warn("snapshot not kept, the one before it stays", "err", err)
			}
		}
		if in.saving == nil && in.due() {
			if err := in.begin(ctx); err != nil {
				in.counts.NotSaved++
				in.life.t.log.Error("snapshot not made", "err", err)
			}
		}
	}
}

// due tells whether it is time for a snapshot.
func (in *intake) due() bool {
	opts := &in.life.t.daemon.opts
	return in.fresh >= opts.snapshotEvents || in.fresh > 0 && time.Since(in.savedAt) >= opts.snapshotEvery
}

// take journals a delivery together with those that wait behind it, and then
// evaluates them.
func (in *intake) take(ctx context.Context, first *delivery) {
	group := []*delivery{first}
	events := len(first.batch.Events)
gather:
	for len(group) < groupDeliveries && events < groupEvents {
		select {
		case d := <-in.queue:
			group = append(group, d)
			events += len(d.batch.Events)
		default:
			break gather
		}
	}
	for len(group) > 0 { // one bundle for each run of one source
		n := 1
		for n < len(group) && group[n].source == group[0].source {
			n++
		}
		err := in.takeRun(ctx, group[:n])
		for _, d := range group[:n] {
			d.done <- err
		}
		group = group[n:]
	}
}

// takeRun journals and evaluates deliveries of one source.
func (in *intake) takeRun(ctx context.Context, group []*delivery) error {
	now := in.life.t.daemon.opts.now()
	source := group[0].source
	var raws [][]byte
	var fresh []*logstream.Event
	duplicates := int64(0)
	inGroup := map[string]bool{}
	for _, d := range group {
		for i := range d.batch.Events {
			ev := &d.batch.Events[i]
			if inGroup[ev.ID] || in.seen.Has(ev.ID) {
				duplicates++
				continue
			}
			inGroup[ev.ID] = true
			raws = append(raws, journaled(ev))
			fresh = append(fresh, ev)
		}
	}
	if len(raws) > 0 {
		seq, err := in.life.t.daemon.journal.AppendBundle(ctx, in.life.t.name, journal.Bundle{Arrived: now, Clock: in.engine.Clock(), Source: source, Events: raws})
		in.note(err)
		if err != nil {
			in.doubt = true
			return fmt.Errorf("journal %d events: %w", len(raws), err)
		}
		if in.doubt {
			replayed, err := in.life.replay(ctx, time.Time{})
			in.fresh += replayed
			if err != nil {
				return fmt.Errorf("evaluate what was journaled in spite of an error: %w", err)
			}
			in.doubt = false
		}
		in.position = seq
		in.counts.Bundles++
	}
	in.life.arrived = now
	for _, ev := range fresh {
		if !in.seen.Seen(ev.ID) {
			in.engine.Ingest(ev)
			in.life.t.meet(ev, now)
		}
		in.life.hear(ctx, ev)
	}
	in.fresh += len(fresh)
	in.counts.Events[source] += int64(len(fresh))
	in.counts.Duplicates[source] += duplicates
	for _, d := range group {
		if !d.batch.CaughtUp.IsZero() {
			in.engine.Advance(d.batch.CaughtUp)
		}
		in.life.t.monitors[source].Observe(d.batch, now)
	}
	return nil
}

// journaled is an event as the journal holds it. Where its envelope alone bears
// the log_id it keeps one: a recovery must know the event by the same id.
func journaled(ev *logstream.Event) []byte {
	raw := ev.Raw()
	if bytes.Contains(raw, []byte(`"`+ev.ID+`"`)) {
		return raw
	}
	id, err := json.Marshal(ev.ID)
	if err != nil {
		return raw // a string always can be written
	}
	return slices.Concat([]byte(`{"log_id":`), id, []byte(`,"data":`), raw, []byte(`}`))
}

// note keeps why the journal cannot be written, and says so once.
func (in *intake) note(err error) {
	was := in.trouble.Load()
	switch {
	case err == nil && was != nil:
		in.trouble.Store(nil)
		in.life.t.log.Info("journal written again")
	case err != nil:
		text := err.Error()
		in.trouble.Store(&text)
		if was == nil {
			in.life.t.log.Error("journal not written: intake stops until it can be", "err", err)
		}
	}
}

// publish makes a copy of the counts for metrics, and judges the feed.
func (in *intake) publish() {
	s := in.counts
	s.Events, s.Duplicates = map[string]int64{}, map[string]int64{}
	for k, v := range in.counts.Events {
		s.Events[k] = v
	}
	for k, v := range in.counts.Duplicates {
		s.Duplicates[k] = v
	}
	s.Engine, s.OpenAlerts, s.Watermark = in.engine.Stats(), in.engine.CountOpen(), in.engine.Watermark()
	in.stats.Store(&s)
	in.life.watchFeed()
}

// with runs f in the goroutine that owns the engine.
func (in *intake) with(f func() error) error {
	done := make(chan error, 1)
	select {
	case in.do <- func() { done <- f() }:
	case <-in.gone:
		return errStopping
	}
	select {
	case err := <-done:
		return err
	case <-in.gone: // at once after f, or f did not return
		select {
		case err := <-done:
			return err
		default:
			return errStopping
		}
	}
}
