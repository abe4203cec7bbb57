package httpapi

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"portcullis/logstream"
)

const token = "a-long-admin-token"

// serve runs a server for the test and returns its base URL.
func serve(t *testing.T, opts Options) string {
	t.Helper()
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	s, err := New(t.Context(), opts)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	scheme := "http://"
	if opts.CertFile != "" {
		scheme = "https://"
	}
	return scheme + s.Addr().String()
}

func TestSlowClientsAreCutOffAsTheWebhooksAsk(t *testing.T) {
	s, err := New(t.Context(), Options{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	defer s.ln.Close()
	require.Equal(t, logstream.WebhookReadHeaderTimeout, s.srv.ReadHeaderTimeout)
	require.Equal(t, logstream.WebhookReadTimeout, s.srv.ReadTimeout)
	require.Equal(t, logstream.WebhookIdleTimeout, s.srv.IdleTimeout)
	require.Greater(t, s.srv.WriteTimeout, s.srv.ReadTimeout, "an answer waits for the journal")
	require.LessOrEqual(t, s.srv.MaxHeaderBytes, 64<<10)
}

func get(t *testing.T, url, bearer string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestEverythingButHealthAsksForTheToken(t *testing.T) {
	base := serve(t, Options{Token: token, Gatherer: prometheus.NewRegistry(), Health: func() any { return []string{} }})
	for _, path := range []string{"/metrics", "/v1/health", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/nothing"} {
		for _, wrong := range []string{"", "wrong", token + "x", strings.ToUpper(token)} {
			status, body := get(t, base+path, wrong)
			require.Equal(t, http.StatusUnauthorized, status, "%s with %q", path, wrong)
			require.NotContains(t, body, token)
		}
	}
	for path, want := range map[string]int{"/metrics": 200, "/v1/health": 200, "/debug/pprof/": 200, "/nothing": 404} {
		status, _ := get(t, base+path, token)
		require.Equal(t, want, status, path)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		status, _ := get(t, base+path, "")
		require.Equal(t, http.StatusOK, status, path)
	}
}

func TestWithoutATokenNothingButHealthIsServed(t *testing.T) {
	base := serve(t, Options{Gatherer: prometheus.NewRegistry()})
	for _, bearer := range []string{"", "x"} {
		status, _ := get(t, base+"/metrics", bearer)
		require.Equal(t, http.StatusUnauthorized, status)
	}
}

func TestReadyzSaysWhyNot(t *testing.T) {
	base := serve(t, Options{Ready: func() error { return errors.New("tenant acme: recovering") }})
	status, body := get(t, base+"/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "tenant acme: recovering\n", body)
}

func TestIntakePathsHaveTokensOfTheirOwn(t *testing.T) {
	base := serve(t, Options{Token: token, Intake: map[string]http.Handler{
		"/logs/acme": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
	}})
	resp, err := http.Post(base+"/logs/acme", "application/json", strings.NewReader("{}"))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
}

func TestItRefusesToListenWhereTokensWouldLeak(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		_, err := New(t.Context(), Options{Listen: listen})
		require.ErrorContains(t, err, "in the clear", listen)
	}
	_, err := New(t.Context(), Options{Listen: "nonsense"})
	require.ErrorContains(t, err, "is not an address and port")
	_, err = New(t.Context(), Options{Listen: "127.0.0.1:0", CertFile: "only"})
	require.ErrorContains(t, err, "go together")

	s, err := New(t.Context(), Options{Listen: "0.0.0.0:0", BehindProxy: true})
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestATakenPortIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, err = New(t.Context(), Options{Listen: ln.Addr().String()})
	require.ErrorContains(t, err, "listen on "+ln.Addr().String())
}

// certificate writes a self-signed certificate with a serial number.
func certificate(t *testing.T, dir string, serial int64) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(priv)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	require.NoError(t, os.WriteFile(cert, certPEM, 0o600))
	pool = x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(certPEM))
	return cert, key, pool
}

func TestTLSFromFilesIsRenewedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	cert, key, pool := certificate(t, dir, 1)
	base := serve(t, Options{Listen: "127.0.0.1:0", CertFile: cert, KeyFile: key})
	serial := func(pool *x509.CertPool) int64 {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(base, "https://"), &tls.Config{RootCAs: pool})
		require.NoError(t, err)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	require.EqualValues(t, 1, serial(pool))
	_, _, pool = certificate(t, dir, 2)
	require.NoError(t, os.Chtimes(cert, time.Now(), time.Now().Add(time.Minute)))
	require.EqualValues(t, 2, serial(pool))

	_, err := New(t.Context(), Options{Listen: "127.0.0.1:0", CertFile: key, KeyFile: cert})
	require.ErrorContains(t, err, "read TLS certificate")
}

func TestRequestsUnderWayFinishAtTheStop(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, err := New(t.Context(), Options{Listen: "127.0.0.1:0", Intake: map[string]http.Handler{
		"/slow": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(entered)
			<-release
			_, _ = io.Copy(w, bytes.NewReader([]byte("done")))
		}),
	}})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	body := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + s.Addr().String() + "/slow")
		if err != nil {
			body <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		body <- string(b)
	}()
	<-entered
	stop()
	close(release)
	require.Equal(t, "done", <-body)
	require.NoError(t, <-ended)
}
