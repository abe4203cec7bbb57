package detections_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/logstream"
)

const burstRule = `
id: burst
title: Burst
severity: high
where: type == "fp"
group_by: [ip]
window: 10m
having: count() >= 5
quiet: 5m
evidence: {users: values(user_name), n: count(), who: distinct(user_name), first: first(user_name), last: last(user_name), sum: sum(details.score), avg: avg(details.score), max: max(details.score), min: min(details.score)}
`

// bench runs one engine and keeps what it tells.
type bench struct {
	*detections.Engine
	t       *testing.T
	changes []detections.Change
	n       int
}

func load(t *testing.T, rules string) *detections.RuleSet {
	t.Helper()
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(rules)}}, detections.Lists{"vip": detections.NewList("198.51.100.9")})
	require.NoError(t, err)
	return set
}

func newBench(t *testing.T, rules string, opts detections.Options) *bench {
	t.Helper()
	b := &bench{t: t}
	opts.OnChange = func(c detections.Change) { b.changes = append(b.changes, c) }
	e, err := detections.NewEngine("acme", load(t, rules), opts)
	require.NoError(t, err)
	b.Engine = e
	return b
}

// at ingests an event at an offset from the start of the test; pairs of fields
// and values replace the usual ones.
func (b *bench) at(offset time.Duration, pairs ...any) {
	b.t.Helper()
	b.n++
	when := oracleBase.Add(offset)
	fields := map[string]any{"log_id": fmt.Sprintf("x%06d", b.n), "date": when.Format("2006-01-02T15:04:05.000Z"), "type": "fp",
		"ip": "198.51.100.7", "user_name": fmt.Sprintf("user%d", b.n)}
	for i := 0; i < len(pairs); i += 2 {
		fields[pairs[i].(string)] = pairs[i+1]
		if pairs[i+1] == nil {
			delete(fields, pairs[i].(string))
		}
	}
	raw, err := json.Marshal(fields)
	require.NoError(b.t, err)
	ev, err := logstream.Decode(raw)
	require.NoError(b.t, err)
	b.Ingest(&ev)
}

func (b *bench) burst(offset time.Duration, n int, pairs ...any) {
	b.t.Helper()
	for i := range n {
		b.at(offset+time.Duration(i)*time.Second, pairs...)
	}
}

// take returns what was told since the last call, shortly.
func (b *bench) take() []string {
	var out []string
	for _, c := range b.changes {
		late := ""
		if c.Alert.Late {
			late = " late"
		}
		out = append(out, fmt.Sprintf("%s %s %d%s", c.Transition, c.Alert.Rule, c.Alert.Count, late))
	}
	b.changes = nil
	return out
}

func (b *bench) clock(offset time.Duration) { b.Advance(oracleBase.Add(offset)) }

func TestAnAlertOpensOnceIsUpdatedAndResolvesAfterQuiet(t *testing.T) {
	b := newBench(t, burstRule, detections.Options{Ahead: true})
	b.burst(0, 4)
	require.Empty(t, b.take())
	b.burst(4*time.Second, 1)
	require.Equal(t, []string{"opened burst 5"}, b.take(), "at the event that makes it true, not two minutes later")
	b.burst(5*time.Second, 100)
	told := b.take()
	require.LessOrEqual(t, len(told), 6, "an update for a doubling or a minute, not for every event")
	require.Len(t, b.OpenAlerts(), 1)
	require.Nil(t, b.OpenAlerts()[0].ResolvedAt)
	b.clock(8 * time.Minute)
	require.Len(t, b.OpenAlerts(), 1, "the quiet time ends behind the watermark")
	b.clock(10 * time.Minute)
	last := b.changes[len(b.changes)-1]
	require.Equal(t, detections.Resolved, last.Transition)
	require.Equal(t, 105, last.Alert.Count)
	require.Equal(t, oracleBase.Add(104*time.Second+5*time.Minute), *last.Alert.ResolvedAt)
	require.Empty(t, b.OpenAlerts())
	first := last.Alert.ID
	b.take()

	b.burst(30*time.Minute, 6)
	b.clock(time.Hour)
	require.NotEqual(t, first, b.changes[0].Alert.ID, "a second episode is a second alert")
	require.Equal(t, []string{"opened burst 5", "resolved burst 6"}, b.take())
}

