package detections

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"portcullis/internal/diag"
	"portcullis/logstream"
)

// Tuning shows what a numeric parameter of a rule would have done to the alerts
// over a history.
type Tuning struct {
	Rule    string        `json:"rule"`
	Param   string        `json:"param"`
	Doc     string        `json:"doc,omitempty"`
	InForce float64       `json:"in_force"`
	Days    float64       `json:"days"`   // of history
	Trials  []Trial       `json:"trials"` // by value
	Budget  float64       `json:"budget"` // alerts a week
	Choice  *Trial        `json:"choice"` // the value nearest to the one in force that keeps the budget; nil when none does
	Span    time.Duration `json:"-"`
}

// Trial is what one value of a parameter would have done.
type Trial struct {
	Value     float64 `json:"value"`
	Alerts    int     `json:"alerts"`
	PerWeek   float64 `json:"alerts_per_week"`
	Users     int     `json:"users"`     // that the alerts touched
	Addresses int     `json:"addresses"` // likewise
}

const (
	// trialsAtOnce is how many values are tried in one pass over the events.
	trialsAtOnce = 12
	// trialPasses is how often the events are read at most: over values around the
	// one in force, beyond them while none keeps the budget, and at last between the
	// values that stand on both sides of it.
	trialPasses = 4
	trialStep   = 1.7 // from one value to the next
	// maxTouched bounds the users and addresses that are told apart for a trial.
	maxTouched = 100_000
)

// Tune tries values of a parameter over the history. The budget is in alerts a
// week.
func (s *Study) Tune(ctx context.Context, rule, param string, budget float64) (*Tuning, error) {
	r := s.Rules.Rule(rule)
	if r == nil {
		return nil, s.Rules.unknownRule(rule)
	}
	p, ok := r.Params[param]
	if !ok {
		return nil, fmt.Errorf("rule %s has no parameter %s%s", rule, param, diag.DidYouMean(param, keys(r.Params)))
	}
	now := p.Default
	if v, ok := s.Params[rule][param]; ok {
		now = v
	}
	inForce, isNumber := number(now)
	if !isNumber {
		return nil, fmt.Errorf("parameter %s of rule %s is not a number: nothing to tune", param, rule)
	}
	t := &Tuning{Rule: rule, Param: param, Doc: p.Doc, InForce: inForce, Budget: budget}
	values := p.spread(inForce)
	for pass := 0; pass < trialPasses && len(values) > 0; pass++ {
		if err := s.try(ctx, r, t, values); err != nil {
			return nil, err
		}
		if t.choose(); t.Choice != nil {
			if values = t.between(p); pass < trialPasses-1 && len(values) > 0 {
				if err := s.try(ctx, r, t, values); err != nil {
					return nil, err
				}
			}
			break
		}
		values = t.beyond(p)
	}
	t.choose()
	return t, nil
}

// NumericParams lists the parameters of a rule that can be tuned.
func (r *Rule) NumericParams() []string {
	var out []string
	for _, name := range keys(r.Params) {
		if _, ok := number(r.Params[name].Default); ok {
			out = append(out, name)
		}
	}
	return out
}

