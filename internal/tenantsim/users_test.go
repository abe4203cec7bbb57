package tenantsim

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const elsewhere = "192.0.2.66"

// jane adds a user of the database and returns the path of the API for her.
func (s *site) jane() (id, path string) {
	s.AddUser(NewUser{ID: "auth0|jane", Email: "jane@b.example", AppMetadata: map[string]any{"tier": "gold", "prefs": map[string]any{"a": 1.0, "b": 2.0}}})
	return "auth0|jane", "/users/auth0%7Cjane"
}

func (s *site) account(id string) Account {
	s.t.Helper()
	a, ok := s.Account(id)
	require.True(s.t, ok, id)
	return a
}

func (s *site) login(id, ip string) string {
	s.t.Helper()
	session, err := s.Login(id, ip)
	require.NoError(s.t, err)
	return session
}

// types are the types of all events so far.
func (s *site) types() string {
	var out []string
	for _, ev := range s.events() {
		out = append(out, ev["type"].(string))
	}
	return strings.Join(out, " ")
}

func TestUsersAreFoundByIDByEmailAndBySearch(t *testing.T) {
	s := newSite(t, Options{Users: 5})
	_, path := s.jane()
	got := s.call("GET", path, "").json(t)
	require.Equal(t, "jane@b.example", got["email"])
	require.NotContains(t, got, "blocked", "who never was blocked has no such member")
	require.Equal(t, connectionName, at(got["identities"].([]any)[0], "connection"))
	require.Equal(t, 404, s.call("GET", "/users/auth0%7Cnobody", "").status)
	require.Equal(t, 200, s.call("GET", "/users/"+url.PathEscape(s.Users(1)[0]), "").status, "calm users too")

	s.AddUser(NewUser{ID: "samlp|acme|Jane/1", Email: "Jane@B.example"})
	require.Equal(t, "samlp|acme|Jane/1", s.call("GET", "/users/samlp%7Cacme%7CJane%2F1", "").json(t)["user_id"])
	require.Len(t, s.call("GET", "/users-by-email?email=jane@b.example", "").list(t), 1, "case matters")
	require.Len(t, s.call("GET", "/users-by-email?email=Jane@B.example", "").list(t), 1)
	s.AddUser(NewUser{ID: "google-oauth2|7", Email: "jane@b.example"})
	require.Len(t, s.call("GET", "/users-by-email?email=jane@b.example", "").list(t), 2, "several accounts of one address")
	require.Empty(t, s.call("GET", "/users-by-email?email=nobody@b.example", "").list(t))

	require.Equal(t, 200, s.call("PATCH", path, `{"blocked":true,"app_metadata":{"portcullis":{"case":"c-1"}}}`).status)
	for q, want := range map[string]int{`blocked:true`: 1, `app_metadata.portcullis.case:"c-1"`: 1, `app_metadata.tier:gold AND blocked:true`: 1, `identities.connection:acme`: 1,
		`email:"jane@b.example"`: 2, `created_at:[2020-01-01 TO *]`: 8, ``: 8, `blocked:false`: 0} {
		page := s.call("GET", "/users?include_totals=true&search_engine=v3&q="+url.QueryEscape(q), "").json(t)
		require.Equal(t, float64(want), page["total"], q)
	}
	require.Equal(t, 400, s.call("GET", "/users?q=secret:1", "").status)
	require.Equal(t, 400, s.call("GET", "/users?page=10&per_page=100", "").status, "a thousand at most")
	require.Len(t, s.call("GET", "/users?per_page=3&page=2", "").list(t), 2)
}

func TestAPatchMergesMetadataAtTheFirstLevelAlone(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	got := s.call("PATCH", path, `{"blocked":true,"app_metadata":{"prefs":{"c":3},"case":"x"}}`)
	require.Equal(t, 200, got.status, got.body)
	require.Equal(t, true, got.json(t)["blocked"])
	require.Equal(t, map[string]any{"tier": "gold", "case": "x", "prefs": map[string]any{"c": 3.0}}, got.json(t)["app_metadata"], "nested objects are replaced")
	s.call("PATCH", path, `{"app_metadata":{"case":null}}`)
	require.NotContains(t, s.account(id).AppMetadata, "case")
	require.True(t, s.account(id).Blocked)
	sapi := ofType(s.events(), "sapi")
	require.Equal(t, "/api/v2/users/auth0%7Cjane", at(sapi[0], "details.request.path"), "as it was sent")
	require.Equal(t, true, at(sapi[0], "details.response.body.blocked"))
}