func TestAWindowEndsToTheMillisecond(t *testing.T) {
	for _, tc := range []struct {
		name   string
		having string
		gap    time.Duration
		alerts int
	}{
		{"sliding, just inside", "count() >= 2", 10*time.Minute - time.Millisecond, 1},
		{"sliding, exactly a window apart", "count() >= 2", 10 * time.Minute, 0},
		{"closing, just inside", `count() >= 2 && count(type == "s") < 1`, 10*time.Minute - time.Millisecond, 1},
		{"closing, exactly a window apart", `count() >= 2 && count(type == "s") < 1`, 10 * time.Minute, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, "id: r\ntitle: R\nseverity: low\nwhere: ip != \"\"\nwindow: 10m\nhaving: "+tc.having+"\n", detections.Options{})
			b.at(0)
			b.at(tc.gap)
			b.Finish()
			require.Len(t, b.take(), 2*tc.alerts)
		})
	}
}

func TestAnUpperBoundIsJudgedWhenTheWindowCloses(t *testing.T) {
	rule := "id: r\ntitle: R\nseverity: low\nwhere: type in [\"fp\", \"s\"]\ngroup_by: [ip]\nwindow: 10m\nhaving: count() >= 3 && count(type == \"s\") == 0\n"
	b := newBench(t, rule, detections.Options{Ahead: true})
	b.burst(0, 5)
	b.clock(11 * time.Minute)
	require.Empty(t, b.take(), "a success may still be under way")
	b.clock(12*time.Minute + time.Second)
	require.Equal(t, []string{"opened r 5"}, b.take())
	b = newBench(t, rule, detections.Options{Ahead: true})
	b.burst(0, 5)
	b.at(9*time.Minute, "type", "s")
	b.Finish()
	require.Empty(t, b.take())
}

func TestLateEvidenceStillRaisesItsAlertOnceAndSaysSo(t *testing.T) {
	t.Run("a burst that is days old, of an address not seen since", func(t *testing.T) {
		b := newBench(t, burstRule, detections.Options{Ahead: true})
		b.at(72*time.Hour, "ip", "198.51.100.8")
		b.burst(0, 40)
		b.clock(72*time.Hour + time.Minute)
		b.burst(40*time.Second, 60)
		b.clock(74 * time.Hour)
		require.Equal(t, []string{"opened burst 40 late", "updated burst 100 late", "resolved burst 100 late"}, b.take())
		require.EqualValues(t, 100, b.Stats().Late)
		b.burst(2*time.Minute, 20)
		b.clock(80 * time.Hour)
		require.Empty(t, b.take(), "that episode was told")
		b.burst(10*time.Hour, 20)
		b.clock(81 * time.Hour)
		require.Equal(t, "opened burst 20 late", b.take()[0], "another one was not")
	})
	t.Run("an event that completes a window that has passed", func(t *testing.T) {
		b := newBench(t, burstRule, detections.Options{Ahead: true})
		b.burst(0, 4)
		b.at(6*time.Minute, "ip", "198.51.100.8")
		b.at(2 * time.Second)
		b.clock(6*time.Minute + 2*time.Second)
		require.Equal(t, []string{"opened burst 5 late"}, b.take())
		b.burst(4*time.Minute+30*time.Second, 5)
		require.Equal(t, []string{"updated burst 6 late"}, b.take(), "what goes on is the same alert")
		b.Finish()
		told := b.take()
		require.Equal(t, "resolved burst 10 late", told[len(told)-1])
	})
	t.Run("an event of an episode that was told", func(t *testing.T) {
		b := newBench(t, burstRule, detections.Options{Ahead: true})
		b.burst(0, 8)
		b.clock(4 * time.Minute)
		require.Len(t, b.OpenAlerts(), 1)
		b.at(4500 * time.Millisecond)
		b.clock(20 * time.Minute)
		told := b.take()
		require.Equal(t, "opened burst 5", told[0])
		require.Equal(t, "resolved burst 9", told[len(told)-1], "counted, and the alert is not late")
		b.burst(time.Second, 8)
		b.clock(24 * time.Hour)
		require.Empty(t, b.take())
	})
	t.Run("a match rule", func(t *testing.T) {
		b := newBench(t, "id: m\ntitle: M\nseverity: low\nwhere: type == \"fp\"\ngroup_by: [ip]\nquiet: 10m\n", detections.Options{})
		b.at(0)
		b.clock(time.Hour)
		require.Equal(t, []string{"opened m 1", "resolved m 1"}, b.take())
		b.at(5 * time.Minute)
		b.at(30 * time.Minute)
		b.clock(2 * time.Hour)
		b.clock(3 * time.Hour)
		require.Equal(t, []string{"opened m 1 late", "resolved m 1 late"}, b.take())
	})
	t.Run("one late event in a stream in time does not make the alert late", func(t *testing.T) {
		b := newBench(t, burstRule, detections.Options{Ahead: true})
		b.at(0)
		b.clock(4 * time.Minute)
		b.at(time.Minute)
		b.burst(4*time.Minute, 4)
		require.Equal(t, []string{"opened burst 5"}, b.take())
	})
}

