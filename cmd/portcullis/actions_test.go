package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
)

func TestPreparingWithoutAScopeIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	sim := tenantsim.New(tenantsim.Options{CalmRate: -1, Scopes: []string{"read:logs", "read:actions", "update:actions"}})
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	file := filepath.Join(dir, "portcullis.yaml")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte(tenantsim.DefaultClientSecret), 0o600))
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
store: {dir: ./data}
tenants:
  - {name: acme, domain: %s, base_url: %s, client_id: %s, client_secret_file: ./secret, mode: enforce}
`, sim.Domain(), srv.URL, tenantsim.DefaultClientID), 0o600))
	var out, errs strings.Builder
	std := stdio{strings.NewReader(""), &out, &errs}
	require.Equal(t, exitFailed, run(t.Context(), []string{"actions", "prepare", "--config", file}, std))
	require.Empty(t, out.String())
	require.Equal(t, "portcullis: tenant acme: the application "+tenantsim.DefaultClientID+" lacks create:actions\n"+
		"hint: grant it on the Management API in the tenant's dashboard, then run this again\n", errs.String())
	require.Equal(t, exitOK, run(t.Context(), []string{"actions", "prepare", "--dry-run", "--config", file}, std), "looking needs less")
	require.Zero(t, sim.Stats().Writes)
}
