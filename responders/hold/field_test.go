package hold

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var levels = Order{"low", "medium", "high"}

func text(s string) *string { return &s }

func TestTheStrictestValueCounts(t *testing.T) {
	for name, tt := range map[string]struct {
		base   string
		others []string
		want   string
	}{
		"the base alone stays":                       {"low", nil, "low"},
		"a stricter claim counts":                    {"low", []string{"medium"}, "medium"},
		"of two claims the stricter counts":          {"low", []string{"high", "medium"}, "high"},
		"a weaker claim changes nothing":             {"high", []string{"low"}, "high"},
		"a claim of an unknown value counts nothing": {"low", []string{"odd"}, "low"},
		"a base of an unknown value stays":           {"odd", []string{"high"}, "odd"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tt.want, levels.Strictest(tt.base, tt.others...)) })
	}
}

func TestALookTellsWhoWasThere(t *testing.T) {
	held := Memory{Baseline: "low", Applied: "medium"}
	intent := Memory{Baseline: "low", Applied: "medium", Intent: text("high")}
	claims := []string{"a", "b"}
	both := map[string]bool{"a": true, "b": true}
	for name, tt := range map[string]struct {
		memory   *Memory
		observed string
		want     Memory
		finding  Finding
	}{
		"at first sight the value is a human's":            {nil, "medium", Memory{Baseline: "medium", Applied: "medium"}, FirstSight},
		"our own value is nobody else's":                   {&held, "medium", held, Unchanged},
		"an intent that has not landed stays open":         {&intent, "medium", intent, Unchanged},
		"an intent that landed is ours":                    {&intent, "high", Memory{Baseline: "low", Applied: "high"}, Landed},
		"a stricter value is a human's and overrules none": {&held, "high", Memory{Baseline: "high", Applied: "high"}, Tightened},
		"a weaker value overrules the claims":              {&held, "low", Memory{Baseline: "low", Applied: "low", Overruled: both}, Loosened},
		"a weaker value wins over an open intent":          {&intent, "low", Memory{Baseline: "low", Applied: "low", Overruled: both}, Loosened},
		"a value outside the order is not fought":          {&held, "odd", Memory{Baseline: "odd", Applied: "odd", Overruled: both}, Foreign},
		"a known value after one outside is not fought": {
			&Memory{Baseline: "odd", Applied: "odd"}, "low", Memory{Baseline: "low", Applied: "low", Overruled: both}, Foreign},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := json.Marshal(tt.memory)
			got, finding := levels.Look(tt.memory, tt.observed, claims)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.finding, finding)
			after, _ := json.Marshal(tt.memory)
			require.JSONEq(t, string(before), string(after), "the memory given is not changed")
			twice, finding := levels.Look(&got, tt.observed, claims)
			require.Equal(t, got, twice, "looking twice learns nothing more")
			require.Equal(t, Unchanged, finding)
		})
	}
}

func TestHoldsAreOrderIndependentAndNeverWeaken(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		m := Memory{Baseline: levels[rng.IntN(3)], Overruled: map[string]bool{"1": rng.IntN(2) == 0}}
		var claims []Claim
		for i := range rng.IntN(5) {
			claims = append(claims, Claim{Hold: string(rune('0' + i)), Value: levels[rng.IntN(3)]})
		}
		want := levels.Desired(m, claims)
		require.Equal(t, want, levels.Desired(m, append(slices.Clone(claims), claims...)), "the same claims twice")
		rng.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
		require.Equal(t, want, levels.Desired(m, claims))
		more := levels.Desired(m, append(claims, Claim{Hold: "new", Value: levels[rng.IntN(3)]}))
		require.False(t, levels.Stricter(want, more), "a hold more never weakens")
		require.False(t, levels.Stricter(m.Baseline, want), "never weaker than a human chose")
	}
}

