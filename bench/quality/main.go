// Command quality measures how well the shipped rules and policies detect, on
// traffic of which it is known what is true: calm days of many users, look-alikes,
// and attacks at three intensities. It prints a report.
//
//	go run ./bench/quality
//
// Every alert comes out of the daemon's engine, as it would live, and every response
// out of the code that tells what would be done. What is measured stands in
// docs/detection-quality.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"

	"portcullis/config"
	"portcullis/internal/tenantsim/labelled"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 nobody would have been harmed, 1 somebody would, or
// it failed, 2 wrong usage.
func run(ctx context.Context, args []string, out, msgs io.Writer) int {
	o := options{levels: labelled.Intensities}
	var page, file, profile string
	flags := flag.NewFlagSet("quality", flag.ContinueOnError)
	flags.SetOutput(msgs)
	flags.IntVar(&o.users, "users", 20_000, "users of the tenant, at least 500")
	flags.Uint64Var(&o.seed, "seed", 1, "what the traffic follows from")
	flags.StringVar(&o.only, "only", "", "measure only attacks whose `name` holds this")
	flags.IntVar(&o.workers, "workers", runtime.NumCPU(), "attacks measured at a time")
	flags.StringVar(&file, "config", "", "the daemon's `file`, for other rules and policies than the shipped ones")
	flags.StringVar(&page, "write", "", "put the report into this `page`, between its marks")
	flags.StringVar(&profile, "cpuprofile", "", "write a CPU profile to this `file`")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || o.users < 500 || o.workers < 1 {
		fmt.Fprintf(msgs, "quality: takes options only, at least 500 users and one worker\n")
		return 2
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err == nil {
			defer f.Close()
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintf(msgs, "quality: profile: %v\n", err)
			return 1
		}
		defer pprof.StopCPUProfile()
	}
	result, err := measureFile(ctx, file, o, msgs)
	if err != nil {
		fmt.Fprintf(msgs, "quality: %v\n", err)
		return 1
	}
	text := result.report()
	fmt.Fprint(out, text)
	if page != "" {
		if err := rewrite(page, text); err != nil {
			fmt.Fprintf(msgs, "quality: %v\n", err)
			return 1
		}
	}
	if n := len(result.harmed()); n > 0 {
		fmt.Fprintf(msgs, "quality: %d responses would have touched a bystander\n", n)
		return 1
	}
	return 0
}

func measureFile(ctx context.Context, file string, o options, msgs io.Writer) (*result, error) {
	var cfg *config.Config
	if file != "" {
		var err error
		if cfg, err = config.Load(file); err != nil {
			return nil, err
		}
	}
	content, err := config.LoadContent(cfg)
	if err != nil {
		return nil, err
	}
	return measure(ctx, content, labelled.New(o.seed, o.users), o, msgs)
}

const (
	beginMark = "<!-- report -->\n"
	endMark   = "<!-- end of report -->\n"
)

// rewrite puts the report into a page, between its marks.
func rewrite(page, text string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	head, rest, ok := strings.Cut(string(data), beginMark)
	_, tail, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks for a report (%q and %q)", page, beginMark, endMark)
	}
	if err := os.WriteFile(page, []byte(head+beginMark+text+endMark+tail), 0o644); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
