package auth0

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatAnErrorAnswerBecomes(t *testing.T) {
	for _, test := range []struct {
		name        string
		status      int
		body        string
		read, write error
		want        string
	}{
		{"a bad request", 400, `{"statusCode":400,"message":"Payload validation error"}`, ErrInvalid, ErrInvalid, "400 Bad Request: Payload validation error"},
		{"a missing scope", 403, `{"statusCode":403,"message":"Insufficient scope, expected any of: read:network_acls","errorCode":"insufficient_scope"}`,
			ErrForbidden, ErrForbidden, "grant scope read:network_acls on the Management API to application the-client"},
		{"a missing feature", 403, `{"statusCode":403,"message":"Not in your plan"}`, ErrForbidden, ErrForbidden, "the tenant's plan the feature"},
		{"nothing there", 404, `{"statusCode":404,"message":"NetworkACL with this ID was not found"}`, ErrNotFound, ErrNotFound, "was not found"},
		{"a conflict", 409, `{"statusCode":409,"message":"priority"}`, ErrConflict, ErrConflict, "409 Conflict: priority"},
		{"too much", 413, ``, ErrInvalid, ErrInvalid, "413 Request Entity Too Large"},
		{"a page of a proxy", 502, `<html>`, ErrUnreachable, ErrUnknownOutcome, "502 Bad Gateway"},
		{"a request timeout", 408, ``, ErrUnreachable, ErrUnknownOutcome, "408 Request Timeout"},
		{"a failure", 500, `{"message":"Something happened"}`, ErrUnreachable, ErrUnknownOutcome, "500 Internal Server Error: Something happened"},
		{"the rate limit", 429, `{"message":"Too many requests."}`, ErrRateLimited, ErrRateLimited, "429 Too Many Requests: Too many requests."},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeTenant(t, replies(test.status, test.body))
			c := newClient(t, f, Options{})
			calls := everyCall(c)
			for _, name := range writes() {
				err := calls[name](t.Context())
				if test.status == 404 && slices.Contains(goneIsDone(), name) {
					require.NoError(t, err)
					delete(calls, name)
					continue
				}
				require.ErrorIs(t, err, test.write, name)
				require.ErrorContains(t, err, test.want, name)
				delete(calls, name)
			}
			for name, call := range calls {
				err := call(t.Context())
				require.ErrorIs(t, err, test.read, name)
				require.NotErrorIs(t, err, ErrUnknownOutcome, name)
				require.ErrorContains(t, err, test.want, name)
				var status *StatusError
				require.ErrorAs(t, err, &status)
				require.Equal(t, test.status, status.StatusCode)
				require.Equal(t, test.body, string(status.Body))
			}
		})
	}
}

func TestErrorsNameTenantOperationAndPath(t *testing.T) {
	f := newFakeTenant(t, replies(500, `{"message":"oops"}`))
	c := newClient(t, f, Options{})
	require.EqualError(t, c.UpdateNetworkACL(t.Context(), "acl_1", testACL(), "op"),
		"tenant acme.eu.auth0.com: update a network ACL (PATCH /api/v2/network-acls/acl_1): 500 Internal Server Error: oops: it may have been applied or not")
	_, err := c.NetworkACLs(t.Context())
	require.EqualError(t, err, "tenant acme.eu.auth0.com: list network ACLs (GET /api/v2/network-acls): unreachable: 500 Internal Server Error: oops")
}

// failing answers the first n requests with status and the rest with a good answer.
func failing(n int32, status int, header map[string]string, seen *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if seen.Add(1) <= n {
			for k, v := range header {
				w.Header().Set(k, v)
			}
			reply(w, status, `{"message":"later"}`)
			return
		}
		replyWell(w, r)
	}
}

