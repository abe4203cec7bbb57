package tenantsim

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// listed are the ids that a list of the API shows.
func (s *site) listed(path, key string) []string {
	s.t.Helper()
	got := s.call("GET", path, "")
	require.Equal(s.t, 200, got.status, got.body)
	ids := []string{}
	for _, one := range got.json(s.t)[key].([]any) {
		ids = append(ids, at(one, "id").(string))
	}
	return ids
}

func TestSessionsAndTokensAreListedByCursor(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	var sessions []string
	for i := range 5 {
		sessions = append(sessions, s.login(id, fmt.Sprintf("192.0.2.%d", i+1)))
	}
	for list, key := range map[string]string{"/sessions": "sessions", "/refresh-tokens": "tokens"} {
		var ids []string
		from, pages := "", 0
		for more := true; more; pages++ {
			page := s.call("GET", path+list+"?take=2"+from, "").json(t)
			for _, one := range page[key].([]any) {
				require.Equal(t, id, at(one, "user_id"))
				require.Equal(t, fmt.Sprintf("192.0.2.%d", len(ids)+1), at(one, "device.initial_ip"))
				ids = append(ids, at(one, "id").(string))
			}
			var next string
			next, more = page["next"].(string)
			from = "&from=" + next
		}
		require.Equal(t, 3, pages)
		require.Len(t, ids, 5)
	}
	require.Equal(t, sessions, s.account(id).Sessions)
	require.NoError(t, s.Refresh(sessions[0], "192.0.2.99"))
	one := s.call("GET", "/refresh-tokens/rt_"+sessions[0], "").json(t)
	require.Equal(t, "192.0.2.99", at(one, "device.last_ip"))
	require.Equal(t, sessions[0], one["session_id"])
	s.Advance(8 * 24 * time.Hour)
	require.Empty(t, s.listed(path+"/sessions", "sessions"), "expired")
	require.Len(t, s.listed(path+"/refresh-tokens", "tokens"), 5, "refresh tokens outlive sessions")
}

func TestARevocationIsAcceptedAndHappensLater(t *testing.T) {
	for _, test := range []struct {
		name, method, path, body string
		sessions, tokens         int // that are left of two each
	}{
		{"all access", "POST", "/users/auth0%7Cjane/revoke-access", `{}`, 0, 0},
		{"the sessions of all access", "POST", "/users/auth0%7Cjane/revoke-access", `{"preserve_refresh_tokens":true}`, 0, 2},
		{"one session and its tokens", "POST", "/users/auth0%7Cjane/revoke-access", `{"session_id":"$"}`, 1, 1},
		{"sessions", "DELETE", "/users/auth0%7Cjane/sessions", "", 0, 2},
		{"refresh tokens", "DELETE", "/users/auth0%7Cjane/refresh-tokens", "", 2, 0},
		{"a session", "DELETE", "/sessions/$", "", 1, 2},
		{"a session with its tokens", "POST", "/sessions/$/revoke", "", 1, 1},
		{"a refresh token", "DELETE", "/refresh-tokens/rt_$", "", 2, 1},
		{"tokens by id", "POST", "/refresh-tokens/revoke", `{"ids":["rt_$","rt_gone"]}`, 2, 1},
		{"tokens of a user", "POST", "/refresh-tokens/revoke", `{"user_id":"auth0|jane"}`, 2, 0},
		{"tokens of another application", "POST", "/refresh-tokens/revoke", `{"user_id":"auth0|jane","client_id":"other"}`, 2, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, byReading := range []bool{true, false} {
				s := newSite(t, Options{})
				id, path := s.jane()
				first := s.login(id, elsewhere)
				s.login(id, elsewhere)
				fill := func(text string) string { return replaceAll(text, first) }
				got := s.call(test.method, fill(test.path), fill(test.body))
				require.Equal(t, 202, got.status, got.body)
				require.Empty(t, got.body)
				require.Len(t, s.account(id).Sessions, 2)
				require.NoError(t, s.Refresh(first, elsewhere), "it works until it is over")
				if byReading {
					require.Len(t, s.listed(path+"/sessions", "sessions"), 2, "the first look sees nothing of it")
					require.Len(t, s.listed(path+"/refresh-tokens", "tokens"), 2)
				} else {
					s.Advance(6 * time.Second)
				}
				require.Len(t, s.listed(path+"/sessions", "sessions"), test.sessions)
				require.Len(t, s.listed(path+"/refresh-tokens", "tokens"), test.tokens)
				require.Len(t, s.account(id).Sessions, test.sessions)
				require.Len(t, s.account(id).RefreshTokens, test.tokens)
				require.Len(t, ofType(s.events(), "sapi"), 1)
			}
		})
	}
}

func replaceAll(text, id string) string {
	out := ""
	for _, r := range text {
		if r == '$' {
			out += id
		} else {
			out += string(r)
		}
	}
	return out
}

