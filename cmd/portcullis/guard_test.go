package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
	"portcullis/responders"
)

// guardTenant is one tenant of a guard: what it simulates and how events come.
type guardTenant struct {
	name   string
	sim    *tenantsim.Tenant
	secret string // of the application; the right one if empty
	poll   bool   // also by poll, from the beginning
	mode   string // observe if empty
	limits string // of the webhook: more keys, each behind a comma
}

// guard is a daemon in the test's own process. Every tenant has a webhook at
// /logs/NAME with the token hook-NAME.
type guard struct {
	t       *testing.T
	dir     string
	daemon  *daemon
	base    string
	log     *lockedText
	stopped func() // stops it and waits; more than once does no harm
}

// lockedText is a log that is read while it is written.
type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// quietSim is a tenant in which nothing happens by itself.
func quietSim(name string) *tenantsim.Tenant {
	return tenantsim.New(tenantsim.Options{Domain: name + ".eu.auth0.com", Speed: -1, CalmRate: -1, RateBurst: -1})
}

// guardConfig writes a configuration for the tenants into dir and returns its path.
func guardConfig(t *testing.T, dir, store string, tenants []guardTenant) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("store: {" + store + "}\nhttp: {listen: \"127.0.0.1:0\", token_file: ./admin}\ntenants:\n")
	files := map[string]string{"admin": "the-admin-token"}
	for _, gt := range tenants {
		srv := httptest.NewServer(gt.sim.Handler())
		t.Cleanup(srv.Close)
		files["secret-"+gt.name], files["hook-"+gt.name] = tenantsim.DefaultClientSecret, "hook-"+gt.name
		if gt.secret != "" {
			files["secret-"+gt.name] = gt.secret
		}
		mode := ""
		if gt.mode != "" {
			mode = "    mode: " + gt.mode + "\n"
		}
		fmt.Fprintf(&b, "  - name: %s\n    domain: %s\n    base_url: %s\n    client_id: %s\n    client_secret_file: ./secret-%[1]s\n%[6]s    logs:\n      webhook: {path: /logs/%[1]s, token_file: ./hook-%[1]s%[5]s}\n",
			gt.name, gt.sim.Domain(), srv.URL, tenantsim.DefaultClientID, gt.limits, mode)
		if gt.poll {
			b.WriteString("      poll: {start: beginning}\n")
		}
	}
	b.WriteString("rules:\n  exceptions:\n    - {rule: '*', where: user_name == 'nobody at all', owner: ann, reason: a test, expires: 2099-01-01}\n")
	files["portcullis.yaml"] = b.String()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return filepath.Join(dir, "portcullis.yaml")
}

// startGuard runs a daemon for the tenants until the test ends.
func startGuard(t *testing.T, dir string, opts daemonOptions, tenants ...guardTenant) *guard {
	t.Helper()
	return runGuard(t, guardConfig(t, dir, "dir: ./data", tenants), opts)
}

func runGuard(t *testing.T, file string, opts daemonOptions) *guard {
	t.Helper()
	g := launchGuard(t, file, opts)
	g.eventually("every tenant is guarded", func() bool { return g.daemon.notReady() == nil })
	return g
}

// launchGuard is runGuard for a daemon that need not guard yet.
func launchGuard(t *testing.T, file string, opts daemonOptions) *guard {
	t.Helper()
	cfg, content, err := load(file)
	require.NoError(t, err)
	g := &guard{t: t, dir: filepath.Dir(file), log: &lockedText{}}
	if opts.pollEvery == 0 {
		opts.pollEvery = 20 * time.Millisecond
	}
	opts.notifiers = append(opts.notifiers, nobody{})
	g.daemon, err = newDaemon(t.Context(), cfg, content, slog.New(slog.NewTextHandler(g.log, nil)), opts)
	require.NoError(t, err)
	g.base = "http://" + g.daemon.http.Addr().String()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- g.daemon.run(ctx) }()
	g.stopped = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the daemon ended with %v\n%s", err, g.log)
		}
	})
	t.Cleanup(g.stopped)
	return g
}

// nobody is told and does nothing.
type nobody struct{}

func (nobody) Notify(context.Context, responders.Report) error { return nil }

func (g *guard) eventually(what string, ok func() bool) {
	g.t.Helper()
	if !waitUntil(ok) {
		g.t.Fatalf("never: %s\n%+v\n%s", what, g.health(g.daemon.tenants[0].name), g.log)
	}
}

// waitUntil looks every few milliseconds, for a minute at most.
func waitUntil(ok func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
	}
	return false
}

func (g *guard) tenant(name string) *tenant {
	for _, t := range g.daemon.tenants {
		if t.name == name {
			return t
		}
	}
	g.t.Fatalf("no tenant %s", name)
	return nil
}

func (g *guard) health(name string) tenantHealth { return g.tenant(name).health(g.daemon.opts.now()) }

// source is the health of one source of a tenant.
func (g *guard) source(name, source string) sourceHealth {
	for _, s := range g.health(name).Sources {
		if s.Source == source {
			return s
		}
	}
	g.t.Fatalf("tenant %s has no source %s", name, source)
	return sourceHealth{}
}

// post sends a body to a path with a header, and returns the status.
func (g *guard) post(path, token, body string) int {
	g.t.Helper()
	return g.answer(path, token, body).StatusCode
}

// answer is post with all of the answer but its body, which was read.
func (g *guard) answer(path, token, body string) *http.Response {
	g.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, g.base+path, strings.NewReader(body))
	require.NoError(g.t, err)
	req.Header.Set("Authorization", token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(g.t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(g.t, err)
	return resp
}

// events posts n events to a tenant's webhook, from number from on.
func (g *guard) events(name string, from, n int) int {
	g.t.Helper()
	var b strings.Builder
	for i := range n {
		b.WriteString(guardEvent(from+i, g.daemon.opts.now()) + "\n")
	}
	return g.post("/logs/"+name, "hook-"+name, b.String())
}

func guardEvent(n int, at time.Time) string {
	at = at.UTC()
	return fmt.Sprintf(`{"log_id":"900%s%03d%039d","data":{"date":%q,"type":"s","ip":"192.0.2.1","user_name":"a@example.com"}}`,
		at.Format("20060102150405"), at.Nanosecond()/1e6, n, at.Format("2006-01-02T15:04:05.000Z"))
}

// counted is how many events of a tenant were evaluated since the last start.
func (g *guard) counted(name string) int64 {
	in := g.tenant(name).current.Load()
	if in == nil {
		return -1
	}
	n := int64(-1)
	_ = in.with(func() error { n = in.engine.Stats().Events; return nil })
	return n
}
