package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack/slacktest"
	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/responders"
)

const testToken = "xoxb-test-0123456789"

var t0 = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// call is one request that the fake Slack got.
type call struct {
	method string // chat.postMessage or chat.update
	form   url.Values
	at     time.Time
}

func (c call) isRoot() bool { return c.form.Get("thread_ts") == "" }

// answer is what the fake Slack says to a request; the zero value is success.
type answer struct {
	code       string // an error of Slack's
	status     int
	retryAfter string
	body       string
	err        error // the connection fails
	hang       bool  // until the request is cancelled
}

// fakeSlack keeps messages as Slack does. answer may be nil.
type fakeSlack struct {
	answer func(c call) answer

	mu    sync.Mutex
	calls []call
	posts int
}

// RoundTrip lets an http.Client talk to the fake without a network.
func (f *fakeSlack) RoundTrip(req *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, err
	}
	c := call{method: strings.TrimPrefix(req.URL.Path, "/api/"), form: form, at: time.Now()}
	status, header, body, err := f.serve(req.Context(), c)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

// start serves the fake over HTTP and returns its address.
func (f *fakeSlack) start(t *testing.T) string {
	handler := func(method string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			status, header, body, err := f.serve(r.Context(), call{method: method, form: r.PostForm, at: time.Now()})
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			for k := range header {
				w.Header().Set(k, header.Get(k))
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	server := slacktest.NewTestServer(func(c slacktest.Customize) {
		c.Handle("/chat.postMessage", handler("chat.postMessage"))
		c.Handle("/chat.update", handler("chat.update"))
	})
	server.Start()
	t.Cleanup(server.Stop)
	return server.GetAPIURL()
}

func (f *fakeSlack) serve(ctx context.Context, c call) (int, http.Header, string, error) {
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	var a answer
	if f.answer != nil {
		a = f.answer(c)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	switch {
	case a.hang:
		<-ctx.Done()
		return 0, nil, "", ctx.Err()
	case a.err != nil:
		return 0, nil, "", a.err
	case a.status != 0:
		if a.retryAfter != "" {
			header.Set("Retry-After", a.retryAfter)
		}
		return a.status, header, "", nil
	case a.code != "":
		return 200, header, fmt.Sprintf(`{"ok":false,"error":%q}`, a.code), nil
	case a.body != "":
		return 200, header, a.body, nil
	}
	ts := c.form.Get("ts")
	if c.method == "chat.postMessage" {
		f.mu.Lock()
		f.posts++
		ts = fmt.Sprintf("1763719200.%06d", f.posts)
		f.mu.Unlock()
	}
	return 200, header, fmt.Sprintf(`{"ok":true,"channel":"C042","ts":%q}`, ts), nil
}

func (f *fakeSlack) seen() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...)
}

// methods is a short record of the requests, such as "post update reply".
func (f *fakeSlack) methods() string {
	var words []string
	for _, c := range f.seen() {
		switch {
		case c.method == "chat.update":
			words = append(words, "update")
		case c.isRoot():
			words = append(words, "post")
		default:
			words = append(words, "reply")
		}
	}
	return strings.Join(words, " ")
}

// logBuffer collects a log and can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// lines are the log's entries with the given message.
func (b *logBuffer) lines(t *testing.T, msg string) []map[string]any {
	var found []map[string]any
	for l := range strings.Lines(b.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(l), &m))
		if m["msg"] == msg {
			found = append(found, m)
		}
	}
	return found
}

func newLogger() (*slog.Logger, *logBuffer) {
	b := &logBuffer{}
	return slog.New(slog.NewJSONHandler(b, nil)), b
}

// memStore is a Store that outlives a Slack.
type memStore struct {
	mu       sync.Mutex
	refs     map[string]Ref
	failLoad bool
	failSave bool
}

func (m *memStore) Load(_ context.Context, id string) (Ref, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failLoad {
		return Ref{}, false, errors.New("disk on fire")
	}
	ref, ok := m.refs[id]
	return ref, ok, nil
}

func (m *memStore) Save(_ context.Context, id string, ref Ref) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failSave {
		return errors.New("disk on fire")
	}
	if m.refs == nil {
		m.refs = map[string]Ref{}
	}
	m.refs[id] = ref
	return nil
}

func (m *memStore) ref(id string) Ref {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refs[id]
}

// running is a Slack at work.
type running struct {
	*Slack
	stop func() // and wait for the end of Run
}

// run starts a Slack against the fake, without a network.
func run(t *testing.T, f *fakeSlack, opts Options) running {
	t.Helper()
	opts.HTTPClient = &http.Client{Transport: f}
	s, err := New(Config{Token: testToken, Channel: "#identity-oncall"}, opts)
	require.NoError(t, err)
	return startRun(t, s)
}

func startRun(t *testing.T, s *Slack) running {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			require.NoError(t, <-done)
		})
	}
	t.Cleanup(stop)
	return running{Slack: s, stop: stop}
}

func (r running) notify(t *testing.T, report responders.Report) {
	t.Helper()
	require.NoError(t, r.Notify(context.Background(), report))
}

// stuffing is an incident of one alert under an enforced hold.
func stuffing() responders.Report {
	return responders.Report{
		Incident: detections.Incident{
			ID: "inc-1", Tenant: "acme-prod", Campaign: "credential-attack", Title: "Credential stuffing",
			Severity: detections.High, OpenedAt: t0, UpdatedAt: t0.Add(12 * time.Minute),
			Alerts: []detections.Alert{{
				ID: "a1", Rule: "credential-stuffing-ip", Title: "Credential stuffing from one address", Severity: detections.High,
				Group: map[string]string{"ip": "198.51.100.7"}, OpenedAt: t0, UpdatedAt: t0.Add(12 * time.Minute), Count: 4212,
				Entities: detections.Entities{IP: []string{"198.51.100.7"}, UserID: []string{"auth0|1", "auth0|2", "auth0|3"}},
			}},
		},
		State: responders.StateContaining, Mode: responders.Enforce, Feed: "clear",
		Outcomes: []responders.Outcome{
			{Response: detections.Response{Kind: "hold", Control: "bot-detection", Level: "elevated", Mode: "enforce", Outcome: "done", Reason: "signup and login under attack"},
				HoldID: "h1", From: "medium", To: "high", Until: t0.Add(42 * time.Minute), At: t0},
			{Response: detections.Response{Kind: "hold", Control: "network-acl", Level: "elevated", Subject: "198.51.100.7", Mode: "enforce", Outcome: "refused", Reason: "the hourly budget is used up"}, At: t0},
		},
	}
}

// moved is the same incident with another number of events and a transition.
func moved(r responders.Report, count int, transition string) responders.Report {
	r.Incident.Alerts = append([]detections.Alert(nil), r.Incident.Alerts...)
	r.Incident.Alerts[0].Count = count
	r.Transition = transition
	return r
}
