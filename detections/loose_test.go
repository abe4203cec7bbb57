package detections_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/logstream"
)

func TestLikeComparesAsOtherRuleLanguagesDo(t *testing.T) {
	for _, c := range []struct {
		where string
		want  bool
	}{
		{`like(user_name, "ANN@*")`, true},
		{`like_cased(user_name, "ANN@*")`, false},
		{`like(user_name, "ann@example.co?")`, true},
		{`like(user_name, ["bob", "*example*"])`, true},
		{`like(user_name, "ann")`, false},
		{`like(details.star, "a\\*b")`, true},
		{`like(details.star, "a\\?b")`, false},
		{`like(details.list, "TWO")`, true},
		{`not like(details.list, "three")`, true},
		{`not like(details.gone, "x")`, true},
		{`like(details.gone, "*")`, false},
		{`like(details.n, "5")`, true},
		{`like(details.flag, "FALSE")`, true},
		{`like(details.empty, "")`, true},
		{`not exists(details.gone) && exists(details.empty)`, true},
		{`any(numbers(details.text), # > 41)`, true},
		{`any(texts(details.n), # matches "^5$")`, true},
		{`like(words(details), "two")`, true},
		{`like(details.star, literal("a*b"))`, true},
		{`like("aXb", literal("a*b"))`, false},
		{`minute(date) == 4 && day(date) == 2 && month(date) == 3 && year(date) == 2026 && week(date) == 10`, true},
	} {
		require.Equal(t, c.want, matchesEvent(t, c.where), c.where)
	}
}

func matchesEvent(t *testing.T, where string) bool {
	t.Helper()
	rule := fmt.Sprintf("id: probe\ntitle: probe\nseverity: low\nwhere: '%s'\n", where)
	set, err := detections.Load([]detections.File{{Name: "probe.yaml", Data: []byte(rule)}}, nil)
	require.NoError(t, err, where)
	ev, err := logstream.Decode([]byte(`{"log_id":"1","date":"2026-03-02T12:04:00Z","type":"fp","user_name":"ann@example.com",
		"details":{"star":"a*b","list":["one",["two"]],"n":5,"flag":false,"empty":"","text":"42","deep":{"x":["TWO"]}}}`))
	require.NoError(t, err)
	held := false
	e, err := detections.NewEngine("acme", set, detections.Options{OnChange: func(detections.Change) { held = true }})
	require.NoError(t, err)
	e.Ingest(&ev)
	e.Finish()
	return held
}

func TestPercentilesOfAWindow(t *testing.T) {
	rule := `
id: slow
title: slow
severity: low
where: type == "s"
window: 10m
having: median(details.ms) == 50.5 && percentile(details.ms, 95) == 95 && percentile(details.ms, 100) == 100
tests:
  - name: one to a hundred
    events: ['100 × {type: s, details: {ms: "{i}"}} over 5m']
    alerts: []
`
	set, err := detections.Load([]detections.File{{Name: "slow.yaml", Data: []byte(rule)}}, nil)
	require.NoError(t, err)
	opened := 0
	e, err := detections.NewEngine("acme", set, detections.Options{OnChange: func(c detections.Change) {
		if c.Transition == detections.Opened {
			opened++
		}
	}})
	require.NoError(t, err)
	for i := 1; i <= 100; i++ {
		ev := exampleEvent(`{"log_id":"e%d","date":"2026-03-01T12:00:%02dZ","type":"s","details":{"ms":%d}}`, i, i%60, i)
		e.Ingest(&ev)
	}
	e.Finish()
	require.Equal(t, 1, opened)
}
