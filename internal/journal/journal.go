// Package journal is the durable, ordered record of events, findings and deeds, and the key-value buckets beside it.
//
// It speaks NATS JetStream: a server embedded in the process, with files under one directory and no network port, or an
// external cluster named by its URL. What an Append or a Put has acknowledged survives a killed process; unless
// Options.NoSync is set it survives a power cut too.
//
// The streams are "events" (bounded by age and size), "findings" and "deeds" (append-only, nothing can be deleted);
// subjects are <stream>.<tenant>, with the tenant encoded as keys are, see [KV].
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrClosed is returned by every method of a journal that was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrInUse is returned by Open while another process, or another Journal of this one, holds the directory.
	ErrInUse = errors.New("store is in use")
	// ErrDamaged is returned by Open when files of the store cannot be read back, or when deeds that were
	// written, deeds or events, are missing from it.
	ErrDamaged = errors.New("store is damaged")
	// ErrChainBroken is returned by VerifyDeeds when the deeds are not what was appended.
	ErrChainBroken = errors.New("chain of deeds is broken")
	// ErrTooLarge is returned when one event, document or value exceeds what one message can carry: 8 MiB in the
	// embedded server, the cluster's max_payload otherwise.
	ErrTooLarge = errors.New("too large for the journal")
	// ErrInvalid is returned for input that cannot be stored as it is: an event that is not one line of text nor
	// JSON, a bucket name or a key outside of the limits.
	ErrInvalid = errors.New("cannot be stored")
)

const (
	defaultEventsAge   = 31 * 24 * time.Hour
	defaultEventsBytes = 8 << 30
	// ackTimeout bounds one write or read whose context has no deadline of its own. It is generous because a
	// disk may stall in fsync.
	ackTimeout = 10 * time.Second
)

// Options configures a Journal. Either Dir or NATS is required; the zero value of every other field works.
type Options struct {
	// Dir holds the embedded server's files; it is made with mode 0700 if missing. Not used with NATS.
	Dir string
	// NATS is the URL, or several with commas between, of an external cluster to use instead of the embedded
	// server. It needs JetStream and version 2.11 or later.
	NATS string
	// CredsFile is the credentials file for NATS; none if empty.
	CredsFile string
	// Logger receives what the NATS server and client warn about; discards if nil.
	Logger *slog.Logger
	// MaxEventsAge is how long events are kept; 31 days if zero.
	MaxEventsAge time.Duration
	// MaxEventsBytes is how many bytes of events are kept, the oldest go first; 8 GiB if zero.
	MaxEventsBytes int64
	// NoSync leaves it to the operating system when writes reach the disk: faster, and a killed process still
	// loses nothing, but a power cut does. An external cluster decides this for itself (sync_interval).
	NoSync bool
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxEventsAge <= 0 {
		o.MaxEventsAge = defaultEventsAge
	}
	if o.MaxEventsBytes <= 0 {
		o.MaxEventsBytes = defaultEventsBytes
	}
}

// Journal is an open store. Its methods may be called from several goroutines.
type Journal struct {
	opts   Options
	logger *slog.Logger
	lock   *os.File       // held while the embedded server runs; nil with a cluster
	server *server.Server // nil with a cluster
	conn   *nats.Conn
	js     jetstream.JetStream

	events, findings, deeds jetstream.Stream
	chain                   chain
	eventsEnd               eventsEnd

	bucketsMu sync.Mutex
	buckets   map[string]*KV

	// stateMu guards closed, and that no operation begins once it is set.
	stateMu sync.Mutex
	closed  bool
	running sync.WaitGroup
	stopped chan struct{} // closed when Close begins: reads in progress end
}

// Open opens the store, or makes it. It starts the embedded server, or connects to the cluster, within ctx; ctx has no
// meaning after Open returned. Errors name the store and say what to do; see ErrInUse and ErrDamaged.
func Open(ctx context.Context, opts Options) (*Journal, error) {
	opts.setDefaults()
	j := &Journal{
		opts:    opts,
		logger:  opts.Logger,
		buckets: map[string]*KV{},
		stopped: make(chan struct{}),
	}
	if err := j.open(ctx); err != nil {
		j.release()
		return nil, fmt.Errorf("open store %s: %w", j.name(), err)
	}
	return j, nil
}

func (j *Journal) open(ctx context.Context) error {
	var err error
	switch {
	case j.opts.NATS != "":
		err = j.connect(ctx)
	case j.opts.Dir != "":
		err = j.embed()
	default:
		return errors.New("neither a directory nor a NATS URL is given")
	}
	if err != nil {
		return err
	}
	if j.js, err = jetstream.New(j.conn, jetstream.WithDefaultTimeout(ackTimeout)); err != nil {
		return err
	}
	if err := j.checkJetStream(ctx); err != nil {
		return err
	}
	if err := j.checkRecovered(ctx); err != nil {
		return err
	}
	if err := j.openStreams(ctx); err != nil {
		return err
	}
	return j.checkAnchors(ctx)
}

// name is how messages name the store: the directory as it was given, or the URL without its password.
func (j *Journal) name() string {
	if j.opts.NATS != "" {
		return redactURLs(j.opts.NATS)
	}
	return j.opts.Dir
}

// Close waits for the writes in progress, ends the reads in progress, stops the embedded server and releases the
// directory. A second call does nothing. It must not be called from within a function that was given to a read.
func (j *Journal) Close() error {
	j.stateMu.Lock()
	if j.closed {
		j.stateMu.Unlock()
		return nil
	}
	j.closed = true
	close(j.stopped)
	j.stateMu.Unlock()

	j.running.Wait()
	j.anchorAtClose()
	j.release()
	return nil
}

func (j *Journal) release() {
	if j.conn != nil {
		j.conn.Close()
	}
	if j.server != nil {
		j.server.Shutdown()
		j.server.WaitForShutdown()
	}
	if j.lock != nil {
		unlock(j.lock)
	}
}

// begin registers an operation with Close and returns the function that ends it.
func (j *Journal) begin() (end func(), err error) {
	j.stateMu.Lock()
	defer j.stateMu.Unlock()
	if j.closed {
		return nil, ErrClosed
	}
	j.running.Add(1)
	return j.running.Done, nil
}

// beginRead is begin for long reads: their context ends when Close begins.
func (j *Journal) beginRead(ctx context.Context) (context.Context, func(), error) {
	done, err := j.begin()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	go func() {
		select {
		case <-j.stopped:
			cancel(ErrClosed)
		case <-stop:
		}
	}()
	return ctx, func() { close(stop); cancel(nil); done() }, nil
}

// stopping tells whether Close has begun; the context of a read learns it a moment later.
func (j *Journal) stopping() bool {
	select {
	case <-j.stopped:
		return true
	default:
		return false
	}
}

// cause prefers the reason for which ctx ended over an error that only follows from it.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return ErrClosed
	}
	return err
}
