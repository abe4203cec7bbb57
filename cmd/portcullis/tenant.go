package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"portcullis/config"
	"portcullis/internal/auth0"
	"portcullis/internal/journal"
	"portcullis/logstream"
	"portcullis/responders"
	"portcullis/responders/control"
	"portcullis/responders/control/actions"
	"portcullis/responders/control/all"
	"portcullis/responders/control/networkacl"
)

// tenant is one guarded tenant: what stays the same over its lives.
type tenant struct {
	name      string
	daemon    *daemon
	log       *slog.Logger
	api       *auth0.Client
	instance  string
	notifiers []responders.Notifier
	rails     rails

	cfg     atomic.Pointer[config.Tenant]
	content atomic.Pointer[config.Loaded]

	poll     *logstream.Poll                   // nil when events come by webhook alone
	webhook  *logstream.Webhook                // nil when they come by poll alone
	monitors map[string]*logstream.FeedMonitor // by source
	current  atomic.Pointer[intake]            // nil between lives
	answers  atomic.Pointer[responders.Responder]
	people   people // who logged in, and what network ACLs did
	feed     feedState

	lease   *journal.Lease
	standby atomic.Pointer[string] // who guards the tenant instead; nil while this process does, or is about to

	gaps     atomic.Int64 // told by the poll
	failures atomic.Int64 // lives that ended in one

	streamNote atomic.Pointer[string] // what of the log stream cannot be seen, and why; nil before it was asked for
}

func newTenant(ctx context.Context, d *daemon, cfg *config.Tenant, content *config.Loaded, instance string, notifiers []responders.Notifier) (*tenant, error) {
	t := &tenant{name: cfg.Name, daemon: d, log: d.log.With("tenant", cfg.Name), instance: instance, notifiers: notifiers,
		monitors: map[string]*logstream.FeedMonitor{}}
	t.rails.t = t
	t.cfg.Store(cfg)
	t.content.Store(content)
	t.lease = d.journal.Lease(cfg.Name, d.process, d.opts.lease)
	t.people.healthy = networkacl.NewHealthy()
	var err error
	t.api, err = openAPI(d.cfg, cfg, auth0.Options{ReadOnly: cfg.Mode == responders.Observe, Fence: t.lease.Held, Logger: d.log, Instance: instance})
	if err != nil {
		return nil, err
	}
	if cfg.Logs.Poll != nil {
		if err := t.newPoll(cfg.Logs.Poll); err != nil {
			return nil, err
		}
	}
	if cfg.Logs.Webhook != nil {
		if err := t.newWebhook(cfg); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// openAPI makes the client of a tenant's API.
func openAPI(c *config.Config, t *config.Tenant, opts auth0.Options) (*auth0.Client, error) {
	secret, err := c.ClientSecret(t)
	if err != nil {
		return nil, err
	}
	key, err := c.PrivateKey(t)
	if err != nil {
		return nil, err
	}
	return auth0.New(auth0.Config{
		Domain: t.Domain, CustomDomain: t.CustomDomain, BaseURL: t.BaseURL,
		ClientID: t.ClientID, ClientSecret: secret.Reveal(), PrivateKeyPEM: key,
	}, opts)
}

func (t *tenant) monitor(source string) *logstream.FeedMonitor {
	m := logstream.NewFeedMonitor(source, logstream.HealthOptions{Now: t.daemon.opts.now})
	t.monitors[source] = m
	return m
}

func (t *tenant) newPoll(p *config.Poll) (err error) {
	m := t.monitor("poll")
	every := p.Every
	if t.daemon.opts.pollEvery != 0 {
		every = t.daemon.opts.pollEvery
	}
	t.poll, err = logstream.NewPoll(t.api.HTTPClient(), t.api.BaseURL(), t.daemon.journal.Cursor(t.name, "poll"), logstream.PollOptions{
		Every: every, Start: p.Start, Retention: p.Retention, IndexLag: t.daemon.opts.indexLag, Reject: t.reject,
		Status: m.Status, Gap: func(g logstream.Gap) {
			t.log.Warn("log entries may have been missed", "from", g.From, "to", g.To, "reason", g.Reason)
			t.gaps.Add(1)
			m.Gap(g)
			t.tellGap("lines of the tenant's log may be missing: "+g.Reason, g.From)
		},
		Logger: t.log, Now: t.daemon.opts.now,
	})
	return err
}

func (t *tenant) newWebhook(cfg *config.Tenant) error {
	token, err := t.daemon.cfg.WebhookToken(cfg)
	if err != nil {
		return err
	}
	t.monitor("webhook")
	w := cfg.Logs.Webhook
	t.webhook, err = logstream.NewWebhook(w.Path, []string{token.Reveal()}, func(ctx context.Context, b logstream.Batch) error {
		in := t.current.Load()
		if in == nil {
			return errStopping
		}
		return in.deliver("webhook")(ctx, b)
	}, logstream.WebhookOptions{MaxBody: int64(w.MaxBody), Rate: rate.Limit(w.Rate), Reject: t.reject, Logger: t.log})
	return err
}

// open lets webhooks in; nil turns them away with a 503 until another life has
// begun.
func (t *tenant) open(in *intake) { t.current.Store(in) }

// Between lives it is waited so long, longer after each failure.
const (
	firstRest = time.Second
	lastRest  = time.Minute
)

// guard lives until ctx ends: after a failure it recovers and goes on. Other
// tenants notice nothing.
func (t *tenant) guard(ctx context.Context) error {
	for rest := firstRest; ; rest = min(2*rest, lastRest) {
		began := time.Now()
		begun, err := t.reign(ctx)
		if ctx.Err() != nil {
			if begun {
				return err
			}
			return nil // stopped before it had begun: nothing is half done
		}
		if time.Since(began) > lastRest {
			rest = firstRest
		}
		t.failures.Add(1)
		t.log.Error("tenant not guarded: recovering soon", "err", err, "wait", rest)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rest):
		}
	}
}

