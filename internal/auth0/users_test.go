package auth0

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const victim = "auth0|64f/ü 1" // what may stand in the user_id of an enterprise connection must be escaped

const userBody = `{"user_id":"auth0|1","email":"a@b.example","email_verified":"true","blocked":true,"app_metadata":{"case":{"id":"c1"},"tier":2},` +
	`"identities":[{"provider":"auth0","connection":"db","user_id":"1","isSocial":false},` +
	`{"provider":"github","connection":"github","user_id":77,"isSocial":true,"access_token":"idp-secret","profileData":{"email":"x@y.example"}}],` +
	`"created_at":"2026-01-02T03:04:05.678Z","last_login":"2026-02-02T00:00:00.000Z","last_ip":"192.0.2.1","logins_count":7,"later":{"x":1.50}}`

// replyOfUsers answers the calls for users with something that each can read.
func replyOfUsers(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/enrollments"), strings.Contains(path, "/identities"), strings.HasSuffix(path, "/users-by-email"):
		reply(w, 200, `[]`)
	default:
		reply(w, 200, `{"user_id":"auth0|1","users":[],"total":0,"sessions":[],"tokens":[],"authenticators":[],"grants":[],"device_credentials":[],`+
			`"blocked_for":[],"ticket":"https://acme.eu.auth0.com/lo/reset?ticket=t1#","id":"job_1","name":"smtp"}`)
	}
}

func userReads(c *Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"User":              func(ctx context.Context) error { _, err := c.User(ctx, victim); return err },
		"UsersByEmail":      func(ctx context.Context) error { _, err := c.UsersByEmail(ctx, "a+b@c.example"); return err },
		"SearchUsers":       func(ctx context.Context) error { _, _, err := c.SearchUsers(ctx, `blocked:true`); return err },
		"Sessions":          func(ctx context.Context) error { _, err := c.Sessions(ctx, victim); return err },
		"RefreshTokens":     func(ctx context.Context) error { _, err := c.RefreshTokens(ctx, victim); return err },
		"RefreshToken":      func(ctx context.Context) error { _, err := c.RefreshToken(ctx, "rt_1"); return err },
		"Factors":           func(ctx context.Context) error { _, err := c.Factors(ctx, victim); return err },
		"Enrollments":       func(ctx context.Context) error { _, err := c.Enrollments(ctx, victim); return err },
		"UserBlocks":        func(ctx context.Context) error { _, err := c.UserBlocks(ctx, victim); return err },
		"UserBlocksOf":      func(ctx context.Context) error { _, err := c.UserBlocksOf(ctx, "a+b@c.example"); return err },
		"Grants":            func(ctx context.Context) error { _, err := c.Grants(ctx, victim); return err },
		"DeviceCredentials": func(ctx context.Context) error { _, err := c.DeviceCredentials(ctx, victim); return err },
		"MailProvider":      func(ctx context.Context) error { _, _, err := c.MailProvider(ctx); return err },
	}
}

// userWrite is one call and what it must send.
type userWrite struct {
	name       string
	goneIsDone bool
	call       func(context.Context) error
	want       string // method, path as it is on the wire, and body
}

