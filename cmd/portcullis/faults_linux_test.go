package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/faultdisk"
	"portcullis/logstream"
)

func TestADaemonOnAFullOrReadOnlyDiskTurnsEventsAwayAndGoesOnByItself(t *testing.T) {
	for state, disk := range map[string]struct {
		harm func(t *testing.T, dir string) (mend func())
		says string
	}{
		"full":      {faultdisk.Fill, "no room for the files"},
		"read-only": {faultdisk.Freeze, "cannot be written"},
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			dir := faultdisk.Small(t, "64")
			sim := quietSim("acme")
			g := startGuard(t, dir, daemonOptions{}, guardTenant{name: "acme", sim: sim, poll: true})
			acknowledged := 0
			send := func() bool {
				var b strings.Builder
				for i := range 50 {
					b.WriteString(guardEvent(acknowledged+i, time.Now()) + strings.Repeat(" ", 1000) + "\n")
				}
				switch code := g.post("/logs/acme", "hook-acme", b.String()); code {
				case http.StatusOK:
					acknowledged += 50
					return true
				case http.StatusServiceUnavailable:
				default:
					t.Errorf("answered %d", code)
				}
				return false
			}
			require.True(t, send())
			mend := disk.harm(t, filepath.Join(dir, "data"))
			g.eventually("events are turned away", func() bool { return !send() })
			g.eventually("it is blind and says why", func() bool {
				h := g.health("acme")
				return h.Verdict == logstream.Blind && strings.Contains(strings.Join(h.Reasons, "; "), disk.says)
			})
			in := g.tenant("acme").current.Load()
			require.NoError(t, in.with(func() error { return in.begin(context.WithoutCancel(t.Context())) }))
			g.eventually("a snapshot that is not kept is counted", func() bool {
				return strings.Contains(g.metrics(), "portcullis_snapshot_failures_total{tenant=\"acme\"} 1\n")
			})
			for range 20 { // the log is read as well meanwhile
				sim.Inject(map[string]any{"type": "s", "user_name": "a@example.com"})
			}
			sim.Advance(time.Minute)

			mend()
			g.eventually("events are taken again", send)
			g.eventually("and those that were polled", func() bool { return g.counted("acme") >= int64(acknowledged)+20 })
			g.eventually("it is no longer blind", func() bool { return g.health("acme").Verdict != logstream.Blind })
			g.stopped()
			ids := journaledIDs(t, filepath.Join(dir, "data"), "acme")
			require.Len(t, ids, acknowledged+20)
			for id, n := range ids {
				require.Equal(t, 1, n, id)
			}
		})
	}
}