// newResponder wires policies, controls and their stores.
func (t *tenant) newResponder(ctx context.Context, incidents responders.Store) (*responders.Responder, error) {
	cfg, content := t.cfg.Load(), t.content.Load()
	stores := map[string]responders.Store{}
	for _, bucket := range []string{"holds", "budgets", "controls", "lines"} {
		s, err := openStore(ctx, t.daemon.journal, bucket, t.name)
		if err != nil {
			return nil, err
		}
		stores[bucket] = s
	}
	op, err := operationIDs(t.instance)
	if err != nil {
		return nil, err
	}
	settings, err := responderTenant(cfg)
	if err != nil {
		return nil, err
	}
	t.people.never.Store(&settings.NeverTouch)
	var r *responders.Responder
	acls := networkacl.New(t.api, stores["controls"], op, t.instance, networkacl.Options{
		Guard:     func(s control.Subject) error { return r.NeverTouch().Subject(s) },
		Protected: func() []netip.Prefix { return r.NeverTouch().Networks() },
		Healthy:   t.people.healthy,
	})
	t.people.acls.Store(acls)
	wants, err := content.WantedActions(cfg)
	if err != nil {
		return nil, err
	}
	controls := map[string]responders.Control{
		actions.Name:    actions.New(t.api, wants, stores["controls"], op),
		networkacl.Name: acls,
	}
	for name, c := range all.New(t.api, content.Levels, stores["controls"], op) {
		c.Limits = func() []control.Limit { return t.cfg.Load().LimitsOf(name) }
		controls[name] = c
	}
	r, err = responders.New(ctx, settings, content.Policies, controls, responders.Options{
		Holds: stores["holds"], Incidents: incidents, Budgets: stores["budgets"], Lines: stores["lines"], Pause: responderPause,
		Record: func(ctx context.Context, id string, doc any) error {
			_, err := t.daemon.journal.AppendDeed(ctx, t.name, id, doc)
			return err
		},
		Notifiers: t.notifiers, Limits: limitsOf(cfg), Now: t.daemon.opts.now, Every: t.daemon.opts.every, Logger: t.daemon.log,
		Stop: t.daemon.frozenByFile, Switched: func(l responders.Level) {
			t.rails.level.Store(&l)
			t.api.SetReadOnly(t.cfg.Load().Mode == responders.Observe || l == responders.Frozen)
		},
	})
	return r, err
}

