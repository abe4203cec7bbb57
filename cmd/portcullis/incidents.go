package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"portcullis/detections"
	"portcullis/responders"
)

func newIncidents(std stdio) *cobra.Command {
	return parent("incidents", "Show the incidents that the daemon's store holds",
		"  portcullis incidents list --config portcullis.yaml\n  portcullis incidents show in_3f2c --config portcullis.yaml",
		newIncidentsList(std), newIncidentsShow(std))
}

func newIncidentsList(std stdio) *cobra.Command {
	var f keptFlags
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List incidents, the oldest first",
		Long: `List shows the incidents that the daemon's store holds: those that are not over,
and those of the last days. It asks the daemon when that runs.

Exit codes: 0 listed, 1 the store cannot be read, 2 wrong usage.`,
		Example: "  portcullis incidents list --config portcullis.yaml --open\n  portcullis incidents list --config portcullis.yaml -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := f.load(cmd.Context(), "")
			if err != nil {
				return err
			}
			return listIncidents(std, f, all)
		},
	}
	f.add(cmd)
	f.addOpen(cmd)
	return cmd
}

// incidentLine is an incident in short.
type incidentLine struct {
	ID         string              `json:"id"`
	Tenant     string              `json:"tenant"`
	Campaign   string              `json:"campaign"`
	Title      string              `json:"title"`
	Severity   detections.Severity `json:"severity"`
	State      responders.State    `json:"state"`
	OpenedAt   time.Time           `json:"opened_at"`
	UpdatedAt  time.Time           `json:"updated_at"`
	ResolvedAt *time.Time          `json:"resolved_at"`
	Alerts     int                 `json:"alerts"`
}

func listIncidents(std stdio, f keptFlags, all []responders.KeptIncident) error {
	t := newTable(std.out, column{head: "ID"}, column{"TENANT", spare}, column{head: "OPENED"}, column{"SEVERITY", spare}, column{head: "STATE"},
		column{head: "ALERTS"}, column{"TITLE", cutting}, column{"RESOLVED", spare})
	for _, in := range all {
		if in.MergedInto != "" || f.open && in.ResolvedAt != nil {
			continue
		}
		if f.output == "json" {
			if err := printJSON(std.out, incidentLine{in.ID, in.Tenant, in.Campaign, in.Title, in.Severity, in.State, in.OpenedAt, in.UpdatedAt, in.ResolvedAt, len(in.Alerts)}); err != nil {
				return err
			}
			continue
		}
		t.row(in.ID, printable(in.Tenant), moment(in.OpenedAt), string(in.Severity), string(in.State), strconv.Itoa(len(in.Alerts)), printable(in.Title), resolvedText(in.ResolvedAt))
	}
	if f.output == "json" {
		return nil
	}
	return t.print()
}

func resolvedText(at *time.Time) string {
	if at == nil {
		return "open"
	}
	return moment(*at)
}

func newIncidentsShow(std stdio) *cobra.Command {
	var f keptFlags
	cmd := &cobra.Command{
		Use:   "show ID --config FILE",
		Short: "Show an incident: its alerts, why they are one, and what was done",
		Long: `Show tells of one incident, by its id or the beginning of it: its alerts, which
value joined which of them, and what was done because of it.

Exit codes: 0 shown, 1 there is no such incident or the store cannot be read, 2
wrong usage.`,
		Example: "  portcullis incidents show in_3f2c --config portcullis.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("incidents show takes the id of one incident")
			}
			all, err := f.load(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			in, err := named(all, args[0], "incident", func(in responders.KeptIncident) string { return in.ID })
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(std.out, struct {
					responders.KeptIncident
					Why string `json:"why"`
				}{in, in.Explain()})
			}
			return printIncident(std.out, in)
		},
	}
	f.add(cmd)
	return cmd
}

func printIncident(w io.Writer, in responders.KeptIncident) error {
	out := newLines(w)
	out.print("%s  %s", in.ID, printable(in.Title))
	out.print("%s, campaign %s, tenant %s, %s", in.Severity, printable(in.Campaign), printable(in.Tenant), cmp.Or(string(in.State), "not told yet"))
	if in.MergedInto != "" {
		out.print("turned out to be the same as %s: see there", in.MergedInto)
		return out.err
	}
	end := "is open"
	if in.ResolvedAt != nil {
		end = "resolved " + moment(*in.ResolvedAt)
	}
	out.print("opened %s, %s", moment(in.OpenedAt), end)
	for _, id := range in.Merged {
		out.print("%s turned out to be the same", id)
	}
	out.print("\nWhy this is one incident")
	out.print("  %s", printable(in.Explain()))
	for _, e := range in.Edges {
		out.print("  %s", printable(e.String()))
	}
	if n := len(in.Alerts) - 1 - len(in.Edges); n > 0 {
		out.print("  and %s whose links are not kept", plural(n, "alert"))
	}
	out.print("\nAlerts")
	out.table(alertTable(w, "  ", in.Alerts))
	for i, o := range in.Outcomes {
		if i == 0 {
			out.print("\nWhat was done, and what was not")
		}
		out.print("  %s", outcomeText(o))
	}
	return out.err
}

// outcomeText writes a response with what it changed.
func outcomeText(o responders.Outcome) string {
	words := []string{moment(o.At), o.Outcome + ":", o.Kind, o.Control, o.Level, printable(o.Subject)}
	if o.To != "" {
		words = append(words, fmt.Sprintf("from %s to %s", cmp.Or(o.From, "nothing"), o.To))
	}
	if !o.Until.IsZero() {
		words = append(words, "until "+moment(o.Until))
	}
	if !o.Ended.IsZero() {
		words = append(words, "released "+moment(o.Ended))
	}
	text := strings.Join(strings.Fields(strings.Join(words, " ")), " ")
	if o.Reason != "" {
		text += " (" + printable(oneLine(o.Reason)) + ")"
	}
	return text
}