func TestStampsFromTheFutureAreSetAsideAndMoveNothing(t *testing.T) {
	now := oracleBase.Add(24 * time.Hour)
	b := newBench(t, burstRule, detections.Options{Now: func() time.Time { return now }})
	b.at(0)
	mark := b.Watermark()
	b.at(0, "date", "9999-12-31T23:59:59.000Z")
	b.at(25*time.Hour, "log_id", nil)
	// Days ahead of the time in its own log_id, though not of the clock.
	b.at(12*time.Hour, "log_id", "900"+oracleBase.Format("20060102150405")+"000"+"000000000000000000000000000000000000001")
	b.at(0, "date", nil, "log_id", "90099991231235959000000000000000000000000000000000000000")
	require.Equal(t, mark, b.Watermark())
	require.EqualValues(t, 4, b.Stats().Future)
	require.EqualValues(t, 1, b.Stats().Evaluated)
	b.at(time.Minute)
	require.EqualValues(t, 2, b.Stats().Evaluated)
	require.Zero(t, b.Stats().Late)
}

func TestASlowClockMissesNothingAndChangesNoAlert(t *testing.T) {
	n := 0
	at := func(b *bench, offset time.Duration) { // as Auth0 does: its log_id agrees with the date
		n++
		b.at(offset, "log_id", "900"+oracleBase.Add(offset).Format("20060102150405")+fmt.Sprintf("000%036d", n))
	}
	final := func(slow time.Duration) []detections.Alert {
		now := oracleBase.Add(-slow)
		b := newBench(t, burstRule, detections.Options{Ahead: true, Now: func() time.Time { return now }})
		n = 0
		for i := range 8 {
			now = oracleBase.Add(time.Duration(i)*time.Second - slow)
			at(b, time.Duration(i)*time.Second)
		}
		require.Equal(t, "opened burst 5", b.take()[0], "the attack is seen as it happens")
		require.False(t, b.Clock().After(now.Add(logstream.StampTolerance)), "the engine's clock is no further than ours allows")
		now = oracleBase.Add(time.Hour) // set right
		at(b, time.Hour)
		b.Finish()
		require.Zero(t, b.Stats().Late)
		require.Zero(t, b.Stats().Future)
		var out []detections.Alert
		for _, c := range b.changes {
			if c.Transition == detections.Resolved {
				out = append(out, c.Alert)
			}
		}
		return out
	}
	right := final(0)
	require.Len(t, right, 1)
	require.Equal(t, right, final(5*time.Hour))
	require.Equal(t, right, final(23*time.Hour))
}

func TestAnAlertThatAReloadEndsWhileOurClockIsSlowEndsAfterItsEvents(t *testing.T) {
	except := exceptionOf("burst", `ip == "198.51.100.7"`, "2099-01-01")
	for name, next := range map[string]string{"its rule is gone": strings.Replace(burstRule, "id: burst", "id: other", 1), "an exception swallows it": burstRule + except} {
		t.Run(name, func(t *testing.T) {
			now := oracleBase.Add(-5 * time.Hour)
			b := newBench(t, burstRule, detections.Options{Ahead: true, Now: func() time.Time { return now }})
			for i := range 5 {
				offset := time.Duration(i) * time.Second
				b.at(offset, "log_id", "900"+oracleBase.Add(offset).Format("20060102150405")+fmt.Sprintf("000%036d", i))
			}
			require.NoError(t, b.SetRules(load(t, next), nil))
			require.Len(t, b.changes, 2)
			a := b.changes[1].Alert
			require.NotNil(t, a.ResolvedAt)
			require.False(t, a.ResolvedAt.Before(a.UpdatedAt), "resolved %s, opened %s", a.ResolvedAt, a.OpenedAt)
			require.False(t, a.ResolvedAt.Before(a.OpenedAt))
		})
	}
}

