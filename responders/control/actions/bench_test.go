package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

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

// dying is a store whose power goes out at a write: that one and all later fail.
type dying struct {
	memStore
	left int // writes before that; negative: it never does
}

func (d *dying) write() error {
	if d.left == 0 {
		return fmt.Errorf("no power")
	}
	d.left--
	return nil
}

func (d *dying) Put(ctx context.Context, k string, v []byte) error {
	if err := d.write(); err != nil {
		return err
	}
	return d.memStore.Put(ctx, k, v)
}

func (d *dying) Delete(ctx context.Context, k string) error {
	if err := d.write(); err != nil {
		return err
	}
	return d.memStore.Delete(ctx, k)
}

// bench is the control over a simulated tenant behind a real server.
type bench struct {
	*tenantsim.Tenant
	t       *testing.T
	control *Control
	store   *dying
	client  *auth0.Client
	choices map[string]Choice
	writes  []string // method, path and body
	before  func(r *http.Request)
	now     time.Time
	holds   []*hold.Hold
	heard   map[string]bool // lines of the log
	n       int
}

func newBench(t *testing.T, opts tenantsim.Options) *bench {
	t.Helper()
	opts.Start, opts.CalmRate, opts.RateBurst = start, -1, -1
	if opts.ActionReads == 0 {
		opts.ActionReads = 1
	}
	b := &bench{Tenant: tenantsim.New(opts), t: t, heard: map[string]bool{}, store: &dying{memStore{}, -1}, now: start, choices: map[string]Choice{
		"trusted-networks": {Settings: map[string]any{"networks": []any{"203.0.113.0/24"}}},
		"unblock-after-password-change": {Settings: map[string]any{"client_id": "unblocker"},
			Secrets: map[string]string{"CLIENT_SECRET": "the-secret-of-the-unblocker"}},
	}}
	inner := b.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, "/api/") {
			body, _ := io.ReadAll(r.Body)
			b.writes = append(b.writes, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v2/actions")+" "+string(body))
			r.Body = io.NopCloser(strings.NewReader(string(body)))
		}
		if b.before != nil {
			b.before(r)
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

func (b *bench) wants() []*Want {
	b.t.Helper()
	facts := Facts{Domain: "acme.eu.auth0.com", List: func(name string) []string { return map[string][]string{"disposable_domains": {"trash.example"}}[name] }}
	wants, err := Fill(shipped(b.t), b.choices, facts)
	require.NoError(b.t, err)
	return wants
}

func (b *bench) op() string { b.n++; return fmt.Sprintf("op-%d", b.n) }

// restart loses the control and keeps its store.
func (b *bench) restart() {
	b.store.left = -1
	b.control = New(b.client, b.wants(), b.store, b.op)
}

func (b *bench) plan(force bool) map[string]Step {
	b.t.Helper()
	v, err := Look(b.t.Context(), b.client, b.wants())
	require.NoError(b.t, err)
	out := map[string]Step{}
	for _, s := range Plan(v, force) {
		out[s.ID] = s
	}
	return out
}

// prepare prepares the templates named, all without any.
func (b *bench) prepare(ids ...string) {
	b.t.Helper()
	for id, s := range b.plan(false) {
		if len(ids) == 0 || slices.Contains(ids, id) {
			require.NoError(b.t, b.do(s), id)
		}
	}
	b.writes = nil
}

func (b *bench) do(s Step) error {
	p := &Preparer{API: b.client, Op: b.op, Poll: time.Millisecond, Timeout: 50 * time.Millisecond}
	return p.Do(b.t.Context(), s)
}

func (b *bench) hold(id string, ttl time.Duration) *hold.Hold {
	b.n++
	h := &hold.Hold{ID: fmt.Sprintf("hd_%d", b.n), Level: id, State: hold.Active, Created: b.now, Expires: b.now.Add(ttl)}
	b.holds = append(b.holds, h)
	return h
}

// try reconciles once, as the responder does.
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
	rep, err := b.control.Reconcile(b.t.Context(), mine, b.now)
	for _, h := range mine {
		h.Confirmed = h.Confirmed || err == nil && h.State == hold.Active
	}
	return rep, err
}

func (b *bench) run() control.Report {
	b.t.Helper()
	rep, err := b.try()
	require.NoError(b.t, err)
	return rep
}

// quiet asserts that nothing is left to do or to say.
func (b *bench) quiet() {
	b.t.Helper()
	writes := len(b.writes)
	rep := b.run()
	require.Empty(b.t, rep.Changes)
	require.Empty(b.t, rep.Notes)
	require.Len(b.t, b.writes, writes)
}

// forgotten asserts that nothing is remembered once no late line can come.
func (b *bench) forgotten() {
	b.t.Helper()
	b.now = b.now.Add(31 * 24 * time.Hour)
	b.run()
	require.Empty(b.t, b.store.memStore)
}

func (b *bench) after(d time.Duration) {
	b.now = b.now.Add(d)
	b.Advance(d)
}

// listen hands the control what the tenant's log tells and was not handed over yet.
func (b *bench) listen() []string {
	b.t.Helper()
	b.Advance(time.Second)
	b.now = b.now.Add(time.Second)
	var out bytes.Buffer
	require.NoError(b.t, b.WriteEnvelopes(&out))
	var notes []string
	for dec := json.NewDecoder(&out); dec.More(); {
		var env struct {
			LogID string          `json:"log_id"`
			Data  json.RawMessage `json:"data"`
		}
		require.NoError(b.t, dec.Decode(&env))
		var data struct {
			Type string    `json:"type"`
			Date time.Time `json:"date"`
		}
		require.NoError(b.t, json.Unmarshal(env.Data, &data))
		if data.Type != "sapi" || b.heard[env.LogID] {
			continue
		}
		b.heard[env.LogID] = true
		ln, ok := control.ReadLine(env.LogID, data.Date, env.Data)
		require.True(b.t, ok)
		if strings.HasPrefix(ln.Op, "op-") {
			ln.Whose = hold.Ours
		}
		more, _, err := b.control.Hear(b.t.Context(), ln, b.now)
		require.NoError(b.t, err)
		notes = append(notes, more...)
	}
	return notes
}

// foreign makes Actions of a human's, deployed and bound in this order at the end of the flow.
func (b *bench) foreign(names ...string) {
	b.t.Helper()
	for _, name := range names {
		require.NoError(b.t, b.HumanRequest("POST", "/actions/actions", map[string]any{"name": name, "code": "// theirs", "deploy": true,
			"supported_triggers": []any{map[string]any{"id": "post-login", "version": "v3"}}}))
	}
	_, err := b.client.Actions(b.t.Context())
	require.NoError(b.t, err)
	b.flow(append(b.Flow("post-login"), names...)...)
}

// flow is a human who makes the flow after logins what it is to be, and keeps the bindings that there are.
func (b *bench) flow(names ...string) {
	b.t.Helper()
	now, err := b.client.Flow(b.t.Context(), "post-login")
	require.NoError(b.t, err)
	refs := []any{}
	for _, name := range names {
		ref := map[string]any{"type": "action_name", "value": name}
		for _, x := range now.Bindings {
			if x.ActionName == name {
				ref = map[string]any{"type": "binding_id", "value": x.ID}
			}
		}
		refs = append(refs, map[string]any{"ref": ref, "display_name": name})
	}
	require.NoError(b.t, b.HumanRequest("PATCH", "/actions/triggers/post-login/bindings", map[string]any{"bindings": refs}))
}

// newFlow is one who binds everything anew.
func (b *bench) newFlow(names ...string) {
	b.t.Helper()
	b.flow()
	b.flow(names...)
}

func (b *bench) is(names ...string) {
	b.t.Helper()
	require.Equal(b.t, append([]string{}, names...), b.Flow("post-login"))
}

const (
	ours  = NamePrefix + "pkce-required"
	lastI = NamePrefix + "last-ip-recorded"
	mfa   = NamePrefix + "mfa-required"
)
