package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"portcullis/internal/tenantsim"
)

// scriptTenant is a simulated tenant in the test's own process, so that a
// script can ask what was done to it.
type scriptTenant struct {
	sim *tenantsim.Tenant
}

// tenantPast is how much of a tenant's life is over when a script starts it.
const tenantPast = 10 * time.Minute

// cmdTenant starts a simulated tenant whose last ten minutes hold calm traffic
// and, when asked for, an attack. Its clock then stands still. Each request is a
// line of requests.log. It sets TENANT_URL, TENANT_LOCALHOST (the same by name),
// TENANT_DOMAIN, TENANT_CLIENT and TENANT_SECRET, which is in the file secret too;
// TENANT_USER and TENANT_OTHER are two of its users.
func cmdTenant(ts *testscript.TestScript, neg bool, args []string) {
	s := stateOf(ts)
	if neg || s.tenant != nil {
		ts.Fatalf("usage: tenant [stuffing|sms|suspicious], once")
	}
	sim := tenantsim.New(tenantsim.Options{Speed: -1, Seed: 7, Start: time.Now().Add(-tenantPast), CalmRate: 0.2})
	for _, a := range args {
		kind, ok := attackKinds[a]
		if !ok {
			ts.Fatalf("unknown attack %s", a)
		}
		sim.Attack(tenantsim.Attack{Kind: kind, Start: sim.Now().Add(time.Minute), Duration: tenantPast - 2*time.Minute, Rate: 2})
	}
	sim.Advance(tenantPast)
	f, err := os.OpenFile(ts.MkAbs("requests.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) // scripts empty it
	ts.Check(err)
	requests := &syncFile{f: f}
	handler := sim.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		handler.ServeHTTP(rec, r)
		requests.line(fmt.Sprintf("%s %s %d", r.Method, r.URL, rec.status))
	}))
	s.closers = append(s.closers, func() {
		srv.CloseClientConnections()
		srv.Close()
		f.Close()
	})
	s.tenant = &scriptTenant{sim: sim}
	ts.Setenv("TENANT_URL", srv.URL)
	ts.Setenv("TENANT_LOCALHOST", strings.Replace(srv.URL, "127.0.0.1", "localhost", 1))
	ts.Setenv("TENANT_DOMAIN", sim.Domain())
	ts.Setenv("TENANT_CLIENT", tenantsim.DefaultClientID)
	users := sim.Users(2)
	ts.Setenv("TENANT_USER", users[0])
	ts.Setenv("TENANT_OTHER", users[1])
	ts.Setenv("TENANT_SECRET", tenantsim.DefaultClientSecret)
	ts.Check(os.WriteFile(ts.MkAbs("secret"), []byte(tenantsim.DefaultClientSecret+"\n"), 0o600))
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// cmdInject puts failed logins of one address, each with another name, into the
// tenant's log and lets a minute pass.
func cmdInject(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 2, "inject COUNT IP")
	t := stateOf(ts).tenant
	count, err := strconv.Atoi(args[0])
	ts.Check(err)
	if t == nil {
		ts.Fatalf("no tenant was started")
	}
	for i := range count {
		failed := "fp"
		if count >= 20 && i%2 == 1 {
			failed = "fu" // half of the names of a leaked list do not exist
		}
		t.sim.Inject(map[string]any{"type": failed, "ip": args[1], "user_name": fmt.Sprintf("user%d@example.com", i)})
	}
	t.sim.Advance(time.Minute)
}

// cmdACL has an administrator make a network ACL that blocks addresses.
func cmdACL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: acl PRIORITY DESCRIPTION ADDRESS…")
	}
	priority, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(stateOf(ts).tenant.sim.HumanRequest("POST", "/network-acls", map[string]any{
		"description": args[1], "active": true, "priority": priority,
		"rule": map[string]any{"action": map[string]any{"block": true}, "scope": "authentication", "match": map[string]any{"ipv4_cidrs": args[2:]}},
	}))
}

// cmdWrites compares how many changes the tenant has seen.
func cmdWrites(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 1, "writes COUNT")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	stats := stateOf(ts).tenant.sim.Stats()
	if stats.Writes != want {
		ts.Fatalf("the tenant saw %d changes, expected %d; calls: %v", stats.Writes, want, stats.APICalls)
	}
}

// cmdNobody sets a variable to an address that nobody listens on.
func cmdNobody(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 1, "nobody VARIABLE")
	ln := listenAnywhere(ts)
	ts.Setenv(args[0], ln.Addr().String())
	ts.Check(ln.Close())
}

// cmdBusy sets a variable to an address that is listened on.
func cmdBusy(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 1, "busy VARIABLE")
	ln := listenAnywhere(ts)
	ts.Setenv(args[0], ln.Addr().String())
	ts.Defer(func() { ln.Close() })
}

func listenAnywhere(ts *testscript.TestScript) net.Listener {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	return ln
}
