package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"portcullis/internal/tenantsim"
)

// attackKinds are the attacks that simulate can run, by the name of their flag
// value.
var attackKinds = map[string]tenantsim.AttackKind{
	"stuffing":   tenantsim.CredentialStuffing,
	"sms":        tenantsim.SMSBombing,
	"suspicious": tenantsim.SuspiciousSuccess,
	"takeover":   tenantsim.AccountTakeover,
}

func newSimulate(std stdio) *cobra.Command {
	var listen string
	var attacks []string
	var after, lasting time.Duration
	opts := tenantsim.Options{}
	cmd := &cobra.Command{
		Use:   "simulate [--listen ADDR]",
		Short: "Serve the simulated tenant alone",
		Long: `Simulate serves a tenant that exists only here: its Management API with real
state and Auth0's limits, calm traffic, and attackers who feel the defences. It
prints what to write into a configuration to guard it. It runs until it is
interrupted.

Exit codes: 0 clean stop, 1 cannot listen, 2 wrong usage.`,
		Example: `  portcullis simulate
  portcullis simulate --listen 127.0.0.1:9000 --attack stuffing --attack sms --after 30s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !(opts.Speed > 0) || math.IsInf(opts.Speed, 0) { // so that NaN is refused, too
				return usage("--speed must be a number above 0")
			}
			sim := tenantsim.New(opts)
			for _, name := range attacks {
				kind, ok := attackKinds[name]
				if !ok {
					return usage("--attack %s is unknown: one of stuffing, sms, suspicious, takeover", name)
				}
				sim.Attack(tenantsim.Attack{Kind: kind, Start: sim.Now().Add(after), Duration: lasting,
					Moves: []tenantsim.Move{tenantsim.EnrolPhone, tenantsim.MoveEmail}}) // of a takeover alone
			}
			return simulate(cmd.Context(), std, listen, sim)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9000", "`address` to serve on, this machine's only")
	cmd.Flags().StringArrayVar(&attacks, "attack", nil, "run an attack: stuffing, sms, suspicious or takeover; may be repeated")
	cmd.Flags().DurationVar(&after, "after", 30*time.Second, "when the attacks begin")
	cmd.Flags().DurationVar(&lasting, "lasting", 10*time.Minute, "how long the attacks last")
	cmd.Flags().Float64Var(&opts.Speed, "speed", 1, "virtual seconds a second; a daemon beside it keeps real time and will see events of the future above 1")
	cmd.Flags().Uint64Var(&opts.Seed, "seed", 1, "the same seed makes the same traffic")
	cmd.Flags().IntVar(&opts.Users, "users", 0, "calm users; 2000 if 0")
	cmd.Flags().Float64Var(&opts.CalmRate, "calm-rate", 0, "calm logins a second; 1 if 0")
	if err := cmd.RegisterFlagCompletionFunc("attack", cobra.FixedCompletions([]string{"stuffing", "sms", "suspicious", "takeover"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was added above
	}
	return cmd
}

func simulate(ctx context.Context, std stdio, listen string, sim *tenantsim.Tenant) error {
	ln, err := listenLoopback(ctx, listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, `simulated tenant at http://%[1]s, to guard it:

tenants:
  - name: simulated
    domain: %[2]s
    base_url: http://%[1]s
    client_id: %[3]s
    client_secret_env: SIMULATED_SECRET    # export SIMULATED_SECRET=%[4]s
    mode: observe

`, ln.Addr(), sim.Domain(), tenantsim.DefaultClientID, tenantsim.DefaultClientSecret)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return sim.Run(ctx) })
	g.Go(func() error { return serve(ctx, ln, sim.Handler()) })
	return g.Wait()
}

// listenLoopback listens on an address of this machine and refuses any other:
// what is served needs no password worth the name.
func listenLoopback(ctx context.Context, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, usage("--listen %s is not an address and port, for instance 127.0.0.1:9000", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, usage("--listen %s is not an address of this machine alone: use 127.0.0.1", addr)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, hint(fmt.Errorf("listen on %s: %w", addr, err), "--listen 127.0.0.1:0 takes any free port")
	}
	return ln, nil
}

// serve serves until ctx ends.
func serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			srv.Close()
		}
	})
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
