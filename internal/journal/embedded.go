package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	maxPayload = 8 << 20
	// maxMemory is for the bookkeeping of reads in progress; every stream and bucket is on disk.
	maxMemory  = 64 << 20
	startLimit = 30 * time.Second
)

// embed starts the server in the directory.
func (s *session) embed() error {
	j := s.j
	opts := &server.Options{
		ServerName:             "portcullis",
		DontListen:             true,
		NoSigs:                 true,
		MaxPayload:             maxPayload,
		MaxPending:             8 * maxPayload,
		JetStream:              true,
		StoreDir:               j.opts.Dir,
		SyncAlways:             !j.opts.NoSync,
		JetStreamMaxStore:      j.opts.MaxStoreBytes,
		JetStreamMaxMemory:     maxMemory,
		DisableJetStreamBanner: true,
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("start the embedded server: %w", err)
	}
	s.server = srv
	log := &serverLog{logger: j.logger, watch: s.watchLog}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	if msg := log.fatal.Load(); msg != nil {
		if err := j.fileError(*msg); err != nil {
			return err
		}
		return explainStart(*msg)
	}
	if !srv.ReadyForConnections(startLimit) || !srv.JetStreamEnabled() {
		return errors.New("the embedded server did not start")
	}
	return nil
}

// connectEmbedded connects within the process.
func (s *session) connectEmbedded(context.Context) (*nats.Conn, error) {
	conn, err := nats.Connect("", append(s.j.clientOptions(), nats.InProcessServer(s.server))...)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded server: %w", err)
	}
	return conn, nil
}

// explainStart turns the server's last words into an error for people.
func explainStart(msg string) error {
	if strings.Contains(msg, "not writable") {
		return fmt.Errorf("%w: the directory is not writable: %s", ErrReadOnlyStore, msg)
	}
	return fmt.Errorf("%w: %s: restore the directory from a backup, or move it away to begin with an empty one", ErrDamaged, msg)
}

// takeDir makes the directory if it is missing and locks it.
func (j *Journal) takeDir() error {
	dir := j.opts.Dir
	if st, err := os.Stat(dir); err == nil && !st.IsDir() {
		return errors.New("it is a file, a directory is needed")
	}
	// The files' own directory is private even where the one above it was there before with wider permissions.
	files := filepath.Join(dir, server.JetStreamStoreDir)
	if err := os.MkdirAll(files, 0o700); err != nil {
		return explainDir(err)
	}
	if err := os.Chmod(files, 0o700); err != nil {
		return explainDir(err)
	}
	lock, pid, err := lockFile(filepath.Join(dir, "LOCK"))
	if errors.Is(err, ErrInUse) {
		if pid == "" {
			return inUse("another portcullis is using it")
		}
		return inUse(fmt.Sprintf("another portcullis (pid %s) is using it", pid))
	}
	if err != nil {
		return explainDir(err)
	}
	j.lock = lock
	return nil
}

// inUse is an ErrInUse with its own words.
type inUse string

func (e inUse) Error() string        { return string(e) }
func (e inUse) Is(target error) bool { return target == ErrInUse }

func explainDir(err error) error {
	// The path within the error repeats the one that Open names.
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the directory is not writable (%w): %w: mount its file system writable and give its ownership to the user that portcullis runs as", err, ErrReadOnlyStore)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("something on its path is a file, a directory is needed (%w)", err)
	}
	if containsAny(err.Error(), fullWords) {
		return fmt.Errorf("%w (%w): free some of its disk", ErrFull, err)
	}
	return err
}

// checkRecovered fails when the directory holds a stream that the server did not bring back: it passes over a stream whose
// description cannot be read, and an empty one would then be made in its place.
//
// Snapshots alone can be done without: what is left of theirs is removed.
func (s *session) checkRecovered(ctx context.Context) error {
	if s.server == nil {
		return nil
	}
	streams := filepath.Join(s.j.opts.Dir, server.JetStreamStoreDir, "$G", "streams")
	entries, err := os.ReadDir(streams)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return explainDir(err)
	}
	var lost []string
	for _, entry := range entries {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		_, err := s.js.Stream(ctx, entry.Name())
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			dir := filepath.Join(streams, entry.Name())
			switch {
			case !hasMessages(dir):
				// A process killed while it made the stream leaves a directory without any message in it. The server would
				// take its half-written description for whole, and not find the stream again at the next start.
			case entry.Name() == snapshotsStream:
				s.j.logger.Warn("snapshots cannot be read and are removed", "dir", dir)
			default:
				lost = append(lost, entry.Name())
				continue
			}
			if err := os.RemoveAll(dir); err != nil {
				return explainDir(err)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("look for stream %s: %w", entry.Name(), err)
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("%w: %s cannot be read: %s", ErrDamaged, strings.Join(lost, ", "), s.j.remedy())
	}
	return nil
}

func hasMessages(streamDir string) bool {
	blocks, _ := filepath.Glob(filepath.Join(streamDir, "msgs", "*.blk"))
	for _, block := range blocks {
		if st, err := os.Stat(block); err == nil && st.Size() > 0 {
			return true
		}
	}
	return false
}

// serverLog passes the server's warnings and errors on, and keeps a fatal one instead of ending the process.
type serverLog struct {
	logger *slog.Logger
	watch  func(line string) // sees every warning and error
	fatal  atomic.Pointer[string]
}

var _ server.Logger = (*serverLog)(nil)

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) {
	line := strings.TrimSpace(fmt.Sprintf(format, v...))
	l.logger.Warn("nats server warning", "detail", line)
	l.watch(line)
}

func (l *serverLog) Errorf(format string, v ...any) {
	line := strings.TrimSpace(fmt.Sprintf(format, v...))
	l.logger.Error("nats server error", "detail", line)
	l.watch(line)
}

func (l *serverLog) Fatalf(format string, v ...any) {
	msg := strings.TrimSpace(fmt.Sprintf(format, v...))
	l.fatal.CompareAndSwap(nil, &msg)
	l.logger.Error("nats server failed", "detail", msg)
}
