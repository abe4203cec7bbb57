package auth0

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// refilled is a tenant's bucket of size requests that gets rate back each second; it counts what it refuses.
type refilled struct {
	size, rate, left float64
	at               time.Time
	passed           []string // methods, in order
	refused          int
}

func (b *refilled) RoundTrip(r *http.Request) (*http.Response, error) {
	now := time.Now()
	if !b.at.IsZero() {
		b.left = min(b.size, b.left+now.Sub(b.at).Seconds()*b.rate)
	}
	b.at = now
	status := 200
	if b.left < 1 {
		status = 429
		b.refused++
	} else {
		b.left--
		b.passed = append(b.passed, r.Method)
	}
	full := now.Add(time.Duration((b.size - b.left) / b.rate * float64(time.Second)))
	return response(r, status, "X-Ratelimit-Limit", strconv.Itoa(int(b.size)), "X-Ratelimit-Remaining", strconv.Itoa(int(b.left)),
		"X-Ratelimit-Reset", strconv.FormatInt(full.Unix()+1, 10), "Date", now.UTC().Format(http.TimeFormat)), nil
}

// locked makes the bucket one that several may use, each request of a time of its own.
type locked struct {
	mu     sync.Mutex
	bucket *refilled
}

func (l *locked) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(100 * time.Millisecond) // what a request takes
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket.RoundTrip(r)
}

func (q *quota) send(ctx context.Context, lane Lane, method string) error {
	if lane != 0 {
		ctx = InLane(ctx, lane)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://acme.example/", nil)
	if err != nil {
		return err
	}
	resp, err := q.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func TestAThousandAreContainedAtTheTenantsLimitWithoutA429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &refilled{size: 50, rate: 16, left: 50}
		q := &quota{next: &locked{bucket: b}, share: 0.5, logger: slog.New(slog.DiscardHandler)}
		require.NoError(t, q.send(t.Context(), 0, "GET")) // so that the limit is known
		began := time.Now()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 125 {
					if err := q.send(t.Context(), Contain, "PATCH"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		took := time.Since(began)
		least := time.Duration((1000 - 49) / 16.0 * float64(time.Second))
		t.Logf("the last of 1000 after %v; the limit allows %v; %d refused", took, least, b.refused)
		require.Zero(t, b.refused)
		require.Len(t, b.passed, 1001)
		require.Less(t, took, least*5/4)
	})
}

func TestLanesGoInTheirOrderWhenLittleIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &refilled{size: 4, rate: 1, left: 1}
		q := &quota{next: b, share: 0.5, logger: slog.New(slog.DiscardHandler)}
		require.NoError(t, q.send(t.Context(), 0, "GET"))
		require.Zero(t, q.remaining)
		var order []string
		var mu sync.Mutex
		var wg sync.WaitGroup
		start := func(name string, lane Lane, method string) {
			wg.Go(func() {
				if err := q.send(t.Context(), lane, method); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
			})
			synctest.Wait() // it waits now
		}
		start("restore", Restore, "PATCH")
		start("verify", Verify, "GET")
		start("contain", Contain, "PATCH")
		err := q.send(t.Context(), Observe, "GET")
		var local *notSent
		require.ErrorAs(t, err, &local)
		require.Positive(t, local.wait)
		require.NoError(t, q.send(t.Context(), 0, "GET"), "a read that names no lane waits for nothing")
		wg.Wait()
		require.Equal(t, "contain", order[0])
		require.Len(t, order, 3)
		time.Sleep(time.Minute)
		require.NoError(t, q.send(t.Context(), Observe, "GET"), "there is enough again")
	})
}

func TestContainmentMayUseWhatIsNotOurShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &refilled{size: 10, rate: 0.01, left: 10}
		q := &quota{next: b, share: 0.5, logger: slog.New(slog.DiscardHandler)}
		require.NoError(t, q.send(t.Context(), 0, "GET"))
		for range 9 {
			require.NoError(t, q.send(t.Context(), Contain, "PATCH"))
		}
		require.Len(t, b.passed, 10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorContains(t, q.send(ctx, Contain, "PATCH"), "wait for quota")
		require.ErrorContains(t, q.send(ctx, Verify, "GET"), "wait for quota")
		require.Zero(t, q.containing)
		require.Zero(t, b.refused)
	})
}

func TestATenantThatTellsNothingOfItsLimitIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := 429
		q := &quota{share: 0.5, logger: slog.New(slog.DiscardHandler), next: roundTrip(func(r *http.Request) *http.Response { return response(r, status) })}
		began := time.Now()
		for _, lane := range []Lane{Contain, Restore, Restore, Restore, Verify, Contain} {
			require.NoError(t, q.send(t.Context(), lane, "PATCH"))
			status = 200
		}
		require.Zero(t, time.Since(began))
	})
}
