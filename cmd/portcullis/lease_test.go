package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/faultnet"
	"portcullis/internal/journal"
)

// natsServer is a server of its own for the test, outside of any daemon.
func natsServer(t *testing.T) string {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()})
	require.NoError(t, err)
	go srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(10*time.Second))
	return srv.Addr().String()
}

// couple is two daemons for one tenant on one NATS server, of which the first
// reaches it by a way that can be cut.
func couple(t *testing.T, lease journal.LeaseOptions) (first, second *guard, way *faultnet.Way) {
	t.Helper()
	address := natsServer(t)
	way = faultnet.New(t, address)
	tenants := []guardTenant{{name: "acme", sim: quietSim("acme"), mode: "enforce"}}
	opts := daemonOptions{lease: lease}
	first = runGuard(t, guardConfig(t, t.TempDir(), "nats: nats://"+way.Addr, tenants), opts)
	second = launchGuard(t, guardConfig(t, t.TempDir(), "nats: nats://"+address, tenants), opts)
	second.eventually("it stands by", func() bool { return second.tenant("acme").standby.Load() != nil })
	return first, second, way
}

// writes sends a change to the tenant as a control would.
func (g *guard) writes(name string) error {
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPatch, g.tenant(name).api.BaseURL()+"/api/v2/attack-protection/bot-detection", strings.NewReader("{}"))
	require.NoError(g.t, err)
	resp, err := g.tenant(name).api.HTTPClient().Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// failures are failed logins of one address, of which two calls give the same.
func failures(from, n int) string {
	var b strings.Builder
	for i := range n {
		at := leaseTestStart.Add(time.Duration(from+i) * time.Millisecond)
		b.WriteString(strings.NewReplacer(`"s"`, `"fp"`, "a@", fmt.Sprintf("u%d@", i)).Replace(guardEvent(from+i, at)) + "\n")
	}
	return b.String()
}

var leaseTestStart = time.Now()

func TestASecondDaemonOnAClusterStandsByAndTakesOverAtOnceWhenTheFirstStops(t *testing.T) {
	t.Parallel()
	first, second, _ := couple(t, journal.LeaseOptions{TTL: 40 * time.Second, Margin: 5 * time.Second, Every: 20 * time.Millisecond})
	require.Equal(t, 200, first.post("/logs/acme", "hook-acme", failures(0, 60)))
	first.eventually("its alert is open", func() bool { return strings.Contains(first.metrics(), `open_alerts{tenant="acme"} 1`) })
	require.NoError(t, first.writes("acme"))

	require.Equal(t, http.StatusServiceUnavailable, second.events("acme", 100, 1), "Auth0 keeps what the wrong one is sent")
	require.ErrorIs(t, second.writes("acme"), auth0.ErrReadOnly)
	require.ErrorContains(t, second.daemon.notReady(), "acme (standby: ")
	require.Contains(t, second.health("acme").Reasons[0], "standby: ask ")
	require.Contains(t, second.metrics(), `portcullis_tenant_standby{tenant="acme"} 1`)

	first.stopped()
	second.eventually("it takes over", func() bool { return second.daemon.notReady() == nil })
	require.NoError(t, second.writes("acme"))
	require.Equal(t, 200, second.post("/logs/acme", "hook-acme", failures(0, 70)))
	require.EqualValues(t, 70, second.counted("acme"), "the first sixty it knows")
	second.eventually("the alert goes on", func() bool { return strings.Contains(second.metrics(), `open_alerts{tenant="acme"} 1`) })
	require.Equal(t, first.daemon.tenants[0].instance, second.daemon.tenants[0].instance, "both are one installation")
	opened := 0
	require.NoError(t, second.daemon.journal.ReadDeeds(t.Context(), "acme", func(_ uint64, _ time.Time, doc json.RawMessage) error {
		if bytes.Contains(doc, []byte(`"transition":"opened"`)) && bytes.Contains(doc, []byte(`"rule":"credential-stuffing-ip"`)) {
			opened++
		}
		return nil
	}))
	require.Equal(t, 1, opened)
}

func TestADaemonThatLosesTheClusterStopsBeforeAnotherTakesOver(t *testing.T) {
	t.Parallel()
	first, second, way := couple(t, journal.LeaseOptions{TTL: 9 * time.Second, Margin: 2 * time.Second, Every: 300 * time.Millisecond})
	require.Equal(t, 200, first.post("/logs/acme", "hook-acme", failures(0, 10)))
	way.Cut()
	first.eventually("it knows that it may not go on", func() bool { return first.tenant("acme").lease.Held() != nil })
	require.Error(t, second.tenant("acme").lease.Held(), "neither has it for a while")
	require.ErrorIs(t, first.writes("acme"), auth0.ErrReadOnly)
	second.eventually("it takes over", func() bool { return second.daemon.notReady() == nil })
	require.Equal(t, 200, second.post("/logs/acme", "hook-acme", failures(5, 10)))
	require.EqualValues(t, 15, second.counted("acme"), "nothing of the first is lost, and nothing counts twice")

	way.Mend()
	first.eventually("back again it stands by", func() bool { return first.tenant("acme").standby.Load() != nil })
	require.ErrorIs(t, first.writes("acme"), auth0.ErrReadOnly)
	require.NoError(t, second.tenant("acme").lease.Held())
	require.Equal(t, http.StatusServiceUnavailable, first.events("acme", 20, 1))
}
