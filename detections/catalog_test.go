package detections_test

import (
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
