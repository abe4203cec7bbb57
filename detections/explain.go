package detections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/logstream"
)

// History is where the tools that explain read events: it visits them in order of
// arrival, each time from the start, and stops with the first error.
type History func(ctx context.Context, visit func(*logstream.Event) error) error

// Study is what the tools that explain look at: the rules and parameters of a
// tenant, and the events that there were.
type Study struct {
	Tenant   string
	Rules    *RuleSet
	Params   map[string]map[string]any
	Lateness time.Duration
	History  History
}

// AlertRef names an alert: by its id or the beginning of it, or by rule and group,
// of which At chooses one when there are several; the latest if At is zero.
type AlertRef struct {
	ID    string
	Rule  string
	Group map[string]string
	At    time.Time // a time at which the alert was open
}

// Explanation says why an alert opened.
type Explanation struct {
	Alert  Alert          `json:"alert"`
	Title  string         `json:"title"`
	Kind   Kind           `json:"kind"`
	Params []ParamInForce `json:"params"`
	Where  string         `json:"where,omitempty"`
	Window string         `json:"window,omitempty"`  // how long
	Opened *WindowNumbers `json:"opened,omitempty"`  // what the condition came to then; nil when one event is enough
	Facts  []Fact         `json:"facts,omitempty"`   // what the group was known by then
	Events []EventLine    `json:"events"`            // of the alert, the first and the latest
	More   int            `json:"more_events"`       // that are not shown
	Rule   string         `json:"rule_file"`         // where it stands
	Advice string         `json:"runbook,omitempty"` // what the rule's author says to do
}

// ParamInForce is a parameter of a rule as it was.
type ParamInForce struct {
	Name    string `json:"name"`
	Value   any    `json:"value"`
	Default any    `json:"default"`
	Doc     string `json:"doc,omitempty"`
}

// ErrNoAlert is wrapped when the events make no such alert.
var ErrNoAlert = errors.New("no such alert")

// Explain runs the rules over the history again and says why the alert opened.
func (s *Study) Explain(ctx context.Context, ref AlertRef) (*Explanation, error) {
	rules := s.Rules
	if ref.Rule != "" {
		r := s.Rules.Rule(ref.Rule)
		if r == nil {
			return nil, s.Rules.unknownRule(ref.Rule)
		}
		rules = s.Rules.around(r)
	}
	alerts, err := s.alerts(ctx, rules)
	if err != nil {
		return nil, err
	}
	a, err := ref.choose(alerts)
	if err != nil {
		return nil, err
	}
	r := s.Rules.Rule(a.Rule)
	out := &Explanation{Alert: a, Title: r.Title, Kind: r.Kind(), Where: r.Where.Value, Rule: r.File(), Advice: r.Runbook}
	if d := max(r.Window, r.Within); d > 0 {
		out.Window = formatLength(d)
	}
	return out, s.trace(ctx, r, a, out)
}

