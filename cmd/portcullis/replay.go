package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"portcullis/config"
	"portcullis/detections"
	"portcullis/logstream"
	"portcullis/responders"
)

type replayFlags struct {
	config, tenant, letters, output string
	rules, against                  []string
	respond                         bool
	workers                         int
}

// maxWorkers is far above the cores that could keep so many busy.
const maxWorkers = 256

func newReplay(std stdio) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay [--config FILE] [--rules DIR]… [--against DIR]… [--respond] FILE…",
		Short: "Run events from files through the daemon's own engine",
		Long: `Replay reads events from files (JSON lines, arrays, gzip, any of Auth0's
envelopes; - is standard input) and prints the alerts that the daemon would have
raised, one JSON object a line. The same events give the same alerts, whatever
their order within the lateness of two minutes and however often they come.

What cannot be read is told with file and line, counted, and kept in a
dead-letter file; the rest goes on. Events that count although a value in them
is not what it should be are told too, and are not unreadable. --rules replaces the shipped rules.
--respond adds what would have been done to whom, and after the alerts what would
have been tightened when, for how long, and which logins that succeeded would
have met it; nothing is contacted.
--against prints the difference instead: alerts that are new with --rules, gone,
or moved (the same rule and group, another time, count or severity).

Exit codes: 0 all files were read (unreadable lines are told, not fatal),
1 a file or a rule could not be read or an interrupt came, 2 wrong usage.`,
		Example: `  portcullis replay events.jsonl.gz
  portcullis replay --config portcullis.yaml --respond yesterday.jsonl
  portcullis replay --rules new/ --against old/ -o table events.jsonl
  zcat events.gz | portcullis replay --rules rules/ -o table -`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if len(files) == 0 {
				return usage("replay needs the files to read, or - for standard input")
			}
			if len(f.against) > 0 && f.respond {
				return usage("--against compares alerts, --respond tells what would be done: use one of them")
			}
			if f.workers < 0 || f.workers > maxWorkers {
				return usage("--workers must be between 0 and %d", maxWorkers)
			}
			if err := keepInputs(std, f.letters, files); err != nil {
				return err
			}
			return replay(cmd.Context(), std, f, files)
		},
	}
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "the daemon's `file`")
	cmd.Flags().StringArrayVar(&f.rules, "rules", nil, "rules to run instead of the shipped ones: a file or `folder`; may be repeated")
	cmd.Flags().StringArrayVar(&f.against, "against", nil, "print how the alerts differ from those of these rules: a file or `folder`; may be repeated")
	cmd.Flags().BoolVar(&f.respond, "respond", false, "add what would have been done")
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "take all events as this `tenant`'s; else its name in each event counts")
	cmd.Flags().StringVar(&f.letters, "dead-letter", "portcullis-dead-letter.jsonl", "`file` for what could not be read; made when needed")
	cmd.Flags().IntVar(&f.workers, "workers", 0, "goroutines that decode, 256 at most; one for each core if 0")
	addOutput(cmd, &f.output, "json", "table")
	return cmd
}

// replayer holds one engine for each tenant found in the files.
type replayer struct {
	flags   replayFlags
	content *config.Loaded
	cfg     *config.Config
	engines map[string]*detections.Engine
	alerts  map[string]detections.Alert // the latest state of each, by tenant and id
	against *replayer                   // the rules to compare with; nil without --against
	traffic map[string]*traffic         // by tenant, with --respond
	rejects rejects
	odd     odd
}

func replay(ctx context.Context, std stdio, f replayFlags, files []string) error {
	var cfg *config.Config
	var err error
	if f.config != "" {
		if cfg, err = config.Load(f.config); err != nil {
			return err
		}
	}
	content, err := config.LoadContent(cfg)
	if err != nil {
		return err
	}
	if len(f.rules) > 0 {
		if content.Rules, err = config.LoadRules(cfg, f.rules); err != nil {
			return err
		}
		if len(content.Rules.Rules) == 0 {
			return nothingIn("rule", f.rules)
		}
	}
	if f.tenant == "" && cfg != nil && len(cfg.Tenants) == 1 {
		f.tenant = cfg.Tenants[0].Name
	}
	r := &replayer{flags: f, content: content, cfg: cfg, engines: map[string]*detections.Engine{}, alerts: map[string]detections.Alert{},
		traffic: map[string]*traffic{}, rejects: rejects{std: std, path: f.letters}, odd: odd{std: std}}
	if len(f.against) > 0 {
		if err := r.useAgainst(); err != nil {
			return err
		}
	}
	// Most of a replay is garbage at once: collect it less often.
	defer debug.SetGCPercent(debug.SetGCPercent(200))
	start := time.Now()
	bar := newProgress(std)
	src := logstream.NewFile(files, logstream.FileOptions{Stdin: std.in, Workers: f.workers, Reject: r.rejects.add, Odd: r.odd.add, Progress: bar.show})
	readErr := src.Run(ctx, r.deliver)
	bar.done()
	r.settle()
	show := r.print
	if r.against != nil {
		r.against.settle()
		show = r.printDifference
	}
	if err := show(ctx, std); err != nil {
		return err
	}
	r.summarise(std, time.Since(start))
	if ctx.Err() != nil {
		readErr = errors.New("interrupted: what is told above is of the events read until then")
	}
	if err := errors.Join(readErr, r.rejects.close()); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	return nil
}

