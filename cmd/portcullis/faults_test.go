package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/internal/journal"
	"portcullis/internal/tenantsim"
	"portcullis/logstream"
)

func TestAClockThatJumpsLosesNothingAndCountsNothingTwice(t *testing.T) {
	t.Parallel()
	var offset atomic.Int64
	sim := quietSim("acme")
	g := startGuard(t, t.TempDir(), daemonOptions{now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }},
		guardTenant{name: "acme", sim: sim, poll: true})
	sent := 0
	send := func() { // dated by the tenant's clock, which is right
		var b strings.Builder
		for range 10 {
			sent++
			b.WriteString(guardEvent(sent, time.Now()) + "\n")
		}
		require.Equal(t, 200, g.post("/logs/acme", "hook-acme", b.String()))
		require.EqualValues(t, sent, g.counted("acme"))
	}
	reasons := func() string { return strings.Join(g.source("acme", "webhook").Reasons, "; ") }
	watermark := func() (w time.Time) {
		in := g.tenant("acme").current.Load()
		require.NoError(t, in.with(func() error { w = in.engine.Watermark(); return nil }))
		return w
	}
	send()
	require.Equal(t, logstream.Clear, g.source("acme", "webhook").Verdict)

	offset.Store(int64(6 * time.Hour))
	send()
	g.eventually("what comes looks old", func() bool { return strings.Contains(reasons(), "behind") })
	require.Less(t, watermark(), time.Now().Add(time.Minute), "the watermark is the events' own")

	offset.Store(0)
	send()
	g.eventually("clear again", func() bool { return g.source("acme", "webhook").Verdict == logstream.Clear })

	offset.Store(-int64(8 * time.Minute))
	send()
	g.eventually("the slow clock is named", func() bool { return strings.Contains(reasons(), "set it right") })
	offset.Store(0)
	send()
	g.eventually("clear at the end", func() bool { return g.source("acme", "webhook").Verdict == logstream.Clear })
	g.stopped()
	require.Len(t, journaledIDs(t, filepath.Join(g.dir, "data"), "acme"), sent)
}

func TestAnAttackIsSeenThoughTheClockIsSlow(t *testing.T) {
	t.Parallel()
	const slow = 3 * time.Hour
	var offset atomic.Int64
	offset.Store(-int64(slow))
	g := startGuard(t, t.TempDir(), daemonOptions{now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }},
		guardTenant{name: "acme", sim: quietSim("acme")})
	var b strings.Builder
	right := time.Now()
	for n := range 50 {
		b.WriteString(strings.NewReplacer(`"s"`, `"fp"`, "a@", fmt.Sprintf("user%d@", n)).Replace(guardEvent(n, right)) + "\n")
	}
	b.WriteString(guardEvent(99, right.Add(48*time.Hour)) + "\n")
	require.Equal(t, 200, g.post("/logs/acme", "hook-acme", b.String()))
	in := g.tenant("acme").current.Load()
	look := func(e *detections.Engine) (alerts []detections.Alert, future int64, clock time.Time) {
		return e.OpenAlerts(), e.Stats().Future, e.Clock()
	}
	var alerts []detections.Alert
	var future int64
	var clock time.Time
	require.NoError(t, in.with(func() error { alerts, future, clock = look(in.engine); return nil }))
	require.EqualValues(t, 1, future, "no clock is two days wrong")
	require.False(t, clock.After(time.Now().Add(logstream.StampTolerance-slow)))
	require.NotEmpty(t, alerts)
	require.Equal(t, "credential-stuffing-ip", alerts[0].Rule)
	require.False(t, alerts[0].Late)
	require.Contains(t, strings.Join(g.source("acme", "webhook").Reasons, "; "), "ahead of this machine's clock: set it right; what waits for time to pass")

	offset.Store(0) // set right; and a life begins anew, from the journal alone
	again, err := in.life.t.begin(t.Context())
	require.NoError(t, err)
	recovered, futureAgain, clockAgain := look(again.intake.engine)
	require.Equal(t, alerts, recovered)
	require.Equal(t, future, futureAgain)
	require.Equal(t, clock, clockAgain)
}

// journaledIDs are the log_ids in a store that no daemon uses.
func journaledIDs(t *testing.T, dir, tenant string) map[string]int {
	t.Helper()
	j, err := journal.Open(t.Context(), journal.Options{Dir: dir})
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close()) }()
	ids := map[string]int{}
	require.NoError(t, j.ReplayBundles(t.Context(), tenant, 0, time.Time{}, func(b journal.Bundle) error {
		for _, raw := range b.Events {
			ev, err := logstream.Decode(raw)
			if err != nil {
				return err
			}
			ids[ev.ID]++
		}
		return nil
	}))
	return ids
}

func TestATruncatedJournalIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := startGuard(t, dir, daemonOptions{}, guardTenant{name: "acme", sim: quietSim("acme")})
	for i := range 20 {
		require.Equal(t, 200, g.events("acme", 10*i, 10))
	}
	g.stopped()
	blocks, err := filepath.Glob(filepath.Join(dir, "data", "jetstream", "$G", "streams", "events", "msgs", "*.blk"))
	require.NoError(t, err)
	require.NotEmpty(t, blocks)
	for _, path := range blocks {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, info.Size()/2))
	}
	cfg, content, err := load(filepath.Join(dir, "portcullis.yaml"))
	require.NoError(t, err)
	_, err = newDaemon(t.Context(), cfg, content, slog.New(slog.DiscardHandler), daemonOptions{})
	require.ErrorIs(t, err, journal.ErrDamaged)
	require.ErrorContains(t, err, "is missing: restore the directory from a backup")
}

