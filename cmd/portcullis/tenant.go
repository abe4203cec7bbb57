package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"portcullis/config"
	"portcullis/detections"
	"portcullis/internal/auth0"
	"portcullis/logstream"
	"portcullis/responders"
	"portcullis/responders/control/botdetection"
	"portcullis/responders/control/networkacl"
)

// tenant is the way of one tenant's events.
type tenant struct {
	cfg       *config.Tenant
	daemon    *daemon
	log       *slog.Logger
	api       *auth0.Client
	poll      *logstream.Poll
	responder *responders.Responder
	instance  string

	mu     sync.Mutex // guards engine, which reload swaps rules of
	engine *detections.Engine
}

func newTenant(ctx context.Context, d *daemon, cfg *config.Tenant, content *config.Loaded, instance string, notifiers []responders.Notifier) (*tenant, error) {
	t := &tenant{cfg: cfg, daemon: d, log: d.log.With("tenant", cfg.Name), instance: instance}
	secret, err := d.cfg.ClientSecret(cfg)
	if err != nil {
		return nil, err
	}
	key, err := d.cfg.PrivateKey(cfg)
	if err != nil {
		return nil, err
	}
	t.api, err = auth0.New(auth0.Config{
		Domain: cfg.Domain, CustomDomain: cfg.CustomDomain, BaseURL: cfg.BaseURL,
		ClientID: cfg.ClientID, ClientSecret: secret.Reveal(), PrivateKeyPEM: key,
	}, auth0.Options{ReadOnly: cfg.Mode != responders.Enforce, Logger: d.log, Instance: instance})
	if err != nil {
		return nil, err
	}
	if err := t.newResponder(ctx, content, notifiers); err != nil {
		return nil, err
	}
	t.responder.SetFeed(responders.Feed{Blind: true, Reason: "nothing was read yet"})
	t.engine, err = detections.NewEngine(cfg.Name, content.Rules, detections.Options{
		Params: cfg.Params, Lateness: d.cfg.Rules.Lateness, Ahead: true, Now: d.opts.now, OnChange: t.responder.Offer, Logger: t.log,
	})
	if err != nil {
		return nil, err
	}
	every := cfg.Logs.Poll.Every
	if d.opts.pollEvery != 0 {
		every = d.opts.pollEvery
	}
	t.poll, err = logstream.NewPoll(t.api.HTTPClient(), t.api.BaseURL(), d.journal.Cursor(cfg.Name, "poll"), logstream.PollOptions{
		Every: every, Start: cfg.Logs.Poll.Start, Reject: t.reject, Status: t.pollStatus, Logger: t.log, Now: d.opts.now, IndexLag: d.opts.indexLag,
	})
	return t, err
}

// newResponder wires policies, controls and their stores.
func (t *tenant) newResponder(ctx context.Context, content *config.Loaded, notifiers []responders.Notifier) error {
	stores := map[string]responders.Store{}
	for _, bucket := range []string{"holds", "incidents", "budgets", "controls"} {
		s, err := openStore(ctx, t.daemon.journal, bucket, t.cfg.Name)
		if err != nil {
			return err
		}
		stores[bucket] = s
	}
	op, err := operationIDs(t.instance)
	if err != nil {
		return err
	}
	settings, err := responderTenant(t.cfg)
	if err != nil {
		return err
	}
	guard := func(address string) error {
		_, err := t.responder.NeverTouch().Address(address)
		return err
	}
	controls := map[string]responders.Control{
		botdetection.Name: botdetection.New(t.api, content.Levels, stores["controls"], op),
		networkacl.Name:   networkacl.New(t.api, stores["controls"], op, t.instance, guard),
	}
	limits := map[string]responders.Budget{}
	for kind, b := range t.cfg.Budgets {
		limits[kind] = responders.Budget{Hour: b.Hour, Day: b.Day}
	}
	t.responder, err = responders.New(ctx, settings, content.Policies, controls, responders.Options{
		Holds: stores["holds"], Incidents: stores["incidents"], Budgets: stores["budgets"],
		Record: func(ctx context.Context, doc any) error {
			_, err := t.daemon.journal.AppendDeed(ctx, t.cfg.Name, doc)
			return err
		},
		Notifiers: notifiers, Limits: limits, Now: t.daemon.opts.now, Every: t.daemon.opts.every, Logger: t.daemon.log,
	})
	return err
}