func (r *replayer) settle() {
	for _, e := range r.engines {
		e.Settle()
	}
}

var tenantNamePath = mustPath("tenant_name")

func (r *replayer) deliver(ctx context.Context, b logstream.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range b.Events {
		name := r.flags.tenant
		if name == "" {
			name, _ = b.Events[i].LookupString(tenantNamePath)
		}
		e, err := r.engine(name)
		if err != nil {
			return err
		}
		e.Ingest(&b.Events[i])
		if t := r.traffic[name]; t != nil {
			t.see(&b.Events[i], r.content.Lists)
		}
	}
	if r.against != nil {
		return r.against.deliver(ctx, b)
	}
	return nil
}

// engine returns the engine of a tenant, and makes it when it is new.
func (r *replayer) engine(tenant string) (*detections.Engine, error) {
	if e := r.engines[tenant]; e != nil {
		return e, nil
	}
	opts := detections.Options{OnChange: func(c detections.Change) { r.alerts[tenant+"\x00"+c.Alert.ID] = c.Alert }}
	if t := r.tenantConfig(tenant); t != nil {
		opts.Params = maps.Clone(t.Params)
		maps.DeleteFunc(opts.Params, func(id string, _ map[string]any) bool { return r.content.Rules.Rule(id) == nil }) // --rules replaced it
	}
	if r.cfg != nil {
		opts.Lateness = r.cfg.Rules.Lateness
	}
	e, err := detections.NewEngine(tenant, r.content.Rules, opts)
	if err != nil {
		return nil, err
	}
	r.engines[tenant] = e
	if r.flags.respond {
		r.traffic[tenant] = &traffic{passed: map[string][]time.Time{}, texts: map[string]string{}}
	}
	return e, nil
}

func (r *replayer) tenantConfig(name string) *config.Tenant {
	if r.cfg == nil {
		return nil
	}
	for i := range r.cfg.Tenants {
		if r.cfg.Tenants[i].Name == name {
			return &r.cfg.Tenants[i]
		}
	}
	return nil
}

// sorted lists the alerts in an order that depends on nothing but them.
func (r *replayer) sorted() ([]detections.Alert, error) {
	alerts := make([]detections.Alert, 0, len(r.alerts))
	for _, a := range r.alerts {
		alerts = append(alerts, a)
	}
	slices.SortFunc(alerts, func(a, b detections.Alert) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.ID, b.ID))
	})
	if !r.flags.respond {
		return alerts, nil
	}
	incidents := map[string]*detections.Incidents{}
	for i, a := range alerts {
		t := responders.Tenant{Name: a.Tenant, Mode: responders.Observe}
		if c := r.tenantConfig(a.Tenant); c != nil {
			var err error
			if t, err = responderTenant(c); err != nil {
				return nil, err
			}
			t.Mode = responders.Observe // of a replay everything is hypothetical
		}
		if incidents[a.Tenant] == nil {
			incidents[a.Tenant] = &detections.Incidents{}
		}
		in, _, _ := incidents[a.Tenant].Apply(detections.Change{Transition: detections.Opened, Alert: a})
		alerts[i] = responders.WouldDo(t, r.content.Policies, r.content.Checkers(), a, in)
	}
	return alerts, nil
}

func (r *replayer) print(ctx context.Context, std stdio) error {
	alerts, err := r.sorted()
	if err != nil {
		return err
	}
	if r.flags.output == "json" {
		for _, a := range alerts {
			if err := printJSON(std.out, a); err != nil {
				return err
			}
		}
		return r.printResponses(ctx, std, alerts)
	}
	t := newTable(std.out, column{head: "OPENED"}, column{"SEVERITY", spare}, column{"RULE", cutting}, column{"GROUP", cutting},
		column{head: "EVENTS"}, column{"RESOLVED", spare}, column{"WOULD DO", cutting})
	several := len(r.engines) > 1 // whose alert it is must show then
	if several {
		t.columns = slices.Insert(t.columns, 0, column{"TENANT", cutting})
	}
	for _, a := range alerts {
		resolved := "open"
		if a.ResolvedAt != nil {
			resolved = a.ResolvedAt.Format("15:04:05")
		}
		cells := []string{moment(a.OpenedAt), string(a.Severity), a.Rule, groupOf(a), strconv.Itoa(a.Count), resolved, wouldDo(a)}
		if several {
			cells = slices.Insert(cells, 0, cmp.Or(printable(a.Tenant), "-"))
		}
		t.row(cells...)
	}
	if err := t.print(); err != nil {
		return err
	}
	return r.printResponses(ctx, std, alerts)
}

