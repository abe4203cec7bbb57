// Package httpapi is the daemon's one listener: health, metrics, profiles, and
// the paths on which tenants' log streams arrive.
package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options configures a Server. Listen is required.
type Options struct {
	Listen string // host:port; port 0 picks a free one
	// Token is asked for on everything but /healthz, /readyz and the intake
	// paths, which have tokens of their own. Without one those are refused.
	Token string
	// CertFile and KeyFile turn TLS on; they are read again when they change.
	CertFile, KeyFile string
	// BehindProxy allows plain HTTP on an address other than loopback: a proxy in
	// front terminates TLS.
	BehindProxy bool
	Gatherer    prometheus.Gatherer // what /metrics shows; nothing if nil
	Ready       func() error        // why the daemon is not ready; ready if nil
	Health      func() any          // what GET /v1/health answers
	// Reads answer GET /v1/NAME with JSON, for those who have the admin token. An
	// error is the asker's to mend, and told.
	Reads map[string]func(context.Context, url.Values) (any, error)
	// Writes answer POST /v1/NAME, whose body is JSON, likewise. A [Refusal] is told
	// with 409, any other error with 500.
	Writes map[string]func(context.Context, []byte) (any, error)
	Intake map[string]http.Handler // by path
	Logger *slog.Logger            // discards if nil
}

// Refusal is the error of a write that the daemon understands and does not do.
type Refusal struct{ Err error }

func (r Refusal) Error() string { return r.Err.Error() }
func (r Refusal) Unwrap() error { return r.Err }

// maxWrite is how many bytes the body of a write may have.
const maxWrite = 64 << 10

// Timeouts of the listener: a client that sends slowly is cut off.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 60 * time.Second
	writeTimeout      = 90 * time.Second // profiles take 30 s
	idleTimeout       = 120 * time.Second
	stopTimeout       = 10 * time.Second
	maxHeader         = 64 << 10
)

// Server is the listener. New binds its address; Run serves.
type Server struct {
	opts  Options
	log   *slog.Logger
	ln    net.Listener
	srv   *http.Server
	token [sha256.Size]byte
}

// New binds the address. It refuses to serve plain HTTP beyond this machine
// unless a proxy is said to stand in front.
func New(ctx context.Context, opts Options) (*Server, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	host, _, err := net.SplitHostPort(opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("http.listen %q is not an address and port, for instance 127.0.0.1:8070", opts.Listen)
	}
	if (opts.CertFile == "") != (opts.KeyFile == "") {
		return nil, errors.New("http: a certificate and its key go together: give tls_cert_file and tls_key_file")
	}
	if opts.CertFile == "" && !opts.BehindProxy && !loopback(host) {
		return nil, fmt.Errorf("http.listen %s would send tokens in the clear beyond this machine: give tls_cert_file and tls_key_file, or say behind_proxy: true", opts.Listen)
	}
	s := &Server{opts: opts, log: opts.Logger, token: sha256.Sum256([]byte(opts.Token))}
	if opts.CertFile != "" {
		if _, err := s.certificate(); err != nil {
			return nil, err
		}
	}
	s.ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", opts.Listen, err)
	}
	s.srv = &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Addr is the address bound.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Run serves until ctx ends, and then lets requests under way finish for a
// bounded time.
func (s *Server) Run(ctx context.Context) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := s.srv.Shutdown(bound); err != nil {
			s.log.Warn("requests cut off at the stop", "err", err)
			_ = s.srv.Close() // the listener is closed, only connections are left
		}
	})
	var err error
	if s.opts.CertFile != "" {
		s.srv.TLSConfig = s.tlsConfig()
		err = s.srv.ServeTLS(s.ln, "", "")
	} else {
		err = s.srv.Serve(s.ln)
	}
	if !stop() {
		<-stopped // answers under way, which Serve does not wait for
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.ln.Addr(), err)
	}
	return nil
}

// Close gives the address back without having served.
func (s *Server) Close() error { return s.ln.Close() }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	admin := http.NewServeMux()
	if s.opts.Gatherer != nil {
		admin.Handle("GET /metrics", promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{}))
	}
	admin.HandleFunc("GET /v1/health", s.health)
	for name, read := range s.opts.Reads {
		admin.HandleFunc("GET /v1/"+name, s.read(read))
	}
	for name, write := range s.opts.Writes {
		admin.HandleFunc("POST /v1/"+name, s.write(write))
	}
	admin.HandleFunc("GET /debug/pprof/", pprof.Index)
	admin.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	admin.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	admin.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	admin.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("/", s.authorised(admin))
	for path, h := range s.opts.Intake {
		mux.Handle(path, h)
	}
	return mux
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.opts.Ready != nil {
		if err := s.opts.Ready(); err != nil {
			text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
	}
	text(w, http.StatusOK, "ready")
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if s.opts.Health == nil {
		text(w, http.StatusNotFound, "no health to tell")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(s.opts.Health()); err != nil {
		s.log.Debug("health not sent", "err", err)
	}
}

// read answers with what a function finds.
func (s *Server) read(find func(context.Context, url.Values) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := find(r.Context(), r.URL.Query())
		if err != nil {
			text(w, http.StatusBadRequest, err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(out); err != nil {
			s.log.Debug("answer not sent", "path", r.URL.Path, "err", err)
		}
	}
}

// write answers with what became of a request to change something.
func (s *Server) write(do func(context.Context, []byte) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWrite))
		if err != nil {
			text(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a body may have %d bytes", maxWrite))
			return
		}
		out, err := do(r.Context(), body)
		switch refusal := (Refusal{}); {
		case errors.As(err, &refusal):
			text(w, http.StatusConflict, err.Error())
			return
		case err != nil:
			s.log.Error("request failed", "path", r.URL.Path, "err", err)
			text(w, http.StatusInternalServerError, err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(out); err != nil {
			s.log.Debug("answer not sent", "path", r.URL.Path, "err", err)
		}
	}
}

// authorised asks for the admin token.
func (s *Server) authorised(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := sha256.Sum256([]byte(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
		same := subtle.ConstantTimeCompare(given[:], s.token[:]) == 1
		if s.opts.Token == "" || !same {
			w.Header().Set("WWW-Authenticate", `Bearer realm="portcullis"`)
			text(w, http.StatusUnauthorized, "the admin token is needed: Authorization: Bearer TOKEN, from http.token_file")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body+"\n") // a client that has gone needs no answer
}
