package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/config"
	"portcullis/internal/tenantsim/labelled"
)

func measured(t *testing.T, o options, lists string) *result {
	t.Helper()
	file := filepath.Join(t.TempDir(), "portcullis.yaml")
	require.NoError(t, os.WriteFile(file, []byte("tenants: [{name: storefront, domain: storefront.eu.auth0.com, client_id: abc, client_secret_env: X}]\nrules: {lists: "+lists+"}\n"), 0o600))
	cfg, err := config.Load(file)
	require.NoError(t, err)
	content, err := config.LoadContent(cfg)
	require.NoError(t, err)
	r, err := measure(t.Context(), content, labelled.New(o.seed, o.users), o, io.Discard)
	require.NoError(t, err)
	return r
}

// mustFind are the attacks of medium intensity that the shipped rules have to find
// in a small tenant.
var mustFind = []string{
	"stuffing from one address", "stuffing from a carrier's address", "stuffing from an office's address",
	"stuffing from many addresses, one fingerprint", "stuffing from many addresses, one user agent", "spraying from one address",
	"signup fraud from one address", "signup fraud with disposable addresses", "signup fraud with a pattern of names",
	"text messages bombard one user", "push fatigue", "refresh tokens stolen", "tenant takeover by an invited owner",
	"tenant takeover, defences lowered", "tenant takeover by a client",
}

func TestTheShippedRulesFindAttacksAndTouchNoBystander(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes under the race detector, and one goroutine")
	}
	// So few users leave a carrier's address unused for hours: the tenant names its networks.
	r := measured(t, options{users: 1000, seed: 2, levels: []labelled.Intensity{labelled.Medium}, workers: 2}, "{shared_networks: [109.40.0.0/14]}")
	for _, h := range r.harmed() {
		t.Errorf("would touch a bystander: %s", h.String())
	}
	found := map[string]bool{}
	for _, a := range r.attacks {
		found[a.name] = len(a.found) > 0
	}
	for _, name := range mustFind {
		require.Contains(t, found, name)
		require.True(t, found[name], "%s is not found", name)
	}
	require.Less(t, len(r.calm.alarms), 12*weekDays, r.report())
}

func TestTheReportFollowsFromTheSeed(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes under the race detector, and one goroutine")
	}
	o := options{users: 500, seed: 3, only: "takeover by", levels: labelled.Intensities, workers: 1}
	one := measured(t, o, "{}").report()
	o.workers = 3
	require.Equal(t, one, measured(t, o, "{}").report())
	require.Contains(t, one, "| tenant takeover by an invited owner | low | 3 |")
}

// A policy that denies whatever address fails, which hits offices and carriers.
const harsh = `id: deny-all
when: alert.rule == "credential-stuffing-ip"
do: [{hold: network-acl, subject: alert.group.ip, for: 1h, reason: it fails}]
`

func TestAPolicyThatHitsAnOfficeIsShownAndFails(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "harsh.yaml"), []byte(harsh), 0o600))
	file := filepath.Join(dir, "portcullis.yaml")
	require.NoError(t, os.WriteFile(file, []byte("tenants: [{name: storefront, domain: storefront.eu.auth0.com, client_id: abc, client_secret_env: X}]\npolicies: {catalog: false, dirs: ["+dir+"/harsh.yaml]}\n"), 0o600))
	var out, msgs bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"--users", "1000", "--only", "spraying from one", "--config", file}, &out, &msgs), msgs.String())
	require.Contains(t, out.String(), "calm week: network-acl (credential-stuffing-ip) on 193.")
	require.Contains(t, msgs.String(), "would have touched a bystander")
}

func TestWrongUsageIsRefused(t *testing.T) {
	for _, args := range [][]string{{"--users", "10"}, {"more"}, {"--workers", "0"}, {"--nothing"}} {
		require.Equal(t, 2, run(t.Context(), args, io.Discard, io.Discard), strings.Join(args, " "))
	}
	require.Equal(t, 1, run(t.Context(), []string{"--config", "nowhere.yaml"}, io.Discard, io.Discard))
}

func TestThePageTakesTheReportBetweenItsMarks(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(page, []byte("before\n"+beginMark+"old\n"+endMark+"after\n"), 0o600))
	require.NoError(t, rewrite(page, "new\n"))
	data, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, "before\n"+beginMark+"new\n"+endMark+"after\n", string(data))
	require.NoError(t, os.WriteFile(page, []byte("no marks\n"), 0o600))
	require.ErrorContains(t, rewrite(page, "new\n"), "has no marks for a report")
	docs, err := os.ReadFile("../../docs/detection-quality.md")
	require.NoError(t, err)
	require.Contains(t, string(docs), beginMark)
}