// printResponses prints what would have been done, with --respond. An interrupt
// does not keep it back: what was read is told.
func (r *replayer) printResponses(ctx context.Context, std stdio, alerts []detections.Alert) error {
	if !r.flags.respond {
		return nil
	}
	return r.printWhatIf(context.WithoutCancel(ctx), std, alerts)
}

func groupOf(a detections.Alert) string {
	parts := make([]string, 0, len(a.Group))
	for k, v := range a.Group {
		parts = append(parts, k+"="+printable(v))
	}
	slices.Sort(parts)
	return cmp.Or(strings.Join(parts, " "), "-")
}

// printable keeps what an attacker chose from steering a terminal: control
// characters, and those that turn the direction of writing or show nothing.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsGraphic(c) {
			return '·'
		}
		return c
	}, s)
}

func wouldDo(a detections.Alert) string {
	parts := make([]string, 0, len(a.Responses))
	for _, resp := range a.Responses {
		words := slices.DeleteFunc([]string{resp.Control, resp.Level, printable(resp.Subject)}, func(s string) bool { return s == "" })
		text := strings.Join(words, " ")
		if resp.Outcome != "proposed" {
			text = resp.Outcome + ": " + text + " (" + resp.Reason + ")"
		}
		parts = append(parts, text)
	}
	return cmp.Or(strings.Join(parts, "; "), "-")
}

// summarise tells on standard error what was read and what went wrong.
func (r *replayer) summarise(std stdio, took time.Duration) {
	var s detections.Stats
	failed := map[string]detections.RuleError{}
	for _, e := range r.engines {
		es := e.Stats()
		s.Events += es.Events
		s.Duplicates += es.Duplicates
		s.Late += es.Late
		s.Future += es.Future
		s.Undated += es.Undated
		for id, re := range es.RuleErrors {
			failed[id] = detections.RuleError{Count: failed[id].Count + re.Count, Last: re.Last}
		}
	}
	fmt.Fprintf(std.err, "%s in %.2f s, %s, %d duplicates among events that rules read, %d late, %d unreadable\n",
		plural(int(s.Events), "event"), took.Seconds(), plural(len(r.alerts), "alert"), s.Duplicates, s.Late, r.rejects.count)
	if r.odd.count > 0 {
		fmt.Fprintf(std.err, "%s with odd values\n", plural(r.odd.count, "event"))
	}
	if s.Future > 0 {
		fmt.Fprintf(std.err, "%s set aside: stamped in the future\n", plural(int(s.Future), "event"))
	}
	if s.Undated > 0 {
		fmt.Fprintf(std.err, "%s without a date: taken to be of their place in the file\n", plural(int(s.Undated), "event"))
	}
	for _, id := range sortedKeys(failed) {
		fmt.Fprintf(std.err, "rule %s failed to evaluate %d times, the last time: %s\n", id, failed[id].Count, failed[id].Last)
	}
	if r.rejects.count > 0 {
		fmt.Fprintf(std.err, "what could not be read is in %s\n", r.rejects.path)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// progress shows on a terminal how far a replay is.
type progress struct {
	std   stdio
	on    bool
	start time.Time
	next  time.Time
}

// barWidth is how many characters the progress bar takes.
const barWidth = 30

func newProgress(std stdio) *progress {
	f, ok := std.err.(*os.File)
	return &progress{std: std, on: ok && term.IsTerminal(int(f.Fd())), start: time.Now()}
}

func (p *progress) show(done, total int64) {
	now := time.Now()
	if !p.on || now.Before(p.next) {
		return
	}
	p.next = now.Add(200 * time.Millisecond)
	rate := float64(done) / 1e6 / max(now.Sub(p.start).Seconds(), 0.001)
	if total > 0 {
		full := int(done * barWidth / total)
		fmt.Fprintf(p.std.err, "\r%s%s %3d %% of %.0f MB, %.0f MB/s ", strings.Repeat("█", full), strings.Repeat("░", barWidth-full), done*100/total, float64(total)/1e6, rate)
	} else {
		fmt.Fprintf(p.std.err, "\r%.0f MB, %.0f MB/s ", float64(done)/1e6, rate)
	}
}

func (p *progress) done() {
	if p.on {
		fmt.Fprint(p.std.err, "\r\033[K")
	}
}
