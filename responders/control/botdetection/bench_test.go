package botdetection

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

var (
	start  = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	levels = &control.Levels{Cells: map[string]map[string]hold.Value{
		"guarded":  {"bot_detection_level": `"medium"`, "challenge_password_policy": `"when_risky"`},
		"elevated": {"bot_detection_level": `"high"`, "challenge_password_policy": `"when_risky"`},
		"maximum":  {"bot_detection_level": `"high"`, "challenge_password_policy": `"always"`},
	}}
)

const path = "/api/v2/attack-protection/bot-detection"

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
	control *control.Fields
	store   memStore
	client  *auth0.Client
	bodies  []string // of PATCH requests
	now     time.Time
	holds   []*hold.Hold
	n       int
}

func newBench(t *testing.T, opts tenantsim.Options) *bench {
	t.Helper()
	opts.Start, opts.CalmRate = start, -1
	if opts.RateBurst == 0 {
		opts.RateBurst = -1
	}
	b := &bench{Tenant: tenantsim.New(opts), t: t, store: memStore{}, now: start}
	inner := b.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			body, _ := io.ReadAll(r.Body)
			b.bodies = append(b.bodies, string(body))
			r.Body = io.NopCloser(strings.NewReader(string(body)))
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

// restart loses the control and keeps its store.
func (b *bench) restart() {
	b.control = &control.Fields{Name: Name, Spec: Spec, Levels: levels, Setting: Setting(b.client), Store: b.store,
		Op: func() string { b.n++; return fmt.Sprintf("op-%d", b.n) }}
}

func (b *bench) hold(level string, ttl time.Duration) *hold.Hold {
	b.n++
	h := &hold.Hold{ID: fmt.Sprintf("hd_%d", b.n), Level: level, State: hold.Active, Created: b.now, Expires: b.now.Add(ttl)}
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
	return b.control.Reconcile(b.t.Context(), mine, b.now)
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
	writes := len(b.bodies)
	rep := b.run()
	require.Empty(b.t, rep.Changes)
	require.Empty(b.t, rep.Notes)
	require.Len(b.t, b.bodies, writes)
}

// forgotten asserts that nothing is remembered once no late line can come.
func (b *bench) forgotten() {
	b.t.Helper()
	b.after(31 * 24 * time.Hour)
	b.run()
	require.Empty(b.t, b.store)
}

func (b *bench) after(d time.Duration) { b.now = b.now.Add(d) }

func (b *bench) human(fields map[string]any) {
	b.t.Helper()
	require.NoError(b.t, b.HumanPatch(path, fields))
}

func (b *bench) is(level, policy string) {
	b.t.Helper()
	got := b.BotDetection()
	require.Equal(b.t, level, got["bot_detection_level"])
	require.Equal(b.t, policy, got["challenge_password_policy"])
	for field, want := range map[string]any{"challenge_passwordless_policy": "never", "challenge_password_reset_policy": "never", "monitoring_mode_enabled": false} {
		require.Equal(b.t, want, got[field], "no hold asks for %s", field)
	}
}
