package auth0

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func asStatus(err error, target **StatusError) bool { return errors.As(err, target) }

func TestTheTokenIsAskedForOnceAndAsAuth0WantsIt(t *testing.T) {
	f := newFakeTenant(t, replies(200, botDetectionBody))
	c := newClient(t, f, Options{})
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = c.AttackProtection(t.Context(), BotDetection) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	asked := f.requests("/oauth/token")
	require.Len(t, asked, 1)
	require.Equal(t, "POST", asked[0].method)
	require.Empty(t, asked[0].header.Get("Authorization"))
	form, err := url.ParseQuery(asked[0].body)
	require.NoError(t, err)
	require.Equal(t, url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {"the-client"},
		"client_secret": {testSecret},
		"audience":      {"https://acme.eu.auth0.com/api/v2/"},
	}, form)
	require.NoError(t, c.Check(t.Context()))
	require.Len(t, f.requests("/oauth/token"), 2, "Check fetches one in any case")
}

func TestWhatARefusalOfTheTokenSays(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		kind   error
		want   string
	}{
		"a wrong secret": {401, `{"error":"access_denied","error_description":"Unauthorized"}`, ErrCredentials,
			"tenant acme.eu.auth0.com: fetch a token (POST /oauth/token): credentials refused: 401 Unauthorized: access_denied: Unauthorized: check client_id the-client and its secret or key, and that the application is a machine-to-machine one"},
		"an application without a grant": {403, `{"error":"access_denied","error_description":"Client is not authorized to access it"}`, ErrCredentials,
			"authorise application the-client for the Management API"},
		"a domain without a tenant": {404, `Not Found`, ErrUnreachable, "check its domain"},
		"the rate limit":            {429, `{"error":"too_many_requests"}`, ErrRateLimited, "rate limited: 429"},
		"a failure of the tenant":   {502, `<html>`, ErrUnreachable, "unreachable: 502"},
		"an answer without a token": {200, `{}`, ErrUnreachable, "unreachable"},
		"an answer that is no JSON": {200, `<html>`, ErrUnreachable, "unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTenant(t, nil)
			f.token = func(w http.ResponseWriter, _ map[string][]string) { reply(w, test.status, test.body) }
			c := newClient(t, f, Options{})
			err := c.Check(t.Context())
			require.ErrorIs(t, err, test.kind)
			require.ErrorContains(t, err, test.want)
			for name, call := range everyCall(c) {
				err := call(t.Context())
				require.ErrorIs(t, err, test.kind, name)
				require.NotErrorIs(t, err, ErrUnknownOutcome, name)
				require.Equal(t, 1, strings.Count(err.Error(), testDomain), err.Error())
			}
			require.Empty(t, f.requests("/api"), "nothing is sent without a token")
			if errors.Is(test.kind, ErrCredentials) {
				require.Len(t, f.requests("/oauth/token"), 1, "a refusal is not asked for again at once")
			}
		})
	}
}

func TestCheckAsksAgainAfterARefusal(t *testing.T) {
	f := newFakeTenant(t, replies(200, botDetectionBody))
	f.token = func(w http.ResponseWriter, _ map[string][]string) { reply(w, 401, `{"error":"access_denied"}`) }
	c := newClient(t, f, Options{})
	require.ErrorIs(t, c.Check(t.Context()), ErrCredentials)
	f.token = nil
	require.NoError(t, c.Check(t.Context()))
	_, err := c.AttackProtection(t.Context(), BotDetection)
	require.NoError(t, err)
}

func TestAnUnreachableTenantIsNamed(t *testing.T) {
	f := newFakeTenant(t, nil)
	c := newClient(t, f, Options{})
	f.Close()
	err := c.Check(t.Context())
	require.ErrorIs(t, err, ErrUnreachable)
	require.ErrorContains(t, err, "tenant acme.eu.auth0.com: fetch a token (POST /oauth/token): unreachable: ")
	require.ErrorContains(t, err, "check the tenant's domain")
}

func TestARevokedTokenIsReplacedOnce(t *testing.T) {
	for _, name := range append(writes(), "BotDetection") {
		t.Run(name, func(t *testing.T) {
			f := newFakeTenant(t, replyWell)
			c := newClient(t, f, Options{})
			require.NoError(t, c.Check(t.Context()))
			f.mu.Lock()
			f.tokens++ // the token that the client has is valid no longer
			f.mu.Unlock()
			require.NoError(t, everyCall(c)[name](t.Context()))
			seen := f.requests("/api")
			require.Len(t, seen, 2)
			require.Equal(t, seen[0].body, seen[1].body)
			require.Equal(t, seen[0].header.Get("X-Correlation-Id"), seen[1].header.Get("X-Correlation-Id"))
		})
	}
}

func TestATokenThatIsAlwaysRefusedIsNotReplacedForEver(t *testing.T) {
	f := newFakeTenant(t, replies(401, `{"statusCode":401,"message":"Client is not global"}`))
	f.anyToken = true
	c := newClient(t, f, Options{})
	_, err := c.AttackProtection(t.Context(), BotDetection)
	require.ErrorIs(t, err, ErrCredentials)
	require.ErrorContains(t, err, "Client is not global")
	require.Len(t, f.requests("/api"), 2)
	require.Len(t, f.requests("/oauth/token"), 2)
}