// trace runs the alert's rule once more, with a probe at its group.
func (s *Study) trace(ctx context.Context, r *Rule, a Alert, out *Explanation) error {
	var p *probe
	opts := s.options(r)
	opts.OnChange = func(c Change) {
		if c.Transition == Opened && c.Alert.Rule == a.Rule && c.Alert.ID == a.ID {
			out.Opened, out.Facts = p.opening, p.facts
		}
	}
	e, err := NewEngine(s.Tenant, s.Rules.around(r), opts)
	if err != nil {
		return err
	}
	if p, err = newProbe(e, s.Rules, r.ID, opts.Params[r.ID], a.Group); err != nil {
		return err
	}
	for _, q := range keys(r.Params) {
		out.Params = append(out.Params, ParamInForce{q, p.rule.params[q], r.Params[q].Default, r.Params[q].Doc})
	}
	ids := map[string]bool{}
	for _, id := range a.EventIDs {
		ids[id] = true
	}
	err = s.History(ctx, func(ev *logstream.Event) error {
		e.Ingest(ev)
		if ids[ev.ID] {
			delete(ids, ev.ID) // a duplicate is told once
			out.Events = append(out.Events, lineOf(ev))
		}
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("explain alert %s: %w", a.ID, err)
	}
	e.Finish()
	slices.SortStableFunc(out.Events, func(x, y EventLine) int { return x.Date.Compare(y.Date) })
	out.More = max(a.Count-len(out.Events), 0)
	return nil
}

// lineOf is an event in short.
func lineOf(ev *logstream.Event) EventLine {
	l := EventLine{ID: ev.ID, Date: ev.Time.UTC(), Type: ev.Type, Counted: true}
	l.IP, _ = ev.LookupString(ipPath)
	l.UserID, _ = ev.LookupString(userIDPath)
	l.UserName, _ = ev.LookupString(userNamePath)
	return l
}

var ipPath, userIDPath = mustPath("ip"), mustPath("user_id")

func (s *Study) options(r *Rule) Options {
	o := Options{Params: map[string]map[string]any{}, Lateness: s.Lateness}
	for id, p := range s.Params {
		if r == nil || s.Rules.around(r).Rule(id) != nil {
			o.Params[id] = p
		}
	}
	return o
}

// alerts are those that the history makes, as they finally were.
func (s *Study) alerts(ctx context.Context, rules *RuleSet) ([]Alert, error) {
	latest := map[string]Alert{}
	var order []string
	opts := Options{Params: map[string]map[string]any{}, Lateness: s.Lateness, OnChange: func(c Change) {
		if _, known := latest[c.Alert.ID]; !known {
			order = append(order, c.Alert.ID)
		}
		latest[c.Alert.ID] = c.Alert
	}}
	for id, p := range s.Params {
		if rules.Rule(id) != nil {
			opts.Params[id] = p
		}
	}
	e, err := NewEngine(s.Tenant, rules, opts)
	if err != nil {
		return nil, err
	}
	if err := s.History(ctx, func(ev *logstream.Event) error {
		e.Ingest(ev)
		return ctx.Err()
	}); err != nil {
		return nil, fmt.Errorf("read the events: %w", err)
	}
	e.Settle()
	out := make([]Alert, len(order))
	for i, id := range order {
		out[i] = latest[id]
	}
	return out, nil
}

// choose finds the alert that is meant.
func (ref AlertRef) choose(alerts []Alert) (Alert, error) {
	var found []Alert
	for _, a := range alerts {
		if ref.matches(&a) {
			found = append(found, a)
		}
	}
	switch {
	case len(found) == 0:
		return Alert{}, fmt.Errorf("%w: the events make %d alerts, and %s is not among them", ErrNoAlert, len(alerts), ref)
	case len(found) == 1 || ref.ID == "":
		return found[len(found)-1], nil
	}
	ids := make([]string, len(found))
	for i, a := range found {
		ids[i] = a.ID
	}
	return Alert{}, fmt.Errorf("%w: %s could be %s", ErrNoAlert, ref, strings.Join(ids, " or "))
}

func (ref AlertRef) matches(a *Alert) bool {
	if ref.ID != "" && !strings.HasPrefix(a.ID, ref.ID) || ref.Rule != "" && a.Rule != ref.Rule {
		return false
	}
	for k, v := range ref.Group {
		if a.Group[k] != v {
			return false
		}
	}
	return ref.At.IsZero() || !a.OpenedAt.After(ref.At) && (a.ResolvedAt == nil || !a.ResolvedAt.Before(ref.At))
}

// String names the alert for people.
func (ref AlertRef) String() string {
	if ref.ID != "" {
		return ref.ID
	}
	text := "one of rule " + ref.Rule
	for _, k := range keys(ref.Group) {
		text += fmt.Sprintf(", %s %s", k, ref.Group[k])
	}
	if !ref.At.IsZero() {
		text += " open at " + ref.At.Format(time.RFC3339)
	}
	return text
}