func TestPatchesThatAreRefused(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	s.AddUser(NewUser{ID: "google-oauth2|7", Email: "j@x.example"})
	for name, call := range map[string][3]string{
		"password and e-mail":      {"PATCH", path, `{"password":"long enough","email":"a@b.example"}`},
		"e-mail and its state":     {"PATCH", path, `{"email_verified":true,"email":"a@b.example"}`},
		"a block that is a text":   {"PATCH", path, `{"blocked":"true"}`},
		"an unknown member":        {"PATCH", path, `{"admin":true}`},
		"metadata that is none":    {"PATCH", path, `{"app_metadata":[]}`},
		"a foreign connection":     {"PATCH", path, `{"password":"long enough","connection":"github"}`},
		"a password at Google":     {"PATCH", "/users/google-oauth2%7C7", `{"password":"long enough"}`},
		"an address at Google":     {"PATCH", "/users/google-oauth2%7C7", `{"email":"a@b.example"}`},
		"a ticket at Google":       {"POST", "/tickets/password-change", `{"user_id":"google-oauth2|7"}`},
		"a ticket for two":         {"POST", "/tickets/password-change", `{"user_id":"auth0|jane","email":"a@b.example"}`},
		"a ticket with two ends":   {"POST", "/tickets/password-change", `{"user_id":"auth0|jane","client_id":"x","result_url":"https://x.example"}`},
		"revoking by two things":   {"POST", "/refresh-tokens/revoke", `{"ids":["a"],"user_id":"b"}`},
		"revoking an API alone":    {"POST", "/refresh-tokens/revoke", `{"user_id":"auth0|jane","audience":"x"}`},
		"a link to oneself":        {"POST", path + "/identities", `{"provider":"auth0","user_id":"jane"}`},
		"unlinking the main one":   {"DELETE", path + "/identities/auth0/jane", ""},
		"an assessor that is none": {"POST", path + "/risk-assessments/clear", `{"connection":"` + connectionName + `","assessors":["old-device"]}`},
		"a provider that is none":  {"DELETE", path + "/multifactor/sms", ""},
		"grants of nobody":         {"DELETE", "/grants", ""},
		"blocks of nobody":         {"DELETE", "/user-blocks", ""},
		"more than a page":         {"GET", path + "/sessions?take=101", ""},
		"a cursor that is none":    {"GET", path + "/sessions?from=xyz", ""},
	} {
		got := s.call(call[0], call[1], call[2])
		require.Equal(t, 400, got.status, "%s: %s", name, got.body)
	}
	require.Equal(t, "calm-password-of-jane", s.Password(id))
	require.Empty(t, ofType(s.events(), "sapi"), "what fails is not logged")
}

func TestABlockedUserIsRefusedAndAPasswordByTheAPILiftsTheBlockSilently(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	session := s.login(id, elsewhere)
	require.NoError(t, s.HumanBlocks(id))
	logins := s.call("GET", path, "").json(t)["logins_count"].(float64)
	_, err := s.Login(id, elsewhere)
	require.ErrorIs(t, err, ErrUserBlocked)
	require.ErrorIs(t, s.Refresh(session, elsewhere), ErrUserBlocked)
	require.Equal(t, logins+1, s.call("GET", path, "").json(t)["logins_count"], "refused logins count")
	require.Len(t, s.account(id).Sessions, 1, "a block ends no session")
	f := ofType(s.events(), "f")
	require.Len(t, f, 1)
	require.Equal(t, "user is blocked", f[0]["description"])
	require.Equal(t, elsewhere, f[0]["ip"])
	require.Equal(t, id, f[0]["user_id"])

	require.Equal(t, 200, s.call("PATCH", path, `{"password":"a new password","connection":"`+connectionName+`"}`).status)
	require.False(t, s.account(id).Blocked)
	require.Equal(t, "s seacft sapi f fertft sapi", s.types(), "nothing but the sapi tells it")
	require.NotContains(t, string(s.Envelope(ofType(s.events(), "sapi")[1]["log_id"].(string))), "a new password")
	_, err = s.LoginWith(id, elsewhere, "calm-password-of-jane")
	require.ErrorIs(t, err, ErrWrongPassword)
	require.NoError(t, s.HumanBlocks(id))
	require.NoError(t, s.HumanUnblocks(id))
	s.login(id, elsewhere)
}