func TestWhatIsRepeated(t *testing.T) {
	for _, test := range []struct {
		name            string
		failures        int32
		status          int
		reads, writes   int32 // requests that arrive
		readOK, writeOK bool
	}{
		{"a read after 5xx, never a write", 2, 503, 3, 1, true, false},
		{"both after 429", 3, 429, 4, 4, true, true},
		{"neither for ever", 9, 429, 4, 4, false, false},
		{"a read after 5xx not for ever", 9, 500, 4, 1, false, false},
		{"neither after 4xx", 1, 409, 1, 1, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name := range everyCall(nil) {
				var seen atomic.Int32
				f := newFakeTenant(t, failing(test.failures, test.status, nil, &seen))
				var logs bytes.Buffer
				c := newClient(t, f, Options{Logger: slog.New(slog.NewTextHandler(&logs, nil))})
				err := everyCall(c)[name](t.Context())
				want, ok := test.reads, test.readOK
				for _, write := range writes() {
					if name == write {
						want, ok = test.writes, test.writeOK
					}
				}
				require.Equal(t, ok, err == nil, "%s: %v", name, err)
				require.Equal(t, want, seen.Load(), name)
				require.Equal(t, int(want-1), strings.Count(logs.String(), "request is repeated"), name)
			}
		})
	}
}

func TestA429IsWaitedFor(t *testing.T) {
	for name, header := range map[string]map[string]string{
		"as Retry-After says":       {"Retry-After": "1"},
		"as x-ratelimit-reset says": {"X-Ratelimit-Limit": "10", "X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "reset"},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			if header["X-Ratelimit-Reset"] != "" {
				// The tenant's clock is an hour off: only the distance to its own Date counts.
				off := now.Add(-time.Hour)
				header["Date"] = off.UTC().Format(http.TimeFormat)
				header["X-Ratelimit-Reset"] = strconv.FormatInt(off.Unix()+1, 10)
			}
			var seen atomic.Int32
			f := newFakeTenant(t, failing(1, 429, header, &seen))
			c := newClient(t, f, Options{})
			_, err := c.AttackProtection(t.Context(), BotDetection)
			require.NoError(t, err)
			require.GreaterOrEqual(t, time.Since(now), time.Second)
			require.Less(t, time.Since(now), 5*time.Second)
		})
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	// One of each way to make a call: a single one, pages by number, pages by cursor, writes.
	for _, name := range []string{"BotDetection", "NetworkACLs", "Actions", "SearchUsers", "Sessions", "PatchBotDetection", "UpdateUser"} {
		t.Run(name, func(t *testing.T) {
			var seen atomic.Int32
			f := newFakeTenant(t, failing(9, 429, map[string]string{"Retry-After": "30"}, &seen))
			c := newClient(t, f, Options{})
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := everyCall(c)[name](ctx)
			require.Less(t, time.Since(start), 5*time.Second)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, ErrRateLimited)
			require.NotErrorIs(t, err, ErrUnknownOutcome)
			var status *StatusError
			require.ErrorAs(t, err, &status)
			require.Equal(t, 30*time.Second, status.RetryAfter)
		})
	}
}

func TestAWriteWithoutAnAnswerHasAnUnknownOutcome(t *testing.T) {
	hijack := func(w http.ResponseWriter, part string) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = rw.WriteString(part)
			_ = rw.Flush()
			_ = conn.Close()
		}
	}
	for name, api := range map[string]http.HandlerFunc{
		"the connection is closed": func(w http.ResponseWriter, _ *http.Request) { hijack(w, "") },
		"the answer breaks off": func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
		},
		"the answer is no answer":     func(w http.ResponseWriter, _ *http.Request) { hijack(w, "hello\r\n\r\n") },
		"the time of one request":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"the answer is no JSON":       replies(200, `<html>`),
		"the answer is no object":     replies(200, `["bot_detection_level"]`),
		"the answer is an empty body": replies(200, ``),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTenant(t, api)
			c := newClient(t, f, Options{HTTP: &http.Client{Timeout: 300 * time.Millisecond}})
			_, err := c.PatchAttackProtection(t.Context(), BotDetection, map[string]any{"bot_detection_level": "high"}, "op")
			require.ErrorIs(t, err, ErrUnknownOutcome)
			require.Len(t, f.requests("/api"), 1)
		})
	}
}

func TestAWriteWhoseContextEndsIsUnknownOnlyOnceItWasSent(t *testing.T) {
	arrived := make(chan struct{})
	f := newFakeTenant(t, func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-r.Context().Done() })
	c := newClient(t, f, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	err := c.DeleteNetworkACL(ctx, "acl_1", "op")
	require.ErrorIs(t, err, ErrUnknownOutcome)
	require.ErrorIs(t, err, context.Canceled)

	err = c.DeleteNetworkACL(ctx, "acl_1", "op")
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrUnknownOutcome)
	require.Len(t, f.requests("/api"), 1)
}

