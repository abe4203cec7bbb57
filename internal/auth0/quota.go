package auth0

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxQuotaWait bounds how long one write waits for quota; after it, the tenant itself may refuse.
const maxQuotaWait = time.Minute

// quota keeps writes to their share of the tenant's rate limit, which the customer's own jobs use too. It learns the limit
// from the headers of every answer. Until the limit resets, writes pass while their number is below the share and
// something remains; reads always pass.
//
// Counting our own writes, rather than leaving a part of what remains, means that others who use the limit up cannot keep
// us from acting.
type quota struct {
	next   http.RoundTripper
	share  float64
	logger *slog.Logger

	mu        sync.Mutex // guards what follows
	limit     int        // 0 until an answer told it
	remaining int
	reset     time.Time
	window    time.Time // when used is counted from 0 again; zero until an answer tells
	used      int       // writes since the window began
}

func (q *quota) RoundTrip(req *http.Request) (*http.Response, error) {
	if isWrite(req.Method) {
		if err := q.wait(req.Context()); err != nil {
			closeBody(req)
			return nil, err
		}
	}
	resp, err := q.next.RoundTrip(req)
	if err == nil {
		q.observe(resp.Header, resp.StatusCode, time.Now())
	}
	return resp, err
}

// wait returns when one write may be sent.
func (q *quota) wait(ctx context.Context) error {
	var waited time.Duration
	for {
		d := q.take(time.Now(), waited >= maxQuotaWait)
		if d == 0 {
			return nil
		}
		d = min(d, maxQuotaWait-waited)
		q.logger.Info("waiting for quota", "wait", d)
		if err := sleep(ctx, d); err != nil {
			return fmt.Errorf("wait for quota: %w", err)
		}
		waited += d
	}
}

// take counts one write, or returns how long there is none to be had.
func (q *quota) take(now time.Time, force bool) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turn(now)
	if q.limit > 0 && now.Before(q.reset) && !force {
		if q.remaining <= 0 || q.used >= max(1, int(q.share*float64(q.limit))) {
			return q.reset.Sub(now)
		}
	}
	q.used++
	q.remaining-- // until an answer tells better: writes at once must not all see the same rest
	return 0
}

// plenty tells whether at least half of the limit is left, as far as is known: what can wait is asked for only then.
func (q *quota) plenty(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.limit == 0 || !now.Before(q.reset) || 2*q.remaining >= q.limit
}

func (q *quota) observe(h http.Header, status int, now time.Time) {
	limit, err := strconv.Atoi(h.Get("X-Ratelimit-Limit"))
	remaining, err2 := strconv.Atoi(h.Get("X-Ratelimit-Remaining"))
	reset, ok := resetTime(h, now)
	q.mu.Lock()
	defer q.mu.Unlock()
	if status == http.StatusTooManyRequests {
		if after, has := retryAfter(h, now); has && !ok {
			reset, ok = now.Add(after), true
		}
		q.limit, q.remaining = max(q.limit, 1), 0
		if ok {
			q.reset = reset
		}
	}
	if err != nil || err2 != nil || !ok || limit <= 0 {
		return
	}
	q.limit, q.remaining, q.reset = limit, remaining, reset
	q.turn(now)
	if q.window.IsZero() {
		// The writes since the last window ended, such as the one that brought this answer, belong to this one.
		q.window = reset
	}
}

// turn ends a window that is over.
func (q *quota) turn(now time.Time) {
	if !q.window.IsZero() && !now.Before(q.window) {
		q.used, q.window = 0, time.Time{}
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
