package responders

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/internal/journal"
	"portcullis/internal/tenantsim"
	"portcullis/responders/hold"
)

// scene is a moment in the life of an attack: what is offered then, and what a
// human does before.
type scene struct {
	at     time.Duration
	change *detections.Change
	human  map[string]any
}

// lifeWith is an attack from its first alert to calm, in the midst of which a
// human changes bot detection.
func lifeWith(human map[string]any) []scene {
	return []scene{
		{at: 0, change: ptr(opened(alert(0, 41, "198.51.100.7", "203.0.113.5")))},
		{at: time.Minute},
		{at: 2 * time.Minute, change: ptr(updated(alert(2*time.Minute, 70, "198.51.100.7", "198.51.100.8", "2001:db8::8")))},
		{at: 5 * time.Minute, human: human},
		{at: 10 * time.Minute, change: ptr(updated(alert(10*time.Minute, 90, "198.51.100.7")))},
		{at: 20 * time.Minute, change: ptr(resolved(alert(10*time.Minute, 90, "198.51.100.7"), 20*time.Minute))},
		{at: 41 * time.Minute},
		{at: 63 * time.Minute},
		{at: 75 * time.Minute},
		{at: 90 * time.Minute},
		{at: 95 * time.Minute},
	}
}

// TestACrashBetweenADeedAndWhatItTellsRecordsItOnce kills the responder at every
// write while an alert opens and grows, so also after the deed and before the
// alert is saved, and has the next life go through the same again.
func TestACrashBetweenADeedAndWhatItTellsRecordsItOnce(t *testing.T) {
	j, err := journal.Open(t.Context(), journal.Options{Dir: t.TempDir(), NoSync: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	for _, late := range []bool{false, true} {
		crashed, cuts := true, 0
		for ; crashed; cuts++ {
			w := newWorld(t, tenantsim.Options{})
			w.journal, w.late = j, late
			ip := fmt.Sprintf("198.51.100.%d", cuts+1)
			play := func() {
				for i, c := range []detections.Change{opened(alert(0, 41, ip)), updated(alert(time.Minute, 50, ip)), resolved(alert(time.Minute, 50, ip), 2*time.Minute)} {
					c.Alert.ID = fmt.Sprintf("al_%d_%v", cuts, late)
					w.r.Offer(c)
					if err := w.r.step(w.ctx); err != nil {
						require.True(t, w.fuse.blown, "change %d: %v", i, err)
						return
					}
				}
			}
			require.NoError(t, w.boot(cuts))
			play()
			if crashed = w.fuse.blown; crashed {
				require.NoError(t, w.boot(-1))
				play()
			}
			w.srv.Close()
		}
		require.Greater(t, cuts, 10, "the whole life was cut")
	}
	deeds := map[string]int{}
	require.NoError(t, j.ReadDeeds(t.Context(), "acme", func(_ uint64, _ time.Time, doc json.RawMessage) error {
		var d struct {
			Kind       string
			Transition detections.Transition
			Alert      detections.Alert
			Hold       hold.Hold
		}
		require.NoError(t, json.Unmarshal(doc, &d))
		if d.Kind == "alert" {
			deeds[fmt.Sprintf("%s %s", d.Alert.ID, d.Transition)]++
		}
		if d.Kind == "hold" && !d.Hold.Confirmed {
			deeds[fmt.Sprintf("%s begun", d.Hold.ID)]++
		}
		return nil
	}))
	require.NotEmpty(t, deeds)
	for what, n := range deeds {
		require.Equal(t, 1, n, what)
	}
	require.NoError(t, j.VerifyDeeds(t.Context()))
}

func ptr[T any](v T) *T { return &v }

// TestACrashAnywhereInAnAttacksLifeEndsTheSame cuts the life of an attack at
// every write to a store, every record and every request, once before it took
// effect and once after, starts again, goes through the same changes again as the
// engine does, and plays on.
func TestACrashAnywhereInAnAttacksLifeEndsTheSame(t *testing.T) {
	j, err := journal.Open(t.Context(), journal.Options{Dir: t.TempDir(), NoSync: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	stores := map[string]Store{}
	for _, name := range []string{"holds", "incidents", "budgets", "controls", "lines"} {
		kv, err := j.KV(t.Context(), name)
		require.NoError(t, err)
		stores[name] = kv
	}
	memory := map[string]Store{"holds": memStore{}, "incidents": memStore{}, "budgets": memStore{}, "controls": memStore{}, "lines": memStore{}}
	humans := []map[string]any{ // one who raises and one who lowers
		{"challenge_password_policy": "always", "allowlist": []any{"192.0.2.9"}},
		{"bot_detection_level": "low"},
	}
	for name, tt := range map[string]struct {
		stores map[string]Store
		late   bool
	}{
		"before it took effect": {stores, false},
		"after it took effect":  {memory, true},
	} {
		t.Run(name, func(t *testing.T) {
			cuts := 0
			for whole := 0; whole < len(humans); cuts++ {
				if playLife(t, tt.stores, cuts, tt.late, humans[cuts%len(humans)]) {
					whole = 0
				} else {
					whole++
				}
			}
			require.Greater(t, cuts, 60, "the whole life was cut")
		})
	}
}

// playLife plays the life with one crash after so many steps outside; it reports
// whether the life was long enough for it.
func playLife(t *testing.T, stores map[string]Store, cut int, late bool, human map[string]any) (crashed bool) {
	t.Helper()
	name := fmt.Sprintf("cut %d, late %v", cut, late)
	for _, s := range stores {
		all, err := s.All(t.Context())
		require.NoError(t, err)
		for k := range all {
			require.NoError(t, s.Delete(t.Context(), k))
		}
	}
	w := newWorld(t, tenantsim.Options{})
	defer w.srv.Close() // hundreds of lives are played
	w.stores, w.late = stores, late
	require.NoError(t, w.HumanRequest("POST", "/network-acls", map[string]any{"description": "ours", "active": true, "priority": 20,
		"rule": map[string]any{"action": map[string]any{"block": true}, "scope": "authentication", "match": map[string]any{"asns": []any{64500}}}}))
	before := w.NetworkACLs()
	want := w.BotDetection()
	maps.Copy(want, human)
	life := lifeWith(human)
	require.NoError(t, w.boot(cut), name)
	for i, scene := range life {
		w.now = start.Add(scene.at)
		if scene.human != nil {
			require.NoError(t, w.HumanPatch("/attack-protection/bot-detection", scene.human))
		}
		if scene.change != nil {
			w.r.Offer(*scene.change)
		}
		w.hear()
		err := w.r.step(w.ctx)
		if !w.fuse.blown {
			require.NoError(t, err, name)
			continue
		}
		if !crashed {
			crashed = true
			require.NoError(t, w.boot(-1), name)
			clear(w.heard) // the journal has them all again
			w.hear()
			for _, past := range life[:i+1] {
				if past.change != nil {
					w.r.Offer(*past.change)
					require.NoError(t, w.r.step(w.ctx), name)
				}
			}
		}
	}
	require.Equal(t, want, w.BotDetection(), name)
	require.Equal(t, before, w.NetworkACLs(), name)
	for _, h := range w.r.holds {
		require.True(t, h.State.Ended(), "%s: hold on %s is %s", name, h.Control, h.State)
	}
	for _, in := range w.r.incidents.All() {
		require.Equal(t, StateClosed, w.r.told[in.ID], name)
	}
	require.Len(t, w.r.incidents.All(), 1, name)
	for _, line := range w.lines {
		require.Equal(t, 1, w.told(line), "%s: %q is told once", name, line)
	}
	w.now = start.Add(32 * 24 * time.Hour)
	if err := w.r.step(w.ctx); err != nil {
		require.True(t, w.fuse.blown, "%s: %v", name, err)
		crashed = true
		require.NoError(t, w.boot(-1), name)
		require.NoError(t, w.r.step(w.ctx), name)
	}
	for _, store := range []string{"controls", "lines"} {
		left, err := w.stores[store].All(context.Background())
		require.NoError(t, err)
		require.Empty(t, left, name)
	}
	return crashed
}
