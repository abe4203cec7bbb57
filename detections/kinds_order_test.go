package detections_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/logstream"
)

// Same events, same alerts, for every kind of rule: whatever the order within
// the lateness, the batches, the duplicates and the restarts.

const everyKind = `
id: steps
title: Steps
severity: high
group_by: [ip]
steps:
  - {name: failed, where: type == "fp", times: 2}
  - {name: passed, where: type == "s" && user_name == failed.user_name}
within: 6m
quiet: 3m
evidence: {users: values(user_name)}
---
id: either
title: Either
severity: high
ordered: false
group_by: [ip]
steps:
  - {name: failed, where: type == "ferrt"}
  - {name: passed, where: type == "s", times: 2}
within: 4m
---
id: nothing
title: Nothing followed
severity: low
group_by: [user_id]
after: type == "ss"
expect: type == "s"
within: 5m
quiet: 4m
---
id: new
title: New
severity: low
where: type == "s"
value: user_agent
per: [user_id]
learn: 20m
forget: 30m
quiet: 2m
evidence: {agents: values(user_agent)}
---
id: travel
title: Travel
severity: low
where: type == "s"
value: user_agent
per: [user_id]
learn: 10m
forget: 1h
having: travel_kmh > 900 && travel_km > 100
---
id: setting
title: Setting
severity: high
where: type == "sapi"
key: [client_id]
value: details.response.body.level
when: now == "off" && was != "off"
evidence: {was: was, now: now, who: values(user_name)}
---
id: usual
title: Usual
severity: low
where: type == "fp"
window: 10m
having: count() >= 3 && baseline(count(), 4h).z > 1.5
quiet: 5m
---
id: fills
title: Fills
severity: medium
where: type == "fp"
group_by: [ip]
window: 3m
having: count() >= 4
quiet: 1m
publish: {list: bad_agents, value: user_agent, ttl: 6m}
---
id: reads
title: Reads
severity: high
where: type == "s" && user_agent in lists.bad_agents
group_by: [user_id]
quiet: 1m
---
id: spared
title: Spared
severity: low
where: type == "s" && not (user_agent in lists.bad_agents)
group_by: [user_id]
window: 10m
having: count() >= 3
quiet: 1m
---
id: alerts
title: Alerts
severity: high
on: signals
where: rule in ["fills", "reads", "new"]
window: 20m
having: count() >= 3 && distinct(rule) >= 2
quiet: 5m
evidence: {rules: values(rule)}
`

func kindEvents(t testing.TB, rng *rand.Rand, n int) []stamped {
	t.Helper()
	base := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var out []stamped
	clock := time.Duration(0)
	for i := range n {
		switch {
		case rng.IntN(50) == 0:
			clock += time.Duration(rng.IntN(1800)) * time.Second
		case rng.IntN(3) > 0:
			clock += time.Duration(rng.IntN(25)) * time.Second // whole seconds, so that ties are many
		}
		at := base.Add(clock)
		doc := map[string]any{
			"log_id": fmt.Sprintf("900%s%03d%036d", at.Format("20060102150405"), 0, rng.IntN(1000)*100000+i), "date": at.Format("2006-01-02T15:04:05.000Z"),
			"type": []string{"fp", "fp", "fp", "s", "s", "s", "ss", "ferrt", "sapi"}[rng.IntN(9)], "ip": fmt.Sprintf("198.51.100.%d", rng.IntN(3)),
			"user_name": fmt.Sprintf("u%d", rng.IntN(3)), "user_id": fmt.Sprintf("auth0|%d", rng.IntN(2)), "user_agent": fmt.Sprintf("ua%d", rng.IntN(12)), "client_id": fmt.Sprintf("c%d", rng.IntN(2)),
			"location_info": map[string]any{"latitude": rng.IntN(60), "longitude": rng.IntN(60)},
			"details":       map[string]any{"response": map[string]any{"body": map[string]any{"level": []string{"off", "low", "high"}[rng.IntN(3)]}}},
		}
		raw, err := json.Marshal(doc)
		require.NoError(t, err)
		ev, err := logstream.Decode(raw)
		require.NoError(t, err)
		out = append(out, stamped{ev, clock})
	}
	return out
}

