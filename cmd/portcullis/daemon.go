package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"portcullis/config"
	"portcullis/internal/httpapi"
	"portcullis/internal/journal"
	"portcullis/logstream"
	"portcullis/responders"
	"portcullis/responders/slack"
)

// daemonOptions is what the demo and tests set differently; the zero value is
// the daemon as it ships.
type daemonOptions struct {
	now       func() time.Time // the clock of holds; time.Now if nil
	every     time.Duration    // how often expiry is looked at
	pollEvery time.Duration    // overrides every tenant's interval
	indexLag  time.Duration    // see logstream.PollOptions
	notifiers []responders.Notifier

	snapshotEvents int           // events between two snapshots; the intake's own bound if 0
	snapshotEvery  time.Duration // likewise
	streamEvery    time.Duration // how often log streams are asked about; the daemon's own time if 0

	lease journal.LeaseOptions // the daemon's own if zero
}

// daemon is everything that runs for one configuration.
type daemon struct {
	cfg     *config.Config
	opts    daemonOptions
	log     *slog.Logger
	process string // its name among all that ever were on the store
	journal *journal.Journal
	letters *logstream.DeadLetter
	slack   *slack.Slack
	http    *httpapi.Server   // nil without a listener
	shared  *logstream.Shared // the paths that webhooks share; nil without webhooks
	tenants []*tenant
}

// newDaemon opens the store and wires each tenant: source → journal → engine →
// responder → notifiers. It is long because wiring is: one straight line in the
// order of an event's way. Nothing runs yet.
func newDaemon(ctx context.Context, cfg *config.Config, content *config.Loaded, log *slog.Logger, opts daemonOptions) (_ *daemon, err error) {
	if opts.now == nil {
		opts.now = time.Now
	}
	opts.snapshotEvents = cmp.Or(opts.snapshotEvents, snapshotEvents)
	opts.snapshotEvery = cmp.Or(opts.snapshotEvery, snapshotEvery)
	opts.lease = cmp.Or(opts.lease, lease)
	d := &daemon{cfg: cfg, opts: opts, log: log}
	if d.process, err = processName(); err != nil {
		return nil, err
	}
	if d.journal, err = openJournal(ctx, cfg, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if err := os.MkdirAll(cfg.StoreDir(), 0o700); err != nil {
		return nil, fmt.Errorf("make the store's folder: %w", err)
	}
	if d.letters, err = logstream.OpenDeadLetter(filepath.Join(cfg.StoreDir(), "dead-letter.jsonl")); err != nil {
		return nil, err
	}
	notifiers := opts.notifiers
	if cfg.Slack != nil {
		token, err := cfg.BotToken()
		if err != nil {
			return nil, err
		}
		kv, err := d.journal.KV(ctx, "slack")
		if err != nil {
			return nil, err
		}
		d.slack, err = slack.New(slack.Config{Token: token.Reveal(), Channel: cfg.Slack.Channel, APIURL: cfg.Slack.BaseURL},
			slack.Options{Logger: log, Store: slackStore{kv}})
		if err != nil {
			return nil, err
		}
		notifiers = append(notifiers, d.slack)
	} else if notifiers == nil {
		notifiers = append(notifiers, slack.NewLog(log))
	}
	instance, err := instanceID(ctx, d.journal)
	if err != nil {
		return nil, err
	}
	for i := range cfg.Tenants {
		t, err := newTenant(ctx, d, &cfg.Tenants[i], content, instance, notifiers)
		if err != nil {
			return nil, fmt.Errorf("tenant %s: %w", cfg.Tenants[i].Name, err)
		}
		d.tenants = append(d.tenants, t)
	}
	return d, d.listen(ctx)
}

// run guards until ctx ends, and then stops in phases: the listener and the
// tenants first, each in phases of its own, then messages go out, and the store
// is closed last.
func (d *daemon) run(ctx context.Context) error {
	defer func() {
		if err := d.close(); err != nil {
			d.log.Error("store not closed cleanly", "err", err)
		}
	}()
	messages, stopMessages := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMessages()
	var messengers errgroup.Group
	if d.slack != nil {
		messengers.Go(func() error { return d.slack.Run(messages) })
	}
	guards, guarding := errgroup.WithContext(ctx)
	if d.http != nil {
		guards.Go(func() error { return d.http.Run(guarding) })
	}
	if d.cfg.Digest != "" {
		guards.Go(func() error { return d.runDigest(guarding) })
	}
	for _, t := range d.tenants {
		guards.Go(func() error {
			if err := t.guard(guarding); err != nil {
				return fmt.Errorf("tenant %s: %w", t.name, err)
			}
			return nil
		})
		if t.webhook != nil {
			guards.Go(func() error { return t.watchStream(guarding) })
		}
	}
	err := guards.Wait()
	stopMessages()
	return errors.Join(err, messengers.Wait())
}

// listen binds the listener, if one is configured.
func (d *daemon) listen(ctx context.Context) error {
	if d.cfg.HTTP == nil {
		return nil
	}
	token, err := d.cfg.AdminToken()
	if err != nil {
		return err
	}
	paths, err := d.intakePaths()
	if err != nil {
		return err
	}
	cert, key := d.cfg.CertFiles()
	d.http, err = httpapi.New(ctx, httpapi.Options{
		Listen: d.cfg.HTTP.Listen, Token: token.Reveal(), CertFile: cert, KeyFile: key, BehindProxy: d.cfg.HTTP.BehindProxy,
		Gatherer: newMetrics(d), Ready: d.notReady, Intake: paths, Logger: d.log,
		Reads: map[string]func(context.Context, url.Values) (any, error){
			"explain": d.explain, "whynot": d.whyNot, "incidents": d.incidents, "holds": d.answerHolds, "fields": d.answerFields, "switches": d.answerSwitches, "runs": d.answerRuns,
		},
		Writes: map[string]func(context.Context, []byte) (any, error){
			"orders": d.takeOrder, "runs": d.startRun, "answers": d.answerRun,
		},
		Health: func() any {
			all := []tenantHealth{}
			for _, t := range d.tenants {
				all = append(all, t.health(d.opts.now()))
			}
			return all
		},
	})
	if err == nil {
		d.log.Info("listening", "address", d.http.Addr().String())
	}
	return err
}

// reload puts other rules, policies and tenant settings in place. Everything is
// checked before anything is swapped.
func (d *daemon) reload(cfg *config.Config, content *config.Loaded) error {
	byName := map[string]*config.Tenant{}
	for i := range cfg.Tenants {
		byName[cfg.Tenants[i].Name] = &cfg.Tenants[i]
	}
	for _, t := range d.tenants {
		next := byName[t.name]
		if next == nil || len(cfg.Tenants) != len(d.tenants) {
			return errors.New("tenants were added or removed: that needs a restart")
		}
		if !sameConnection(t.cfg.Load(), next) {
			return fmt.Errorf("tenant %s: domain, credentials, mode or source changed: that needs a restart", t.name)
		}
	}
	for _, t := range d.tenants {
		if err := t.reload(byName[t.name], content); err != nil {
			return fmt.Errorf("tenant %s: %w", t.name, err)
		}
	}
	return nil
}

func (d *daemon) close() error {
	for _, t := range d.tenants {
		t.api.Close()
	}
	var errs []error
	if d.letters != nil {
		errs = append(errs, d.letters.Close())
	}
	return errors.Join(append(errs, d.journal.Close())...)
}
