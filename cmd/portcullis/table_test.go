package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/responders"
)

// screen is a terminal of some width.
type screen struct {
	bytes.Buffer
	width int
}

func (s *screen) columns() int { return s.width }

const screenRules = `
id: many-failures-of-one-address-with-a-long-name
title: Many failed logins from one address, and a title that says a little more than it has to
severity: high
description: x
params: {failures: {default: 3, min: 1, max: 1000, doc: failed logins that one address may have within the window before it is told of}}
where: type in ["f", "fp", "fu"] && user_name != "monitoring@portcullis.example.com" && not (ip in ["192.0.2.1", "192.0.2.2"])
group_by: [ip, client_id]
window: 10m
having: count() > params.failures && distinct(user_name) > 2
runbook: See whether the address is an office of ours, and whether any of these logins succeeded afterwards.
---
id: short
title: A short one
severity: low
where: type == "s"
group_by: [user_id]
`

// screenEvents is failed logins of one address, and a few that do not count.
func screenEvents() string {
	var b strings.Builder
	for i := range 12 {
		user := fmt.Sprintf("a.person.with.quite.a.name.%d@example.com", i%5)
		if i == 11 {
			user = "monitoring@portcullis.example.com"
		}
		fmt.Fprintf(&b, `{"log_id":"%d","date":"2026-03-01T12:%02d:00.000Z","type":"fp","ip":"2001:db8:1:2:3:4:5:6","client_id":"Qm9vb2tzaG9wQ2xpZW50SWRlbnRpZmllcg","user_name":%q}`+"\n", i, i/2, user)
	}
	fmt.Fprintf(&b, `{"log_id":"90","date":"2026-03-01T13:00:00.000Z","type":"s","ip":"198.51.100.7","user_id":"auth0|日本語の利用者"}`+"\n")
	return b.String()
}

func screenIncidents() []responders.KeptIncident {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	end := at.Add(time.Hour)
	alert := func(id, rule, ip string, minutes int) detections.Alert {
		return detections.Alert{ID: id, Rule: rule, Tenant: "acme-production", Severity: detections.High, Campaign: "credential-attack",
			Group: map[string]string{"ip": ip}, OpenedAt: at.Add(time.Duration(minutes) * time.Minute), UpdatedAt: at.Add(time.Hour), Count: 41, Title: "Credential stuffing",
			Entities: detections.Entities{IP: []string{ip}, FamilyID: []string{"f1"}}}
	}
	in := detections.Incident{ID: "in_a7e7f1654d20", Tenant: "acme-production", Campaign: "credential-attack", Severity: detections.High,
		Title: "Credential stuffing from one address, against many users of the shop", OpenedAt: at, UpdatedAt: end,
		Alerts: []detections.Alert{alert("al_0102030405060708", "credential-stuffing-ip", "198.51.100.7", 0), alert("al_1112131415161718", "password-spraying-network", "198.51.100.9", 3)},
		Edges:  []detections.Edge{{A: "al_0102030405060708", B: "al_1112131415161718", Kind: "network", Value: "198.51.100.0/24", Since: at.Add(3 * time.Minute)}}}
	over := in
	over.ID, over.Tenant, over.Title, over.Alerts, over.Edges = "in_ffffffffffff", "acme-staging", "Short", in.Alerts[:1], nil
	over.ResolvedAt = &end
	return []responders.KeptIncident{
		{Incident: in, State: responders.StateContaining, Outcomes: []responders.Outcome{{
			Response: detections.Response{Kind: "hold", Control: "bot-detection", Level: "elevated", Mode: "enforce", Outcome: "done", Reason: "credential stuffing from one address, against many users"},
			From:     "low", To: "high", Until: at.Add(2 * time.Hour), At: at}}},
		{Incident: over, State: responders.StateClosed},
	}
}

