// Package responders turns alerts into what is done about them: policies choose
// responses, safety rails refuse or allow them, holds tighten controls and let
// them go again, and notifiers tell people.
package responders

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"portcullis/detections"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Store keeps documents by key across restarts.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, bool, error)
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
	All(ctx context.Context) (map[string][]byte, error)
}

// Control is a setting of the tenant that holds tighten.
type Control interface {
	Checker
	// Reconcile makes the setting what the holds in force at time now ask for, and
	// moves the holds to the states that follow. After an error nothing is lost
	// and the next call starts anew.
	Reconcile(ctx context.Context, holds []*hold.Hold, now time.Time) (control.Report, error)
}

// Record appends to the journal of what was decided and done. A deed that has an
// id is appended once: after a crash the same deed comes again under the same id.
type Record func(ctx context.Context, id string, doc any) error

// Options configures a Responder.
type Options struct {
	Holds, Incidents, Budgets Store // required
	Lines                     Store // lines of the tenant's log that wait; in memory alone if nil
	Record                    Record
	Notifiers                 []Notifier
	Limits                    map[string]Budget // by kind; DefaultBudgets where absent
	Now                       func() time.Time  // time.Now if nil
	Every                     time.Duration     // how often expiry is looked at; 1s if zero
	Look                      time.Duration     // how often settings under a hold are read again; 1m if zero
	Pause                     time.Duration     // a step that comes later than that is after a pause, of which the feed knows nothing yet; none if zero
	Steady                    bool              // holds end on the second, without jitter: for tests
	// Stop says why nothing may be written at all, whatever the switch says; "" when
	// it may. It is asked at every step, and must be quick.
	Stop func() string
	// Switched is told the level in force, at every step.
	Switched func(Level)
	Logger   *slog.Logger // discards if nil
}

// Responder answers the alerts of one tenant. Offer and SetFeed may be called
// from any goroutine; everything else happens in Run.
type Responder struct {
	opts Options
	log  *slog.Logger

	mu       sync.Mutex
	tenant   Tenant
	policies []*Policy
	pending  map[string]offered // by alert
	order    []string           // ids in order of arrival
	feed     Feed
	orders   []asked
	lines    []control.Line // of the tenant's log, that wait
	gaps     []gap
	stale    string // why the feed's verdict is older than what happened since
	wake     chan struct{}

	// Owned by Run.
	controls  map[string]Control
	checkers  map[string]Checker
	incidents detections.Incidents
	holds     map[string]*hold.Hold
	outcomes  map[string][]Outcome       // refused and skipped responses, by incident
	refused   map[string]map[string]bool // those that were noted, by incident
	behind    map[string][]string        // ids of the holds behind an alert's responses, "" where there is none
	chosen    Switch                     // by a person
	level     Switch                     // in force
	budgets   *budgets
	due       map[string]*dueState // reconciliation, by control
	told      map[string]State     // the state last told, by incident
	moved     bool                 // a hold changed since the states of incidents were looked at
	forgetAt  time.Time
	steppedAt time.Time
	unmarked  []detections.Incident // merged just before a crash, which people may see as open
}

// Feed is whether the tenant's log can be seen. While it is blind nothing is
// relaxed.
type Feed struct {
	Blind  bool
	Reason string // why it is blind, or not quite clear; empty when clear
}

// Verdict is clear, degraded or blind.
func (f Feed) Verdict() string {
	switch {
	case f.Blind:
		return "blind"
	case f.Reason != "":
		return "degraded"
	}
	return "clear"
}

func (f Feed) String() string {
	switch {
	case f.Blind:
		return "blind: " + f.Reason
	case f.Reason != "":
		return "degraded: " + f.Reason
	}
	return "clear"
}

// dueState says when a control is looked at next.
type dueState struct {
	at       time.Time
	failures int
}

