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