func TestWhatIsPrintedFitsTheTerminal(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	const rules, other, events = "rules.yaml", "other.yaml", "events.jsonl"
	require.NoError(t, os.WriteFile(rules, []byte(screenRules), 0o600))
	require.NoError(t, os.WriteFile(other, []byte("id: other\ntitle: Other\nseverity: low\nwhere: type == \"s\"\ngroup_by: [user_id]\n"), 0o600))
	require.NoError(t, os.WriteFile(events, []byte(screenEvents()), 0o600))
	command := func(args ...string) func(*screen) error {
		return func(s *screen) error {
			var stderr bytes.Buffer
			if code := run(t.Context(), args, stdio{strings.NewReader(""), s, &stderr}); code != exitOK {
				return fmt.Errorf("exit %d: %s", code, &stderr)
			}
			return nil
		}
	}
	key := []string{"--rule", "many-failures-of-one-address-with-a-long-name", "--key", "ip=2001:db8:1:2:3:4:5:6", "--key", "client_id=Qm9vb2tzaG9wQ2xpZW50SWRlbnRpZmllcg", "--rules", rules, "--file", events}
	for name, print := range map[string]func(*screen) error{
		"replay":         command("replay", "--rules", rules, "-o", "table", events),
		"replay_against": command("replay", "--rules", rules, "--against", other, "-o", "table", events),
		"explain":        command(append([]string{"explain"}, key...)...),
		"whynot":         command(append([]string{"whynot", "--at", "2026-03-01T12:00:30Z"}, key...)...),
		"tune":           command("tune", "many-failures-of-one-address-with-a-long-name", events, "--rules", rules, "--budget", "700/week"),
		"rules_list":     command("rules", "list"),
		"alerts_list": func(s *screen) error {
			return alertTable(s, "", alertsOf(screenIncidents())).print()
		},
		"incidents_list": func(s *screen) error {
			return listIncidents(stdio{out: s}, keptFlags{output: "text"}, screenIncidents())
		},
		"incidents_show": func(s *screen) error { return printIncident(s, screenIncidents()[0]) },
		"alerts_show":    func(s *screen) error { return printAlert(s, screenIncidents()[0].Alerts[0], "in_a7e7f1654d20") },
	} {
		for _, width := range []int{80, 200, 0} {
			t.Run(fmt.Sprintf("%s at %d", name, width), func(t *testing.T) {
				s := &screen{width: width}
				require.NoError(t, print(s))
				got := s.String()
				for line := range strings.Lines(got) {
					if width > 0 {
						require.LessOrEqual(t, cellWidth(strings.TrimSuffix(line, "\n")), width, line)
					} else {
						require.NotContains(t, line, "…")
					}
				}
				if name == "rules_list" {
					return // the catalog changes
				}
				golden := filepath.Join(here, "testdata", "screens", fmt.Sprintf("%s_%d.txt", name, width))
				if *update {
					require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
					require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
				}
				want, err := os.ReadFile(golden)
				require.NoError(t, err)
				require.Equal(t, string(want), got)
			})
		}
	}
}

func TestATableLeavesOutBeforeItCutsToStumps(t *testing.T) {
	s := &screen{width: 41}
	table := newTable(s, column{head: "WHOLE"}, column{"LEFT OUT", spare}, column{"CUT", cutting})
	table.row("0123456789", "seldom asked for", "this is rather long, and cut")
	require.NoError(t, table.print())
	require.Equal(t, "WHOLE       CUT\n0123456789  this is rather long, and cut\n", s.String())

	s = &screen{width: 10} // nothing helps: what may not be cut is whole
	table = newTable(s, column{head: "WHOLE"}, column{"CUT", cutting})
	table.row("0123456789", "this is rather long, and cut")
	require.NoError(t, table.print())
	require.Equal(t, "WHOLE       CUT\n0123456789  this …\n", s.String())
}

func TestALongLineBreaksBetweenWords(t *testing.T) {
	require.Equal(t, "  a bb ccc", wrap("  a bb ccc", 10))
	require.Equal(t, "  a bb ccc", wrap("  a bb ccc", 0))
	require.Equal(t, "  a bb\n      ccc\n      dddd", wrap("  a bb ccc dddd", 9))
	require.Equal(t, "averylongword\n    b", wrap("averylongword b", 8))
}

func TestWhatIsPrintedCannotSteerATerminal(t *testing.T) {
	require.Equal(t, "日本 é ·[31m·evil·", printable("日本 é \x1b[31m\u202eevil\u200b"))
}