func TestAWriteThatCannotHaveArrivedIsUnreachable(t *testing.T) {
	f := newFakeTenant(t, nil)
	// A connection kept from the token request could still break after a request was written to it.
	c := newClient(t, f, Options{HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	require.NoError(t, c.Check(t.Context()))
	f.Close()
	for name, call := range everyCall(c) {
		err := call(t.Context())
		require.ErrorIs(t, err, ErrUnreachable, name)
		require.NotErrorIs(t, err, ErrUnknownOutcome, name)
	}
}

func TestAReadThatTakesTooLongSaysSo(t *testing.T) {
	f := newFakeTenant(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := newClient(t, f, Options{HTTP: &http.Client{Timeout: 50 * time.Millisecond}})
	_, err := c.AttackProtection(t.Context(), BotDetection)
	require.ErrorIs(t, err, ErrUnreachable)
	require.ErrorContains(t, err, "no answer within 50ms")
	require.Len(t, f.requests("/api"), 4)
}

func TestOperationIDsTravelAndAreChecked(t *testing.T) {
	f := newFakeTenant(t, replyWell)
	c := newClient(t, f, Options{})
	for name, call := range everyCall(c) {
		require.NoError(t, call(t.Context()), name)
	}
	for _, r := range f.requests("/api") {
		if r.method == "GET" {
			require.Empty(t, r.header.Get("X-Correlation-Id"))
		} else {
			require.Regexp(t, `^op-([1-9][0-9]?|u)$`, r.header.Get("X-Correlation-Id"))
		}
	}
	sent := len(f.requests("/"))
	for _, op := range []string{"", "with space", "line\nbreak", strings.Repeat("x", 65)} {
		_, err := c.PatchAttackProtection(t.Context(), BotDetection, map[string]any{"bot_detection_level": "high"}, op)
		require.ErrorIs(t, err, ErrInvalid)
		require.ErrorIs(t, c.CreateNetworkACL(t.Context(), testACL(), op), ErrInvalid)
		require.ErrorIs(t, c.UpdateNetworkACL(t.Context(), "acl_1", testACL(), op), ErrInvalid)
		require.ErrorIs(t, c.DeleteNetworkACL(t.Context(), "acl_1", op), ErrInvalid)
	}
	require.Len(t, f.requests("/"), sent, "nothing was sent")
	_, err := c.PatchAttackProtection(t.Context(), BotDetection, map[string]any{"bot_detection_level": "high"}, strings.Repeat("x", 64))
	require.NoError(t, err)
}

// roundTrip is a network that answers without one, for tests on a clock of their own.
type roundTrip func(*http.Request) *http.Response

func (rt roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return rt(r), nil }

func response(r *http.Request, status int, header ...string) *http.Response {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d X\r\n", status)
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	b.WriteString("\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(b.String())), r)
	if err != nil {
		panic(err)
	}
	resp.Body = io.NopCloser(strings.NewReader(botDetectionBody))
	return resp
}

// limitedTenant has a limit of which others leave remaining, anew every ten seconds.
func limitedTenant(t *testing.T, limit, remaining int, opts Options) (c *Client, sent *[]time.Duration) {
	t.Helper()
	start := time.Now()
	sent = &[]time.Duration{}
	opts.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) *http.Response {
		if strings.HasSuffix(r.URL.Path, "/oauth/token") {
			resp := response(r, 200, "Content-Type", "application/json")
			resp.Body = io.NopCloser(strings.NewReader(`{"access_token":"token","token_type":"Bearer","expires_in":86400}`))
			return resp
		}
		since := time.Since(start)
		*sent = append(*sent, since)
		reset := start.Add(since.Truncate(10*time.Second) + 10*time.Second)
		return response(r, 200, "X-RateLimit-Limit", strconv.Itoa(limit), "X-RateLimit-Remaining", strconv.Itoa(remaining),
			"X-RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	})}
	c, err := New(Config{Domain: testDomain, ClientID: "id", ClientSecret: testSecret}, opts)
	require.NoError(t, err)
	return c, sent
}

func TestWritesKeepToTheirShareAndReadsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sent := limitedTenant(t, 10, 5, Options{})
		_, err := c.AttackProtection(t.Context(), BotDetection)
		require.NoError(t, err)
		for range 12 {
			require.NoError(t, c.DeleteNetworkACL(t.Context(), "acl_1", "op"))
		}
		perWindow := map[time.Duration]int{}
		for _, at := range (*sent)[1:] {
			perWindow[at/(10*time.Second)]++
		}
		require.Equal(t, map[time.Duration]int{0: 5, 1: 5, 2: 2}, perWindow)
		before := time.Now()
		for range 20 {
			_, err := c.AttackProtection(t.Context(), BotDetection)
			require.NoError(t, err)
		}
		require.Zero(t, time.Since(before))
	})
}

func TestPollingAndResponsesShareOneBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sent := limitedTenant(t, 10, 0, Options{})
		poll := func() {
			resp, err := c.HTTPClient().Get(c.BaseURL() + "/api/v2/logs?from=1&take=100")
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
		}
		poll() // and its answer tells that nothing is left
		require.NoError(t, c.DeleteNetworkACL(t.Context(), "acl_1", "op"))
		require.Equal(t, []time.Duration{0, 10 * time.Second}, *sent, "the write waits for what the poll used up")
		began := time.Now()
		poll()
		require.Zero(t, time.Since(began), "a read waits for nothing: how fast the poll goes it decides by the same headers")
		list, err := c.LogStreams(t.Context())
		require.Error(t, err, "what can wait is not asked for")
		require.Empty(t, list)
		require.Len(t, *sent, 3)
	})
}

func TestTheWholeLimitCanBeTheShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sent := limitedTenant(t, 10, 5, Options{QuotaShare: 1})
		for range 10 {
			require.NoError(t, c.DeleteNetworkACL(t.Context(), "acl_1", "op"))
		}
		for _, at := range *sent {
			require.Zero(t, at)
		}
	})
}

func TestAnEmptyBucketIsWaitedForAtMostAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sent := limitedTenant(t, 10, 0, Options{})
		_, err := c.AttackProtection(t.Context(), BotDetection)
		require.NoError(t, err)
		require.NoError(t, c.DeleteNetworkACL(t.Context(), "acl_1", "op"))
		require.Equal(t, []time.Duration{0, 10 * time.Second}, *sent)

		q := &quota{share: 0.5, logger: slog.New(slog.DiscardHandler)}
		q.observe(http.Header{"X-Ratelimit-Limit": {"10"}, "X-Ratelimit-Remaining": {"0"},
			"X-Ratelimit-Reset": {strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)}}, 200, time.Now())
		before := time.Now()
		require.NoError(t, q.wait(t.Context(), Restore))
		require.Equal(t, maxQuotaWait, time.Since(before))
	})
}

func TestWaitingForQuotaEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sent := limitedTenant(t, 10, 0, Options{})
		_, err := c.AttackProtection(t.Context(), BotDetection)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		before := time.Now()
		err = c.DeleteNetworkACL(ctx, "acl_1", "op")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrUnknownOutcome)
		require.ErrorContains(t, err, "wait for quota")
		require.Equal(t, 3*time.Second, time.Since(before))
		require.Len(t, *sent, 1)
	})
}

func TestLongWaitsAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c, err := New(Config{Domain: testDomain, ClientID: "id", ClientSecret: testSecret}, Options{HTTP: &http.Client{
			Transport: roundTrip(func(r *http.Request) *http.Response {
				if strings.HasSuffix(r.URL.Path, "/oauth/token") {
					resp := response(r, 200, "Content-Type", "application/json")
					resp.Body = io.NopCloser(strings.NewReader(`{"access_token":"token","token_type":"Bearer","expires_in":86400}`))
					return resp
				}
				asked++
				return response(r, 429, "Retry-After", "3600")
			})}})
		require.NoError(t, err)
		before := time.Now()
		_, err = c.AttackProtection(t.Context(), BotDetection)
		require.ErrorIs(t, err, ErrRateLimited)
		require.Equal(t, 4, asked)
		require.Equal(t, 3*maxRetryWait, time.Since(before))
	})
}

func TestErrorBodiesAreCut(t *testing.T) {
	w := httptest.NewRecorder()
	reply(w, 500, strings.Repeat("x", 100_000))
	w.Header().Set("Set-Cookie", "a=b")
	e := newStatusError(w.Result(), newSecrets(""))
	require.Len(t, e.Body, maxErrorBody)
}
