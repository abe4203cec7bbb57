package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/journal"
	"portcullis/internal/tenantsim"
	"portcullis/responders/hold"
)

func TestWhoLoggedInIsRememberedOverAStopAndALostSnapshot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := guardConfig(t, dir, "dir: ./data", []guardTenant{{name: "acme", sim: quietSim("acme")}})
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	listed := strings.Replace(string(text), "    logs:\n", "    never_touch: {users: ['auth0|boss'], clients: [billing]}\n    logs:\n", 1)
	require.NoError(t, os.WriteFile(file, []byte(listed), 0o600))

	now, n := time.Now(), 0
	event := func(typ, members string) string {
		n++
		return fmt.Sprintf(`{"log_id":"900%s%039d","data":{"type":"%s","date":"%s",%s}}`+"\n", now.UTC().Format("20060102150405"), n, typ, now.UTC().Format(time.RFC3339), members)
	}
	g := runGuard(t, file, daemonOptions{})
	acme := g.tenant("acme")
	sapi := `"ip":"%s","client_id":"%s","references":{"correlation_id":"%s"},"details":{"request":{"method":"patch","path":"/api/v2/attack-protection/bot-detection"}}`
	ours := opPrefix + acme.instance + "-1-1"
	events := event("s", `"ip":"198.51.100.7","user_id":"auth0|boss","security_context":{"ja4":"t13d1516h2_8daaf6152771_b186095e22b6"}`) +
		event("seccft", `"ip":"198.51.100.8","client_id":"billing"`) +
		event("s", `"ip":"198.51.100.9","user_id":"auth0|somebody"`) +
		event("fp", `"ip":"198.51.100.10","user_id":"auth0|boss"`) +
		event("sapi", fmt.Sprintf(sapi, "192.0.2.5", tenantsim.DefaultClientID, ours)) +
		event("sapi", fmt.Sprintf(sapi, "192.0.2.6", "another client", ours)) +
		event("sapi", fmt.Sprintf(sapi, "192.0.2.7", tenantsim.DefaultClientID, "somebody else's")) +
		event("acls_summary", `"details":{"stats":"none"}`)
	require.Equal(t, 200, g.post("/logs/acme", "hook-acme", events))
	require.Contains(t, g.log.String(), "what network ACLs matched is not readable")

	check := func(g *guard) {
		t.Helper()
		acls := g.tenant("acme").people.acls.Load()
		doubt := func(subject string) string {
			return acls.Doubt(&hold.Hold{Subject: subject, Entry: hold.Entry{Volume: 40}})
		}
		for _, subject := range []string{"198.51.100.7", "198.51.100.8", "ja4:t13d1516h2_8daaf6152771_b186095e22b6"} {
			require.Contains(t, doubt(subject), "somebody on the never-touch list logged in with "+subject)
		}
		require.Empty(t, doubt("198.51.100.9"), "anybody")
		require.Empty(t, doubt("198.51.100.10"), "a login that failed may be anybody's")
		require.Equal(t, []netip.Addr{netip.MustParseAddr("192.0.2.5")}, g.tenant("acme").people.healthy.Own())
	}
	check(g)
	g.stopped()

	g = runGuard(t, file, daemonOptions{})
	check(g)
	g.stopped()

	j, err := journal.Open(t.Context(), journal.Options{Dir: filepath.Join(dir, "data")})
	require.NoError(t, err)
	require.NoError(t, j.PutSnapshot(t.Context(), "tenant/acme", strings.NewReader("garbage")))
	require.NoError(t, j.Close())
	g = runGuard(t, file, daemonOptions{})
	check(g)
}
