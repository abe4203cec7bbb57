package tenantsim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Fault makes the HTTP surface misbehave for matching requests. Faults queue: the oldest that matches a request is
// used, and is gone after Times uses. With neither Status nor Drop a fault only delays.
//
// Go's HTTP client silently repeats a GET whose kept-alive connection is dropped; count on that in Times.
type Fault struct {
	Method     string        // any if empty
	PathPrefix string        // of the URL path, such as "/api/v2/network-acls" or "/oauth/token"; any if empty
	PathSuffix string        // of the URL path, such as "/revoke-access"; any if empty
	Status     int           // answer with this status instead; 0: see Drop
	RetryAfter string        // Retry-After header of that answer, as seconds or an HTTP date; none if empty
	Times      int           // requests to hit; 1 if zero, all of them if negative
	AfterApply bool          // do what the request asks, then answer with the fault all the same
	Drop       bool          // close the connection without an answer
	Latency    time.Duration // real time to wait first
}

// Fail queues a fault.
func (t *Tenant) Fail(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, &f)
}

// ClearFaults forgets all queued faults.
func (t *Tenant) ClearFaults() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = nil
}

// onPath compares with the path as it is sent and as it is read: ids of users have a | in them.
func (f *Fault) onPath(path string) bool {
	plain, err := url.PathUnescape(path)
	if err != nil {
		plain = path
	}
	return (strings.HasPrefix(path, f.PathPrefix) || strings.HasPrefix(plain, f.PathPrefix)) && strings.HasSuffix(plain, f.PathSuffix)
}

func (f *Fault) onlySlow() bool { return f.Status == 0 && !f.Drop }

// takeFault returns a copy of the fault that hits this request, or nil.
func (t *Tenant) takeFault(method, path string) *Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, f := range t.faults {
		if f.Method != "" && f.Method != method || !f.onPath(path) {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				t.faults = slices.Delete(t.faults, i, i+1)
			}
		}
		hit := *f
		return &hit
	}
	return nil
}

// faultAnswer is the error answer a fault gives, in the shape Auth0 gives that status.
func (t *Tenant) faultAnswer(f *Fault, req *request) *answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if req.path == "/oauth/token" {
		a := oauthError(f.Status, "access_denied", http.StatusText(f.Status))
		if f.RetryAfter != "" {
			a.set("Retry-After", f.RetryAfter)
		}
		return a
	}
	e := &apiError{status: f.Status, message: fmt.Sprintf("%s (injected fault)", http.StatusText(f.Status))}
	switch f.Status {
	case http.StatusTooManyRequests:
		e = tooManyRequests()
	case http.StatusForbidden:
		e = insufficientScope("the scope of this call")
	case http.StatusUnauthorized:
		e = unauthorised("Invalid token")
	}
	e.retryAfter = f.RetryAfter
	a := fail(e)
	now := time.Now()
	if !f.AfterApply { // else the request itself has been counted
		t.stats.APICalls[req.method]++
	}
	t.limiter.refresh(now)
	t.limiter.setHeaders(a, now)
	return a
}

// dropConnection closes the caller's connection in its face.
func dropConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's own way to cut a connection that cannot be hijacked
	}
	_ = conn.Close()
}
