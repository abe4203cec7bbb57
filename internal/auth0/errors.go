package auth0

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The kinds of errors, for errors.Is. Every failed call is of one of them, or its context ended before it was sent.
var (
	// ErrCredentials: the tenant gives no token for these credentials, or refuses the token that it gave.
	ErrCredentials = errors.New("credentials refused")
	// ErrForbidden: the application lacks a scope, or the tenant's plan the feature.
	ErrForbidden = errors.New("forbidden")
	// ErrNotFound: there is no such object, or the feature was never set up.
	ErrNotFound = errors.New("not found")
	// ErrConflict: a unique value, such as a network ACL's priority, is taken, or a limit of the plan is reached.
	ErrConflict = errors.New("conflict")
	// ErrInvalid: the request is not one that the API accepts. Nothing was applied.
	ErrInvalid = errors.New("invalid request")
	// ErrRateLimited: the rate limit was still exhausted after the last repetition. Nothing was applied.
	ErrRateLimited = errors.New("rate limited")
	// ErrUnreachable: no answer, or none of use, and nothing was applied.
	ErrUnreachable = errors.New("unreachable")
	// ErrReadOnly: refused in observe mode, or by Options.Fence; nothing was sent.
	ErrReadOnly = errors.New("refused in observe mode")
	// ErrUnknownOutcome: a write was sent and answered by 5xx, or not answered: it may have been applied or not. Read
	// the object before doing anything else.
	ErrUnknownOutcome = errors.New("outcome unknown")
)

// maxErrorBody bounds what is kept of the body of an error answer, in bytes.
const maxErrorBody = 4 << 10

// StatusError is an answer other than 2xx; use errors.As.
type StatusError struct {
	StatusCode int
	// Header has the answer's headers without its cookies.
	Header http.Header
	// Body is the beginning of the body, at most 4 KiB, without secrets.
	Body []byte
	// RetryAfter is how long the tenant asks to wait, by Retry-After or else by x-ratelimit-reset; 0 if it does not.
	RetryAfter time.Duration
	// Reset is when the rate limit begins anew by x-ratelimit-reset, on this machine's clock; zero if it does not say.
	Reset time.Time
}

// Error names the status and what the answer says about it.
func (e *StatusError) Error() string {
	text := strings.TrimSpace(strconv.Itoa(e.StatusCode) + " " + http.StatusText(e.StatusCode))
	if msg := e.message(); msg != "" {
		text += ": " + msg
	}
	return text
}

func (e *StatusError) message() string {
	var body struct {
		Message   string `json:"message"`
		ErrorCode string `json:"errorCode"`
	}
	if json.Unmarshal(e.Body, &body) != nil {
		return ""
	}
	if body.Message == "" {
		return body.ErrorCode
	}
	return body.Message
}

func (e *StatusError) kind(write bool) error {
	switch code := e.StatusCode; {
	case code == http.StatusUnauthorized:
		return ErrCredentials
	case code == http.StatusForbidden, code == http.StatusPaymentRequired:
		return ErrForbidden
	case code == http.StatusNotFound, code == http.StatusGone:
		return ErrNotFound
	case code == http.StatusConflict:
		return ErrConflict
	case code == http.StatusTooManyRequests:
		return ErrRateLimited
	case code == http.StatusRequestTimeout, code >= 500:
		if write {
			return ErrUnknownOutcome
		}
		return ErrUnreachable
	case code < 400: // a redirection: this is not the API
		return ErrUnreachable
	}
	return ErrInvalid
}

var neededScopes = regexp.MustCompile(`expected (?:any|all) of: ?([a-z0-9_:, ]+)`)

// hint says what a person can do about it, or "".
func (e *StatusError) hint(clientID string) string {
	switch e.StatusCode {
	case http.StatusForbidden:
		if scope, missing := e.missingScope(); missing {
			return fmt.Sprintf("grant scope %s on the Management API to application %s", scope, clientID)
		}
		return "the application lacks a scope, or the tenant's plan the feature"
	case http.StatusUnauthorized:
		return fmt.Sprintf("check that application %s is still authorised for the Management API", clientID)
	}
	return ""
}

