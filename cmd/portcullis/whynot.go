package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"portcullis/detections"
	"portcullis/internal/journal"
)

func newWhyNot(std stdio) *cobra.Command {
	var f studyFlags
	var rule, at string
	var keys []string
	cmd := &cobra.Command{
		Use:   "whynot --rule ID --key FIELD=VALUE --at TIME",
		Short: "Say why a rule had no alert",
		Long: `Whynot runs a rule over the events again and says why it had no alert for a group
at a time: which events of the group counted and which did not, by the part of
the condition that failed, what each clause came to at the end, and when the
rule was nearest to holding.

The events are those of the daemon's store (--config), which is asked of the
daemon when it runs, or of files (--file).

Exit codes: 0 told, 1 there is no such rule or the events cannot be read, 2 wrong
usage.`,
		Example: `  portcullis whynot --rule credential-stuffing-ip --key ip=198.51.100.7 --at 2026-03-01T12:04:00Z --config portcullis.yaml
  portcullis whynot --rule credential-stuffing-ip --key ip=198.51.100.7 --at "2026-03-01 12:04" --file events.jsonl`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case rule == "":
				return usage("whynot needs --rule ID")
			case at == "":
				return usage("whynot needs --at TIME, for instance --at 2026-03-01T12:04:00Z")
			}
			when, err := parseMoment(at)
			if err != nil {
				return err
			}
			group, err := parseGroup(keys)
			if err != nil {
				return err
			}
			x, err := whyNot(cmd.Context(), std, f, rule, group, when)
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(std.out, x)
			}
			return printSilence(std.out, x)
		},
	}
	cmd.Flags().StringVar(&rule, "rule", "", "the rule, by `id`")
	cmd.Flags().StringArrayVar(&keys, "key", nil, "a `FIELD=VALUE` of the group; may be repeated")
	cmd.Flags().StringVar(&at, "at", "", "the `time` at which an alert was expected, in UTC if it names no zone")
	f.add(cmd)
	f.addFile(cmd)
	return cmd
}

func whyNot(ctx context.Context, std stdio, f studyFlags, rule string, group map[string]string, when time.Time) (*detections.Silence, error) {
	s, cfg, _, err := newStudy(std, f)
	if err != nil {
		return nil, err
	}
	if len(f.files) > 0 {
		return s.WhyNot(ctx, rule, group, when)
	}
	query := url.Values{"rule": {rule}, "at": {when.Format(time.RFC3339Nano)}}
	for k, v := range group {
		query.Add("key", k+"="+v)
	}
	return fromStore(ctx, cfg, s, "/v1/whynot", query, func(*journal.Journal) (*detections.Silence, error) {
		return s.WhyNot(ctx, rule, group, when)
	})
}

func printSilence(w io.Writer, x *detections.Silence) error {
	out := newLines(w)
	out.print("%s of %s at %s", x.Rule, groupText(x.Group), moment(x.At))
	switch {
	case x.Open != nil:
		out.print("There was an alert: %s, opened %s, %d events. portcullis explain %s says why.", x.Open.ID, moment(x.Open.OpenedAt), x.Open.Count, x.Open.ID)
	case x.Swallowed != nil:
		out.print("The condition held, and an exception kept the alert from being told.")
	case x.Counted == 0 && len(x.Left) == 0:
		out.print("No event of this group came since %s.", moment(x.From))
	case x.Counted == 0:
		out.print("No event of this group counted.")
	case x.Best == nil:
		out.print("Its events counted, and nothing came of them.")
	default:
		out.print("The condition did not hold; at best it came to %.0f %% of it.", 100*x.Best.Ratio)
	}
	out.print("\nEvents since %s: %d counted", moment(x.From), x.Counted)
	for _, why := range sortedKeys(x.Left) {
		out.print("  %d: %s", x.Left[why], printable(why))
	}
	printExempted(out, x.Exceptions)
	if x.Future > 0 {
		out.print("  %d events of the tenant were set aside: stamped in the future", x.Future)
	}
	printWindow(out, "Last judged", x.Latest)
	if x.Best != nil && (x.Latest == nil || !x.Best.At.Equal(x.Latest.At)) {
		printWindow(out, "Nearest", x.Best)
	}
	if len(x.Facts) > 0 {
		out.print("\nKnown then")
		for _, f := range x.Facts {
			out.print("  %-12s %s", f.Name, printable(f.Value))
		}
	}
	for i, p := range x.Params {
		if i == 0 {
			out.print("\nParameters")
		}
		out.print("  %s = %v  (%s)", p.Name, p.Value, p.Doc)
	}
	if len(x.Events) > 0 {
		out.print("\nEvents of the group")
		out.table(eventTable(w, x.Events))
	}
	return out.err
}

// printExempted names the exceptions that kept a group from being told of.
func printExempted(out *lines, list []detections.Exempted) {
	for i, e := range list {
		if i == 0 {
			out.print("\nExceptions")
		}
		did := fmt.Sprintf("left out %s", plural(e.Events, "event"))
		if e.Alerts > 0 {
			did = fmt.Sprintf("swallowed %s", plural(e.Alerts, "alert"))
		}
		out.print("  %s  where %s", e.Place, printable(oneLine(e.Where)))
		out.print("    %s: %s, until %s; %s answers for it", did, printable(oneLine(e.Reason)), e.Expires, printable(e.Owner))
	}
}

func printWindow(out *lines, title string, w *detections.WindowNumbers) {
	if w == nil {
		return
	}
	out.print("\n%s, %s", title, moment(w.At))
	for _, n := range w.Clauses {
		text := clauseText(n)
		if short := missing(n); short != "" {
			text += "   " + short
		}
		out.print("  %s", text)
	}
}

// missing says by how much a part failed.
func missing(n detections.ClauseNumbers) string {
	value, ok1 := toFloat(n.Value)
	threshold, ok2 := toFloat(n.Threshold)
	if n.Holds || !ok1 || !ok2 {
		return ""
	}
	switch n.Operator {
	case ">", ">=":
		by := threshold - value
		if n.Operator == ">" && value == math.Trunc(value) && threshold == math.Trunc(threshold) {
			by++ // of counts
		}
		return fmt.Sprintf("needs %s more", shown(by))
	case "<", "<=":
		return fmt.Sprintf("%s too many", shown(value-threshold))
	}
	return ""
}

func toFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
