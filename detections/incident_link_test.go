package detections_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

// linked is an alert of a rule about one victim, open from a time on.
func linked(id string, opened time.Duration, e detections.Entities) detections.Change {
	c := change(detections.Opened, id, detections.Medium, opened)
	c.Alert.Fold, c.Alert.Entities = detections.FoldLinked, e
	return c
}

func ip(addresses ...string) detections.Entities { return detections.Entities{IP: addresses} }

// partition writes which alerts are together, whatever the ids of incidents.
func partition(is *detections.Incidents) []string {
	var out []string
	for _, in := range is.All() {
		var ids []string
		for _, a := range in.Alerts {
			ids = append(ids, a.ID)
		}
		slices.Sort(ids)
		out = append(out, strings.Join(ids, " "))
	}
	slices.Sort(out)
	return out
}

func TestAlertsOfOneVictimEachFoldOnlyByWhatTheyShare(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b func(*detections.Alert)
		one  bool
	}{
		"nothing": {one: false},
		"an address, however it is written": {one: true,
			a: func(a *detections.Alert) { a.Entities.IP = []string{"198.51.100.7"} },
			b: func(a *detections.Alert) { a.Entities.IP = []string{"::ffff:198.51.100.7"} }},
		"a network, where the rule does not say so": {
			a: func(a *detections.Alert) { a.Entities.IP = []string{"198.51.100.7"} },
			b: func(a *detections.Alert) { a.Entities.IP = []string{"198.51.100.8"} }},
		"a network, where both rules say so": {one: true,
			a: func(a *detections.Alert) { a.Entities.IP, a.FoldNetwork = []string{"2001:db8::1"}, true },
			b: func(a *detections.Alert) { a.Entities.IP, a.FoldNetwork = []string{"2001:db8::ffff"}, true }},
		"a network, in a credential attack": {one: true,
			a: func(a *detections.Alert) { a.Entities.IP, a.Campaign = []string{"198.51.100.7"}, "credential-attack" },
			b: func(a *detections.Alert) { a.Entities.IP, a.Campaign = []string{"198.51.100.8"}, "credential-attack" }},
		"a fingerprint": {one: true,
			a: func(a *detections.Alert) { a.Entities.JA4 = []string{"t13d"} }, b: func(a *detections.Alert) { a.Entities.JA4 = []string{"t12d", "t13d"} }},
		"a user, by evidence here and by group there": {one: true,
			a: func(a *detections.Alert) { a.Entities.UserID = []string{"auth0|1"} },
			b: func(a *detections.Alert) { a.Group = map[string]string{"user_id": "auth0|1"} }},
		"a token family": {one: true,
			a: func(a *detections.Alert) { a.Group = map[string]string{"details.familyId": "f1"} },
			b: func(a *detections.Alert) { a.Group = map[string]string{"details.familyId": "f1"} }},
		"a token family, by evidence here and by group there": {one: true,
			a: func(a *detections.Alert) { a.Entities.FamilyID = []string{"f0", "f1"} },
			b: func(a *detections.Alert) { a.Group = map[string]string{"details.familyId": "f1"} }},
		"two token families": {
			a: func(a *detections.Alert) { a.Entities.FamilyID = []string{"f1"} },
			b: func(a *detections.Alert) { a.Entities.FamilyID = []string{"f2"} }},
		"a client alone": {
			a: func(a *detections.Alert) { a.Entities.ClientID = []string{"app"} }, b: func(a *detections.Alert) { a.Entities.ClientID = []string{"app"} }},
		"an address, in two campaigns": {
			a: func(a *detections.Alert) { a.Entities.IP, a.Campaign = []string{"198.51.100.7"}, "x" },
			b: func(a *detections.Alert) { a.Entities.IP, a.Campaign = []string{"198.51.100.7"}, "y" }},
		"an address, when one is over for longer than the fold time": {
			a: func(a *detections.Alert) {
				a.Entities.IP = []string{"198.51.100.7"}
				end := oracleBase.Add(time.Minute)
				a.ResolvedAt = &end
			},
			b: func(a *detections.Alert) {
				a.Entities.IP = []string{"198.51.100.7"}
				a.OpenedAt = oracleBase.Add(31*time.Minute + 1)
			}},
		"the campaign, when one rule tells of a wave and one of a victim": {a: func(a *detections.Alert) { a.Fold = detections.FoldCampaign }},
		"the campaign, when both tell of a wave": {one: true,
			a: func(a *detections.Alert) { a.Fold = detections.FoldCampaign }, b: func(a *detections.Alert) { a.Fold = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			for _, reversed := range []bool{false, true} {
				a, b := linked("a", 0, detections.Entities{}), linked("b", time.Minute, detections.Entities{})
				for _, edit := range []struct {
					f func(*detections.Alert)
					c *detections.Change
				}{{tt.a, &a}, {tt.b, &b}} {
					if edit.f != nil {
						edit.f(&edit.c.Alert)
					}
				}
				changes := []detections.Change{a, b}
				if reversed {
					slices.Reverse(changes)
				}
				var is detections.Incidents
				for _, c := range changes {
					is.Apply(c)
				}
				require.Len(t, is.All(), map[bool]int{true: 1, false: 2}[tt.one])
			}
		})
	}
}

