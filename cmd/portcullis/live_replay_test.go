package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

// liveRules are rules of every kind over what the traffic of the crash test holds.
const liveRules = `
id: live-steps
title: A failure, then a success
severity: low
group_by: [ip]
steps:
  - {name: failed, where: type == "fp", times: 2}
  - {name: passed, where: type == "s" && user_name == failed.user_name}
within: 1h
---
id: live-nothing
title: Failed and gave up
severity: low
group_by: [ip]
after: type == "fp"
expect: type == "s"
within: 10m
quiet: 10m
---
id: live-new
title: An address that is new to the user
severity: low
where: type == "s"
value: ip
per: [user_name]
learn: 10m
forget: 2h
quiet: 10m
---
id: live-usual
title: More than usual
severity: low
where: type in ["fp", "fu"]
window: 10m
having: count() >= 5 && baseline(count(), 2h).z > 2
quiet: 10m
---
id: live-fills
title: An attack
severity: low
where: type in ["fp", "fu"]
group_by: [ip]
window: 10m
having: count() >= 10
quiet: 10m
publish: {list: live_addresses, value: ip, ttl: 1h}
---
id: live-reads
title: A success of an address that attacked
severity: low
where: type == "s" && ip in lists.live_addresses
group_by: [user_name]
quiet: 10m
---
id: live-signals
title: Several rules at once
severity: low
on: signals
where: rule startsWith "live-" || rule == "newcomer"
window: 30m
having: count() >= 3 && distinct(rule) >= 2
quiet: 10m
`

// TestALiveDaemonSaysWhatReplaySays gives the same events to a daemon, by webhook
// and poll, and to the replay command.
func TestALiveDaemonSaysWhatReplaySays(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a daemon for seconds")
	}
	t.Parallel()
	events := crashTraffic(t, 5000)
	live := newCrashRun(t, events[len(events)-1].at.Add(crashQuiet+time.Hour), 0)
	require.NoError(t, os.WriteFile(filepath.Join(live.dir, "rules/live.yaml"), []byte(liveRules), 0o600))
	live.play(crashSchedule(events, true), 0)
	told := live.result()
	require.Zero(t, told.late)

	file := filepath.Join(live.dir, "events.jsonl")
	var lines bytes.Buffer
	for _, ev := range events {
		lines.Write(ev.envelope)
		lines.WriteByte('\n')
	}
	// The daemon's clock went on after the last event.
	end := events[len(events)-1].at.Add(crashQuiet)
	fmt.Fprintf(&lines, `{"log_id":"the-end","data":{"type":"depnote","date":%q}}`+"\n", end.Format(time.RFC3339))
	require.NoError(t, os.WriteFile(file, lines.Bytes(), 0o600))
	var out, errs bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"replay", "--config", filepath.Join(live.dir, crashConfig), "-o", "json", file}, stdio{in: strings.NewReader(""), out: &out, err: &errs}), errs.String())
	var replayed []string
	rules := map[string]int{}
	sc := bufio.NewScanner(&out)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var a detections.Alert
		require.NoError(t, json.Unmarshal(sc.Bytes(), &a))
		rules[a.Rule]++
		replayed = append(replayed, crashAlertText(t, a))
	}
	require.NoError(t, sc.Err())
	slices.Sort(replayed)
	onlyLive, onlyReplay := crashDifference(told.alerts, replayed)
	require.Empty(t, onlyLive, "alerts of the daemon alone")
	require.Empty(t, onlyReplay, "alerts of replay alone")
	for _, kind := range []string{"steps", "nothing", "new", "usual", "fills", "reads", "signals"} {
		require.Positive(t, rules["live-"+kind], "%s says nothing: %v", kind, rules)
	}
}