func TestAnIdentityThatIsUnlinkedIsANewUser(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	require.NoError(t, s.LinkOwn(id, elsewhere, "github|77"))
	require.Equal(t, []string{id, "github|77"}, s.account(id).Identities)
	require.Equal(t, 404, s.call("GET", "/users/github%7C77", "").status)
	s.call("PATCH", path, `{"blocked":true,"app_metadata":{"case":"c"}}`)
	got := s.call("DELETE", path+"/identities/github/77", "")
	require.Equal(t, 200, got.status)
	require.Len(t, got.list(t), 1)
	fresh := s.call("GET", "/users/github%7C77", "").json(t)
	require.NotContains(t, fresh, "blocked")
	require.NotContains(t, fresh, "app_metadata")
	s.login("github|77", elsewhere)
	require.Equal(t, "github", ofType(s.events(), "s")[0]["strategy"])

	require.Equal(t, 201, s.call("POST", path+"/identities", `{"provider":"github","user_id":"77"}`).status)
	require.NoError(t, s.Unlink(id, "github|77"))
	require.Equal(t, 404, s.call("DELETE", path+"/identities/github/77", "").status)
	require.Equal(t, 404, s.call("POST", path+"/identities", `{"provider":"github","user_id":"78"}`).status)
	require.NoError(t, s.LinkOwn(id, elsewhere, "github|77"))
	require.NoError(t, s.DeleteUser(id))
	require.Equal(t, 404, s.call("GET", path, "").status)
	require.Equal(t, 404, s.call("GET", "/users/github%7C77", "").status, "with the primary identity all are gone")
	require.Len(t, ofType(s.events(), "sdu"), 1)
	require.Equal(t, 204, s.call("DELETE", path, "").status, "deleting twice is fine")
}

func TestAnAddressIsLowerCaseInADatabaseAndOldEventsKeepTheOldOne(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	s.login(id, elsewhere)
	require.NoError(t, s.ChangeEmail(id, elsewhere, "Mallory@Evil.example"))
	require.Equal(t, "mallory@evil.example", s.account(id).Email)
	require.False(t, s.account(id).EmailVerified)
	s.login(id, elsewhere)
	events := s.events()
	require.Equal(t, "jane@b.example", ofType(events, "s")[0]["user_name"])
	require.Equal(t, "mallory@evil.example", ofType(events, "s")[1]["user_name"])
	require.Equal(t, elsewhere, ofType(events, "sce")[0]["ip"])
	require.Equal(t, 200, s.call("PATCH", path, `{"email":"JANE@b.example"}`).status)
	require.Equal(t, 200, s.call("PATCH", path, `{"email_verified":true}`).status)
	require.Equal(t, "jane@b.example", s.account(id).Email)
	require.True(t, s.account(id).EmailVerified)
}

func TestCallsOnUsersAskForTheirScopes(t *testing.T) {
	none := newSite(t, Options{Scopes: []string{"read:logs"}})
	type endpoint struct{ method, path, scope string }
	var all []endpoint
	for _, r := range userRoutes {
		all = append(all, endpoint{r.method, r.path, r.scope})
	}
	for _, r := range userReads {
		all = append(all, endpoint{r.method, r.path, r.scope})
	}
	require.Len(t, all, 39)
	for _, e := range all {
		path := strings.ReplaceAll(e.path, "{id}", "x")
		require.Equal(t, 403, none.call(e.method, path, "{}").status, path)
		require.Contains(t, none.call(e.method, path, "{}").body, "insufficient_scope")
		for _, scope := range strings.Split(e.scope, "+") {
			require.Contains(t, AllScopes(), scope)
		}
	}
	one := newSite(t, Options{Scopes: []string{"delete:sessions"}})
	got := one.call("POST", "/users/x/revoke-access", "{}")
	require.Equal(t, 403, got.status)
	require.Contains(t, got.body, "expected all of: delete:sessions, delete:refresh_tokens")
	both := newSite(t, Options{Scopes: []string{"delete:sessions", "delete:refresh_tokens"}})
	require.Equal(t, 404, both.call("POST", "/users/x/revoke-access", "{}").status)
}
