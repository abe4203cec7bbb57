package networkacl

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

var signals = []string{control.KindIP, control.KindJA3, control.KindJA4, control.KindASN, control.KindCountry, control.KindUserAgent}

func anything(netip.Prefix, []string, bool) bool { return true }

func nothing(netip.Prefix, []string, bool) bool { return false }

// randomDemands asks for more than there is room for, in up to twelve slots.
func randomDemands(rng *rand.Rand) []demand {
	var demands []demand
	for i := range 1 + rng.IntN(12) {
		s := slot{Level: []string{LevelBlock, LevelLog}[i%2], Scope: auth0.ScopeAuthentication, Signal: signals[i/2]}
		d := demand{slot: s}
		for n := range rng.IntN(60) {
			value := fmt.Sprint("v", n)
			if s.Signal == control.KindIP {
				value = fmt.Sprintf("198.51.%d.%d", rng.IntN(4), rng.IntN(256))
				if rng.IntN(3) == 0 {
					value = fmt.Sprintf("2001:db8:0:%x::%x", rng.IntN(3), 1+rng.IntN(99))
				}
			}
			d.wants = append(d.wants, candidate{value, 1 + 100*rng.Float64()})
		}
		for n := range rng.IntN(4) {
			value := fmt.Sprint("human", n)
			if s.Signal == control.KindIP {
				value = fmt.Sprintf("192.0.2.%d", n)
			}
			d.fixed = append(d.fixed, value)
		}
		demands = append(demands, d)
	}
	slices.SortFunc(demands, func(a, b demand) int { return len(a.slot.id()) - len(b.slot.id()) })
	return demands
}

// settled is the demands once the grants are in force.
func settled(demands []demand, grants map[string]grant) []demand {
	out := slices.Clone(demands)
	for i := range out {
		out[i].present = without(grants[out[i].slot.id()].entries, out[i].fixed)
		out[i].exists = len(grants[out[i].slot.id()].entries) > 0
	}
	return out
}

func entriesOf(grants map[string]grant) map[string][]string {
	out := map[string][]string{}
	for id, g := range grants {
		if len(g.entries) > 0 {
			out[id] = g.entries
		}
	}
	return out
}

func TestAllocationIsNeverAboveTheLimitsDeterministicAndSteady(t *testing.T) {
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		demands, acls := randomDemands(rng), rng.IntN(11)
		joins := nothing
		if seed%2 == 0 {
			joins = anything
		}
		got := allocate(demands, acls, false, joins)

		given, humans := 0, 0
		for _, d := range demands {
			g := got[d.slot.id()]
			if len(d.fixed) > 0 {
				humans++
			} else if len(g.entries) > 0 {
				given++
			}
			require.Subset(t, g.entries, d.fixed, "what humans added stays")
			for _, family := range families(d.slot) {
				n := 0
				for _, e := range g.entries {
					if family(e) {
						n++
					}
				}
				require.LessOrEqual(t, n, maxEntries)
			}
			if len(d.wants) > 0 && len(g.entries) == 0 {
				require.NotEmpty(t, g.why, "who gets nothing is told why")
			}
		}
		require.LessOrEqual(t, given, max(0, acls-humans))

		// The order in which holds come makes no difference.
		shuffled := slices.Clone(demands)
		for i := range shuffled {
			shuffled[i].wants = slices.Clone(shuffled[i].wants)
			rng.Shuffle(len(shuffled[i].wants), func(a, b int) {
				w := shuffled[i].wants
				w[a], w[b] = w[b], w[a]
			})
		}
		require.Equal(t, got, allocate(shuffled, acls, false, joins))

		// What is in force stays while nothing is worth clearly more.
		now := settled(demands, got)
		require.Equal(t, entriesOf(got), entriesOf(allocate(now, acls, false, joins)), "seed %d", seed)
		if seed%2 == 1 {
			for i := range now {
				now[i].wants = slices.Clone(now[i].wants)
				best := map[string]float64{}
				for j, w := range now[i].wants {
					if best[w.Value] == 0 {
						best[w.Value] = 0.95 + 0.1*rng.Float64()
					}
					now[i].wants[j].Score = w.Score * best[w.Value]
				}
			}
			require.Equal(t, entriesOf(got), entriesOf(allocate(now, acls, false, joins)), "scores that waver move nothing: seed %d", seed)
		}
	}
}

