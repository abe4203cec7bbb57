package tenantsim

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const home = "198.18.255.1" // of users that tests add

func (s *site) ticket(body string, headers ...string) string {
	s.t.Helper()
	got := s.call("POST", "/tickets/password-change", body, headers...)
	require.Equal(s.t, 201, got.status, got.body)
	return got.json(s.t)["ticket"].(string)
}

// ask is anybody asking for a reset mail at the public endpoint.
func (s *site) ask(email string) result {
	s.t.Helper()
	return s.call("POST", s.url+"/dbconnections/change_password",
		`{"client_id":"`+apps[0].id+`","email":"`+email+`","connection":"`+connectionName+`"}`, "Authorization", "")
}

func TestATicketSetsAPasswordOnceAndOnlyTheLatestWorks(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	s.login(id, elsewhere)
	s.call("PATCH", path, `{"blocked":true}`)
	first := s.ticket(`{"user_id":"auth0|jane","ttl_sec":3600,"client_id":"` + apps[0].id + `"}`)
	require.True(t, strings.HasPrefix(first, "https://"+DefaultDomain+"/lo/reset?ticket="), first)
	require.Empty(t, s.Mails(), "a ticket sends no mail")
	for _, ev := range s.events() {
		require.NotContains(t, string(s.Envelope(ev["log_id"].(string))), strings.Split(first, "=")[1], "the log does not tell it")
	}
	second := s.ticket(`{"user_id":"auth0|jane","ttl_sec":3600}`, "Auth0-Custom-Domain", DefaultCustomDomain)
	require.True(t, strings.HasPrefix(second, "https://"+DefaultCustomDomain), second)
	require.Equal(t, 400, s.call("POST", "/tickets/password-change", `{"user_id":"auth0|jane"}`, "Auth0-Custom-Domain", "login.evil.example").status)

	require.ErrorIs(t, s.ResetPassword(first, home), ErrTicket, "a newer one was made")
	old := s.Password(id)
	require.NoError(t, s.ResetPassword(second, home))
	require.NotEqual(t, old, s.Password(id))
	require.ErrorIs(t, s.ResetPassword(second, home), ErrTicket, "it is used up")
	require.True(t, s.account(id).Blocked, "a reset by link lifts no administrator's block")
	require.Len(t, s.account(id).Sessions, 1, "nor does it end sessions")
	scp := ofType(s.events(), "scp")
	require.Len(t, scp, 1)
	require.Equal(t, id, scp[0]["user_id"])
	require.Equal(t, home, scp[0]["ip"])
	require.Len(t, ofType(s.events(), "fcp"), 2)
	require.NotEmpty(t, s.call("GET", path, "").json(t)["last_password_reset"])

	third := s.ticket(`{"user_id":"auth0|jane","ttl_sec":60}`)
	s.Advance(61 * time.Second)
	require.ErrorIs(t, s.ResetPassword(third, home), ErrTicket, "expired")
	fourth := s.ticket(`{"connection_id":"` + connectionID + `","email":"JANE@b.example"}`)
	s.Advance(4 * 24 * time.Hour)
	require.NoError(t, s.ResetPassword(fourth, home), "five days by default")

	lifts := newSite(t, Options{ResetUnblocks: true})
	id, path = lifts.jane()
	lifts.call("PATCH", path, `{"blocked":true}`)
	require.NoError(t, lifts.ResetPassword(lifts.ticket(`{"user_id":"auth0|jane"}`), home))
	require.False(t, lifts.account(id).Blocked)
}

func TestAResetMailIsLimitedTellsNothingAndEndsEarlierLinks(t *testing.T) {
	s := newSite(t, Options{})
	id, _ := s.jane()
	link := s.ticket(`{"user_id":"auth0|jane"}`)
	got := s.ask("Jane@b.example")
	require.Equal(t, 200, got.status, got.body)
	require.Equal(t, got.body, s.ask("nobody@b.example").body, "whoever asks learns nothing")
	require.ErrorIs(t, s.ResetPassword(link, home), ErrTicket)
	require.Len(t, s.Mails(), 1)
	mail := s.Mails()[0]
	require.Equal(t, []string{"jane@b.example", "reset", id}, []string{mail.To, mail.Kind, mail.UserID})
	require.Equal(t, "sapi scpr fcpr fcp", s.types())
	require.NoError(t, s.ResetPassword(mail.Link, home))

	s.RequestReset("jane@b.example", elsewhere)
	require.Len(t, s.Mails(), 2)
	require.Equal(t, elsewhere, ofType(s.events(), "scpr")[1]["ip"])

	for range 9 {
		require.Equal(t, 200, s.ask("jane@b.example").status)
	}
	require.Equal(t, 429, s.ask("JANE@b.example").status)
	require.Equal(t, 200, s.ask("other@b.example").status, "each address has its own")
	for name, body := range map[string]string{
		"a client that is not known": `{"client_id":"x","email":"jane@b.example","connection":"` + connectionName + `"}`,
		"another connection":         `{"client_id":"` + apps[0].id + `","email":"a@b.example","connection":"x"}`,
		"nobody":                     `{"client_id":"` + apps[0].id + `","connection":"` + connectionName + `"}`,
	} {
		body = strings.ReplaceAll(body, "jane@", "j"+strings.ReplaceAll(name, " ", "")+"@")
		require.Equal(t, 400, s.call("POST", s.url+"/dbconnections/change_password", body).status, name)
	}
}

