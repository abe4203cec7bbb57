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
// something remains; reads pass always. A lane changes that, see Lane.
//
// Counting our own writes, rather than leaving a part of what remains, means that others who use the limit up cannot keep
// us from acting.
type quota struct {
	next   http.RoundTripper
	share  float64
	logger *slog.Logger

	mu         sync.Mutex // guards what follows
	limit      int        // 0 until an answer told it
	remaining  int
	reset      time.Time
	window     time.Time // when used is counted from 0 again; zero until an answer tells
	used       int       // writes since the window began
	flying     int       // requests without an answer yet
	containing int       // requests in the lane Contain that wait
	contained  time.Time // when the latest of them was let through
}

func (q *quota) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := q.wait(req.Context(), laneOf(req)); err != nil {
		closeBody(req)
		return nil, err
	}
	q.fly(1)
	resp, err := q.next.RoundTrip(req)
	q.fly(-1)
	if err == nil {
		q.observe(resp.Header, resp.StatusCode, time.Now())
	}
	return resp, err
}

func (q *quota) fly(n int) {
	q.mu.Lock()
	q.flying += n
	q.mu.Unlock()
}

// wait returns when one request of a lane may be sent.
func (q *quota) wait(ctx context.Context, lane Lane) error {
	var waited time.Duration
	for {
		d := q.take(time.Now(), lane, waited >= maxQuotaWait)
		if d == 0 {
			if waited > 0 {
				q.queue(lane, -1)
			}
			return nil
		}
		if lane == Observe {
			return &notSent{wait: d, why: "less than half of the tenant's rate limit is left"}
		}
		d = min(d, maxQuotaWait)
		if waited < maxQuotaWait {
			d = min(d, maxQuotaWait-waited)
		}
		if waited == 0 {
			q.logger.Info("waiting for quota", "wait", d)
			q.queue(lane, 1)
		}
		if err := sleep(ctx, d); err != nil {
			q.queue(lane, -1)
			return fmt.Errorf("wait for quota: %w", err)
		}
		waited += d
	}
}

// queue counts those who wait to contain somebody: others let them go first.
func (q *quota) queue(lane Lane, n int) {
	if lane == Contain {
		q.mu.Lock()
		q.containing += n
		q.mu.Unlock()
	}
}

// turnAgain is how long to wait where nothing tells.
const turnAgain = 250 * time.Millisecond

// take counts one request, or returns how long there is none to be had. force is for one that waited long: what we believe of
// the limit may be wrong.
func (q *quota) take(now time.Time, lane Lane, force bool) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turn(now)
	wait := turnAgain
	if now.Before(q.reset) {
		wait = q.reset.Sub(now)
	}
	if lane == Contain && force {
		force = now.Sub(q.contained) >= maxQuotaWait // else it is merely long until its turn
	}
	if q.limit > 0 && !force && !q.free(lane) {
		return wait
	}
	switch lane {
	case reading, Observe:
		return 0
	case Contain:
		q.contained = now
	}
	if lane != Verify {
		q.used++
	}
	q.remaining-- // until an answer tells better: requests at once must not all see the same rest
	return 0
}

// free tells whether a lane may have one of what remains. Where nothing tells when there will be more, and no request is under
// way whose answer would, one is let through to find out.
func (q *quota) free(lane Lane) bool {
	left := q.remaining > 0 || q.reset.IsZero() && q.flying == 0
	switch lane {
	case reading:
		return true
	case Contain:
		return left
	case Verify:
		return left && q.containing == 0
	case Observe:
		return 2*q.remaining >= q.limit
	}
	share := q.reset.IsZero() || q.used < max(1, int(q.share*float64(q.limit))) // which counts until the limit resets
	return left && share && q.containing == 0
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
	// Those that are under way have not been counted by the tenant yet.
	q.limit, q.remaining, q.reset = limit, max(0, remaining-q.flying), reset
	q.turn(now)
	if q.window.IsZero() {
		// The writes since the last window ended, such as the one that brought this answer, belong to this one.
		q.window = reset
	}
}

// turn ends a window that is over: as far as is known the limit is whole again.
func (q *quota) turn(now time.Time) {
	if !q.reset.IsZero() && !now.Before(q.reset) {
		q.remaining, q.reset = q.limit-q.flying, time.Time{}
	}
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
