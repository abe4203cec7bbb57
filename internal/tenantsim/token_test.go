package tenantsim

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTokenEndpoint(t *testing.T) {
	s := newSite(t, Options{ClientID: "cl", ClientSecret: "p&ss word"})
	good := func(changes ...string) url.Values {
		v := url.Values{"grant_type": {"client_credentials"}, "client_id": {"cl"}, "client_secret": {"p&ss word"}, "audience": {s.Audience()}}
		for i := 0; i+1 < len(changes); i += 2 {
			v.Set(changes[i], changes[i+1])
		}
		return v
	}
	for _, tc := range []struct {
		name   string
		method string
		form   url.Values
		json   string
		basic  [2]string
		status int
		code   string
	}{
		{name: "a form with credentials gets a token", form: good(), status: 200},
		{name: "JSON gets a token", json: `{"grant_type":"client_credentials","client_id":"cl","client_secret":"p&ss word","audience":"https://sim.eu.auth0.com/api/v2/"}`, status: 200},
		{name: "form-encoded HTTP Basic gets a token", form: good("client_id", "", "client_secret", ""), basic: [2]string{"cl", "p%26ss+word"}, status: 200},
		{name: "a wrong secret is denied", form: good("client_secret", "x"), status: 401, code: "access_denied"},
		{name: "an unknown client is denied", form: good("client_id", "x"), status: 401, code: "access_denied"},
		{name: "an audience without the slash is not known", form: good("audience", "https://sim.eu.auth0.com/api/v2"), status: 403, code: "access_denied"},
		{name: "no audience is refused", form: good("audience", ""), status: 403, code: "access_denied"},
		{name: "another grant is not supported", form: good("grant_type", "password"), status: 403, code: "unsupported_grant_type"},
		{name: "no grant is invalid", form: good("grant_type", ""), status: 400, code: "invalid_request"},
		{name: "broken JSON is invalid", json: `{`, status: 400, code: "invalid_request"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			headers := []string{"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""}
			body := tc.form.Encode()
			if tc.json != "" {
				headers[1], body = "application/json", tc.json
			}
			if tc.basic[0] != "" {
				r, _ := http.NewRequest("POST", "/", nil)
				r.SetBasicAuth(tc.basic[0], tc.basic[1])
				headers[3] = r.Header.Get("Authorization")
			}
			got := s.call("POST", s.url+"/oauth/token", body, headers...)
			require.Equal(t, tc.status, got.status, got.body)
			if tc.code != "" {
				require.Equal(t, tc.code, got.json(t)["error"])
				require.NotEmpty(t, got.json(t)["error_description"])
				return
			}
			require.EqualValues(t, 86400, got.json(t)["expires_in"])
			require.Equal(t, "Bearer", got.json(t)["token_type"])
			s.token = got.json(t)["access_token"].(string)
			require.Equal(t, 200, s.call("GET", "/logs", "").status)
		})
	}
	require.Equal(t, 404, s.call("GET", s.url+"/oauth/token", "").status)
}

func TestEveryAPICallNeedsAKnownTokenAndItsScope(t *testing.T) {
	s := newSite(t, Options{Scopes: []string{"read:logs"}})
	require.Equal(t, 200, s.call("GET", "/logs", "").status)
	for _, call := range [][2]string{
		{"GET", "/attack-protection/bot-detection"}, {"PATCH", "/attack-protection/bot-detection"}, {"GET", "/network-acls"},
		{"POST", "/network-acls"}, {"GET", "/network-acls/x"}, {"PUT", "/network-acls/x"}, {"PATCH", "/network-acls/x"}, {"DELETE", "/network-acls/x"},
	} {
		got := s.call(call[0], call[1], "{}")
		require.Equal(t, 403, got.status, call)
		require.Equal(t, "insufficient_scope", got.json(t)["errorCode"])
	}
	for _, header := range []string{"", "Bearer nonsense", "Basic abc"} {
		got := s.call("GET", "/logs", "", "Authorization", header)
		require.Equal(t, 401, got.status, header)
		require.EqualValues(t, 401, got.json(t)["statusCode"])
	}
	s.RevokeTokens()
	require.Equal(t, 401, s.call("GET", "/logs", "").status)
}

func TestTokensExpireInRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := New(Options{CalmRate: -1})
		tenant.mu.Lock()
		tenant.issueToken()
		var text string
		for text = range tenant.tokens {
		}
		tenant.mu.Unlock()
		time.Sleep(24*time.Hour - time.Second)
		_, problem := tenant.checkToken("Bearer "+text, time.Now())
		require.Nil(t, problem)
		time.Sleep(2 * time.Second)
		_, problem = tenant.checkToken("Bearer "+text, time.Now())
		require.Equal(t, 401, problem.status)
	})
}
