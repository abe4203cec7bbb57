package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"portcullis/detections"
	"portcullis/responders"
	"portcullis/responders/control/networkacl"
	"portcullis/responders/playbook"
)

// life is one run of a tenant, from its recovery to its stop. When the store
// fails it ends, and another one recovers from what is durable.
type life struct {
	t         *tenant
	responder *responders.Responder
	runner    *playbook.Runner
	intake    *intake

	// arrived is when what is evaluated arrived, as the journal has it, so that a
	// recovery sets aside what was set aside. It belongs to the intake.
	arrived time.Time

	findings *findings
	// blindSince is since when the tenant has not been seen; zero while it is. It
	// belongs to the intake.
	blindSince time.Time

	unanswered unanswered
	incidents  incidentStore
}

// begin brings a tenant to where it was: the snapshot of its engine, and what
// was journaled since fed through it again. It says again what it had said;
// people and the tenant know that already, which is recognised further on.
func (t *tenant) begin(ctx context.Context) (_ *life, err error) {
	defer t.survive("recover", &err)
	l := &life{t: t, findings: newFindings(t)}
	incidents, err := openStore(ctx, t.daemon.journal, "incidents", t.name)
	if err != nil {
		return nil, err
	}
	l.incidents = incidentStore{incidents, &l.unanswered}
	t.people.healthy = networkacl.NewHealthy()
	if l.responder, err = t.newResponder(ctx, l.incidents); err != nil {
		return nil, err
	}
	t.answers.Store(l.responder)
	if l.runner, err = t.newRunner(ctx); err != nil {
		return nil, err
	}
	l.responder.SetFeed(responders.Feed{Blind: true, Reason: "nothing was read yet"})
	content := t.content.Load()
	engine, err := detections.NewEngine(t.cfg.Load().Name, content.Rules, detections.Options{
		Params: t.cfg.Load().Params, Lateness: t.daemon.cfg.Rules.Lateness, Ahead: true, Unique: true,
		Now: func() time.Time { return l.arrived }, OnChange: l.found, Logger: t.log,
	})
	if err != nil {
		return nil, err
	}
	l.intake = newIntake(l, engine)
	return l, l.recover(ctx)
}

// survive turns a panic into the error that ends this life: other tenants go
// on, and so does this one if what caused it passes. Events that were not yet
// answered for are with their source still.
func (t *tenant) survive(what string, err *error) {
	if v := recover(); v != nil {
		t.log.Error("a fault of portcullis itself: please report it", "doing", what, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
		*err = fmt.Errorf("%s: panic: %v", what, v)
	}
}

// found takes a change of an alert that was made now.
func (l *life) found(c detections.Change) {
	l.findings.add(c)
	l.offer(c)
}

// offer hands the responder a change of an alert.
func (l *life) offer(c detections.Change) {
	l.unanswered.add(c)
	l.responder.Offer(c)
}

func (l *life) snapshotName() string { return "tenant/" + l.t.name }

func (l *life) recover(ctx context.Context) error {
	in := l.intake
	since := l.t.daemon.opts.now().Add(-in.engine.Memory() - time.Hour)
	if found, err := l.loadSnapshot(ctx); err != nil {
		l.t.log.Error("snapshot not used, recovering from the journal alone", "err", err)
	} else if found {
		since = time.Time{}
	}
	first, _, any, err := l.t.daemon.journal.EventsFirst(ctx, l.t.name)
	if err != nil {
		return err
	}
	if any && in.position > 0 && first > in.position+1 {
		l.t.log.Warn("events that came after the snapshot may have run out of the journal's retention", "snapshot_at", in.position, "journal_from", first)
	}
	start := time.Now()
	events, err := l.replay(ctx, since)
	if err != nil {
		return fmt.Errorf("recover from the journal: %w", err)
	}
	in.fresh = events // the next start need not replay them again
	kept, err := l.incidents.alerts(ctx)
	if err != nil {
		return fmt.Errorf("read the alerts that were answered: %w", err)
	}
	for _, a := range kept {
		l.unanswered.kept(a)
	}
	l.t.feed.remember(kept)
	in.publish()
	if events > 0 || in.position > 0 {
		l.t.log.Info("recovered", "events_replayed", events, "position", in.position, "open_alerts", in.engine.CountOpen(), "took", time.Since(start).Round(time.Millisecond))
	}
	return nil
}

// run reads, evaluates and responds until ctx ends or something fails for good.
// It stops in phases: sources first, then what they brought is evaluated, then
// what was found is answered.
func (l *life) run(ctx context.Context) error {
	rest := context.WithoutCancel(ctx)
	sources, stopSources := context.WithCancel(ctx)
	defer stopSources()
	evaluating, stopEvaluating := context.WithCancel(rest)
	defer stopEvaluating()
	responding, stopResponding := context.WithCancel(rest)
	defer stopResponding()

	writing, stopWriting := context.WithCancel(rest)
	defer stopWriting()

	var reading, evaluation, responses, findings errgroup.Group
	fail := make(chan error, 5)
	watched := func(what string, run func() error) func() error {
		return func() (err error) {
			defer func() {
				if err != nil {
					fail <- err
				}
			}()
			defer l.t.survive(what, &err)
			return run()
		}
	}
	findings.Go(watched("journal findings", func() error { return l.findings.run(writing) }))
	responses.Go(watched("respond", func() error { return l.responder.Run(responding) }))
	responses.Go(watched("run playbooks", func() error { return l.runPlaybooks(responding) }))
	evaluation.Go(watched("evaluate", func() error { return l.intake.run(evaluating) }))
	if l.t.poll != nil {
		reading.Go(watched("poll", func() error { return l.t.poll.Run(sources, l.intake.patiently("poll")) }))
	}
	l.t.open(l.intake)
	select {
	case <-ctx.Done():
	case <-fail:
	}
	l.t.open(nil)
	stopSources()
	err := reading.Wait()
	stopEvaluating()
	err = errors.Join(err, evaluation.Wait())
	stopWriting()
	err = errors.Join(err, findings.Wait())
	stopResponding()
	return errors.Join(err, responses.Wait())
}