func TestAlertsOfOneTokenFamilyAreOneIncidentWhateverTheirRulesGroupBy(t *testing.T) {
	b := newBench(t, `
id: reuse
title: Reuse
severity: low
campaign: token-theft
where: type == "ferrt"
group_by: [user_id]
---
id: agents
title: Agents
severity: low
campaign: token-theft
fold: linked
where: type == "sertft"
group_by: [client_id]
window: 1h
having: distinct(user_agent) >= 2
`, detections.Options{Ahead: true})
	family := func(id string) map[string]any { return map[string]any{"familyId": id} }
	b.at(0, "type", "ferrt", "ip", "192.0.2.1", "user_id", "auth0|1", "details", family("f1"))
	b.at(time.Minute, "type", "ferrt", "ip", "192.0.2.2", "user_id", "auth0|2", "details", family("f2"))
	for i := range 2 {
		b.at(2*time.Minute, "type", "sertft", "ip", "192.0.2.3", "client_id", "app", "user_agent", string(rune('a'+i)), "details", family("f1"))
	}
	var is detections.Incidents
	for _, c := range b.changes {
		is.Apply(c)
	}
	require.Len(t, is.All(), 2)
	in := is.All()[0]
	require.Equal(t, []string{"f1"}, in.Alerts[0].Entities.FamilyID)
	require.Equal(t, "these 2 alerts belong together because 2 share token family f1", in.Explain())
}

func TestIncidentsMergeWhenALaterAlertLinksThem(t *testing.T) {
	var is detections.Incidents
	a, _, _ := is.Apply(linked("a", 0, ip("192.0.2.1")))
	b, merged, rose := is.Apply(linked("b", time.Minute, ip("192.0.2.2")))
	require.True(t, rose)
	require.Empty(t, merged)
	require.NotEqual(t, a.ID, b.ID)
	is.SetResponses(b.ID, "b", []detections.Response{{Kind: "hold"}})

	bridge := linked("c", 2*time.Minute, ip("192.0.2.1", "192.0.2.2"))
	in, merged, rose := is.Apply(bridge)
	require.Equal(t, a.ID, in.ID, "the older id stays")
	require.False(t, rose)
	require.Len(t, merged, 1)
	require.Equal(t, b.ID, merged[0].ID)
	require.Equal(t, a.ID, merged[0].MergedInto)
	require.Equal(t, []string{b.ID}, in.Merged)
	require.Equal(t, a.ID, is.Home(b.ID))
	require.Len(t, in.Alerts, 3)
	require.Equal(t, []detections.Response{{Kind: "hold"}}, in.Alerts[1].Responses, "what was done stays with the alert")
	require.Equal(t, "these 3 alerts belong together because 2 share ip 192.0.2.1, 2 share ip 192.0.2.2", in.Explain())
	require.Equal(t, "a — c: by ip 192.0.2.1, since 2026-03-01T12:02:00Z", in.Edges[0].String())

	again, merged, rose := is.Apply(bridge)
	require.Equal(t, in, again, "the same change again changes nothing")
	require.Empty(t, merged)
	require.False(t, rose)
	require.Len(t, is.All(), 1)

	var restored detections.Incidents
	restored.Restore(in)
	require.Equal(t, a.ID, restored.Home(b.ID))
	d, _, _ := restored.Apply(linked("d", 3*time.Minute, ip("192.0.2.2")))
	require.Equal(t, a.ID, d.ID, "after a restart values link as before")
	restored.Forget(a.ID)
	require.Equal(t, b.ID, restored.Home(b.ID))
	e, _, _ := restored.Apply(linked("e", 4*time.Minute, ip("192.0.2.2")))
	require.NotEqual(t, a.ID, e.ID)
}

func TestAnAlertThatGrowsLinksIncidents(t *testing.T) {
	var is detections.Incidents
	is.Apply(linked("a", 0, ip("192.0.2.1")))
	is.Apply(linked("b", 0, ip("192.0.2.2")))
	grown := linked("b", 0, ip("192.0.2.1", "192.0.2.2"))
	grown.Transition = detections.Updated
	in, merged, _ := is.Apply(grown)
	require.Len(t, merged, 1)
	require.Len(t, in.Alerts, 2)
}

