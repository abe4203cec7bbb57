package journal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// GetSnapshot returns a reader of the snapshot that was put last under a name, and whether there is one. The reader is to be
// closed, and ctx holds for it too. Its end is io.EOF only if all that was read is what was put; otherwise it is an error
// that names the snapshot, ErrDamaged where the store has lost or changed a part. So what was read is good only once the
// reader came to its end.
func (j *Journal) GetSnapshot(ctx context.Context, name string) (r io.ReadCloser, found bool, err error) {
	s, _, done, err := j.begin(ctx, reading)
	if err != nil {
		return nil, false, fmt.Errorf("get snapshot %q: %w", shorten(name), err)
	}
	defer done()
	reader, err := s.openSnapshot(ctx, name)
	if err != nil {
		return nil, false, fmt.Errorf("get snapshot %q: %w", shorten(name), s.explain(ctx, err))
	}
	if reader == nil {
		return nil, false, nil
	}
	return reader, true, nil
}

func (s *session) openSnapshot(ctx context.Context, name string) (*snapshotReader, error) {
	meta, err := metaSubject(name)
	if err != nil {
		return nil, err
	}
	info, found, err := s.describe(ctx, meta)
	if err != nil || !found {
		return nil, err
	}
	digest, err := jetstream.DecodeObjectDigest(info.Digest)
	if err != nil {
		return nil, fmt.Errorf("%w: its digest %q cannot be read", ErrDamaged, shorten(info.Digest))
	}
	subject := chunkPrefix + info.NUID
	r := &snapshotReader{name: name, s: s, info: info, want: digest, digest: sha256.New(), release: s.j.uploads.hold(info.NUID)}
	chunks, err := s.snapshots.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		r.release()
		return nil, err
	}
	if got := chunks.State.Subjects[subject]; got != uint64(info.Chunks) {
		r.release()
		return nil, fmt.Errorf("%w: %d of its %d chunks are there", ErrDamaged, got, info.Chunks)
	}
	r.ctx, r.cancel = until(ctx, s.j.stopped, func() error { return ErrClosed })
	if info.Chunks == 0 {
		return r, nil
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}}
	consumer, err := s.js.OrderedConsumer(ctx, snapshotsStream, cfg)
	if err == nil {
		r.messages, err = consumer.Messages(jetstream.PullMaxBytes(readAheadBytes))
	}
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// snapshotReader reads the chunks of one snapshot and proves them at their end.
type snapshotReader struct {
	name     string
	s        *session
	ctx      context.Context // GetSnapshot's: the reader is the rest of that call
	cancel   context.CancelFunc
	release  func()
	info     jetstream.ObjectInfo
	messages jetstream.MessagesContext // nil for an empty snapshot

	rest   []byte // of the chunk that came last
	chunks uint32 // how many came
	last   uint64 // where the last of them is in the stream
	idle   int    // how often none came in time
	size   uint64
	digest hash.Hash
	want   []byte
	err    error // what every further Read returns
}

var _ io.ReadCloser = (*snapshotReader)(nil)

func (r *snapshotReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		if r.rest, r.err = r.next(); r.err != nil && r.err != io.EOF {
			r.err = fmt.Errorf("get snapshot %q: %w", shorten(r.name), r.s.explain(r.ctx, r.err))
		}
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next returns the next chunk, or io.EOF after the last if all is as it was put.
func (r *snapshotReader) next() ([]byte, error) {
	if r.ctx.Err() != nil {
		return nil, context.Cause(r.ctx)
	}
	if r.chunks == r.info.Chunks {
		if r.size != r.info.Size || string(r.digest.Sum(nil)) != string(r.want) {
			return nil, fmt.Errorf("%w: it is not what was put", ErrDamaged)
		}
		return nil, io.EOF
	}
	msg, err := nextMessage(r.ctx, r.messages, chunkIdle)
	for errors.Is(err, errIdle) {
		// A chunk whose record on disk is damaged is not delivered, and nothing says so.
		if err := r.stillThere(); err != nil {
			return nil, err
		}
		msg, err = nextMessage(r.ctx, r.messages, chunkIdle)
	}
	if err != nil {
		return nil, err
	}
	meta, err := msg.Metadata()
	if err != nil {
		return nil, err
	}
	r.chunks++
	r.last = meta.Sequence.Stream
	if r.chunks < r.info.Chunks && meta.NumPending == 0 {
		return nil, fmt.Errorf("%w: %d of its %d chunks are there", ErrDamaged, r.chunks, r.info.Chunks)
	}
	r.digest.Write(msg.Data())
	r.size += uint64(len(msg.Data()))
	return msg.Data(), nil
}

const (
	chunkIdle = 500 * time.Millisecond
	// maxIdle is how often a chunk that is there may fail to come within chunkIdle.
	maxIdle = 20
)

// stillThere looks for the chunk that does not come.
func (r *snapshotReader) stillThere() error {
	if r.idle++; r.idle == maxIdle {
		return errors.New("the server does not deliver its chunks: try again")
	}
	_, err := r.s.snapshots.GetMsg(r.ctx, r.last+1, jetstream.WithGetMsgSubject(chunkPrefix+r.info.NUID))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("%w: %d of its %d chunks can be read", ErrDamaged, r.chunks, r.info.Chunks)
	}
	return err
}

// Close ends the reading. The error is always nil.
func (r *snapshotReader) Close() error {
	if r.messages != nil {
		r.messages.Stop()
	}
	r.cancel()
	r.release()
	if r.err == nil {
		r.err = fmt.Errorf("get snapshot %q: the reader is closed", shorten(r.name))
	}
	return nil
}