func TestWhatIsRevokedIsGoneAndItsUseIsInTheLog(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	session := s.login(id, elsewhere)
	require.Equal(t, 202, s.call("POST", path+"/revoke-access", `{}`).status)
	s.Advance(time.Minute)
	require.ErrorIs(t, s.Refresh(session, elsewhere), ErrRevoked)
	refused := ofType(s.events(), "fertft")
	require.Len(t, refused, 1)
	require.Equal(t, "grant_revoked", at(refused[0], "details.failure_reason"))
	require.Equal(t, id, refused[0]["user_id"])
	for _, call := range [][2]string{{"DELETE", "/sessions/" + session}, {"POST", "/sessions/" + session + "/revoke"}, {"DELETE", "/refresh-tokens/rt_" + session},
		{"GET", "/refresh-tokens/rt_" + session}, {"DELETE", "/users/auth0%7Cnobody/sessions"}} {
		require.Equal(t, 404, s.call(call[0], call[1], "").status, call)
	}
}

func TestALoginUnderWayMakesASessionAfterTheBlockAndTheRevocation(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	s.login(id, elsewhere)
	finish, err := s.BeginLogin(id, elsewhere)
	require.NoError(t, err)
	require.Equal(t, 200, s.call("PATCH", path, `{"blocked":true}`).status)
	require.Equal(t, 202, s.call("POST", path+"/revoke-access", `{}`).status)
	s.Advance(time.Minute)
	require.Empty(t, s.listed(path+"/sessions", "sessions"))
	late, err := finish()
	require.NoError(t, err)
	require.Equal(t, []string{late}, s.listed(path+"/sessions", "sessions"))
	_, err = s.BeginLogin(id, elsewhere)
	require.ErrorIs(t, err, ErrUserBlocked)
}

func TestSessionsAreOfSomePlansOnly(t *testing.T) {
	s := newSite(t, Options{NoSessionManagement: true})
	id, path := s.jane()
	session := s.login(id, elsewhere)
	for _, call := range [][3]string{{"GET", path + "/sessions"}, {"GET", path + "/refresh-tokens"}, {"POST", path + "/revoke-access", "{}"}, {"DELETE", path + "/sessions"},
		{"DELETE", path + "/refresh-tokens"}, {"DELETE", "/sessions/" + session}, {"POST", "/sessions/" + session + "/revoke"}, {"GET", "/refresh-tokens/rt_" + session},
		{"DELETE", "/refresh-tokens/rt_" + session}, {"POST", "/refresh-tokens/revoke", `{"user_id":"auth0|jane"}`}} {
		got := s.call(call[0], call[1], call[2])
		require.Equal(t, 403, got.status, call)
		require.NotContains(t, got.body, "insufficient_scope")
	}
	require.Equal(t, 204, s.call("DELETE", "/grants?user_id=auth0%7Cjane", "").status, "this is how it is done there")
	require.ErrorIs(t, s.Refresh(session, elsewhere), ErrRevoked)
	require.Equal(t, []string{session}, s.account(id).Sessions, "sessions stay")

	early := newSite(t, Options{NoTokenRevocation: true})
	early.jane()
	require.Equal(t, 403, early.call("POST", "/refresh-tokens/revoke", `{"user_id":"auth0|jane"}`).status)
	require.Equal(t, 202, early.call("POST", path+"/revoke-access", "{}").status)
}

func TestGrantsAndDeviceCredentials(t *testing.T) {
	s := newSite(t, Options{})
	id, _ := s.jane()
	first, second := s.login(id, elsewhere), s.login(id, elsewhere)
	creds := s.call("GET", "/device-credentials?user_id=auth0%7Cjane&include_totals=true", "").json(t)
	require.Equal(t, 2.0, creds["total"])
	cred := at(creds["device_credentials"].([]any)[0], "id").(string)
	require.Equal(t, 204, s.call("DELETE", "/device-credentials/"+cred, "").status)
	require.Equal(t, 404, s.call("DELETE", "/device-credentials/"+cred, "").status)
	require.ErrorIs(t, s.Refresh(first, elsewhere), ErrRevoked)
	require.NoError(t, s.Refresh(second, elsewhere))
	grants := s.call("GET", "/grants?user_id=auth0%7Cjane", "").list(t)
	require.Len(t, grants, 1, "one of each application")
	require.Equal(t, 204, s.call("DELETE", "/grants/"+grants[0]["id"].(string), "").status)
	require.Equal(t, 404, s.call("DELETE", "/grants/"+grants[0]["id"].(string), "").status)
	require.ErrorIs(t, s.Refresh(second, elsewhere), ErrRevoked)
	require.Zero(t, s.account(id).Grants)
	require.Len(t, s.account(id).Sessions, 2)
}
