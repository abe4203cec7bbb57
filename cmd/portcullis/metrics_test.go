package main

import (
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var metricName = regexp.MustCompile(`portcullis_[a-z_]+`)

func TestEveryMetricIsDocumentedAndEveryDocumentedOneServed(t *testing.T) {
	t.Parallel()
	g := startGuard(t, t.TempDir(), daemonOptions{}, guardTenant{name: "acme", sim: quietSim("acme"), poll: true})
	require.Equal(t, 200, g.events("acme", 1, 1))
	g.eventually("the counts are published", func() bool {
		s := g.tenant("acme").current.Load().stats.Load()
		return s != nil && !s.Watermark.IsZero()
	})
	served := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^portcullis_.*`).FindAllString(g.metrics(), -1) {
		served[metricName.FindString(line)] = true
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	require.NoError(t, err)
	documented := map[string]bool{}
	for _, name := range metricName.FindAllString(string(doc), -1) {
		documented[name] = true
	}
	require.Equal(t, slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(served)))
}

// metrics is what /metrics serves to the administrator.
func (g *guard) metrics() string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.base+"/metrics", nil)
	require.NoError(g.t, err)
	req.Header.Set("Authorization", "Bearer the-admin-token")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(g.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(g.t, err)
	require.Equal(g.t, 200, resp.StatusCode, string(body))
	return string(body)
}
