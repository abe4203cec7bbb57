package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/responders"
)

var metricName = regexp.MustCompile(`portcullis_[a-z_]+`)

func TestEveryMetricIsDocumentedAndEveryDocumentedOneServed(t *testing.T) {
	t.Parallel()
	down := httptest.NewServer(http.NotFoundHandler())
	defer down.Close()
	dir := t.TempDir()
	file := guardConfig(t, dir, "dir: ./data", []guardTenant{{name: "acme", sim: quietSim("acme"), poll: true}})
	addSlack(t, file, down.URL)
	g := runGuard(t, file, daemonOptions{})
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

// addSlack makes a configuration show incidents in the Slack at a URL.
func addSlack(t *testing.T, file, url string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(file), "bot"), []byte("xoxb-the-bot-token"), 0o600))
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = fmt.Fprintf(f, "slack: {bot_token_file: ./bot, channel: '#oncall', base_url: %s}\n", url)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestWhatSlackDoesNotTakeIsCounted(t *testing.T) {
	t.Parallel()
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer down.Close()
	file := guardConfig(t, t.TempDir(), "dir: ./data", []guardTenant{{name: "acme", sim: quietSim("acme")}})
	addSlack(t, file, down.URL)
	g := runGuard(t, file, daemonOptions{})
	require.NoError(t, g.daemon.slack.Notify(t.Context(), responders.Report{Incident: detections.Incident{ID: "inc-1"}, Transition: "opened"}))
	g.eventually("a request fails", func() bool { return g.daemon.slack.Stats().Logged > 0 })
	text := g.metrics()
	require.Contains(t, text, "\nportcullis_slack_waiting 2\n", "the message and the reply to it")
	require.Regexp(t, `\nportcullis_slack_failures_total [1-9]`, text)
	require.Contains(t, text, "\nportcullis_slack_logged_total 1\n")
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
