package auth0_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
)

const (
	victim    = "auth0|jane"
	database  = "Username-Password-Authentication"
	elsewhere = "192.0.2.66"
	home      = "198.18.255.1"
)

// tenant is a simulated tenant and a client of it.
type tenant struct {
	*tenantsim.Tenant
	*auth0.Client
	t *testing.T
}

func newTenant(t *testing.T, opts tenantsim.Options) *tenant {
	t.Helper()
	opts.CalmRate, opts.RateBurst, opts.Users = -1, -1, 5
	sim := tenantsim.New(opts)
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(srv.Close)
	c, err := auth0.New(auth0.Config{Domain: tenantsim.DefaultDomain, CustomDomain: tenantsim.DefaultCustomDomain, BaseURL: srv.URL,
		ClientID: tenantsim.DefaultClientID, ClientSecret: tenantsim.DefaultClientSecret}, auth0.Options{})
	require.NoError(t, err)
	sim.AddUser(tenantsim.NewUser{ID: victim, Email: "jane@b.example"})
	return &tenant{Tenant: sim, Client: c, t: t}
}

func (x *tenant) signIn(ip string) string {
	x.t.Helper()
	session, err := x.Login(victim, ip)
	require.NoError(x.t, err)
	return session
}

func TestAnAccountIsTakenBackFromItsAttacker(t *testing.T) {
	x := newTenant(t, tenantsim.Options{})
	ctx := t.Context()
	session := x.signIn(elsewhere)
	phone, err := x.AddFactor(victim, elsewhere, "phone")
	require.NoError(t, err)
	require.NoError(t, x.LinkOwn(victim, elsewhere, "github|77"))
	require.NoError(t, x.ChangeEmail(victim, elsewhere, "owned@mail.example"))
	finish, err := x.BeginLogin(victim, elsewhere)
	require.NoError(t, err)

	found, err := x.UsersByEmail(ctx, "owned@mail.example")
	require.NoError(t, err)
	require.Equal(t, victim, found[0].ID)
	require.Equal(t, []auth0.Identity{{Provider: "auth0", Connection: database, UserID: "jane"}, {Provider: "github", Connection: "github", UserID: "77", Social: true}},
		found[0].Identities)

	yes, no, email := true, false, "jane@b.example"
	got, err := x.UpdateUser(ctx, victim, auth0.UserPatch{Blocked: &yes, AppMetadata: map[string]any{"portcullis": map[string]any{"case": "c-1"}}}, "op-block")
	require.NoError(t, err)
	require.True(t, got.Blocked)
	require.JSONEq(t, `{"case":"c-1"}`, string(got.AppMetadata["portcullis"]))
	marked, total, err := x.SearchUsers(ctx, `app_metadata.portcullis.case:"c-1"`)
	require.NoError(t, err)
	require.Equal(t, 1, total)
	require.Equal(t, victim, marked[0].ID)

	require.NoError(t, x.RevokeAccess(ctx, victim, auth0.AccessRevocation{}, "op-revoke"))
	sessions, err := x.Sessions(ctx, victim)
	require.NoError(t, err)
	require.Len(t, sessions, 1, "accepted, and not yet seen")
	require.Equal(t, elsewhere, sessions[0].Device.InitialIP)
	require.Equal(t, session, sessions[0].ID)
	sessions, err = x.Sessions(ctx, victim)
	require.NoError(t, err)
	require.Empty(t, sessions)
	late, err := finish()
	require.NoError(t, err)
	require.NoError(t, x.RevokeSession(ctx, late, "op-late"))
	x.Advance(time.Minute)
	sessions, err = x.Sessions(ctx, victim)
	require.NoError(t, err)
	require.Empty(t, sessions)
	tokens, err := x.RefreshTokens(ctx, victim)
	require.NoError(t, err)
	require.Empty(t, tokens)
	require.NoError(t, x.RevokeSession(ctx, late, "op-late"), "twice is fine")

	require.NoError(t, x.ForgetBrowsers(ctx, victim, "op-browsers"))
	require.NoError(t, x.ClearRisk(ctx, victim, database, "op-risk"))
	factors, err := x.Factors(ctx, victim)
	require.NoError(t, err)
	require.Equal(t, phone, factors[0].ID)
	require.Equal(t, "phone", factors[0].Type)
	require.NoError(t, x.DeleteFactor(ctx, victim, phone, "op-factor"))
	left, err := x.UnlinkIdentity(ctx, victim, "github", "77", "op-unlink")
	require.NoError(t, err)
	require.Len(t, left, 1)
	fresh, err := x.User(ctx, "github|77")
	require.NoError(t, err)
	require.False(t, fresh.Blocked, "a new user")
	_, err = x.UpdateUser(ctx, victim, auth0.UserPatch{Email: &email}, "op-email")
	require.NoError(t, err)

	require.NoError(t, x.SendResetMail(ctx, auth0.ResetMail{Email: email, Connection: database, ClientID: "wSimWebStorefront0000000000000001"}, "op-mail"))
	mail := x.Mails()[0]
	require.Contains(t, mail.Link, "https://"+tenantsim.DefaultCustomDomain+"/")
	ticket, err := x.CreatePasswordTicket(ctx, auth0.PasswordTicket{UserID: victim, TTL: time.Hour}, "op-ticket")
	require.NoError(t, err)
	require.Contains(t, ticket.URL(), "https://"+tenantsim.DefaultCustomDomain+"/")
	require.ErrorIs(t, x.ResetPassword(mail.Link, home), tenantsim.ErrTicket, "the ticket is newer")
	require.NoError(t, x.ResetPassword(ticket.URL(), home))
	_, err = x.UpdateUser(ctx, victim, auth0.UserPatch{Blocked: &no, AppMetadata: map[string]any{"portcullis": nil}}, "op-unblock")
	require.NoError(t, err)
	require.NoError(t, x.FailLogins(victim, home, 12))
	blocks, err := x.UserBlocks(ctx, victim)
	require.NoError(t, err)
	require.Equal(t, []auth0.UserBlock{{Identifier: email, IP: home, Connection: database}}, blocks)
	require.NoError(t, x.ClearUserBlocks(ctx, victim, "op-blocks"))
	x.signIn(home)
	require.Empty(t, mustAccount(t, x).AppMetadata)
}

