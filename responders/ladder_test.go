package responders

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/internal/tenantsim"
	"portcullis/responders/hold"
)

const ladderPolicy = `
id: stuffing
when: alert.rule == "stuffing"
do:
  - hold: bot-detection
    ladder:
      - level: elevated
      - {level: maximum, after: 15m}
    for: 30m
    probation: 10m
    at_most: 4h
    reason: logins from machines are challenged
`

func TestALadderClimbsWhileTheAttackGoesOnAndComesDownWithProbation(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.policy = ladderPolicy
	w.start()
	policy := func() string { return w.BotDetection()["challenge_password_policy"].(string) }
	seen := func(at time.Duration, count int) {
		w.now = start.Add(at)
		w.r.Offer(updated(alert(at, count, "198.51.100.7")))
		w.step()
	}
	seen(0, 41)
	require.Equal(t, "when_risky", policy())
	seen(14*time.Minute, 50)
	require.Equal(t, "when_risky", policy())
	seen(16*time.Minute, 60)
	require.Equal(t, "always", policy())
	require.Equal(t, 1, w.told("Climbs: bot-detection at maximum"), w.lines)
	w.now = start.Add(45 * time.Minute)
	w.step()
	require.Equal(t, "always", policy())
	w.after(time.Minute)
	require.Equal(t, "when_risky", policy())
	require.Equal(t, "high", w.bot())
	require.Equal(t, 1, w.told("Steps down: bot-detection at elevated"), w.lines)

	seen(50*time.Minute, 70)
	require.Equal(t, "always", policy(), "it came back in the probation")
	w.now = start.Add(109 * time.Minute)
	w.step()
	require.Equal(t, "always", policy(), "and stays twice as long")
	w.after(3 * time.Minute)
	require.Equal(t, "when_risky", policy())
	w.start() // what is known outlives a restart
	w.after(20 * time.Minute)
	require.Equal(t, "medium", w.bot())
	require.Equal(t, map[hold.State]int{hold.Released: 1}, w.holds())
}

func TestPoliciesSeeTheFeed(t *testing.T) {
	for feed, want := range map[Feed]int{{}: 1, {Reason: "it lags"}: 0, {Blind: true, Reason: "nothing arrives"}: 0} {
		w := newWorld(t, tenantsim.Options{})
		w.policy = "id: p\nwhen: feed == \"clear\"\ndo:\n  - {hold: bot-detection, level: elevated, for: 1h}\n"
		w.start()
		w.r.SetFeed(feed)
		w.r.Offer(opened(alert(0, 41)))
		w.step()
		require.Len(t, w.r.holds, want, feed)
	}
}

func TestProblemsInLaddersAreShown(t *testing.T) {
	for name, tt := range map[string]struct{ do, want string }{
		"both a level and a ladder":  {"{hold: bot-detection, level: elevated, ladder: [{level: elevated}], for: 1h}", "give level or ladder, not both"},
		"an empty ladder":            {"{hold: bot-detection, ladder: [], for: 1h}", "has no level"},
		"an unknown level":           {"{hold: bot-detection, ladder: [{level: high}], for: 1h}", `bot-detection has no level "high"`},
		"a first level that waits":   {"{hold: bot-detection, ladder: [{level: elevated, after: 5m}], for: 1h}", "the first level begins at once"},
		"a second that does not":     {"{hold: bot-detection, ladder: [{level: elevated}, {level: maximum}], for: 1h}", "maximum must come after elevated"},
		"a ladder that leads down":   {"{hold: bot-detection, ladder: [{level: maximum}, {level: elevated, after: 5m}], for: 1h}", "elevated is not stricter than maximum"},
		"a probation without ladder": {"{hold: bot-detection, level: elevated, for: 1h, probation: 5m}", "probation: is for a ladder"},
		"a dwell beyond the longest": {"{hold: bot-detection, level: elevated, for: 1h, at_most: 2h, min_dwell: 3h}", "is longer than at_most"},
		"no time":                    {"{hold: bot-detection, level: elevated}", "for is missing"},
		"nothing to do":              {"{for: 1h}", "names neither hold nor restore"},
		"restore and hold":           {"{restore: bot-detection, hold: bot-detection}", "stands alone"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadPolicies([]detections.File{{Name: "p.yaml", Data: []byte("id: p\nwhen: true\ndo:\n  - " + tt.do + "\n")}}, checkers())
			require.ErrorContains(t, err, tt.want)
		})
	}
}
