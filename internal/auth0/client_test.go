package auth0

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	testSecret = "s3cr3t-of-the-application+/="
	testDomain = "acme.eu.auth0.com"
)

// request is what the fake tenant saw.
type request struct {
	method, path, query, body string
	header                    http.Header
}

// fakeTenant gives out tokens token-number-1, token-number-2, … and answers the API with api, where it checks the token
// unless anyToken is set.
type fakeTenant struct {
	*httptest.Server
	mu       sync.Mutex
	seen     []request
	tokens   int
	token    func(w http.ResponseWriter, form map[string][]string) // instead of a token, if not nil
	api      http.HandlerFunc
	anyToken bool
}

func newFakeTenant(t *testing.T, api http.HandlerFunc) *fakeTenant {
	t.Helper()
	f := &fakeTenant{api: api}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeTenant) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.seen = append(f.seen, request{r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header.Clone()})
	f.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.URL.Path == "/oauth/token" {
		_ = r.ParseForm()
		if f.token != nil {
			f.token(w, r.Form)
			return
		}
		f.mu.Lock()
		f.tokens++
		n := f.tokens
		f.mu.Unlock()
		reply(w, 200, fmt.Sprintf(`{"access_token":"token-number-%d","token_type":"Bearer","expires_in":86400}`, n))
		return
	}
	f.mu.Lock()
	want := fmt.Sprintf("Bearer token-number-%d", f.tokens)
	f.mu.Unlock()
	if !f.anyToken && r.Header.Get("Authorization") != want {
		reply(w, 401, `{"statusCode":401,"error":"Unauthorized","message":"Invalid token"}`)
		return
	}
	f.api(w, r)
}

func (f *fakeTenant) requests(path string) (out []request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.seen {
		if strings.HasPrefix(r.path, path) {
			out = append(out, r)
		}
	}
	return out
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func replies(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { reply(w, status, body) }
}

func newClient(t *testing.T, f *fakeTenant, opts Options) *Client {
	t.Helper()
	c, err := New(Config{Domain: testDomain, BaseURL: f.URL, ClientID: "the-client", ClientSecret: testSecret}, opts)
	require.NoError(t, err)
	c.backoff = time.Millisecond
	return c
}

const botDetectionBody = `{"bot_detection_level":"medium","challenge_password_policy":"when_risky","challenge_passwordless_policy":"never",` +
	`"challenge_password_reset_policy":"always","allowlist":["192.0.2.1"],"monitoring_mode_enabled":true,"from_a_later_api":{"a":[1.50]}}`

// replyWell answers each call with something that it can read.
func replyWell(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.Contains(r.URL.Path, "network-acls"):
		reply(w, 200, `{"network_acls":[],"total":0}`)
	case strings.Contains(r.URL.Path, "/actions/"):
		reply(w, 200, `{"actions":[],"bindings":[],"triggers":[],"total":0}`)
	case strings.Contains(r.URL.Path, "bot-detection"):
		reply(w, 200, botDetectionBody)
	default:
		replyOfUsers(w, r)
	}
}

func testACL() NetworkACL {
	return NetworkACL{Description: "test", Active: true, Priority: 20,
		Rule: ACLRule{Action: ActionBlock, Scope: ScopeAuthentication, Match: ACLMatch{IPv4CIDRs: []string{"198.51.100.0/24"}}}}
}

func testDraft() ActionDraft {
	return ActionDraft{Name: "guard", Trigger: "post-login", TriggerVersion: "v3", Runtime: "node22", Code: "// code", Secrets: map[string]string{"KEY": "a-secret-value"}}
}

// everyCall has each method that reaches the API, by its name, but LogStreams: its answer is a bare list.
func everyCall(c *Client) map[string]func(context.Context) error {
	calls := map[string]func(context.Context) error{
		"BotDetection": func(ctx context.Context) error { _, err := c.AttackProtection(ctx, BotDetection); return err },
		"PatchBotDetection": func(ctx context.Context) error {
			_, err := c.PatchAttackProtection(ctx, BotDetection, map[string]any{"bot_detection_level": "high"}, "op-1")
			return err
		},
		"SetMFAFactor": func(ctx context.Context) error { _, err := c.SetMFAFactor(ctx, "otp", true, "op-11"); return err },
		"PatchConnection": func(ctx context.Context) error {
			_, err := c.PatchConnection(ctx, "con_1", map[string]any{"options": map[string]any{}}, "op-6")
			return err
		},
		"NetworkACLs":      func(ctx context.Context) error { _, err := c.NetworkACLs(ctx); return err },
		"CreateNetworkACL": func(ctx context.Context) error { return c.CreateNetworkACL(ctx, testACL(), "op-2") },
		"UpdateNetworkACL": func(ctx context.Context) error { return c.UpdateNetworkACL(ctx, "acl_1", testACL(), "op-3") },
		"DeleteNetworkACL": func(ctx context.Context) error { return c.DeleteNetworkACL(ctx, "acl_1", "op-4") },
		"Actions":          func(ctx context.Context) error { _, err := c.Actions(ctx); return err },
		"Action":           func(ctx context.Context) error { _, err := c.Action(ctx, "a1"); return err },
		"Triggers":         func(ctx context.Context) error { _, err := c.Triggers(ctx); return err },
		"Flow":             func(ctx context.Context) error { _, err := c.Flow(ctx, "post-login"); return err },
		"CreateAction":     func(ctx context.Context) error { return c.CreateAction(ctx, testDraft(), "op-5") },
		"UpdateAction":     func(ctx context.Context) error { return c.UpdateAction(ctx, "a1", testDraft(), "op-6") },
		"DeployAction":     func(ctx context.Context) error { return c.DeployAction(ctx, "a1", "op-7") },
		"SetBindings":      func(ctx context.Context) error { return c.SetBindings(ctx, "post-login", nil, "op-8") },
	}
	for name, call := range userReads(c) {
		calls[name] = call
	}
	for _, w := range userWrites(c) {
		calls[w.name] = w.call
	}
	return calls
}

