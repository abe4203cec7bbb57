package main

import (
	"context"
	"fmt"

	"portcullis/config"
	"portcullis/detections"
)

// useAgainst adds the rules of --against, which get the same events.
func (r *replayer) useAgainst() error {
	rules, err := config.LoadRules(r.cfg, r.flags.against)
	if err != nil {
		return err
	}
	if len(rules.Rules) == 0 {
		return nothingIn("rule", r.flags.against)
	}
	content := *r.content
	content.Rules = rules
	r.against = &replayer{flags: r.flags, content: &content, cfg: r.cfg, engines: map[string]*detections.Engine{}, alerts: map[string]detections.Alert{}}
	return nil
}

// printDifference prints what --rules alerts on otherwise than --against.
func (r *replayer) printDifference(_ context.Context, std stdio) error {
	before, err := r.against.sorted()
	if err != nil {
		return err
	}
	after, err := r.sorted()
	if err != nil {
		return err
	}
	differences := detections.Differences(before, after)
	counts := map[detections.DifferenceKind]int{}
	t := newTable(std.out, column{head: "CHANGE"}, column{head: "OPENED"}, column{"SEVERITY", spare}, column{"RULE", cutting}, column{"GROUP", cutting}, column{head: "EVENTS"})
	for _, d := range differences {
		counts[d.Change]++
		if r.flags.output == "json" {
			if err := printJSON(std.out, d); err != nil {
				return err
			}
			continue
		}
		a, b := d.Before, d.After
		if a == nil {
			a = b
		}
		if b == nil {
			b = a
		}
		const stamp = "2006-01-02 15:04:05"
		t.row(string(d.Change), fromTo(a.OpenedAt.Format(stamp), b.OpenedAt.Format(stamp)),
			fromTo(a.Severity, b.Severity), a.Rule, groupOf(*a), fromTo(a.Count, b.Count))
	}
	fmt.Fprintf(std.err, "against %s: %d new, %d gone, %d moved\n", plural(len(before), "alert"),
		counts[detections.AlertNew], counts[detections.AlertGone], counts[detections.AlertMoved])
	if r.flags.output == "json" {
		return nil
	}
	return t.print()
}

func fromTo[T comparable](a, b T) string {
	if a == b {
		return fmt.Sprint(a)
	}
	return fmt.Sprintf("%v -> %v", a, b)
}
