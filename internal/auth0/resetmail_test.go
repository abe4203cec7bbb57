package auth0

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var testMail = ResetMail{Email: "Jane@b.example", Connection: "db", ClientID: "cl1"}

func TestAResetMailIsAskedForWithoutATokenOnTheUsersDomain(t *testing.T) {
	var host string
	f := newFakeTenant(t, nil)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host = r.Host
		f.mu.Lock()
		f.seen = append(f.seen, request{method: r.Method, path: r.URL.Path, header: r.Header.Clone()})
		f.mu.Unlock()
		reply(w, 200, `"We've just sent you an email to reset your password."`)
	})
	c, err := New(Config{Domain: testDomain, CustomDomain: "login.acme.example", BaseURL: f.URL, ClientID: "c", ClientSecret: testSecret}, Options{})
	require.NoError(t, err)
	require.NoError(t, c.SendResetMail(t.Context(), testMail, "op-1"))
	require.Equal(t, "login.acme.example", host)
	require.Len(t, f.requests("/"), 1, "no token is fetched")
	require.Equal(t, "POST", f.requests("/dbconnections/change_password")[0].method)
	require.Empty(t, f.requests("/")[0].header.Get("Authorization"))
	require.Equal(t, "op-1", f.requests("/")[0].header.Get("X-Correlation-ID"))

	c, err = New(Config{Domain: testDomain, CustomDomain: "login.acme.example", ClientID: "c", ClientSecret: testSecret}, Options{})
	require.NoError(t, err)
	require.Equal(t, "https://login.acme.example", c.publicBase)

	c.SetReadOnly(true)
	require.ErrorIs(t, c.SendResetMail(t.Context(), testMail, "op-1"), ErrReadOnly)
}

func TestResetMailsToOneAddressAreTenAtOnceAndThenOneAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l mailLimit
		start := time.Now()
		for range 10 {
			require.Zero(t, l.take("a@b.example", time.Now()))
		}
		require.Equal(t, time.Minute, l.take("A@b.example", time.Now()))
		require.Zero(t, l.take("other@b.example", time.Now()))
		time.Sleep(45 * time.Second)
		require.Equal(t, 15*time.Second, l.take("a@b.example", time.Now()))
		time.Sleep(15 * time.Second)
		require.Zero(t, l.take("a@b.example", time.Now()))
		require.Equal(t, time.Minute, l.take("a@b.example", time.Now()))
		time.Sleep(time.Hour)
		for range 10 {
			require.Zero(t, l.take("a@b.example", time.Now()))
		}
		require.Equal(t, time.Hour+time.Minute, time.Since(start))
		for i := range mailsKept + 10 {
			l.take(fmt.Sprint(i, "@b.example"), time.Now())
		}
		require.LessOrEqual(t, len(l.full), mailsKept)
	})
}

func TestAResetMailAboveTheLimitIsNotSentAndSaysForHowLong(t *testing.T) {
	f := newFakeTenant(t, replies(200, `"ok"`))
	f.anyToken = true
	c := newClient(t, f, Options{})
	for range 10 {
		require.NoError(t, c.SendResetMail(t.Context(), testMail, "op"))
	}
	err := c.SendResetMail(t.Context(), testMail, "op")
	require.ErrorIs(t, err, ErrRateLimited)
	require.NotContains(t, err.Error(), "Jane")
	wait, known := RetryAfter(err)
	require.True(t, known)
	require.InDelta(t, time.Minute, wait, float64(10*time.Second))
	require.Len(t, f.requests("/dbconnections"), 10)
}

func TestAResetMailIsRepeatedByNobody(t *testing.T) {
	for status, want := range map[int]error{429: ErrRateLimited, 500: ErrUnknownOutcome, 400: ErrInvalid, 302: ErrUnreachable} {
		f := newFakeTenant(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			reply(w, status, `{"message":"no"}`)
		})
		f.anyToken = true
		c := newClient(t, f, Options{})
		err := c.SendResetMail(t.Context(), testMail, "op")
		require.ErrorIs(t, err, want, status)
		require.Len(t, f.requests("/dbconnections"), 1)
		if status == 429 {
			wait, known := RetryAfter(err)
			require.True(t, known)
			require.Equal(t, 7*time.Second, wait)
			require.ErrorIs(t, c.SendResetMail(t.Context(), testMail, "op"), ErrRateLimited)
			require.Len(t, f.requests("/dbconnections"), 1, "Auth0 has counted more than we did")
		}
	}
	dead := newFakeTenant(t, nil)
	c := newClient(t, dead, Options{})
	dead.Close()
	require.ErrorIs(t, c.SendResetMail(t.Context(), testMail, "op"), ErrUnreachable)
	_, known := RetryAfter(nil)
	require.False(t, known)
}

func TestATicketHidesItsLink(t *testing.T) {
	f := newFakeTenant(t, replies(201, `{"ticket":"https://acme.eu.auth0.com/lo/reset?ticket=s3cret#"}`))
	c, err := New(Config{Domain: testDomain, CustomDomain: "login.acme.example", BaseURL: f.URL, ClientID: "c", ClientSecret: testSecret}, Options{})
	require.NoError(t, err)
	ticket, err := c.CreatePasswordTicket(t.Context(), PasswordTicket{UserID: "auth0|1", TTL: time.Hour}, "op-1")
	require.NoError(t, err)
	require.Equal(t, "https://acme.eu.auth0.com/lo/reset?ticket=s3cret#", ticket.URL())
	asJSON, err := json.Marshal(map[string]any{"t": ticket})
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s %s", ticket, ticket, ticket, ticket, asJSON), "s3cret")
	sent := f.requests("/api")[0]
	require.Equal(t, "login.acme.example", sent.header.Get("Auth0-Custom-Domain"))
	require.Equal(t, "op-1", sent.header.Get("X-Correlation-ID"))
	require.Equal(t, `{"user_id":"auth0|1","ttl_sec":3600}`, sent.body)
}
