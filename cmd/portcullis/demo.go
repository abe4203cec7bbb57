package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"portcullis/internal/tenantsim"
	"portcullis/responders"
)

func newDemo(std stdio) *cobra.Command {
	var speed float64
	var keep, verbose bool
	cmd := &cobra.Command{
		Use:   "demo [--speed N] [--keep]",
		Short: "Show the whole loop on this machine: attack, tighten, relax",
		Long: `Demo starts a simulated tenant and the daemon in enforce mode, lets a credential
stuffing attack and an SMS bombardment run against it, and shows what happens
until every setting is back at the human's value. It needs no account and no
network, and ends by itself within a minute.

Exit codes: 0 contained and restored, 1 not, 2 wrong usage.`,
		Example: `  portcullis demo
  portcullis demo --speed 60          slower, to read along
  portcullis demo --keep              keep the daemon's store to look at`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !(speed >= 1 && speed <= 400) { // NaN is neither
				return usage("--speed must be between 1 and 400")
			}
			return demo(cmd.Context(), std, speed, keep, verbose)
		},
	}
	cmd.Flags().Float64Var(&speed, "speed", 120, "virtual seconds a second")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the daemon's store and say where it is")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the daemon's log too")
	return cmd
}

// The script of the demo, in virtual time.
const (
	calmFor        = 2 * time.Minute
	stuffingFor    = 15 * time.Minute
	stuffingRate   = 2 // attempts a second, of all its addresses
	smsAfter       = 4 * time.Minute
	smsFor         = 15 * time.Minute
	smsRate        = 0.2
	demoPatience   = 3 * time.Hour // it must be over by then
	demoPoll       = 12 * time.Second
	demoStatusStep = 2 * time.Minute
)

// demo runs the script and reports. It is long because it is a script: start
// the tenant, start the daemon, start the attacks, watch, sum up.
func demo(ctx context.Context, std stdio, speed float64, keep, verbose bool) error {
	sim := tenantsim.New(tenantsim.Options{
		Speed: speed, Seed: 7, CalmRate: 1, IndexLag: 2 * time.Second, Start: time.Now().Truncate(time.Minute),
		RateBurst: 50, RateRefill: 16 * speed, // Auth0's Enterprise quota in virtual time
	})
	ln, err := listenLoopback(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "portcullis-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	if !keep {
		defer os.RemoveAll(dir)
	}
	log := slog.New(slog.DiscardHandler)
	if verbose {
		log = newLogger(std.err, "text", false)
	}
	show := newTimeline(std, sim)
	d, err := newDemoDaemon(ctx, dir, ln.Addr(), sim, log, show, speed)
	if err != nil {
		return errors.Join(err, ln.Close())
	}

	human := snapshot(sim)
	start := sim.Now()
	stuffing := tenantsim.Attack{Kind: tenantsim.CredentialStuffing, Start: start.Add(calmFor), Duration: stuffingFor, Rate: stuffingRate}
	sms := tenantsim.Attack{Kind: tenantsim.SMSBombing, Start: start.Add(smsAfter), Duration: smsFor, Rate: smsRate}
	sim.Attack(stuffing)
	sim.Attack(sms)

	ctx, stop := context.WithTimeout(ctx, 10*time.Minute)
	defer stop()
	running, end := context.WithCancel(ctx)
	defer end()
	var servers, daemon errgroup.Group
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	servers.Go(func() error { return sim.Run(serving) })
	servers.Go(func() error { return serve(serving, ln, sim.Handler()) })
	daemon.Go(func() error {
		defer end()
		return d.run(running)
	})
	show.begin(speed, human)
	result := show.watch(running, human, start.Add(demoPatience))
	end()
	err = daemon.Wait()
	stopServing()
	err = errors.Join(err, servers.Wait())
	if ctx.Err() != nil && err == nil && !result.done() {
		err = errors.New("demo interrupted")
	}
	show.summary(result)
	if keep {
		fmt.Fprintf(std.out, "\nThe daemon's store is in %s\n", dir)
	}
	if err != nil {
		return err
	}
	if !result.done() {
		return failed()
	}
	return nil
}

// newDemoDaemon wires the daemon as run does, in enforce mode and with the
// clock of the simulation.
func newDemoDaemon(ctx context.Context, dir string, addr net.Addr, sim *tenantsim.Tenant, log *slog.Logger, n responders.Notifier, speed float64) (*daemon, error) {
	file := filepath.Join(dir, "portcullis.yaml")
	secret := filepath.Join(dir, "secret")
	text := fmt.Sprintf(`store: {dir: ./data}
tenants:
  - name: demo
    domain: %s
    base_url: http://%s
    client_id: %s
    client_secret_file: ./secret
    mode: enforce
    never_touch: {networks: [127.0.0.0/8]}
`, sim.Domain(), addr, tenantsim.DefaultClientID)
	if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.WriteFile(secret, []byte(tenantsim.DefaultClientSecret), 0o600)); err != nil {
		return nil, fmt.Errorf("write the demo's configuration: %w", err)
	}
	cfg, content, err := load(file)
	if err != nil {
		return nil, err
	}
	return newDaemon(ctx, cfg, content, log, daemonOptions{
		now: sim.Now, every: 50 * time.Millisecond, pollEvery: time.Duration(float64(demoPoll) / speed), indexLag: 10 * time.Second,
		notifiers: []responders.Notifier{n},
	})
}