func writes() []string {
	names := []string{"PatchBotDetection", "SetMFAFactor", "PatchConnection", "CreateNetworkACL", "UpdateNetworkACL", "DeleteNetworkACL", "CreateAction", "UpdateAction", "DeployAction", "SetBindings"}
	for _, w := range userWrites(nil) {
		names = append(names, w.name)
	}
	return names
}

// goneIsDone are the deletions to which a 404 is no error.
func goneIsDone() []string {
	names := []string{"DeleteNetworkACL"}
	for _, w := range userWrites(nil) {
		if w.goneIsDone {
			names = append(names, w.name)
		}
	}
	return names
}

func TestBeyondTheFenceOnlyReadsReachTheTenant(t *testing.T) {
	f := newFakeTenant(t, func(w http.ResponseWriter, r *http.Request) { replyWell(w, r) })
	lost := errors.New("another process may work for this tenant now")
	var why error
	c := newClient(t, f, Options{Fence: func() error { return why }})
	calls := everyCall(c)
	for _, name := range writes() {
		why = nil
		require.NoError(t, calls[name](t.Context()), name)
		why = lost
		sent := len(f.requests("/"))
		err := calls[name](t.Context())
		require.ErrorIs(t, err, ErrReadOnly, name)
		require.ErrorIs(t, err, lost, name)
		require.ErrorContains(t, err, "refused: another process")
		require.NotContains(t, err.Error(), "observe")
		for _, r := range f.requests("/")[sent:] {
			require.Equal(t, "GET", r.method, "%s %s", name, r.path)
		}
		delete(calls, name)
	}
	for name, call := range calls {
		require.NoError(t, call(t.Context()), name)
	}
}

func TestInObserveModeOnlyReadsReachTheTenant(t *testing.T) {
	f := newFakeTenant(t, func(w http.ResponseWriter, r *http.Request) {
		replyWell(w, r)
	})
	c := newClient(t, f, Options{ReadOnly: true})
	require.NoError(t, c.Check(t.Context()))
	calls := everyCall(c)
	for _, name := range writes() {
		require.ErrorIs(t, calls[name](t.Context()), ErrReadOnly, name)
		delete(calls, name)
	}
	for name, call := range calls {
		require.NoError(t, call(t.Context()), name)
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "get"} {
		req, err := http.NewRequestWithContext(t.Context(), method, c.BaseURL()+"/api/v2/logs", strings.NewReader("{}"))
		require.NoError(t, err)
		_, err = c.HTTPClient().Do(req)
		require.ErrorIs(t, err, ErrReadOnly, method)
	}
	resp, err := c.HTTPClient().Get(c.BaseURL() + "/api/v2/logs")
	require.NoError(t, err)
	resp.Body.Close()
	for _, r := range f.requests("/") {
		if r.path != "/oauth/token" {
			require.Equal(t, "GET", r.method, r.path)
		}
	}
	require.Len(t, f.requests("/oauth/token"), 1)

	c.SetReadOnly(false)
	_, err = c.PatchAttackProtection(t.Context(), BotDetection, map[string]any{"bot_detection_level": "high"}, "op")
	require.NoError(t, err)
	c.SetReadOnly(true)
	_, err = c.PatchAttackProtection(t.Context(), BotDetection, map[string]any{"bot_detection_level": "high"}, "op")
	require.EqualError(t, err, "tenant acme.eu.auth0.com: change bot-detection (PATCH /api/v2/attack-protection/bot-detection): refused in observe mode")
}

