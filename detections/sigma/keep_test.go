package sigma_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"portcullis/detections"
	"portcullis/detections/sigma"
)

func TestRulesToKeepCarryTestsThatPass(t *testing.T) {
	paths, err := filepath.Glob("../../testdata/sigma/*.yaml")
	require.NoError(t, err)
	rules, fire := 0, 0
	for _, p := range paths {
		data, err := os.ReadFile(p)
		require.NoError(t, err)
		var c conformanceCase
		require.NoError(t, yaml.Unmarshal(data, &c))
		files := []detections.File{{Name: "case.yml", Data: []byte(c.Rules)}}
		for _, text := range c.Files {
			files = append(files, detections.File{Name: "other.yml", Data: []byte(text)})
		}
		result := sigma.Load(files, sigma.Options{Keep: true})
		set, err := detections.Load(result.Files(), nil)
		require.NoError(t, err, p)
		for _, r := range set.Rules {
			rules++
			require.NotEmpty(t, r.Tests, p)
			for _, res := range set.RunTests(r, nil) {
				require.Empty(t, res.Failures, "%s\n%s", p, r.Source())
			}
			if len(r.Tests[0].Alerts) > 0 {
				fire++
			}
		}
	}
	require.Greater(t, fire*100, rules*90, "%d of %d rules have a test that fires", fire, rules)
	t.Logf("%d of %d rules have a test that fires", fire, rules)
}

const leakRule = `title: A password from a list
id: 5f2c0a4e-0000-4000-8000-00000000000a
status: experimental
related:
  - {id: 5f2c0a4e-0000-4000-8000-00000000000b, type: derived}
  - {id: 5f2c0a4e-0000-4000-8000-00000000000c, type: obsoletes}
description: Someone tries a breached password
references: [https://example.com/why]
author: Ann Author, Bob Builder
license: DRL 1.1
date: 2025-03-04
modified: 2025-04-05
tags: [attack.credential_access, attack.t1110.004]
logsource: {product: auth0}
detection:
  sel: {type: pwd_leak, client_id: "{client}"}
  condition: sel
falsepositives: [a user who chose a bad one]
level: critical
`

func TestARuleToKeepTellsWhereItComesFrom(t *testing.T) {
	d := sigma.Load([]detections.File{{Name: "leak.yml", Data: []byte(leakRule)}}, sigma.Options{Keep: true}).Documents[0]
	require.Empty(t, d.Disabled)
	set, err := detections.Load([]detections.File{d.Native}, nil)
	require.NoError(t, err)
	r := set.Rules[0]
	require.Equal(t, "Ann Author, Bob Builder", r.Author)
	require.Equal(t, "DRL 1.1", r.License)
	require.Equal(t, "2025-03-04", r.Date)
	require.Equal(t, "2025-04-05", r.Modified)
	require.Equal(t, []string{"https://example.com/why"}, r.References)
	require.Equal(t, []string{"attack.credential-access", "attack.t1110.004"}, r.Tags)
	require.Equal(t, []string{"a user who chose a bad one"}, r.FalsePositives)
	require.Equal(t, map[string][]string{"derived": {"5f2c0a4e-0000-4000-8000-00000000000b"}, "obsolete": {"5f2c0a4e-0000-4000-8000-00000000000c"}}, r.Related)
	require.Equal(t, detections.Critical, r.Severity)
	require.Equal(t, "Someone tries a breached password", r.Description)
	require.Equal(t, []string{"client"}, d.Params)
	require.Empty(t, set.ProveRule(r).Errors, "a placeholder is left to the tenant")
}

func TestACorrelationToKeepHasWhatItsRulesLendIt(t *testing.T) {
	text := leakRule + `---
title: Many of them
id: 5f2c0a4e-0000-4000-8000-00000000000d
correlation:
  type: event_count
  rules: [5f2c0a4e-0000-4000-8000-00000000000a]
  group-by: [ip]
  timespan: 1h
  condition: {gte: 10}
`
	docs := sigma.Load([]detections.File{{Name: "leak.yml", Data: []byte(text)}}, sigma.Options{Keep: true}).Documents
	require.True(t, docs[0].Used)
	set, err := detections.Load([]detections.File{docs[1].Native}, nil)
	require.NoError(t, err)
	r := set.Rules[0]
	require.Equal(t, "Ann Author, Bob Builder", r.Author)
	require.Equal(t, detections.Critical, r.Severity)
	require.Empty(t, r.Date, "the correlation is not as old as the rule")
	require.Equal(t, 10, r.Tests[0].Alerts[0].Count)
	require.Equal(t, map[string]any{"client": "my-client"}, r.Tests[0].Params)
}

func TestAPlaceholderIsToldWhereItStands(t *testing.T) {
	base := strings.Replace(leakRule, "license", "name: leak\nlicense", 1)
	corr := "title: Many\nlevel: low\ncorrelation: {type: event_count, rules: [leak], timespan: 1h, condition: {gte: 10}}\n"
	docs := sigma.Load([]detections.File{{Name: "corr.yml", Data: []byte(corr)}, {Name: "leak.yml", Data: []byte(base)}}, sigma.Options{}).Documents
	require.Equal(t, "placeholder", docs[0].Disabled[0].Code)
	require.Equal(t, "leak.yml", docs[0].Disabled[0].File)
	require.Contains(t, docs[0].Disabled[0].Hint, "params: {corr-many: {client: …}}")
}
