package detections_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/catalog"
	"portcullis/detections"
)

func catalogSet(t *testing.T) *detections.RuleSet {
	t.Helper()
	lists, err := detections.ReadLists(catalog.FS, "lists")
	require.NoError(t, err)
	files, err := detections.ReadDir(catalog.FS, "rules", "catalog/")
	require.NoError(t, err)
	set, err := detections.Load(files, lists)
	require.NoError(t, err)
	return set
}

func TestCatalogRulesPassTheirOwnTests(t *testing.T) {
	set := catalogSet(t)
	for _, r := range set.Rules {
		fires, silent := false, false
		for i, res := range set.RunTests(r, catalog.FS) {
			fires = fires || len(r.Tests[i].Alerts) > 0
			silent = silent || len(r.Tests[i].Alerts) == 0
			t.Run(r.ID+"/"+res.Name, func(t *testing.T) { require.Empty(t, res.Failures) })
		}
		require.True(t, fires, "%s has no test that fires", r.ID)
		require.True(t, silent, "%s has no test that stays silent", r.ID)
	}
}

func TestNothingIsProvedAgainstTheCatalog(t *testing.T) {
	proof := catalogSet(t).Prove()
	require.Empty(t, proof.Errors)
	require.Empty(t, proof.Warnings)
}

var tactic = regexp.MustCompile(`^attack\.([a-z]+(-[a-z]+)*|t\d{4}(\.\d{3})?)$`)

func TestEveryCatalogRuleSaysWhatAPersonNeeds(t *testing.T) {
	set := catalogSet(t)
	for _, r := range set.Rules {
		require.NotEmpty(t, r.Description, r.ID)
		require.NotEmpty(t, r.SeverityReason, r.ID)
		require.NotEmpty(t, r.FalsePositives, r.ID)
		require.NotEmpty(t, r.Runbook, r.ID)
		require.NotEmpty(t, r.Tags, r.ID)
		require.Equal(t, "catalog/rules/"+r.ID+".yaml", r.File(), "a rule stands in the file of its name")
		for _, tag := range r.Tags {
			require.Regexp(t, tactic, tag, r.ID)
		}
		for name, p := range r.Params {
			require.NotEmpty(t, p.Doc, "%s.%s", r.ID, name)
			_, isNumber := p.Default.(int)
			require.Equal(t, isNumber, p.Min != nil, "%s.%s: a number has a least value, nothing else has", r.ID, name)
		}
		require.NotEmpty(t, set.LogTypes(r), "%s: its event types are known", r.ID)
		require.NotEmpty(t, set.StreamCategories(r), "%s: its stream categories are known", r.ID)
	}
}
