// Command bench measures portcullis replay against wc -l on the same file, on
// one core and on two, or profiles it. From the root of the checkout:
//
//	go run ./bench
//
// It builds the binary, writes the events once into bench/data, and times the
// commands in turn, round after round, so that a machine that slows down slows
// all of them. What the figures mean stands in docs/benchmarks.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// bounds on the time of a whole run: after enough no round begins, and after
// limit a command under way is ended.
const (
	enough = 4 * time.Minute
	limit  = 5 * time.Minute
)

type options struct {
	events, rounds int
	dir            string
	cpu, mem       string
	workers        int
}

// run returns the exit code: 0 measured, 1 something failed, 2 wrong usage.
func run(ctx context.Context, args []string, out, msgs io.Writer) int {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(msgs)
	flags.IntVar(&o.events, "events", 1_000_000, "how many events to replay")
	flags.IntVar(&o.rounds, "rounds", 9, "how many times to run each command, after one round that does not count")
	flags.StringVar(&o.dir, "data", filepath.Join("bench", "data"), "the `folder` for the events and the binaries")
	flags.StringVar(&o.cpu, "cpuprofile", "", "write a CPU profile of one replay to this `file` and measure nothing")
	flags.StringVar(&o.mem, "memprofile", "", "write a profile of what one replay allocates to this `file` and measure nothing")
	flags.IntVar(&o.workers, "workers", 1, "goroutines that decode while a profile is taken")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || o.events < 1 || o.rounds < 1 {
		fmt.Fprintf(msgs, "bench: takes options only, and at least one event and one round\n")
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := bench(ctx, o, out, msgs)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("not done within %s: %w\nhint: ask for less with --events", limit, err)
	}
	if err != nil {
		fmt.Fprintf(msgs, "bench: %v\n", err)
		return 1
	}
	return 0
}

func bench(ctx context.Context, o options, out, msgs io.Writer) error {
	began := time.Now()
	file, err := events(ctx, o, msgs)
	if err != nil {
		return err
	}
	if o.cpu != "" || o.mem != "" {
		return profile(ctx, file, o, out)
	}
	binary := filepath.Join(o.dir, "portcullis")
	if err := build(ctx, binary, "./cmd/portcullis"); err != nil {
		return err
	}
	commands, err := contenders(binary, file, o)
	if err != nil {
		return err
	}
	printMachine(out, file)
	for _, c := range commands {
		fmt.Fprintf(out, "%-12s %s\n", c.name, c.line())
	}
	fmt.Fprintln(out)
	rounds := 0
	for rounds <= o.rounds && (rounds < 2 || time.Since(began) < enough) {
		for _, c := range commands {
			m, err := c.measure(ctx)
			if err != nil {
				return err
			}
			if rounds > 0 { // the first only warms up
				c.runs = append(c.runs, m)
			}
		}
		rounds++
	}
	return report(out, commands, o.events)
}
