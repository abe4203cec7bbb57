package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"portcullis/config"
	"portcullis/detections"
	"portcullis/internal/tenantsim/labelled"
)

// The rules learn for so many days; then come the calm week, and, beside it from
// the same state, each attack on the first day of it.
const (
	learnDays = 15
	weekDays  = 7
	tail      = 12 * time.Hour // of everyday traffic after that day
	settle    = 2 * time.Hour  // after the end of an attack, before it counts as over
)

type options struct {
	users   int
	seed    uint64
	only    string // attacks whose name holds it
	levels  []labelled.Intensity
	workers int
}

// result is all that was measured.
type result struct {
	options
	rules, policies int
	calm            calm
	attacks         []attack
}

// calm is the calm week.
type calm struct {
	events  int
	alarms  []alarm
	acts    map[string][]string // by rule
	harms   []harm
	tightly time.Duration // while something would have been tightened for all
}

// alarm is an alert of calm traffic.
type alarm struct {
	rule     string
	severity detections.Severity
	story    string // "" for everyday traffic
}

// attack is one attack at one intensity.
type attack struct {
	name      string
	intensity labelled.Intensity
	events    int
	accounts  int // that it got hold of
	lost      int // of these, before the first alert
	found     []*told
	minutes   float64 // from its first event to the first alert
	acts      []string
	harms     []harm

	is      labelled.Attack
	own     []event // until it is judged
	alerts  []*told // likewise
	actions map[string][]string
}

// measure runs everything. The rules' state after learning is kept once and serves
// every attack, so that each is measured by itself.
func measure(ctx context.Context, content *config.Loaded, world *labelled.World, o options, msgs io.Writer) (*result, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(200)) // most of what is made is garbage at once
	r := &result{options: o, rules: len(content.Rules.Rules), policies: len(content.Policies)}
	w, err := newWatcher(content, nil)
	if err != nil {
		return nil, err
	}
	for day := range learnDays {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		events, err := decoded(world.Day(day))
		if err != nil {
			return nil, err
		}
		w.feed(events)
	}
	fmt.Fprintf(msgs, "learned %d days\n", learnDays)
	learned, err := w.engine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("keep what was learned: %w", err)
	}
	w.forget()
	days, err := r.calmWeek(ctx, w, world)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(msgs, "a calm week: %d alerts\n", len(r.calm.alarms))
	return r, r.measureAttacks(ctx, content, world, learned, days, msgs)
}

// calmWeek runs the week with its stories, and returns the everyday traffic of the
// attacks' day.
func (r *result) calmWeek(ctx context.Context, w *watcher, world *labelled.World) ([]event, error) {
	var first []event
	stories := map[string]string{} // by id of an event or an alert
	var told [][]labelled.Event
	for _, s := range labelled.Stories() {
		events := s.Events(world, learnDays)
		for _, e := range events {
			stories[e.ID] = s.Name
		}
		told = append(told, events)
	}
	extra := labelled.Merge(told...)
	for day := range weekDays {
		everyday := world.Day(learnDays + day)
		end, n := labelled.DayStart(learnDays+day+1), 0
		for n < len(extra) && extra[n].At.Before(end) {
			n++
		}
		if day < 2 {
			events, err := decoded(everyday)
			if err != nil {
				return nil, err
			}
			first = append(first, events...)
		}
		events, err := decoded(labelled.Merge(everyday, extra[:n]))
		if err != nil {
			return nil, err
		}
		extra = extra[n:]
		w.feed(events)
		r.calm.events += len(events)
	}
	if err := r.judgeCalm(ctx, w, stories); err != nil {
		return nil, err
	}
	i, _ := slices.BinarySearchFunc(first, labelled.DayStart(learnDays+1).Add(tail), func(e event, t time.Time) int { return e.At.Compare(t) })
	return first[:i], nil
}

func (r *result) judgeCalm(ctx context.Context, w *watcher, stories map[string]string) error {
	would, err := w.responses(ctx)
	if err != nil {
		return err
	}
	r.calm.harms, r.calm.acts, r.calm.tightly = harmsOf("calm week", would), actsOf(would), tightened(would)
	for _, t := range w.inOrder() {
		story := ""
		for _, id := range t.EventIDs {
			if story = stories[id]; story != "" {
				break
			}
		}
		stories[t.ID] = story // rules on signals read it
		if t.Severity != detections.Info {
			r.calm.alarms = append(r.calm.alarms, alarm{t.Rule, t.Severity, story})
		}
	}
	return nil
}

