package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/playbook"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

const (
	victim   = "auth0|victim"
	home     = "198.18.7.7"
	attacker = "198.51.100.7"
)

// world is a simulated tenant with a victim and an attacker who is in, and one
// Runner after another.
type world struct {
	*tenantsim.Tenant
	t     *testing.T
	url   string
	store map[string][]byte
	deeds map[string]bool

	mu     sync.Mutex
	writes []string // requests that change something, with what they did
	left   int      // steps outside until the process dies; negative for never
	late   bool     // the step at which it dies still takes effect
	cancel context.CancelFunc

	r     *playbook.Runner
	ctx   context.Context
	never map[string]string
	seen  int // events that were offered
	n     int
	yes   bool // a person approves whatever is asked
	lost  int  // lives that ended in a crash
}

func newWorld(t *testing.T, opts tenantsim.Options) *world {
	t.Helper()
	opts.Start, opts.Speed, opts.CalmRate, opts.Users = start, -1, -1, 5
	if opts.RateBurst == 0 {
		opts.RateBurst = -1
	}
	w := &world{Tenant: tenantsim.New(opts), t: t, store: map[string][]byte{}, deeds: map[string]bool{}, never: map[string]string{}, left: -1}
	inner := w.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/oauth/") {
			w.mu.Lock()
			w.writes = append(w.writes, r.Method+" "+r.URL.Path)
			w.mu.Unlock()
		}
		inner.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	w.url = srv.URL
	w.boot(-1)
	return w
}

// takenOver adds the victim, with the attacker in the account for ten minutes.
func (w *world) takenOver(n tenantsim.NewUser) {
	w.t.Helper()
	if n.ID == "" {
		n.ID = victim
	}
	n.Email, n.IP = "ann@example.com", home
	w.AddUser(n)
	_, err := w.Login(n.ID, home)
	require.NoError(w.t, err)
	w.Advance(time.Hour)
	_, err = w.Login(n.ID, attacker)
	require.NoError(w.t, err)
	w.Advance(10 * time.Minute)
}

// outside counts a step outside; do has its effect unless the process dies at it.
func (w *world) outside(do func() error) error {
	w.mu.Lock()
	dies := w.left == 0
	if w.left > 0 {
		w.left--
	}
	w.mu.Unlock()
	if !dies {
		return do()
	}
	w.cancel()
	if w.late && w.ctx.Err() != nil {
		w.mu.Lock()
		first := w.lost == 0
		w.lost++
		w.mu.Unlock()
		if first {
			_ = do() // nobody hears how it went
		}
	}
	return errDied
}

var errDied = errors.New("the process died")

type dying struct{ w *world }

func (d dying) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if strings.Contains(req.URL.Path, "/oauth/") {
		return http.DefaultTransport.RoundTrip(req)
	}
	err = d.w.outside(func() error {
		resp, err = http.DefaultTransport.RoundTrip(req.WithContext(context.WithoutCancel(req.Context())))
		return err
	})
	return resp, err
}

func (w *world) boot(left int) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	w.ctx, w.cancel, w.left = ctx, cancel, left
	api, err := auth0.New(auth0.Config{Domain: w.Domain(), BaseURL: w.url, ClientID: tenantsim.DefaultClientID, ClientSecret: tenantsim.DefaultClientSecret},
		auth0.Options{QuotaShare: 1, HTTP: &http.Client{Transport: dying{w}}})
	require.NoError(w.t, err)
	measures := Measures(api)
	w.r, err = playbook.New(ctx, shipped(w.t, measures), playbook.Options{Tenant: "acme", Store: w, Record: w.record, Rails: w, Measures: measures,
		Notes: Notes, Now: w.Now, Workers: 1,
		Op: func() string { w.n++; return fmt.Sprint("portcullis-test-", w.n) }})
	require.NoError(w.t, err)
}

// shipped are the playbooks of the catalog.
func shipped(t *testing.T, measures map[string]playbook.Measure) map[string]*playbook.Playbook {
	t.Helper()
	found, err := filepath.Glob("../../../catalog/playbooks/*.yaml")
	require.NoError(t, err)
	var files []playbook.File
	for _, name := range found {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		files = append(files, playbook.File{Name: name, Data: data})
	}
	kinds := map[string]playbook.Kind{}
	for name, m := range measures {
		kinds[name] = m.Kind()
	}
	books, err := playbook.Load(files, kinds)
	require.NoError(t, err)
	return books
}

