package hold

import (
	"math"
	"time"
)

// Ladder is how a hold climbs while an attack goes on, and comes down after it:
// one rung at a time, each kept for a probation. It is never changed once a hold
// has it.
type Ladder struct {
	Rungs     []Rung        `json:"rungs"` // weakest first
	Probation time.Duration `json:"probation"`
}

// Rung is one level of a ladder.
type Rung struct {
	Level string        `json:"level"`
	After time.Duration `json:"after,omitempty"` // how long the attack must have gone on
}

// HalfLife is how long it takes until half of what a hold learned from being
// released too early is forgotten.
const HalfLife = 6 * time.Hour

// lastFactor bounds how much longer than its TTL a hold lives for having been
// released too early.
const lastFactor = 16

// Stay is how long the hold lives after evidence at time t: its TTL, longer when
// an attack came back soon after it had let go.
func (h *Hold) Stay(t time.Time) time.Duration { return h.stretch(h.TTL, t) + h.Spread }

func (h *Hold) stretch(d time.Duration, t time.Time) time.Duration {
	return time.Duration(float64(d) * h.factor(t))
}

// factor is 1 for a hold that never let go too early.
func (h *Hold) factor(t time.Time) float64 {
	if h.Factor <= 1 {
		return 1
	}
	lives := float64(max(0, t.Sub(h.FactorAt))) / float64(HalfLife)
	return 1 + (h.Factor-1)*math.Pow(0.5, lives)
}

// strike notes at time t that the hold had let go too early: it stays twice as
// long from now on, which is forgotten by half each [HalfLife].
func (h *Hold) strike(t time.Time) {
	h.Factor, h.FactorAt = min(2*h.factor(t), lastFactor), t
}

// Inherit has a new life of a hold learn from the one before: asked for again
// within a probation of its end, it was released too early.
func (h *Hold) Inherit(before *Hold) {
	h.Factor, h.FactorAt = before.Factor, before.FactorAt
	if before.State == Released && !before.Ended.IsZero() && h.Created.Sub(before.Ended) <= before.probation() {
		h.strike(h.Created)
	}
	h.Begin()
}

// Begin puts a new hold on the lowest rung of its ladder, or as high as the attack
// has gone on, and sets when it ends.
func (h *Hold) Begin() {
	h.RungSince = h.Created
	if h.Ladder != nil {
		h.Peak = 0
		h.stand(0, h.Created)
		h.climb(h.Evidence)
		h.RungSince = h.Created
	}
	h.Expires = h.end(h.Evidence)
}

// probation is how long the hold is watched after it let go of something.
func (h *Hold) probation() time.Duration {
	if h.Ladder == nil || h.Ladder.Probation == 0 {
		return h.TTL
	}
	return h.Ladder.Probation
}

// stand puts the hold on a rung at time t.
func (h *Hold) stand(rung int, t time.Time) {
	h.Rung, h.Level, h.RungSince = rung, h.Ladder.Rungs[rung].Level, t
}

// climb moves the hold up as evidence at time t allows, and reports whether it did.
// An attack that comes back in the probation has the rung at once that it had before.
func (h *Hold) climb(t time.Time) bool {
	if h.Ladder == nil {
		return false
	}
	rung := h.Rung
	if h.Peak > rung {
		if !t.After(h.RungSince) {
			return false // it tells of the time before
		}
		h.strike(t)
		rung = h.Peak
	}
	for rung+1 < len(h.Ladder.Rungs) && t.Sub(h.Began) >= h.Ladder.Rungs[rung+1].After {
		rung++
	}
	h.Peak = max(h.Peak, rung)
	if rung == h.Rung {
		return false
	}
	h.stand(rung, t)
	return true
}

// StepDown moves a hold whose time is over one rung down, where it stays for its
// probation from now on, and reports whether there was such a rung. However late it
// comes, it is one rung.
func (h *Hold) StepDown(now time.Time) bool {
	if h.Ladder == nil || h.Rung == 0 || !h.LastEnd().IsZero() && !now.Before(h.LastEnd()) {
		return false
	}
	h.stand(h.Rung-1, now)
	h.Expires = h.Until(now.Add(h.stretch(max(h.probation(), h.MinDwell), now) + h.Spread))
	return true
}

// end is when the hold's time is over after evidence at time t: it stays, and it
// is in force where it stands for its dwell.
func (h *Hold) end(t time.Time) time.Time {
	since := h.RungSince
	if since.IsZero() {
		since = h.Created
	}
	end, dwell := t.Add(h.Stay(t)), since.Add(h.stretch(h.MinDwell, t))
	if dwell.After(end) {
		end = dwell
	}
	return h.Until(end)
}

// Jitter is between -0.15 and 0.15, always the same for one id: who knows a hold
// cannot tell when it ends, and many do not end in one second.
func Jitter(id string) float64 {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	h = (h ^ h>>16) * 0x85ebca6b
	h ^= h >> 13
	return (float64(h)/math.MaxUint32 - 0.5) * 0.3
}
