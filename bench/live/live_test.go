package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/catalog"
	"portcullis/detections"
	"portcullis/logstream"
)

// event is a line as bench/gen writes it, cut to what matters here.
func event(n int, kind, ip string) string {
	id := fmt.Sprintf("90020260105080000000%035d", n)
	return fmt.Sprintf(`{"log_id":"%s","data":{"$event_schema":{"version":"2"},"date":"2026-01-05T08:00:00.000Z","type":"%s","ip":"%s","log_id":"%s"}}`+"\n", id, kind, ip, id)
}

func TestALoadIsCutIntoBodiesAndGivenNewDates(t *testing.T) {
	l, err := newLoad([]byte(event(1, "s", "198.51.100.1") + event(2, "ssa", "198.51.100.1") + event(3, "limit_wc", "198.51.100.2") + event(4, "seacft", "198.51.100.1")))
	require.NoError(t, err)
	require.Equal(t, 4, l.len())
	require.Equal(t, 4, l.keys(), "one address in two rules, another in two")
	require.Equal(t, l.data, append(bytes.Clone(l.body(0, 2)), l.body(2, 4)...))

	end := time.Date(2026, 11, 21, 12, 0, 0, 123_000_000, time.UTC)
	require.NoError(t, l.date(1, 4, end))
	want := []time.Time{time.Unix(0, 0), end.Add(-2 * step), end.Add(-step), end} // the first is of the trial at the beginning
	for i := range l.len() {
		e, err := logstream.Decode(l.line(i))
		require.NoError(t, err)
		require.Equal(t, want[i].UTC().Truncate(time.Millisecond), e.Time)
		logged, ok := e.LogIDTime()
		require.True(t, ok)
		require.Equal(t, e.Time, logged)
		require.Equal(t, 2, strings.Count(string(l.line(i)), e.ID), "both places of the log_id")
	}
}

func TestALoadThatIsNotEventsIsRefused(t *testing.T) {
	_, err := newLoad([]byte("no newline"))
	require.ErrorContains(t, err, "event 1 has no end")
	_, err = newLoad([]byte("{}\n"))
	require.ErrorContains(t, err, "no log_id")
	_, err = newLoad([]byte(`{"log_id":"90000000000000000000000000"}` + "\n"))
	require.ErrorContains(t, err, "no date")
}

func TestPercentilesAreTimesThatWereMeasured(t *testing.T) {
	var times []time.Duration
	for i := range 100 {
		times = append(times, time.Duration(100-i)*time.Millisecond)
	}
	for p, want := range map[float64]int{50: 50, 90: 90, 99: 99, 100: 100, 0: 1} {
		require.Equal(t, time.Duration(want)*time.Millisecond, percentile(times, p), "p%v", p)
	}
	require.Equal(t, 3*time.Second, percentile([]time.Duration{3 * time.Second, time.Second}, 51))
	require.Zero(t, percentile(nil, 50))
	require.Equal(t, "p50 50.0, p90 90.0, p99 99.0, max 100.0 ms of 100", distribution(times))
}

func TestGoalsAreJudgedInTheirDirection(t *testing.T) {
	for _, c := range []struct {
		is, want float64
		atLeast  bool
		verdict  string
	}{
		{1, 2, false, "met"}, {2, 2, false, "met"}, {3, 2, false, "NOT met"},
		{1, 2, true, "NOT met"}, {2, 2, true, "met"}, {3, 2, true, "met"},
	} {
		var out strings.Builder
		goal(&out, "x", c.is, c.want, "s", c.atLeast)
		require.True(t, strings.HasSuffix(out.String(), ": "+c.verdict+"\n"), "%v gave %s", c, out.String())
	}
}

func TestMetricsAreReadByNameAndLabels(t *testing.T) {
	m := parseMetrics("# HELP x is 1\nprocess_cpu_seconds_total 2.5\nprocess_resident_memory_bytes 3e+07\n" +
		`portcullis_intake_bundles_total{tenant="live"} 12` + "\nodd\n")
	require.Equal(t, 2.5, m.cpu())
	require.Equal(t, 3e7, m.memory())
	require.Equal(t, 12.0, m[`portcullis_intake_bundles_total{tenant="live"}`])
	require.Len(t, m, 3)
}

// engine runs the rules of the bench beside those of the catalog.
func engine(t *testing.T, text string, onChange func(detections.Change)) *detections.Engine {
	lists, err := detections.ReadLists(catalog.FS, "lists")
	require.NoError(t, err)
	files, err := detections.ReadDir(catalog.FS, "rules", "catalog/")
	require.NoError(t, err)
	rules, err := detections.Load(append(files, detections.File{Name: "rules.yaml", Data: []byte(text)}), lists)
	require.NoError(t, err)
	e, err := detections.NewEngine("live", rules, detections.Options{Ahead: true, Unique: true, OnChange: onChange})
	require.NoError(t, err)
	return e
}

func TestEachAttackRaisesItsOwnAlertWithItsLastEvent(t *testing.T) {
	var opened []detections.Alert
	e := engine(t, keyRule()+"---\n"+attackRules(3), func(c detections.Change) {
		if c.Transition == detections.Opened {
			opened = append(opened, c.Alert)
		}
	})
	ids := map[string]bool{}
	for i := range 3 {
		n := 0
		logstream.DecodeAll(attack(i, time.Now()), func(ev logstream.Event, err error) bool {
			require.NoError(t, err)
			require.Len(t, opened, i, "before the last event")
			require.False(t, ids[ev.ID], "an id of its own")
			ids[ev.ID] = true
			e.Ingest(&ev)
			n++
			return true
		})
		require.Equal(t, attackEvents, n)
		require.Len(t, opened, i+1)
		require.Equal(t, fmt.Sprintf("live-attack-%d", i), opened[i].Campaign)
		require.Equal(t, i, attackOf(line{Msg: "incident", Text: "SEV2 " + opened[i].Title + " - OBSERVING - tenant live"}))
	}
}

func TestLinesThatTellNoAttackAreNotCounted(t *testing.T) {
	for _, l := range []line{{}, {Msg: "recovered", Text: "Attack 3"}, {Msg: "incident", Text: "Credential stuffing"}, {Msg: "incident", Text: "Attack of bots"}} {
		require.Equal(t, -1, attackOf(l), l)
	}
}

func TestErrorsShowTheLastLinesOfTheDaemon(t *testing.T) {
	var last tail
	for i := range 9 {
		last.add(strings.Repeat("x", 400) + fmt.Sprint(i))
	}
	last.add("the end")
	require.True(t, strings.HasSuffix(last.String(), "\nthe end"))
	require.Less(t, len(last.String()), 2000)
}

func TestWrongUsageIsTold(t *testing.T) {
	for _, args := range [][]string{{"--events", "0"}, {"--only", "speed"}, {"--starts", "0"}, {"--rate", "0"}, {"--lasting", "1ms"}, {"file"}, {"--unknown"}} {
		var out, msgs strings.Builder
		require.Equal(t, 2, run(t.Context(), args, &out, &msgs), args)
		require.NotEmpty(t, msgs.String())
	}
}
