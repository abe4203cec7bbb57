package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/detections"
	"portcullis/responders"
)

func newAlerts(std stdio) *cobra.Command {
	return parent("alerts", "Show the alerts that the daemon's store holds",
		"  portcullis alerts list --config portcullis.yaml --open\n  portcullis alerts show al_3f2c --config portcullis.yaml",
		newAlertsList(std), newAlertsShow(std))
}

func newAlertsList(std stdio) *cobra.Command {
	var f keptFlags
	var rule string
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List alerts, the oldest first",
		Long: `List shows the alerts that the daemon's store holds: those that are open, and
those of the last days. It asks the daemon when that runs.

Exit codes: 0 listed, 1 the store cannot be read, 2 wrong usage.`,
		Example: "  portcullis alerts list --config portcullis.yaml --open\n  portcullis alerts list --config portcullis.yaml --rule credential-stuffing-ip -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := f.load(cmd.Context(), "")
			if err != nil {
				return err
			}
			alerts := slices.DeleteFunc(alertsOf(all), func(a detections.Alert) bool {
				return rule != "" && a.Rule != rule || f.open && a.ResolvedAt != nil
			})
			if f.output == "json" {
				for _, a := range alerts {
					if err := printJSON(std.out, a); err != nil {
						return err
					}
				}
				return nil
			}
			return alertTable(std.out, "", alerts).print()
		},
	}
	f.add(cmd)
	f.addOpen(cmd)
	cmd.Flags().StringVar(&rule, "rule", "", "only those of one rule, by `id`")
	return cmd
}

// alertsOf are the alerts of all incidents, in order of opening.
func alertsOf(all []responders.KeptIncident) []detections.Alert {
	var out []detections.Alert
	for _, in := range all {
		out = append(out, in.Alerts...)
	}
	slices.SortFunc(out, func(a, b detections.Alert) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// alertTable is a table of alerts; the tenant shows when there are several.
func alertTable(w io.Writer, indent string, alerts []detections.Alert) *table {
	t := newTable(w, column{head: "ID"}, column{head: "OPENED"}, column{"SEVERITY", spare}, column{"RULE", cutting}, column{"GROUP", cutting},
		column{head: "EVENTS"}, column{"RESOLVED", spare})
	t.indent = indent
	several := slices.ContainsFunc(alerts, func(a detections.Alert) bool { return a.Tenant != alerts[0].Tenant })
	if several {
		t.columns = slices.Insert(t.columns, 1, column{"TENANT", cutting})
	}
	for _, a := range alerts {
		cells := []string{a.ID, moment(a.OpenedAt), string(a.Severity), a.Rule, groupOf(a), strconv.Itoa(a.Count), resolvedText(a.ResolvedAt)}
		if several {
			cells = slices.Insert(cells, 1, cmp.Or(printable(a.Tenant), "-"))
		}
		t.row(cells...)
	}
	return t
}

func newAlertsShow(std stdio) *cobra.Command {
	var f keptFlags
	cmd := &cobra.Command{
		Use:   "show ID --config FILE",
		Short: "Show an alert: what it tells, and what was done",
		Long: `Show tells of one alert, by its id or the beginning of it. Why it opened, with the
numbers of that moment, is told by explain.

Exit codes: 0 shown, 1 there is no such alert or the store cannot be read, 2
wrong usage.`,
		Example: "  portcullis alerts show al_3f2c --config portcullis.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("alerts show takes the id of one alert")
			}
			all, err := f.load(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			a, err := named(alertsOf(all), args[0], "alert", func(a detections.Alert) string { return a.ID })
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(std.out, a)
			}
			in := all[slices.IndexFunc(all, func(in responders.KeptIncident) bool {
				return slices.ContainsFunc(in.Alerts, func(b detections.Alert) bool { return a.ID == b.ID })
			})]
			return printAlert(std.out, a, in.ID)
		},
	}
	f.add(cmd)
	return cmd
}

func printAlert(w io.Writer, a detections.Alert, incident string) error {
	out := newLines(w)
	out.print("%s  %s", a.ID, printable(a.Title))
	out.print("%s, %s of %s, %s, tenant %s, incident %s", a.Severity, a.Rule, groupText(a.Group), plural(a.Count, "event"), printable(a.Tenant), incident)
	end := "is open"
	if a.ResolvedAt != nil {
		end = "resolved " + moment(*a.ResolvedAt)
	}
	late := ""
	if a.Late {
		late = ", late: by events behind the watermark"
	}
	out.print("opened %s, last seen %s, %s%s", moment(a.OpenedAt), moment(a.UpdatedAt), end, late)
	for _, n := range a.Notes {
		out.print("  %s", printable(n))
	}
	for i, name := range sortedKeys(a.Evidence) {
		if i == 0 {
			out.print("\nEvidence")
		}
		out.print("  %s: %s", name, printable(fmt.Sprint(a.Evidence[name])))
	}
	out.print("\nWho and what")
	e := a.Entities
	for _, kind := range []struct {
		name   string
		values []string
	}{{"ip", e.IP}, {"user_id", e.UserID}, {"client_id", e.ClientID}, {"ja4", e.JA4}, {"token family", e.FamilyID}} {
		if len(kind.values) > 0 {
			out.print("  %s: %s", kind.name, printable(strings.Join(kind.values, " ")))
		}
	}
	for i, resp := range a.Responses {
		if i == 0 {
			out.print("\nWhat was done, and what was not")
		}
		out.print("  %s", outcomeText(responders.Outcome{Response: resp}))
	}
	return out.err
}
