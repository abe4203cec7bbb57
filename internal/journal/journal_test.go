package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func open(t *testing.T, opts Options) *Journal {
	t.Helper()
	j, err := Open(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	return j
}

func lines(n int) [][]byte {
	raws := make([][]byte, n)
	for i := range raws {
		raws[i] = fmt.Appendf(nil, `{"log_id":"%d"}`, i)
	}
	return raws
}

func replay(t *testing.T, j *Journal, tenant string, since time.Time) []string {
	t.Helper()
	var got []string
	require.NoError(t, j.ReplayEvents(t.Context(), tenant, since, func(_ uint64, raws [][]byte) error {
		for _, raw := range raws {
			got = append(got, string(raw))
		}
		return nil
	}))
	return got
}

func asStrings(raws [][]byte) []string {
	var out []string
	for _, raw := range raws {
		out = append(out, string(raw))
	}
	return out
}

func TestEventsComeBackInOrderAfterReopening(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	j := open(t, Options{Dir: dir})
	raws := lines(25)
	first, err := j.AppendEvents(t.Context(), "acme", time.Time{}, raws[:10])
	require.NoError(t, err)
	second, err := j.AppendEvents(t.Context(), "acme", time.Time{}, raws[10:])
	require.NoError(t, err)
	require.Greater(t, second, first)
	_, err = j.AppendEvents(t.Context(), "other", time.Time{}, [][]byte{[]byte(`{"log_id":"x"}`)})
	require.NoError(t, err)
	require.Equal(t, asStrings(raws), replay(t, j, "acme", time.Time{}))
	require.NoError(t, j.Close())
	require.NoError(t, j.Close(), "a second Close does nothing")

	j = open(t, Options{Dir: dir})
	require.Equal(t, asStrings(raws), replay(t, j, "acme", time.Time{}))
	require.Equal(t, []string{`{"log_id":"x"}`}, replay(t, j, "other", time.Time{}))
	require.Empty(t, replay(t, j, "nobody", time.Time{}))
	third, err := j.AppendEvents(t.Context(), "acme", time.Time{}, lines(1))
	require.NoError(t, err)
	require.Greater(t, third, second)
}

func TestNoEventsWriteNothing(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	seq, err := j.AppendEvents(t.Context(), "acme", time.Now(), nil)
	require.NoError(t, err)
	require.Zero(t, seq)
	require.Empty(t, replay(t, j, "acme", time.Time{}))
}

func TestReplaySinceSkipsWhatArrivedBefore(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	raws := lines(3)
	base := time.Now().Add(-time.Hour)
	for i, raw := range raws {
		_, err := j.AppendEvents(t.Context(), "acme", base.Add(time.Duration(i)*time.Minute), [][]byte{raw})
		require.NoError(t, err)
	}
	require.Equal(t, asStrings(raws[1:]), replay(t, j, "acme", base.Add(time.Minute)))
	require.Equal(t, asStrings(raws), replay(t, j, "acme", base))
	require.Empty(t, replay(t, j, "acme", base.Add(3*time.Minute)))
	require.Empty(t, replay(t, j, "acme", time.Now().Add(time.Hour)))
}

func TestReplayEndsWhereTheStreamEndedAsItBegan(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	for range 3 {
		_, err := j.AppendEvents(t.Context(), "acme", time.Time{}, lines(1))
		require.NoError(t, err)
	}
	calls := 0
	require.NoError(t, j.ReplayEvents(t.Context(), "acme", time.Time{}, func(uint64, [][]byte) error {
		calls++
		_, err := j.AppendEvents(t.Context(), "acme", time.Time{}, lines(1))
		return err
	}))
	require.Equal(t, 3, calls)
}

func TestReplayEndsWithTheErrorOfItsFunction(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	_, err := j.AppendEvents(t.Context(), "acme", time.Time{}, lines(1))
	require.NoError(t, err)
	enough := errors.New("enough")
	require.Equal(t, enough, j.ReplayEvents(t.Context(), "acme", time.Time{}, func(uint64, [][]byte) error { return enough }))
}

func TestReplayEndsWhenTheJournalCloses(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	for range 5 {
		_, err := j.AppendEvents(t.Context(), "acme", time.Time{}, lines(1))
		require.NoError(t, err)
	}
	began, ended := make(chan struct{}, 5), make(chan error, 1)
	go func() {
		ended <- j.ReplayEvents(context.Background(), "acme", time.Time{}, func(uint64, [][]byte) error {
			began <- struct{}{}
			<-j.stopped
			return nil
		})
	}()
	<-began
	require.NoError(t, j.Close())
	require.ErrorIs(t, <-ended, ErrClosed)
}

func TestBigBundlesAreSplitAndComeBackInOrder(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	var raws [][]byte
	for i := range 40 {
		raws = append(raws, fmt.Appendf(nil, `{"log_id":"%d","x":"%s"}`, i, strings.Repeat("y", 100_000)))
	}
	raws[7] = fmt.Appendf(nil, `{"log_id":"7","x":"%s"}`, strings.Repeat("z", 2_000_000))
	_, err := j.AppendEvents(t.Context(), "acme", time.Time{}, raws)
	require.NoError(t, err)
	messages := 0
	var got [][]byte
	require.NoError(t, j.ReplayEvents(t.Context(), "acme", time.Time{}, func(_ uint64, raws [][]byte) error {
		messages++
		size := 0
		for _, raw := range raws {
			got = append(got, bytes.Clone(raw))
			size += len(raw)
		}
		if len(raws) > 1 {
			require.LessOrEqual(t, size, bundleBytes)
		}
		return nil
	}))
	require.True(t, slicesEqual(raws, got))
	require.GreaterOrEqual(t, messages, 6)
}

func slicesEqual(a, b [][]byte) bool {
	return bytes.Equal(bytes.Join(a, []byte("\n")), bytes.Join(b, []byte("\n")))
}

func TestEventsThatCannotBeStored(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	for name, test := range map[string]struct {
		raw  []byte
		want error
	}{
		"an empty one":                       {raw: nil, want: ErrInvalid},
		"a line break that is not JSON":      {raw: []byte("{\n"), want: ErrInvalid},
		"one larger than a message can be":   {raw: bytes.Repeat([]byte("x"), maxPayload), want: ErrTooLarge},
		"one of the largest possible size":   {raw: bytes.Repeat([]byte("x"), maxPayload-headerRoom)},
		"one over several lines is made one": {raw: []byte("{\n  \"a\": 1\n}")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := j.AppendEvents(t.Context(), "acme", time.Time{}, [][]byte{test.raw})
			if test.want != nil {
				require.ErrorIs(t, err, test.want)
				return
			}
			require.NoError(t, err)
		})
	}
	require.Contains(t, replay(t, j, "acme", time.Time{}), `{"a":1}`)
}

