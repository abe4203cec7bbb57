package tenantsim

import (
	"math"
	"strconv"
	"time"
)

// bucket is the token bucket of the Management API, in real time.
type bucket struct {
	size, refill float64 // requests; requests per second
	left         float64
	since        time.Time
}

func newBucket(size, refill float64) bucket {
	if size < 0 {
		size, refill = 1e9, 1e9
	}
	return bucket{size: size, refill: refill, left: size}
}

// take spends one request, or reports that there is none left.
func (b *bucket) take(now time.Time) bool {
	b.refresh(now)
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

func (b *bucket) refresh(now time.Time) {
	if !b.since.IsZero() && now.After(b.since) {
		b.left = min(b.size, b.left+now.Sub(b.since).Seconds()*b.refill)
	}
	b.since = now
}

// setHeaders tells the caller the state of the bucket; reset is the second at which it will be full again.
func (b *bucket) setHeaders(a *answer, now time.Time) {
	reset := float64(now.UnixMilli())/1000 + (b.size-b.left)/b.refill
	a.set("X-Ratelimit-Limit", strconv.Itoa(int(b.size)))
	a.set("X-Ratelimit-Remaining", strconv.Itoa(int(b.left)))
	a.set("X-Ratelimit-Reset", strconv.FormatInt(int64(math.Ceil(reset)), 10))
}

// logRateLimit logs api_limit, at most once in a virtual minute.
func (t *Tenant) logRateLimit(req *request) {
	if !t.limitLogged.IsZero() && t.now.Sub(t.limitLogged) < time.Minute {
		return
	}
	t.limitLogged = t.now
	ev := t.plainEvent("api_limit", "You've reached the rate limit of the Management API")
	ev["client_id"] = t.opts.ClientID
	ev["client_name"] = daemonName
	ev["hostname"] = t.opts.Domain
	ev["details"] = map[string]any{
		"limit":    map[string]any{"bucket": "management", "global": true, "size": t.opts.RateBurst},
		"request":  map[string]any{"method": req.method, "path": req.path},
		"response": map[string]any{"statusCode": 429},
	}
	t.emitMap(t.now, ev)
}
