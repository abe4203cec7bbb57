package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/faultdisk"
)

// writes are the operations that need the disk; each writes enough to come to its end.
var writes = map[string]func(ctx context.Context, j *Journal, i int) error{
	"AppendBundle": func(ctx context.Context, j *Journal, i int) error {
		_, err := j.AppendBundle(ctx, "acme", Bundle{Events: [][]byte{fmt.Appendf(nil, "%d%s", i, strings.Repeat(" ", 100_000))}})
		return err
	},
	"AppendDeed": func(ctx context.Context, j *Journal, i int) error {
		_, err := j.AppendDeed(ctx, "acme", "", fmt.Sprint(i, strings.Repeat(" ", 100_000)))
		return err
	},
	"AppendFinding": func(ctx context.Context, j *Journal, i int) error {
		_, err := j.AppendFinding(ctx, "acme", "", fmt.Sprint(i, strings.Repeat(" ", 100_000)))
		return err
	},
	"KV.Put": func(ctx context.Context, j *Journal, i int) error {
		kv, err := j.KV(ctx, "things")
		if err != nil {
			return err
		}
		return kv.Put(ctx, fmt.Sprint(i), bytes.Repeat([]byte(" "), 100_000))
	},
	"PutSnapshot": func(ctx context.Context, j *Journal, i int) error {
		return j.PutSnapshot(ctx, fmt.Sprint(i), bytes.NewReader(bytes.Repeat([]byte(" "), 100_000)))
	},
}

// stored counts what is in the journal of what a write wrote.
func stored(ctx context.Context, j *Journal, write string) (n int, err error) {
	count := func(uint64, time.Time, json.RawMessage) error { n++; return nil }
	switch write {
	case "AppendBundle":
		err = j.ReplayBundles(ctx, "acme", 0, time.Time{}, func(b Bundle) error { n += len(b.Events); return nil })
	case "AppendDeed":
		err = j.ReadDeeds(ctx, "acme", count)
	case "AppendFinding":
		err = j.ReadFindings(ctx, "acme", count)
	case "KV.Put":
		kv, err := j.KV(ctx, "things")
		if err != nil {
			return 0, err
		}
		all, err := kv.All(ctx)
		return len(all), err
	case "PutSnapshot":
		for i := range 301 {
			r, found, err := j.GetSnapshot(ctx, fmt.Sprint(i))
			if err != nil {
				return n, err
			}
			if !found {
				continue
			}
			data, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil || len(data) != 100_000 {
				return n, fmt.Errorf("snapshot of %d bytes: %w", len(data), err)
			}
			n++
		}
	}
	return n, err
}

func TestADiskThatIsFullOrReadOnlyIsSaidAndOvercome(t *testing.T) {
	states := map[string]struct {
		harm func(t *testing.T, dir string) (mend func())
		want error
		says string
		// readable tells whether the server still reads; it ends all work where permission is denied.
		readable bool
	}{
		"full":      {faultdisk.Fill, ErrFull, "free at least", true},
		"read-only": {faultdisk.Freeze, ErrReadOnlyStore, "writable", false},
	}
	for state, disk := range states {
		for name, write := range writes {
			t.Run(state+" during "+name, func(t *testing.T) {
				t.Parallel()
				dir := faultdisk.Small(t, "48")
				j := open(t, Options{Dir: dir})
				j.mendEvery = 100 * time.Millisecond
				_, err := j.AppendDeed(t.Context(), "acme", "", "before")
				require.NoError(t, err)
				written := 0
				for ; written < 5; written++ {
					require.NoError(t, write(t.Context(), j, written))
				}
				mend := disk.harm(t, dir)
				began := time.Now()
				for err = nil; err == nil && written < 200; written++ {
					err = write(t.Context(), j, written)
				}
				written-- // the last was not acknowledged
				require.ErrorIs(t, err, disk.want)
				require.ErrorContains(t, err, dir)
				require.ErrorContains(t, err, disk.says)
				require.Less(t, time.Since(began), 5*time.Second, "it is said at once")
				for other, write := range writes {
					if err := write(t.Context(), j, 999); other == name {
						require.ErrorIs(t, err, disk.want)
					} else if err != nil {
						require.True(t, errors.Is(err, disk.want), "%s: %v", other, err)
					}
				}
				n, err := stored(t.Context(), j, name)
				if disk.readable {
					require.NoError(t, err)
					require.GreaterOrEqual(t, n, written, "what was acknowledged is still read")
				} else {
					require.ErrorIs(t, err, disk.want)
				}

				mend()
				require.Eventually(t, func() bool { return write(t.Context(), j, 300) == nil }, 10*time.Second, 20*time.Millisecond)
				n, err = stored(t.Context(), j, name)
				require.NoError(t, err)
				require.GreaterOrEqual(t, n, written+1)
				require.NoError(t, j.VerifyDeeds(t.Context()))
				require.NoError(t, j.Close())
				j = open(t, Options{Dir: dir})
				n, err = stored(t.Context(), j, name)
				require.NoError(t, err)
				require.GreaterOrEqual(t, n, written+1)
				require.NoError(t, j.VerifyDeeds(t.Context()))
			})
		}
	}
}

