package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"portcullis/internal/journal"
	"portcullis/logstream"
	"portcullis/responders"
	"portcullis/responders/playbook"
	"portcullis/responders/playbook/account"
)

// rails bounds the runs of one tenant's playbooks by what bounds its holds.
type rails struct {
	t     *tenant
	purse *responders.Purse
	level atomic.Pointer[responders.Level] // of the switch, as the responder last told; nil before
}

// Forbids says why a user or a client is not touched.
func (r *rails) Forbids(kind, subject string) string {
	never := r.t.cfg.Load().NeverTouch
	list := map[string][]string{playbook.OfUser: never.Users, playbook.OfClient: never.Clients}[kind]
	if slices.Contains(list, subject) {
		return subject + " is on the never-touch list"
	}
	if kind == playbook.OfClient && subject == r.t.cfg.Load().ClientID {
		return subject + " is our own application"
	}
	return ""
}

// Spend counts a run against the tenant's budgets.
func (r *rails) Spend(ctx context.Context, budget string, now time.Time) (string, error) {
	return r.purse.Spend(ctx, budget, now)
}

// Stopped says why nothing may be written now.
func (r *rails) Stopped() string {
	if why := r.t.daemon.frozenByFile(); why != "" {
		return why
	}
	switch level := r.level.Load(); {
	case r.t.cfg.Load().Mode == responders.Observe:
		return "the tenant's mode is observe"
	case level != nil && *level == responders.Frozen:
		return "frozen"
	}
	return ""
}

// newRunner makes what runs a tenant's playbooks, with the runs that were kept.
func (t *tenant) newRunner(ctx context.Context) (*playbook.Runner, error) {
	budgets, err := openStore(ctx, t.daemon.journal, "budgets", t.name)
	if err != nil {
		return nil, err
	}
	runs, err := openStore(ctx, t.daemon.journal, "runs", t.name)
	if err != nil {
		return nil, err
	}
	s, err := responders.ReadSwitch(ctx, budgets)
	if err != nil {
		return nil, err
	}
	t.rails.level.Store(&s.Level)
	if t.rails.purse, err = responders.OpenPurse(ctx, limitsOf(t.cfg.Load()), budgets, "spent on playbooks"); err != nil {
		return nil, err
	}
	op, err := operationIDs(t.instance)
	if err != nil {
		return nil, err
	}
	return playbook.New(ctx, t.content.Load().Playbooks, playbook.Options{
		Tenant: t.name, Store: runs, Rails: &t.rails, Measures: account.Measures(t.api), Op: op, Now: t.daemon.opts.now, Notes: account.Notes, Logger: t.daemon.log,
		Record: func(ctx context.Context, id string, doc any) error {
			_, err := t.daemon.journal.AppendDeed(ctx, t.name, id, doc)
			return err
		},
	})
}

// runnerEvery bounds how long is slept: the clock of a simulation runs faster.
const runnerEvery = time.Second

// runPlaybooks moves runs until ctx ends.
func (l *life) runPlaybooks(ctx context.Context) error {
	for {
		next, err := l.runner.Step(ctx)
		if ctx.Err() != nil {
			return nil // what is under way is looked at by the next life
		}
		if err == nil {
			err = l.runner.Forget(ctx)
		}
		if err != nil {
			return fmt.Errorf("run playbooks: %w", err)
		}
		wait := runnerEvery
		if !next.IsZero() {
			wait = max(0, min(wait, next.Sub(l.t.daemon.opts.now())))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-l.runner.Wake():
		}
		timer.Stop()
	}
}

// playbookTypes are the events that a run may wait for or learn from.
var playbookTypes = []string{"scp", "scpr", "fcp", "fcpr", "sce", "s", "sui", "ublkdu", "gd_auth_succeed", "gd_enrollment_complete", "gd_unenroll"}

// seePlaybooks offers an event to the runs that wait for one.
func (l *life) seePlaybooks(ev *logstream.Event) {
	if !slices.Contains(playbookTypes, ev.Type) || !l.runner.Waits() {
		return
	}
	var fields map[string]any
	if err := json.Unmarshal(ev.Raw(), &fields); err != nil {
		l.t.log.Error("event not offered to playbooks", "log_id", ev.ID, "err", err)
		return
	}
	l.runner.See(ev.Time, fields)
}

// readRuns reads every tenant's runs from the store, the oldest first.
func readRuns(ctx context.Context, j *journal.Journal) ([]playbook.Run, error) {
	kv, err := j.KV(ctx, "runs")
	if err != nil {
		return nil, err
	}
	all, err := kv.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the runs: %w", err)
	}
	runs := make([]playbook.Run, 0, len(all))
	for key, data := range all {
		var run playbook.Run
		if err := json.Unmarshal(data, &run); err != nil {
			return nil, fmt.Errorf("read run %s: %w", key, err)
		}
		runs = append(runs, run)
	}
	playbook.SortRuns(runs)
	return runs, nil
}

// errNotGuarded is told while a tenant is between two lives.
var errNotGuarded = errors.New("the tenant is not guarded at the moment: try again")
