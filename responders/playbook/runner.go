package playbook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Store keeps runs across restarts. It may be used from several goroutines.
type Store interface {
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
	All(ctx context.Context) (map[string][]byte, error)
}

// Rails are what bounds every run.
type Rails interface {
	// Forbids says why a subject may never be touched; "" when it may. What cannot be
	// told is forbidden.
	Forbids(kind, subject string) string
	// Spend counts a run against a budget. why says that there is no room: then a
	// person is asked. An error means that it could not be counted.
	Spend(ctx context.Context, budget string, now time.Time) (why string, err error)
	// Stopped says why nothing may be written at all; "" when it may.
	Stopped() string
}

// Options configures a Runner. All but Workers, Changed and Logger are required.
type Options struct {
	Tenant   string
	Store    Store
	Record   func(ctx context.Context, id string, doc any) error // once for each id
	Rails    Rails
	Measures map[string]Measure
	Op       func() string                    // makes correlation ids
	Now      func() time.Time                 //
	Changed  func(ctx context.Context, r Run) // a run moved; from several goroutines
	// Notes reads a fact about a run from an event, for instance that a mail went
	// out; fact is "" where there is none. What is known already stays.
	Notes   func(r Run, event map[string]any) (fact, value string)
	Workers int          // runs that move at once; 8 if zero
	Logger  *slog.Logger // discards if nil
}

// Runner moves the runs of one tenant. Step and Forget are called from one
// goroutine, everything else from any.
type Runner struct {
	opts Options
	log  *slog.Logger
	wake chan struct{}

	runs map[string]*Run // owned by Step and those that it has move a run

	starting  sync.Mutex // held while a run begins, so that a subject has one
	mu        sync.Mutex // guards what follows
	view      map[string]Run
	playbooks map[string]*Playbook
	fresh     []*Run // begun, and not yet taken up by Step
	events    []event
	orders    []order
}

type event struct {
	at     time.Time
	fields map[string]any
}

// ErrStore is wrapped when a run could not be kept: nothing may be done then.
var ErrStore = errors.New("the store failed")

// ErrRefused is wrapped by the error of what is asked for and may not be: its
// message is for the person who asked. Nothing was done.
var ErrRefused = errors.New("refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// New makes a Runner, with the runs that a life before has kept.
func New(ctx context.Context, playbooks map[string]*Playbook, opts Options) (*Runner, error) {
	if opts.Workers == 0 {
		opts.Workers = 8
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if opts.Changed == nil {
		opts.Changed = func(context.Context, Run) {}
	}
	r := &Runner{opts: opts, log: opts.Logger.With("tenant", opts.Tenant), runs: map[string]*Run{}, view: map[string]Run{},
		playbooks: playbooks, wake: make(chan struct{}, 1)}
	all, err := opts.Store.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: load runs: %w", ErrStore, err)
	}
	for key, data := range all {
		run := &Run{}
		if err := json.Unmarshal(data, run); err != nil {
			return nil, fmt.Errorf("load run %s: %w", key, err)
		}
		if run.Playbook, err = r.reload(run); err != nil {
			return nil, err
		}
		r.runs[run.ID], r.view[run.ID] = run, run.copy()
	}
	return r, nil
}

// reload reads the playbook that a run began with.
func (r *Runner) reload(run *Run) (*Playbook, error) {
	found, err := Load([]File{{Name: "run " + run.ID, Data: []byte(run.Source)}}, kindsOf(r.opts.Measures))
	if err != nil {
		return nil, fmt.Errorf("load the playbook that %s began with: %w", run.ID, err)
	}
	p := found[run.Name]
	if p == nil || len(p.Steps) != len(run.Steps) {
		return nil, fmt.Errorf("load run %s: its playbook and its steps do not fit", run.ID)
	}
	return p, nil
}

func kindsOf(measures map[string]Measure) map[string]Kind {
	out := map[string]Kind{}
	for name, m := range measures {
		out[name] = m.Kind()
	}
	return out
}

// SetPlaybooks puts other playbooks in place; runs go on with the one they began
// with.
func (r *Runner) SetPlaybooks(p map[string]*Playbook) {
	r.mu.Lock()
	r.playbooks = p
	r.mu.Unlock()
}

// Runs are copies of all runs that are remembered, the oldest first.
func (r *Runner) Runs() []Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Run, 0, len(r.view))
	for _, run := range r.view {
		out = append(out, run)
	}
	SortRuns(out)
	return out
}

// SortRuns sorts runs by when they began.
func SortRuns(runs []Run) {
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Or(a.Begun.Compare(b.Begun), cmp.Compare(a.ID, b.ID)) })
}

func (r *Run) copy() Run {
	out := *r
	out.Steps = slices.Clone(r.Steps)
	out.Facts = maps.Clone(r.Facts)
	return out
}

