package main

import (
	"cmp"
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

// action is a response that would have been given, and while it would have lasted.
type action struct {
	rule, control, level, subject string
	from, until                   time.Time
	alert                         string // its id
}

// watcher runs the engine as the daemon does, and the responders' code on each
// change of an alert.
type watcher struct {
	content   *config.Loaded
	engine    *detections.Engine
	incidents detections.Incidents
	now       time.Time
	alerts    map[string]*told
	actions   map[string]*action
	lasts     map[string]time.Duration // the longest hold that policies ask for, by control
}

func newWatcher(content *config.Loaded, snapshot []byte) (*watcher, error) {
	w := &watcher{content: content, alerts: map[string]*told{}, actions: map[string]*action{}, lasts: map[string]time.Duration{}}
	for _, p := range content.Policies {
		for _, a := range p.Do {
			control := cmp.Or(a.Hold, a.Restore)
			w.lasts[control] = max(w.lasts[control], a.For, a.MinDwell)
		}
	}
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
		w.now = events[i].At
		w.engine.Ingest(&events[i].read)
	}
}

// forget leaves out what was found so far.
func (w *watcher) forget() {
	w.incidents, w.alerts, w.actions = detections.Incidents{}, map[string]*told{}, map[string]*action{}
}

func (w *watcher) changed(c detections.Change) {
	t := w.alerts[c.Alert.ID]
	if t == nil {
		t = &told{at: w.now}
		w.alerts[c.Alert.ID] = t
	}
	t.Alert = c.Alert
	in, _, _ := w.incidents.Apply(c)
	if c.Transition == detections.Resolved {
		return // nothing is asked for any more
	}
	would := responders.WouldDo(responders.Tenant{Name: "storefront", Mode: responders.Observe}, w.content.Policies, w.content.Checkers(), c.Alert, in)
	for _, r := range would.Responses {
		if r.Outcome != "proposed" {
			continue
		}
		until := c.Alert.UpdatedAt.Add(w.lasts[r.Control])
		key := c.Alert.ID + " " + r.Control + " " + r.Subject
		if a := w.actions[key]; a != nil {
			a.until = until
			continue
		}
		w.actions[key] = &action{rule: c.Alert.Rule, control: r.Control, level: r.Level, subject: r.Subject, from: w.now, until: until, alert: c.Alert.ID}
	}
}

// inOrder are the alerts by the time they were told at.
func (w *watcher) inOrder() []*told {
	out := slices.Collect(maps.Values(w.alerts))
	slices.SortFunc(out, func(a, b *told) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.key(), b.key())) })
	return out
}

// taken are the actions in an order that depends on nothing but them.
func (w *watcher) taken() []*action {
	out := slices.Collect(maps.Values(w.actions))
	slices.SortFunc(out, func(a, b *action) int {
		return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.rule, b.rule), cmp.Compare(a.control, b.control), cmp.Compare(a.subject, b.subject))
	})
	return out
}