func TestTenantsAreKeptApartWhateverTheirNames(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	tenants := []string{"acme", "acme.eu", "*", ">", "", "a b", "ä"}
	for _, tenant := range tenants {
		_, err := j.AppendEvents(t.Context(), tenant, time.Time{}, [][]byte{fmt.Appendf(nil, "%q", tenant)})
		require.NoError(t, err)
	}
	for _, tenant := range tenants {
		require.Equal(t, []string{fmt.Sprintf("%q", tenant)}, replay(t, j, tenant, time.Time{}))
	}
}

func TestFindingsAreReadPerTenantAndTogether(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	before := time.Now()
	for i, tenant := range []string{"acme", "other", "acme"} {
		seq, err := j.AppendFinding(t.Context(), tenant, "", map[string]int{"n": i})
		require.NoError(t, err)
		require.EqualValues(t, i+1, seq)
	}
	read := func(tenant string) (docs []string) {
		require.NoError(t, j.ReadFindings(t.Context(), tenant, func(_ uint64, at time.Time, doc json.RawMessage) error {
			require.WithinRange(t, at, before.Add(-time.Second), time.Now().Add(time.Second))
			docs = append(docs, string(doc))
			return nil
		}))
		return docs
	}
	require.Equal(t, []string{`{"n":0}`, `{"n":2}`}, read("acme"))
	require.Equal(t, []string{`{"n":0}`, `{"n":1}`, `{"n":2}`}, read(""))
	require.Empty(t, read("nobody"))
}

func TestDeedsAndFindingsCannotBeDeleted(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	_, err := j.AppendDeed(t.Context(), "acme", "", "blocked")
	require.NoError(t, err)
	_, err = j.AppendFinding(t.Context(), "acme", "", "alert")
	require.NoError(t, err)
	for _, stream := range []jetstream.Stream{j.session.deeds, j.session.findings} {
		require.Error(t, stream.DeleteMsg(t.Context(), 1))
		require.Error(t, stream.SecureDeleteMsg(t.Context(), 1))
		require.Error(t, stream.Purge(t.Context()))
		msg, err := stream.GetMsg(t.Context(), 1)
		require.NoError(t, err)
		require.NotEmpty(t, msg.Data)
	}
	require.NoError(t, j.VerifyDeeds(t.Context()))
}

