package main

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The numbers of the crash test's long form, see the Makefile; the short form
// runs without them.
const (
	crashKillsEnv  = "PORTCULLIS_CRASH_KILLS"
	crashEventsEnv = "PORTCULLIS_CRASH_EVENTS"
)

func crashNumber(t *testing.T, env string, otherwise int) int {
	t.Helper()
	text, ok := os.LookupEnv(env)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, env)
	return n
}

// TestADaemonKilledAtAnyInstantLosesNothingAndCountsNothingTwice compares a run
// over many kills, with duplicates and disorder, with one that nothing disturbed.
// No event is late in either, because what is late is a matter of when it came.
func TestADaemonKilledAtAnyInstantLosesNothingAndCountsNothingTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("kills and restarts the daemon for seconds")
	}
	t.Parallel()
	kills, atLeast := crashNumber(t, crashKillsEnv, 8), crashNumber(t, crashEventsEnv, 5000)
	events := crashTraffic(t, atLeast)
	now := events[len(events)-1].at.Add(crashQuiet + time.Hour)

	calm := newCrashRun(t, now, 0)
	calm.play(crashSchedule(events, false), 0)
	calmTook := time.Since(calm.began)
	want := calm.result()

	wild := newCrashRun(t, now, 300)
	wild.play(crashSchedule(events, true), kills)
	wildTook := time.Since(wild.began)
	got := wild.result()

	slices.Sort(wild.starts)
	t.Logf("undisturbed: %d events, %d alerts, %.1f s", calm.events, len(want.alerts), calmTook.Seconds())
	t.Logf("killed: %d kills (%d while starting), %d lives, %d events, %d duplicates sent, %d posts sent again, start %v median %v most, %.1f s",
		wild.kills.Load(), wild.early, wild.kills.Load()+1, wild.events, wild.again, wild.refused.Load(),
		wild.starts[len(wild.starts)/2].Round(time.Millisecond), wild.starts[len(wild.starts)-1].Round(time.Millisecond), wildTook.Seconds())

	require.NotEmpty(t, want.alerts)
	for name, res := range map[string]crashResult{"undisturbed": want, "killed": got} {
		require.Equal(t, len(events), res.distinct, "%s: events in the journal", name)
		require.Equal(t, len(events), res.journaled, "%s: events in the journal, each time they are there", name)
		require.EqualValues(t, len(events), res.counted, "%s: events counted by the engine", name)
		require.Zero(t, res.repeats, "%s: deeds that say once more that an alert opened", name)
		require.Zero(t, res.unfound, "%s: transitions of alerts that are no finding", name)
		require.Zero(t, res.unopened, "%s: alerts of which no deed says that they opened", name)
		require.Zero(t, res.late, "%s: late events", name)
		for incident, n := range res.announced {
			require.Equal(t, 1, n, "%s: how often incident %s was announced", name, incident)
		}
	}
	lost, invented := crashDifference(want.alerts, got.alerts)
	require.Empty(t, lost, "alerts that only the undisturbed run ended with")
	require.Empty(t, invented, "alerts that only the killed run ended with")
	require.EqualValues(t, kills, wild.kills.Load())
}
