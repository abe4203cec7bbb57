package logstream

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// SharedPaths are the paths that the clients of Splunk and of Datadog post to,
// whatever host they are given.
var SharedPaths = []string{"/services/collector/event", "/api/v2/logs"}

// Shared serves [SharedPaths] for several tenants: the token of a request tells
// whose it is. It answers as that tenant's [Webhook] does, and 401 to a token
// that is nobody's.
type Shared struct {
	hooks   []*Webhook
	log     *slog.Logger
	refused atomic.Uint64

	mu   sync.Mutex
	told time.Time // when a refusal was last logged: once a minute, as strangers cause them
}

var _ http.Handler = (*Shared)(nil)

// NewShared returns a handler for at least one webhook. It refuses a token that
// two of them take: whose events they are could not be told.
func NewShared(log *slog.Logger, hooks ...*Webhook) (*Shared, error) {
	if len(hooks) == 0 {
		return nil, errors.New("no webhook to share a path")
	}
	for i, a := range hooks {
		for _, b := range hooks[:i] {
			if a.tokens.meet(b.tokens) {
				return nil, fmt.Errorf("webhooks %s and %s take the same token, so that it does not tell whose events it brings: give each a token of its own", b.source, a.source)
			}
		}
	}
	return &Shared{hooks: hooks, log: log}, nil
}

// Refused counts the requests whose token was nobody's.
func (s *Shared) Refused() uint64 { return s.refused.Load() }

// ServeHTTP hands the request to the webhook whose token it bears. Every token
// is compared, whichever of them fits; a request that bears two webhooks' tokens
// is nobody's.
func (s *Shared) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	var owner *Webhook
	fits := 0
	for _, w := range s.hooks {
		if w.tokens.allow(r.Header) {
			owner = w
			fits++
		}
	}
	switch {
	case fits == 1:
		owner.ServeHTTP(rw, r)
	case r.Method != http.MethodPost:
		s.refused.Add(1)
		onlyPost(rw).write(rw)
	default:
		s.refused.Add(1)
		s.tell(r)
		unauthorized(rw).write(rw)
	}
}

func (s *Shared) tell(r *http.Request) {
	now := time.Now()
	s.mu.Lock()
	quiet := !s.told.IsZero() && now.Sub(s.told) < time.Minute
	if !quiet {
		s.told = now
	}
	s.mu.Unlock()
	if !quiet {
		s.log.Warn("webhook request refused, its token is no tenant's", "path", r.URL.Path, "remote", r.RemoteAddr)
	}
}