// arrivals is how events come to an engine.
type arrivals struct {
	events   []stamped
	ahead    bool
	restarts *rand.Rand // nil for none
	odd      bool       // rules may fail on some
}

// finalAlerts gives the events to an engine and returns its alerts as they
// finally were, in a fixed order.
func finalAlerts(t *testing.T, set *detections.RuleSet, in arrivals) []string {
	t.Helper()
	var final []string
	told := map[string]bool{}
	opts := detections.Options{Ahead: in.ahead, OnChange: func(c detections.Change) {
		switch c.Transition {
		case detections.Opened:
			require.False(t, told[c.Alert.ID], "%s of %s opened twice", c.Alert.ID, c.Alert.Rule)
			told[c.Alert.ID] = true
		case detections.Resolved:
			require.True(t, told[c.Alert.ID], "%s of %s never opened", c.Alert.ID, c.Alert.Rule)
			a := c.Alert
			a.ID = "" // an alert told ahead keeps the id it was first told under
			b, err := json.Marshal(a)
			require.NoError(t, err)
			final = append(final, string(b))
		}
	}}
	e, err := detections.NewEngine("acme", set, opts)
	require.NoError(t, err)
	for i := range in.events {
		e.Ingest(&in.events[i].ev)
		if in.restarts != nil && in.restarts.IntN(40) == 0 {
			snap, err := e.Snapshot()
			require.NoError(t, err)
			e, err = detections.NewEngine("acme", set, opts)
			require.NoError(t, err)
			require.NoError(t, e.Restore(snap))
			again, err := e.Snapshot()
			require.NoError(t, err)
			require.Equal(t, len(snap), len(again), "a restored engine is what it was")
		}
	}
	require.Zero(t, e.Stats().Late)
	if !in.odd {
		require.Empty(t, e.Stats().RuleErrors)
	}
	require.Empty(t, e.Stats().Shed)
	e.Finish()
	for _, a := range e.OpenAlerts() { // a state lasts; what was told of it last may be some events old
		require.Equal(t, detections.State, set.Rule(a.Rule).Kind(), "%+v, clock %s", a, e.Clock())
		b, err := json.Marshal(detections.Alert{Rule: a.Rule, Group: a.Group, OpenedAt: a.OpenedAt, Evidence: map[string]any{"was": a.Evidence["was"]}})
		require.NoError(t, err)
		final = append(final, string(b))
	}
	slices.Sort(final)
	return final
}

func TestEveryKindGivesTheSameAlertsInAnyOrderAndOverRestarts(t *testing.T) {
	set, err := detections.Load([]detections.File{{Name: "kinds.yaml", Data: []byte(everyKind)}}, nil)
	require.NoError(t, err)
	rounds := 25
	switch {
	case os.Getenv("PORTCULLIS_LONG") != "":
		rounds = 500
	case testing.Short():
		rounds = 8
	}
	perRule := map[string]int{}
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		events := kindEvents(t, rng, 500)
		want := finalAlerts(t, set, arrivals{events: events})
		for _, a := range want {
			var alert detections.Alert
			require.NoError(t, json.Unmarshal([]byte(a), &alert))
			perRule[alert.Rule]++
		}
		disorder := slices.Clone(events)
		for i := range disorder {
			if rng.IntN(40) == 0 {
				disorder = append(disorder, stamped{disorder[i].ev, disorder[i].at})
			}
		}
		for i := range disorder {
			disorder[i].at += time.Duration(rng.IntN(110_000)) * time.Millisecond
		}
		slices.SortStableFunc(disorder, func(a, b stamped) int { return int(a.at - b.at) })
		requireSame(t, want, finalAlerts(t, set, arrivals{events: disorder}), "seed %d, shuffled", seed)
		requireSame(t, want, finalAlerts(t, set, arrivals{events: disorder, restarts: rng}), "seed %d, restarted", seed)
		requireSame(t, want, finalAlerts(t, set, arrivals{events: disorder, ahead: true, restarts: rng}), "seed %d, told ahead and restarted", seed)
	}
	for _, r := range set.Rules {
		require.Greater(t, perRule[r.ID], rounds/4, "rule %s says too little to prove anything", r.ID)
	}
}