func TestNoSecretAndNoTokenIsShown(t *testing.T) {
	// A tenant at its worst repeats in its errors all that it was sent.
	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Echo", r.Header.Get("Authorization")+testSecret)
			text, _ := json.Marshal(map[string]any{"statusCode": status, "errorCode": testSecret,
				"message": fmt.Sprintf("you sent %s %s %s", r.Header.Get("Authorization"), body, testSecret)})
			reply(w, status, string(text))
		}
	}
	for _, status := range []int{302, 400, 401, 403, 404, 409, 418, 429, 500, 503} {
		for _, atToken := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d at the token endpoint %v", status, atToken), func(t *testing.T) {
				f := newFakeTenant(t, echo(status))
				if atToken {
					f.token = func(w http.ResponseWriter, form map[string][]string) {
						text, _ := json.Marshal(map[string]any{"error": "access_denied", "error_description": fmt.Sprint(form)})
						reply(w, status, string(text))
					}
				}
				var logs bytes.Buffer
				c := newClient(t, f, Options{Logger: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))})
				calls := everyCall(c)
				calls["Check"] = c.Check
				calls["HTTPClient"] = func(ctx context.Context) error {
					req, _ := http.NewRequestWithContext(ctx, "GET", c.BaseURL()+"/api/v2/logs", nil)
					resp, err := c.HTTPClient().Do(req)
					if err == nil {
						resp.Body.Close()
					}
					return err
				}
				failed := 0
				for name, call := range calls {
					err := call(t.Context())
					if err == nil {
						continue
					}
					failed++
					shown := fmt.Sprintf("%v %+v %s", err, err, logs.String())
					var status *StatusError
					if asStatus(err, &status) {
						shown += fmt.Sprintf("%+v %s", *status, status.Body)
					}
					require.NotContains(t, shown, testSecret, name)
					require.NotContains(t, shown, "s3cr3t-of-the-application", name)
					require.NotContains(t, shown, "token-number-", name)
					require.Contains(t, err.Error(), testDomain, name)
				}
				require.GreaterOrEqual(t, failed, 1)
			})
		}
	}
}

func TestWhatAConfigLacks(t *testing.T) {
	good := Config{Domain: testDomain, ClientID: "id", ClientSecret: testSecret}
	for name, test := range map[string]struct {
		change func(*Config, *Options)
		want   string
	}{
		"a URL for a domain":        {func(c *Config, _ *Options) { c.Domain = "https://acme.eu.auth0.com" }, "a host name is needed"},
		"no domain":                 {func(c *Config, _ *Options) { c.Domain = "" }, "a host name is needed"},
		"a custom domain with path": {func(c *Config, _ *Options) { c.CustomDomain = "login.example.com/x" }, "custom domain"},
		"no client id":              {func(c *Config, _ *Options) { c.ClientID = "" }, "the client id is missing"},
		"no secret":                 {func(c *Config, _ *Options) { c.ClientSecret = "" }, "exactly one of"},
		"two secrets":               {func(c *Config, _ *Options) { c.PrivateKeyPEM = []byte("x") }, "exactly one of"},
		"a key that is none": {func(c *Config, _ *Options) {
			c.ClientSecret, c.PrivateKeyPEM = "", []byte("not a key")
		}, "tenant acme.eu.auth0.com: private key: it is not in PEM"},
		"a base URL without a scheme":   {func(c *Config, _ *Options) { c.BaseURL = "127.0.0.1:9000" }, "base URL"},
		"a base URL with a path":        {func(c *Config, _ *Options) { c.BaseURL = "http://127.0.0.1:9000/api" }, "base URL"},
		"a base URL with a password":    {func(c *Config, _ *Options) { c.BaseURL = "http://a:b@127.0.0.1:9000" }, "base URL"},
		"a share of more than there is": {func(_ *Config, o *Options) { o.QuotaShare = 1.5 }, "quota share"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, opts := good, Options{}
			test.change(&cfg, &opts)
			_, err := New(cfg, opts)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), testSecret)
		})
	}
	c, err := New(good, Options{})
	require.NoError(t, err)
	require.Equal(t, "https://acme.eu.auth0.com", c.BaseURL())
	good.BaseURL = "http://127.0.0.1:9000/"
	c, err = New(good, Options{})
	require.NoError(t, err)
	require.Equal(t, "http://127.0.0.1:9000", c.BaseURL())
}

func TestARawRequestHasTheTokenAndSeesEveryStatus(t *testing.T) {
	f := newFakeTenant(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Ratelimit-Reset", "17")
		reply(w, 429, "[]")
	})
	c := newClient(t, f, Options{Instance: "prod 1\n"})
	resp, err := c.HTTPClient().Get(c.BaseURL() + "/api/v2/logs?from=900&take=100")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 429, resp.StatusCode)
	require.Equal(t, "17", resp.Header.Get("X-Ratelimit-Reset"))
	seen := f.requests("/api/v2/logs")
	require.Len(t, seen, 1)
	require.Equal(t, "from=900&take=100", seen[0].query)
	require.Equal(t, "portcullis (prod-1-)", seen[0].header.Get("User-Agent"))
}

func TestTheTokenGoesToTheTenantAlone(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request went elsewhere") }))
	defer other.Close()
	f := newFakeTenant(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	c := newClient(t, f, Options{})
	_, err := c.HTTPClient().Get(other.URL + "/api/v2/logs")
	require.ErrorIs(t, err, ErrInvalid)
	resp, err := c.HTTPClient().Get(c.BaseURL() + "/api/v2/logs")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusTemporaryRedirect, resp.StatusCode)
	for name, call := range everyCall(c) {
		require.ErrorIs(t, call(t.Context()), ErrUnreachable, name)
	}
}
