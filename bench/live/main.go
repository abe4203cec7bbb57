// Command live measures a running daemon: how many events a second it takes in,
// how soon an alert is told, how long it takes to start and to recover, and how
// much memory it needs. From the root of the checkout:
//
//	go run ./bench/live
//
// It builds the binary, runs it as a process of its own beside a simulated
// tenant, on loopback alone, and posts events as a log stream does. What the
// figures mean stands in docs/benchmarks.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// limit bounds a whole run.
const limit = 4 * time.Minute

type options struct {
	events  int           // of the long intake, and of the recovery
	cell    int           // events for each size and number of connections
	lasting time.Duration // of the watch for alerts
	rate    int           // events a second meanwhile
	idle    time.Duration // before the memory of an idle daemon is read
	starts  int
	only    []string // names of parts

	cpu, cpuKeys string // files for profiles
	dir          string // where stores are made
}

// parts are what can be measured, in this order.
var parts = []string{"start", "idle", "intake", "alert", "recovery"}

// run returns the exit code: 0 measured, 1 something failed, 2 wrong usage.
func run(ctx context.Context, args []string, out, msgs io.Writer) int {
	var o options
	var only string
	flags := flag.NewFlagSet("live", flag.ContinueOnError)
	flags.SetOutput(msgs)
	flags.IntVar(&o.events, "events", 1_000_000, "how many events to take in before the recovery")
	flags.IntVar(&o.cell, "cell", 64_000, "how many events to take in for each size of body and number of connections")
	flags.DurationVar(&o.lasting, "lasting", 45*time.Second, "how long to raise alerts, ten a second")
	flags.IntVar(&o.rate, "rate", 5000, "events a second meanwhile")
	flags.DurationVar(&o.idle, "idle", 10*time.Second, "how long a daemon is idle before its memory is read")
	flags.IntVar(&o.starts, "starts", 7, "how many times to start on an empty store")
	flags.StringVar(&only, "only", strings.Join(parts, ","), "the `parts` to measure, with commas between")
	flags.StringVar(&o.cpu, "cpuprofile", "", "write a CPU profile of the daemon, taken during the long intake, to this `file`")
	flags.StringVar(&o.cpuKeys, "cpuprofile-keys", "", "write a CPU profile of the daemon, taken during the intake before the recovery, to this `file`")
	flags.StringVar(&o.dir, "dir", "", "the `folder` for stores, on the disk to measure; the system's for temporary files if empty")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	o.only = strings.Split(only, ",")
	for _, p := range o.only {
		if !slices.Contains(parts, p) {
			fmt.Fprintf(msgs, "live: no part %q to measure: one of %s\n", p, strings.Join(parts, ", "))
			return 2
		}
	}
	if flags.NArg() > 0 || o.events < 1000 || o.cell < 1000 || o.starts < 1 || o.rate < 1000 || o.lasting < time.Second || o.idle < 0 {
		fmt.Fprintf(msgs, "live: takes options only, at least 1000 events, 1000 a second, one second and one start\n")
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := measure(ctx, o, out, msgs)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("not done within %s: %w\nhint: measure less with --only or --events", limit, err)
	}
	if err != nil {
		fmt.Fprintf(msgs, "live: %v\n", err)
		return 1
	}
	return 0
}

// bench is what the parts share.
type bench struct {
	options
	out    io.Writer
	binary string
	dir    string // of stores and configurations, removed at the end
	tenant tenant
	load   *load
	stores int
}

func measure(ctx context.Context, o options, out, msgs io.Writer) (err error) {
	began := time.Now()
	dir, err := os.MkdirTemp(o.dir, "portcullis-live-")
	if err != nil {
		return fmt.Errorf("make a folder for stores: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{options: o, out: out, dir: dir, binary: filepath.Join(dir, "portcullis")}
	generator := filepath.Join(dir, "gen")
	for binary, pkg := range map[string]string{b.binary: "./cmd/portcullis", generator: "./bench/gen"} {
		if text, err := exec.CommandContext(ctx, "go", "build", "-o", binary, pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%shint: run bench from the root of the checkout", pkg, err, text)
		}
	}
	if b.load, err = generate(ctx, generator, o.events); err != nil {
		return err
	}
	stop, err := b.startTenant(ctx)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintf(out, "%d cores, %s %s/%s, %d events of %.2f KB\n", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, b.load.len(), b.load.size()/1e3)
	if err := b.disk(); err != nil {
		return err
	}
	steps := map[string]func(context.Context) error{"start": b.start, "idle": b.idleMemory, "intake": b.intake, "alert": b.alerts, "recovery": b.recovery}
	for _, name := range parts {
		if slices.Contains(o.only, name) {
			if err := steps[name](ctx); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	fmt.Fprintf(msgs, "measured in %s\n", time.Since(began).Round(time.Second))
	return nil
}
