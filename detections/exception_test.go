package detections_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/logstream"
)

const exceptedRule = `
id: r
title: R
severity: low
where: type == "fp"
group_by: [ip]
window: 10m
having: count() >= 3
`

func exceptionOf(rule, where, expires string) string {
	return fmt.Sprintf("---\nexceptions:\n  - {rule: %q, where: %q, owner: ann, reason: a test, expires: %s}\n", rule, where, expires)
}

func loadExcepted(t *testing.T, more string) *detections.RuleSet {
	t.Helper()
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(exceptedRule + more)}}, nil)
	require.NoError(t, err)
	return set
}

// failure is a failed login from ip, so many minutes after midnight.
func failure(t *testing.T, minute int, ip, user string) *logstream.Event {
	t.Helper()
	at := time.Date(2026, 3, 1, 0, minute, 0, 0, time.UTC)
	ev, err := logstream.Decode(fmt.Appendf(nil, `{"log_id":"%s-%s-%d","date":%q,"type":"fp","ip":%q,"user_name":%q}`, ip, user, minute, at.Format("2006-01-02T15:04:05.000Z"), ip, user))
	require.NoError(t, err)
	return &ev
}

// toldOf runs an engine and lists what it told: transition and address.
func toldOf(t *testing.T, set *detections.RuleSet, ahead bool) (*detections.Engine, *[]string) {
	t.Helper()
	told := &[]string{}
	e, err := detections.NewEngine("acme", set, detections.Options{Ahead: ahead, OnChange: func(c detections.Change) {
		if c.Transition != detections.Updated {
			*told = append(*told, string(c.Transition)+" "+c.Alert.Group["ip"])
		}
	}})
	require.NoError(t, err)
	return e, told
}

func TestAnExceptionOnGroupKeysSwallowsTheirAlerts(t *testing.T) {
	for _, where := range []string{`ip == "192.0.2.1"`, `group.ip == "192.0.2.1"`} {
		for _, ahead := range []bool{false, true} {
			e, told := toldOf(t, loadExcepted(t, exceptionOf("r", where, "2026-03-01")), ahead)
			for i := range 6 {
				e.Ingest(failure(t, i, "192.0.2.1", "a"))
				e.Ingest(failure(t, i, "192.0.2.2", "a"))
			}
			e.Settle()
			require.Len(t, e.OpenAlerts(), 1)
			e.Finish()
			require.Equal(t, []string{"opened 192.0.2.2", "resolved 192.0.2.2"}, *told)
			x := e.Stats().Exceptions["r: "+where]
			require.EqualValues(t, 1, x.Alerts)
			require.Zero(t, x.Events)
		}
	}
}

func TestAnExceptionOnOtherFieldsLeavesEventsOut(t *testing.T) {
	for _, rule := range []string{"r", "*"} {
		where := `ip == "192.0.2.1" && user_name == "robot"`
		if rule == "*" {
			where = `user_name == "robot"`
		}
		e, told := toldOf(t, loadExcepted(t, exceptionOf(rule, where, "2026-03-01")), true)
		for i := range 6 {
			e.Ingest(failure(t, i, "192.0.2.1", "robot"))
		}
		e.Ingest(failure(t, 6, "192.0.2.1", "ann"))
		e.Finish()
		require.Empty(t, *told)
		require.EqualValues(t, 6, e.Stats().Exceptions[rule+": "+where].Events)
	}
}

func TestAnExceptionEndsByTheTimeOfTheEvents(t *testing.T) {
	for _, where := range []string{`ip == "192.0.2.1"`, `user_name == "a"`} {
		for _, ahead := range []bool{false, true} {
			e, told := toldOf(t, loadExcepted(t, exceptionOf("r", where, "2026-03-01T00:05:00Z")), ahead)
			for i := range 5 {
				e.Ingest(failure(t, i, "192.0.2.1", "a"))
			}
			e.Settle()
			require.Empty(t, *told)
			for i := range 5 {
				e.Ingest(failure(t, 5+i, "192.0.2.1", "a"))
			}
			e.Finish()
			require.Equal(t, []string{"opened 192.0.2.1", "resolved 192.0.2.1"}, *told, "%s ahead %v", where, ahead)
		}
	}
}