func TestAMadeUpPairOfDateAndLogIDMovesNothing(t *testing.T) {
	now := oracleBase
	b := newBench(t, burstRule, detections.Options{Ahead: true, Now: func() time.Time { return now }})
	made := func(ahead time.Duration) {
		b.at(ahead, "log_id", "900"+oracleBase.Add(ahead).Format("20060102150405")+fmt.Sprintf("000%036d", b.n))
	}
	b.at(0)
	for _, ahead := range []time.Duration{11 * time.Minute, 5 * time.Hour, 23 * time.Hour} {
		made(ahead)
	}
	require.EqualValues(t, 4, b.Stats().Evaluated)
	require.Equal(t, oracleBase, b.Clock(), "not by hours")
	for _, ahead := range []time.Duration{25 * time.Hour, 20 * 365 * 24 * time.Hour} {
		made(ahead)
	}
	require.EqualValues(t, 2, b.Stats().Future, "no clock is so wrong")
	now = oracleBase.Add(10 * time.Minute)
	b.burst(10*time.Minute, 5)
	now = oracleBase.Add(13 * time.Minute)
	b.at(13*time.Minute, "ip", "203.0.113.1")
	require.Zero(t, b.Stats().Late)
	require.Contains(t, b.take(), "opened burst 5", "the group they stand in still counts what is real")
}

// What is hours ahead must not close, before its time, what happens now.
func TestAnEventFarAheadDelaysNoAlertOfItsGroup(t *testing.T) {
	rules := map[string]struct {
		rule  string
		event func(b *bench, offset time.Duration, i int, log string)
	}{
		"a burst": {burstRule, func(b *bench, offset time.Duration, _ int, log string) { b.at(offset, "log_id", log) }},
		"a sequence": {`
id: burst
title: Burst
severity: high
group_by: [ip]
within: 10m
quiet: 5m
steps:
  - {name: a, where: type == "fp", times: 4}
  - {name: b, where: type == "s"}
`, func(b *bench, offset time.Duration, i int, log string) {
			b.at(offset, "log_id", log, "type", map[bool]string{true: "s", false: "fp"}[i == 4])
		}},
	}
	orders := map[string][]int{"in order": {0, 1, 2, 3, 4}, "out of order": {1, 0, 3, 2, 4}}
	for name, tc := range rules {
		for order, steps := range orders {
			for far := range 5 {
				t.Run(fmt.Sprintf("%s %s, far events before %d", name, order, far), func(t *testing.T) {
					now := oracleBase
					b := newBench(t, tc.rule, detections.Options{Ahead: true, Now: func() time.Time { return now }})
					n := 0
					send := func(offset time.Duration, i int) {
						n++
						tc.event(b, offset, i, "900"+oracleBase.Add(offset).Format("20060102150405")+fmt.Sprintf("000%036d", n))
					}
					for at, i := range steps {
						if at == far {
							send(5*time.Hour, 0)
							send(5*time.Hour+time.Second, 0)
						}
						now = oracleBase.Add(time.Duration(i) * time.Second)
						require.Empty(t, b.take())
						send(time.Duration(i)*time.Second, i)
					}
					told := b.take()
					require.Len(t, told, 1, "at once")
					require.Contains(t, told[0], "opened burst 5")
				})
			}
		}
	}
}

// What looks ahead stops before an event that is far ahead. The watermark may pass
// that before another event comes.
func TestTheWatermarkMayOvertakeWhatLooksAhead(t *testing.T) {
	now := oracleBase
	b := newBench(t, burstRule, detections.Options{Ahead: true, Now: func() time.Time { return now }})
	n := 0
	send := func(offset time.Duration) {
		n++
		b.at(offset, "log_id", "900"+oracleBase.Add(offset).Format("20060102150405")+fmt.Sprintf("000%036d", n))
	}
	for i := range 6 {
		send(5*time.Hour + time.Duration(3*i)*time.Minute)
	}
	for i := range 4 {
		send(time.Duration(i) * time.Second)
	}
	now = oracleBase.Add(5*time.Hour + 13*time.Minute)
	b.clock(5*time.Hour + 13*time.Minute)
	require.Empty(t, b.take())
	send(5*time.Hour + 15*time.Minute + time.Second)
	require.Equal(t, []string{"opened burst 5"}, b.take())
}