func TestWithoutAMailProviderMailsSucceedAndTheLogTells(t *testing.T) {
	s := newSite(t, Options{NoMailProvider: true})
	s.jane()
	require.Equal(t, 404, s.call("GET", "/emails/provider", "").status)
	require.Equal(t, 200, s.ask("jane@b.example").status)
	require.Equal(t, 201, s.call("POST", "/jobs/verification-email", `{"user_id":"auth0|jane"}`).status)
	require.Empty(t, s.Mails())
	require.Equal(t, "scpr fn sapi svr fn", s.types())

	with := newSite(t, Options{})
	with.jane()
	require.Equal(t, "smtp", with.call("GET", "/emails/provider", "").json(t)["name"])
	job := with.call("POST", "/jobs/verification-email", `{"user_id":"auth0|jane"}`, "Auth0-Custom-Domain", DefaultCustomDomain)
	require.Equal(t, "pending", job.json(t)["status"])
	require.Equal(t, "verification", with.Mails()[0].Kind)
	require.Contains(t, with.Mails()[0].Link, "https://"+DefaultCustomDomain)
	require.Equal(t, 404, with.call("POST", "/jobs/verification-email", `{"user_id":"auth0|nobody"}`).status)
}

func TestBruteForceBlocksAreNotAnAdministratorsBlock(t *testing.T) {
	s := newSite(t, Options{})
	id, path := s.jane()
	require.NoError(t, s.FailLogins(id, elsewhere, 12))
	_, err := s.Login(id, elsewhere)
	require.ErrorIs(t, err, ErrBruteForce)
	s.login(id, home)
	require.NoError(t, s.HumanBlocks(id))
	require.NoError(t, s.HumanUnblocks(id))
	blocks := s.call("GET", "/user-blocks/auth0%7Cjane", "").json(t)["blocked_for"].([]any)
	require.Equal(t, []any{map[string]any{"identifier": "jane@b.example", "ip": elsewhere, "connection": connectionName}}, blocks)
	require.Equal(t, blocks, s.call("GET", "/user-blocks?identifier=jane@b.example", "").json(t)["blocked_for"])
	require.Equal(t, 204, s.call("DELETE", "/user-blocks/auth0%7Cjane", "").status)
	require.Empty(t, s.call("GET", "/user-blocks/auth0%7Cjane", "").json(t)["blocked_for"])
	s.login(id, elsewhere)

	require.NoError(t, s.FailLogins(id, elsewhere, 12))
	require.Equal(t, 204, s.call("DELETE", "/user-blocks?identifier=jane@b.example", "").status)
	s.login(id, elsewhere)
	require.NoError(t, s.FailLogins(id, elsewhere, 12))
	require.NoError(t, s.ResetPassword(s.ticket(`{"user_id":"auth0|jane"}`), home))
	s.login(id, elsewhere)
	require.Empty(t, s.call("GET", "/user-blocks?identifier=nobody@b.example", "").json(t)["blocked_for"])
	require.Equal(t, 404, s.call("GET", "/user-blocks/auth0%7Cnobody", "").status)
	require.Equal(t, 200, s.call("GET", path, "").status)
}

func TestASecretThatIsRotatedIsInTheAnswerAloneAndTheOldOneIsRefused(t *testing.T) {
	s := newSite(t, Options{})
	got := s.call("POST", "/clients/"+apps[0].id+"/rotate-secret", "")
	require.Equal(t, 200, got.status, got.body)
	secret := got.json(t)["client_secret"].(string)
	require.Equal(t, secret, s.RotatedSecret(apps[0].id))
	sapi := ofType(s.events(), "sapi")
	require.Equal(t, "*****", at(sapi[0], "details.response.body.client_secret"))
	require.Equal(t, 404, s.call("POST", "/clients/nobody/rotate-secret", "").status)

	require.Equal(t, 200, s.call("POST", "/clients/"+DefaultClientID+"/rotate-secret", "").status)
	old := s.call("POST", s.url+"/oauth/token", `{"grant_type":"client_credentials","client_id":"`+DefaultClientID+`","client_secret":"`+DefaultClientSecret+`","audience":"`+s.Audience()+`"}`)
	require.Equal(t, 401, old.status)
}
