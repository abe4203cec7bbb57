package detections_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/logstream"
)

// study makes a study of events, given as the bursts of a rule's test are.
func study(t *testing.T, rules string, events ...map[string]any) *detections.Study {
	t.Helper()
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(rules)}}, nil)
	require.NoError(t, err)
	return &detections.Study{Tenant: "acme", Rules: set, History: func(_ context.Context, visit func(*logstream.Event) error) error {
		for i, fields := range events {
			second, _ := fields["second"].(int)
			ev := eventAt(t, fields, second, i)
			if err := visit(&ev); err != nil {
				return err
			}
		}
		return nil
	}}
}

const explained = `
id: stuffing
title: Stuffing
severity: high
params: {failures: {default: 3, doc: failed logins}}
where: type == "fp" && user_name != "monitor"
group_by: [ip]
window: 10m
having: count() > params.failures && (distinct(user_name) >= 3 || count(is_mobile) > 9)
---
id: steps
title: Steps
severity: high
group_by: [ip]
steps: [{name: one, where: type == "a"}, {name: two, where: type == "b"}]
within: 10m
---
id: new
title: New
severity: low
where: type == "s"
value: user_agent
per: [user_id]
learn: 1m
---
id: setting
title: Setting
severity: low
where: type == "sapi"
value: details.on
when: now == false && was == true
`

func burst(n, from int, kind string, pairs ...string) (out []map[string]any) {
	for i := range n {
		f := map[string]any{"type": kind, "ip": "198.51.100.1", "second": from + i}
		for k := 0; k+1 < len(pairs); k += 2 {
			f[pairs[k]] = pairs[k+1]
		}
		if f["user_name"] == nil {
			f["user_name"] = string(rune('a' + i%4))
		}
		out = append(out, f)
	}
	return out
}

func TestAnAlertIsExplainedByTheNumbersAtTheMomentItOpened(t *testing.T) {
	s := study(t, explained, burst(9, 0, "fp")...)
	s.Params = map[string]map[string]any{"stuffing": {"failures": 5}}
	x, err := s.Explain(t.Context(), detections.AlertRef{Rule: "stuffing"})
	require.NoError(t, err)
	require.Equal(t, 9, x.Alert.Count)
	require.Len(t, x.Events, 9)
	require.Equal(t, []detections.ParamInForce{{Name: "failures", Value: 5, Default: 3, Doc: "failed logins"}}, x.Params)
	require.Equal(t, oracleBase.Add(5*time.Second), x.Opened.At)
	require.Equal(t, []detections.ClauseNumbers{
		{Text: "count() > params.failures", Holds: true, Value: 6.0, Operator: ">", Threshold: 5.0},
		{Text: "distinct(user_name) >= 3", Holds: true, Value: 4.0, Operator: ">=", Threshold: 3.0},
		{Text: "count(is_mobile) > 9", Value: 0.0, Operator: ">", Threshold: 9.0},
	}, floats(x.Opened.Clauses))

	byID, err := s.Explain(t.Context(), detections.AlertRef{ID: x.Alert.ID[:8]})
	require.NoError(t, err)
	floats(byID.Opened.Clauses)
	require.Equal(t, x, byID)

	_, err = s.Explain(t.Context(), detections.AlertRef{ID: "al_none"})
	require.ErrorIs(t, err, detections.ErrNoAlert)
	_, err = s.Explain(t.Context(), detections.AlertRef{Rule: "stufing"})
	require.ErrorContains(t, err, "did you mean stuffing?")
}

// floats makes the numbers of clauses comparable whatever their type.
func floats(list []detections.ClauseNumbers) []detections.ClauseNumbers {
	float := func(v any) any {
		if n, ok := v.(int); ok {
			return float64(n)
		}
		return v
	}
	for i := range list {
		list[i].Value, list[i].Threshold = float(list[i].Value), float(list[i].Threshold)
	}
	return list
}

func TestASilenceIsExplainedByTheClauseThatFailed(t *testing.T) {
	events := burst(3, 0, "fp")
	events = append(events, burst(2, 10, "fp", "user_name", "monitor")...)
	events = append(events, burst(1, 20, "s")...)
	s := study(t, explained, append(events, burst(1, 2000, "x")...)...)
	at := oracleBase.Add(30 * time.Second)
	x, err := s.WhyNot(t.Context(), "stuffing", map[string]string{"ip": "198.51.100.1"}, at)
	require.NoError(t, err)
	require.Nil(t, x.Open)
	require.Equal(t, 3, x.Counted)
	require.Equal(t, map[string]int{`user_name != "monitor"`: 2, `type == "fp"`: 1}, x.Left)
	require.Equal(t, x.Latest, x.Best)
	require.InDelta(t, 1, x.Best.Ratio, 0.01, "three are not more than three")
	require.False(t, x.Best.Held)
	require.Equal(t, detections.ClauseNumbers{Text: "count() > params.failures", Value: 3.0, Operator: ">", Threshold: 3.0}, floats(x.Best.Clauses)[0])

	_, err = s.WhyNot(t.Context(), "stuffing", map[string]string{"user": "x"}, at)
	require.ErrorContains(t, err, "rule stuffing has no key user")
	_, err = s.WhyNot(t.Context(), "stuffing", nil, at)
	require.ErrorContains(t, err, "a value for ip is missing")
}

