// Package responders turns alerts into what is done about them: policies choose
// responses, safety rails refuse or allow them, holds tighten controls and let
// them go again, and notifiers tell people.
package responders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
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

// Record appends to the journal of what was decided and done.
type Record func(ctx context.Context, doc any) error

// Options configures a Responder.
type Options struct {
	Holds, Incidents, Budgets Store // required
	Record                    Record
	Notifiers                 []Notifier
	Limits                    map[string]Budget // by kind; DefaultBudgets where absent
	Now                       func() time.Time  // time.Now if nil
	Every                     time.Duration     // how often expiry is looked at; 1s if zero
	Look                      time.Duration     // how often settings under a hold are read again; 1m if zero
	Logger                    *slog.Logger      // discards if nil
}

// Responder answers the alerts of one tenant. Offer and SetFeed may be called
// from any goroutine; everything else happens in Run.
type Responder struct {
	opts Options
	log  *slog.Logger

	mu       sync.Mutex
	tenant   Tenant
	policies []*Policy
	pending  map[string]detections.Change // the latest change of each alert
	order    []string                     // ids in order of arrival
	feed     Feed
	poked    bool
	wake     chan struct{}

	// Owned by Run.
	controls  map[string]Control
	checkers  map[string]Checker
	incidents detections.Incidents
	holds     map[string]*hold.Hold
	outcomes  map[string][]Outcome // refused and skipped responses, by incident
	budgets   *budgets
	due       map[string]*dueState // reconciliation, by control
	told      map[string]State     // the state last told, by incident
}

// Feed is whether the tenant's log can be seen. While it is blind nothing is
// relaxed.
type Feed struct {
	Blind  bool
	Reason string
}

func (f Feed) String() string {
	if f.Blind {
		return "blind: " + f.Reason
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
		opts.Record = func(context.Context, any) error { return nil }
	}
	r := &Responder{
		opts: opts, log: opts.Logger.With("tenant", t.Name), tenant: t, policies: policies, controls: controls, checkers: map[string]Checker{},
		pending: map[string]detections.Change{}, wake: make(chan struct{}, 1), holds: map[string]*hold.Hold{},
		outcomes: map[string][]Outcome{}, due: map[string]*dueState{}, told: map[string]State{},
	}
	for name, c := range controls {
		r.checkers[name] = c
		r.due[name] = &dueState{at: opts.Now()} // what was left from before is looked at first
	}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Responder) load(ctx context.Context) error {
	b, err := loadBudgets(ctx, r.opts.Limits, r.opts.Budgets)
	if err != nil {
		return err
	}
	r.budgets = b
	all, err := r.opts.Holds.All(ctx)
	if err != nil {
		return fmt.Errorf("load holds: %w", err)
	}
	for key, data := range all {
		var h hold.Hold
		if err := json.Unmarshal(data, &h); err != nil {
			return fmt.Errorf("load hold %s: %w", key, err)
		}
		r.holds[h.ID] = &h
	}
	all, err = r.opts.Incidents.All(ctx)
	if err != nil {
		return fmt.Errorf("load incidents: %w", err)
	}
	for key, data := range all {
		var saved savedIncident
		if err := json.Unmarshal(data, &saved); err != nil {
			return fmt.Errorf("load incident %s: %w", key, err)
		}
		r.incidents.Restore(saved.Incident)
		r.outcomes[saved.ID] = saved.Outcomes
		r.told[saved.ID] = saved.Told
	}
	return nil
}

// savedIncident is an incident as it is kept across restarts.
type savedIncident struct {
	detections.Incident
	Outcomes []Outcome `json:"outcomes"`
	Told     State     `json:"told"`
}

// Offer hands over a change of an alert. It never blocks: of several changes of
// one alert that wait, the latest counts.
func (r *Responder) Offer(c detections.Change) {
	r.mu.Lock()
	if _, waiting := r.pending[c.Alert.ID]; !waiting {
		r.order = append(r.order, c.Alert.ID)
	}
	r.pending[c.Alert.ID] = c
	r.mu.Unlock()
	r.wakeUp()
}

// SetFeed tells whether the tenant's log can be seen.
func (r *Responder) SetFeed(f Feed) {
	r.mu.Lock()
	r.feed = f
	r.mu.Unlock()
}

