package hold

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var t0 = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func climber() *Hold {
	h := &Hold{ID: "hd_1", State: Active, Created: t0, Evidence: t0, Began: t0, TTL: 30 * time.Minute, MaxTTL: 12 * time.Hour,
		Ladder: &Ladder{Rungs: []Rung{{Level: "guarded"}, {Level: "elevated", After: 5 * time.Minute}, {Level: "maximum", After: 15 * time.Minute}}, Probation: 10 * time.Minute}}
	h.Begin()
	return h
}

func at(m int) time.Time { return t0.Add(time.Duration(m) * time.Minute) }

func TestAHoldClimbsAsTheAttackGoesOnAndComesDownRungByRung(t *testing.T) {
	h := climber()
	require.Equal(t, "guarded", h.Level)
	h.Renew(at(4))
	require.Equal(t, "guarded", h.Level)
	h.Renew(at(6))
	require.Equal(t, "elevated", h.Level)
	h.Renew(at(20))
	require.Equal(t, "maximum", h.Level)
	require.Equal(t, at(50), h.Expires)
	require.True(t, h.StepDown(at(50)))
	require.Equal(t, "elevated", h.Level)
	require.Equal(t, at(60), h.Expires)
	require.True(t, h.StepDown(at(60)))
	require.Equal(t, "guarded", h.Level)
	require.False(t, h.StepDown(at(70)), "it stands on the lowest")
}

func TestHoweverLateItComesAHoldStepsDownOneRung(t *testing.T) {
	h := climber()
	h.Renew(at(20))
	require.True(t, h.StepDown(at(300)))
	require.Equal(t, "elevated", h.Level)
	require.Equal(t, at(310), h.Expires)
}

func TestAnAttackThatComesBackInTheProbationHasTheFormerRungTwiceAsLong(t *testing.T) {
	h := climber()
	h.Renew(at(20))
	require.True(t, h.StepDown(at(50)))
	h.Renew(at(45))
	require.Equal(t, "elevated", h.Level, "what is older than the step down is no return")
	h.Renew(at(55))
	require.Equal(t, "maximum", h.Level)
	require.Equal(t, at(115), h.Expires, "twice the time to live")
	require.True(t, h.StepDown(at(115)))
	require.Equal(t, at(115).Add(h.stretch(10*time.Minute, at(115))), h.Expires)
	require.InDelta(t, 1.5, h.factor(at(55).Add(HalfLife)), 1e-9, "half of it is forgotten in a half-life")
}

func TestAHoldAskedForAgainSoonAfterItsEndStaysLonger(t *testing.T) {
	before := &Hold{State: Released, TTL: 30 * time.Minute, Ended: at(40)}
	soon := &Hold{Created: at(50), Evidence: at(50), TTL: 30 * time.Minute, MaxTTL: 12 * time.Hour}
	soon.Inherit(before)
	require.Equal(t, at(110), soon.Expires)
	late := &Hold{Created: at(80), Evidence: at(80), TTL: 30 * time.Minute, MaxTTL: 12 * time.Hour}
	late.Inherit(before)
	require.Equal(t, at(110), late.Expires)
}

func TestAHoldIsInForceForItsDwell(t *testing.T) {
	h := &Hold{Created: at(20), Evidence: at(0), TTL: 30 * time.Minute, MinDwell: 25 * time.Minute, MaxTTL: 12 * time.Hour}
	h.Begin()
	require.Equal(t, at(45), h.Expires)
	h.MaxTTL = 10 * time.Minute
	h.Begin()
	require.Equal(t, at(30), h.Expires, "never beyond its longest time to live")
}

func TestJitterIsBoundedSpreadAndTheSameForAnID(t *testing.T) {
	buckets := map[int]int{}
	for i := range 3000 {
		id := fmt.Sprintf("hd_%06x", i)
		j := Jitter(id)
		require.Equal(t, j, Jitter(id))
		require.LessOrEqual(t, j, 0.15)
		require.GreaterOrEqual(t, j, -0.15)
		buckets[int((j+0.15)/0.03)]++
	}
	for b := range 10 {
		require.Greater(t, buckets[b], 200, "bucket %d of ten", b)
	}
}

// TestNoHistoryOfEvidenceBreaksTheBoundsOfALadder plays random evidence, also
// late, and random looks at the clock, also long after.
func TestNoHistoryOfEvidenceBreaksTheBoundsOfALadder(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		h := climber()
		h.Spread = time.Duration(Jitter(fmt.Sprint(seed)) * float64(h.TTL))
		now := t0
		for range 60 {
			now = now.Add(time.Duration(rng.IntN(40)) * time.Minute)
			before := *h
			if rng.IntN(2) == 0 {
				h.Renew(now.Add(-time.Duration(rng.IntN(10)) * time.Minute))
				require.GreaterOrEqual(t, h.Rung, before.Rung, "evidence never weakens")
				require.False(t, h.Expires.Before(before.Expires), "evidence never shortens")
			} else if !now.Before(h.Expires) {
				if !h.StepDown(now) {
					break
				}
				require.Equal(t, before.Rung-1, h.Rung, "one rung at a time")
				require.True(t, h.Expires.After(now))
			}
			require.False(t, h.Expires.After(h.LastEnd()), "never beyond its longest time to live")
			require.Equal(t, h.Ladder.Rungs[h.Rung].Level, h.Level)
		}
	}
}
