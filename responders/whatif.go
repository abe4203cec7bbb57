package responders

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"portcullis/detections"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Would is one stretch of a history in which a response would have been in force.
type Would struct {
	Tenant  string    `json:"tenant"`
	Control string    `json:"control"`
	Level   string    `json:"level,omitempty"`
	Subject string    `json:"subject,omitempty"`
	Policy  string    `json:"policy"`
	Rule    string    `json:"rule"`
	Reason  string    `json:"reason"`
	Asked   bool      `json:"asked"` // a person would have been asked first
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Hit     Hit       `json:"hit"`
	covers  func(control.Login) bool
	users   map[string]time.Time // latest login of each
	sure    map[string]bool
}

// Hit is who would have met a response: of logins that succeeded in its time.
type Hit struct {
	Logins    int      `json:"logins"`
	Users     int      `json:"users"`
	Confirmed int      `json:"confirmed"` // users who then passed a second factor: certainly no attackers
	Named     []string `json:"named"`     // the first of these users, at most hitNamed
}

const (
	// confirmWithin is how soon after a login a second factor confirms it.
	confirmWithin = 10 * time.Minute
	// hitNamed bounds the users that a Hit names.
	hitNamed = 20
	// evidenceEvery is how often an alert of the past is taken to have had new
	// evidence, from its opening to its last.
	evidenceEvery = time.Minute
)

// WhatIf plays the responses to a history that is over: the same planning, rails,
// ladders and ends as in life, on controls that only note what they are asked.
type WhatIf struct {
	tenant   Tenant
	policies []*Policy
	checkers map[string]Checker
	limits   map[string]Budget
}

// NewWhatIf makes a WhatIf of a tenant that is taken to be enforced; what its
// modes and policies only propose counts as asked.
func NewWhatIf(t Tenant, policies []*Policy, checkers map[string]Checker, limits map[string]Budget) *WhatIf {
	t.Mode = Enforce
	return &WhatIf{tenant: t, policies: policies, checkers: checkers, limits: limits}
}

// Play answers alerts, as they finally were, and tells what would have been in
// force when, and which of the logins would have met it. passed are the times at
// which users passed a second factor, by user. An alert's subjects count from its
// opening, since only its end is known; logins and passed are in order of time.
func (w *WhatIf) Play(ctx context.Context, alerts []detections.Alert, logins []control.Login, passed map[string][]time.Time) ([]Would, error) {
	return w.PlayChanges(ctx, changesOf(alerts), logins, passed)
}

// PlayChanges is Play of what was told while it happened, in order of time: an
// alert's subjects and evidence count as they were known then.
func (w *WhatIf) PlayChanges(ctx context.Context, changes []TimedChange, logins []control.Login, passed map[string][]time.Time) ([]Would, error) {
	p := &play{now: time.Time{}, open: map[string]int{}}
	controls := map[string]Control{}
	for name, c := range w.checkers {
		controls[name] = imagined{c}
	}
	stores := [3]memory{{}, {}, {}}
	r, err := New(ctx, w.tenant, w.policies, controls, Options{Holds: stores[0], Incidents: stores[1], Budgets: stores[2], Limits: w.limits,
		Now: func() time.Time { return p.now }})
	if err != nil {
		return nil, err
	}
	p.r, p.checkers = r, w.checkers
	for _, c := range changes {
		if err := p.until(ctx, c.At); err != nil {
			return nil, err
		}
		r.Offer(c.Change)
		if err := p.step(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.until(ctx, time.Time{}); err != nil {
		return nil, err
	}
	p.meet(logins, passed)
	slices.SortStableFunc(p.would, func(a, b Would) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Control, b.Control), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Level, b.Level))
	})
	return p.would, nil
}

// TimedChange is a change of an alert, and when it was told.
type TimedChange struct {
	At time.Time
	detections.Change
}

// changesOf are the changes that alerts went through, in order of time.
func changesOf(alerts []detections.Alert) []TimedChange {
	var out []TimedChange
	for _, a := range alerts {
		end := a.ResolvedAt
		for at := a.OpenedAt; ; at = at.Add(evidenceEvery) {
			last := !at.Before(a.UpdatedAt)
			if last {
				at = a.UpdatedAt
			}
			then := a
			then.UpdatedAt, then.ResolvedAt = at, nil
			if !last {
				then.Count = max(1, a.Count-1) // its last evidence is new each time
			}
			transition := detections.Updated
			if at.Equal(a.OpenedAt) {
				transition = detections.Opened
			}
			out = append(out, TimedChange{at, detections.Change{Transition: transition, Alert: then}})
			if last {
				break
			}
		}
		if end != nil {
			out = append(out, TimedChange{*end, detections.Change{Transition: detections.Resolved, Alert: a}})
		}
	}
	slices.SortStableFunc(out, func(a, b TimedChange) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Alert.Rule, b.Alert.Rule), cmp.Compare(a.Alert.ID, b.Alert.ID))
	})
	return out
}

