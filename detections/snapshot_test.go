package detections_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

// A snapshot restored into a new engine goes on as if nothing had happened: the
// very same changes come out, in the same order, with the same ids.
func TestARestoredEngineGoesOnAsIfItHadNeverStopped(t *testing.T) {
	set, err := detections.Load([]detections.File{{Name: "order.yaml", Data: []byte(orderRules)}}, nil)
	require.NoError(t, err)
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	restarts, changes := 0, 0
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(uint64(seed), 2))
		events := randomEvents(t, rng, 300)
		for i := range events {
			events[i].at += time.Duration(rng.IntN(60000)) * time.Millisecond
			if rng.IntN(40) == 0 {
				events[i].at += time.Duration(rng.IntN(7200)) * time.Second // late
			}
		}
		slices.SortStableFunc(events, func(a, b stamped) int { return int(a.at - b.at) })
		live := func(restart func(i int) bool) []string {
			var told []string
			opts := detections.Options{Ahead: true, OnChange: func(c detections.Change) {
				b, err := json.Marshal(c)
				require.NoError(t, err)
				told = append(told, string(b))
			}}
			e, err := detections.NewEngine("acme", set, opts)
			require.NoError(t, err)
			for i := range events {
				if restart(i) {
					restarts++
					data, err := e.Snapshot()
					require.NoError(t, err)
					state, err := detections.StateBesideIDs(e)
					require.NoError(t, err)
					e, err = detections.NewEngine("acme", set, opts)
					require.NoError(t, err)
					require.NoError(t, e.Restore(data))
					again, err := detections.StateBesideIDs(e)
					require.NoError(t, err)
					require.True(t, bytes.Equal(state, again), "seed %d: a restored engine has another state", seed)
				}
				e.Ingest(&events[i].ev)
			}
			e.Finish()
			return told
		}
		want := live(func(int) bool { return false })
		changes += len(want)
		points := rand.New(rand.NewPCG(uint64(seed), 3))
		got := live(func(int) bool { return points.IntN(25) == 0 })
		requireSame(t, want, got, "seed %d", seed)
		require.True(t, slices.Equal(want, got), "seed %d: the same changes in another order", seed)
	}
	require.Greater(t, restarts, 5*rounds)
	require.Greater(t, changes, 20*rounds)
}

// Flipped bytes are found by the checksum of who keeps the capture.
func TestACaptureThatIsNotWholeIsRefusedAndChangesNothing(t *testing.T) {
	set, err := detections.Load([]detections.File{{Name: "order.yaml", Data: []byte(orderRules)}}, nil)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 4))
	e, err := detections.NewEngine("acme", set, detections.Options{})
	require.NoError(t, err)
	events := randomEvents(t, rng, 200)
	for i := range events {
		e.Ingest(&events[i].ev)
	}
	data, err := e.Snapshot()
	require.NoError(t, err)
	var ends []int // of records
	for at := 0; at < len(data); {
		at += 5 + int(binary.LittleEndian.Uint32(data[at+1:]))
		ends = append(ends, at)
	}
	require.Greater(t, len(ends), 10)
	for range 200 {
		bad := slices.Clone(data)
		switch rng.IntN(5) {
		case 0:
			bad = bad[:rng.IntN(len(bad))]
		case 1:
			bad = bad[:ends[rng.IntN(len(ends)-1)]]
		case 2: // a group is missing
			i := 1 + rng.IntN(len(ends)-2)
			if bad[ends[i-1]] == 's' {
				continue
			}
			bad = slices.Delete(bad, ends[i-1], ends[i])
		case 3: // a record comes twice
			i := 1 + rng.IntN(len(ends)-1)
			if bad[ends[i-1]] == 's' {
				continue
			}
			bad = slices.Insert(bad, ends[i], data[ends[i-1]:ends[i]]...)
		case 4:
			bad = append(bad, 0)
		}
		require.ErrorContains(t, e.Restore(bad), "damaged or of another version")
	}
	after, err := e.Snapshot()
	require.NoError(t, err)
	require.Equal(t, detections.Sorted(data), detections.Sorted(after))
}

func TestARuleThatChangedBeginsAnewAfterARestore(t *testing.T) {
	load := func(text string) *detections.RuleSet {
		set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(text)}}, nil)
		require.NoError(t, err)
		return set
	}
	rule := "id: many\ntitle: Many\nseverity: low\nwhere: type == \"fp\"\ngroup_by: [ip]\nwindow: 1h\nhaving: count() >= "
	rng := rand.New(rand.NewPCG(5, 5))
	events := randomEvents(t, rng, 100)
	e, err := detections.NewEngine("acme", load(rule+"5"), detections.Options{})
	require.NoError(t, err)
	for i := range events {
		e.Ingest(&events[i].ev)
	}
	data, err := e.Snapshot()
	require.NoError(t, err)
	require.NotEmpty(t, e.OpenAlerts())

	same, err := detections.NewEngine("acme", load(rule+"5"), detections.Options{})
	require.NoError(t, err)
	require.NoError(t, same.Restore(data))
	require.Equal(t, len(e.OpenAlerts()), len(same.OpenAlerts()))

	other, err := detections.NewEngine("acme", load(rule+"6"), detections.Options{})
	require.NoError(t, err)
	require.NoError(t, other.Restore(data))
	require.Empty(t, other.OpenAlerts())
	require.Equal(t, e.Watermark(), other.Watermark())
}

func FuzzRestore(f *testing.F) {
	set, err := detections.Load([]detections.File{{Name: "kinds.yaml", Data: []byte(everyKind)}}, nil)
	require.NoError(f, err)
	e, err := detections.NewEngine("acme", set, detections.Options{Ahead: true})
	require.NoError(f, err)
	add := func() {
		data, err := e.Snapshot()
		require.NoError(f, err)
		f.Add(data)
	}
	events := kindEvents(f, rand.New(rand.NewPCG(1, 1)), 120)
	for i := range events {
		if i%40 == 0 {
			add()
		}
		e.Ingest(&events[i].ev)
	}
	add()
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := detections.NewEngine("acme", set, detections.Options{})
		require.NoError(t, err)
		if e.Restore(data) == nil {
			e.Finish() // whatever was taken in must not bring the engine down
			for i := range events {
				e.Ingest(&events[i].ev)
			}
			e.Finish()
		}
	})
}