// New makes a Responder and loads what it knew before a restart.
func New(ctx context.Context, t Tenant, policies []*Policy, controls map[string]Control, opts Options) (*Responder, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Every == 0 {
		opts.Every = time.Second
	}
	if opts.Look == 0 {
		opts.Look = time.Minute
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if opts.Record == nil {
		opts.Record = func(context.Context, string, any) error { return nil }
	}
	r := &Responder{
		opts: opts, log: opts.Logger.With("tenant", t.Name), tenant: t, policies: policies, controls: controls, checkers: map[string]Checker{},
		pending: map[string]offered{}, wake: make(chan struct{}, 1), holds: map[string]*hold.Hold{},
		outcomes: map[string][]Outcome{}, refused: map[string]map[string]bool{}, behind: map[string][]string{},
		due: map[string]*dueState{}, told: map[string]State{}, moved: true,
	}
	for name, c := range controls {
		r.checkers[name] = c
		r.due[name] = &dueState{at: opts.Now()} // what was left from before is looked at first
	}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	r.obeySwitch()
	return r, nil
}

// offered is what waits of one alert.
type offered struct {
	detections.Change                   // the latest
	opened            *detections.Alert // as it opened, where that waited and was overtaken
}

// Offer hands over a change of an alert. It never blocks: of several changes of
// one alert that wait, the latest counts. That the alert opened is recorded all
// the same.
func (r *Responder) Offer(c detections.Change) {
	r.mu.Lock()
	next := offered{Change: c}
	switch before, waiting := r.pending[c.Alert.ID]; {
	case !waiting:
		r.order = append(r.order, c.Alert.ID)
	case c.Transition == detections.Opened:
	case before.Transition == detections.Opened:
		next.opened = &before.Alert
	default:
		next.opened = before.opened
	}
	r.pending[c.Alert.ID] = next
	r.mu.Unlock()
	r.wakeUp()
}

// SetFeed tells whether the tenant's log can be seen. Until it is called the log
// counts as seen, so call it before Run when that is not known yet.
func (r *Responder) SetFeed(f Feed) {
	r.mu.Lock()
	r.feed, r.stale = f, ""
	r.mu.Unlock()
}

// SetPolicies puts other policies and tenant settings in place.
func (r *Responder) SetPolicies(t Tenant, policies []*Policy) {
	r.mu.Lock()
	r.tenant, r.policies = t, policies
	r.mu.Unlock()
}

// NeverTouch is the list in force.
func (r *Responder) NeverTouch() NeverTouch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tenant.NeverTouch
}

func (r *Responder) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Responder) settings() (Tenant, []*Policy, Feed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale != "" {
		return r.tenant, r.policies, Feed{Blind: true, Reason: r.stale}
	}
	return r.tenant, r.policies, r.feed
}

// notePause makes the feed blind after a pause, such as that of a host that was
// suspended, until it is judged anew.
func (r *Responder) notePause(now time.Time) {
	pause := now.Sub(r.steppedAt)
	if r.opts.Pause > 0 && !r.steppedAt.IsZero() && pause > r.opts.Pause {
		r.mu.Lock()
		r.stale = fmt.Sprintf("the daemon stood still for %s", pause.Round(time.Second))
		r.mu.Unlock()
	}
	r.steppedAt = now
}

// Run answers alerts until ctx ends. What was offered by then is still planned
// and recorded; a change of the tenant that is under way is finished or left to
// the next start, which begins with a fresh look. An error means that a store or
// the journal failed: without them nothing can be done safely.
func (r *Responder) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.opts.Every)
	defer ticker.Stop()
	if err := r.showAll(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	for {
		if err := r.step(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return r.drain(context.WithoutCancel(ctx))
		case <-r.wake:
		case <-ticker.C:
		}
	}
}

// drainTime bounds what is still done after the end.
const drainTime = 5 * time.Second

// drain answers what is still waiting. A tenant that does not answer in time is
// left to the next start; what was planned is saved by then.
func (r *Responder) drain(ctx context.Context) error {
	r.mu.Lock()
	waiting := len(r.order) > 0
	r.mu.Unlock()
	if !waiting {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	if err := r.handlePending(ctx, r.opts.Now()); err != nil {
		return err
	}
	if err := r.step(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// step obeys people, answers what was offered, ends holds whose time is over, and brings the
// controls to what the holds ask for. All of it sees one time and one verdict on
// the feed, so that no hold runs out between two of its parts.
func (r *Responder) step(ctx context.Context) error {
	now := r.opts.Now()
	r.notePause(now)
	r.obeySwitch()
	if err := r.listen(ctx, now); err != nil {
		return err
	}
	if err := r.takeOrders(ctx, now); err != nil {
		return err
	}
	if err := r.handlePending(ctx, now); err != nil {
		return err
	}
	if err := r.expire(ctx, now); err != nil {
		return err
	}
	if err := r.reconcile(ctx, now); err != nil {
		return err
	}
	if err := r.tellStates(ctx); err != nil {
		return err
	}
	return r.forget(ctx, now)
}
