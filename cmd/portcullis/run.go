package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/internal/auth0"
)

func newRun(std stdio) *cobra.Command {
	var file, logFormat string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Guard the tenants that a configuration names",
		Long: `Run reads each tenant's log, evaluates the rules, and answers alerts as far as
the tenant's mode allows: observe says what would be done, propose asks,
enforce does. It runs until it gets SIGTERM or SIGINT and then finishes what it
has begun. SIGHUP reads the configuration, rules and policies again; what is
wrong there is told, and nothing is changed.

Exit codes: 0 clean stop, 1 cannot go on, 2 wrong usage.`,
		Example: `  portcullis run --config portcullis.yaml
  portcullis run --config portcullis.yaml --log-format json
  kill -HUP $(pidof portcullis)             # reload`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usage("run needs --config FILE")
			}
			if logFormat != "text" && logFormat != "json" {
				return usage("--log-format %s is unknown: one of text, json", logFormat)
			}
			log := newLogger(std.err, logFormat, verbose)
			hup := make(chan os.Signal, 1) // from here on: before, the signal would end the process
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			cfg, content, err := load(file)
			if err != nil {
				return err
			}
			sayWarnings(log, cfg, content)
			d, err := newDaemon(cmd.Context(), cfg, content, log, daemonOptions{})
			if err != nil {
				return err
			}
			ctx, stop := context.WithCancel(cmd.Context())
			var beside sync.WaitGroup
			defer beside.Wait()
			defer stop()
			for _, t := range d.tenants { // one that does not answer holds up no other
				beside.Go(func() { t.sayConnection(ctx) })
			}
			beside.Go(func() { d.reloadOnSignal(ctx, hup, file) })
			log.Info("portcullis guards", "tenants", len(d.tenants), "rules", len(content.Rules.Rules), "policies", len(content.Policies))
			err = d.run(ctx)
			log.Info("portcullis stopped", "err", err)
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the daemon's `file`")
	cmd.Flags().StringVar(&logFormat, "log-format", "text", "how to log: text or json")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log what is usually not worth it")
	return cmd
}

// load reads the configuration and all it names.
func load(file string) (*config.Config, *config.Loaded, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return nil, nil, err
	}
	content, err := config.LoadContent(cfg)
	return cfg, content, err
}

// sayContent warns of what is loaded and does not work as its author may think.
func sayContent(log *slog.Logger, content *config.Loaded) {
	for _, w := range content.Warnings {
		log.Warn("exception", "at", w.Head())
	}
	for _, d := range content.Sigma {
		for _, f := range d.Disabled {
			log.Warn("sigma rule disabled", "rule", d.ID, "code", f.Code, "at", f.Head())
		}
	}
}

// reloadOnSignal reloads on each signal of hup until ctx ends.
func (d *daemon) reloadOnSignal(ctx context.Context, hup <-chan os.Signal, file string) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		cfg, content, err := load(file)
		if err == nil {
			err = d.reload(cfg, content)
		}
		if err != nil {
			d.log.Error("not reloaded, everything stays as it was", "err", err)
			continue
		}
		sayWarnings(d.log, cfg, content)
		d.log.Info("reloaded", "rules", len(content.Rules.Rules), "policies", len(content.Policies))
	}
}

// sayWarnings tells what is odd in a configuration that is put in place.
func sayWarnings(log *slog.Logger, cfg *config.Config, content *config.Loaded) {
	cfg.Warnings.Sort()
	for _, w := range cfg.Warnings {
		log.Warn("configuration", "at", w.Head())
	}
	sayContent(log, content)
}

// credentialKey is the key of the configuration that a tenant's secret stands
// behind.
func credentialKey(t *config.Tenant) string {
	switch {
	case t.KeyFile != "":
		return "private_key_file"
	case t.SecretEnv != "":
		return "client_secret_env"
	}
	return "client_secret_file"
}

// sayConnection tells at once whether the tenant's credentials work. The daemon
// goes on either way: what fails is tried again, and the feed is blind so long.
func (t *tenant) sayConnection(ctx context.Context) {
	err := t.api.Check(ctx)
	switch {
	case ctx.Err() != nil:
		return // asked to stop before there was an answer
	case err == nil:
		t.log.Info("tenant connected", "domain", t.cfg.Load().Domain, "mode", t.cfg.Load().Mode)
	case errors.Is(err, auth0.ErrCredentials):
		t.log.Error("tenant refuses the credentials: correct the keys and restart", "keys", "client_id, "+credentialKey(t.cfg.Load()), "err", err)
	default:
		t.log.Error("tenant not reached, trying on", "err", err)
	}
}
