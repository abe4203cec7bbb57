package detections_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

// captureRules are rules of all kinds, over groups that are packed and that are
// not, that come, are evicted and are let go.
const captureRules = orderRules + `
---
id: packed
title: Packed
severity: low
where: type in ["fp", "s"]
group_by: [ip, user_name, user_id]
window: 3m
having: count() > 20
---
id: steps
title: Steps
severity: high
where: type in ["fp", "s"]
group_by: [user_name]
steps:
  - {name: failed, where: type == "fp", times: 3}
  - {name: passed, where: type == "s" && ip == failed.ip}
within: 10m
quiet: 2m
---
id: missing
title: Missing
severity: low
after: type == "ferrt"
expect: type == "s"
within: 4m
group_by: [user_id]
quiet: 2m
---
id: new-score
title: New
severity: low
where: type == "s"
value: details.score
per: [user_name]
learn: 10m
forget: 30m
quiet: 2m
---
id: state
title: State
severity: low
where: type == "s"
key: [ip]
value: user_name
when: now == "u1" && was != "u1"
quiet: 2m
---
id: filler
title: Filler
severity: low
where: type == "fp" && details.score > 50
group_by: [user_name]
window: 5m
having: count() >= 3
publish: {list: names_seen, value: user_name, ttl: 10m}
---
id: reader
title: Reader
severity: low
where: type == "s" && user_name in lists.names_seen
group_by: [user_name]
`

// A capture is made in slices between events; what it holds is the state of the
// instant at which it began, and an engine restored from it goes on from there.
func TestACaptureHoldsTheInstantAtWhichItBegan(t *testing.T) {
	set, err := detections.Load([]detections.File{{Name: "capture.yaml", Data: []byte(captureRules)}}, nil)
	require.NoError(t, err)
	rounds := 40
	if testing.Short() {
		rounds = 12
	}
	opts := detections.Options{Ahead: true, Unique: true, Memory: detections.Memory{Keys: 24}}
	captures, parts, changed := 0, 0, 0
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(uint64(seed), 6))
		events := randomEvents(t, rng, 400)
		for i := range events {
			events[i].at += time.Duration(rng.IntN(60000)) * time.Millisecond
			if rng.IntN(30) == 0 {
				events[i].at += time.Duration(rng.IntN(3600)) * time.Second // late
			}
		}
		slices.SortStableFunc(events, func(a, b stamped) int { return int(a.at - b.at) })
		e, err := detections.NewEngine("acme", set, opts)
		require.NoError(t, err)
		for i := 0; i < len(events); {
			want, err := e.Snapshot()
			require.NoError(t, err)
			c, err := e.Capture()
			require.NoError(t, err)
			captures++
			var got []byte
			begin, busy := i, 1+rng.IntN(6) // events between two slices
			for more := true; more; {
				for range rng.IntN(busy) {
					if i < len(events) {
						e.Ingest(&events[i].ev)
						i++
					}
				}
				if rng.IntN(10) == 0 {
					e.Advance(e.Clock().Add(time.Duration(rng.IntN(90)) * time.Second))
				}
				if rng.IntN(40) == 0 {
					e.Settle()
				}
				var part []byte
				part, more, err = c.Next(0)
				require.NoError(t, err)
				got = append(got, part...)
				parts++
			}
			require.True(t, bytes.Equal(detections.Sorted(want), detections.Sorted(got)), "seed %d: a capture begun before event %d differs", seed, begin)
			now, err := detections.StateBesideIDs(e)
			require.NoError(t, err)
			if !bytes.Equal(now, detections.Sorted(want)) {
				changed++
			}
			again, err := detections.NewEngine("acme", set, opts)
			require.NoError(t, err)
			require.NoError(t, again.Restore(got))
			state, err := detections.StateBesideIDs(again)
			require.NoError(t, err)
			require.True(t, bytes.Equal(detections.Sorted(want), state), "seed %d: what is restored differs", seed)
			if rng.IntN(4) == 0 {
				e = again // go on from the past, without the events since
			}
			for range rng.IntN(30) {
				if i < len(events) {
					e.Ingest(&events[i].ev)
					i++
				}
			}
		}
		require.Empty(t, e.Stats().RuleErrors)
	}
	t.Logf("%d captures in %d slices, the state changed during %d", captures, parts, changed)
	require.Greater(t, changed, captures/2)
}

func TestACaptureEndsWhenItsRulesDo(t *testing.T) {
	set, err := detections.Load([]detections.File{{Name: "capture.yaml", Data: []byte(captureRules)}}, nil)
	require.NoError(t, err)
	e, err := detections.NewEngine("acme", set, detections.Options{})
	require.NoError(t, err)
	events := randomEvents(t, rand.New(rand.NewPCG(1, 7)), 100)
	for i := range events {
		e.Ingest(&events[i].ev)
	}
	first, err := e.Capture()
	require.NoError(t, err)
	_, more, err := first.Next(0)
	require.NoError(t, err)
	require.True(t, more)
	second, err := e.Capture()
	require.NoError(t, err)
	_, _, err = first.Next(0)
	require.ErrorContains(t, err, "given up")
	require.NoError(t, e.SetRules(set, nil))
	_, _, err = second.Next(0)
	require.ErrorContains(t, err, "given up")
	second.Abandon()
	_, err = e.Snapshot()
	require.NoError(t, err)
}