// Waits reports whether any run may yet have a use for an event.
func (r *Runner) Waits() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.view {
		if !run.State.Over() && run.waits() {
			return true
		}
	}
	return false
}

// See offers an event of the tenant's log; waits end by it. Event fields have
// Auth0's names.
func (r *Runner) See(at time.Time, fields map[string]any) {
	if !r.Waits() {
		return
	}
	r.mu.Lock()
	r.events = append(r.events, event{at, fields})
	r.mu.Unlock()
	r.wakeUp()
}

// waits reports whether an event may yet end a step.
func (r *Run) waits() bool {
	for i := range r.Steps {
		if r.Playbook.Steps[i].until != nil && !r.Steps[i].ended() {
			return true
		}
	}
	return false
}

func (r *Runner) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Wake has a value whenever Step has something to do before its time.
func (r *Runner) Wake() <-chan struct{} { return r.wake }

// save keeps a run and shows it. It is called by whoever moves it.
func (r *Runner) save(ctx context.Context, run *Run) error {
	data, err := json.Marshal(run)
	if err == nil {
		err = r.opts.Store.Put(ctx, run.ID, data)
	}
	if err != nil {
		return fmt.Errorf("%w: keep run %s: %w", ErrStore, run.ID, err)
	}
	r.mu.Lock()
	r.view[run.ID] = run.copy()
	r.mu.Unlock()
	return nil
}

// record appends what became of a run, or of one of its steps, to the journal.
func (r *Runner) record(ctx context.Context, id string, run *Run, step *StepRun) error {
	doc := map[string]any{"kind": "playbook", "run": run.ID, "playbook": run.Name, "subject": run.Subject, "state": run.State, "cause": run.Cause, "at": r.opts.Now()}
	if step != nil {
		doc["step"] = *step
	}
	if run.Note != "" {
		doc["note"] = run.Note
	}
	if err := r.opts.Record(ctx, id, doc); err != nil {
		return fmt.Errorf("%w: record run %s: %w", ErrStore, run.ID, err)
	}
	return nil
}

// Step moves every run that is due as far as it goes, the most urgent first, and
// returns when it wants to be called next; zero when only an event or a person
// moves anything. An error means that the store failed.
func (r *Runner) Step(ctx context.Context) (next time.Time, err error) {
	for ctx.Err() == nil {
		if err := r.takeUp(ctx); err != nil {
			return next, err
		}
		due := r.due()
		if len(due) == 0 {
			return r.next(), nil
		}
		alike := 1 // all of one kind go before the first of the next
		for alike < min(len(due), r.opts.Workers) && r.urgency(due[0], due[alike]) == 0 {
			alike++
		}
		var group errgroup.Group
		for _, run := range due[:alike] {
			group.Go(func() error { return r.move(ctx, run) })
		}
		if err := group.Wait(); err != nil {
			return next, err
		}
	}
	return next, ctx.Err()
}

// due are the runs that can move now, the most urgent first: those whose step
// contains, before those that recover; earlier steps before later ones, so that
// of many subjects all are blocked before any is revoked.
func (r *Runner) due() []*Run {
	now := r.opts.Now()
	var out []*Run
	for _, run := range r.runs {
		if run.State == Running && !run.dueAt().After(now) {
			out = append(out, run)
		}
	}
	slices.SortFunc(out, func(a, b *Run) int {
		return cmp.Or(r.urgency(a, b), a.Begun.Compare(b.Begun), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// urgency orders runs by what they do next.
func (r *Runner) urgency(a, b *Run) int {
	return cmp.Or(cmp.Compare(r.laneOf(a), r.laneOf(b)), cmp.Compare(a.current(), b.current()))
}

// dueAt is when a running run wants to move.
func (r *Run) dueAt() time.Time {
	i := r.current()
	if i == len(r.Steps) {
		return time.Time{}
	}
	st, step := &r.Steps[i], &r.Playbook.Steps[i]
	if st.Begun.IsZero() {
		return r.endOf(i - 1).Add(step.Pause)
	}
	if step.until != nil && st.Event == nil {
		return st.Begun.Add(step.Deadline)
	}
	return st.Due
}

// endOf is when a step ended; the run's beginning for the one before the first.
func (r *Run) endOf(i int) time.Time {
	if i < 0 {
		return r.Begun
	}
	return r.Steps[i].Ended
}

func (r *Runner) laneOf(run *Run) Lane {
	i := run.current()
	if i == len(run.Steps) {
		return Contain // its end costs nothing
	}
	if m := r.opts.Measures[run.Playbook.Steps[i].Do]; m != nil {
		return m.Kind().Lane
	}
	return Recover
}

// next is when the first run is due.
func (r *Runner) next() time.Time {
	var next time.Time
	for _, run := range r.runs {
		if run.State != Running {
			continue
		}
		if at := run.dueAt(); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}
