package journal

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"portcullis/internal/faultnet"
)

// short makes leases change hands within a test's patience. A renewal may be late by
// some hundred milliseconds on a busy machine before one is lost.
var short = LeaseOptions{TTL: 1500 * time.Millisecond, Margin: 500 * time.Millisecond, Every: 50 * time.Millisecond}

// keep keeps a lease in the background; the channel gives how that ended.
func keep(t *testing.T, l *Lease) (stop context.CancelFunc, ended chan error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	go func() { ended <- l.Keep(ctx) }()
	t.Cleanup(stop)
	return stop, ended
}

// acquire acquires a lease in the background; the channel gives when.
func acquire(t *testing.T, l *Lease) (acquired chan time.Time, waits chan string) {
	t.Helper()
	acquired, waits = make(chan time.Time, 1), make(chan string, 10)
	go func() {
		if l.Acquire(t.Context(), func(holder string) { waits <- holder }) == nil {
			acquired <- time.Now()
		}
	}()
	return acquired, waits
}

func TestALeaseThatIsGivenUpGoesToTheOneThatWaits(t *testing.T) {
	srv := runServer(t, server.Options{JetStream: true, StoreDir: t.TempDir()})
	patient := LeaseOptions{TTL: time.Hour, Every: 20 * time.Millisecond}
	a := open(t, Options{NATS: srv.ClientURL()}).Lease("acme", "a", patient)
	b := open(t, Options{NATS: srv.ClientURL()}).Lease("acme", "b", patient)
	require.ErrorIs(t, a.Held(), ErrLeaseLost, "before it is acquired")
	require.NoError(t, a.Acquire(t.Context(), nil))
	require.NoError(t, a.Held())
	stop, ended := keep(t, a)
	acquired, waits := acquire(t, b)
	require.Equal(t, "a", <-waits)
	require.ErrorIs(t, b.Held(), ErrLeaseLost)
	other := open(t, Options{NATS: srv.ClientURL()}).Lease("other", "b", patient)
	require.NoError(t, other.Acquire(t.Context(), nil), "another tenant's is free")

	stop()
	require.NoError(t, <-ended)
	require.Empty(t, acquired)
	require.NoError(t, a.Release(t.Context()))
	require.ErrorIs(t, a.Held(), ErrLeaseLost)
	<-acquired
	require.NoError(t, b.Held())
	require.Equal(t, [2]uint64{1, 2}, [2]uint64{a.Generation(), b.Generation()})
	require.NoError(t, a.Release(t.Context()), "what is not held is given up already")
	require.NoError(t, b.Held())
}

func TestALeaseThatCannotBeRenewedIsLostBeforeAnotherHasIt(t *testing.T) {
	srv := runServer(t, server.Options{JetStream: true, StoreDir: t.TempDir()})
	way := faultnet.New(t, srv.Addr().String())
	a := open(t, Options{NATS: "nats://" + way.Addr}).Lease("acme", "a", short)
	b := open(t, Options{NATS: srv.ClientURL()}).Lease("acme", "b", short)
	require.NoError(t, a.Acquire(t.Context(), nil))
	_, ended := keep(t, a)
	acquired, waits := acquire(t, b)
	require.Equal(t, "a", <-waits)
	renewals := func() uint64 {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.rev
	}
	first := renewals()
	require.Eventually(t, func() bool { return renewals() > first+3 }, 10*time.Second, short.Every)
	way.Cut()
	require.ErrorIs(t, <-ended, ErrLeaseLost)
	lost := time.Now()
	require.ErrorIs(t, a.Held(), ErrLeaseLost)
	select {
	case at := <-acquired:
		require.Fail(t, "both had it", "%s", at.Sub(lost))
	default:
	}
	require.Greater(t, (<-acquired).Sub(lost), short.Margin/2, "there was time between for what was under way")

	// Back again, the first one waits for the other.
	_, kept := keep(t, b)
	way.Mend()
	again, waits := acquire(t, a)
	require.Equal(t, "b", <-waits)
	require.NoError(t, b.Held())
	require.Empty(t, again)
	require.Empty(t, kept)
}

func TestOfManyThatWaitOneGetsTheLease(t *testing.T) {
	srv := runServer(t, server.Options{JetStream: true, StoreDir: t.TempDir()})
	quick := LeaseOptions{TTL: time.Hour, Every: time.Millisecond}
	var all []*Lease
	got := make(chan *Lease, 8)
	for i := range 8 {
		l := open(t, Options{NATS: srv.ClientURL()}).Lease("acme", string(rune('a'+i)), quick)
		all = append(all, l)
		go func() {
			if l.Acquire(t.Context(), nil) == nil {
				got <- l
			}
		}()
	}
	for generation := range uint64(8) {
		l := <-got
		require.Equal(t, generation+1, l.Generation())
		held := 0
		for _, other := range all {
			if other.Held() == nil {
				held++
			}
		}
		require.Equal(t, 1, held)
		require.NoError(t, l.Release(t.Context()))
	}
}

func TestTheEmbeddedStoreGivesALeaseAtOnce(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	a := j.Lease("acme", "a", LeaseOptions{})
	require.NoError(t, a.Acquire(t.Context(), nil))
	require.NoError(t, a.Held())
	require.NoError(t, j.Close()) // without giving it up, as a kill does
	b := open(t, Options{Dir: dir}).Lease("acme", "b", LeaseOptions{})
	require.NoError(t, b.Acquire(t.Context(), nil), "the directory's lock says that the first is gone")
	require.EqualValues(t, 2, b.Generation())
}