func TestACancelledRequestDoesNotCancelTheTokenOfOthers(t *testing.T) {
	f := newFakeTenant(t, replies(200, botDetectionBody))
	asked, release := make(chan struct{}), make(chan struct{})
	f.token = func(w http.ResponseWriter, _ map[string][]string) {
		close(asked)
		<-release
		f.mu.Lock()
		f.tokens = 1
		f.mu.Unlock()
		reply(w, 200, `{"access_token":"token-number-1","token_type":"Bearer","expires_in":86400}`)
	}
	c := newClient(t, f, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { _, err := c.AttackProtection(ctx, BotDetection); first <- err }()
	<-asked
	cancel()
	err := <-first
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrUnreachable)
	close(release)
	_, err = c.AttackProtection(t.Context(), BotDetection)
	require.NoError(t, err)
	require.Len(t, f.requests("/oauth/token"), 1)
}

// silent is a network that answers nothing until a request is given up.
type silent struct{ asked, gone chan struct{} }

func (s silent) RoundTrip(r *http.Request) (*http.Response, error) {
	close(s.asked)
	<-r.Context().Done()
	close(s.gone)
	return nil, r.Context().Err()
}

func TestCloseCutsTheFetchOfATokenShort(t *testing.T) {
	network := silent{make(chan struct{}), make(chan struct{})}
	c, err := New(Config{Domain: testDomain, ClientID: "the-client", ClientSecret: testSecret}, Options{HTTP: &http.Client{Transport: network, Timeout: time.Hour}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { _, err := c.AttackProtection(ctx, BotDetection); first <- err }()
	<-network.asked
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	c.Close()
	select {
	case <-network.gone:
	case <-time.After(20 * time.Second):
		t.Fatal("the tenant is still asked for a token")
	}
}

func TestClientAssertionsAreSignedAsAuth0WantsThem(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	ecDER, err := x509.MarshalECPrivateKey(ecKey)
	require.NoError(t, err)
	verifyRSA := func(input, signature []byte) bool {
		sum := sha256.Sum256(input)
		return rsa.VerifyPKCS1v15(&rsaKey.PublicKey, crypto.SHA256, sum[:], signature) == nil
	}
	verifyEC := func(input, signature []byte) bool {
		sum := sha256.Sum256(input)
		return len(signature) == 64 && ecdsa.Verify(&ecKey.PublicKey, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	}
	for name, test := range map[string]struct {
		pem    []byte
		alg    string
		verify func(input, signature []byte) bool
	}{
		"RSA in PKCS 8": {pkcs8(rsaKey), "RS256", verifyRSA},
		"RSA in PKCS 1": {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}), "RS256", verifyRSA},
		"EC in PKCS 8":  {pkcs8(ecKey), "ES256", verifyEC},
		"EC in SEC 1":   {pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER}), "ES256", verifyEC},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTenant(t, nil)
			c, err := New(Config{Domain: testDomain, BaseURL: f.URL, ClientID: "the-client", PrivateKeyPEM: test.pem}, Options{})
			require.NoError(t, err)
			require.NoError(t, c.Check(t.Context()))
			require.NoError(t, c.Check(t.Context()))
			asked := f.requests("/oauth/token")
			require.Len(t, asked, 2)
			ids := map[string]bool{}
			for _, r := range asked {
				form, err := url.ParseQuery(r.body)
				require.NoError(t, err)
				require.Equal(t, "the-client", form.Get("client_id"))
				require.False(t, form.Has("client_secret"))
				require.Equal(t, assertionType, form.Get("client_assertion_type"))
				parts := strings.Split(form.Get("client_assertion"), ".")
				require.Len(t, parts, 3)
				var header struct{ Alg string }
				var claims struct {
					Iss, Sub, Aud, Jti string
					Iat, Exp           int64
				}
				decode(t, parts[0], &header)
				decode(t, parts[1], &claims)
				require.Equal(t, test.alg, header.Alg)
				require.Equal(t, "the-client", claims.Iss)
				require.Equal(t, "the-client", claims.Sub)
				require.Equal(t, "https://acme.eu.auth0.com/", claims.Aud)
				require.EqualValues(t, 60, claims.Exp-claims.Iat)
				require.InDelta(t, time.Now().Unix(), claims.Iat, 5)
				ids[claims.Jti] = true
				signature, err := base64.RawURLEncoding.DecodeString(parts[2])
				require.NoError(t, err)
				require.True(t, test.verify([]byte(parts[0]+"."+parts[1]), signature))
			}
			require.Len(t, ids, 2, "each is used once")
		})
	}
}

func decode(t *testing.T, part string, into any) {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(part)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, into))
}

func TestKeysThatCannotSign(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(curve)
	require.NoError(t, err)
	for name, key := range map[string][]byte{
		"an unusual curve": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"something else":   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("hello")}),
		"no PEM":           []byte("hello"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newSigner(key)
			require.Error(t, err)
		})
	}
}
