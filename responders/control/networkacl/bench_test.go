package networkacl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

const (
	path  = "/api/v2/network-acls"
	never = "203.0.113.9" // on the never-touch list
)

type memStore map[string][]byte

func (m memStore) Get(_ context.Context, k string) ([]byte, bool, error) {
	v, ok := m[k]
	return v, ok, nil
}
func (m memStore) Put(_ context.Context, k string, v []byte) error {
	m[k] = v
	return nil
}
func (m memStore) Delete(_ context.Context, k string) error {
	delete(m, k)
	return nil
}

// bench is the control over a simulated tenant behind a real server.
type bench struct {
	*tenantsim.Tenant
	t       *testing.T
	control *Control
	store   memStore
	client  *auth0.Client
	writes  []string // method, path and body
	before  func(r *http.Request)
	now     time.Time
	holds   []*hold.Hold
	healthy *Healthy       // nil: nothing is remembered
	protect []netip.Prefix // the never-touch list
	n       int
}

func newBench(t *testing.T, opts tenantsim.Options) *bench {
	t.Helper()
	opts.Start, opts.CalmRate, opts.RateBurst = start, -1, -1
	b := &bench{Tenant: tenantsim.New(opts), t: t, store: memStore{}, now: start}
	inner := b.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, path) {
			body, _ := io.ReadAll(r.Body)
			b.writes = append(b.writes, r.Method+" "+r.URL.Path+" "+string(body))
			assert.NotContains(t, string(body), "[]", "no empty list reaches the wire")
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			if b.before != nil {
				b.before(r)
			}
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	var err error
	b.client, err = auth0.New(auth0.Config{Domain: b.Domain(), BaseURL: srv.URL, ClientID: tenantsim.DefaultClientID,
		ClientSecret: tenantsim.DefaultClientSecret}, auth0.Options{QuotaShare: 1})
	require.NoError(t, err)
	b.restart()
	return b
}

func (b *bench) restart() {
	b.control = New(b.client, b.store, func() string { b.n++; return fmt.Sprintf("op-%d", b.n) }, "t1", Options{
		Guard: func(s control.Subject) error {
			if p, ok := s.Prefix(); ok && p.Contains(netip.MustParseAddr(never)) {
				return errors.New(s.String() + " is on the never-touch list")
			}
			return nil
		},
		Protected: func() []netip.Prefix { return b.protect },
		Healthy:   b.healthy,
	})
}

var blocked = slot{Level: LevelBlock, Scope: auth0.ScopeAuthentication, Signal: control.KindIP}

func (b *bench) hold(address string, ttl time.Duration) *hold.Hold {
	b.n++
	h := &hold.Hold{ID: fmt.Sprintf("hd_%d", b.n), Subject: address, State: hold.Active, Created: b.now, Expires: b.now.Add(ttl)}
	b.holds = append(b.holds, h)
	return h
}

func (b *bench) try() (control.Report, error) {
	var mine []*hold.Hold
	for _, h := range b.holds {
		if h.State.Ended() {
			continue
		}
		if !b.now.Before(h.Expires) {
			h.State = hold.Releasing
		}
		mine = append(mine, h)
	}
	return b.control.Reconcile(b.t.Context(), mine, b.now)
}

func (b *bench) run() control.Report {
	b.t.Helper()
	rep, err := b.try()
	require.NoError(b.t, err)
	return rep
}

func (b *bench) quiet() {
	b.t.Helper()
	writes := len(b.writes)
	rep := b.run()
	require.Empty(b.t, rep.Changes)
	require.Empty(b.t, rep.Notes)
	require.Len(b.t, b.writes, writes)
}

func (b *bench) after(d time.Duration) { b.now = b.now.Add(d) }

// acl is the tenant's ACL with our tag for blocked addresses, nil if there is none.
func (b *bench) acl() *auth0.NetworkACL { return b.aclOf(blocked) }

// aclOf is the tenant's ACL with our tag for a slot, nil if there is none.
func (b *bench) aclOf(s slot) *auth0.NetworkACL {
	b.t.Helper()
	var found *auth0.NetworkACL
	for _, raw := range b.NetworkACLs() {
		data, err := json.Marshal(raw)
		require.NoError(b.t, err)
		var a auth0.NetworkACL
		require.NoError(b.t, json.Unmarshal(data, &a))
		if b.control.isOurs(&a, s.id()) {
			require.Nil(b.t, found, "there is one ACL of ours at most")
			found = &a
		}
	}
	return found
}

func (b *bench) denies(want ...string) {
	b.t.Helper()
	slices.Sort(want)
	if len(want) == 0 {
		require.Nil(b.t, b.acl())
		return
	}
	require.NotNil(b.t, b.acl())
	require.Equal(b.t, want, blocked.entries(b.acl()))
	require.False(b.t, isOff(b.acl()))
}

func (b *bench) human(method, path string, body map[string]any) {
	b.t.Helper()
	require.NoError(b.t, b.HumanRequest(method, path, body))
}

func rule(addresses ...any) map[string]any {
	return map[string]any{"action": map[string]any{"block": true}, "scope": "authentication", "match": map[string]any{"ipv4_cidrs": addresses}}
}

// foreign makes an ACL of a human's.
func (b *bench) foreign(priority int) {
	b.t.Helper()
	b.human("POST", path, map[string]any{"description": fmt.Sprintf("ours since 2024, %d", priority), "active": true, "priority": priority, "rule": rule("192.0.2.77")})
}

// end lets all holds run out and checks that nothing of ours is left.
func (b *bench) end() {
	b.t.Helper()
	b.after(48 * time.Hour)
	b.run()
	b.denies()
	for _, raw := range b.NetworkACLs() {
		require.NotContains(b.t, raw["description"], "inst=t1 ", "nothing of ours is left")
	}
	b.quiet()
	for _, h := range b.holds {
		require.True(b.t, h.State.Ended(), h.State)
	}
	require.Empty(b.t, b.store)
}
