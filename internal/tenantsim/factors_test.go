package tenantsim

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFactorsAreListedAndRemovedOneByOneOrTogether(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	add := func(typ string) string {
		f, err := s.AddFactor(id, elsewhere, typ)
		require.NoError(t, err)
		return f
	}
	phone, passkey, totp := add("phone"), add("passkey"), add("totp")
	list := s.call("GET", path+"/authentication-methods", "").list(t)
	require.Len(t, list, 3)
	require.Equal(t, "passkey", list[1]["type"])
	require.NotEmpty(t, list[0]["phone_number"])
	require.Equal(t, 3.0, s.call("GET", path+"/authentication-methods?include_totals=true", "").json(t)["total"])
	enrolled := ofType(s.events(), "gd_enrollment_complete")
	require.Equal(t, "Guardian - Enrollment complete (sms)", enrolled[0]["description"])
	require.Equal(t, elsewhere, enrolled[0]["ip"])
	enrollments := s.call("GET", path+"/enrollments", "").list(t)
	require.Len(t, enrollments, 2)

	require.Equal(t, 403, s.call("DELETE", path+"/authentication-methods", "").status, "there is a passkey")
	require.Len(t, s.account(id).Factors, 3)
	require.Equal(t, 204, s.call("DELETE", path+"/authentication-methods/"+passkey, "").status)
	require.Equal(t, 404, s.call("DELETE", path+"/authentication-methods/"+passkey, "").status)
	require.Equal(t, 204, s.call("DELETE", "/guardian/enrollments/"+enrollments[0]["id"].(string), "").status)
	require.NotContains(t, s.account(id).Factors, phone)
	require.Equal(t, 404, s.call("DELETE", "/guardian/enrollments/"+enrollments[0]["id"].(string), "").status)
	require.Equal(t, 204, s.call("DELETE", path+"/multifactor/google-authenticator", "").status)
	require.NotContains(t, s.account(id).Factors, totp)
	require.Equal(t, 204, s.call("DELETE", path+"/multifactor/duo", "").status, "also where there is none")
	add("phone")
	add("push-notification")
	require.Equal(t, 204, s.call("DELETE", path+"/authentication-methods", "").status)
	add("phone")
	require.Equal(t, 204, s.call("DELETE", path+"/authenticators", "").status)
	require.Empty(t, s.account(id).Factors)
	key := add("passkey")
	require.NoError(t, s.ResetPassword(s.ticket(`{"user_id":"auth0|jane"}`), home))
	_, err := s.LoginByPasskey(id, elsewhere, key)
	require.NoError(t, err)
	require.Equal(t, 204, s.call("DELETE", path+"/authentication-methods/"+key, "").status)
	_, err = s.LoginByPasskey(id, elsewhere, key)
	require.ErrorIs(t, err, ErrWrongPassword)
	gone := ofType(s.events(), "gd_unenroll")
	require.Len(t, gone, 7)
	require.Equal(t, passkey, at(gone[0], "details.authenticator.id"))
	require.Equal(t, id, gone[0]["user_id"])
}

func TestBrowsersAndDevicesAreForgotten(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	s.login(id, elsewhere)
	require.Equal(t, 1, s.account(id).RememberedBrowsers)
	require.Equal(t, 204, s.call("POST", path+"/multifactor/actions/invalidate-remember-browser", "").status)
	require.Zero(t, s.account(id).RememberedBrowsers)
	require.Equal(t, 1, s.account(id).KnownDevices)
	require.Equal(t, 404, s.call("POST", path+"/risk-assessments/clear", `{"connection":"other","assessors":["new-device"]}`).status)
	require.Equal(t, 204, s.call("POST", path+"/risk-assessments/clear", `{"connection":"`+connectionName+`","assessors":["new-device"]}`).status)
	require.Zero(t, s.account(id).KnownDevices)
	require.Len(t, ofType(s.events(), "sapi"), 2)
}

func TestATakeoverMovesInAndIsEndedByBlockRevocationAndReset(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	s.Attack(Attack{Kind: AccountTakeover, Target: id, Duration: time.Hour, IPs: []netip.Addr{netip.MustParseAddr(elsewhere)},
		Moves: []Move{EnrolPhone, EnrolPasskey, LinkIdentity, MoveEmail}})
	s.Advance(10 * time.Minute)
	a := s.account(id)
	require.Len(t, a.Factors, 2)
	require.Equal(t, []string{id, "github|owned-jane"}, a.Identities)
	require.Equal(t, "owned.jane@mail.example", a.Email)
	require.Len(t, a.Sessions, 1)
	require.Greater(t, s.Stats().EventsByType["sertft"], 2)
	require.Equal(t, 1, s.Stats().EventsByType["s"])

	require.Equal(t, 200, s.call("PATCH", path, `{"blocked":true}`).status)
	s.Advance(10 * time.Minute)
	require.Greater(t, s.Stats().EventsByType["f"], 2, "it signs in again")
	require.Equal(t, 1, s.Stats().EventsByType["s"])
	require.Equal(t, 202, s.call("POST", path+"/revoke-access", `{}`).status)
	s.Advance(time.Minute)
	require.Empty(t, s.account(id).Sessions)
	require.NoError(t, s.ResetPassword(s.ticket(`{"user_id":"auth0|jane"}`), home))
	require.Equal(t, 200, s.call("PATCH", path, `{"blocked":false}`).status)
	s.Advance(5 * time.Minute)
	require.Equal(t, 2, s.Stats().EventsByType["s"], "by the passkey")
	for _, f := range s.account(id).Factors {
		require.Equal(t, 204, s.call("DELETE", path+"/authentication-methods/"+f, "").status)
	}
	require.Equal(t, 202, s.call("POST", path+"/revoke-access", `{}`).status)
	s.Advance(10 * time.Minute)
	require.Positive(t, s.Stats().EventsByType["fp"], "the stolen password is worth nothing")
	require.Equal(t, 2, s.Stats().EventsByType["s"])
	require.NoError(t, s.DeleteUser(id))
	s.Advance(10 * time.Minute)
	require.Positive(t, s.Stats().EventsByType["fu"])
}

func TestManyAccountsAreTakenOver(t *testing.T) {
	s := newSite(t, Options{Users: 50, NoBotDetection: true})
	s.Attack(Attack{Kind: AccountTakeover, Users: 20, Rate: 1, Duration: 2 * time.Minute})
	s.Advance(2 * time.Minute)
	require.Equal(t, 20, s.Stats().EventsByType["s"])
	for _, id := range s.Users(20) {
		require.NotEmpty(t, s.account(id).Sessions)
	}
}

func TestCalmUsersFeelWhatIsDoneToThem(t *testing.T) {
	s := newSite(t, Options{Users: 1, CalmRate: 0.05})
	id := s.Users(1)[0]
	s.Advance(3 * time.Hour)
	require.NotEmpty(t, s.account(id).Sessions)
	require.Zero(t, s.Stats().EventsByType["fertft"])
	require.Equal(t, 202, s.call("POST", "/users/"+id+"/revoke-access", `{}`).status)
	s.Advance(2 * time.Hour)
	require.Positive(t, s.Stats().EventsByType["fertft"])
	require.NoError(t, s.HumanBlocks(id))
	before := s.Stats()
	s.Advance(2 * time.Hour)
	require.Less(t, s.Stats().CalmLogins-before.CalmLogins, 20, "none but those who sign up")
	require.Positive(t, s.Stats().EventsByType["f"])
	require.NoError(t, s.DeleteUser(id))
	s.Advance(2 * time.Hour)
	require.Positive(t, s.Stats().EventsByType["fu"])
}