func TestReloadingExceptionsResolvesAndOpensAlertsAndKeepsWindows(t *testing.T) {
	plain, excepted := loadExcepted(t, ""), loadExcepted(t, exceptionOf("r", `ip == "192.0.2.1"`, "2026-03-02"))
	e, told := toldOf(t, plain, true)
	for i := range 3 {
		e.Ingest(failure(t, i, "192.0.2.1", "a"))
	}
	require.Equal(t, []string{"opened 192.0.2.1"}, *told)
	require.NoError(t, e.SetRules(excepted, nil))
	require.Equal(t, []string{"opened 192.0.2.1", "resolved 192.0.2.1"}, *told)
	require.Empty(t, e.OpenAlerts())
	require.NoError(t, e.SetRules(plain, nil))
	require.Equal(t, []string{"opened 192.0.2.1", "resolved 192.0.2.1", "opened 192.0.2.1"}, *told)
	e.Finish()
	require.Len(t, *told, 4)
}

func TestARestartKeepsWhatExceptionsSwallowed(t *testing.T) {
	set := loadExcepted(t, exceptionOf("r", `ip == "192.0.2.1"`, "2026-03-02"))
	e, told := toldOf(t, set, true)
	for i := range 3 {
		e.Ingest(failure(t, i, "192.0.2.1", "a"))
	}
	data, err := e.Snapshot()
	require.NoError(t, err)
	again, toldAgain := toldOf(t, set, true)
	require.NoError(t, again.Restore(data))
	require.EqualValues(t, 1, again.Stats().Exceptions[`r: ip == "192.0.2.1"`].Alerts)
	again.Finish()
	require.Empty(t, *told)
	require.Empty(t, *toldAgain)

	changed, opens := toldOf(t, loadExcepted(t, ""), true)
	require.NoError(t, changed.Restore(data))
	require.Equal(t, []string{"opened 192.0.2.1"}, *opens)
}

func TestABadExceptionIsToldWithItsPlace(t *testing.T) {
	for more, want := range map[string]string{
		"---\nexceptions:\n  - {rule: r, where: ip == 5, owner: a, reason: b, expires: 2026-01-01}\n":  "r.yaml:11:28: where: a text cannot be compared with a number",
		"---\nexceptions:\n  - {rule: r, where: 'ip == \"x\"', owner: a, expires: 2026-01-01}\n":       "reason",
		"---\nexceptions:\n  - {rule: r, where: 'ip == \"x\"', owner: a, reason: '', expires: soon}\n": `"soon" is no day`,
		"---\nexceptions:\n  - {rule: r, where: 'true', owner: a, reason: b, expires: 2026-01-01}\n":   "names no field",
		"---\nexceptions: 5\n": "must be a list",
		exceptionOf("r", `ip == "x"`, "2026-01-01") + exceptionOf("r", `ip == "x"`, "2026-01-01"): "stands at r.yaml:11 already",
	} {
		_, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(exceptedRule + more)}}, nil)
		require.ErrorContains(t, err, want, more)
	}
}

func TestExceptionsThatExpireOrAreForNoRuleAreWarnedOf(t *testing.T) {
	set := loadExcepted(t, exceptionOf("rr", `ip == "x"`, "2026-03-10")+exceptionOf("r", `ip == "y"`, "2026-02-01"))
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	text := set.ExceptionWarnings(now, true).Error()
	require.Contains(t, text, "no rule is called rr (did you mean r?)")
	require.Contains(t, text, "expires on 2026-03-10")
	require.Contains(t, text, "expired on 2026-02-01")
	require.NotContains(t, set.ExceptionWarnings(now, false).Error(), "no rule")
	require.Empty(t, set.ExceptionWarnings(now.AddDate(-1, 0, 0), false))
}
