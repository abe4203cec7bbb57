package auth0

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// guard is observe mode: nothing that writes passes.
type guard struct {
	readOnly *atomic.Bool
	next     http.RoundTripper
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if isWrite(req.Method) && g.readOnly.Load() {
		closeBody(req)
		return nil, ErrReadOnly
	}
	return g.next.RoundTrip(req)
}

// fence lets nothing that writes pass while allowed says why. It stands where a request leaves, since one may wait long for
// quota before that.
type fence struct {
	allowed func() error
	next    http.RoundTripper
}

func (f *fence) RoundTrip(req *http.Request) (*http.Response, error) {
	if isWrite(req.Method) {
		if err := f.allowed(); err != nil {
			closeBody(req)
			return nil, &fencedError{err}
		}
	}
	return f.next.RoundTrip(req)
}

// fencedError is an ErrReadOnly with the fence's own words.
type fencedError struct{ why error }

func (e *fencedError) Error() string        { return "refused: " + e.why.Error() }
func (e *fencedError) Unwrap() error        { return e.why }
func (e *fencedError) Is(target error) bool { return target == ErrReadOnly }

func isWrite(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != ""
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// answer is what one request to the API came to; its transports fill it in.
type answer struct {
	sent   bool // it was handed to the network
	status int  // 0 unless 2xx
	body   []byte
	at     time.Time // when the tenant answered, by its own clock
}

type answerKey struct{}

func withAnswer(ctx context.Context, a *answer) context.Context {
	return context.WithValue(ctx, answerKey{}, a)
}

func answerOf(ctx context.Context) *answer {
	a, _ := ctx.Value(answerKey{}).(*answer)
	return a
}

// maxAnswer bounds an answer of the API, in bytes.
const maxAnswer = 8 << 20

// failFast makes an error of every answer but 2xx, because the SDK would sleep through 408, 429 and 5xx. It keeps the raw
// body of the others, because the SDK gives it out only as it decoded it, and gives the SDK an empty object instead: nobody
// asks for what it makes of an answer, and some of its lists panic on null.
type failFast struct {
	next    http.RoundTripper
	secrets *secrets
}

func (f *failFast) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := f.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, newStatusError(resp, f.secrets)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("read the answer: it exceeds %d bytes", maxAnswer)
	}
	if a := answerOf(req.Context()); a != nil {
		a.status, a.body, a.at = resp.StatusCode, body, answeredAt(resp.Header)
	}
	resp.Body = io.NopCloser(strings.NewReader("{}"))
	return resp, nil
}

func newStatusError(resp *http.Response, secrets *secrets) *StatusError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	header := resp.Header.Clone()
	header.Del("Set-Cookie")
	for name, values := range header {
		for i := range values {
			header[name][i] = secrets.clean(values[i])
		}
	}
	e := &StatusError{StatusCode: resp.StatusCode, Header: header, Body: []byte(secrets.clean(string(body)))}
	now := time.Now()
	if reset, ok := resetTime(resp.Header, now); ok {
		e.Reset = reset
		e.RetryAfter = max(0, reset.Sub(now))
	}
	if after, ok := retryAfter(resp.Header, now); ok {
		e.RetryAfter = after
	}
	return e
}

// retryAfter reads Retry-After: seconds, or a date.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := h.Get("Retry-After")
	if s, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(s, 0), 24*3600)) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(serverTime(h, now))), true
	}
	return 0, false
}

// resetTime reads x-ratelimit-reset, in seconds since 1970 on the server's clock, as a time on this machine's.
func resetTime(h http.Header, now time.Time) (time.Time, bool) {
	s, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64)
	if err != nil || s <= 0 {
		return time.Time{}, false
	}
	return now.Add(time.Unix(s, 0).Sub(serverTime(h, now))), true
}

// serverTime is the server's clock as the answer tells it, or else now.
func serverTime(h http.Header, now time.Time) time.Time {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t
	}
	return now
}

// bearer adds the token, to requests to the tenant alone.
type bearer struct {
	next      http.RoundTripper
	tokens    *tokens
	base      string
	userAgent string
}

func (b *bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	if got := origin(req.URL); got != b.base {
		closeBody(req)
		return nil, fmt.Errorf("%w: the token of %s is not sent to %s", ErrInvalid, b.base, got)
	}
	token, err := b.tokens.get(req.Context(), false)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := b.send(req, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	// The token may have been revoked, or the tenant restored. A request answered by 401 was not applied, so even a
	// write can be sent again.
	again := req.Clone(req.Context())
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return resp, nil
		}
		if again.Body, err = req.GetBody(); err != nil {
			return resp, nil
		}
	}
	drain(resp)
	b.tokens.drop(token)
	if token, err = b.tokens.get(req.Context(), false); err != nil {
		closeBody(again)
		return nil, err
	}
	return b.send(again, token)
}

func (b *bearer) send(req *http.Request, token string) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("User-Agent", b.userAgent)
	if a := answerOf(req.Context()); a != nil {
		a.sent = true
	}
	return b.next.RoundTrip(req)
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

func drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBody))
	_ = resp.Body.Close()
}

// deadline bounds one request, its body included. It stands innermost so that waiting for quota is not counted.
type deadline struct {
	next    http.RoundTripper
	timeout time.Duration
}

// limitTime takes transport and time from client, which may be nil.
func limitTime(client *http.Client) *deadline {
	d := &deadline{timeout: requestTimeout}
	if client != nil {
		d.next = client.Transport
		if client.Timeout > 0 {
			d.timeout = client.Timeout
		}
	}
	if d.next == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 4
		t.TLSHandshakeTimeout = 5 * time.Second
		d.next = t
	}
	return d
}

func (d *deadline) RoundTrip(req *http.Request) (*http.Response, error) {
	late := fmt.Errorf("no answer within %v", d.timeout)
	ctx, cancel := context.WithTimeoutCause(req.Context(), d.timeout, late)
	resp, err := d.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		err = tellLate(ctx, req.Context(), err)
		cancel()
		return nil, err
	}
	resp.Body = &timedBody{ReadCloser: resp.Body, ctx: ctx, outer: req.Context(), cancel: cancel}
	return resp, nil
}

// tellLate replaces the error of a request that took too long; one that its caller ended keeps it.
func tellLate(ctx, outer context.Context, err error) error {
	if ctx.Err() != nil && outer.Err() == nil {
		return context.Cause(ctx)
	}
	return err
}

type timedBody struct {
	io.ReadCloser
	ctx, outer context.Context
	cancel     context.CancelFunc
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = tellLate(b.ctx, b.outer, err)
	}
	return n, err
}

func (b *timedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
