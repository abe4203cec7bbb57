package detections_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func failures(t *testing.T, files fstest.MapFS, test ...string) []string {
	t.Helper()
	set := load(t, rule(append([]string{`where: type == "fp"`, "group_by: [ip, user_name]", "tests:", "- name: x"}, test...)...))
	return set.RunTests(set.Rules[0], files)[0].Failures
}

func TestAFailureShowsGroupsAsPeopleWriteThem(t *testing.T) {
	require.Equal(t, []string{
		`expected an alert for ip=198.51.100.8, none came (alert for ip=198.51.100.7, user_name="Ann B": ip is "198.51.100.7", expected "198.51.100.8")`,
		`unexpected alert for ip=198.51.100.7, user_name="Ann B" with 1 events, opened 0s after the start`,
	}, failures(t, nil, "  events: [{type: fp, ip: 198.51.100.7, user_name: Ann B}]", "  alerts: [{group: {ip: 198.51.100.8}}]"))
	require.Equal(t, []string{"expected an alert, none came"}, failures(t, nil, "  events: []", "  alerts: [{count: 1}]"))
}

func TestEventsComeFromTheRulesFolderOnly(t *testing.T) {
	for _, name := range []string{"../x", "/etc/passwd", "a/../../x"} {
		require.Equal(t, []string{"file: " + name + " is outside the rule's folder: put the events beside the rule file"},
			failures(t, fstest.MapFS{}, "  file: "+name, "  alerts: []"))
	}
	lines := fstest.MapFS{"a.jsonl": {Data: []byte(`{"log_id":"1","date":"2026-01-05T10:00:00Z","type":"s"}`)}}
	require.Empty(t, failures(t, lines, "  file: b/../a.jsonl", "  alerts: []"))
}

func TestTheEventsOfATestAreBounded(t *testing.T) {
	lines := fstest.MapFS{"a.jsonl": {Data: []byte(`{"log_id":"1","date":"2026-01-05T10:00:00Z","type":"s"}`)}}
	bursts := strings.Repeat("'100000 x {type: s}', ", 10)
	require.Equal(t, []string{"read events of a.jsonl: has more than 1000000 events"}, failures(t, lines, "  file: a.jsonl", "  events: ["+bursts+"]", "  alerts: []"))
}

func TestEventsOfATestComeWhenItSays(t *testing.T) {
	window := []string{"where: type == \"fp\"", "group_by: [ip]", "window: 10m", "having: count() >= 4", "tests:", "- name: x"}
	run := func(lines ...string) []string {
		set := load(t, rule(append(window, lines...)...))
		return set.RunTests(set.Rules[0], nil)[0].Failures
	}
	burst := "'2 x {type: fp, ip: 192.0.2.1} over 1m"
	require.Empty(t, run("  events: ["+burst+"', "+burst+" after 5m']", "  alerts: [{count: 4, late: false}]"))
	require.Empty(t, run("  events: ["+burst+"', "+burst+" after 15m']", "  alerts: []"), "too far from each other")
	require.Empty(t, run("  events: ["+burst+"', {at: 9m, type: s}, "+burst+" from 3m late 1h']", "  alerts: [{late: true}]"), "two came late")
	require.Empty(t, run("  events: [{type: fp, ip: 192.0.2.1, late: 1m}, '3 x {type: fp, ip: 192.0.2.1} over 3m']", "  alerts: [{count: 4, late: false}]"), "within the lateness")
	require.Empty(t, run("  events: ['4 x {type: fp, ip: 192.0.2.1} over 4m jitter 1m']", "  alerts: [{count: 4}]"))
	require.Empty(t, run("  events: [{type: fp, ip: 192.0.2.1}, {type: fp, ip: 192.0.2.1, after: 3m}, '2 x {type: fp, ip: 192.0.2.1}']", "  alerts: [{count: 4}]"))
}

func TestWordsOfABurstAreChecked(t *testing.T) {
	for words, want := range map[string]string{
		"ower 5m":   "unknown word ower (did you mean over?)",
		"late soon": `"soon" is not a length of time`,
	} {
		require.Contains(t, problemsOf(t, rule(`where: type == "fp"`, "tests:", "- {name: x, events: ['2 x {type: fp} "+words+"'], alerts: []}")), want)
	}
	require.Contains(t, problemsOf(t, rule(`where: type == "fp"`, "tests:", "- {name: x, events: [{type: fp, after: soon}], alerts: []}")), `tests[0].events[0].after: "soon" is not a length of time`)
}

func TestATestMayFillLists(t *testing.T) {
	set := load(t, rule(`where: type == "fp" && ip in lists.vip`, "tests:",
		"- {name: a, lists: {vip: [192.0.2.0/24]}, events: [{type: fp, ip: 192.0.2.1}], alerts: [{}]}",
		"- {name: b, events: [{type: fp, ip: 192.0.2.1}], alerts: []}",
		"- {name: c, lists: {vipp: []}, events: [], alerts: []}"))
	results := set.RunTests(set.Rules[0], nil)
	require.Empty(t, results[0].Failures)
	require.Empty(t, results[1].Failures)
	require.Equal(t, []string{"lists: no list is called vipp (did you mean vip?)"}, results[2].Failures)
}