func TestAFaultOfOursEndsOneLifeOfOneTenant(t *testing.T) {
	t.Parallel()
	g := startGuard(t, t.TempDir(), daemonOptions{}, guardTenant{name: "acme", sim: quietSim("acme")}, guardTenant{name: "globex", sim: quietSim("globex")})
	require.Equal(t, 200, g.events("acme", 0, 10))
	other := g.tenant("globex").current.Load()
	err := g.tenant("acme").current.Load().with(func() error { panic("a fault of the test") })
	require.ErrorIs(t, err, errStopping)
	g.eventually("it goes on", func() bool { return g.tenant("acme").failures.Load() == 1 && g.counted("acme") == 10 })
	require.Equal(t, 200, g.events("acme", 10, 10))
	require.EqualValues(t, 20, g.counted("acme"))
	require.Contains(t, g.log.String(), "evaluate: panic: a fault of the test")
	require.Same(t, other, g.tenant("globex").current.Load(), "the other tenant's life went on")
}

func TestOneTenantsTroubleSlowsNoOther(t *testing.T) {
	t.Parallel()
	slow, refused, good := quietSim("slow"), quietSim("refused"), quietSim("good")
	slow.Fail(tenantsim.Fault{Latency: time.Hour, Times: -1})
	g := startGuard(t, t.TempDir(), daemonOptions{}, guardTenant{name: "slow", sim: slow, poll: true},
		guardTenant{name: "refused", sim: refused, poll: true, secret: "a-wrong-secret"}, guardTenant{name: "good", sim: good, poll: true})
	good.Inject(map[string]any{"type": "s", "user_name": "a@example.com"})
	good.Advance(time.Minute)
	began := time.Now()
	g.eventually("the good tenant's log is read", func() bool { return g.counted("good") == 1 })
	for _, name := range []string{"slow", "refused", "good"} { // and what they push is taken from all
		before := g.counted(name)
		require.Equal(t, 200, g.events(name, 1, 5))
		require.Equal(t, before+5, g.counted(name))
	}
	require.Less(t, time.Since(began), 10*time.Second, "no request of the slow tenant was waited for")
	g.eventually("the wrong secret is said", func() bool {
		return strings.Contains(strings.Join(g.source("refused", "poll").Reasons, "; "), "credentials")
	})
	require.Equal(t, logstream.Clear, g.source("good", "poll").Verdict)
	require.NotContains(t, g.log.String(), "a-wrong-secret")
	began = time.Now()
	g.stopped()
	require.Less(t, time.Since(began), 5*time.Second, "what the slow tenant was asked is not waited for")
}

func TestAWebhookTakesWhatTheConfigurationAllows(t *testing.T) {
	t.Parallel()
	g := startGuard(t, t.TempDir(), daemonOptions{},
		guardTenant{name: "small", sim: quietSim("small"), limits: ", max_body: 64KiB"},
		guardTenant{name: "slow", sim: quietSim("slow"), limits: ", rate: 0.1"})
	large := g.answer("/logs/small", "hook-small", strings.Repeat(guardEvent(1, time.Now())+"\n", 400))
	require.Equal(t, http.StatusRequestEntityTooLarge, large.StatusCode)
	require.Equal(t, 200, g.events("small", 1, 100))
	require.EqualValues(t, 100, g.counted("small"), "nothing of the large body")

	require.Equal(t, 200, g.events("slow", 1, 1))
	fast := g.answer("/logs/slow", "hook-slow", guardEvent(2, time.Now()))
	require.Equal(t, http.StatusTooManyRequests, fast.StatusCode)
	wait, err := strconv.Atoi(fast.Header.Get("Retry-After"))
	require.NoError(t, err)
	require.InDelta(t, 10, wait, 10, "seconds until the next request has a place")
	require.Positive(t, wait)
	require.EqualValues(t, 1, g.counted("slow"))
	require.Equal(t, 200, g.events("small", 101, 1), "another tenant has a rate of its own")
	require.Contains(t, g.metrics(), `portcullis_webhook_requests_total{answer="too_large",tenant="small"} 1`)
	require.Contains(t, g.metrics(), `portcullis_webhook_requests_total{answer="too_often",tenant="slow"} 1`)
}

func TestAFloodOfOneTenantIsTurnedAwayAndTheOthersAreServed(t *testing.T) {
	t.Parallel()
	g := startGuard(t, t.TempDir(), daemonOptions{}, guardTenant{name: "flooded", sim: quietSim("flooded")}, guardTenant{name: "calm", sim: quietSim("calm")})
	for range 16 { // clients that begin a body and never end it
		c, err := net.Dial("tcp", strings.TrimPrefix(g.base, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		_, err = io.WriteString(c, "POST /logs/flooded HTTP/1.1\r\nHost: x\r\nAuthorization: hook-flooded\r\nContent-Length: 1000\r\n\r\n{")
		require.NoError(t, err)
	}
	g.eventually("every place is taken", func() bool { return g.tenant("flooded").webhook.Waiting() == 16 })
	busy := g.answer("/logs/flooded", "hook-flooded", guardEvent(1, time.Now()))
	require.Equal(t, http.StatusServiceUnavailable, busy.StatusCode)
	require.Equal(t, "1", busy.Header.Get("Retry-After"))
	require.Equal(t, 200, g.events("calm", 1, 1))
	require.Contains(t, g.metrics(), `portcullis_webhook_requests_total{answer="busy",tenant="flooded"} 1`)
	require.Contains(t, g.metrics(), fmt.Sprintf(`portcullis_webhook_waiting{tenant="flooded"} %d`, 16))
}