func (e *StatusError) missingScope() (string, bool) {
	if m := neededScopes.FindStringSubmatch(e.message()); e.StatusCode == http.StatusForbidden && m != nil {
		return strings.TrimSpace(m[1]), true
	}
	return "", false
}

// MissingScope tells an ErrForbidden for want of a scope, or of several with commas between, from one for want of a feature.
func MissingScope(err error) (scope string, missing bool) {
	var status *StatusError
	if errors.As(err, &status) {
		return status.missingScope()
	}
	return "", false
}

// callError is what every failed call returns. Its words hold no URL, so no query either.
type callError struct {
	domain, doing, method, path string
	kind, err                   error
	hint                        string
}

func (e *callError) Error() string {
	text := fmt.Sprintf("tenant %s: %s (%s %s): ", e.domain, e.doing, e.method, e.path)
	detail := e.err.Error()
	switch {
	case errors.Is(e.err, e.kind):
		text += detail
	case e.kind == ErrUnknownOutcome:
		text += detail + ": it may have been applied or not"
	default:
		text += e.kind.Error() + ": " + detail
	}
	if e.hint != "" {
		text += ": " + e.hint
	}
	return text
}

func (e *callError) Unwrap() []error { return []error{e.kind, e.err} }

// fault turns what came out of the transports into a callError.
func (c *Client) fault(call call, sent bool, err error) error {
	// http.Client wraps everything in the URL with its query.
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	out := &callError{domain: c.domain, doing: call.doing, method: call.method, path: call.path, err: err}
	var status *StatusError
	var refused *tokenError
	var fenced *fencedError
	var local *notSent
	switch {
	case errors.As(err, &local):
		out.kind = ErrRateLimited
	case errors.As(err, &fenced):
		out.kind = fenced
	case errors.Is(err, ErrReadOnly):
		out.kind = ErrReadOnly
	case errors.As(err, &refused):
		// Without a token nothing was sent, or what was sent was answered by 401.
		return &callError{domain: c.domain, doing: call.doing, method: call.method, path: call.path, kind: refused.kind, err: refused.withoutTenant()}
	case errors.As(err, &status):
		out.kind, out.hint = status.kind(call.write()), status.hint(c.tokens.clientID)
	case !sent && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		out.kind = err
	case call.write() && sent && !neverArrived(err):
		out.kind = ErrUnknownOutcome
	default:
		out.kind = ErrUnreachable
	}
	if status == nil {
		out.err = c.secrets.cleanError(err)
	}
	return out
}

// neverArrived tells whether a request that failed this way cannot have reached the tenant.
func neverArrived(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	return errors.As(err, &dns) || errors.As(err, &cert) || errors.As(err, &record)
}

// secrets knows what must never be shown.
type secrets struct {
	mu    sync.Mutex
	known []string
}

// rememberedTokens is how many tokens are kept to be taken out of messages.
const rememberedTokens = 8

func newSecrets(secret string) *secrets {
	s := &secrets{}
	if secret != "" {
		s.known = append(s.known, secret)
		// The secret may come back as it was sent, in a form.
		if escaped := url.QueryEscape(secret); escaped != secret {
			s.known = append(s.known, escaped)
		}
	}
	return s
}

// add makes text a secret; the oldest of many added ones is forgotten.
func (s *secrets) add(text string) {
	// One of a few characters is no secret, and taking it out would make words unreadable.
	if len(text) < 4 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.known, text) {
		return
	}
	s.known = append(s.known, text)
	if len(s.known) > 2+rememberedTokens {
		s.known = append(s.known[:2], s.known[3:]...)
	}
}

// clean replaces every secret in text.
func (s *secrets) clean(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range s.known {
		text = strings.ReplaceAll(text, secret, "<secret>")
	}
	return text
}

// cleanError is err itself if its words are clean, and else one with clean words for which errors.Is still finds err.
func (s *secrets) cleanError(err error) error {
	text := s.clean(err.Error())
	if text == err.Error() {
		return err
	}
	return &cleaned{text: text, err: err}
}

// cleaned gives away of its error only whether it is another: unwrapping it would show the words again.
type cleaned struct {
	text string
	err  error
}

func (e *cleaned) Error() string        { return e.text }
func (e *cleaned) Is(target error) bool { return errors.Is(e.err, target) }
