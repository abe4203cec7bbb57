package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/config"
	"portcullis/detections"
	"portcullis/internal/tenantsim/labelled"
	"portcullis/logstream"
	"portcullis/responders"
	"portcullis/responders/control"
)

// event is one event and how the engine reads it.
type event struct {
	labelled.Event
	read logstream.Event
}

func decoded(list []labelled.Event) ([]event, error) {
	out := make([]event, len(list))
	for i, e := range list {
		read, err := logstream.Decode(e.Raw)
		if err != nil {
			return nil, fmt.Errorf("read event %s: %w", e.ID, err)
		}
		out[i] = event{e, read}
	}
	return out, nil
}

// told is an alert as it is last known, and when people heard of it.
type told struct {
	detections.Alert
	at time.Time // of the event with which it opened
}

// key tells the same alert in two runs.
func (t *told) key() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d", t.Rule, t.OpenedAt.UnixMilli())
	for _, k := range slices.Sorted(maps.Keys(t.Group)) {
		fmt.Fprintf(&b, " %s=%s", k, t.Group[k])
	}
	return b.String()
}

// watcher runs the engine as the daemon does, and notes what it tells and when.
type watcher struct {
	content *config.Loaded
	engine  *detections.Engine
	now     time.Time
	alerts  map[string]*told
	changes []responders.TimedChange
	others  []control.Login // what people who are no attackers do
}

func newWatcher(content *config.Loaded, snapshot []byte) (*watcher, error) {
	w := &watcher{content: content, alerts: map[string]*told{}}
	var err error
	w.engine, err = detections.NewEngine("storefront", content.Rules, detections.Options{Ahead: true, Unique: true, OnChange: w.changed,
		Now: func() time.Time { return w.now }})
	if err == nil && snapshot != nil {
		err = w.engine.Restore(snapshot)
	}
	return w, err
}

func (w *watcher) feed(events []event) {
	for i := range events {
		e := &events[i]
		w.now = e.At
		w.engine.Ingest(&e.read)
		if !e.Hostile {
			w.others = append(w.others, control.Login{At: e.At, User: cmp.Or(e.UserID, "a name that does not exist"), IP: e.IP})
		}
	}
}

// forget leaves out what was found so far.
func (w *watcher) forget() {
	w.alerts, w.changes, w.others = map[string]*told{}, nil, nil
}

func (w *watcher) changed(c detections.Change) {
	t := w.alerts[c.Alert.ID]
	if t == nil {
		t = &told{at: w.now}
		w.alerts[c.Alert.ID] = t
	}
	t.Alert = c.Alert
	w.changes = append(w.changes, responders.TimedChange{At: w.now, Change: c})
}

// inOrder are the alerts by the time they were told at.
func (w *watcher) inOrder() []*told {
	out := slices.Collect(maps.Values(w.alerts))
	slices.SortFunc(out, func(a, b *told) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.key(), b.key())) })
	return out
}

// responses are what would have been done while the events happened, and what
// people who are no attackers would have met of it.
func (w *watcher) responses(ctx context.Context) ([]responders.Would, error) {
	what := responders.NewWhatIf(responders.Tenant{Name: "storefront"}, w.content.Policies, w.content.Checkers(), nil)
	return what.PlayChanges(ctx, w.changes, w.others, nil)
}

// harm is a response that would have touched somebody who is no attacker.
type harm struct {
	during string // attack or calm week
	responders.Would
}

func (h *harm) String() string {
	return fmt.Sprintf("%s: %s (%s) on %s, %s to %s: %d users", h.during, h.Control, h.Rule, h.Subject, h.From.Format("Mon 15:04"), h.Until.Format("15:04"), h.Hit.Users)
}

// harmsOf are the responses that are aimed at somebody, would be given without a
// person's word, and meet others. What tightens the tenant for all is told apart.
func harmsOf(during string, list []responders.Would) []harm {
	var out []harm
	for _, w := range list {
		if w.Subject != "" && !w.Asked && w.Hit.Users > 0 {
			out = append(out, harm{during, w})
		}
	}
	return out
}

// actsOf are the responses that rules lead to, by rule.
func actsOf(list []responders.Would) map[string][]string {
	out := map[string][]string{}
	for _, w := range list {
		what := w.Control
		if w.Subject == "" {
			what += " " + w.Level
		}
		if w.Asked {
			what += " (asked)"
		}
		if !slices.Contains(out[w.Rule], what) {
			out[w.Rule] = append(out[w.Rule], what)
		}
	}
	return out
}

// tightened is for how long something would have been tightened for everybody.
func tightened(list []responders.Would) (sum time.Duration) {
	var end time.Time
	for _, w := range list { // in order of From
		from := w.From
		if w.Subject != "" || w.Asked {
			continue
		}
		if from.Before(end) {
			from = end
		}
		if w.Until.After(from) {
			sum += w.Until.Sub(from)
			end = w.Until
		}
	}
	return sum
}