func TestWhyNotNamesTheExceptionThatKeptTheAlert(t *testing.T) {
	const exceptions = `
---
exceptions:
  - {rule: stuffing, where: 'ip == "198.51.100.1"', owner: ann@example.com, reason: a load test, expires: 2026-03-02}
  - {rule: stuffing, where: 'user_name == "b"', owner: bob@example.com, reason: a robot, expires: 2026-03-03}
  - {rule: stuffing, where: 'user_name == "c"', owner: eve@example.com, reason: over by then, expires: 2026-02-01}
`
	group := map[string]string{"ip": "198.51.100.1"}
	s := study(t, explained+exceptions, burst(12, 0, "fp")...)
	x, err := s.WhyNot(t.Context(), "stuffing", group, oracleBase.Add(time.Minute))
	require.NoError(t, err)
	require.Nil(t, x.Open)
	require.NotNil(t, x.Swallowed)
	require.Equal(t, 9, x.Swallowed.Count)
	require.Equal(t, 9, x.Counted)
	require.Equal(t, map[string]int{"an exception of bob@example.com": 3}, x.Left)
	require.Equal(t, []detections.Exempted{
		{Rule: "stuffing", Where: `user_name == "b"`, Owner: "bob@example.com", Reason: "a robot", Expires: "2026-03-03", Place: "r.yaml:36", Events: 3},
		{Rule: "stuffing", Where: `ip == "198.51.100.1"`, Owner: "ann@example.com", Reason: "a load test", Expires: "2026-03-02", Place: "r.yaml:35", Alerts: 1},
	}, x.Exceptions)

	// Without those of the first file nothing is in the way, and nothing is said.
	x, err = study(t, explained, burst(12, 0, "fp")...).WhyNot(t.Context(), "stuffing", group, oracleBase.Add(time.Minute))
	require.NoError(t, err)
	require.NotNil(t, x.Open)
	require.Empty(t, x.Exceptions)
}

func TestWhyNotOfARuleOnSignalsSeesTheSignals(t *testing.T) {
	const wave = `
---
id: wave
title: Wave
severity: high
on: signals
where: rule == "stuffing" && severity == "high"
window: 1h
having: count() >= 2
`
	s := study(t, explained+wave, burst(12, 0, "fp")...)
	x, err := s.WhyNot(t.Context(), "wave", nil, oracleBase.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, 1, x.Counted)
	require.Len(t, x.Events, 1)
	require.InDelta(t, 0.5, x.Best.Ratio, 0.01)
}

func TestWhyNotSaysThatTheAlertWasOpenAfterAll(t *testing.T) {
	s := study(t, explained, burst(9, 0, "fp")...)
	x, err := s.WhyNot(t.Context(), "stuffing", map[string]string{"ip": "198.51.100.1"}, oracleBase.Add(time.Minute))
	require.NoError(t, err)
	require.NotNil(t, x.Open)
	require.Equal(t, 9, x.Open.Count)
}

func TestEveryKindSaysWhatItKnew(t *testing.T) {
	fact := func(facts []detections.Fact, name string) string {
		for _, f := range facts {
			if f.Name == name {
				return f.Value
			}
		}
		return ""
	}
	s := study(t, explained, append(burst(1, 0, "a"), burst(1, 400, "x")...)...)
	x, err := s.WhyNot(t.Context(), "steps", map[string]string{"ip": "198.51.100.1"}, oracleBase.Add(500*time.Second))
	require.NoError(t, err)
	require.Equal(t, "1 of 2", fact(x.Facts, "steps"))
	require.Contains(t, fact(x.Facts, "waits for"), "two, 0 of 1, until 2026-03-01T12:10:00Z")

	s = study(t, explained,
		map[string]any{"type": "s", "user_id": "u", "user_agent": "one", "second": 0},
		map[string]any{"type": "s", "user_id": "u", "user_agent": "two", "second": 300},
		map[string]any{"type": "sapi", "details": map[string]any{"on": true}, "second": 400},
		map[string]any{"type": "sapi", "details": map[string]any{"on": false}, "second": 500})
	y, err := s.Explain(t.Context(), detections.AlertRef{Rule: "new"})
	require.NoError(t, err)
	require.Equal(t, "1 values, the latest one", fact(y.Facts, "known"))
	z, err := s.Explain(t.Context(), detections.AlertRef{Rule: "setting"})
	require.NoError(t, err)
	require.Equal(t, []detections.ClauseNumbers{
		{Text: "now == false", Holds: true, Value: false, Operator: "==", Threshold: false}, {Text: "was == true", Holds: true, Value: true, Operator: "==", Threshold: true},
	}, z.Opened.Clauses)
}