func userWrites(c *Client) []userWrite {
	const user = "/api/v2/users/auth0%7C64f%2F%C3%BC%201"
	yes := true
	patch := UserPatch{Blocked: &yes, AppMetadata: map[string]any{"case": map[string]any{"id": "c1"}, "old": nil}}
	return []userWrite{
		{"UpdateUser", false, func(ctx context.Context) error { _, err := c.UpdateUser(ctx, victim, patch, "op-u"); return err },
			"PATCH " + user + ` {"app_metadata":{"case":{"id":"c1"},"old":null},"blocked":true}`},
		{"DeleteUser", true, func(ctx context.Context) error { return c.DeleteUser(ctx, victim, "op-u") }, "DELETE " + user + " "},
		{"ClearRisk", false, func(ctx context.Context) error { return c.ClearRisk(ctx, victim, "db", "op-u") },
			"POST " + user + `/risk-assessments/clear {"assessors":["new-device"],"connection":"db"}`},
		{"RevokeAccess", false, func(ctx context.Context) error { return c.RevokeAccess(ctx, victim, AccessRevocation{}, "op-u") },
			"POST " + user + "/revoke-access {}"},
		{"DeleteSessions", false, func(ctx context.Context) error { return c.DeleteSessions(ctx, victim, "op-u") }, "DELETE " + user + "/sessions "},
		{"DeleteRefreshTokens", false, func(ctx context.Context) error { return c.DeleteRefreshTokens(ctx, victim, "op-u") }, "DELETE " + user + "/refresh-tokens "},
		{"DeleteSession", true, func(ctx context.Context) error { return c.DeleteSession(ctx, "s/1", "op-u") }, "DELETE /api/v2/sessions/s%2F1 "},
		{"RevokeSession", true, func(ctx context.Context) error { return c.RevokeSession(ctx, "s1", "op-u") }, "POST /api/v2/sessions/s1/revoke "},
		{"DeleteRefreshToken", true, func(ctx context.Context) error { return c.DeleteRefreshToken(ctx, "rt_1", "op-u") }, "DELETE /api/v2/refresh-tokens/rt_1 "},
		{"RevokeRefreshTokens", false, func(ctx context.Context) error {
			return c.RevokeRefreshTokens(ctx, TokenSelection{UserID: victim, ClientID: "cl1"}, "op-u")
		}, `POST /api/v2/refresh-tokens/revoke {"client_id":"cl1","user_id":"` + victim + `"}`},
		{"DeleteFactor", true, func(ctx context.Context) error { return c.DeleteFactor(ctx, victim, "passkey|1", "op-u") },
			"DELETE " + user + "/authentication-methods/passkey%7C1 "},
		{"DeleteFactors", false, func(ctx context.Context) error { return c.DeleteFactors(ctx, victim, "op-u") }, "DELETE " + user + "/authentication-methods "},
		{"DeleteAuthenticators", false, func(ctx context.Context) error { return c.DeleteAuthenticators(ctx, victim, "op-u") }, "DELETE " + user + "/authenticators "},
		{"DeleteEnrollment", true, func(ctx context.Context) error { return c.DeleteEnrollment(ctx, "dev_1", "op-u") }, "DELETE /api/v2/guardian/enrollments/dev_1 "},
		{"DeleteMultifactorProvider", false, func(ctx context.Context) error { return c.DeleteMultifactorProvider(ctx, victim, ProviderDuo, "op-u") },
			"DELETE " + user + "/multifactor/duo "},
		{"ForgetBrowsers", false, func(ctx context.Context) error { return c.ForgetBrowsers(ctx, victim, "op-u") },
			"POST " + user + "/multifactor/actions/invalidate-remember-browser "},
		{"LinkIdentity", false, func(ctx context.Context) error {
			_, err := c.LinkIdentity(ctx, victim, "github", "77", "op-u")
			return err
		},
			"POST " + user + `/identities {"provider":"github","user_id":"77"}`},
		{"UnlinkIdentity", false, func(ctx context.Context) error {
			_, err := c.UnlinkIdentity(ctx, victim, "github", "7/7", "op-u")
			return err
		},
			"DELETE " + user + "/identities/github/7%2F7 "},
		{"ClearUserBlocks", false, func(ctx context.Context) error { return c.ClearUserBlocks(ctx, victim, "op-u") }, "DELETE /api/v2/user-blocks/auth0%7C64f%2F%C3%BC%201 "},
		{"ClearUserBlocksOf", false, func(ctx context.Context) error { return c.ClearUserBlocksOf(ctx, "a+b@c.example", "op-u") },
			"DELETE /api/v2/user-blocks?identifier=a%2Bb%40c.example "},
		{"DeleteGrants", false, func(ctx context.Context) error { return c.DeleteGrants(ctx, "auth0|1", "op-u") }, "DELETE /api/v2/grants?user_id=auth0%7C1 "},
		{"DeleteGrant", true, func(ctx context.Context) error { return c.DeleteGrant(ctx, "g1", "op-u") }, "DELETE /api/v2/grants/g1 "},
		{"DeleteDeviceCredential", true, func(ctx context.Context) error { return c.DeleteDeviceCredential(ctx, "dcr_1", "op-u") },
			"DELETE /api/v2/device-credentials/dcr_1 "},
		{"RotateClientSecret", false, func(ctx context.Context) error { return c.RotateClientSecret(ctx, "cl1", "op-u") }, "POST /api/v2/clients/cl1/rotate-secret "},
		{"CreatePasswordTicket", false, func(ctx context.Context) error {
			_, err := c.CreatePasswordTicket(ctx, PasswordTicket{UserID: victim, ClientID: "cl1", TTL: time.Hour}, "op-u")
			return err
		}, `POST /api/v2/tickets/password-change {"client_id":"cl1","ttl_sec":3600,"user_id":"` + victim + `"}`},
		{"SendVerificationMail", false, func(ctx context.Context) error { _, err := c.SendVerificationMail(ctx, victim, "", "op-u"); return err },
			`POST /api/v2/jobs/verification-email {"user_id":"` + victim + `"}`},
	}
}

