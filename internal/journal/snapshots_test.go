package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// snapshot is n bytes that differ from those of every other seed, and every 4 KiB of them from the rest; the first say which
// it is.
func snapshot(seed uint64, n int) []byte {
	block := make([]byte, 4<<10)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = random.Read(block)
	data := make([]byte, 0, n+len(block))
	for i := 0; len(data) < n; i++ {
		copy(block, fmt.Sprintf("%08d%08d", seed, i))
		data = append(data, block...)
	}
	return data[:n]
}

func putSnapshot(t *testing.T, j *Journal, name string, data []byte) {
	t.Helper()
	require.NoError(t, j.PutSnapshot(t.Context(), name, iotest.HalfReader(bytes.NewReader(data))))
}

// readSnapshot returns the snapshot, and an error of the opening or of the reading.
func readSnapshot(ctx context.Context, j *Journal, name string) (data []byte, found bool, err error) {
	r, found, err := j.GetSnapshot(ctx, name)
	if err != nil || !found {
		return nil, found, err
	}
	data, err = io.ReadAll(r)
	return data, true, errors.Join(err, r.Close())
}

func requireSnapshot(t *testing.T, j *Journal, name string, want []byte) {
	t.Helper()
	got, found, err := readSnapshot(t.Context(), j, name)
	require.NoError(t, err)
	require.True(t, found)
	require.True(t, bytes.Equal(want, got), "%d bytes, want %d", len(got), len(want))
}

// chunkIDs lists the uploads of which chunks are in the store.
func chunkIDs(t *testing.T, j *Journal) (ids []string) {
	t.Helper()
	info, err := j.session.snapshots.Info(t.Context(), jetstream.WithSubjectFilter(chunkPrefix+">"))
	require.NoError(t, err)
	for id := range info.State.Subjects {
		ids = append(ids, id)
	}
	return ids
}

func TestSnapshotsComeBackAsTheyWerePut(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	names := map[string][]byte{}
	for i, n := range []int{0, 8, chunkBytes - 1, chunkBytes, chunkBytes + 1, 12 * chunkBytes} {
		name := fmt.Sprintf("engine/acme.eu > * ä %d", n)
		names[name] = snapshot(uint64(i), n)
		putSnapshot(t, j, name, names[name])
	}
	for range 2 {
		for name, want := range names {
			requireSnapshot(t, j, name, want)
		}
		require.NoError(t, j.Close())
		j = open(t, Options{Dir: dir})
	}
	_, found, err := j.GetSnapshot(t.Context(), "none")
	require.NoError(t, err)
	require.False(t, found)
}

func TestASnapshotReplacesTheOneBeforeAndItsChunks(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	for i := range uint64(4) {
		want := snapshot(i, 3*chunkBytes)
		putSnapshot(t, j, "engine", want)
		requireSnapshot(t, j, "engine", want)
		require.Len(t, chunkIDs(t, j), 1)
	}
	require.NoError(t, j.DeleteSnapshot(t.Context(), "engine"))
	require.NoError(t, j.DeleteSnapshot(t.Context(), "engine"), "one that is not there is no error")
	_, found, err := j.GetSnapshot(t.Context(), "engine")
	require.NoError(t, err)
	require.False(t, found)
	require.Empty(t, chunkIDs(t, j))
}

func TestASnapshotThatIsBeingReadIsReadToItsEnd(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	old, next := snapshot(1, 40*chunkBytes), snapshot(2, 8)
	putSnapshot(t, j, "engine", old)
	r, found, err := j.GetSnapshot(t.Context(), "engine")
	require.NoError(t, err)
	require.True(t, found)
	putSnapshot(t, j, "engine", next)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(old, got))
	require.NoError(t, r.Close())
	_, err = r.Read(make([]byte, 1))
	require.Error(t, err)
	putSnapshot(t, j, "other", next)
	require.Len(t, chunkIDs(t, j), 2, "the old chunks go once nobody reads them")
}

