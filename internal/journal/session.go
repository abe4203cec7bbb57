package journal

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// session is one run of the embedded server, or the connection to a cluster. A journal has one after another where the
// server had to be restarted.
type session struct {
	j      *Journal
	server *server.Server // nil with a cluster
	conn   *nats.Conn
	js     jetstream.JetStream
	// Snapshots are uploaded over a connection of their own: what is appended
	// meanwhile would wait behind their chunks.
	bulkConn *nats.Conn
	bulk     jetstream.JetStream

	events, findings, deeds, snapshots jetstream.Stream

	bucketsMu sync.Mutex // guards buckets
	buckets   map[string]jetstream.KeyValue

	failOnce sync.Once
	failed   chan struct{} // closed when the server can write no more
	reason   error         // why; set before failed is closed
	deadOnce sync.Once
	dead     chan struct{} // closed, after failed, when it does not read either
}

func newSession(j *Journal) *session {
	return &session{j: j, buckets: map[string]jetstream.KeyValue{}, failed: make(chan struct{}), dead: make(chan struct{})}
}

// openSession starts or connects, and checks what is in the store.
func (j *Journal) openSession(ctx context.Context) (*session, error) {
	s := newSession(j)
	if err := s.open(ctx); err != nil {
		// What ended with ctx says itself what it waited for.
		err = s.explain(context.WithoutCancel(ctx), err)
		s.release()
		return nil, err
	}
	return s, nil
}

func (s *session) open(parent context.Context) error {
	ctx, cancel := until(parent, s.failed, s.failure)
	defer cancel()
	connect := s.connect
	if s.j.opts.NATS == "" {
		if err := s.embed(); err != nil {
			return err
		}
		connect = s.connectEmbedded
	}
	for conn, js := range map[**nats.Conn]*jetstream.JetStream{&s.conn: &s.js, &s.bulkConn: &s.bulk} {
		var err error
		if *conn, err = connect(ctx); err != nil {
			return err
		}
		if *js, err = jetstream.New(*conn, jetstream.WithDefaultTimeout(ackTimeout), jetstream.WithPublishAsyncTimeout(ackTimeout)); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context) error{
		s.checkJetStream, s.checkRecovered, s.openStreams, s.checkAnchors, s.cleanSnapshots,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) release() {
	for _, conn := range []*nats.Conn{s.bulkConn, s.conn} {
		if conn != nil {
			conn.Close()
		}
	}
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}
}

// fail ends all writes of the session with the reason.
func (s *session) fail(reason error) {
	s.failOnce.Do(func() {
		s.reason = reason
		close(s.failed)
	})
}

// die ends all reads too.
func (s *session) die() { s.deadOnce.Do(func() { close(s.dead) }) }

// failure is the reason for which the session cannot write any more, nil while it can.
func (s *session) failure() error {
	select {
	case <-s.failed:
		return s.reason
	default:
		return nil
	}
}

// readable tells whether the session can be read, be it that it has failed.
func (s *session) readable() bool {
	select {
	case <-s.dead:
		return false
	default:
		return true
	}
}

// use is what an operation needs of the session.
type use int

const (
	reading use = iota
	writing
)

// begin registers an operation with Close. It returns the session to work on, restarted if it has failed and can be, the
// context to work with, which ends when the session fails, and the function that ends the operation.
func (j *Journal) begin(ctx context.Context, needs use) (*session, context.Context, func(), error) {
	j.stateMu.Lock()
	if j.closed {
		j.stateMu.Unlock()
		return nil, nil, nil, ErrClosed
	}
	j.running.Add(1)
	s := j.session
	j.stateMu.Unlock()

	if needs == writing && s.failure() != nil || !s.readable() {
		var err error
		if s, err = j.mend(ctx, s); err != nil {
			j.running.Done()
			return nil, nil, nil, err
		}
	}
	end := s.failed
	if needs == reading {
		end = s.dead
	}
	ctx, cancel := until(ctx, end, s.failure)
	if err := s.await(ctx); err != nil {
		cancel()
		j.running.Done()
		return nil, nil, nil, err
	}
	return s, ctx, func() { cancel(); j.running.Done() }, nil
}

// beginRead is begin for long reads: their context ends when Close begins.
func (j *Journal) beginRead(ctx context.Context) (*session, context.Context, func(), error) {
	s, ctx, done, err := j.begin(ctx, reading)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := until(ctx, j.stopped, func() error { return ErrClosed })
	return s, ctx, func() { cancel(); done() }, nil
}

// until returns a context that ends, with why, when end is closed.
func until(ctx context.Context, end <-chan struct{}, why func() error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-end:
			cancel(why())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
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

// mendEvery is the least time between two attempts to restart the embedded server.
const mendEvery = time.Second

// attempt is how the last restart went.
type attempt struct {
	at  time.Time
	err error
}

// mend restarts the embedded server after it failed, if its directory can be written again, and returns the new session.
// The server keeps refusing writes after one has failed, whatever the disk has become since.
func (j *Journal) mend(ctx context.Context, old *session) (*session, error) {
	select {
	case j.mending <- struct{}{}:
		defer func() { <-j.mending }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	j.stateMu.Lock()
	s := j.session
	j.stateMu.Unlock()
	if s != old && s.failure() == nil {
		return s, nil // another operation was here first
	}
	if time.Since(j.mended.at) < j.mendEvery {
		if j.mended.err == nil { // it failed again at once
			return nil, s.failure()
		}
		return nil, j.mended.err
	}
	s, err := j.restart(ctx, s)
	j.mended = attempt{at: time.Now(), err: err}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (j *Journal) restart(ctx context.Context, old *session) (*session, error) {
	// While it runs the old server can at least be read: it is stopped only when the next one can write.
	if err := j.probe(); err != nil {
		return nil, err
	}
	j.logger.Warn("restarting the embedded nats server", "err", old.failure())
	old.release()
	s, err := j.openSession(ctx)
	if err != nil {
		// The place of a session is held by one that has failed, so that the next operation tries again.
		s = newSession(j)
		s.fail(err)
		s.die()
	} else {
		j.logger.Warn("embedded nats server restarted")
	}
	j.stateMu.Lock()
	j.session = s
	j.stateMu.Unlock()
	return s, err
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
