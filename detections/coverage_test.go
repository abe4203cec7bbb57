package detections_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

func TestCoverageTellsWhatNoTestSaw(t *testing.T) {
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(`
id: many
title: Many
severity: low
where: type == "fp" && (ip != "192.0.2.1" || is_mobile)
group_by: [ip]
window: 10m
having: count() > 2 && distinct(user_name) >= 2
tests:
  - name: three
    events: ['3 × {type: fp, ip: 198.51.100.1, user_name: "u{i}"} over 1m']
    alerts: [{}]
---
id: steps
title: Steps
severity: low
group_by: [ip]
steps: [{name: a, where: type == "fp"}, {name: b, where: type == "s" && user_name == a.user_name}]
within: 10m
tests:
  - name: one after the other
    events: [{type: fp, ip: 198.51.100.1, user_name: u}, {type: s, ip: 198.51.100.1, user_name: u}]
    alerts: [{}]
---
id: setting
title: Setting
severity: low
where: type == "sapi"
value: details.on
when: now == false
tests:
  - name: off
    events: [{type: sapi, details: {on: true}}, {type: sapi, details: {on: false}}, {type: s}]
    alerts: [{}]
---
id: untested
title: Untested
severity: low
where: type == "x"
`)}}, nil)
	require.NoError(t, err)
	cover := func(id string) detections.Coverage {
		results, c := set.RunTestsCovering(set.Rule(id), nil)
		for _, res := range results {
			require.Empty(t, res.Failures)
		}
		return c
	}
	many := cover("many")
	require.Equal(t, []string{`where: type == "fp" never failed`, `where: ip != "192.0.2.1" never failed`, "where: is_mobile never held"}, many.Missing())
	require.Equal(t, 70, many.Percent())
	steps := cover("steps")
	require.Empty(t, steps.Missing())
	setting := cover("setting")
	require.Empty(t, setting.Missing())
	require.Equal(t, 100, setting.Percent())
	untested := cover("untested")
	require.Zero(t, untested.Percent())
	require.Len(t, untested.Missing(), 2)
}