func TestEventsWithoutATimeCountAndMoveNothing(t *testing.T) {
	b := newBench(t, burstRule, detections.Options{Ahead: true})
	b.at(0, "date", nil)
	require.True(t, b.Watermark().IsZero())
	b.burst(0, 2)
	mark := b.Watermark()
	b.at(0, "date", nil)
	require.Equal(t, mark, b.Watermark())
	b.at(0, "date", "yesterday")
	require.Equal(t, []string{"opened burst 5"}, b.take())
	require.EqualValues(t, 3, b.Stats().Undated)
	require.Zero(t, b.Stats().Late)
	require.Equal(t, oracleBase, b.OpenAlerts()[0].OpenedAt.Truncate(time.Minute), "not the time of the machine")
	b = newBench(t, burstRule, detections.Options{Now: func() time.Time { return oracleBase }})
	for range 6 {
		b.at(0, "date", nil)
	}
	b.Finish()
	require.Equal(t, []string{"opened burst 5", "resolved burst 6"}, b.take())
}

func TestAnAlertHoldsTheFirstAndTheLatestEventsAndBoundedEntities(t *testing.T) {
	b := newBench(t, burstRule, detections.Options{Ahead: true})
	for i := range 500 {
		b.at(time.Duration(i)*time.Second, "client_id", fmt.Sprintf("c%03d", i), "user_name", fmt.Sprintf("u%d", i%7), "details", map[string]any{"score": i % 10}, "security_context", map[string]any{"ja4": "t13d"})
	}
	b.Finish()
	a := b.changes[len(b.changes)-1].Alert
	require.Equal(t, 500, a.Count)
	require.Len(t, a.EventIDs, 200)
	require.Equal(t, []string{"x000001", "x000100", "x000401", "x000500"}, []string{a.EventIDs[0], a.EventIDs[99], a.EventIDs[100], a.EventIDs[199]})
	require.Len(t, a.Entities.ClientID, 200)
	require.Equal(t, []string{"198.51.100.7"}, a.Entities.IP)
	require.Equal(t, []string{"t13d"}, a.Entities.JA4)
	require.NotNil(t, a.Entities.UserID, "an empty list, not null")
	evidence, err := json.Marshal(a.Evidence)
	require.NoError(t, err)
	require.JSONEq(t, `{"users":["u0","u1","u2","u3","u4","u5","u6"],"n":500,"who":7,"first":"u0","last":"u2","sum":2250,"avg":4.5,"max":9,"min":0}`, string(evidence))
}

func TestTheSameEventsInTheSameOrderGiveTheSameAlertsAgain(t *testing.T) {
	run := func() (out []string) {
		b := newBench(t, burstRule, detections.Options{Ahead: true})
		b.burst(0, 7)
		b.burst(20*time.Minute, 9)
		b.burst(time.Minute, 30, "ip", "198.51.100.8")
		b.Settle()
		for _, c := range b.changes {
			out = append(out, string(c.Transition)+c.Alert.ID)
		}
		return out
	}
	require.Equal(t, run(), run())
}

func TestOneRuleThatFailsTouchesNoOther(t *testing.T) {
	b := newBench(t, "id: bad\ntitle: Bad\nseverity: low\nwhere: type == \"fp\" && user_name + 1 > 2\n---"+burstRule, detections.Options{Ahead: true})
	b.burst(0, 5)
	require.Equal(t, []string{"opened burst 5"}, b.take())
	require.EqualValues(t, 5, b.Stats().RuleErrors["bad"].Count)
	require.Contains(t, b.Stats().RuleErrors["bad"].Last, "numbers are needed")
	require.Len(t, b.Stats().RuleErrors, 1)
}

func TestOtherRulesKeepTheWindowsOfUnchangedOnes(t *testing.T) {
	other := "\n---\nid: other\ntitle: O\nseverity: low\nparams: {n: {default: 3, min: 1}}\nwhere: ip in lists.vip\nwindow: 1h\ngroup_by: [ip]\nhaving: count() > params.n\n"
	b := newBench(t, burstRule+other, detections.Options{Ahead: true})
	b.burst(0, 4)
	b.burst(0, 5, "ip", "198.51.100.9")
	require.Equal(t, []string{"opened other 4", "opened burst 5"}, b.take())

	require.Error(t, b.SetRules(load(t, burstRule+other), map[string]map[string]any{"other": {"n": 0}}))
	require.Error(t, b.SetRules(load(t, burstRule+other), map[string]map[string]any{"othr": {"n": 5}}))
	require.NoError(t, b.SetRules(load(t, burstRule+other), nil), "loaded anew from the same text")
	require.Empty(t, b.take())
	require.Len(t, b.OpenAlerts(), 2)

	require.NoError(t, b.SetRules(load(t, burstRule+other), map[string]map[string]any{"other": {"n": 10}}))
	require.Equal(t, []string{"resolved other 4"}, b.take(), "its parameter changed: nothing follows that alert any more")
	b.at(5 * time.Second)
	require.Equal(t, []string{"opened burst 5"}, b.take(), "four of its events came before the change")
	require.NoError(t, b.SetRules(&detections.RuleSet{}, nil))
	require.Equal(t, []string{"resolved burst 5", "resolved burst 5"}, b.take())
	require.Empty(t, b.OpenAlerts())
	b.burst(time.Minute, 9)
	b.Finish()
	require.Empty(t, b.take())
}