func mustAccount(t *testing.T, x *tenant) tenantsim.Account {
	t.Helper()
	a, ok := x.Account(victim)
	require.True(t, ok)
	return a
}

func TestWithoutTheManagementOfSessionsGrantsAndCredentialsAreWhatThereIs(t *testing.T) {
	x := newTenant(t, tenantsim.Options{NoSessionManagement: true})
	ctx := t.Context()
	session := x.signIn(elsewhere)
	err := x.RevokeAccess(ctx, victim, auth0.AccessRevocation{}, "op")
	require.ErrorIs(t, err, auth0.ErrForbidden)
	_, missing := auth0.MissingScope(err)
	require.False(t, missing, "it is the plan")
	creds, err := x.DeviceCredentials(ctx, victim)
	require.NoError(t, err)
	require.Len(t, creds, 1)
	require.NoError(t, x.DeleteDeviceCredential(ctx, creds[0].ID, "op"))
	grants, err := x.Grants(ctx, victim)
	require.NoError(t, err)
	require.Len(t, grants, 1)
	require.NoError(t, x.DeleteGrants(ctx, victim, "op"))
	require.ErrorIs(t, x.Refresh(session, elsewhere), tenantsim.ErrRevoked)
}

func TestAMissingScopeIsNamed(t *testing.T) {
	x := newTenant(t, tenantsim.Options{Scopes: []string{"read:users"}})
	err := x.RevokeAccess(t.Context(), victim, auth0.AccessRevocation{}, "op")
	require.ErrorIs(t, err, auth0.ErrForbidden)
	scope, missing := auth0.MissingScope(err)
	require.True(t, missing)
	require.Equal(t, "delete:sessions, delete:refresh_tokens", scope)
	_, err = x.UpdateUser(t.Context(), victim, auth0.UserPatch{AppMetadata: map[string]any{"a": 1}}, "op")
	require.ErrorContains(t, err, "grant scope update:users")
}

func TestWhatIsNotThereIsNotFoundAndWhatIsHalfDoneIsUnknown(t *testing.T) {
	x := newTenant(t, tenantsim.Options{})
	ctx := t.Context()
	for name, call := range map[string]func(context.Context) error{
		"User": func(ctx context.Context) error { _, err := x.User(ctx, "auth0|nobody"); return err },
		"RevokeAccess": func(ctx context.Context) error {
			return x.RevokeAccess(ctx, "auth0|nobody", auth0.AccessRevocation{}, "op")
		},
		"Factors": func(ctx context.Context) error { _, err := x.Factors(ctx, "auth0|nobody"); return err },
		"Ticket": func(ctx context.Context) error {
			_, err := x.CreatePasswordTicket(ctx, auth0.PasswordTicket{UserID: "auth0|nobody", TTL: time.Hour}, "op")
			return err
		},
		"MailProvider": func(ctx context.Context) error {
			_, _, err := newTenant(t, tenantsim.Options{NoMailProvider: true}).MailProvider(ctx)
			return err
		},
	} {
		require.ErrorIs(t, call(ctx), auth0.ErrNotFound, name)
	}
	yes := true
	x.Fail(tenantsim.Fault{Method: "PATCH", PathPrefix: "/api/v2/users/" + victim, Status: 502, AfterApply: true})
	_, err := x.UpdateUser(ctx, victim, auth0.UserPatch{Blocked: &yes}, "op")
	require.ErrorIs(t, err, auth0.ErrUnknownOutcome)
	require.True(t, mustAccount(t, x).Blocked, "it was applied")
	x.Fail(tenantsim.Fault{Method: "POST", PathSuffix: "/revoke-access", Drop: true})
	require.ErrorIs(t, x.RevokeAccess(ctx, victim, auth0.AccessRevocation{}, "op"), auth0.ErrUnknownOutcome)
}

func TestFraudulentSignupsAndLeakedSecrets(t *testing.T) {
	x := newTenant(t, tenantsim.Options{})
	ctx := t.Context()
	require.NoError(t, x.Client.DeleteUser(ctx, victim, "op"))
	require.NoError(t, x.Client.DeleteUser(ctx, victim, "op"), "twice is fine")
	_, err := x.User(ctx, victim)
	require.ErrorIs(t, err, auth0.ErrNotFound)
	require.NoError(t, x.RotateClientSecret(ctx, "wSimWebStorefront0000000000000001", "op"))
	require.NotEmpty(t, x.RotatedSecret("wSimWebStorefront0000000000000001"))
	require.ErrorIs(t, x.RotateClientSecret(ctx, "nobody", "op"), auth0.ErrNotFound)
}