func TestWritersAtOnceLoseNothingWhileTheDiskIsFull(t *testing.T) {
	dir := faultdisk.Small(t, "64")
	j := open(t, Options{Dir: dir})
	j.mendEvery = 0 // it is restarted in the middle of everything
	var acknowledged [4]atomic.Int64
	var refused atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range acknowledged {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				var err error
				if w < 2 {
					_, err = j.AppendBundle(t.Context(), fmt.Sprint("t", w), Bundle{Events: lines(10)})
				} else {
					_, err = j.AppendDeed(t.Context(), fmt.Sprint("t", w), "", i)
				}
				if err == nil {
					acknowledged[w].Add(1)
				} else if refused.Add(1); !errors.Is(err, ErrFull) {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	all := func(more int64) func() bool {
		var start [4]int64
		for w := range acknowledged {
			start[w] = acknowledged[w].Load()
		}
		return func() bool {
			for w := range acknowledged {
				if acknowledged[w].Load() < start[w]+more {
					return false
				}
			}
			return true
		}
	}
	require.Eventually(t, all(20), 10*time.Second, 10*time.Millisecond)
	empty := faultdisk.Fill(t, dir)
	require.Eventually(t, func() bool { return refused.Load() > 50 }, 10*time.Second, 10*time.Millisecond)
	empty()
	require.Eventually(t, all(20), 10*time.Second, 10*time.Millisecond)
	close(stop)
	wg.Wait()
	require.NoError(t, j.VerifyDeeds(t.Context()))
	require.NoError(t, j.Close())
	j = open(t, Options{Dir: dir})
	require.NoError(t, j.VerifyDeeds(t.Context()))
	for w := range acknowledged {
		var n int64
		tenant := fmt.Sprint("t", w)
		require.NoError(t, j.ReplayBundles(t.Context(), tenant, 0, time.Time{}, func(Bundle) error { n++; return nil }))
		require.NoError(t, j.ReadDeeds(t.Context(), tenant, func(uint64, time.Time, json.RawMessage) error { n++; return nil }))
		require.GreaterOrEqual(t, n, acknowledged[w].Load())
	}
}

func TestADiskThatIsFullOrReadOnlyAtTheStartIsNamed(t *testing.T) {
	dir := faultdisk.Small(t, "16")
	j := open(t, Options{Dir: dir})
	_, err := j.AppendDeed(t.Context(), "acme", "", "before")
	require.NoError(t, err)
	require.NoError(t, j.Close())

	faultdisk.Remount(t, dir, syscall.MS_RDONLY)
	_, err = Open(t.Context(), Options{Dir: dir})
	require.ErrorIs(t, err, ErrReadOnlyStore)
	require.ErrorContains(t, err, dir)
	require.NotErrorIs(t, err, ErrDamaged)
	faultdisk.Remount(t, dir, 0)

	empty := faultdisk.Fill(t, dir)
	j, err = Open(t.Context(), Options{Dir: dir})
	if err == nil { // what is there can be read
		require.NoError(t, j.VerifyDeeds(t.Context()))
		require.NoError(t, j.Close())
	} else {
		require.ErrorIs(t, err, ErrFull)
		require.NotErrorIs(t, err, ErrDamaged)
	}
	_, err = Open(t.Context(), Options{Dir: dir + "/new"})
	require.ErrorIs(t, err, ErrFull)
	empty()
	j = open(t, Options{Dir: dir})
	require.NoError(t, j.VerifyDeeds(t.Context()))
	n, err := storedDeeds(t, j)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}
