package detections_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/catalog"
	"portcullis/detections"
)

// covered lists the clauses of a rule with what its tests made of them.
func covered(t *testing.T, keys ...string) []string {
	t.Helper()
	set := load(t, rule(keys...))
	results, c := set.RunTestsCovering(set.Rules[0], nil)
	for _, r := range results {
		require.Empty(t, r.Failures, r.Name)
	}
	var out []string
	for _, cl := range c.Parts {
		out = append(out, fmt.Sprintf("%d:%d %s: %s held=%v failed=%v", cl.Line, cl.Col, cl.Key, cl.Text, cl.Held, cl.Failed))
	}
	return out
}

func TestCoverageTellsWhatEachClauseWasInTheTests(t *testing.T) {
	require.Equal(t, []string{
		`4:9 where: type == "fp" held=true failed=true`,
		`4:30 where: ip == "192.0.2.1" held=true failed=true`,
		`4:51 where: user_name == "ann" held=false failed=true`,
		`7:10 having: count() > 2 held=true failed=true`,
		`7:25 having: distinct(user_name) > 1 held=true failed=true`,
	}, covered(t, `where: 'type == "fp" && not (ip == "192.0.2.1" || user_name == "ann")'`, "group_by: [ip]", "window: 1h",
		"having: 'count() > 2 && distinct(user_name) > 1'", "tests:",
		"- {name: a, events: ['4 x {type: fp, ip: 192.0.2.2, user_name: \"u{i}\"} over 1m', {type: s, ip: 192.0.2.1}], alerts: [{count: 4}]}"))
}

func TestAClauseThatTheTestsNeverMakeFalseIsTold(t *testing.T) {
	require.Equal(t, []string{`4:9 where: type == "fp" held=true failed=false`},
		covered(t, `where: 'type == "fp"'`, "tests:", "- {name: a, events: [{type: fp}], alerts: [{}]}"))
	require.Equal(t, []string{`4:9 where: type == "fp" held=false failed=false`}, covered(t, `where: 'type == "fp"'`), "no test at all")
}

func TestCoverageKnowsStepsThatCompareWithEarlierOnes(t *testing.T) {
	require.Equal(t, []string{
		`5:21 steps[0].where: type == "limit_wc" held=true failed=true`,
		`6:21 steps[1].where: type == "s" held=true failed=true`,
		`6:36 steps[1].where: user_name == a.user_name held=true failed=true`,
	}, covered(t, "steps:", `- {name: a, where: 'type == "limit_wc"'}`, `- {name: b, where: 'type == "s" && user_name == a.user_name'}`, "group_by: [ip]", "within: 1h", "tests:",
		"- {name: a, events: [{type: limit_wc, ip: 192.0.2.1, user_name: ann}, {type: s, ip: 192.0.2.1, user_name: bob}, {type: s, ip: 192.0.2.1, user_name: ann}], alerts: [{}]}"))
}

func TestCoverageChangesNoResultOfATest(t *testing.T) {
	page, err := os.ReadFile("../docs/rules.md")
	require.NoError(t, err)
	lists, err := detections.ReadLists(catalog.FS, "lists")
	require.NoError(t, err)
	var files []detections.File
	for i, text := range yamlBlocks(string(page)) {
		files = append(files, detections.File{Name: fmt.Sprintf("block-%d.yaml", i+1), Data: []byte(text)})
	}
	set, err := detections.Load(files, lists)
	require.NoError(t, err)
	for _, r := range set.Rules {
		results, c := set.RunTestsCovering(r, nil)
		require.Equal(t, set.RunTests(r, nil), results)
		require.NotEmpty(t, c.Parts, r.ID)
	}
	set = catalogSet(t)
	for _, r := range set.Rules {
		results, _ := set.RunTestsCovering(r, catalog.FS)
		require.Equal(t, set.RunTests(r, catalog.FS), results)
	}
}

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
	require.Equal(t, []string{`r.yaml:5:8: where: type == "fp" never failed`, `r.yaml:5:25: where: ip != "192.0.2.1" never failed`, "r.yaml:5:46: where: is_mobile never held"}, many.Missing())
	require.Equal(t, 70, many.Percent())
	steps := cover("steps")
	require.Equal(t, []string{`r.yaml:18:73: steps[1].where: user_name == a.user_name never failed`}, steps.Missing())
	setting := cover("setting")
	require.Empty(t, setting.Missing())
	require.Equal(t, 100, setting.Percent())
	untested := cover("untested")
	require.Zero(t, untested.Percent())
	require.Len(t, untested.Missing(), 2)
}

func TestCoverageAsksForNoSignalThatCannotReachARule(t *testing.T) {
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(`
{id: one, title: One, severity: low, where: type == "fp", group_by: [ip]}
---
id: both
title: Both
severity: low
on: signals
where: rule == "one" && count > 1
tests:
  - {name: one, events: [{type: fp, ip: 192.0.2.1}], alerts: []}
`)}}, nil)
	require.NoError(t, err)
	_, c := set.RunTestsCovering(set.Rule("both"), nil)
	require.Equal(t, []string{"r.yaml:8:25: where: count > 1 never held"}, c.Missing())
}
