package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	goalStart    = 0.3 // seconds
	goalRecovery = 5.0 // seconds
	goalIdle     = 60  // MB
)

// start measures from the start of the process until /readyz says 200, with the
// whole catalog and an empty store each time.
func (b *bench) start(ctx context.Context) error {
	var times []time.Duration
	for range b.starts {
		dir, err := b.store("")
		if err != nil {
			return err
		}
		d, err := b.daemon(ctx, dir, 1)
		if err != nil {
			return err
		}
		times = append(times, d.ready)
		if err := d.stop(); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.out, "\nstart on an empty store until ready: %s\n", distribution(times))
	goal(b.out, "start, the slowest", percentile(times, 100).Seconds(), goalStart, "s", false)
	return nil
}

// idleMemory reads the memory of a daemon that has nothing to do.
func (b *bench) idleMemory(ctx context.Context) error {
	dir, err := b.store("")
	if err != nil {
		return err
	}
	d, err := b.daemon(ctx, dir, 1)
	if err != nil {
		return err
	}
	defer d.kill()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.idle):
	}
	m, err := d.metrics(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\nidle for %s: %.1f MB resident, %.1f MB of it in Go's heap, %.2f s of processor\n", b.idle, m.memory()/1e6,
		m["go_memstats_heap_inuse_bytes"]/1e6, m.cpu())
	goal(b.out, "idle memory", m.memory()/1e6, goalIdle, "MB", false)
	return nil
}

// keyRule keeps a window for each address that a token is made for.
func keyRule() string {
	return `id: ` + keyRuleID + `
title: Tokens made from one address
severity: low
where: type in ["` + strings.Join(keyTypes, `", "`) + `"]
group_by: [ip]
window: 1h
having: count() > 1000000
quiet: 15m
`
}

// recovery takes in all events, with the snapshots that come with them, kills
// the daemon, and measures how long the next one takes until it is ready: with
// the latest snapshot, and with the journal alone. Then it raises alerts with
// all that state in memory.
func (b *bench) recovery(ctx context.Context) error {
	dir, err := b.store(keyRule() + "---\n" + attackRules(b.attacks()))
	if err != nil {
		return err
	}
	d, err := b.daemon(ctx, dir, longLanes)
	if err != nil {
		return err
	}
	p, err := b.profiled(ctx, d, b.cpuKeys)
	d.kill()
	if err != nil {
		return err
	}
	keys := b.load.keys()
	fmt.Fprintf(b.out, "\nlong intake, with a rule more and %d keys in all: %v\nanswers: %s\n", keys, p, distribution(p.posts))
	if d, err = b.recover(ctx, dir, "with the snapshot"); err != nil {
		return err
	}
	d.kill()
	if p.snapshots > 0 {
		kept := filepath.Join(dir, "data", "jetstream", "$G", "streams", "OBJ_snapshots")
		if _, err := os.Stat(kept); err != nil {
			return fmt.Errorf("find the snapshots to take away: %w", err)
		}
		if err := os.RemoveAll(kept); err != nil {
			return err
		}
	}
	if d, err = b.recover(ctx, dir, "with the journal alone"); err != nil {
		return err
	}
	defer d.kill()
	return b.raise(ctx, d, fmt.Sprintf("with %d keys", keys))
}

func (b *bench) recover(ctx context.Context, dir, how string) (*daemon, error) {
	d, err := b.daemon(ctx, dir, otherConnections+1)
	if err != nil {
		return nil, err
	}
	m, err := d.metrics(ctx)
	if err != nil {
		d.kill()
		return nil, err
	}
	replayed := 0
	for len(d.lines) > 0 {
		if l := <-d.lines; l.Msg == "recovered" {
			replayed = l.Events
		}
	}
	fmt.Fprintf(b.out, "\nafter kill -9, %s: %.2f s until ready, %d events replayed, %.1f s of processor, %.0f MB resident\n", how,
		d.ready.Seconds(), replayed, m.cpu(), m.memory()/1e6)
	goal(b.out, "recovery "+how, d.ready.Seconds(), goalRecovery, "s", false)
	return d, nil
}
