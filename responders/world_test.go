package responders

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/internal/auth0"
	"portcullis/internal/journal"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/control/botdetection"
	"portcullis/responders/control/networkacl"
	"portcullis/responders/hold"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

var levels = &control.Levels{Cells: map[string]map[string]hold.Value{
	"elevated":    {"bot_detection_level": `"high"`, "challenge_password_policy": `"when_risky"`},
	"maximum":     {"bot_detection_level": `"high"`, "challenge_password_policy": `"always"`},
	control.Floor: {"bot_detection_level": `"medium"`},
}}

const standardPolicy = `
id: stuffing
when: alert.rule == "stuffing"
do:
  - {hold: bot-detection, level: elevated, for: 30m, at_most: 2h, reason: logins from machines are challenged}
  - {hold: network-acl, subject: alert.entities.ip, for: 1h, at_most: 2h, reason: it fails under many names}
`

type memStore map[string][]byte

func (m memStore) Get(_ context.Context, k string) ([]byte, bool, error) {
	v, ok := m[k]
	return v, ok, nil
}
func (m memStore) Put(_ context.Context, k string, v []byte) error { m[k] = v; return nil }
func (m memStore) Delete(_ context.Context, k string) error        { delete(m, k); return nil }
func (m memStore) All(context.Context) (map[string][]byte, error)  { return maps.Clone(m), nil }

// fuse ends a run of the daemon at one of its steps outside: after that nothing
// it does has an effect any more, as if the process had been killed.
type fuse struct {
	mu     sync.Mutex
	left   int // steps until it blows; negative: never
	blown  bool
	steps  int
	cancel context.CancelFunc
}

var errCrashed = errors.New("the process is gone")

// step is one step outside; after says that this one still took effect.
func (f *fuse) step() (blown, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blown {
		return true, false
	}
	f.steps++
	if f.left--; f.left >= 0 || f.left < -1 {
		return false, false
	}
	f.blown = true
	return true, true
}

type fusedStore struct {
	Store
	f    *fuse
	late bool // the step that blows the fuse is still done
}

func (s fusedStore) do(write func() error) error {
	blown, last := s.f.step()
	if blown && (!last || !s.late) {
		s.f.cancel()
		return errCrashed
	}
	err := write()
	if blown {
		s.f.cancel()
		return errCrashed
	}
	return err
}
func (s fusedStore) Put(ctx context.Context, k string, v []byte) error {
	return s.do(func() error { return s.Store.Put(ctx, k, v) })
}
func (s fusedStore) Delete(ctx context.Context, k string) error {
	return s.do(func() error { return s.Store.Delete(ctx, k) })
}

// fusedHTTP blows the fuse before a request is sent or, late, after it was
// answered.
type fusedHTTP struct {
	f    *fuse
	late bool
}

func (t fusedHTTP) RoundTrip(req *http.Request) (*http.Response, error) {
	blown, last := t.f.step()
	if blown && (!last || !t.late) {
		t.f.cancel()
		return nil, errCrashed
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if blown {
		t.f.cancel()
		if err == nil {
			resp.Body.Close()
		}
		return nil, errCrashed
	}
	return resp, err
}

// world is a tenant, the stores, and one run of the responder after another.
type world struct {
	*tenantsim.Tenant
	t       *testing.T
	srv     *httptest.Server
	url     string
	now     time.Time
	stores  map[string]Store
	setup   Tenant
	policy  string
	limits  map[string]Budget
	writes  []string // requests that are not GET
	healthy *networkacl.Healthy
	onWrite func()

	r        *Responder
	fuse     *fuse
	late     bool
	ctx      context.Context
	records  []string         // kinds
	alerts   []string         // transitions and counts
	recorded map[string]bool  // ids of the deeds
	journal  *journal.Journal // has the deeds instead, where there is one
	lines    []string         // of the thread
	reports  map[string]Report
	failing  bool // the notifier
	heard    map[string]bool
	deaf     bool // the log is not read
	n        int
}

func newWorld(t *testing.T, opts tenantsim.Options) *world {
	t.Helper()
	opts.Start, opts.CalmRate, opts.RateBurst = start, -1, -1
	w := &world{Tenant: tenantsim.New(opts), t: t, now: start, policy: standardPolicy, reports: map[string]Report{}, recorded: map[string]bool{}, heard: map[string]bool{},
		stores: map[string]Store{"holds": memStore{}, "incidents": memStore{}, "budgets": memStore{}, "controls": memStore{}, "lines": memStore{}}}
	nt, err := NewNeverTouch([]string{"203.0.113.0/24", "2001:db8:ffff::/48"}, nil, nil)
	require.NoError(t, err)
	w.setup = Tenant{Name: "acme", Mode: Enforce, NeverTouch: nt}
	inner := w.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, "/api/") {
			body, _ := io.ReadAll(r.Body)
			w.writes = append(w.writes, r.Method+" "+r.URL.Path+" "+string(body))
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			if w.onWrite != nil {
				w.onWrite()
			}
		}
		inner.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	w.srv, w.url = srv, srv.URL
	return w
}

func (w *world) Notify(_ context.Context, r Report) error {
	w.reports[r.Incident.ID] = r
	if r.Transition != "" {
		w.lines = append(w.lines, strings.Split(r.Transition, "\n")...)
	}
	if w.failing {
		return errors.New("channel not found")
	}
	return nil
}

