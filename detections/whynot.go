package detections

import (
	"context"
	"fmt"
	"time"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/logstream"
)

// Silence says why a rule had no alert for a group at a time.
type Silence struct {
	Rule    string            `json:"rule"`
	Title   string            `json:"title"`
	Kind    Kind              `json:"kind"`
	Group   map[string]string `json:"group"`
	At      time.Time         `json:"at"`
	From    time.Time         `json:"from"`            // events from here to At were looked at
	Open    *Alert            `json:"alert"`           // the alert that was open then after all; nil when there was none
	Counted int               `json:"counted"`         // events of the group that counted
	Left    map[string]int    `json:"left_out"`        // events of the group that did not, by the part of where that failed
	Latest  *WindowNumbers    `json:"latest"`          // what the condition came to last, up to At
	Best    *WindowNumbers    `json:"best"`            // and when it was nearest to holding
	Facts   []Fact            `json:"facts,omitempty"` // what the group was known by
	Events  []EventLine       `json:"events"`          // of the group, the first and the latest
	// Exceptions are those that left out events of the group or swallowed its alerts.
	Exceptions []Exempted     `json:"exceptions,omitempty"`
	Swallowed  *Alert         `json:"swallowed,omitempty"` // the alert that an exception kept from being told then
	Future     int64          `json:"future"`              // events of the tenant that were set aside: stamped in the future
	Params     []ParamInForce `json:"params"`
}

// WhyNot runs a rule over the history and says why it had no alert for a group at
// a time, or that it had.
func (s *Study) WhyNot(ctx context.Context, rule string, group map[string]string, when time.Time) (*Silence, error) {
	r := s.Rules.Rule(rule)
	if r == nil {
		return nil, s.Rules.unknownRule(rule)
	}
	out := &Silence{Rule: r.ID, Title: r.Title, Kind: r.Kind(), Group: group, At: when.UTC()}
	opts := s.options(r)
	latest := map[string]Alert{}
	opts.OnChange = func(c Change) { latest[c.Alert.ID] = c.Alert }
	e, err := NewEngine(s.Tenant, s.Rules.around(r), opts)
	if err != nil {
		return nil, err
	}
	p, err := newProbe(e, s.Rules, rule, opts.Params[rule], group)
	if err != nil {
		return nil, err
	}
	if err := p.checkGroup(group); err != nil {
		return nil, err
	}
	back := max(time.Duration(p.rule.span())*time.Millisecond, time.Hour)
	out.From = out.At.Add(-back)
	p.from, p.to = out.From.UnixMilli(), when.UnixMilli()
	for _, name := range keys(r.Params) {
		out.Params = append(out.Params, ParamInForce{name, p.rule.params[name], r.Params[name].Default, r.Params[name].Doc})
	}
	if err := s.History(ctx, func(ev *logstream.Event) error {
		e.Ingest(ev)
		return ctx.Err()
	}); err != nil {
		return nil, fmt.Errorf("read the events: %w", err)
	}
	e.Settle()
	ref := AlertRef{Rule: rule, Group: group, At: when}
	for _, id := range keys(latest) {
		if a := latest[id]; ref.matches(&a) {
			out.Open = &a
		}
	}
	for _, id := range keys(p.swallowed) {
		if a := p.swallowed[id]; ref.matches(&a) {
			out.Swallowed = &a
		}
	}
	out.Exceptions = p.exceptions()
	out.Counted, out.Left, out.Events = p.entered, p.left, p.events
	out.Latest, out.Best, out.Facts, out.Future = p.latest, p.best, p.facts, e.Stats().Future
	return out, nil
}

// checkGroup refuses a key that the rule's groups do not have.
func (p *probe) checkGroup(group map[string]string) error {
	var names []string
	for _, g := range p.rule.group {
		names = append(names, g.name)
	}
	for _, k := range keys(group) {
		found := false
		for _, n := range names {
			found = found || n == k
		}
		if !found {
			return fmt.Errorf("rule %s has no key %s%s; it has %v", p.rule.ID, k, diag.DidYouMean(k, names), names)
		}
	}
	for _, n := range names {
		if _, ok := group[n]; !ok {
			return fmt.Errorf("rule %s groups by %v: a value for %s is missing", p.rule.ID, names, n)
		}
	}
	return nil
}

// unknownRule is the error for a rule that there is not.
func (s *RuleSet) unknownRule(id string) error {
	return fmt.Errorf("no rule is called %s%s", id, diag.DidYouMean(id, s.IDs()))
}

func formatLength(d time.Duration) string { return yamldoc.FormatDuration(d) }
