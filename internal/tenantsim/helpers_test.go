package tenantsim

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var testStart = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// site is a tenant behind a real server, and a token for it.
type site struct {
	*Tenant
	t     *testing.T
	url   string
	token string
}

// newSite serves a tenant without rate limit whose clock moves by Advance only. Calm traffic is off unless asked for.
func newSite(t *testing.T, opts Options) *site {
	t.Helper()
	if opts.Start.IsZero() {
		opts.Start = testStart
	}
	if opts.CalmRate == 0 {
		opts.CalmRate = -1
	}
	if opts.RateBurst == 0 {
		opts.RateBurst = -1
	}
	s := &site{Tenant: New(opts), t: t}
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(srv.Close)
	s.url = srv.URL
	s.token = s.fetchToken()
	return s
}

func (s *site) fetchToken() string {
	s.t.Helper()
	res, err := http.PostForm(s.url+"/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {s.opts.ClientID},
		"client_secret": {s.opts.ClientSecret}, "audience": {s.Audience()}})
	require.NoError(s.t, err)
	defer res.Body.Close()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(s.t, json.NewDecoder(res.Body).Decode(&body))
	return body.AccessToken
}

// result is an answer read to its end.
type result struct {
	status int
	header http.Header
	body   string
}

func (r result) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.body), &m), r.body)
	return m
}

func (r result) list(t *testing.T) []map[string]any {
	t.Helper()
	var l []map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.body), &l), r.body)
	return l
}

func (s *site) send(method, path, body string, headers ...string) (result, error) {
	target := path
	if !strings.HasPrefix(path, "http") {
		target = s.url + "/api/v2" + path
	}
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return result{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return result{res.StatusCode, res.Header, string(raw)}, err
}

func (s *site) call(method, path, body string, headers ...string) result {
	s.t.Helper()
	r, err := s.send(method, path, body, headers...)
	require.NoError(s.t, err)
	return r
}

// events returns every indexed event's stream data.
func (s *site) events() []map[string]any { return decodeEvents(s.t, s.Tenant) }

func decodeEvents(t *testing.T, tenant *Tenant) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, tenant.WriteEnvelopes(&out))
	var list []map[string]any
	for dec := json.NewDecoder(&out); dec.More(); {
		var env struct {
			LogID string         `json:"log_id"`
			Data  map[string]any `json:"data"`
		}
		require.NoError(t, dec.Decode(&env))
		require.Equal(t, env.LogID, env.Data["log_id"])
		list = append(list, env.Data)
	}
	return list
}

func ofType(events []map[string]any, types ...string) []map[string]any {
	var out []map[string]any
	for _, ev := range events {
		for _, typ := range types {
			if ev["type"] == typ {
				out = append(out, ev)
			}
		}
	}
	return out
}

// at walks into nested objects.
func at(v any, path string) any {
	for _, key := range strings.Split(path, ".") {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}
