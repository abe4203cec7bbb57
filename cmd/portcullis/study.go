package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/detections"
	"portcullis/internal/journal"
	"portcullis/logstream"
)

// studyFlags are those of the commands that look at what happened.
type studyFlags struct {
	config, tenant, output string
	rules, files           []string
}

func (f *studyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "the daemon's `file`: its rules, parameters and store")
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "the `tenant`; needed when the configuration has several")
	cmd.Flags().StringArrayVar(&f.rules, "rules", nil, "rules instead of the shipped ones: a file or `folder`; may be repeated")
	addOutput(cmd, &f.output, "text", "json")
}

// addFile adds the flag for events from files, for commands whose arguments are
// something else.
func (f *studyFlags) addFile(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.files, "file", nil, "events from a `file` instead of the daemon's store; may be repeated")
}

// study is the tenant's rules, parameters and history while they are put together.
type study struct{ detections.Study }

// newStudy loads what a study looks at. Its history is the files, if any.
func newStudy(std stdio, f studyFlags) (*detections.Study, *config.Config, *config.Tenant, error) {
	var cfg *config.Config
	var err error
	if f.config != "" {
		if cfg, err = config.Load(f.config); err != nil {
			return nil, nil, nil, err
		}
	}
	content, err := config.LoadContent(cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(f.rules) > 0 {
		if content.Rules, err = config.LoadRules(cfg, f.rules); err != nil {
			return nil, nil, nil, err
		}
	}
	s := &study{detections.Study{Tenant: f.tenant, Rules: content.Rules}}
	t, err := studiedTenant(cfg, f.tenant)
	if err != nil {
		return nil, nil, nil, err
	}
	if t != nil {
		s.Tenant, s.Params, s.Lateness = t.Name, maps.Clone(t.Params), cfg.Rules.Lateness
		maps.DeleteFunc(s.Params, func(id string, _ map[string]any) bool { return content.Rules.Rule(id) == nil }) // --rules replaced it
	}
	if len(f.files) == 0 {
		return &s.Study, cfg, t, nil
	}
	if s.History, err = fileHistory(std, f.files); err == nil && s.Tenant == "" {
		err = s.byName(std)
	}
	return &s.Study, cfg, t, err
}

// byName takes the tenant that the first event names, as replay does, and leaves
// out the events of others.
func (s *study) byName(std stdio) error {
	all, found := s.History, errors.New("found")
	err := all(context.Background(), func(ev *logstream.Event) error {
		s.Tenant, _ = ev.LookupString(tenantNamePath)
		return found
	})
	if err != nil && !errors.Is(err, found) {
		return err
	}
	told := false
	s.History = func(ctx context.Context, visit func(*logstream.Event) error) error {
		others := 0
		err := all(ctx, func(ev *logstream.Event) error {
			if name, _ := ev.LookupString(tenantNamePath); name != s.Tenant {
				others++
				return nil
			}
			return visit(ev)
		})
		if others > 0 && !told {
			told = true
			fmt.Fprintf(std.err, "%d events of other tenants than %q are left out: --tenant takes them all as one\n", others, s.Tenant)
		}
		return err
	}
	return nil
}

// studiedTenant is the tenant that is meant; nil without a configuration.
func studiedTenant(cfg *config.Config, name string) (*config.Tenant, error) {
	if cfg == nil {
		return nil, nil
	}
	var names []string
	for i := range cfg.Tenants {
		t := &cfg.Tenants[i]
		if t.Name == name || name == "" && len(cfg.Tenants) == 1 {
			return t, nil
		}
		names = append(names, t.Name)
	}
	if name == "" {
		return nil, usage("the configuration has several tenants: say --tenant %s", strings.Join(names, " or "))
	}
	return nil, usage("no tenant is called %s: the configuration has %s", name, strings.Join(names, ", "))
}

// fileHistory reads files, each time from the start.
func fileHistory(std stdio, files []string) (detections.History, error) {
	for _, name := range files {
		if name == "-" {
			return nil, usage("events are read more than once: give a file, not standard input")
		}
		if _, err := os.Stat(name); err != nil {
			return nil, hint(fmt.Errorf("read events: %w", err), "give the path of a file with events, as replay reads it")
		}
	}
	told := false
	return func(ctx context.Context, visit func(*logstream.Event) error) error {
		unreadable := 0
		bar := newProgress(std)
		src := logstream.NewFile(files, logstream.FileOptions{Reject: func(logstream.Reject) { unreadable++ }, Progress: bar.show})
		err := src.Run(ctx, func(_ context.Context, b logstream.Batch) error {
			for i := range b.Events {
				if err := visit(&b.Events[i]); err != nil {
					return err
				}
			}
			return nil
		})
		bar.done()
		if unreadable > 0 && !told {
			told = true
			fmt.Fprintf(std.err, "%d entries could not be read and are left out: portcullis replay tells which\n", unreadable)
		}
		return err
	}, nil
}

// journalHistory reads what a tenant's journal holds.
func journalHistory(j *journal.Journal, tenant string) detections.History {
	return func(ctx context.Context, visit func(*logstream.Event) error) error {
		seen := false
		err := j.ReplayBundles(ctx, tenant, 0, time.Time{}, func(b journal.Bundle) error {
			for _, raw := range b.Events {
				ev, err := logstream.Decode(raw)
				if err != nil {
					return fmt.Errorf("event in the journal at %d: %w", b.Seq, err)
				}
				seen = true
				if err := visit(&ev); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil && !seen {
			return fmt.Errorf("the store holds no event of tenant %s", tenant)
		}
		return err
	}
}

// fromStore answers with the store of the daemon: itself, when no daemon runs,
// and otherwise by asking the daemon, whose answer is in the same form.
func fromStore[T any](ctx context.Context, cfg *config.Config, s *detections.Study, route string, query url.Values, here func(*journal.Journal) (*T, error)) (*T, error) {
	if cfg == nil {
		return nil, usage("say --config FILE for the daemon's store, or --file FILE for events from a file")
	}
	j, err := openJournal(ctx, cfg, nil)
	if errors.Is(err, journal.ErrInUse) {
		query.Set("tenant", s.Tenant)
		out := new(T)
		return out, askDaemon(ctx, cfg, route+"?"+query.Encode(), out)
	}
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s.History = journalHistory(j, s.Tenant)
	out, err := here(j)
	return out, errors.Join(err, j.Close())
}

// parseGroup reads key=value, several joined by commas or repeated.
func parseGroup(pairs []string) (map[string]string, error) {
	group := map[string]string{}
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if !ok || k == "" {
			return nil, usage("--key %s: write FIELD=VALUE, for instance --key ip=198.51.100.7", p)
		}
		group[k] = v
	}
	return group, nil
}

// parseMoment reads a time as people write it: RFC 3339, or in UTC without a
// zone, with or without seconds.
func parseMoment(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usage("%q is not a time: write for instance 2026-03-01T12:04:00Z", text)
}

// clauseText writes what decided a part of a condition: count() > 40: 38.
func clauseText(n detections.ClauseNumbers) string {
	mark := "no "
	if n.Holds {
		mark = "yes"
	}
	text := mark + "  " + printable(n.Text)
	if n.Operator != "" {
		text += "   " + printable(fmt.Sprintf("%s %s %s", shown(n.Value), n.Operator, shown(n.Threshold)))
	}
	return text
}

// shown writes a value, in short.
func shown(v any) string {
	text := "missing"
	switch v := v.(type) {
	case nil:
	case float64:
		text = strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", v), "0"), ".")
	case string:
		text = fmt.Sprintf("%q", v)
	default:
		text = fmt.Sprint(v)
	}
	return cut(text, 60)
}

func cut(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// eventTable lists events, one a line.
func eventTable(w io.Writer, events []detections.EventLine) *table {
	t := newTable(w, column{}, column{}, column{fit: cutting}, column{fit: cutting}, column{fit: cutting})
	t.indent = "  "
	for _, l := range events {
		why := ""
		if !l.Counted {
			why = "left out: " + printable(oneLine(l.Why))
		}
		t.row(moment(l.Date), printable(l.Type), printable(cmp.Or(l.IP, "-")), printable(cmp.Or(l.UserName, l.UserID, "-")), why)
	}
	return t
}

// groupText writes a group.
func groupText(group map[string]string) string {
	var parts []string
	for _, k := range sortedKeys(group) {
		parts = append(parts, k+" "+group[k])
	}
	if len(parts) == 0 {
		return "the whole tenant"
	}
	return printable(strings.Join(parts, ", "))
}
