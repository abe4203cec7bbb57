package playbook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

var errCrashed = errors.New("the process died")

// world is a place where measures take effect, with one run of a Runner after
// another. It counts down to a crash with every step outside: a write of the
// store, a deed, a request before and after it is applied.
type world struct {
	t       *testing.T
	mu      sync.Mutex
	now     time.Time
	store   map[string][]byte
	deeds   map[string]bool
	effects map[string]int // how often each measure was applied to each subject
	there   map[string]bool
	calls   []string

	forbidden map[string]string
	stopped   string
	room      int
	fails     map[string]error // by measure
	hides     time.Duration    // how long an effect cannot be seen

	left   int // steps to the crash; negative for never
	cancel context.CancelFunc
	books  map[string]*Playbook
	r      *Runner
	ctx    context.Context
	n      int
}

func newWorld(t *testing.T, text string) *world {
	w := &world{t: t, now: start, store: map[string][]byte{}, deeds: map[string]bool{}, effects: map[string]int{}, there: map[string]bool{},
		forbidden: map[string]string{}, fails: map[string]error{}, room: 1000, left: -1}
	books, err := Load([]File{{Name: "p.yaml", Data: []byte(text)}}, kindsOf(w.measures()))
	require.NoError(t, err)
	w.books = books
	require.NoError(t, w.boot(-1))
	return w
}

// outside counts one step outside; it fails when the process is to die at it.
func (w *world) outside() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		w.cancel()
		return errCrashed
	}
	if w.left > 0 {
		w.left--
	}
	return nil
}

func (w *world) boot(left int) error {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	w.ctx, w.cancel, w.left = ctx, cancel, left
	var err error
	w.r, err = New(ctx, w.books, Options{Tenant: "acme", Store: w, Record: w.record, Rails: w, Measures: w.measures(),
		Op: func() string { w.mu.Lock(); defer w.mu.Unlock(); w.n++; return fmt.Sprint("op-", w.n) }, Now: func() time.Time { return w.now }})
	return err
}

func (w *world) Put(_ context.Context, key string, value []byte) error {
	if err := w.outside(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.store[key] = value
	return nil
}

func (w *world) Delete(_ context.Context, key string) error { delete(w.store, key); return nil }

func (w *world) All(context.Context) (map[string][]byte, error) { return maps.Clone(w.store), nil }

func (w *world) record(_ context.Context, id string, _ any) error {
	if err := w.outside(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deeds[id] = true
	return nil
}

func (w *world) Forbids(_, subject string) string { return w.forbidden[subject] }
func (w *world) Stopped() string                  { return w.stopped }
func (w *world) Spend(_ context.Context, budget string, _ time.Time) (string, error) {
	if w.room == 0 {
		return "budget used up: " + budget, nil
	}
	w.room--
	return "", nil
}

// measures are one for each name, which makes NAME SUBJECT be there.
func (w *world) measures() map[string]Measure {
	out := map[string]Measure{}
	for name, lane := range map[string]Lane{"block": Contain, "revoke": Contain, "mail": Recover, "unblock": Recover} {
		out[name] = measure{w, name, lane}
	}
	return out
}

type measure struct {
	w    *world
	name string
	lane Lane
}

func (m measure) Kind() Kind {
	return Kind{Subject: OfUser, Lane: m.lane, Irreversible: m.name == "mail", Settings: map[string]string{"to": "whom"}}
}

func (m measure) Happened(_ context.Context, c *Case, since time.Time) (Verdict, error) {
	if err := m.w.outside(); err != nil {
		return No, err
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if m.w.there[m.name+" "+c.Subject] {
		if m.w.hides > 0 && c.Now.Sub(since) < m.w.hides {
			return Unknown, nil
		}
		return Yes, nil
	}
	return No, nil
}

func (m measure) Take(_ context.Context, c *Case, _ string) error {
	if err := m.w.outside(); err != nil {
		return err
	}
	m.w.mu.Lock()
	m.w.calls = append(m.w.calls, m.name+" "+c.Subject)
	err := m.w.fails[m.name]
	if err == nil {
		m.w.effects[m.name+" "+c.Subject]++
		m.w.there[m.name+" "+c.Subject] = true
		c.Facts["by."+m.name] = "us"
	}
	m.w.mu.Unlock()
	if err != nil {
		return err
	}
	return m.w.outside()
}

// settle moves time from one due moment to the next, until nothing moves or the
// given time.
func (w *world) settle(until time.Duration) error {
	for range 10000 {
		next, err := w.r.Step(w.ctx)
		if err != nil {
			return err
		}
		if next.IsZero() || next.After(start.Add(until)) {
			return nil
		}
		if next.After(w.now) {
			w.now = next
		}
	}
	w.t.Fatal("the runs never come to rest")
	return nil
}

func (w *world) begin(subject string) Run {
	w.t.Helper()
	run, err := w.r.Start(w.ctx, Request{Playbook: "take-back", Subject: subject, Mode: "enforce", Cause: Cause{Actor: "ada"}})
	require.NoError(w.t, err)
	return run
}

// give answers a run while Step works.
func (w *world) give(o Order) (Run, error) {
	o.Actor = "ada"
	type result struct {
		run Run
		err error
	}
	done := make(chan result, 1)
	go func() {
		run, err := w.r.Give(w.t.Context(), o)
		done <- result{run, err}
	}()
	for {
		select {
		case got := <-done:
			return got.run, got.err
		case <-w.r.Wake(): // perhaps of something before
			require.NoError(w.t, w.settle(0))
		}
	}
}

func (w *world) only() Run {
	w.t.Helper()
	runs := w.r.Runs()
	require.Len(w.t, runs, 1)
	return runs[0]
}

// story is the state of a run and of each of its steps, in a line.
func story(run Run) string {
	parts := []string{string(run.State) + ":"}
	for _, s := range run.Steps {
		parts = append(parts, s.ID+"="+string(s.State))
	}
	return strings.Join(parts, " ")
}
