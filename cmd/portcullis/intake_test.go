package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/journal"
	"portcullis/logstream"
)

func TestThePollFillsWhatTheWebhookMissed(t *testing.T) {
	t.Parallel()
	sim := quietSim("acme")
	g := startGuard(t, t.TempDir(), daemonOptions{}, guardTenant{name: "acme", sim: sim, poll: true})
	const n = 20
	var sent strings.Builder
	var all []map[string]any
	for i := range n {
		line := guardEvent(i, time.Now())
		var e struct {
			ID   string         `json:"log_id"`
			Data map[string]any `json:"data"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		e.Data["log_id"] = e.ID
		all = append(all, e.Data)
		if i%2 == 0 { // the stream loses every other one
			sent.WriteString(line + "\n")
		}
	}
	require.Equal(t, 200, g.post("/logs/acme", "hook-acme", sent.String()))
	require.EqualValues(t, n/2, g.counted("acme"))
	for _, e := range all { // later the log has them all
		sim.Inject(e)
	}
	g.eventually("the poll brings the others", func() bool { return g.counted("acme") == n })
	require.Equal(t, 200, g.post("/logs/acme", "hook-acme", sent.String()), "what comes again is taken and counts once")
	require.EqualValues(t, n, g.counted("acme"))
	g.eventually("both are counted", func() bool {
		s := g.tenant("acme").current.Load().stats.Load()
		return s.Events["webhook"] == n/2 && s.Events["poll"] == n/2 && s.Duplicates["webhook"] == n/2 && s.Duplicates["poll"] >= n/2
	})
	g.stopped()
	ids := journaledIDs(t, filepath.Join(g.dir, "data"), "acme")
	require.Len(t, ids, n)
	for id, times := range ids {
		require.Equal(t, 1, times, id)
	}
}

// Half of what is sent is not JSON; the other half is, and odd.
func TestOddEventsAreKeptAndTroubleNoRule(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := startGuard(t, dir, daemonOptions{}, guardTenant{name: "acme", sim: quietSim("acme")})
	nulls, lists, objects := map[string]any{}, map[string]any{}, map[string]any{}
	for _, field := range logstream.KnownFields() {
		nulls[field], lists[field], objects[field] = nil, []any{nil, 1, "x"}, map[string]any{"a": nil}
	}
	var lines []string
	good, bad := 0, 0
	add := func(data string) {
		good++
		lines = append(lines, fmt.Sprintf(`{"log_id":"odd-%d","data":%s}`, good, data), []string{`{"log_id":`, "\x00\x01", "]", "not JSON"}[good%4])
		bad++
	}
	for _, typ := range []any{nil, 17, "s", "f", "fp", "fu", "pwd_leak", "limit_wc", "sapi", "seccft", "gd_send_sms", "ss", "scp", "ferrt", "no such type"} {
		for _, fields := range []map[string]any{nulls, lists, objects} {
			fields["type"], fields["log_id"] = typ, nil
			data, err := json.Marshal(fields)
			require.NoError(t, err)
			add(string(data))
		}
	}
	add("{\"type\":\"fp\",\"ip\":\"\xff\xfe\",\"user_name\":\"\xc3\x28\",\"details\":{\"request\":{\"path\":\"\xed\xa0\x80\"}}}")
	add(`{"type":"fp","type":"s","ip":"192.0.2.1","ip":"192.0.2.2","details":{"a":1,"a":2},"details":null}`)
	add(`{"type":"fp","user_name":"` + strings.Repeat("x", 100_000) + `","date":"0000-00-00T00:00:00Z"}`)
	add(`{}`)

	require.Equal(t, 200, g.post("/logs/acme", "hook-acme", strings.Join(lines, "\n")))
	require.EqualValues(t, good, g.counted("acme"))
	require.EqualValues(t, bad, g.daemon.letters.Count(), "what is no event is kept, each with its reason")
	in := g.tenant("acme").current.Load()
	require.NoError(t, in.with(func() error {
		for rule, e := range in.engine.Stats().RuleErrors {
			return fmt.Errorf("rule %s: %s", rule, e.Last)
		}
		return nil
	}))
	require.Equal(t, 200, g.events("acme", 1, 3))
	require.EqualValues(t, good+3, g.counted("acme"), "what comes after is none the worse")
	g.stopped()
	require.Len(t, journaledIDs(t, filepath.Join(dir, "data"), "acme"), good+3)
}

const thirtyDays = `
id: slow-guessing
title: Slow guessing
severity: low
where: type == "fp"
group_by: [user_name]
window: 30d
having: count() >= 3
`

func TestAWindowOfThirtyDaysSurvivesAStopAndALostSnapshot(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]bool{"from the snapshot": false, "from the journal alone": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(dir, "rules"), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "rules", "slow.yaml"), []byte(thirtyDays), 0o600))
			file := guardConfig(t, dir, "dir: ./data", []guardTenant{{name: "acme", sim: quietSim("acme")}})
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(file, append(text, "  dirs: [./rules]\n"...), 0o600))
			now := time.Now()
			for n, days := range []int{29, 15, 0} {
				g := runGuard(t, file, daemonOptions{})
				event := strings.Replace(guardEvent(n, now.AddDate(0, 0, -days)), `"s"`, `"fp"`, 1)
				require.Equal(t, 200, g.post("/logs/acme", "hook-acme", event))
				in := g.tenant("acme").current.Load()
				var open []string
				require.NoError(t, in.with(func() error {
					for _, a := range in.engine.OpenAlerts() {
						if a.Rule == "slow-guessing" {
							open = append(open, fmt.Sprintf("%s %d", a.Group["user_name"], a.Count))
						}
					}
					return nil
				}))
				if days > 0 {
					require.Empty(t, open)
				} else {
					require.Equal(t, []string{"a@example.com 3"}, open)
				}
				g.stopped()
				if spoil {
					j, err := journal.Open(t.Context(), journal.Options{Dir: filepath.Join(dir, "data")})
					require.NoError(t, err)
					require.NoError(t, j.PutSnapshot(t.Context(), "tenant/acme", strings.NewReader("garbage")))
					require.NoError(t, j.Close())
				}
			}
		})
	}
}
