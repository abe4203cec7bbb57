package journal

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// childDir makes the test binary a process that appends to a journal until it is killed.
const childDir = "PORTCULLIS_TEST_JOURNAL_DIR"

// childPuts makes that process put snapshots instead.
const childPuts = "PORTCULLIS_TEST_JOURNAL_PUTS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if os.Getenv(childPuts) != "" {
			fmt.Fprintln(os.Stderr, putForEver(dir))
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, appendForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// appendForEver prints one line for each round of writes that the journal has acknowledged.
func appendForEver(dir string) error {
	ctx := context.Background()
	j, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	kv, err := j.KV(ctx, "progress")
	if err != nil {
		return err
	}
	for i := 1; ; i++ {
		raws := [][]byte{fmt.Appendf(nil, "%d", 2*i-1), fmt.Appendf(nil, "%d", 2*i)}
		if _, err := j.AppendEvents(ctx, "acme", time.Now(), raws); err != nil {
			return err
		}
		if _, err := j.AppendDeed(ctx, "acme", "", i); err != nil {
			return err
		}
		if err := kv.Put(ctx, "round", fmt.Append(nil, i)); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

func startChild(t *testing.T, dir string, env ...string) (cmd *exec.Cmd, rounds *bufio.Scanner) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, bufio.NewScanner(out)
}

func TestWhatWasAcknowledgedSurvivesAKilledProcess(t *testing.T) {
	dir := t.TempDir()
	var earlier int
	for range 2 {
		cmd, rounds := startChild(t, dir)
		acknowledged := 0
		for rounds.Scan() {
			n, err := strconv.Atoi(rounds.Text())
			require.NoError(t, err)
			if acknowledged = n; n == 150 {
				// It goes on appending until the signal arrives.
				require.NoError(t, cmd.Process.Kill())
			}
		}
		require.GreaterOrEqual(t, acknowledged, 150)
		_ = cmd.Wait()

		j := open(t, Options{Dir: dir})
		require.NoError(t, j.VerifyDeeds(t.Context()))
		events := replay(t, j, "acme", time.Time{})
		events = events[earlier:]
		require.GreaterOrEqual(t, len(events), 2*acknowledged)
		require.LessOrEqual(t, len(events), 2*acknowledged+2)
		for i, event := range events {
			require.Equal(t, fmt.Sprint(i+1), event)
		}
		earlier += len(events)
		kv, err := j.KV(t.Context(), "progress")
		require.NoError(t, err)
		value, _, err := kv.Get(t.Context(), "round")
		require.NoError(t, err)
		round, err := strconv.Atoi(string(value))
		require.NoError(t, err)
		require.GreaterOrEqual(t, round, acknowledged)
		_, err = j.AppendDeed(t.Context(), "acme", "", "after the crash")
		require.NoError(t, err)
		require.NoError(t, j.VerifyDeeds(t.Context()))
		require.NoError(t, j.Close())
	}
}

func TestASecondProcessIsRefusedUntilTheFirstIsGone(t *testing.T) {
	dir := t.TempDir()
	cmd, rounds := startChild(t, dir)
	require.True(t, rounds.Scan())
	_, err := Open(t.Context(), Options{Dir: dir})
	require.ErrorIs(t, err, ErrInUse)
	require.EqualError(t, err, fmt.Sprintf("open store %s: another portcullis (pid %d) is using it", dir, cmd.Process.Pid))
	require.True(t, rounds.Scan(), "the first is not disturbed")

	require.NoError(t, cmd.Process.Kill())
	for rounds.Scan() {
	}
	_ = cmd.Wait()
	j := open(t, Options{Dir: dir})

	_, err = Open(t.Context(), Options{Dir: dir})
	require.EqualError(t, err, fmt.Sprintf("open store %s: another portcullis (pid %d) is using it", dir, os.Getpid()))
	_, err = j.AppendDeed(t.Context(), "acme", "", 1)
	require.NoError(t, err)
	require.NoError(t, j.Close())
	open(t, Options{Dir: dir})
}

func TestSignalsAreLeftToTheProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such signals")
	}
	cmd, rounds := startChild(t, t.TempDir())
	require.True(t, rounds.Scan())
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	for rounds.Scan() {
	}
	_ = cmd.Wait()
	// The server's own handler would have ended the process in its own way; without one the signal itself does.
	require.Equal(t, "signal: terminated", cmd.ProcessState.String())
}