func TestParametersAreTheTenantsOwn(t *testing.T) {
	rule := "id: p\ntitle: P\nseverity: low\nparams: {n: {default: 3, min: 2}}\nwhere: type == \"fp\"\nwindow: 1h\nhaving: count() >= params.n\n"
	b := newBench(t, rule, detections.Options{Ahead: true, Params: map[string]map[string]any{"p": {"n": 2}}})
	b.burst(0, 2)
	require.Equal(t, []string{"opened p 2"}, b.take())
	for _, params := range []map[string]any{{"n": 1}, {"n": "2"}, {"m": 2}} {
		_, err := detections.NewEngine("acme", load(t, rule), detections.Options{Params: map[string]map[string]any{"p": params}})
		require.Error(t, err)
	}
}

func TestAStrangersTextCannotForgeAnotherGroup(t *testing.T) {
	b := newBench(t, "id: g\ntitle: G\nseverity: low\nwhere: type == \"fp\"\ngroup_by: [user_name, connection]\nmissing_key: group\nwindow: 1h\nhaving: count() >= 2\n", detections.Options{Ahead: true})
	b.at(0, "user_name", "a\x1fb", "connection", "c")
	b.at(0, "user_name", "a", "connection", "b\x1fc")
	require.Empty(t, b.take())
	b.at(time.Second, "user_name", "a\x1fb", "connection", "c")
	require.Equal(t, map[string]string{"user_name": "a\x1fb", "connection": "c"}, b.changes[0].Alert.Group)
	b.take()
	b.at(time.Second, "user_name", nil, "connection", "c")
	b.at(2*time.Second, "user_name", nil, "connection", "c")
	require.Equal(t, map[string]string{"user_name": "", "connection": "c"}, b.changes[0].Alert.Group, "missing_key: group")
}

func TestAnAlertBecomesMoreSevereAsItsEvidenceGrowsAndSaysSoAtOnce(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		b := newBench(t, "id: r\ntitle: R\nseverity: low\nseverity_when:\n- {if: distinct(user_name) > 4, severity: high}\n- {if: count() > 7, severity: critical}\n"+
			"where: type == \"fp\"\ngroup_by: [ip]\nwindow: 10m\nhaving: count() > 2\n", detections.Options{Ahead: ahead})
		for i := range 9 {
			b.at(time.Duration(i)*time.Second, "type", "fp", "ip", "198.51.100.1", "user_name", fmt.Sprint("u", i))
		}
		b.Finish()
		var said []string
		for _, c := range b.changes {
			said = append(said, fmt.Sprintf("%s %d %s", c.Transition, c.Alert.Count, c.Alert.Severity))
		}
		if ahead {
			require.Equal(t, []string{"opened 3 low", "updated 5 high", "updated 8 critical", "resolved 9 critical"}, said)
		} else {
			require.Equal(t, "resolved 9 critical", said[len(said)-1])
		}
	}
}

func TestASeverityThatCouldFallIsRefused(t *testing.T) {
	_, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte("id: r\ntitle: R\nseverity: high\nwhere: type == \"fp\"\nseverity_when:\n" +
		"- {if: count() < 5, severity: critical}\n- {if: count() > 5, severity: low}\n- {if: count() > 5, severity: hgih}\n")}}, nil)
	require.ErrorContains(t, err, "r.yaml:6:16: r.severity_when[0].if: must be a condition that more events can only make truer")
	require.ErrorContains(t, err, "r.severity_when[1].severity: low is not more severe than high")
	require.ErrorContains(t, err, "unknown severity hgih (did you mean high?)")
}
