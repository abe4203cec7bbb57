package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

func runs(seconds ...float64) []measurement {
	var out []measurement
	for _, s := range seconds {
		out = append(out, measurement{seconds: s, told: s, cpu: s, peak: 200e6})
	}
	return out
}

func TestSpreadIsTheMiddleAndTheEnds(t *testing.T) {
	require.Equal(t, spread{2, 1, 9}, spreadOf([]float64{9, 1, 2}))
	require.Equal(t, spread{2.5, 1, 9}, spreadOf([]float64{9, 3, 1, 2}))
	require.Equal(t, spread{}, spreadOf(nil))
}

func TestRatiosAreTakenRunByRun(t *testing.T) {
	slow, fast := &contender{runs: runs(10, 30, 20)}, &contender{runs: runs(1, 3, 4)}
	require.Equal(t, spread{10, 5, 10}, ratios(slow, fast))
}

func TestReportSaysWhichGoalsAreMet(t *testing.T) {
	floor := &contender{name: "wc -l", runs: runs(0.1, 0.1, 0.1)}
	one := &contender{name: "one core", runs: runs(1.3, 1.3, 1.3), alerts: 8, output: "x"}
	two := &contender{name: "two cores", runs: runs(0.7, 0.7, 0.7), alerts: 8, output: "x"}
	var out strings.Builder
	require.NoError(t, report(&out, []*contender{floor, one, two}, 1_000_000))
	text := out.String()
	require.Contains(t, text, "one core, times wc -l: 13.00, at most 12: NOT met")
	require.Contains(t, text, "two cores, times as fast: 1.86, at least 1.7: met")
	require.Contains(t, text, "peak memory, MB: 200.00, at most 300: met")
	require.Contains(t, text, "3 rounds, median (least to greatest); 8 alerts")
	require.Contains(t, text, "769231")

	require.NotContains(t, text, "busy")
	require.NotContains(t, text, "rules")

	few, many := &contender{name: "33 rules", rules: 33, runs: runs(1, 1, 1)}, &contender{name: "10000 rules", rules: 10_000, runs: runs(2.5, 2.5, 2.5)}
	out.Reset()
	require.NoError(t, report(&out, []*contender{floor, one, two, few, many}, 1_000_000))
	require.Contains(t, out.String(), "10000 rules, times 33 rules, without loading them: 2.50, at most 2: NOT met")

	for i := range one.runs {
		one.runs[i].cpu = 0.65
	}
	out.Reset()
	require.NoError(t, report(&out, []*contender{floor, one, two}, 1_000_000))
	require.Contains(t, out.String(), "busy: one core waited for 50 % of its time; by CPU seconds it took 6.50 times wc -l")

	two.output = "y"
	require.ErrorContains(t, report(&out, []*contender{floor, one, two}, 1_000_000), "different alerts")
}

func TestMeasuringFailsWhenNotAllEventsWereRead(t *testing.T) {
	c := &contender{name: "wc -l", args: []string{"wc", "-l", "bench_test.go"}}
	m, err := c.measure(t.Context())
	require.NoError(t, err)
	require.Positive(t, m.seconds)
	require.Equal(t, 1, c.alerts)

	c.events = 5
	_, err = c.measure(t.Context())
	require.ErrorContains(t, err, "not all of the 5 events")

	c.events, c.output = 0, "of an earlier run"
	_, err = c.measure(t.Context())
	require.ErrorContains(t, err, "something else")

	c.args = []string{"wc", filepath.Join(t.TempDir(), "missing")}
	_, err = c.measure(t.Context())
	require.ErrorContains(t, err, "missing")
}

func TestWrongUsageIsTold(t *testing.T) {
	var out, msgs strings.Builder
	for _, args := range [][]string{{"--events", "0"}, {"--rounds", "0"}, {"file"}, {"--unknown"}} {
		require.Equal(t, 2, run(t.Context(), args, &out, &msgs), args)
	}
}

func TestGeneratedRulesLoadAndDiffer(t *testing.T) {
	folder, err := writeRules(t.TempDir(), 400)
	require.NoError(t, err)
	files, err := detections.ReadDir(os.DirFS(folder), ".", "")
	require.NoError(t, err)
	set, err := detections.Load(files, nil)
	require.NoError(t, err)
	require.Len(t, set.Rules, 400)
	seen := map[string]bool{}
	for _, r := range set.Rules[33:] {
		require.False(t, seen[r.Where.Value+r.Having.Value], r.Where.Value)
		seen[r.Where.Value+r.Having.Value] = true
	}
}