// spread is values around the one in force, each some half more than the one
// before, within the parameter's bounds.
func (p Param) spread(inForce float64) []float64 {
	var out []float64
	for i := range trialsAtOnce {
		factor := math.Pow(trialStep, float64(i-trialsAtOnce/2))
		out = append(out, p.fit(inForce*factor))
	}
	out = append(out, inForce)
	if p.Min != nil {
		out = append(out, *p.Min)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// fit makes a value one that the parameter accepts.
func (p Param) fit(v float64) float64 {
	if _, whole := p.Default.(int); whole {
		v = math.Round(v)
	}
	if p.Min != nil {
		v = max(v, *p.Min)
	}
	if p.Max != nil {
		v = min(v, *p.Max)
	}
	return v
}

// value is v in the type of the parameter's default.
func (p Param) value(v float64) any {
	if _, whole := p.Default.(int); whole {
		return int(v)
	}
	return v
}

// try runs one engine for each value, side by side over one pass of the events.
func (s *Study) try(ctx context.Context, r *Rule, t *Tuning, values []float64) error {
	engines := make([]*Engine, len(values))
	tallies := make([]tally, len(values))
	for i, v := range values {
		opts := s.options(r)
		mine := map[string]any{}
		for name, x := range s.Params[r.ID] {
			mine[name] = x
		}
		mine[t.Param] = r.Params[t.Param].value(v)
		opts.Params[r.ID] = mine
		tallies[i] = tally{users: map[string]struct{}{}, addresses: map[string]struct{}{}}
		opts.OnChange = func(c Change) { tallies[i].add(r.ID, c) }
		e, err := NewEngine(s.Tenant, s.Rules.around(r), opts)
		if err != nil {
			return err
		}
		engines[i] = e
	}
	var first, last time.Time
	err := s.History(ctx, func(ev *logstream.Event) error {
		if ev.Clock != logstream.Unknown {
			if first.IsZero() || ev.Time.Before(first) {
				first = ev.Time
			}
			if ev.Time.After(last) {
				last = ev.Time
			}
		}
		for _, e := range engines {
			e.Ingest(ev)
		}
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("read the events: %w", err)
	}
	t.Span = last.Sub(first)
	t.Days = t.Span.Hours() / 24
	weeks := max(t.Days/7, 1e-9)
	for i, v := range values {
		engines[i].Finish()
		t.Trials = append(t.Trials, Trial{v, tallies[i].alerts, float64(tallies[i].alerts) / weeks, len(tallies[i].users), len(tallies[i].addresses)})
	}
	slices.SortFunc(t.Trials, func(a, b Trial) int { return int(max(-1, min(1, (a.Value-b.Value)*1e9))) })
	return nil
}

// tally counts the alerts of one trial and whom they touched.
type tally struct {
	alerts           int
	users, addresses map[string]struct{}
}

func (t *tally) add(rule string, c Change) {
	if c.Alert.Rule != rule {
		return
	}
	if c.Transition == Opened {
		t.alerts++
	}
	for set, values := range map[*map[string]struct{}][]string{&t.users: c.Alert.Entities.UserID, &t.addresses: c.Alert.Entities.IP} {
		for _, v := range values {
			if len(*set) < maxTouched {
				(*set)[v] = struct{}{}
			}
		}
	}
}

// between is values that were not tried, between neighbours of which one keeps
// the budget and the other does not.
func (t *Tuning) between(p Param) []float64 {
	var out []float64
	for i := 1; i < len(t.Trials); i++ {
		a, b := t.Trials[i-1], t.Trials[i]
		if (a.PerWeek <= t.Budget) == (b.PerWeek <= t.Budget) {
			continue
		}
		for k := 1; k < trialsAtOnce; k++ {
			v := p.fit(a.Value + (b.Value-a.Value)*float64(k)/trialsAtOnce)
			if v != a.Value && v != b.Value {
				out = append(out, v)
			}
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), 2*trialsAtOnce)]
}

// beyond is values that are greater than all that were tried.
func (t *Tuning) beyond(p Param) []float64 {
	last := t.Trials[len(t.Trials)-1].Value
	var out []float64
	for i := range trialsAtOnce {
		if v := p.fit(max(last, 1) * math.Pow(trialStep, float64(i+1))); v > last {
			out = append(out, v)
		}
	}
	return slices.Compact(out)
}

// choose takes the value nearest to the one in force that keeps the budget.
func (t *Tuning) choose() {
	t.Choice = nil
	for i := range t.Trials {
		c := &t.Trials[i]
		if c.PerWeek > t.Budget {
			continue
		}
		if t.Choice == nil || math.Abs(c.Value-t.InForce) < math.Abs(t.Choice.Value-t.InForce) {
			t.Choice = c
		}
	}
}
