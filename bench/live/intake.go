package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
)

// pace is what taking in some events took.
type pace struct {
	events  int
	bytes   int
	took    time.Duration
	cpu     float64 // seconds of the daemon's processor
	bundles float64
	memory  float64 // bytes of the daemon afterwards
	posts   []time.Duration

	snapshots, saved float64 // how many, and the bytes of the last
}

func (p pace) perSecond() float64     { return float64(p.events) / p.took.Seconds() }
func (p pace) megabytes() float64     { return float64(p.bytes) / 1e6 / p.took.Seconds() }
func (p pace) cpuPerMillion() float64 { return p.cpu / float64(p.events) * 1e6 }

// bodies and lanes are the sizes of a body, in events, and the numbers of
// connections.
var (
	bodies = []int{100, 500, 1000}
	lanes  = []int{1, 4, 16}
)

const goalIntake = 100_000 // events a second

// intake measures webhook → synced journal → evaluated. A body is answered when
// all of that is done, so the time of all answers is the time of all events.
func (b *bench) intake(ctx context.Context) error {
	w := tabwriter.NewWriter(b.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(b.out, "\nintake, %d events each time on an empty store, plain JSON lines\n", min(b.cell, b.load.len()))
	fmt.Fprintln(w, "events a body\tconnections\tevents/s\tMB/s\tCPU s/million\tevents a bundle\tp50 ms\tp99 ms")
	for _, size := range bodies {
		for _, n := range lanes {
			p, err := b.cellOf(ctx, size, n)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%d\t%d\t%.0f\t%.0f\t%.1f\t%.0f\t%.1f\t%.1f\n", size, n, p.perSecond(), p.megabytes(), p.cpuPerMillion(),
				float64(p.events)/max(p.bundles, 1), ms(percentile(p.posts, 50)), ms(percentile(p.posts, 99)))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return b.long(ctx)
}

// longSize and longLanes are the size of a body and the number of connections
// where many events are taken in at a stretch.
const longSize, longLanes = 500, 4

// long takes all events in at a stretch, with the snapshots that come with them.
func (b *bench) long(ctx context.Context) error {
	dir, err := b.store("")
	if err != nil {
		return err
	}
	d, err := b.daemon(ctx, dir, longLanes)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer d.kill()
	p, err := b.profiled(ctx, d, b.cpu)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\nlong intake, with the catalog alone: %v\nanswers: %s\n", p, distribution(p.posts))
	goal(b.out, "intake", p.perSecond(), goalIntake, "events/s", true)
	return nil
}

func (p pace) String() string {
	return fmt.Sprintf("%d events, %d a body, %d connections\n%.0f events/s, %.0f MB/s, %.1f CPU s/million, %.0f events a bundle, %.0f snapshots, the last of %.1f MB, %.0f MB resident",
		p.events, longSize, longLanes, p.perSecond(), p.megabytes(), p.cpuPerMillion(), float64(p.events)/max(p.bundles, 1), p.snapshots, p.saved/1e6, p.memory/1e6)
}

// profiled is fill with all events. Unless file is empty it also writes a CPU
// profile of the daemon, over as many seconds as the intake takes at the least.
func (b *bench) profiled(ctx context.Context, d *daemon, file string) (p pace, err error) {
	if file == "" {
		return b.fill(ctx, d, b.load.len(), longSize, longLanes)
	}
	var g errgroup.Group
	g.Go(func() error {
		data, err := d.get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", min(max(b.load.len()/150_000, 1), 30)))
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return fmt.Errorf("write the CPU profile: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		p, err = b.fill(ctx, d, b.load.len(), longSize, longLanes)
		return err
	})
	return p, g.Wait()
}

func (b *bench) cellOf(ctx context.Context, size, connections int) (pace, error) {
	dir, err := b.store("")
	if err != nil {
		return pace{}, err
	}
	d, err := b.daemon(ctx, dir, connections)
	if err != nil {
		return pace{}, err
	}
	defer os.RemoveAll(dir)
	defer d.kill()
	return b.fill(ctx, d, min(b.cell, b.load.len()), size, connections)
}

// fill posts the first events of the load, dated until now, and makes sure that
// each was taken in, in time and once.
func (b *bench) fill(ctx context.Context, d *daemon, events, size, connections int) (pace, error) {
	if err := b.load.date(0, events, time.Now()); err != nil {
		return pace{}, err
	}
	before, err := d.metrics(ctx)
	if err != nil {
		return pace{}, err
	}
	p := pace{events: events, bytes: len(b.load.body(0, events)), posts: make([]time.Duration, (events+size-1)/size)}
	var next atomic.Int64
	began := time.Now()
	g, posting := errgroup.WithContext(ctx)
	for range connections {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(p.posts) {
					return nil
				}
				at := time.Now()
				if err := d.post(posting, b.load.body(i*size, min((i+1)*size, events))); err != nil {
					return err
				}
				p.posts[i] = time.Since(at)
			}
		})
	}
	if err := g.Wait(); err != nil {
		return p, err
	}
	p.took = time.Since(began)
	after, err := d.settled(ctx, events)
	if err != nil {
		return p, err
	}
	p.cpu, p.memory = after.cpu()-before.cpu(), after.memory()
	p.bundles = after[`portcullis_intake_bundles_total{tenant="live"}`]
	p.snapshots, p.saved = after[`portcullis_snapshot_total{tenant="live"}`], after[`portcullis_snapshot_size_bytes{tenant="live"}`]
	return p, nil
}

// settled waits until the metrics, which are renewed each second, tell of all
// events, and fails if some were not taken in as they should be.
func (d *daemon) settled(ctx context.Context, events int) (metrics, error) {
	for end := time.Now().Add(5 * time.Second); ; {
		m, err := d.metrics(ctx)
		if err != nil {
			return nil, err
		}
		if got := m[`portcullis_intake_events_total{source="webhook",tenant="live"}`]; int(got) == events {
			for _, bad := range []string{"engine_late_events_total", "engine_future_events_total", "engine_undated_events_total"} {
				if n := m["portcullis_"+bad+`{tenant="live"}`]; n > 0 {
					return nil, fmt.Errorf("%s is %.0f, so what was measured is not the usual way of an event", bad, n)
				}
			}
			return m, nil
		} else if time.Now().After(end) {
			return nil, fmt.Errorf("%d events were posted and %.0f taken in", events, got)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
