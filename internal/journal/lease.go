package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A lease makes one of several processes on one cluster the only one that works for a tenant. Auth0 knows nothing of it and
// cannot refuse a writer that lost it, so time does: who takes over waits until the lease was not renewed for TTL, by
// its own clock and from when it first saw the last renewal; who holds it stops Margin before that, by its own clock and from
// before it asked for the last renewal. No two clocks are compared.

const (
	leaseBucket = "leases"
	defaultTTL  = time.Minute
)

// ErrLeaseLost is returned once a lease that was held is not any more: it could not be renewed in time, or another process
// has it.
var ErrLeaseLost = errors.New("another process may work for this tenant now")

// LeaseOptions configures a Lease; the zero value of every field works.
type LeaseOptions struct {
	TTL    time.Duration // how long without a renewal until another may take it; a minute if zero
	Margin time.Duration // how long before that the holder stops: longer than any of its requests may take; half of TTL if zero
	Every  time.Duration // between renewals, and between looks of those that wait; a twelfth of TTL if zero
}

// leaseRecord is what the bucket holds of a lease.
type leaseRecord struct {
	Holder     string `json:"holder"`
	Generation uint64 `json:"generation"`
	Released   bool   `json:"released,omitempty"`
}

// Lease is the right to work for one tenant. Its methods may be called from several goroutines; one at a time acquires and
// keeps it. In the embedded store, which its directory's lock gives to one process, it is had at once and never lost.
type Lease struct {
	j      *Journal
	key    string
	opts   LeaseOptions
	holder string

	mu    sync.Mutex
	rec   leaseRecord
	rev   uint64
	until time.Time // held until then; zero while it is not
}

// Lease returns the lease of a tenant. holder names this process to people and differs from that of any other process.
func (j *Journal) Lease(tenant, holder string, opts LeaseOptions) *Lease {
	if opts.TTL <= 0 {
		opts.TTL = defaultTTL
	}
	if opts.Margin <= 0 {
		opts.Margin = opts.TTL / 2
	}
	if opts.Every <= 0 {
		opts.Every = opts.TTL / 12
	}
	return &Lease{j: j, key: tenant, opts: opts, holder: holder}
}

// sole tells whether no other process can be on this store.
func (l *Lease) sole() bool { return l.j.opts.NATS == "" }

// Held returns nil while this process holds the lease, and ErrLeaseLost otherwise. It asks nobody: whoever is about to do
// what only the holder may do asks it right before.
func (l *Lease) Held() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until.IsZero() || !l.sole() && l.left() <= 0 {
		return ErrLeaseLost
	}
	return nil
}

// left is how long the lease is held still. The monotonic clock decides, and the wall clock where it says less: the former
// may stand still while the machine sleeps. mu is held.
func (l *Lease) left() time.Duration {
	now := time.Now()
	return min(l.until.Sub(now), l.until.Round(0).Sub(now.Round(0)))
}

// Generation counts how often the lease changed hands, up to when this process acquired it.
func (l *Lease) Generation() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rec.Generation
}

// Acquire waits until this process holds the lease. waiting, unless nil, is told who holds it, at first and when that
// changes. It returns ctx's error when ctx ends before, and the store's when it cannot be asked.
func (l *Lease) Acquire(ctx context.Context, waiting func(holder string)) error {
	var seen struct {
		rev    uint64
		since  time.Time
		holder string
	}
	tick := time.NewTicker(l.opts.Every)
	defer tick.Stop()
	for {
		rec, rev, err := l.read(ctx)
		if err != nil {
			return fmt.Errorf("acquire the lease of %s: %w", l.key, err)
		}
		if rev != seen.rev {
			seen.rev, seen.since = rev, time.Now()
		}
		if rev == 0 || l.sole() || rec.Released || rec.Holder == l.holder || time.Since(seen.since) >= l.opts.TTL {
			taken, err := l.write(ctx, leaseRecord{Holder: l.holder, Generation: rec.Generation + 1}, rev)
			if taken || err != nil {
				return err
			}
			continue // another was faster
		}
		if waiting != nil && rec.Holder != seen.holder {
			waiting(rec.Holder)
		}
		seen.holder = rec.Holder
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// Keep renews the lease until ctx ends, and then returns nil; or until it is lost, and then returns ErrLeaseLost.
func (l *Lease) Keep(ctx context.Context) error {
	if l.sole() {
		<-ctx.Done()
		return nil
	}
	for {
		l.mu.Lock()
		rec, rev, until, left := l.rec, l.rev, l.until, l.left()
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(left, l.opts.Every)):
		}
		bound, cancel := context.WithDeadline(ctx, until)
		renewed, err := l.write(bound, rec, rev)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			l.j.logger.Warn("lease not renewed, trying on", "tenant", l.key, "err", err)
			renewed = l.found(ctx)
		}
		if !renewed && (err == nil || l.Held() != nil) {
			l.drop()
			return fmt.Errorf("lease of %s: %w", l.key, ErrLeaseLost)
		}
	}
}

// found looks whether a renewal whose answer did not come was stored all the same, so that the next one can follow it. It
// makes the lease last no longer.
func (l *Lease) found(ctx context.Context) bool {
	l.mu.Lock()
	until := l.until
	l.mu.Unlock()
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	rec, rev, err := l.read(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || rec != l.rec {
		return false
	}
	l.rev = rev
	return true
}

// Release gives the lease up, so that another process need not wait for it to lapse. What the holder alone may do must have
// ended. One that is not held is no error.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	rec, rev := l.rec, l.rev
	held := !l.until.IsZero()
	l.mu.Unlock()
	l.drop()
	if !held || l.sole() {
		return nil
	}
	rec.Released = true
	_, err := l.write(ctx, rec, rev)
	return err
}

func (l *Lease) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Time{}
}

// write stores a record where revision rev is the latest, 0 for none, and tells whether it was. The lease is held from
// then on, unless the record releases it.
func (l *Lease) write(ctx context.Context, rec leaseRecord, rev uint64) (stored bool, err error) {
	data, err := json.Marshal(rec)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	asked := time.Now()
	err = l.do(ctx, writing, func(ctx context.Context, store jetstream.KeyValue, key string) (err error) {
		rev, err = store.Update(ctx, key, data, rev)
		return err
	})
	switch {
	case overtaken(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("write the lease of %s: %w", l.key, err)
	case rec.Released:
		return true, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rec, l.rev, l.until = rec, rev, asked.Add(l.opts.TTL-l.opts.Margin)
	return true, nil
}

// read returns the record that is stored, and its revision, 0 if there is none.
func (l *Lease) read(ctx context.Context) (rec leaseRecord, rev uint64, err error) {
	err = l.do(ctx, reading, func(ctx context.Context, store jetstream.KeyValue, key string) error {
		entry, err := store.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		rev = entry.Revision()
		return json.Unmarshal(entry.Value(), &rec)
	})
	return rec, rev, err
}

func (l *Lease) do(ctx context.Context, needs use, run func(context.Context, jetstream.KeyValue, string) error) error {
	s, ctx, done, err := l.j.begin(ctx, needs)
	if err != nil {
		return err
	}
	defer done()
	key, err := encodeKey(l.key)
	if err != nil {
		return err
	}
	store, err := s.bucket(ctx, leaseBucket)
	if err != nil {
		return s.explain(ctx, err)
	}
	err = run(ctx, store, key)
	if overtaken(err) {
		return err
	}
	return s.explain(ctx, err)
}