func TestEveryMethodOfAClosedJournalSaysSo(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	kv, err := j.KV(t.Context(), "things")
	require.NoError(t, err)
	require.NoError(t, j.Close())
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"AppendEvents":  func() error { _, err := j.AppendEvents(ctx, "a", time.Time{}, lines(1)); return err },
		"ReplayEvents":  func() error { return j.ReplayEvents(ctx, "a", time.Time{}, nil) },
		"AppendDeed":    func() error { _, err := j.AppendDeed(ctx, "a", "", 1); return err },
		"ReadDeeds":     func() error { return j.ReadDeeds(ctx, "a", nil) },
		"VerifyDeeds":   func() error { return j.VerifyDeeds(ctx) },
		"AppendFinding": func() error { _, err := j.AppendFinding(ctx, "a", "", 1); return err },
		"ReadFindings":  func() error { return j.ReadFindings(ctx, "a", nil) },
		"KV":            func() error { _, err := j.KV(ctx, "new"); return err },
		"KV.Get":        func() error { _, _, err := kv.Get(ctx, "k"); return err },
		"KV.Put":        func() error { return kv.Put(ctx, "k", nil) },
		"KV.PutJSON":    func() error { return kv.PutJSON(ctx, "k", 1) },
		"KV.GetJSON":    func() error { _, err := kv.GetJSON(ctx, "k", new(int)); return err },
		"KV.Delete":     func() error { return kv.Delete(ctx, "k") },
		"KV.All":        func() error { _, err := kv.All(ctx); return err },
		"LoadCursor":    func() error { _, err := j.Cursor("a", "poll").LoadCursor(ctx); return err },
		"SaveCursor":    func() error { return j.Cursor("a", "poll").SaveCursor(ctx, "x") },
	} {
		t.Run(name, func(t *testing.T) { require.ErrorIs(t, call(), ErrClosed) })
	}
}

func TestAnOrderlyStartAndStopLogsNothing(t *testing.T) {
	var buf bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dir := t.TempDir()
	for range 2 {
		j, err := Open(t.Context(), Options{Dir: dir, Logger: logger})
		require.NoError(t, err)
		_, err = j.AppendDeed(t.Context(), "acme", "", "x")
		require.NoError(t, err)
		require.NoError(t, j.Close())
	}
	require.Empty(t, buf.String())
}

func TestCancelledContextEndsAnAppend(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := j.AppendEvents(ctx, "acme", time.Time{}, lines(1))
	require.ErrorIs(t, err, context.Canceled)
}

func BenchmarkOpen(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	j, err := Open(b.Context(), Options{Dir: b.TempDir()})
	require.NoError(b, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	idle := float64(after.HeapAlloc-before.HeapAlloc) / (1 << 20)
	require.NoError(b, j.Close())
	dir := b.TempDir()
	for b.Loop() {
		j, err := Open(b.Context(), Options{Dir: dir})
		require.NoError(b, err)
		b.StopTimer()
		require.NoError(b, j.Close())
		b.StartTimer()
	}
	b.ReportMetric(idle, "idle-MB")
	b.ReportMetric(residentMB(), "resident-MB")
}

// residentMB is the memory of the process as the kernel counts it, 0 where it does not tell.
func residentMB() float64 {
	data, _ := os.ReadFile("/proc/self/statm")
	var size, resident float64
	_, _ = fmt.Sscan(string(data), &size, &resident)
	return resident * float64(os.Getpagesize()) / (1 << 20)
}

func BenchmarkAppendBundleOf100(b *testing.B) {
	j, err := Open(b.Context(), Options{Dir: b.TempDir()})
	require.NoError(b, err)
	defer j.Close()
	raw := fmt.Appendf(nil, `{"x":"%s"}`, strings.Repeat("y", 1200))
	raws := make([][]byte, 100)
	for i := range raws {
		raws[i] = raw
	}
	for b.Loop() {
		_, err := j.AppendEvents(b.Context(), "acme", time.Time{}, raws)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkReplayBundlesOf100(b *testing.B) {
	j, err := Open(b.Context(), Options{Dir: b.TempDir(), NoSync: true})
	require.NoError(b, err)
	defer j.Close()
	raw := fmt.Appendf(nil, `{"x":"%s"}`, strings.Repeat("y", 1200))
	raws := make([][]byte, 100)
	for i := range raws {
		raws[i] = raw
	}
	for range 1000 {
		_, err := j.AppendEvents(b.Context(), "acme", time.Time{}, raws)
		require.NoError(b, err)
	}
	events := 0
	for b.Loop() {
		require.NoError(b, j.ReplayEvents(b.Context(), "acme", time.Time{}, func(_ uint64, raws [][]byte) error {
			events += len(raws)
			return nil
		}))
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
