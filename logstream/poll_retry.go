package logstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// A failure is why a page could not be had.
type failure struct {
	kind   string        // failures of one kind in a row are one state
	reason string        // for people, with what to do
	wait   time.Duration // before the next try; 0 leaves it to the back-off
}

// cursorRefused is the kind of a 400: reading logs sends nothing else that
// could be wrong.
const cursorRefused = "400"

func (f *failure) Error() string { return f.reason }

// refused turns an answer that is not a 200 into a failure.
func (p *Poll) refused(resp *http.Response, body []byte, now time.Time) error {
	code := resp.StatusCode
	f := &failure{kind: strconv.Itoa(code)}
	said := ""
	if e, err := Decode(body); err == nil {
		if m, ok := e.LookupString(messagePath); ok {
			said = " (" + oneLine(m) + ")"
		}
	}
	switch {
	case code == http.StatusTooManyRequests:
		f.reason = "rate limited by Auth0" + said
		f.wait = retryAfter(resp.Header, now)
	case code == http.StatusUnauthorized:
		f.reason = "401: the token is refused" + said + "; check client_id, client_secret and that the audience is https://TENANT/api/v2/"
	case code == http.StatusForbidden:
		f.reason = "403: not allowed to read logs" + said + "; grant the client the scope read:logs"
	case code == http.StatusNotFound:
		f.reason = "404: no Management API at " + p.base.String() + said + "; check the tenant's domain"
	case code == http.StatusBadRequest:
		f.kind = cursorRefused
		f.reason = "400: the cursor " + p.cursor + " is refused" + said + "; if it has expired, reading goes on from the oldest log there is"
	case code >= 500:
		f.kind = "5xx"
		f.reason = fmt.Sprintf("%d: Auth0 has a fault of its own%s", code, said)
	case code >= 300 && code < 400:
		f.reason = fmt.Sprintf("%d: redirected, which is not followed as it could carry the token elsewhere; use the tenant's own domain", code)
	default:
		f.reason = fmt.Sprintf("unexpected status %d%s", code, said)
	}
	return f
}

var messagePath, _ = ParsePath("message")

const maxWait = 60 * time.Second

// retryAfter returns how long a 429 asks to wait: at least a second, at most a
// minute, and up to a tenth more so that clients do not return together. It is
// 0 when the answer does not say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	var d time.Duration
	if v := h.Get("Retry-After"); v != "" {
		if s, err := strconv.ParseInt(v, 10, 32); err == nil {
			d = time.Duration(s) * time.Second
		} else if t, err := http.ParseTime(v); err == nil {
			d = t.Sub(now)
		} else {
			return 0
		}
	} else if s, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil {
		d = time.Unix(s, 0).Sub(now)
	} else {
		return 0
	}
	d = min(max(d, time.Second), maxWait)
	return d + rand.N(d/10)
}

// backoff returns 1s, 2s, 4s … 60s, each less up to a fifth.
func backoff(attempt int) time.Duration {
	d := min(time.Second<<min(attempt, 10), maxWait)
	return d - rand.N(d/5)
}

// sleep waits for d, or returns ctx's error when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
