package responders

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/responders/control"
)

const denyPolicy = `
id: climb
when: alert.rule == "stuffing"
do:
  - hold: network-acl
    subject: alert.entities.ip
    for: 30m
    reason: the address fails under many names
`

func whatIf(t *testing.T, policy string) *WhatIf {
	t.Helper()
	policies, err := LoadPolicies([]detections.File{{Name: "p.yaml", Data: []byte(policy)}}, checkers())
	require.NoError(t, err)
	nt, err := NewNeverTouch([]string{"203.0.113.0/24"}, nil, nil)
	require.NoError(t, err)
	return NewWhatIf(Tenant{Name: "acme", NeverTouch: nt}, policies, checkers(), nil)
}

func TestWhatIfTellsHowLongAResponseWouldHaveLastedAndWhoWouldHaveMetIt(t *testing.T) {
	a := alert(20*time.Minute, 90, "198.51.100.7", "203.0.113.9")
	end := start.Add(40 * time.Minute)
	a.ResolvedAt = &end
	login := func(at time.Duration, user, ip string) control.Login {
		return control.Login{At: start.Add(at), User: user, IP: ip}
	}
	logins := []control.Login{
		login(-time.Minute, "before", "198.51.100.7"),
		login(0, "ann", "198.51.100.7"),
		login(10*time.Minute, "ann", "198.51.100.7"),
		login(11*time.Minute, "other", "198.51.100.8"),
		login(12*time.Minute, "guarded", "203.0.113.9"),
		login(49*time.Minute, "bob", "198.51.100.7"),
		login(2*time.Hour, "after", "198.51.100.7"),
	}
	passed := map[string][]time.Time{"ann": {start.Add(15 * time.Minute)}, "bob": {start.Add(70 * time.Minute)}}
	would, err := whatIf(t, denyPolicy).Play(t.Context(), []detections.Alert{a}, logins, passed)
	require.NoError(t, err)
	require.Len(t, would, 1, "what is on the never-touch list is left alone: %v", would)
	w := would[0]
	require.Equal(t, "network-acl", w.Control)
	require.Equal(t, "198.51.100.7", w.Subject)
	require.Equal(t, start, w.From)
	require.WithinDuration(t, start.Add(50*time.Minute), w.Until, 5*time.Minute, "renewed until the last evidence, and half an hour more, give or take")
	require.False(t, w.Asked)
	require.Equal(t, Hit{Logins: 3, Users: 2, Confirmed: 1, Named: []string{"ann", "bob"}}, w.Hit)

	again, err := whatIf(t, denyPolicy).Play(t.Context(), []detections.Alert{a}, logins, passed)
	require.NoError(t, err)
	require.Equal(t, would, again)
}

func TestWhatIfShowsEachRungOfALadderAndWhatWouldBeAsked(t *testing.T) {
	policy := `
id: climb
when: alert.rule == "stuffing"
do:
  - hold: bot-detection
    ladder: [{level: elevated}, {level: maximum, after: 15m}]
    for: 30m
    reason: machines log in
  - hold: network-acl
    subject: alert.entities.ip
    mode: propose
    for: 30m
    reason: the address fails
`
	a := alert(40*time.Minute, 90, "198.51.100.7")
	would, err := whatIf(t, policy).Play(t.Context(), []detections.Alert{a}, []control.Login{{At: start.Add(20 * time.Minute), User: "ann", IP: "192.0.2.1"}}, nil)
	require.NoError(t, err)
	var rows []string
	for _, w := range would {
		asked := ""
		if w.Asked {
			asked = " asked"
		}
		rows = append(rows, w.Control+" "+w.Level+w.Subject+asked)
	}
	require.Equal(t, []string{"bot-detection elevated", "network-acl 198.51.100.7 asked", "bot-detection maximum", "bot-detection elevated"}, rows)
	require.Equal(t, would[0].Until, would[2].From)
	require.Equal(t, start.Add(15*time.Minute), would[2].From)
	require.Equal(t, 1, would[2].Hit.Logins, "a setting meets every login of its time")
	require.Zero(t, would[1].Hit.Logins)
}

func TestWhatIfObeysBudgetsAsLifeDoes(t *testing.T) {
	w := whatIf(t, denyPolicy)
	w.limits = map[string]Budget{KindNetworkACLEntry: {Hour: 1}}
	would, err := w.Play(t.Context(), []detections.Alert{alert(time.Minute, 90, "198.51.100.7", "198.51.100.8")}, nil, nil)
	require.NoError(t, err)
	require.Len(t, would, 2)
	require.False(t, would[0].Asked)
	require.True(t, would[1].Asked)
}

func TestWhatIfOfChangesKnowsOnlyWhatWasKnownThen(t *testing.T) {
	policy := `
id: deny
when: alert.count >= 50
do: [{hold: network-acl, subject: alert.entities.ip, for: 30m, reason: many failures}]
`
	few, many := alert(0, 10, "198.51.100.7"), alert(10*time.Minute, 90, "198.51.100.7")
	changes := []TimedChange{{start, detections.Change{Transition: detections.Opened, Alert: few}}, {start.Add(10 * time.Minute), detections.Change{Transition: detections.Updated, Alert: many}}}
	logins := []control.Login{{At: start.Add(5 * time.Minute), User: "ann", IP: "198.51.100.7"}, {At: start.Add(15 * time.Minute), User: "bob", IP: "198.51.100.7"}}
	would, err := whatIf(t, policy).PlayChanges(t.Context(), changes, logins, nil)
	require.NoError(t, err)
	require.Len(t, would, 1)
	require.Equal(t, start.Add(10*time.Minute), would[0].From)
	require.Equal(t, []string{"bob"}, would[0].Hit.Named)
}
