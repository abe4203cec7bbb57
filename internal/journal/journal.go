// Package journal is the durable, ordered record of events, findings and deeds, and beside it the key-value buckets and
// the snapshots.
//
// It speaks NATS JetStream: a server embedded in the process, with files under one directory and no network port, or an
// external cluster named by its URL. What an Append or a Put has acknowledged survives a killed process; unless
// Options.NoSync is set it survives a power cut too.
//
// The streams are "events" (bounded by age and size), "findings" and "deeds" (append-only, nothing can be deleted;
// Options may bound their age and size, of which the oldest go); subjects are <stream>.<tenant>, with the tenant encoded as keys are, see [KV].
//
// When the disk is full or turns read-only, writes fail with ErrFull or ErrReadOnlyStore and nothing that was acknowledged
// is lost. The embedded server refuses writes from then on until it is restarted; the journal does that by itself, with the
// first write after the disk can be written again.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

var (
	// ErrClosed is returned by every method of a journal that was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrInUse is returned by Open while another process, or another Journal of this one, holds the directory.
	ErrInUse = errors.New("store is in use")
	// ErrDamaged is returned by Open when files of the store cannot be read back, or when deeds or events that were
	// written are missing from it; and by the reading of a snapshot that is not what was put.
	ErrDamaged = errors.New("store is damaged")
	// ErrChainBroken is returned by VerifyDeeds when the deeds are not what was appended.
	ErrChainBroken = errors.New("chain of deeds is broken")
	// ErrTooLarge is returned when one event, document or value exceeds what one message can carry: 8 MiB in the
	// embedded server, the cluster's max_payload otherwise.
	ErrTooLarge = errors.New("too large for the journal")
	// ErrInvalid is returned for input that cannot be stored as it is: an event that is not one line of text nor
	// JSON, a name or a key outside of the limits.
	ErrInvalid = errors.New("cannot be stored")
	// ErrFull is returned by writes when the disk, its quota or Options.MaxStoreBytes is exhausted. What was being
	// written may be there or not; writing goes on by itself once there is room.
	ErrFull = errors.New("store is full")
	// ErrReadOnlyStore is returned by writes when the directory cannot be written, because its file system became
	// read-only or its permissions were changed. Writing goes on by itself once it can be.
	ErrReadOnlyStore = errors.New("store cannot be written")
)

const (
	defaultEventsAge   = 31 * 24 * time.Hour
	defaultEventsBytes = 8 << 30
	// otherBytes is the room for what has no bound of its own: buckets, snapshots, deeds by default.
	otherBytes = 16 << 30
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
	// MaxEventsBytes is how many bytes of events are kept, the oldest go first; 8 GiB if zero, or half of
	// MaxStoreBytes where that is less.
	MaxEventsBytes int64
	// MaxFindingsAge and MaxFindingsBytes are how long and how many findings are kept, the oldest go first; without a
	// bound if zero.
	MaxFindingsAge   time.Duration
	MaxFindingsBytes int64
	// MaxDeedsAge and MaxDeedsBytes are the same of deeds. Once one was set, VerifyDeeds proves the deeds from the oldest
	// that is left.
	MaxDeedsAge   time.Duration
	MaxDeedsBytes int64
	// MaxStoreBytes bounds all files of the embedded server together; what the streams are given and 16 GiB if zero.
	// Where it is reached, writes fail with ErrFull: nothing is dropped to make room but what goes by the bounds above.
	// It must exceed them together. Not used with NATS, where the account has its limits.
	MaxStoreBytes int64
	// NoSync leaves it to the operating system when writes reach the disk: faster, and a killed process still
	// loses nothing, but a power cut does. An external cluster decides this for itself (sync_interval).
	NoSync bool
}

func (o *Options) setDefaults() error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxEventsAge <= 0 {
		o.MaxEventsAge = defaultEventsAge
	}
	if o.MaxEventsBytes <= 0 {
		o.MaxEventsBytes = defaultEventsBytes
		if o.MaxStoreBytes > 0 {
			o.MaxEventsBytes = min(o.MaxEventsBytes, max(o.MaxStoreBytes/2, 1))
		}
	}
	o.MaxFindingsAge, o.MaxFindingsBytes = max(o.MaxFindingsAge, 0), max(o.MaxFindingsBytes, 0)
	o.MaxDeedsAge, o.MaxDeedsBytes = max(o.MaxDeedsAge, 0), max(o.MaxDeedsBytes, 0)
	streams := o.MaxEventsBytes + o.MaxFindingsBytes + o.MaxDeedsBytes
	if o.MaxStoreBytes <= 0 {
		o.MaxStoreBytes = streams + otherBytes
	}
	if o.MaxStoreBytes <= streams {
		return fmt.Errorf("%w: the whole store is given %d bytes and the streams in it %d: leave room for snapshots and the rest",
			ErrInvalid, o.MaxStoreBytes, streams)
	}
	return nil
}

// Journal is an open store. Its methods may be called from several goroutines.
type Journal struct {
	opts   Options
	logger *slog.Logger
	lock   *os.File // held while the journal is open; nil with a cluster

	chain     chain
	eventsEnd eventsEnd
	leads     leads
	uploads   uploads

	// mending is held, as its only slot, by the operation that restarts the embedded server; it guards mended.
	mending   chan struct{}
	mended    attempt
	mendEvery time.Duration // mendEvery, but in tests

	// stateMu guards closed, session, and that no operation begins once closed is set.
	stateMu sync.Mutex
	closed  bool
	session *session
	running sync.WaitGroup
	stopped chan struct{} // closed when Close begins: reads in progress end
}

// Open opens the store, or makes it. It starts the embedded server, or connects to the cluster, within ctx; ctx has no
// meaning after Open returned. Errors name the store and say what to do; see ErrInUse, ErrDamaged, ErrFull and
// ErrReadOnlyStore.
func Open(ctx context.Context, opts Options) (*Journal, error) {
	j := &Journal{
		opts:      opts,
		mending:   make(chan struct{}, 1),
		mendEvery: mendEvery,
		stopped:   make(chan struct{}),
	}
	if err := j.open(ctx); err != nil {
		j.release()
		return nil, fmt.Errorf("open store %s: %w", j.name(), err)
	}
	return j, nil
}

func (j *Journal) open(ctx context.Context) (err error) {
	if err := j.opts.setDefaults(); err != nil {
		return err
	}
	j.logger = j.opts.Logger
	switch {
	case j.opts.NATS != "":
	case j.opts.Dir != "":
		if err := j.takeDir(); err != nil {
			return err
		}
	default:
		return errors.New("neither a directory nor a NATS URL is given")
	}
	j.session, err = j.openSession(ctx)
	return err
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
	j.anchorAtClose(j.session)
	j.release()
	return nil
}

func (j *Journal) release() {
	if j.session != nil {
		j.session.release()
	}
	if j.lock != nil {
		unlock(j.lock)
	}
}