// play is one history on its way.
type play struct {
	r        *Responder
	checkers map[string]Checker
	now      time.Time
	would    []Would
	open     map[string]int // stretches that run, by hold, level and whether asked
}

// until lets time pass up to t, or until nothing is held when t is zero.
func (p *play) until(ctx context.Context, t time.Time) error {
	for {
		next := p.next()
		if next.IsZero() || !t.IsZero() && next.After(t) {
			break
		}
		p.now = later(p.now, next)
		if err := p.step(ctx); err != nil {
			return err
		}
	}
	p.now = later(p.now, t)
	return nil
}

// next is when the next hold ends or steps down; zero when none does.
func (p *play) next() time.Time {
	var next time.Time
	for _, h := range p.r.holds {
		if !h.State.Ended() && (next.IsZero() || h.Expires.Before(next)) {
			next = h.Expires
		}
	}
	return next
}

// step has the responder act at this time, and notes what is in force from then.
func (p *play) step(ctx context.Context) error {
	if err := p.r.step(ctx); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, h := range p.r.sortedHolds() {
		asked := h.State == hold.AwaitingApproval
		if !asked && h.State != hold.Active {
			continue
		}
		key := h.ID + " " + h.Level + " " + string(h.State)
		seen[key] = true
		if _, runs := p.open[key]; !runs {
			p.open[key] = len(p.would)
			p.would = append(p.would, p.begin(h, asked))
		}
	}
	maps.DeleteFunc(p.open, func(key string, i int) bool {
		if !seen[key] {
			p.would[i].Until = p.now.Truncate(time.Second)
		}
		return !seen[key]
	})
	return nil
}

func (p *play) begin(h *hold.Hold, asked bool) Would {
	w := Would{Tenant: h.Tenant, Control: h.Control, Level: h.Level, Subject: h.Subject, Policy: h.Cause.Policy, Rule: h.Cause.Rule, Reason: h.Reason,
		Asked: asked, From: p.now, Hit: Hit{Named: []string{}}, covers: func(control.Login) bool { return true }, users: map[string]time.Time{}, sure: map[string]bool{}}
	if c, ok := p.checkers[h.Control].(control.Covering); ok {
		subject := h.Subject
		w.covers = func(l control.Login) bool { return c.Covers(subject, l) }
	}
	return w
}

// meet counts the logins that each stretch would have met.
func (p *play) meet(logins []control.Login, passed map[string][]time.Time) {
	for i := range p.would {
		w := &p.would[i]
		from, _ := slices.BinarySearchFunc(logins, w.From, func(l control.Login, t time.Time) int { return l.At.Compare(t) })
		for _, l := range logins[from:] {
			if !l.At.Before(w.Until) {
				break
			}
			if !w.covers(l) {
				continue
			}
			w.Hit.Logins++
			if l.User == "" {
				continue
			}
			if _, known := w.users[l.User]; !known && len(w.Hit.Named) < hitNamed {
				w.Hit.Named = append(w.Hit.Named, l.User)
			}
			w.users[l.User] = l.At
			w.sure[l.User] = w.sure[l.User] || slices.ContainsFunc(passed[l.User], func(t time.Time) bool {
				return !t.Before(l.At) && t.Sub(l.At) <= confirmWithin
			})
		}
		w.Hit.Users = len(w.users)
		for _, sure := range w.sure {
			if sure {
				w.Hit.Confirmed++
			}
		}
		w.users, w.sure, w.covers = nil, nil, nil
	}
}

// imagined is a control that is at once what is asked of it.
type imagined struct{ Checker }

func (imagined) Reconcile(_ context.Context, holds []*hold.Hold, now time.Time) (control.Report, error) {
	for _, h := range holds {
		if h.InForce(now) {
			h.State = hold.Active
		}
	}
	control.Settle(holds, now)
	return control.Report{}, nil
}

// memory is a store that forgets at the end.
type memory map[string][]byte

func (m memory) Get(_ context.Context, key string) ([]byte, bool, error) {
	v, ok := m[key]
	return v, ok, nil
}
func (m memory) Put(_ context.Context, key string, value []byte) error { m[key] = value; return nil }
func (m memory) Delete(_ context.Context, key string) error            { delete(m, key); return nil }
func (m memory) All(context.Context) (map[string][]byte, error)        { return maps.Clone(m), nil }