func TestASnapshotThatCannotBeReadToItsEndLeavesTheOneBefore(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	want := snapshot(1, 2*chunkBytes)
	putSnapshot(t, j, "engine", want)
	for _, failure := range []error{errors.New("broken"), io.ErrUnexpectedEOF} {
		r := io.MultiReader(bytes.NewReader(snapshot(2, 3*chunkBytes)), iotest.ErrReader(failure))
		require.ErrorIs(t, j.PutSnapshot(t.Context(), "engine", r), failure)
		requireSnapshot(t, j, "engine", want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(bytes.NewReader(snapshot(2, 20*chunkBytes)), readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }))
	require.ErrorIs(t, j.PutSnapshot(ctx, "engine", r), context.Canceled)
	requireSnapshot(t, j, "engine", want)
	for _, name := range []string{"", strings.Repeat("n", maxSnapshotName+1)} {
		require.ErrorIs(t, j.PutSnapshot(t.Context(), name, r), ErrInvalid)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestChunksThatACrashLeftAreRemovedWhenTheStoreIsOpened(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	want := snapshot(1, 2*chunkBytes)
	putSnapshot(t, j, "engine", want)
	_, err := j.session.js.Publish(t.Context(), chunkPrefix+"LEFT", []byte("x"))
	require.NoError(t, err)
	require.Len(t, chunkIDs(t, j), 2)
	require.NoError(t, j.Close())
	j = open(t, Options{Dir: dir})
	require.Len(t, chunkIDs(t, j), 1)
	requireSnapshot(t, j, "engine", want)
}

func TestChunksOfAnotherProcessOfAClusterAreLeftAlone(t *testing.T) {
	srv := runServer(t, server.Options{JetStream: true, StoreDir: t.TempDir()})
	j := open(t, Options{NATS: srv.ClientURL()})
	_, err := j.session.js.Publish(t.Context(), chunkPrefix+"COMING", []byte("x"))
	require.NoError(t, err)
	other := open(t, Options{NATS: srv.ClientURL()})
	want := snapshot(1, 3*chunkBytes)
	putSnapshot(t, other, "engine", want)
	putSnapshot(t, other, "engine", want)
	require.Len(t, chunkIDs(t, j), 2)
	requireSnapshot(t, j, "engine", want)
	// What the store's own tools would read.
	store, err := j.session.js.ObjectStore(t.Context(), snapshotsBucket)
	require.NoError(t, err)
	got, err := store.GetBytes(t.Context(), "engine")
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
}

const childChunks = 24

// putForEver prints the number of each snapshot that the journal has acknowledged.
func putForEver(dir string) error {
	ctx := context.Background()
	j, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	for i := uint64(1); ; i++ {
		began := false
		data := bytes.NewReader(snapshot(i, childChunks*chunkBytes))
		err := j.PutSnapshot(ctx, "engine", readerFunc(func(p []byte) (int, error) {
			if !began && data.Len() < childChunks*chunkBytes/2 {
				began = true
				fmt.Println("sending", i)
			}
			return data.Read(p)
		}))
		if err != nil {
			return err
		}
		fmt.Println("put", i)
	}
}

func TestAProcessKilledWhilePuttingLeavesOneWholeSnapshot(t *testing.T) {
	dir := t.TempDir()
	for _, kill := range []string{"sending 2", "put 2", "sending 3", "put 1"} {
		cmd, lines := startChild(t, dir, childPuts+"=1")
		put := uint64(0)
		for lines.Scan() {
			if n, ok := strings.CutPrefix(lines.Text(), "put "); ok {
				var err error
				put, err = strconv.ParseUint(n, 10, 64)
				require.NoError(t, err)
			}
			if lines.Text() == kill {
				require.NoError(t, cmd.Process.Kill())
			}
		}
		_ = cmd.Wait()
		j := open(t, Options{Dir: dir})
		got, found, err := readSnapshot(t.Context(), j, "engine")
		require.NoError(t, err)
		require.True(t, found)
		which, err := strconv.ParseUint(string(got[:8]), 10, 64)
		require.NoError(t, err)
		require.GreaterOrEqual(t, which, put, "what was acknowledged is there")
		require.LessOrEqual(t, which, put+1)
		require.True(t, bytes.Equal(snapshot(which, childChunks*chunkBytes), got))
		require.Len(t, chunkIDs(t, j), 1)
		require.NoError(t, j.Close())
	}
}

func TestADamagedSnapshotIsSaidOrIsGoneAndNeverGarbage(t *testing.T) {
	files := func(t *testing.T, dir string) (blocks []string) {
		blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", snapshotsStream, "msgs", "*.blk"))
		require.NoError(t, err)
		require.NotEmpty(t, blocks)
		return blocks
	}
	flip := func(at float64) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			for _, path := range files(t, dir) {
				data, err := os.ReadFile(path)
				require.NoError(t, err)
				if len(data) > 0 {
					data[int(at*float64(len(data)-1))] ^= 0x55
				}
				require.NoError(t, os.WriteFile(path, data, 0o600))
			}
		}
	}
	for name, harm := range map[string]func(t *testing.T, dir string){
		"a byte at the start flipped":  flip(0.001),
		"a byte in the middle flipped": flip(0.5),
		"a byte at the end flipped":    flip(1),
		"the files cut": func(t *testing.T, dir string) {
			for _, path := range files(t, dir) {
				st, err := os.Stat(path)
				require.NoError(t, err)
				require.NoError(t, os.Truncate(path, st.Size()/2))
			}
		},
		"the files removed": func(t *testing.T, dir string) {
			for _, path := range files(t, dir) {
				require.NoError(t, os.Remove(path))
			}
		},
		"the description of the stream overwritten": func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "jetstream", "$G", "streams", snapshotsStream, "meta.inf"), []byte("garbage"), 0o600))
		},
	} {
		for _, running := range []bool{false, true} {
			if running && (strings.Contains(name, "description") || strings.Contains(name, "removed")) {
				continue // the server holds what was there, or waits for it for seconds
			}
			t.Run(fmt.Sprintf("%s, running %v", name, running), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				j := open(t, Options{Dir: dir})
				want := snapshot(1, 20*chunkBytes)
				putSnapshot(t, j, "engine", want)
				if !running {
					require.NoError(t, j.Close())
				}
				harm(t, dir)
				if !running {
					j = open(t, Options{Dir: dir})
				}
				began := time.Now()
				got, found, err := readSnapshot(t.Context(), j, "engine")
				t.Logf("found %v after %v: %v", found, time.Since(began).Round(time.Millisecond), err)
				if err != nil {
					require.ErrorIs(t, err, ErrDamaged)
					require.ErrorContains(t, err, `snapshot "engine"`)
				} else if found {
					require.True(t, running, "only what the server still has in memory can be whole")
					require.True(t, bytes.Equal(want, got))
				}
				putSnapshot(t, j, "engine", want)
				requireSnapshot(t, j, "engine", want)
			})
		}
	}
}

func BenchmarkSnapshotOf100MB(b *testing.B) {
	j, err := Open(b.Context(), Options{Dir: b.TempDir()})
	require.NoError(b, err)
	defer j.Close()
	data := snapshot(1, 100_000_000)
	b.Run("put", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			require.NoError(b, j.PutSnapshot(b.Context(), "engine", bytes.NewReader(data)))
		}
	})
	b.Run("get", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			r, _, err := j.GetSnapshot(b.Context(), "engine")
			require.NoError(b, err)
			_, err = io.Copy(io.Discard, r)
			require.NoError(b, err)
			require.NoError(b, r.Close())
		}
	})
}