// measureAttacks runs the everyday traffic once and, from where an attack begins, the
// attack among it. What is not found in the everyday traffic alone was found because
// of the attack.
func (r *result) measureAttacks(ctx context.Context, content *config.Loaded, world *labelled.World, learned []byte, days []event, msgs io.Writer) error {
	for _, a := range labelled.Attacks() {
		for _, i := range r.levels {
			if strings.Contains(a.Name, r.only) {
				r.attacks = append(r.attacks, attack{name: a.Name, intensity: i, is: a})
			}
		}
	}
	base, err := newWatcher(content, learned)
	if err != nil {
		return err
	}
	rest := days
	for _, at := range r.beginnings() {
		n, _ := slices.BinarySearchFunc(rest, at, func(e event, t time.Time) int { return e.At.Compare(t) })
		base.feed(rest[:n])
		rest = rest[n:]
		snapshot, err := base.engine.Snapshot()
		if err != nil {
			return fmt.Errorf("keep what is known at %s: %w", at, err)
		}
		var group errgroup.Group
		group.SetLimit(r.workers)
		for n := range r.attacks {
			if a := &r.attacks[n]; a.begins().Equal(at) {
				group.Go(func() error { return a.run(ctx, content, world, snapshot, rest) })
			}
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	base.feed(rest)
	usual := map[string]bool{}
	for _, t := range base.alerts {
		usual[t.key()] = true
	}
	for n := range r.attacks {
		r.attacks[n].judge(usual)
	}
	fmt.Fprintf(msgs, "%d attacks\n", len(r.attacks))
	return nil
}

// beginnings are the times at which attacks begin, each once.
func (r *result) beginnings() []time.Time {
	var out []time.Time
	for n := range r.attacks {
		out = append(out, r.attacks[n].begins())
	}
	slices.SortFunc(out, time.Time.Compare)
	return slices.Compact(out)
}

// begins leaves time for what comes just before the first try.
func (a *attack) begins() time.Time {
	return labelled.DayStart(learnDays).Add(a.is.From - time.Hour).Truncate(time.Hour)
}

// run runs the attack among the everyday traffic that is left, until it is over; if
// nothing was told by then, as long as there is traffic.
func (a *attack) run(ctx context.Context, content *config.Loaded, world *labelled.World, snapshot []byte, rest []event) error {
	own, err := decoded(a.is.Events(world, learnDays, a.intensity))
	if err != nil {
		return err
	}
	a.own = own
	w, err := newWatcher(content, snapshot)
	if err != nil {
		return err
	}
	events := merge(rest, own)
	over := own[len(own)-1].At.Add(settle)
	n, _ := slices.BinarySearchFunc(events, over, func(e event, t time.Time) int { return e.At.Compare(t) })
	for len(events) > 0 && ctx.Err() == nil && (n > 0 || !a.told(w)) {
		if n == 0 {
			n = min(len(events), 5000)
		}
		w.feed(events[:n])
		events, n = events[n:], 0
	}
	would, err := w.responses(ctx)
	if err != nil {
		return err
	}
	a.alerts, a.actions = w.inOrder(), actsOf(would)
	a.harms = harmsOf(a.name+", "+a.intensity.String(), would)
	return ctx.Err()
}

// told reports whether an alert tells of the attack, as far as can be said before
// it is known what is usual: it names an event of it.
func (a *attack) told(w *watcher) bool {
	for _, t := range w.alerts {
		if t.Severity == detections.Info {
			continue
		}
		for i := range a.own {
			if slices.Contains(t.EventIDs, a.own[i].ID) {
				return true
			}
		}
	}
	return false
}

// judge sorts out what was found because of the attack, and what it cost.
func (a *attack) judge(usual map[string]bool) {
	for _, t := range a.alerts {
		if usual[t.key()] || t.Severity == detections.Info {
			continue
		}
		a.found = append(a.found, t)
		for _, what := range a.actions[t.Rule] {
			if !slices.Contains(a.acts, what) {
				a.acts = append(a.acts, what)
			}
		}
	}
	a.count()
	a.own, a.alerts, a.actions = nil, nil, nil
}

// count counts what the attack cost before people heard of it.
func (a *attack) count() {
	var begin time.Time
	taken := map[string]time.Time{}
	for i := range a.own {
		e := &a.own[i]
		if !e.Hostile {
			continue
		}
		a.events++
		if begin.IsZero() {
			begin = e.At
		}
		if _, known := taken[e.UserID]; e.Took() && !known {
			taken[e.UserID] = e.At
		}
	}
	a.accounts = len(taken)
	for _, at := range taken {
		if len(a.found) == 0 || at.Before(a.found[0].at) {
			a.lost++
		}
	}
	if len(a.found) > 0 {
		a.minutes = a.found[0].at.Sub(begin).Minutes()
	}
}

// merge puts two lists that are in order into one.
func merge(a, b []event) []event {
	out := make([]event, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if b[0].At.Before(a[0].At) {
			out, b = append(out, b[0]), b[1:]
		} else {
			out, a = append(out, a[0]), a[1:]
		}
	}
	return append(append(out, a...), b...)
}

// harmed are all the responses that would have touched a bystander.
func (r *result) harmed() []harm {
	out := slices.Clone(r.calm.harms)
	for _, a := range r.attacks {
		out = append(out, a.harms...)
	}
	return out
}
