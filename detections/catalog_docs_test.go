package detections_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// publishedRow is a row of the table of published rules: file, id, and ours.
var publishedRow = regexp.MustCompile("(?m)^\\| ([a-z0-9_]+) `([0-9a-f-]{36})` \\| ([^|]+) \\|")

var ruleLink = regexp.MustCompile("\\[`([a-z0-9-]+)`\\]\\(\\.\\./catalog/rules/([a-z0-9-]+)\\.yaml\\)")

func TestTheCatalogsPageTellsOfEveryRuleAndEveryPublishedOne(t *testing.T) {
	data, err := os.ReadFile("../docs/catalog.md")
	require.NoError(t, err)
	page := string(data)
	linked := map[string]bool{}
	for _, m := range ruleLink.FindAllStringSubmatch(page, -1) {
		require.Equal(t, m[1], m[2], "a link leads to the rule that it names")
		linked[m[1]] = true
	}
	set := catalogSet(t)
	ids := set.IDs()
	slices.Sort(ids)
	require.Equal(t, ids, slices.Sorted(maps.Keys(linked)), "the page and the catalog have the same rules")

	derived := map[string][]string{}
	for _, r := range set.Rules {
		for _, id := range r.Related["derived"] {
			derived[id] = append(derived[id], r.ID)
		}
	}
	published := map[string]string{}
	for _, row := range publishedRow.FindAllStringSubmatch(page, -1) {
		published[row[2]] = row[1]
		var ours []string
		for _, m := range ruleLink.FindAllStringSubmatch(row[3], -1) {
			ours = append(ours, m[1])
		}
		require.ElementsMatch(t, derived[row[2]], ours, row[1])
	}
	require.Len(t, published, 33)
	require.Len(t, derived, 33, "no rule derives from what is not published")

	files, err := filepath.Glob("../../shared/data/auth0-catalog/*.yml")
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skip("the published rules are not here")
	}
	found := map[string]string{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		var doc struct {
			ID string `yaml:"id"`
		}
		require.NoError(t, yaml.NewDecoder(strings.NewReader(string(data))).Decode(&doc))
		found[doc.ID] = strings.TrimSuffix(filepath.Base(f), ".yml")
	}
	require.Equal(t, found, published)
}