func limitsOf(cfg *config.Tenant) map[string]responders.Budget {
	limits := map[string]responders.Budget{}
	for kind, b := range cfg.Budgets {
		limits[kind] = responders.Budget{Hour: b.Hour, Day: b.Day}
	}
	return limits
}

func responderTenant(cfg *config.Tenant) (responders.Tenant, error) {
	nt, err := responders.NewNeverTouch(cfg.NeverTouch.Networks, cfg.NeverTouch.Users, cfg.NeverTouch.Clients)
	return responders.Tenant{Name: cfg.Name, Mode: cfg.Mode, Modes: cfg.Modes, NeverTouch: nt}, err
}

func mustPath(s string) logstream.Path {
	p, err := logstream.ParsePath(s)
	if err != nil {
		panic(err) // a constant
	}
	return p
}

func (t *tenant) reject(r logstream.Reject) {
	t.log.Warn("log entry not readable, kept in the dead letter", "at", r.String())
	if err := t.daemon.letters.Write(r); err != nil {
		t.log.Error("dead letter not written", "err", err)
	}
}

// reload puts other rules, parameters and policies in place.
func (t *tenant) reload(cfg *config.Tenant, content *config.Loaded) error {
	settings, err := responderTenant(cfg)
	if err != nil {
		return err
	}
	if in := t.current.Load(); in != nil {
		err := in.with(func() error {
			if err := in.engine.SetRules(content.Rules, cfg.Params); err != nil {
				return err
			}
			in.life.responder.SetPolicies(settings, content.Policies)
			in.life.runner.SetPlaybooks(content.Playbooks)
			return nil
		})
		if err != nil {
			return err
		}
	}
	t.people.never.Store(&settings.NeverTouch)
	t.cfg.Store(cfg)
	t.content.Store(content)
	return nil
}

// sameConnection reports whether two versions of a tenant differ in nothing
// that only a restart can change.
func sameConnection(a, b *config.Tenant) bool {
	return a.Domain == b.Domain && a.CustomDomain == b.CustomDomain && a.BaseURL == b.BaseURL && a.ClientID == b.ClientID &&
		a.SecretFile == b.SecretFile && a.SecretEnv == b.SecretEnv && a.KeyFile == b.KeyFile && a.Mode == b.Mode &&
		same(a.Logs.Poll, b.Logs.Poll) && same(a.Logs.Webhook, b.Logs.Webhook)
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// intakePaths are the webhook paths of the tenants, and those that they share.
func (d *daemon) intakePaths() (map[string]http.Handler, error) {
	paths := map[string]http.Handler{}
	var hooks []*logstream.Webhook
	for _, t := range d.tenants {
		if t.webhook != nil {
			paths[t.cfg.Load().Logs.Webhook.Path] = t.webhook
			hooks = append(hooks, t.webhook)
		}
	}
	if len(hooks) == 0 {
		return paths, nil
	}
	var err error
	if d.shared, err = logstream.NewShared(d.log, hooks...); err != nil {
		return nil, err
	}
	for _, path := range logstream.SharedPaths {
		paths[path] = d.shared // also a tenant's own path of that name: its token tells
	}
	return paths, nil
}

// notReady says which tenants are not guarded; nil when all are.
func (d *daemon) notReady() error {
	var waiting []string
	for _, t := range d.tenants {
		if t.current.Load() == nil {
			waiting = append(waiting, t.name+t.whyNotGuarded())
		}
	}
	if len(waiting) > 0 {
		return fmt.Errorf("not guarded yet: %s", strings.Join(waiting, ", "))
	}
	return nil
}