// TestAtTheEndTheFieldIsWhatAHumanLastChose plays random histories of people,
// holds and crashes. Left out, since no value shows them: a human who sets the
// value that is applied or intended, and a human between our read and our write.
func TestAtTheEndTheFieldIsWhatAHumanLastChose(t *testing.T) {
	for seed := range uint64(20000) {
		rng := rand.New(rand.NewPCG(seed, 7))
		field := levels[rng.IntN(3)]
		human := field
		var saved []byte // the memory as the store has it
		holds := map[string]string{}
		next := 0
		reconcile := func(crash int) {
			var m *Memory
			if saved != nil {
				m = &Memory{}
				require.NoError(t, json.Unmarshal(saved, m))
			}
			var keys []string
			var claims []Claim
			for k, v := range holds {
				keys, claims = append(keys, k), append(claims, Claim{Hold: k, Value: v})
			}
			if m == nil && len(claims) == 0 {
				return
			}
			got, _ := levels.Look(m, field, keys)
			want := levels.Desired(got, claims)
			if want != field {
				got.Intent = &want
				if crash == 1 {
					return // before the intent was written
				}
				saved, _ = json.Marshal(got)
				if crash == 2 {
					return // before the request
				}
				field = want
				if crash == 3 {
					return // before it was noted
				}
				got.Applied, got.Intent = want, nil
			}
			if crash == 4 {
				return
			}
			saved, _ = json.Marshal(got)
			if len(claims) == 0 && got.Applied == got.Baseline {
				saved = nil
			}
		}
		for range 30 {
			switch rng.IntN(5) {
			case 0:
				v := levels[rng.IntN(3)]
				if saved != nil {
					var m Memory
					require.NoError(t, json.Unmarshal(saved, &m))
					if v == m.Applied || m.Intent != nil && v == *m.Intent || v == field {
						break // modelled out
					}
				}
				field, human = v, v
			case 1:
				next++
				holds[string(rune('a'+next))] = levels[rng.IntN(3)]
			case 2:
				for k := range holds {
					delete(holds, k)
					break
				}
			default:
				reconcile(rng.IntN(5))
			}
		}
		clear(holds)
		reconcile(0)
		reconcile(0)
		require.Equal(t, human, field, "seed %d", seed)
	}
}

func TestRenewing(t *testing.T) {
	t0 := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	h := Hold{ID: "hd_1", State: Active, Created: t0, Expires: t0.Add(30 * time.Minute), TTL: 30 * time.Minute, MaxTTL: time.Hour}
	require.True(t, h.Renew(t0.Add(10*time.Minute)))
	require.Equal(t, t0.Add(40*time.Minute), h.Expires)
	require.False(t, h.Renew(t0.Add(5*time.Minute)), "older evidence never shortens")
	require.Equal(t, t0.Add(10*time.Minute), h.Evidence)
	require.True(t, h.Renew(t0.Add(50*time.Minute)))
	require.Equal(t, t0.Add(time.Hour), h.Expires, "never beyond its longest time to live")
	require.False(t, h.Renew(t0.Add(2*time.Hour)))
	require.Equal(t, 2, h.Renewals)
}

func TestOnlyHoldsThatRunAreInForce(t *testing.T) {
	t0 := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for state, want := range map[State]bool{
		Proposed: false, AwaitingApproval: false, Active: true, Releasing: false, Released: false, Overruled: true, PendingCapacity: true, Failed: false,
	} {
		h := Hold{State: state, Expires: t0}
		require.Equal(t, want, h.InForce(t0.Add(-1)), state)
		require.False(t, h.InForce(t0), state)
	}
}

func TestAHoldKeepsItsIDAndBeginsANewLife(t *testing.T) {
	c := Cause{Rule: "r", Policy: "p", Incident: "in_1", Alert: "al_1"}
	id := ID("acme", "bot-detection", "elevated", "", c)
	c.Alert, c.Rule = "al_2", "s"
	require.Equal(t, id, ID("acme", "bot-detection", "elevated", "", c), "another alert of the incident renews it")
	c.Incident = "in_2"
	require.NotEqual(t, id, ID("acme", "bot-detection", "elevated", "", c))
	t0 := time.Now()
	require.NotEqual(t, (&Hold{ID: id, Created: t0}).Key(), (&Hold{ID: id, Created: t0.Add(time.Second)}).Key())
}
