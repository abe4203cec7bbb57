package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/detections"
)

// report is the whole result as Markdown.
func (r *result) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d users, seed %d, %d rules, %d policies. The rules learn for %d days; the calm week has %d events.\n\n", r.users, r.seed, r.rules, r.policies, learnDays, r.calm.events)
	r.summary(&b)
	r.attackTable(&b)
	r.missed(&b)
	r.calmTable(&b)
	r.harmList(&b)
	return b.String()
}

func (r *result) summary(b *strings.Builder) {
	found, lost, accounts := 0, 0, 0
	for _, a := range r.attacks {
		if len(a.found) > 0 {
			found++
		}
		lost, accounts = lost+a.lost, accounts+a.accounts
	}
	urgent := 0
	for _, a := range r.calm.alarms {
		if a.severity.Rank() >= detections.High.Rank() {
			urgent++
		}
	}
	fmt.Fprintf(b, "| | |\n| --- | --- |\n")
	fmt.Fprintf(b, "| attacks found | %d of %d |\n", found, len(r.attacks))
	fmt.Fprintf(b, "| accounts lost before the first alert | %d of %d |\n", lost, accounts)
	fmt.Fprintf(b, "| false alarms a day | %.1f, of these %.1f high or critical |\n", float64(len(r.calm.alarms))/weekDays, float64(urgent)/weekDays)
	fmt.Fprintf(b, "| tightened for everybody in the calm week | %s |\n", minutes(r.calm.tightly))
	fmt.Fprintf(b, "| responses that would have touched a bystander | %d |\n\n", len(r.harmed()))
}

func minutes(d time.Duration) string { return fmt.Sprintf("%.0f min", d.Minutes()) }

func (r *result) attackTable(b *strings.Builder) {
	fmt.Fprintf(b, "## Attacks\n\n| attack | intensity | events | found after | first by | also by | accounts lost before, of all | would be done |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, a := range r.attacks {
		after, first, also := "**missed**", "", []string{}
		for i, t := range a.found {
			switch {
			case i == 0:
				after, first = fmt.Sprintf("%.0f min", a.minutes), t.Rule
			case t.Rule != first && !slices.Contains(also, t.Rule):
				also = append(also, t.Rule)
			}
		}
		accounts := "–"
		if a.accounts > 0 {
			accounts = fmt.Sprintf("%d of %d", a.lost, a.accounts)
		}
		fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %s | %s | %s |\n", a.name, a.intensity, a.events, after, first, strings.Join(also, ", "), accounts, strings.Join(a.acts, ", "))
	}
	b.WriteString("\n")
}

// missed lists the attacks that no rule finds.
func (r *result) missed(b *strings.Builder) {
	b.WriteString("## Missed\n\n")
	none := true
	for _, a := range r.attacks {
		if len(a.found) == 0 {
			none = false
			fmt.Fprintf(b, "- %s, %s: %d events, %d accounts\n", a.name, a.intensity, a.events, a.accounts)
		}
	}
	if none {
		b.WriteString("None.\n")
	}
	b.WriteString("\n")
}

func (r *result) calmTable(b *strings.Builder) {
	type line struct{ rule, severity, story, acts string }
	counts := map[line]int{}
	for _, a := range r.calm.alarms {
		counts[line{a.rule, string(a.severity), cmp.Or(a.story, "everyday traffic"), strings.Join(r.calm.acts[a.rule], ", ")}]++
	}
	lines := slices.SortedFunc(maps.Keys(counts), func(x, y line) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x.rule, y.rule), cmp.Compare(x.story, y.story), cmp.Compare(x.acts, y.acts))
	})
	b.WriteString("## The calm week\n\n| rule | severity | because of | alerts in the week | would be done |\n| --- | --- | --- | --- | --- |\n")
	for _, l := range lines {
		fmt.Fprintf(b, "| %s | %s | %s | %d | %s |\n", l.rule, l.severity, l.story, counts[l], l.acts)
	}
	b.WriteString("\n")
}

func (r *result) harmList(b *strings.Builder) {
	b.WriteString("## Bystanders\n\n")
	harms := r.harmed()
	if len(harms) == 0 {
		b.WriteString("No response would have touched one.\n")
	}
	for i, h := range harms {
		if i == 30 {
			fmt.Fprintf(b, "- and %d more\n", len(harms)-i)
			break
		}
		fmt.Fprintf(b, "- %s\n", h.String())
	}
}
