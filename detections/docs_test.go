package detections_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"portcullis/catalog"
	"portcullis/detections"
)

// yamlBlocks returns the blocks of a page that are marked as YAML.
func yamlBlocks(page string) (blocks []string) {
	for i, part := range strings.Split(page, "\n```") {
		if text, isYAML := strings.CutPrefix(part, "yaml\n"); isYAML && i%2 == 1 {
			blocks = append(blocks, text)
		}
	}
	return blocks
}

func TestTheRulesInTheDocumentationDoWhatItSays(t *testing.T) {
	page, err := os.ReadFile("../docs/rules.md")
	require.NoError(t, err)
	lists, err := detections.ReadLists(catalog.FS, "lists")
	require.NoError(t, err)
	blocks := yamlBlocks(string(page))
	require.Greater(t, len(blocks), 9)
	var files []detections.File
	for i, text := range blocks {
		files = append(files, detections.File{Name: fmt.Sprintf("block-%d.yaml", i+1), Data: []byte(text)})
	}
	set, err := detections.Load(files, lists) // together, as some read each other's signals
	require.NoError(t, err)
	proof := set.Prove()
	require.Empty(t, proof.Errors)
	require.Empty(t, proof.Warnings)
	for _, r := range set.Rules {
		for _, res := range set.RunTests(r, fstest.MapFS{}) {
			t.Run(r.ID+"/"+res.Name, func(t *testing.T) { require.Empty(t, res.Failures) })
		}
	}
}

func TestEveryFunctionIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/rules.md")
	require.NoError(t, err)
	for _, f := range detections.Functions() {
		require.Contains(t, string(page), functionRow(f))
	}
}

// functionRow is a function's line in the table of the documentation.
func functionRow(f detections.Function) string {
	quoted := func(code string) string { return "`" + strings.ReplaceAll(code, "|", `\|`) + "`" }
	return fmt.Sprintf("| %s | %s | %s |", quoted(f.Signature), f.Meaning, quoted(f.Example))
}