func TestWhatWritesOnUsersSend(t *testing.T) {
	for i, w := range userWrites(nil) {
		t.Run(w.name, func(t *testing.T) {
			var wire string
			f := newFakeTenant(t, func(w http.ResponseWriter, r *http.Request) {
				wire = r.URL.EscapedPath()
				replyOfUsers(w, r)
			})
			c := newClient(t, f, Options{})
			require.NoError(t, userWrites(c)[i].call(t.Context()))
			seen := f.requests("/api")
			require.Len(t, seen, 1)
			if seen[0].query != "" {
				wire += "?" + seen[0].query
			}
			body := seen[0].body
			var members map[string]any
			if json.Unmarshal([]byte(body), &members) == nil { // in the order of their names
				sorted, err := json.Marshal(members)
				require.NoError(t, err)
				body = string(sorted)
			}
			require.Equal(t, w.want, seen[0].method+" "+wire+" "+body)
			require.Equal(t, "op-u", seen[0].header.Get("X-Correlation-ID"))
		})
	}
}

func TestAUserIsReadWithoutTheTokensOfIdentityProviders(t *testing.T) {
	f := newFakeTenant(t, replies(200, userBody))
	got, err := newClient(t, f, Options{}).User(t.Context(), "auth0|1")
	require.NoError(t, err)
	require.NotContains(t, string(got.Raw), "idp-secret")
	require.Contains(t, string(got.Raw), `"later":{"x":1.50}`)
	got.Raw = nil
	require.Equal(t, User{ID: "auth0|1", Email: "a@b.example", EmailVerified: true, Blocked: true, LastIP: "192.0.2.1", LoginsCount: 7,
		AppMetadata: map[string]json.RawMessage{"case": json.RawMessage(`{"id":"c1"}`), "tier": json.RawMessage(`2`)},
		Identities:  []Identity{{Provider: "auth0", Connection: "db", UserID: "1"}, {Provider: "github", Connection: "github", UserID: "77", Social: true, Email: "x@y.example"}},
		CreatedAt:   time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), LastLogin: time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)}, got)
}

func TestWhatIsNoIDIsRefusedBeforeItIsSent(t *testing.T) {
	f := newFakeTenant(t, replies(500, ""))
	c := newClient(t, f, Options{})
	ctx := t.Context()
	text := "x"
	for name, call := range map[string]func(id string) error{
		"User":          func(id string) error { _, err := c.User(ctx, id); return err },
		"DeleteUser":    func(id string) error { return c.DeleteUser(ctx, id, "op") },
		"Sessions":      func(id string) error { _, err := c.Sessions(ctx, id); return err },
		"RevokeAccess":  func(id string) error { return c.RevokeAccess(ctx, id, AccessRevocation{}, "op") },
		"DeleteSession": func(id string) error { return c.DeleteSession(ctx, id, "op") },
		"DeleteFactor":  func(id string) error { return c.DeleteFactor(ctx, "auth0|1", id, "op") },
		"DeleteGrants":  func(id string) error { return c.DeleteGrants(ctx, id, "op") },
		"ClearBlocks":   func(id string) error { return c.ClearUserBlocks(ctx, id, "op") },
		"ClearBlocksOf": func(id string) error { return c.ClearUserBlocksOf(ctx, id, "op") },
		"Grants":        func(id string) error { _, err := c.Grants(ctx, id); return err },
		"Revoke tokens": func(id string) error { return c.RevokeRefreshTokens(ctx, TokenSelection{UserID: id}, "op") },
		"Unlink":        func(id string) error { _, err := c.UnlinkIdentity(ctx, "auth0|1", "github", id, "op"); return err },
	} {
		for _, id := range []string{"", ".", "..", "a\nb", strings.Repeat("x", 600)} {
			require.ErrorIs(t, call(id), ErrInvalid, "%s %q", name, id)
		}
	}
	for name, err := range map[string]error{
		"an empty patch":       second(c.UpdateUser(ctx, "auth0|1", UserPatch{}, "op")),
		"two at once":          second(c.UpdateUser(ctx, "auth0|1", UserPatch{Phone: &text, EmailVerified: new(bool)}, "op")),
		"an e-mail of none":    second(c.UpdateUser(ctx, "auth0|1", UserPatch{Email: &text}, "op")),
		"no op":                second(c.UpdateUser(ctx, "auth0|1", UserPatch{Phone: &text}, "")),
		"no JSON":              second(c.UpdateUser(ctx, "auth0|1", UserPatch{AppMetadata: map[string]any{"x": func() {}}}, "op")),
		"the primary identity": second(c.UnlinkIdentity(ctx, "auth0|1", "auth0", "1", "op")),
		"a provider":           c.DeleteMultifactorProvider(ctx, "auth0|1", "sms", "op"),
		"five days":            second(c.CreatePasswordTicket(ctx, PasswordTicket{UserID: "auth0|1", TTL: 5 * 24 * time.Hour}, "op")),
		"for ever":             second(c.CreatePasswordTicket(ctx, PasswordTicket{UserID: "auth0|1"}, "op")),
		"ids and a user":       c.RevokeRefreshTokens(ctx, TokenSelection{IDs: []string{"1"}, UserID: "auth0|1"}, "op"),
		"an API of no app":     c.RevokeRefreshTokens(ctx, TokenSelection{UserID: "auth0|1", Audience: "x"}, "op"),
		"too many ids":         c.RevokeRefreshTokens(ctx, TokenSelection{IDs: make([]string, 101)}, "op"),
		"an address of none":   second(c.UsersByEmail(ctx, "nobody")),
		"a mail to nobody":     c.SendResetMail(ctx, ResetMail{Email: "x", Connection: "db", ClientID: "cl1"}, "op"),
		"a mail about nothing": c.SendResetMail(ctx, ResetMail{Email: "a@b.example", Connection: "db"}, "op"),
	} {
		require.ErrorIs(t, err, ErrInvalid, name)
	}
	require.Empty(t, f.requests("/"))
}

