package main

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadyMadeStreamsReachTheTenantOfTheirToken(t *testing.T) {
	t.Parallel()
	g := startGuard(t, t.TempDir(), daemonOptions{}, guardTenant{name: "one", sim: quietSim("one")}, guardTenant{name: "two", sim: quietSim("two")})
	splunk := `{"event":` + guardEvent(1, time.Now()) + `,"sourcetype":"auth0"}`
	require.Equal(t, 200, g.post("/services/collector/event", "Splunk hook-two", splunk))
	require.Equal(t, 401, g.post("/services/collector/event", "Splunk hook-three", splunk))
	require.Equal(t, 401, g.post("/logs/one", "Splunk hook-two", splunk), "a tenant's own path takes its own token only")

	datadog := `[{"ddsource":"auth0","message":` + guardEvent(2, time.Now()) + `}]`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.base+"/api/v2/logs", strings.NewReader(datadog))
	require.NoError(t, err)
	req.Header.Set("DD-API-KEY", "hook-one")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "{}", string(body))
	require.EqualValues(t, 1, g.counted("one"))
	require.EqualValues(t, 1, g.counted("two"))
	require.EqualValues(t, 1, g.daemon.shared.Refused())
}

func TestADaemonWhoseTenantsShareATokenDoesNotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := guardConfig(t, dir, "dir: ./data", []guardTenant{{name: "one", sim: quietSim("one")}, {name: "two", sim: quietSim("two")}})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hook-two"), []byte("hook-one\n"), 0o600))
	cfg, content, err := load(file)
	require.NoError(t, err)
	_, err = newDaemon(t.Context(), cfg, content, slog.New(slog.DiscardHandler), daemonOptions{})
	require.ErrorContains(t, err, "webhooks /logs/one and /logs/two take the same token")
	require.NotContains(t, err.Error(), "hook-one")
}
