package labelled

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheSameSeedGivesTheSameTraffic(t *testing.T) {
	a, b, other := New(7, 500), New(7, 500), New(8, 500)
	require.Equal(t, a.Day(3), b.Day(3))
	require.NotEqual(t, a.Day(3), other.Day(3))
	for _, k := range Attacks() {
		require.Equal(t, k.Events(a, 3, Medium), k.Events(b, 3, Medium), k.Name)
	}
	for _, s := range Stories() {
		require.Equal(t, s.Events(a, 3), s.Events(b, 3), s.Name)
	}
}

func TestDaysDoNotDependOnWhatElseIsMade(t *testing.T) {
	a, b := New(7, 500), New(7, 500)
	for _, k := range Attacks() {
		k.Events(a, 3, High)
	}
	a.Day(2)
	require.Equal(t, b.Day(3), a.Day(3))
}

func TestEveryEventIsWholeAndInOrder(t *testing.T) {
	w := New(7, 600)
	lists := [][]Event{w.Day(0), w.Day(5)}
	for _, k := range Attacks() {
		for _, i := range Intensities {
			lists = append(lists, k.Events(w, 0, i))
		}
	}
	for _, s := range Stories() {
		lists = append(lists, s.Events(w, 0))
	}
	ids := map[string]bool{}
	for _, list := range lists {
		require.NotEmpty(t, list)
		require.True(t, slices.IsSortedFunc(list, func(a, b Event) int { return a.At.Compare(b.At) }))
		for _, e := range list {
			var m struct {
				LogID  string `json:"log_id"`
				Type   string `json:"type"`
				IP     string `json:"ip"`
				UserID string `json:"user_id"`
				Date   string `json:"date"`
			}
			require.NoError(t, json.Unmarshal(e.Raw, &m), "%s", e.Raw)
			require.Equal(t, []string{e.ID, e.Type, e.IP, e.UserID, e.At.Format("2006-01-02T15:04:05.000Z")}, []string{m.LogID, m.Type, m.IP, m.UserID, m.Date})
			require.Len(t, e.ID, 56)
			require.False(t, ids[e.ID], "two events are %s", e.ID)
			ids[e.ID] = true
			_, err := netip.ParseAddr(e.IP)
			require.NoError(t, err)
		}
	}
}

func TestADayHasARhythmAndWeekendsAreQuieter(t *testing.T) {
	w := New(7, 2000)
	monday, sunday := w.Day(0), w.Day(6)
	require.Less(t, len(sunday), len(monday)*9/10)
	hours := map[int]int{}
	for _, e := range monday {
		if e.Type == "s" {
			hours[e.At.Hour()]++
		}
	}
	require.Greater(t, hours[19], 4*hours[2])
	for _, e := range monday {
		require.False(t, e.Hostile)
		require.Empty(t, e.Story)
	}
}

func TestAttackersDoMoreWhenTheyTryHarder(t *testing.T) {
	w := New(7, 3000)
	for _, k := range Attacks() {
		counts := [3]int{}
		for _, i := range Intensities {
			for _, e := range k.Events(w, 2, i) {
				require.Equal(t, k.Name, e.Story)
				if e.Hostile {
					counts[i]++
				}
				require.WithinDuration(t, DayStart(2).Add(k.From), e.At, 26*time.Hour, k.Name)
			}
		}
		require.Less(t, counts[Low], counts[Medium], k.Name)
		require.Less(t, counts[Medium], counts[High], k.Name)
	}
}

func TestNobodyElseUsesTheAddressesThatAttackersRent(t *testing.T) {
	w := New(7, 3000)
	calm := map[string]bool{}
	for day := range 3 {
		for _, e := range w.Day(day) {
			calm[e.IP] = true
		}
	}
	shared := map[string]bool{}
	for _, k := range Attacks() {
		for _, e := range k.Events(w, 1, High) {
			if e.Hostile && calm[e.IP] && e.Type != "gd_auth_rejected" && e.Type != "gd_auth_succeed" { // answered by the victim
				shared[k.Name] = true
			}
		}
	}
	require.Equal(t, map[string]bool{"stuffing from a carrier's address": true, "stuffing from an office's address": true}, shared)
}
