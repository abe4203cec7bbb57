package all

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/catalog"
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
func (m memStore) Put(_ context.Context, k string, v []byte) error { m[k] = v; return nil }
func (m memStore) Delete(_ context.Context, k string) error        { delete(m, k); return nil }

// bench has every control with its shipped levels over a simulated tenant behind a
// real server, and reads the tenant's log as the daemon does.
type bench struct {
	*tenantsim.Tenant
	t        *testing.T
	controls map[string]*control.Fields
	store    memStore
	client   *auth0.Client
	writes   []string // method, path and body of requests that are not GET
	before   func()   // called once before the next write reaches the tenant
	now      time.Time
	holds    []*hold.Hold
	heard    map[string]bool
	n        int
}

func newBench(t *testing.T, opts tenantsim.Options) *bench {
	t.Helper()
	opts.Start, opts.CalmRate, opts.RateBurst, opts.Speed = start, -1, -1, -1
	b := &bench{Tenant: tenantsim.New(opts), t: t, store: memStore{}, now: start, heard: map[string]bool{}}
	inner := b.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, "/api/") {
			body, _ := io.ReadAll(r.Body)
			b.writes = append(b.writes, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v2")+" "+string(body))
			r.Body = io.NopCloser(bytes.NewReader(body))
			if f := b.before; f != nil {
				b.before = nil
				f()
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

// restart loses the controls and keeps their store.
func (b *bench) restart() {
	levels, err := ReadLevels(catalog.FS, "controls")
	require.NoError(b.t, err)
	b.controls = New(b.client, levels, b.store, func() string { b.n++; return fmt.Sprintf("portcullis-one-%d", b.n) })
}

func (b *bench) hold(name, level string, ttl time.Duration) *hold.Hold {
	return b.holdOn(name, level, "", ttl)
}

func (b *bench) holdOn(name, level, subject string, ttl time.Duration) *hold.Hold {
	b.n++
	h := &hold.Hold{ID: fmt.Sprintf("hd_%d", b.n), Control: name, Level: level, Subject: subject, State: hold.Active, Created: b.now, Expires: b.now.Add(ttl)}
	require.NoError(b.t, b.controls[name].Check(level, subject))
	b.holds = append(b.holds, h)
	return h
}

// try reconciles one control once, as the responder does.
func (b *bench) try(name string) (control.Report, error) {
	var mine []*hold.Hold
	for _, h := range b.holds {
		if h.Control != name || h.State.Ended() {
			continue
		}
		if !b.now.Before(h.Expires) && !h.Letting() {
			h.State = hold.Releasing
		}
		mine = append(mine, h)
	}
	return b.controls[name].Reconcile(b.t.Context(), mine, b.now)
}

func (b *bench) run(name string) control.Report {
	b.t.Helper()
	rep, err := b.try(name)
	require.NoError(b.t, err)
	return rep
}

// quiet asserts that nothing is left to do or to say.
func (b *bench) quiet(name string) {
	b.t.Helper()
	writes := len(b.writes)
	rep := b.run(name)
	require.Empty(b.t, rep.Changes)
	require.Empty(b.t, rep.Notes)
	require.Len(b.t, b.writes, writes)
}

// after lets time pass for us and for the tenant.
func (b *bench) after(d time.Duration) {
	b.now = b.now.Add(d)
	b.Advance(d)
}

// lines are the lines of the tenant's log that were not taken yet.
func (b *bench) lines() []control.Line {
	b.t.Helper()
	var log bytes.Buffer
	require.NoError(b.t, b.WriteEnvelopes(&log))
	var out []control.Line
	for _, raw := range strings.Split(strings.TrimSpace(log.String()), "\n") {
		var ev struct {
			LogID string `json:"log_id"`
			Data  json.RawMessage
		}
		var head struct {
			Type string
			Date time.Time
		}
		if raw == "" {
			continue
		}
		require.NoError(b.t, json.Unmarshal([]byte(raw), &ev))
		require.NoError(b.t, json.Unmarshal(ev.Data, &head))
		if head.Type != "sapi" || b.heard[ev.LogID] {
			continue
		}
		b.heard[ev.LogID] = true
		ln, ok := control.ReadLine(ev.LogID, head.Date, ev.Data)
		require.True(b.t, ok)
		switch {
		case ln.Client != tenantsim.DefaultClientID:
		case strings.HasPrefix(ln.Op, "portcullis-one-"):
			ln.Whose = hold.Ours
		case strings.HasPrefix(ln.Op, "portcullis-"):
			ln.Whose = hold.Twins
		}
		out = append(out, ln)
	}
	return out
}

// hear has every control learn from lines, and returns what people are told.
func (b *bench) hear(lines ...control.Line) []string {
	b.t.Helper()
	var notes []string
	for _, ln := range lines {
		for _, c := range b.controls {
			told, _, err := c.Hear(b.t.Context(), ln, b.now)
			require.NoError(b.t, err)
			notes = append(notes, told...)
		}
	}
	return notes
}

// human changes a setting of attack protection in the dashboard.
func (b *bench) human(name string, fields map[string]any) {
	b.t.Helper()
	require.NoError(b.t, b.HumanPatch("/attack-protection/"+name, fields))
}

// setting is the present value at a path of a setting of attack protection.
func (b *bench) setting(name string, path ...string) any {
	b.t.Helper()
	var v any = b.Settings(name)
	for _, k := range path {
		v = v.(map[string]any)[k]
	}
	return v
}
