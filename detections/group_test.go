package detections

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/logstream"
)

func testEngine(t *testing.T, rule string) *Engine {
	t.Helper()
	set, err := Load([]File{{Name: "r.yaml", Data: []byte("id: r\ntitle: R\nseverity: low\n" + rule)}}, nil)
	require.NoError(t, err)
	e, err := NewEngine("acme", set, Options{Ahead: true, Now: func() time.Time { return time.Unix(1<<33, 0) }})
	require.NoError(t, err)
	return e
}

func ingest(t *testing.T, e *Engine, at time.Time, n int, ip string) {
	t.Helper()
	ev, err := logstream.Decode(fmt.Appendf(nil, `{"log_id":"i%d","date":%q,"type":"fp","ip":%q}`, n, at.Format(time.RFC3339Nano), ip))
	require.NoError(t, err)
	e.Ingest(&ev)
}

func TestGroupsAreForgottenWhenTheirWindowHasPassed(t *testing.T) {
	for _, having := range []string{"count() > 2", "count() < 2", "max(details.x) > 1", "sum(details.x) > 1"} {
		t.Run(having, func(t *testing.T) {
			e := testEngine(t, "where: type == \"fp\"\ngroup_by: [ip]\nwindow: 10m\nquiet: 1m\nhaving: "+having+"\n")
			start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			for i := range 5000 {
				ingest(t, e, start.Add(time.Duration(i)*time.Second), i, fmt.Sprint("ip", i))
			}
			if having == "count() < 2" {
				require.LessOrEqual(t, len(e.queues[0]), 800, "few groups are followed closely")
				e.Advance(start.Add(9 * 24 * time.Hour)) // told ones are remembered for a week
			} else {
				require.LessOrEqual(t, e.rules[0].groups.len(), 1000, "the window holds six hundred")
				e.Advance(start.Add(3 * time.Hour))
			}
			require.Zero(t, e.rules[0].groups.len())
			require.Empty(t, e.queues[0])
		})
	}
}

func TestAStreamOfLateEventsDoesNotGrowAGroupWithoutBound(t *testing.T) {
	e := testEngine(t, "where: type == \"fp\"\nwindow: 10m\nhaving: count() > 100000\n")
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 20000 {
		at := start.Add(time.Duration(i) * time.Second)
		if i%10 == 9 {
			at = at.Add(-5 * time.Minute)
		}
		ingest(t, e, at, i, "x")
	}
	g := e.rules[0].groups.get("")
	require.Less(t, len(g.entries), 1000)
	require.True(t, g.beyond == nil || len(g.beyond.late) < 200)
}

// countedDistinct counts what a distinct() is given.
type countedDistinct struct {
	removable
	n *int
}

func (c countedDistinct) add(v any)           { *c.n++; c.removable.add(v) }
func (c countedDistinct) merge(o accumulator) { c.removable.merge(o.(countedDistinct).removable) }
func (c countedDistinct) unmerge(o accumulator) {
	c.removable.unmerge(o.(countedDistinct).removable)
}
func (c countedDistinct) clone() accumulator {
	return countedDistinct{c.removable.clone().(removable), c.n}
}

func TestDisorderInALargeGroupCostsLittle(t *testing.T) {
	added, distinct := 0, aggregateFuncs["distinct"]
	counted := distinct
	counted.make = func() accumulator { return countedDistinct{newDistinct(), &added} }
	aggregateFuncs["distinct"] = counted
	t.Cleanup(func() { aggregateFuncs["distinct"] = distinct })

	const events = 20000
	e := testEngine(t, "where: type == \"fp\"\nwindow: 1h\nquiet: 1h\nhaving: count() > 5 && distinct(ip) > 3\nevidence: {ips: distinct(ip)}\n")
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range events {
		at := start.Add(time.Duration(i^15) * 2 * time.Millisecond) // every second one comes too early
		ingest(t, e, at, i, fmt.Sprint("ip", i))
	}
	require.Len(t, e.OpenAlerts(), 1)
	require.Greater(t, added, events)
	require.Less(t, added, 50*events, "a walk over the group for every event would be thousands of times the events")
}
