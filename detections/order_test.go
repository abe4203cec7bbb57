package detections_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/logstream"
)

// The promise: same events, same alerts, whatever the order of arrival within
// the lateness, duplicates, and whether alerts are told ahead.

const orderRules = `
id: rising
title: Rising
severity: high
where: type == "fp"
group_by: [ip]
window: 10m
having: count() > 8 && distinct(user_name) >= 3
quiet: 4m
evidence: {users: values(user_name), n: count(), who: distinct(user_name), last: last(user_name)}
---
id: ratio
title: Ratio
severity: low
where: type in ["fp", "s"]
group_by: [ip]
window: 5m
having: count() >= 6 && count(type == "s") * 4 < count()
evidence: {good: count(type == "s"), all: count()}
---
id: single
title: Single
severity: info
where: type == "ferrt"
group_by: [user_id]
quiet: 3m
---
id: average
title: Average
severity: info
where: type == "fp"
window: 7m
having: avg(details.score) > 60 && max(details.score) <= 99
evidence: {mean: avg(details.score), least: min(details.score), total: sum(details.score)}
`

type stamped struct {
	ev logstream.Event
	at time.Duration // arrival
}

func randomEvents(t *testing.T, rng *rand.Rand, n int) []stamped {
	t.Helper()
	base := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var out []stamped
	clock := time.Duration(0)
	for i := range n {
		// Bursts with pauses, some of them long enough for alerts to resolve.
		switch {
		case rng.IntN(40) == 0:
			clock += time.Duration(rng.IntN(900)) * time.Second
		case rng.IntN(4) > 0:
			clock += time.Duration(rng.IntN(15000)) * time.Millisecond
		}
		at := base.Add(clock)
		raw, err := json.Marshal(map[string]any{
			"log_id": fmt.Sprintf("900%s%03d%039d", at.Format("20060102150405"), at.Nanosecond()/1e6, i), "date": at.Format("2006-01-02T15:04:05.000Z"),
			"type": []string{"fp", "fp", "fp", "s", "ferrt"}[rng.IntN(5)], "ip": fmt.Sprintf("198.51.100.%d", rng.IntN(3)),
			"user_name": fmt.Sprintf("u%d", rng.IntN(6)), "user_id": fmt.Sprintf("auth0|%d", rng.IntN(2)), "details": map[string]any{"score": rng.IntN(100)},
		})
		require.NoError(t, err)
		ev, err := logstream.Decode(raw)
		require.NoError(t, err)
		out = append(out, stamped{ev, clock})
	}
	return out
}

func run(t *testing.T, set *detections.RuleSet, events []stamped, ahead bool) (final []string, opened int) {
	t.Helper()
	e, err := detections.NewEngine("acme", set, detections.Options{Ahead: ahead, OnChange: func(c detections.Change) {
		switch c.Transition {
		case detections.Opened:
			opened++
		case detections.Resolved:
			if ahead {
				c.Alert.ID = "" // an alert told ahead keeps the id it was first told under
			}
			b, err := json.Marshal(c.Alert)
			require.NoError(t, err)
			final = append(final, string(b))
		}
	}})
	require.NoError(t, err)
	for i := range events {
		e.Ingest(&events[i].ev)
	}
	require.Zero(t, e.Stats().Late)
	require.Empty(t, e.Stats().RuleErrors)
	e.Finish()
	require.Empty(t, e.OpenAlerts())
	slices.Sort(final)
	return final, opened
}

func TestSameEventsGiveTheSameAlertsInAnyOrderWithinTheLateness(t *testing.T) {
	set, err := detections.Load([]detections.File{{Name: "order.yaml", Data: []byte(orderRules)}}, nil)
	require.NoError(t, err)
	rounds := 80
	if testing.Short() {
		rounds = 30
	}
	alerts := 0
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(uint64(seed), 1))
		events := randomEvents(t, rng, 400)
		want, _ := run(t, set, events, false)
		alerts += len(want)

		disorder := slices.Clone(events)
		for i := range disorder {
			if rng.IntN(50) == 0 {
				disorder = append(disorder, stamped{disorder[i].ev, disorder[i].at}) // delivered twice
			}
		}
		for i := range disorder {
			disorder[i].at += time.Duration(rng.IntN(60000)) * time.Millisecond
		}
		slices.SortStableFunc(disorder, func(a, b stamped) int { return int(a.at - b.at) })
		got, _ := run(t, set, disorder, false)
		requireSame(t, want, got, "seed %d, shuffled and duplicated", seed)

		ordered, _ := run(t, set, events, true)
		ahead, opened := run(t, set, disorder, true)
		require.Equal(t, len(ahead), opened, "seed %d: an alert opened twice or never", seed)
		require.Equal(t, len(want), len(ordered), "seed %d, told ahead", seed)
		requireSame(t, ordered, ahead, "seed %d, told ahead, shuffled and duplicated", seed)
	}
	require.Greater(t, alerts, 5*rounds, "the histories are too calm to prove anything")
}

// requireSame compares two sorted lists and shows only what differs.
func requireSame(t *testing.T, want, got []string, msg string, args ...any) {
	t.Helper()
	less := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	}
	require.Equal(t, less(want, got), less(got, want), append([]any{msg}, args...)...)
	require.Len(t, got, len(want), append([]any{msg}, args...)...)
}