// Poke asks that settings under a hold be looked at soon: the log shows that
// somebody changed one.
func (r *Responder) Poke() {
	r.mu.Lock()
	r.poked = true
	r.mu.Unlock()
	r.wakeUp()
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
	return r.tenant, r.policies, r.feed
}

// Run answers alerts until ctx ends. What was offered by then is still planned
// and recorded; a change of the tenant that is under way is finished or left to
// the next start, which begins with a fresh look.
func (r *Responder) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.opts.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return r.handlePending(drain)
		case <-r.wake:
		case <-ticker.C:
		}
		if err := r.handlePending(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		if err := r.tick(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// handlePending takes what was offered. An error means that the store failed:
// without it nothing can be done safely.
func (r *Responder) handlePending(ctx context.Context) error {
	r.mu.Lock()
	order, pending := r.order, r.pending
	r.order, r.pending = nil, map[string]detections.Change{}
	if r.poked {
		r.poked = false
		for name := range r.due {
			r.due[name].at = time.Time{}
		}
	}
	r.mu.Unlock()
	for _, id := range order {
		if err := r.handle(ctx, pending[id]); err != nil {
			return err
		}
	}
	return nil
}

// handle answers one change of an alert.
func (r *Responder) handle(ctx context.Context, c detections.Change) error {
	now := r.opts.Now()
	tenant, policies, _ := r.settings()
	before, known := r.incidents.Holding(c.Alert.ID)
	in, rose := r.incidents.Apply(c)
	if known && sameAlert(before, in, c.Alert.ID) {
		return nil // told before a restart
	}
	var transitions []string
	if rose {
		transitions = append(transitions, fmt.Sprintf("%s: %s", c.Alert.Title, groupText(c.Alert)))
	}
	responses := []detections.Response{}
	for _, pl := range plan(tenant, policies, r.checkers, c.Alert, in, now) {
		resp, line, err := r.respond(ctx, pl, c, now)
		if err != nil {
			return err
		}
		if line != "" {
			transitions = append(transitions, line)
		}
		responses = append(responses, resp)
	}
	if c.Transition == detections.Resolved && in.ResolvedAt != nil {
		transitions = append(transitions, "The attack is over: "+c.Alert.Title)
	}
	in = r.incidents.SetResponses(in.ID, c.Alert.ID, responses)
	if err := r.opts.Record(ctx, map[string]any{"kind": "alert", "transition": c.Transition, "incident": in.ID, "alert": alertOf(in, c.Alert.ID), "at": now}); err != nil {
		return fmt.Errorf("record alert %s: %w", c.Alert.ID, err)
	}
	if err := r.reconcile(ctx, now); err != nil {
		return err
	}
	return r.tell(ctx, in, transitions, rose)
}

// sameAlert reports whether an alert says the same in both states of its
// incident, its responses aside.
func sameAlert(before, after detections.Incident, id string) bool {
	if before.ID != after.ID {
		return false
	}
	a, b := alertOf(before, id), alertOf(after, id)
	return a.ID != "" && a.Count == b.Count && a.UpdatedAt.Equal(b.UpdatedAt) && a.Severity == b.Severity && (a.ResolvedAt == nil) == (b.ResolvedAt == nil)
}

func alertOf(in detections.Incident, id string) detections.Alert {
	for _, a := range in.Alerts {
		if a.ID == id {
			return a
		}
	}
	return detections.Alert{}
}

// respond carries one planned response as far as mode and rails allow. The line
// is for the thread, empty when nothing new is to be told.
func (r *Responder) respond(ctx context.Context, pl planned, c detections.Change, now time.Time) (detections.Response, string, error) {
	if pl.why != "" {
		return r.refuse(ctx, pl, now)
	}
	if h := r.holds[pl.hold.ID]; h != nil && !h.State.Ended() && h.State != hold.Releasing {
		if h.Renew(c.Alert.UpdatedAt) {
			if err := r.saveHold(ctx, h); err != nil {
				return detections.Response{}, "", err
			}
		}
		return responseOf(h), "", nil
	}
	if c.Transition == detections.Resolved {
		pl.skip("the alert had resolved before anything was done")
		return r.refuse(ctx, pl, now)
	}
	h := pl.hold
	switch Mode(h.Mode) {
	case Enforce:
		kind := KindSettingChange
		if h.Subject != "" {
			kind = KindNetworkACLEntry
		}
		if why := r.budgets.take(ctx, kind, now); why != "" {
			pl.refuse(why)
			return r.refuse(ctx, pl, now)
		}
		h.State = hold.Active
		if d := r.due[h.Control]; d != nil {
			d.at = time.Time{}
		}
	case Propose:
		h.State = hold.AwaitingApproval
	default:
		h.State = hold.Proposed
	}
	if h.Expires.After(now.Add(h.MaxTTL)) {
		h.Expires = now.Add(h.MaxTTL)
	}
	r.holds[h.ID] = &h
	if err := r.saveHold(ctx, &h); err != nil {
		return detections.Response{}, "", err
	}
	if err := r.record(ctx, "hold", &h, now); err != nil {
		return detections.Response{}, "", err
	}
	line := ""
	if h.State != hold.Active {
		line = fmt.Sprintf("%s %s", map[hold.State]string{hold.Proposed: "Would hold", hold.AwaitingApproval: "Asks to hold"}[h.State], holdText(&h))
	}
	return responseOf(&h), line, nil
}

// refuse notes a response that is not given, once for each reason.
func (r *Responder) refuse(ctx context.Context, pl planned, now time.Time) (detections.Response, string, error) {
	resp := pl.response()
	in := pl.hold.Cause.Incident
	for _, o := range r.outcomes[in] {
		if o.HoldID == pl.hold.ID && o.Reason == resp.Reason {
			return resp, "", nil
		}
	}
	r.outcomes[in] = append(r.outcomes[in], Outcome{Response: resp, HoldID: pl.hold.ID, At: now})
	h := pl.hold
	h.Note = pl.why
	if err := r.record(ctx, "refused", &h, now); err != nil {
		return resp, "", err
	}
	return resp, fmt.Sprintf("Did not hold %s: %s", holdText(&pl.hold), pl.why), nil
}

func (r *Responder) record(ctx context.Context, kind string, h *hold.Hold, now time.Time) error {
	if err := r.opts.Record(ctx, map[string]any{"kind": kind, "hold": h, "at": now}); err != nil {
		return fmt.Errorf("record %s of hold %s: %w", kind, h.ID, err)
	}
	return nil
}

// endedKept is how long holds and incidents are remembered after their end.
const endedKept = 7 * 24 * time.Hour

func (r *Responder) saveHold(ctx context.Context, h *hold.Hold) error {
	data, err := json.Marshal(h)
	if err == nil {
		err = r.opts.Holds.Put(ctx, h.ID, data)
	}
	if err != nil {
		return fmt.Errorf("save hold %s: %w", h.ID, err)
	}
	return nil
}

// tick ends holds whose time is over and looks at settings again.
func (r *Responder) tick(ctx context.Context) error {
	now := r.opts.Now()
	_, _, feed := r.settings()
	changed := map[string]bool{} // incidents
	for _, h := range r.sortedHolds() {
		switch {
		case h.State.Ended():
			if now.Sub(h.Ended) > endedKept {
				delete(r.holds, h.ID)
				if err := r.opts.Holds.Delete(ctx, h.ID); err != nil {
					return fmt.Errorf("forget hold %s: %w", h.ID, err)
				}
			}
			continue
		case h.State == hold.Releasing || now.Before(h.Expires):
			continue
		case feed.Blind && now.Before(h.Created.Add(h.MaxTTL)) && h.State == hold.Active:
			// Nobody can tell whether the attack is over.
			h.Expires = now.Add(time.Minute)
			h.Note = "kept on: " + feed.String()
		case h.State == hold.Proposed || h.State == hold.AwaitingApproval:
			h.State, h.Ended, h.Note = hold.Released, now, "nobody asked for it in time"
			changed[h.Cause.Incident] = true
		default:
			h.State = hold.Releasing
			if d := r.due[h.Control]; d != nil {
				d.at = time.Time{}
			}
		}
		if err := r.saveHold(ctx, h); err != nil {
			return err
		}
	}
	if err := r.reconcile(ctx, now); err != nil {
		return err
	}
	for _, in := range r.incidents.All() {
		if changed[in.ID] || r.told[in.ID] != "" && r.told[in.ID] != r.stateOf(in) {
			if err := r.tell(ctx, in, nil, false); err != nil {
				return err
			}
		}
	}
	return r.forgetIncidents(ctx, now)
}

func (r *Responder) sortedHolds() []*hold.Hold {
	out := make([]*hold.Hold, 0, len(r.holds))
	for _, h := range r.holds {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b *hold.Hold) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// reconcile brings every control that is due to what its holds ask for.
func (r *Responder) reconcile(ctx context.Context, now time.Time) error {
	for _, name := range sortedKeys(r.controls) {
		d := r.due[name]
		if now.Before(d.at) {
			continue
		}
		var mine []*hold.Hold
		before := map[string]hold.Hold{}
		for _, h := range r.sortedHolds() {
			if h.Control == name && Mode(h.Mode) == Enforce && !h.State.Ended() {
				mine = append(mine, h)
				before[h.ID] = *h
			}
		}
		rep, err := r.controls[name].Reconcile(ctx, mine, now)
		switch {
		case err != nil:
			d.failures++
			d.at = now.Add(backoff(d.failures))
			if errors.Is(err, context.Canceled) {
				continue
			}
			r.log.Warn("control not brought to its holds yet", "control", name, "failures", d.failures, "err", err)
		case rep.Again:
			d.at = now
		default:
			d.failures = 0
			d.at = now.Add(r.opts.Look)
		}
		if err := r.noteReconciled(ctx, name, mine, before, rep, err, now); err != nil {
			return err
		}
	}
	return nil
}

// noteReconciled saves, records and tells what a reconciliation changed.
func (r *Responder) noteReconciled(ctx context.Context, name string, mine []*hold.Hold, before map[string]hold.Hold, rep control.Report, failure error, now time.Time) error {
	if len(rep.Changes) > 0 || len(rep.Notes) > 0 {
		if err := r.opts.Record(ctx, map[string]any{"kind": "control", "control": name, "changes": rep.Changes, "notes": rep.Notes, "at": now}); err != nil {
			return fmt.Errorf("record change of %s: %w", name, err)
		}
	}
	lines := map[string][]string{}
	for _, h := range mine {
		was := before[h.ID]
		if failure != nil && !h.State.Ended() {
			h.Note = failure.Error()
		} else if failure == nil && was.Note == h.Note && h.State == hold.Active {
			h.Note = ""
		}
		if was == *h {
			continue
		}
		if err := r.saveHold(ctx, h); err != nil {
			return err
		}
		line := ""
		switch {
		case h.State == hold.Released:
			line = "Released " + holdText(h)
		case h.State == hold.Failed || h.State == hold.PendingCapacity || h.State == hold.Overruled:
			if was.State != h.State {
				line = fmt.Sprintf("%s: %s (%s)", holdText(h), h.Note, h.State)
			}
		case failure != nil && was.Note == "":
			line = fmt.Sprintf("Not yet %s: %s", map[bool]string{true: "released", false: "in force"}[h.State == hold.Releasing], holdText(h)+": "+h.Note)
		case h.State == hold.Active && (was.To == "" || was.Note != "") && failure == nil:
			line = "Holds " + holdText(h)
		}
		if line != "" {
			lines[h.Cause.Incident] = append(lines[h.Cause.Incident], line)
			if err := r.record(ctx, "hold", h, now); err != nil {
				return err
			}
		}
	}
	for _, in := range r.incidents.All() {
		notes := lines[in.ID]
		if len(notes) > 0 || len(rep.Notes) > 0 && r.hasHold(in.ID, name) {
			if err := r.tell(ctx, in, append(notes, rep.Notes...), false); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Responder) hasHold(incident, control string) bool {
	for _, h := range r.holds {
		if h.Cause.Incident == incident && h.Control == control && !h.State.Ended() {
			return true
		}
	}
	return false
}

// backoff waits longer after each failure in a row: 2s, 4s, … 1m.
func backoff(failures int) time.Duration {
	return min(time.Second<<min(failures, 10), time.Minute)
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