func second[T any](_ T, err error) error { return err }

func TestAllPagesOfSessionsAndTokensAreRead(t *testing.T) {
	f := newFakeTenant(t, func(w http.ResponseWriter, r *http.Request) {
		key := "sessions"
		if strings.HasSuffix(r.URL.Path, "refresh-tokens") {
			key = "tokens"
		}
		switch r.URL.Query().Get("from") {
		case "":
			reply(w, 200, fmt.Sprintf(`{%q:[{"id":"a","created_at":"2026-01-02T03:04:05Z","expires_at":{},"device":{"initial_ip":"192.0.2.7"},"session_id":null}],"next":"c 1"}`, key))
		case "c 1":
			reply(w, 200, fmt.Sprintf(`{%q:[{"id":"b","clients":[{"client_id":"cl1"}],"resource_servers":[{"audience":"api"}]}],"next":null}`, key))
		}
	})
	c := newClient(t, f, Options{})
	sessions, err := c.Sessions(t.Context(), "auth0|1")
	require.NoError(t, err)
	require.Len(t, sessions, 2)
	require.Equal(t, "192.0.2.7", sessions[0].Device.InitialIP)
	require.Equal(t, 2026, sessions[0].CreatedAt.Year())
	require.True(t, sessions[0].ExpiresAt.IsZero())
	require.Equal(t, []string{"cl1"}, sessions[1].Clients)
	tokens, err := c.RefreshTokens(t.Context(), "auth0|1")
	require.NoError(t, err)
	require.Len(t, tokens, 2)
	require.Equal(t, []string{"api"}, tokens[1].Audiences)
	seen := f.requests("/api")
	require.Equal(t, "take=100", seen[0].query)
	require.Equal(t, "from=c+1&take=100", seen[1].query)

	endless := newFakeTenant(t, replies(200, `{"sessions":[],"next":"more"}`))
	_, err = newClient(t, endless, Options{}).Sessions(t.Context(), "auth0|1")
	require.ErrorContains(t, err, "it goes on after 100 pages")
}

func TestASearchReadsNoMoreThanAuth0Gives(t *testing.T) {
	f := newFakeTenant(t, func(w http.ResponseWriter, r *http.Request) {
		page := r.URL.Query().Get("page")
		list := []string{}
		for i := range 100 {
			list = append(list, fmt.Sprintf(`{"user_id":"auth0|%s-%d"}`, page, i))
		}
		reply(w, 200, `{"users":[`+strings.Join(list, ",")+`],"total":5000}`)
	})
	users, total, err := newClient(t, f, Options{}).SearchUsers(t.Context(), `app_metadata.case:"1"`)
	require.NoError(t, err)
	require.Len(t, users, 1000)
	require.Equal(t, 5000, total)
	require.Len(t, f.requests("/api"), 10)
	require.Equal(t, "include_totals=true&page=0&per_page=100&q=app_metadata.case%3A%221%22&search_engine=v3", f.requests("/api")[0].query)
}

func TestAnswersOnUsersThatAreNoneAreErrors(t *testing.T) {
	for _, body := range []string{``, `<html>`, `null`, `{}`, `[{}]`, `{"users":null}`} {
		c := newClient(t, newFakeTenant(t, replies(200, body)), Options{})
		for name, call := range userReads(c) {
			if name == "RefreshToken" || name == "MailProvider" || name == "Enrollments" {
				continue // all that these read may be missing
			}
			require.ErrorIs(t, call(t.Context()), ErrUnreachable, "%s %s", name, body)
		}
	}
}