func TestDirectoriesThatCannotBeAStore(t *testing.T) {
	base := t.TempDir()
	file := filepath.Join(base, "file")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	fileWithin := filepath.Join(base, "fileWithin")
	require.NoError(t, os.Mkdir(fileWithin, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(fileWithin, "jetstream"), nil, 0o600))
	for name, test := range map[string]struct {
		opts Options
		want string
	}{
		"none":                        {Options{}, "open store : neither a directory nor a NATS URL is given"},
		"a file":                      {Options{Dir: file}, "open store " + file + ": it is a file, a directory is needed"},
		"a path through a file":       {Options{Dir: filepath.Join(file, "data")}, "something on its path is a file"},
		"one with a file in its way":  {Options{Dir: fileWithin}, "something on its path is a file"},
		"credentials that are absent": {Options{NATS: "nats://127.0.0.1:1", CredsFile: filepath.Join(base, "none")}, "read the credentials file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), test.opts)
			require.ErrorContains(t, err, test.want)
			require.NotErrorIs(t, err, ErrDamaged)
		})
	}
}

func TestADirectoryWithoutWritePermissionIsNamed(t *testing.T) {
	if os.Geteuid() == 0 {
		require.ErrorContains(t, explainDir(&os.PathError{Op: "mkdir", Path: "x", Err: syscall.EACCES}), "not writable")
		require.ErrorContains(t, explainDir(&os.PathError{Op: "mkdir", Path: "x", Err: syscall.EROFS}), "not writable")
		t.Skip("nothing is forbidden to root")
	}
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(dir, 0o500))
	_, err := Open(t.Context(), Options{Dir: dir})
	require.ErrorContains(t, err, "open store "+dir+": the directory is not writable")
}

func TestTheStoreIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	dir := filepath.Join(t.TempDir(), "data")
	open(t, Options{Dir: dir})
	for _, path := range []string{dir, filepath.Join(dir, "jetstream")} {
		st, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), st.Mode().Perm())
	}
}

func TestTheEmbeddedServerKeepsToItself(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), MaxEventsBytes: 1 << 20})
	require.Nil(t, j.session.server.Addr(), "no port is open")
	cfg := j.session.server.JetStreamConfig()
	require.EqualValues(t, 1<<20+otherBytes, cfg.MaxStore)
	require.EqualValues(t, maxMemory, cfg.MaxMemory)
	require.True(t, cfg.SyncAlways)
	info, err := j.session.events.Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1<<20, info.Config.MaxBytes)
	require.Equal(t, 31*24*time.Hour, info.Config.MaxAge)
}

func TestTheOldestEventsMakeRoom(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), MaxEventsBytes: 100_000, NoSync: true})
	for i := range 50 {
		_, err := j.AppendEvents(t.Context(), "acme", time.Time{}, [][]byte{fmt.Appendf(nil, "%d%s", i, strings.Repeat(" ", 10_000))})
		require.NoError(t, err)
	}
	got := replay(t, j, "acme", time.Time{})
	require.Less(t, len(got), 11)
	require.Contains(t, got[len(got)-1], "49")
}

func runServer(t *testing.T, opts server.Options) *server.Server {
	t.Helper()
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog = "127.0.0.1", -1, true, true
	srv, err := server.NewServer(&opts)
	require.NoError(t, err)
	go srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(10*time.Second))
	return srv
}

func TestAnExternalServerWorksTheSame(t *testing.T) {
	srv := runServer(t, server.Options{JetStream: true, StoreDir: t.TempDir()})
	for round := 1; round <= 2; round++ {
		j := open(t, Options{NATS: srv.ClientURL()})
		raws := lines(5)
		_, err := j.AppendEvents(t.Context(), fmt.Sprint("tenant-", round), time.Time{}, raws)
		require.NoError(t, err)
		require.Equal(t, asStrings(raws), replay(t, j, fmt.Sprint("tenant-", round), time.Time{}))
		seq, err := j.AppendDeed(t.Context(), "acme", "", "done")
		require.NoError(t, err)
		require.EqualValues(t, round, seq)
		require.NoError(t, j.VerifyDeeds(t.Context()))
		kv, err := j.KV(t.Context(), "things")
		require.NoError(t, err)
		require.NoError(t, kv.Put(t.Context(), "a.b", []byte("1")))
		require.NoError(t, kv.Delete(t.Context(), "a.b"))
		require.NoError(t, j.Close())
	}
}

