package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/detections"
	"portcullis/internal/journal"
)

func newExplain(std stdio) *cobra.Command {
	var f studyFlags
	var rule string
	var keys []string
	cmd := &cobra.Command{
		Use:   "explain [ALERT]",
		Short: "Say why an alert opened",
		Long: `Explain runs the rules over the events again and says why an alert opened: the
rule, the parameters in force, what each clause came to at that moment, what the
group was known by, and the events. ALERT is the alert's id or the beginning of
it; --rule with --key names the latest alert of a group instead.

The events are those of the daemon's store (--config), which is asked of the
daemon when it runs, or of files (--file).

Exit codes: 0 explained, 1 there is no such alert or the events cannot be read,
2 wrong usage.`,
		Example: `  portcullis explain al_3f2c --config portcullis.yaml
  portcullis explain --rule credential-stuffing-ip --key ip=198.51.100.7 --file events.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			group, err := parseGroup(keys)
			if err != nil {
				return err
			}
			ref := detections.AlertRef{Rule: rule, Group: group}
			if len(args) > 0 {
				ref.ID = args[0]
			}
			if ref.ID == "" && ref.Rule == "" {
				return usage("explain needs the id of an alert, or --rule and --key")
			}
			x, err := explainAlert(cmd.Context(), std, f, ref)
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(std.out, x)
			}
			return printExplanation(std.out, x)
		},
	}
	cmd.Flags().StringVar(&rule, "rule", "", "the alert's rule, by `id`")
	cmd.Flags().StringArrayVar(&keys, "key", nil, "a `FIELD=VALUE` of the alert's group; may be repeated")
	f.add(cmd)
	f.addFile(cmd)
	return cmd
}

func explainAlert(ctx context.Context, std stdio, f studyFlags, ref detections.AlertRef) (*detections.Explanation, error) {
	s, cfg, _, err := newStudy(std, f)
	if err != nil {
		return nil, err
	}
	if len(f.files) > 0 {
		return s.Explain(ctx, ref)
	}
	query := url.Values{"alert": {ref.ID}, "rule": {ref.Rule}}
	for k, v := range ref.Group {
		query.Add("key", k+"="+v)
	}
	return fromStore(ctx, cfg, s, "/v1/explain", query, func(j *journal.Journal) (*detections.Explanation, error) {
		return explainKept(ctx, j, s, ref)
	})
}

// explainKept explains an alert of the store. One told ahead of the watermark may
// have another id when its rule runs again, so that it is looked for by what it is.
func explainKept(ctx context.Context, j *journal.Journal, s *detections.Study, ref detections.AlertRef) (*detections.Explanation, error) {
	if ref.ID == "" {
		return s.Explain(ctx, ref)
	}
	var kept *detections.Alert
	err := readFindings(ctx, j, s.Tenant, func(c detections.Change) error {
		if strings.HasPrefix(c.Alert.ID, ref.ID) {
			kept = &c.Alert
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for alert %s: %w", ref.ID, err)
	}
	if kept == nil {
		return nil, hint(fmt.Errorf("%w: the store of tenant %s knows no alert %s", detections.ErrNoAlert, s.Tenant, ref.ID),
			"incidents in Slack and the log name the ids; or use --rule and --key")
	}
	x, err := s.Explain(ctx, detections.AlertRef{Rule: kept.Rule, Group: kept.Group, At: kept.UpdatedAt})
	if err == nil {
		x.Alert.ID = kept.ID
	}
	return x, err
}

func printExplanation(w io.Writer, x *detections.Explanation) error {
	a := &x.Alert
	out := newLines(w)
	out.print("%s  %s", a.ID, printable(x.Title))
	out.print("%s, %s of %s, %d events", a.Severity, a.Rule, groupText(a.Group), a.Count)
	end := "is open"
	if a.ResolvedAt != nil {
		end = "resolved " + moment(*a.ResolvedAt)
	}
	late := ""
	if a.Late {
		late = ", late: by events behind the watermark"
	}
	out.print("opened %s, %s%s", moment(a.OpenedAt), end, late)
	for _, n := range a.Notes {
		out.print("  %s", n)
	}
	out.print("\nThe rule (%s, %s)", x.Kind, x.Rule)
	if x.Where != "" {
		out.print("  where   %s", printable(oneLine(x.Where)))
	}
	if x.Window != "" {
		out.print("  within  %s", x.Window)
	}
	for _, p := range x.Params {
		own := ""
		if fmt.Sprint(p.Value) != fmt.Sprint(p.Default) {
			own = fmt.Sprintf(", the tenant's own; %v by default", p.Default)
		}
		out.print("  %s = %v%s  (%s)", p.Name, p.Value, own, p.Doc)
	}
	if x.Opened != nil {
		out.print("\nWhen it opened, %s", moment(x.Opened.At))
		for _, n := range x.Opened.Clauses {
			out.print("  %s", clauseText(n))
		}
	}
	if len(x.Facts) > 0 {
		out.print("\nKnown before")
		for _, f := range x.Facts {
			out.print("  %-12s %s", f.Name, printable(f.Value))
		}
	}
	out.print("\nEvents")
	out.table(eventTable(w, x.Events))
	if x.More > 0 {
		out.print("  and %d more", x.More)
	}
	if x.Advice != "" {
		out.print("\nWhat to do: %s", printable(oneLine(x.Advice)))
	}
	return out.err
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