// Alerts that lie within the fold time end up together in the same way whatever
// the order in which they, and their updates, come.
func TestTheOrderOfAlertsDoesNotDecideWhatBelongsTogether(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 4))
		var changes []detections.Change
		for i := range 3 + rng.IntN(20) {
			id := fmt.Sprintf("al%02d", i)
			c := linked(id, time.Duration(rng.IntN(30))*time.Minute, detections.Entities{
				IP:  []string{fmt.Sprintf("192.0.2.%d", rng.IntN(12))},
				JA4: []string{fmt.Sprintf("ja4-%d", rng.IntN(15))}, UserID: []string{fmt.Sprintf("auth0|%d", rng.IntN(20))},
			})
			c.Alert.Campaign = []string{"x", "y"}[rng.IntN(2)]
			if rng.IntN(8) == 0 {
				c.Alert.Fold = detections.FoldCampaign
			}
			changes = append(changes, c)
			if rng.IntN(3) == 0 {
				c.Transition = detections.Updated
				c.Alert.Entities.IP = append(slices.Clone(c.Alert.Entities.IP), fmt.Sprintf("192.0.2.%d", rng.IntN(12)))
				changes = append(changes, c)
			}
		}
		last := map[string]detections.Change{}
		for _, c := range changes {
			last[c.Alert.ID] = c
		}
		var want []string
		for round := range 6 {
			var is detections.Incidents
			for _, c := range changes {
				is.Apply(c)
			}
			for _, c := range last { // what an update said last is what counts
				is.Apply(c)
			}
			got := partition(&is)
			if round == 0 {
				want = got
			}
			require.Equal(t, want, got, "seed %d round %d", seed, round)
			for _, in := range is.All() {
				requireConnected(t, in)
			}
			rng.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
		}
	}
}

// requireConnected checks that an incident's edges lead from each alert to each.
func requireConnected(t *testing.T, in detections.Incident) {
	t.Helper()
	root := map[string]string{}
	var find func(string) string
	find = func(id string) string {
		if up := root[id]; up != "" && up != id {
			return find(up)
		}
		return id
	}
	for _, e := range in.Edges {
		root[find(e.A)] = find(e.B)
	}
	for _, a := range in.Alerts {
		require.Equal(t, find(in.Alerts[0].ID), find(a.ID), "edges of %s do not reach %s: %v", in.ID, a.ID, in.Edges)
	}
}

func TestAValueOfManyOtherCampaignsLinksNoMore(t *testing.T) {
	var is detections.Incidents
	for i := range 20 {
		c := linked(fmt.Sprintf("other%d", i), 0, ip("192.0.2.1"))
		c.Alert.Campaign = fmt.Sprintf("campaign-%d", i%7)
		is.Apply(c)
	}
	is.Apply(linked("a", 0, ip("192.0.2.1")))
	is.Apply(linked("b", 0, ip("192.0.2.1")))
	require.Contains(t, partition(&is), "a b", "twenty alerts of others: it still links")
	c := linked("other", 0, ip("192.0.2.1"))
	c.Alert.Campaign = "yet-another"
	is.Apply(c)
	in, _, _ := is.Apply(linked("late", 0, ip("192.0.2.1")))
	require.Len(t, in.Alerts, 1, "the address of a carrier's customers")
}

func TestAStuffingWaveIsOneIncidentAndStaysBounded(t *testing.T) {
	var is detections.Incidents
	for i := range 2000 {
		c := change(detections.Opened, fmt.Sprintf("al%d", i), detections.High, time.Duration(i)*time.Second)
		c.Alert.Campaign, c.Alert.Group = "credential-attack", map[string]string{"ip": fmt.Sprintf("10.%d.%d.1", i/250, i%250)}
		for k := range 50 {
			c.Alert.Entities.UserID = append(c.Alert.Entities.UserID, fmt.Sprintf("auth0|%d", i*50+k))
		}
		is.Apply(c)
	}
	all := is.All()
	require.Len(t, all, 1)
	require.Len(t, all[0].Alerts, 2000)
	require.LessOrEqual(t, len(all[0].Edges), 200)
	require.Equal(t, "these 2000 alerts belong together because 2000 are of campaign credential-attack within 30m of each other", all[0].Explain())
}

func TestWhatStrangersWroteIsHarmlessInAnExplanation(t *testing.T) {
	var is detections.Incidents
	evil := detections.Entities{JA4: []string{"\x1b[2J" + strings.Repeat("x", 200)}}
	is.Apply(linked("a", 0, evil))
	in, _, _ := is.Apply(linked("b", 0, evil))
	require.Len(t, in.Alerts, 2)
	require.NotContains(t, in.Explain(), "\x1b")
	require.Less(t, len(in.Explain()), 250)
	huge := detections.Entities{JA4: []string{strings.Repeat("x", 1000)}}
	is.Apply(linked("c", 0, huge))
	in, _, _ = is.Apply(linked("d", 0, huge))
	require.Len(t, in.Alerts, 1, "a value of any length is not kept")
	in.Edges = []detections.Edge{{Kind: "of a later version"}}
	require.NotEmpty(t, in.Explain())
}
