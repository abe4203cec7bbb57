package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/journal"
)

func TestWhatWasAcknowledgedBeforeSIGTERMIsInTheJournal(t *testing.T) {
	t.Parallel()
	events := crashTraffic(t, 3000)
	r := newCrashRun(t, events[len(events)-1].at.Add(crashQuiet), 0)
	r.start()
	require.True(t, r.ready(30*time.Second), r.log())

	// Several senders, none of which tries again.
	var next, refused, cut atomic.Int64
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	ended := make(chan struct{})
	posted := make(chan struct{}, 1)
	const batch = 20
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				n := int(next.Add(1)-1) * batch
				if n >= len(events) {
					return
				}
				part := events[n:min(n+batch, len(events))]
				switch status := r.postOnce(part); status {
				case http.StatusOK:
					mu.Lock()
					for _, ev := range part {
						acknowledged[ev.id] = true
					}
					if len(acknowledged) > 500 {
						select {
						case posted <- struct{}{}:
						default:
						}
					}
					mu.Unlock()
				case 0:
					cut.Add(1)
					return
				default:
					refused.Add(1)
				}
			}
		})
	}
	<-posted
	require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
	<-r.died
	close(ended)
	senders.Wait()
	require.True(t, r.cmd.ProcessState.Success(), r.log())
	require.Less(t, len(acknowledged), len(events), "all was sent before the stop")
	t.Logf("%d of %d events acknowledged, %d posts refused, %d without an answer", len(acknowledged), len(events), refused.Load(), cut.Load())

	r.start()
	require.True(t, r.ready(30*time.Second), r.log())
	r.stop()
	res := r.result()
	for id := range acknowledged {
		require.Contains(t, res.ids, id, "an event that was acknowledged is not in the journal")
	}
	require.Equal(t, res.distinct, res.journaled)
	require.EqualValues(t, res.distinct, res.counted, "events counted after the restart")
}

// postOnce sends a batch and returns the status, 0 without an answer.
func (r *crashRun) postOnce(batch []crashEvent) int {
	body, _ := crashBody(batch, 0)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, r.base+"/logs/crash", bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", crashToken)
	resp, err := r.hc.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestADamagedSnapshotIsSaidAndTheJournalAloneRecovers(t *testing.T) {
	t.Parallel()
	events := crashTraffic(t, 3000)
	r := newCrashRun(t, events[len(events)-1].at.Add(crashQuiet+time.Hour), 0)
	r.play(crashSchedule(events, false), 0)
	want := r.result()
	require.NotEmpty(t, want.alerts)
	require.EqualValues(t, len(events), want.counted)

	garbage := bytes.Repeat([]byte("garbage "), 1000)
	for name, damage := range map[string]func([]byte) []byte{
		"is something else":        func([]byte) []byte { return garbage },
		"is empty":                 func([]byte) []byte { return nil },
		"is cut off":               func(data []byte) []byte { return data[:len(data)/2] },
		"is cut off at its end":    func(data []byte) []byte { return data[:len(data)-frameHead] },
		"goes on behind its end":   func(data []byte) []byte { return append(data, 0) },
		"has a flipped byte":       func(data []byte) []byte { data[len(data)/3] ^= 0x40; return data },
		"has no engine":            func(data []byte) []byte { return reframed(t, data, frameEngine) },
		"has another's engine":     func(data []byte) []byte { return reframed(t, data, frameEngine, garbage) },
		"has no log_ids":           func(data []byte) []byte { return reframed(t, data, frameSeen, garbage) },
		"has no position":          func(data []byte) []byte { return reframed(t, data, framePosition) },
		"has unreadable responses": func(data []byte) []byte { return reframed(t, data, frameChange, garbage) },
		"has unknown parts":        func(data []byte) []byte { return reframed(t, data, 'x', garbage) },
	} {
		t.Run("a snapshot that "+name, func(t *testing.T) {
			r.spoil(t, damage)
			require.NoError(t, os.Truncate(filepath.Join(r.dir, crashLog), 0))
			r.start()
			require.True(t, r.ready(30*time.Second), r.log())
			r.stop()
			require.Contains(t, r.log(), "snapshot not used, recovering from the journal alone")
			require.NotContains(t, r.log(), "panic")
			require.Equal(t, want, r.result())
		})
	}
}

// spoil replaces the snapshot by a damaged one.
func (r *crashRun) spoil(t *testing.T, damage func([]byte) []byte) {
	t.Helper()
	j, err := journal.Open(t.Context(), journal.Options{Dir: filepath.Join(r.dir, "data")})
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close()) }()
	name := "tenant/" + crashTenant
	in, found, err := j.GetSnapshot(t.Context(), name)
	require.NoError(t, err)
	require.True(t, found)
	data, err := io.ReadAll(in)
	require.NoError(t, err)
	require.NoError(t, in.Close())
	require.NoError(t, j.PutSnapshot(t.Context(), name, bytes.NewReader(damage(data))))
}

// reframed is a snapshot whose frames of one kind are others.
func reframed(t *testing.T, data []byte, kind byte, bodies ...[]byte) []byte {
	t.Helper()
	out := []byte(snapshotMagic)
	require.NoError(t, readFrames(bytes.NewReader(data), func(f frame) error {
		if f.kind != kind {
			out = appendFrame(out, f.kind, f.body)
		}
		return nil
	}))
	for _, body := range bodies {
		out = appendFrame(out, kind, body)
	}
	return appendFrame(out, frameEnd, nil)
}