func responderTenant(cfg *config.Tenant) (responders.Tenant, error) {
	nt, err := responders.NewNeverTouch(cfg.NeverTouch.Networks)
	return responders.Tenant{Name: cfg.Name, Mode: cfg.Mode, Modes: cfg.Modes, NeverTouch: nt}, err
}

// recover brings the engine to where it was: the journal is fed through it
// again, in the order of arrival, so that it says again what it had said. What
// people and the tenant know already is recognised further on.
func (t *tenant) recover(ctx context.Context) error {
	since := t.daemon.opts.now().Add(-t.engineMemory())
	events := 0
	err := t.daemon.journal.ReplayEvents(ctx, t.cfg.Name, since, func(_ uint64, raws [][]byte) error {
		for _, raw := range raws {
			ev, err := logstream.Decode(raw)
			if err != nil {
				return fmt.Errorf("event in the journal: %w", err)
			}
			t.engine.Ingest(&ev)
			events++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recover from the journal: %w", err)
	}
	if events > 0 {
		t.log.Info("recovered from the journal", "events", events, "open_alerts", len(t.engine.OpenAlerts()))
	}
	return nil
}

// engineMemory is how far back events can still matter to a rule.
func (t *tenant) engineMemory() time.Duration { return t.engine.Memory() + time.Hour }

// read polls the tenant's log until ctx ends.
func (t *tenant) read(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() {
		err := t.poll.Run(ctx, t.deliver)
		if err != nil {
			err = fmt.Errorf("tenant %s: %w", t.cfg.Name, err)
		}
		done <- err
	}()
	return done
}

// deliver journals a batch and only then evaluates it.
func (t *tenant) deliver(ctx context.Context, b logstream.Batch) error {
	raws := make([][]byte, len(b.Events))
	for i := range b.Events {
		raws[i] = b.Events[i].Raw()
	}
	if len(raws) > 0 {
		if _, err := t.daemon.journal.AppendEvents(ctx, t.cfg.Name, t.daemon.opts.now(), raws); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range b.Events {
		t.engine.Ingest(&b.Events[i])
		if t.changesSetting(&b.Events[i]) {
			t.responder.Poke()
		}
	}
	if !b.CaughtUp.IsZero() {
		t.engine.Advance(b.CaughtUp)
	}
	return nil
}

var (
	pathOfChange  = mustPath("details.request.path")
	correlationID = mustPath("references.correlation_id")
)

func mustPath(s string) logstream.Path {
	p, err := logstream.ParsePath(s)
	if err != nil {
		panic(err) // a constant of this file
	}
	return p
}

// changesSetting reports whether an event tells of somebody else's change to a
// setting that holds tighten.
func (t *tenant) changesSetting(ev *logstream.Event) bool {
	if ev.Type != "sapi" {
		return false
	}
	path, _ := ev.LookupString(pathOfChange)
	if !strings.Contains(path, "/attack-protection/") && !strings.Contains(path, "/network-acls") {
		return false
	}
	id, _ := ev.LookupString(correlationID)
	return !strings.HasPrefix(id, "portcullis-"+t.instance+"-")
}

func (t *tenant) reject(r logstream.Reject) {
	t.log.Warn("log entry not readable, kept in the dead letter", "at", r.String())
	if err := t.daemon.letters.Write(r); err != nil {
		t.log.Error("dead letter not written", "err", err)
	}
}

func (t *tenant) pollStatus(s logstream.PollStatus) {
	t.responder.SetFeed(responders.Feed{Blind: !s.OK, Reason: s.Reason})
}

// reload puts other rules, parameters and policies in place.
func (t *tenant) reload(cfg *config.Tenant, content *config.Loaded) error {
	settings, err := responderTenant(cfg)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.engine.SetRules(content.Rules, cfg.Params); err != nil {
		return err
	}
	t.responder.SetPolicies(settings, content.Policies)
	t.cfg = cfg
	return nil
}

// sameConnection reports whether two versions of a tenant differ in nothing
// that only a restart can change.
func sameConnection(a, b *config.Tenant) bool {
	return a.Domain == b.Domain && a.CustomDomain == b.CustomDomain && a.BaseURL == b.BaseURL && a.ClientID == b.ClientID &&
		a.SecretFile == b.SecretFile && a.SecretEnv == b.SecretEnv && a.KeyFile == b.KeyFile && a.Mode == b.Mode &&
		*a.Logs.Poll == *b.Logs.Poll
}