func (w *world) Put(_ context.Context, key string, value []byte) error {
	return w.outside(func() error { w.store[key] = value; return nil })
}
func (w *world) Delete(_ context.Context, key string) error     { delete(w.store, key); return nil }
func (w *world) All(context.Context) (map[string][]byte, error) { return maps.Clone(w.store), nil }
func (w *world) record(_ context.Context, id string, _ any) error {
	return w.outside(func() error { w.deeds[id] = true; return nil })
}
func (w *world) Forbids(_, subject string) string                         { return w.never[subject] }
func (w *world) Stopped() string                                          { return "" }
func (w *world) Spend(context.Context, string, time.Time) (string, error) { return "", nil }

func (w *world) begin(book, subject string) (playbook.Run, error) {
	return w.r.Start(w.ctx, playbook.Request{Playbook: book, Subject: subject, Mode: "enforce",
		Cause: playbook.Cause{Actor: "ada", Incident: "in_1", IPs: []string{attacker}, Since: start.Add(30 * time.Minute)}})
}

// offer hands the runner the events that are new.
func (w *world) offer() {
	w.t.Helper()
	var all bytes.Buffer
	require.NoError(w.t, w.WriteEnvelopes(&all))
	lines := bytes.Split(bytes.TrimSpace(all.Bytes()), []byte("\n"))
	if all.Len() == 0 {
		return
	}
	for _, line := range lines[w.seen:] {
		var e struct {
			Data map[string]any `json:"data"`
		}
		require.NoError(w.t, json.Unmarshal(line, &e))
		at, err := time.Parse(time.RFC3339, e.Data["date"].(string))
		require.NoError(w.t, err)
		w.r.See(at, e.Data)
	}
	w.seen = len(lines)
}

// settle lets time pass, from one due moment to the next, for so long. It returns
// the error of a run that died.
func (w *world) settle(d time.Duration) error {
	w.t.Helper()
	end := w.Now().Add(d)
	for range 10000 {
		w.offer()
		next, err := w.r.Step(w.ctx)
		if err != nil {
			return err
		}
		w.offer()
		if w.yes && w.approveAll() {
			continue
		}
		if next.IsZero() || next.After(end) {
			if next, err = w.r.Step(w.ctx); err != nil || next.IsZero() || next.After(end) {
				w.Advance(max(0, end.Sub(w.Now())))
				return err
			}
		}
		w.Advance(max(time.Millisecond, next.Sub(w.Now())))
	}
	for _, run := range w.r.Runs() {
		w.t.Logf("%s %s: %v\n%+v", run.ID, run.State, run.Facts, run.Steps)
	}
	w.t.Fatal("the runs never come to rest")
	return nil
}

// approveAll says yes to every run that asks.
func (w *world) approveAll() (any bool) {
	for _, run := range w.r.Runs() {
		if run.State == playbook.Awaiting {
			_, err := w.give(playbook.Order{Run: run.ID, Answer: playbook.Approve, Plan: run.Hash()})
			any = any || err == nil
		}
	}
	return any
}

func (w *world) give(o playbook.Order) (playbook.Run, error) {
	o.Actor = "ada"
	type answered struct {
		run playbook.Run
		err error
	}
	done, ctx := make(chan answered, 1), w.ctx
	runner := w.r
	go func() {
		run, err := runner.Give(ctx, o)
		done <- answered{run, err}
	}()
	for {
		select {
		case got := <-done:
			return got.run, got.err
		case <-w.r.Wake():
			if _, err := w.r.Step(w.ctx); err != nil {
				return playbook.Run{}, err
			}
		}
	}
}

func (w *world) only() playbook.Run {
	w.t.Helper()
	runs := w.r.Runs()
	require.Len(w.t, runs, 1)
	return runs[0]
}

func (w *world) account(id string) tenantsim.Account {
	w.t.Helper()
	a, ok := w.Account(id)
	require.True(w.t, ok)
	return a
}

// step is the state of one step of the only run, with its note.
func (w *world) step(id string) playbook.StepRun {
	w.t.Helper()
	run := w.only()
	i := slices.IndexFunc(run.Steps, func(s playbook.StepRun) bool { return s.ID == id })
	require.GreaterOrEqual(w.t, i, 0, id)
	return run.Steps[i]
}

// resetBy has somebody use the last mail.
func (w *world) resetBy(ip string) {
	w.t.Helper()
	mails := w.Mails()
	require.NotEmpty(w.t, mails)
	require.NoError(w.t, w.ResetPassword(mails[len(mails)-1].Link, ip))
}
