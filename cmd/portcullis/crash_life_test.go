package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/journal"
	"portcullis/internal/tenantsim"
	"portcullis/logstream"
	"portcullis/responders"
)

// lifeDaemon makes a daemon in the test's own process.
func lifeDaemon(t *testing.T, dir, tenantURL string, opts daemonOptions) *daemon {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte(tenantsim.DefaultClientSecret), 0o600))
	file := filepath.Join(dir, crashConfig)
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
store: {dir: ./data}
tenants:
  - name: %s
    domain: %s
    base_url: %s
    client_id: %s
    client_secret_file: ./secret
`, crashTenant, tenantsim.DefaultDomain, tenantURL, tenantsim.DefaultClientID), 0o600))
	cfg, content, err := load(file)
	require.NoError(t, err)
	d, err := newDaemon(t.Context(), cfg, content, slog.New(slog.DiscardHandler), opts)
	require.NoError(t, err)
	return d
}

// An append may fail and be durable all the same. What comes after it must not
// hide it: the snapshot's position would be past events that were never evaluated.
func TestEventsJournaledInSpiteOfAnErrorAreEvaluated(t *testing.T) {
	t.Parallel()
	d := lifeDaemon(t, t.TempDir(), "http://127.0.0.1:1", daemonOptions{})
	defer func() { require.NoError(t, d.close()) }()
	guarded := d.tenants[0]
	l, err := guarded.begin(t.Context())
	require.NoError(t, err)
	event := func(n int) []byte {
		return fmt.Appendf(nil, `{"log_id":"90020250303090000000000000000000000000000000000000%06d","data":{"date":"2025-03-03T09:00:00.000Z","type":"fp"}}`, n)
	}
	batch := func(n int) *delivery {
		ev, err := logstream.Decode(event(n))
		require.NoError(t, err)
		return &delivery{source: "poll", batch: logstream.Batch{Events: []logstream.Event{ev}}, done: make(chan error, 1)}
	}
	take := func(ctx context.Context, n int) error {
		dl := batch(n)
		l.intake.take(ctx, dl)
		return <-dl.done
	}
	require.NoError(t, take(t.Context(), 1))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, take(over, 2), "an append that was cut short")
	_, err = d.journal.AppendBundle(t.Context(), crashTenant, journal.Bundle{Source: "poll", Events: [][]byte{event(3)}})
	require.NoError(t, err)

	for _, n := range []int{4, 3, 2, 4} { // 3 and 2 are sent again
		require.NoError(t, take(t.Context(), n))
		ids := map[string]bool{}
		require.NoError(t, d.journal.ReplayBundles(t.Context(), crashTenant, 0, time.Time{}, func(b journal.Bundle) error {
			for _, raw := range b.Events {
				ev, err := logstream.Decode(raw)
				require.NoError(t, err)
				ids[ev.ID] = true
			}
			return nil
		}))
		require.EqualValues(t, len(ids), l.intake.engine.Stats().Events, "events evaluated after event %d", n)
	}
	require.EqualValues(t, 4, l.intake.engine.Stats().Events)
}

// reportsOf hands reports to the test.
type reportsOf chan responders.Report

func (c reportsOf) Notify(_ context.Context, r responders.Report) error {
	c <- r
	return nil
}

// await runs a daemon until a report is what is waited for, and stops it.
func (c reportsOf) await(t *testing.T, d *daemon, what string, ok func(responders.Report) bool) responders.Report {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	defer func() {
		stop()
		for {
			select {
			case err := <-ended:
				require.NoError(t, err)
				return
			case <-c: // what is told at the end
			}
		}
	}()
	patience := time.After(20 * time.Second)
	for {
		select {
		case r := <-c:
			if ok(r) {
				return r
			}
		case <-patience:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAnAlertAboutTheFeedIsResolvedByALaterLife(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sim := tenantsim.New(tenantsim.Options{Speed: -1, CalmRate: -1})
	srv := httptest.NewServer(sim.Handler())
	defer srv.Close()
	reports := make(reportsOf, 100)
	opts := daemonOptions{
		now:       fastClock(time.Now()),
		pollEvery: 50 * time.Millisecond, notifiers: []responders.Notifier{reports},
	}
	blind := lifeDaemon(t, dir, "http://127.0.0.1:1", opts)
	opened := reports.await(t, blind, "an alert that the log is not seen", func(r responders.Report) bool {
		return r.Incident.Campaign == feedRule && r.Broadcast
	})

	closed := reports.await(t, lifeDaemon(t, dir, srv.URL, opts), "the incident closed", func(r responders.Report) bool {
		return r.Incident.ID == opened.Incident.ID && r.State == responders.StateClosed
	})
	require.NotNil(t, closed.Incident.ResolvedAt)
}