func TestANewcomerMustBeWorthAQuarterMore(t *testing.T) {
	d := demand{slot: blocked, exists: true}
	for i := range maxEntries {
		value := fmt.Sprintf("198.51.100.%d", i)
		d.present = append(d.present, value)
		d.wants = append(d.wants, candidate{value, 100})
	}
	d.wants = append(d.wants, candidate{"192.0.2.1", 124})
	require.NotContains(t, choose(d, nothing).entries, "192.0.2.1")
	d.wants[maxEntries].Score = 126
	require.Contains(t, choose(d, nothing).entries, "192.0.2.1")
}

func TestScoreIsSeverityVolumeConfidenceAndCollateral(t *testing.T) {
	h := &hold.Hold{Severity: 3, Evidence: start, Entry: hold.Entry{Volume: 50, Confidence: 0.5}}
	require.InDelta(t, 4*50*0.5, score(h, 0, start), 1e-9)
	require.InDelta(t, 4*50*0.5*0.75, score(h, 0.25, start), 1e-9)
	require.InDelta(t, 4*25*0.5, score(h, 0, start.Add(halfLife)), 1e-9, "old volume counts less")
	require.Zero(t, score(h, 1, start))
	require.InDelta(t, 1.0, score(&hold.Hold{Created: start}, 0, start.Add(-time.Hour)), 1e-9)
}

func TestASingleACLIsForAddresses(t *testing.T) {
	ja4 := slot{Level: LevelBlock, Scope: auth0.ScopeAuthentication, Signal: control.KindJA4}
	demands := []demand{{slot: blocked, wants: []candidate{{"198.51.100.7", 1}, {"2001:db8::7", 1}}}, {slot: ja4, exists: true, wants: []candidate{{"x", 1000}}}}
	got := allocate(demands, 1, true, nothing)
	require.Equal(t, []string{"198.51.100.7", "2001:db8::7"}, got[blocked.id()].entries)
	require.Contains(t, got[ja4.id()].why, "for addresses")
}

func TestAddressesAreJoinedOnlyAsFarAsRoomNeedsAndJudgementAllows(t *testing.T) {
	var wants []candidate
	for i := range 16 {
		wants = append(wants, candidate{fmt.Sprintf("198.51.100.%d", i), 1})
	}
	for i := range 10 {
		wants = append(wants, candidate{fmt.Sprintf("192.0.2.%d", i*20), 1})
	}
	values := func(c []candidate) (out []string) {
		for _, w := range c {
			out = append(out, w.Value)
		}
		slices.Sort(out)
		return out
	}
	got := values(aggregate(wants, nil, maxEntries, anything))
	require.Contains(t, got, "198.51.100.0/28", "what saves most, and no wider than it must be")
	require.Len(t, got, 11)
	require.Contains(t, got, "192.0.2.20", "the rest fits as it is")

	never := netip.MustParsePrefix("198.51.100.5/32")
	got = values(aggregate(wants, nil, 13, func(n netip.Prefix, _ []string, _ bool) bool {
		return !n.Overlaps(never)
	}))
	for _, v := range got {
		p, err := control.ParseNetwork(v)
		require.NoError(t, err)
		require.False(t, p.Overlaps(never) && !p.IsSingleIP(), "%s covers it", v)
	}
	require.Contains(t, got, "198.51.100.8/29")

	require.Len(t, aggregate(wants, nil, maxEntries, nothing), 26, "without judgement nothing is joined")
	require.Len(t, aggregate(wants, nil, 26, anything), 26, "with room nothing is joined")

	kept := values(aggregate(wants[:3], []string{"198.51.100.0/28"}, maxEntries, anything))
	require.Equal(t, []string{"198.51.100.0/28"}, kept, "a network in force stays while it has members")
	require.Len(t, aggregate(wants[:1], []string{"198.51.100.0/28"}, maxEntries, anything), 1)
	require.Equal(t, []string{"198.51.100.0"}, values(aggregate(wants[:1], []string{"198.51.100.0/28"}, maxEntries, anything)))
}

func TestNothingIsJoinedWiderThanABlock(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var wants []candidate
		for range 80 {
			v := fmt.Sprintf("198.51.%d.%d", rng.IntN(3), rng.IntN(256))
			if rng.IntN(2) == 0 {
				v = fmt.Sprintf("2001:db8:%x:%x::%x", rng.IntN(2), rng.IntN(4), rng.IntN(999))
			}
			wants = append(wants, candidate{v, 1})
		}
		got := aggregate(wants, nil, 1, anything)
		for _, w := range got {
			p, err := control.ParseNetwork(w.Value)
			require.NoError(t, err)
			require.True(t, contains(blockOf(p.Addr()), p), w.Value)
		}
		for _, w := range wants {
			require.True(t, slices.ContainsFunc(got, func(g candidate) bool { return blocked.covers([]string{g.Value}, w.Value) }), "%s is lost", w.Value)
		}
	}
}