// boot starts a run that ends after the given number of steps outside; -1 is
// never.
func (w *world) boot(steps int) error {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	w.ctx, w.fuse = ctx, &fuse{left: steps, cancel: cancel}
	if steps < 0 {
		w.fuse.left = -2
	}
	api, err := auth0.New(auth0.Config{Domain: w.Domain(), BaseURL: w.url, ClientID: tenantsim.DefaultClientID, ClientSecret: tenantsim.DefaultClientSecret},
		auth0.Options{QuotaShare: 1, HTTP: &http.Client{Transport: fusedHTTP{w.fuse, w.late}}})
	require.NoError(w.t, err)
	stores := map[string]Store{}
	for name, s := range w.stores {
		stores[name] = fusedStore{s, w.fuse, w.late}
	}
	op := func() string { w.n++; return fmt.Sprintf("op-%d", w.n) }
	controls := map[string]Control{
		botdetection.Name: &control.Fields{Name: botdetection.Name, Spec: botdetection.Spec, Levels: levels, Setting: botdetection.Setting(api), Store: stores["controls"], Op: op},
		networkacl.Name: networkacl.New(api, stores["controls"], op, "t1", networkacl.Options{Guard: func(s control.Subject) error { return w.setup.NeverTouch.Subject(s) },
			Protected: w.setup.NeverTouch.Networks, Healthy: w.healthy}),
	}
	policies, err := LoadPolicies([]detections.File{{Name: "p.yaml", Data: []byte(w.policy)}}, map[string]Checker{
		botdetection.Name: controls[botdetection.Name], networkacl.Name: controls[networkacl.Name]})
	require.NoError(w.t, err)
	w.r, err = New(ctx, w.setup, policies, controls, Options{
		Holds: stores["holds"], Incidents: stores["incidents"], Budgets: stores["budgets"], Lines: stores["lines"], Limits: w.limits, Steady: true,
		Notifiers: []Notifier{w}, Now: func() time.Time { return w.now },
		Record: func(ctx context.Context, id string, doc any) error {
			blown, last := w.fuse.step()
			if !blown || last && w.late {
				if err := w.append(ctx, id, doc); err != nil {
					return err
				}
			}
			if blown {
				w.fuse.cancel()
				return errCrashed
			}
			return nil
		},
	})
	return err
}

// append keeps a deed as the journal does: once for each id.
func (w *world) append(ctx context.Context, id string, doc any) error {
	if w.journal != nil {
		_, err := w.journal.AppendDeed(ctx, "acme", id, doc)
		return err
	}
	if id != "" && w.recorded[id] {
		return nil
	}
	w.recorded[id] = true
	m := doc.(map[string]any)
	w.records = append(w.records, m["kind"].(string))
	if a, ok := m["alert"].(detections.Alert); ok {
		w.alerts = append(w.alerts, fmt.Sprint(m["transition"], " ", a.Count))
	}
	return nil
}

func (w *world) start() {
	w.t.Helper()
	require.NoError(w.t, w.boot(-1))
}

// hear hands the responder what the tenant's log tells that it was not told yet,
// as the daemon does.
func (w *world) hear() {
	w.t.Helper()
	var log bytes.Buffer
	require.NoError(w.t, w.WriteEnvelopes(&log))
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
		require.NoError(w.t, json.Unmarshal([]byte(raw), &ev))
		require.NoError(w.t, json.Unmarshal(ev.Data, &head))
		if head.Type != "sapi" || w.heard[ev.LogID] {
			continue
		}
		w.heard[ev.LogID] = true
		ln, ok := control.ReadLine(ev.LogID, head.Date, ev.Data)
		require.True(w.t, ok)
		if strings.HasPrefix(ln.Op, "op-") {
			ln.Whose = hold.Ours
		}
		if err := w.r.Hear(w.ctx, ln); !w.fuse.blown {
			require.NoError(w.t, err)
		}
	}
}

func (w *world) step() {
	w.t.Helper()
	if !w.deaf {
		w.hear()
	}
	require.NoError(w.t, w.r.step(w.ctx))
}

func (w *world) after(d time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(d)
	w.step()
}

// alert makes an alert of the stuffing rule, opened at the start and last seen
// so long after it.
func alert(seen time.Duration, count int, ips ...string) detections.Alert {
	return detections.Alert{ID: "al_1", Rule: "stuffing", Tenant: "acme", Severity: detections.High, Campaign: "credential-attack",
		Group: map[string]string{"ip": "198.51.100.7"}, OpenedAt: start, UpdatedAt: start.Add(seen), Count: count,
		Entities: detections.Entities{IP: ips}, Title: "Credential stuffing"}
}

func resolved(a detections.Alert, at time.Duration) detections.Change {
	when := start.Add(at)
	a.ResolvedAt = &when
	return detections.Change{Transition: detections.Resolved, Alert: a}
}

func opened(a detections.Alert) detections.Change {
	return detections.Change{Transition: detections.Opened, Alert: a}
}

func updated(a detections.Alert) detections.Change {
	return detections.Change{Transition: detections.Updated, Alert: a}
}

func (w *world) report() Report {
	w.t.Helper()
	require.Len(w.t, w.reports, 1)
	for _, r := range w.reports {
		return r
	}
	return Report{}
}

// told counts the lines of the thread that contain text.
func (w *world) told(text string) int {
	n := 0
	for _, l := range w.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

func (w *world) bot() string { return w.BotDetection()["bot_detection_level"].(string) }

func (w *world) holds() map[hold.State]int {
	out := map[hold.State]int{}
	for _, h := range w.r.holds {
		out[h.State]++
	}
	return out
}

var _ control.Store = memStore{}