func TestTwoProcessesOfAClusterMakeOneChain(t *testing.T) {
	srv := runServer(t, server.Options{JetStream: true, StoreDir: t.TempDir()})
	a, b := open(t, Options{NATS: srv.ClientURL()}), open(t, Options{NATS: srv.ClientURL()})
	for range 5 {
		for _, j := range []*Journal{a, b, b} {
			_, err := j.AppendDeed(t.Context(), "acme", "", "done")
			require.NoError(t, err)
		}
	}
	require.NoError(t, a.VerifyDeeds(t.Context()))
	last, err := b.session.lastLink(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 15, last.Seq)
}

func TestStreamsOfSomethingElseAreLeftAlone(t *testing.T) {
	srv := runServer(t, server.Options{JetStream: true, StoreDir: t.TempDir()})
	j := open(t, Options{NATS: srv.ClientURL()})
	require.NoError(t, j.session.js.DeleteStream(t.Context(), eventsStream))
	foreign := j.session.events.CachedInfo().Config
	foreign.Subjects = []string{"orders.>"}
	_, err := j.session.js.CreateStream(t.Context(), foreign)
	require.NoError(t, err)
	_, err = Open(t.Context(), Options{NATS: srv.ClientURL()})
	require.ErrorContains(t, err, "belongs to something else")
}

func TestAServerWithoutJetStreamIsNamed(t *testing.T) {
	srv := runServer(t, server.Options{})
	_, err := Open(t.Context(), Options{NATS: srv.ClientURL()})
	require.ErrorContains(t, err, "open store "+srv.ClientURL())
	require.ErrorContains(t, err, "enable JetStream")
}

func TestAnUnreachableURLFailsWithinItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never says a word
	require.NoError(t, err)
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for name, addr := range map[string]string{"nothing listens": closed.Addr().String(), "nothing answers": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := Open(ctx, Options{NATS: "nats://user:hunter2@" + addr})
			require.Less(t, time.Since(start), 3*time.Second)
			require.ErrorContains(t, err, "open store nats://"+addr+": connect to NATS")
			require.ErrorContains(t, err, "check store.nats")
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestURLsAreShownWithoutCredentials(t *testing.T) {
	for in, want := range map[string]string{
		"nats://a:4222":                       "nats://a:4222",
		"nats://u:p@a:4222, nats://tok@b:422": "nats://a:4222,nats://b:422",
		"u:p@a:4222":                          "a:4222",
		"tls://u:p%zz@a:4222":                 "a:4222",
	} {
		require.Equal(t, want, redactURLs(in))
	}
}

// A process killed between the two files of a new stream's description leaves the
// first alone.
func TestAStreamThatWasBegunAndNotMadeIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	j, err := Open(t.Context(), Options{Dir: dir})
	require.NoError(t, err)
	_, err = j.KV(t.Context(), "cursors")
	require.NoError(t, err)
	require.NoError(t, j.Close())
	stream := filepath.Join(dir, "jetstream", "$G", "streams", "KV_cursors")
	require.NoError(t, os.Remove(filepath.Join(stream, "meta.sum")))
	require.NoError(t, os.RemoveAll(filepath.Join(stream, "msgs")))

	for life := range 3 {
		j, err := Open(t.Context(), Options{Dir: dir})
		require.NoError(t, err, "life %d", life)
		kv, err := j.KV(t.Context(), "cursors")
		require.NoError(t, err)
		if life > 0 {
			value, ok, err := kv.Get(t.Context(), "acme")
			require.NoError(t, err)
			require.True(t, ok, "life %d", life)
			require.Equal(t, "kept", string(value))
		}
		require.NoError(t, kv.Put(t.Context(), "acme", []byte("kept")))
		require.NoError(t, j.Close())
	}
}
