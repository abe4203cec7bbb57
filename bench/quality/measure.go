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
	tail      = 12 * time.Hour // after the day of an attack
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

func (r *result) measureAttacks(ctx context.Context, content *config.Loaded, world *labelled.World, learned []byte, days []event, msgs io.Writer) error {
	control, err := newWatcher(content, learned)
	if err != nil {
		return err
	}
	control.feed(days)
	usual := map[string]bool{}
	for _, t := range control.alerts {
		usual[t.key()] = true
	}
	for _, a := range labelled.Attacks() {
		for _, i := range r.levels {
			if strings.Contains(a.Name, r.only) {
				r.attacks = append(r.attacks, attack{name: a.Name, intensity: i})
			}
		}
	}
	var group errgroup.Group
	group.SetLimit(r.workers)
	for n := range r.attacks {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return r.attacks[n].measure(ctx, content, world, learned, days, usual)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Fprintf(msgs, "%d attacks\n", len(r.attacks))
	return nil
}

// measure runs the attack among the everyday traffic. What was not found in the same
// days without it was found because of it.
func (a *attack) measure(ctx context.Context, content *config.Loaded, world *labelled.World, learned []byte, days []event, usual map[string]bool) error {
	kinds := labelled.Attacks()
	i := slices.IndexFunc(kinds, func(k labelled.Attack) bool { return k.Name == a.name })
	own, err := decoded(kinds[i].Events(world, learnDays, a.intensity))
	if err != nil {
		return err
	}
	w, err := newWatcher(content, learned)
	if err != nil {
		return err
	}
	w.feed(merge(days, own))
	for _, t := range w.inOrder() {
		if !usual[t.key()] && t.Severity != detections.Info {
			a.found = append(a.found, t)
		}
	}
	a.judge(own)
	would, err := w.responses(ctx)
	if err != nil {
		return err
	}
	a.harms = harmsOf(a.name+", "+a.intensity.String(), would)
	acts := actsOf(would)
	for _, t := range a.found {
		for _, what := range acts[t.Rule] {
			if !slices.Contains(a.acts, what) {
				a.acts = append(a.acts, what)
			}
		}
	}
	return nil
}

// judge counts what the attack cost before people heard of it.
func (a *attack) judge(own []event) {
	var begin time.Time
	taken := map[string]time.Time{}
	for i := range own {
		e := &own[i]
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
