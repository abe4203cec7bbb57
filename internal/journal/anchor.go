package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The server passes over what it cannot read of a stream: one whose end is damaged is shorter after a restart, without an
// error, and gives out positions a second time. So how far the streams went is kept in a bucket too: the anchors, by
// stream. The one of the deeds follows each of them; the one of the events every few seconds, and at Close.

const (
	anchorBucket = "journal"
	anchorEvery  = 10 * time.Second
	// closeLimit bounds what Close may wait for the last anchor.
	closeLimit = 2 * time.Second
)

// eventsEnd is how far the events went as this process knows it.
type eventsEnd struct {
	mu       sync.Mutex
	seq      uint64
	anchored time.Time
	pending  bool
}

// anchor remembers how far a stream went. What was written is durable already, so a failure here takes nothing back: an
// anchor that lags still holds for what it covers.
func (s *session) anchor(ctx context.Context, stream string, last link) {
	if err := s.putJSON(ctx, anchorBucket, stream, last); err != nil {
		s.j.logger.Warn("end of a stream not anchored", "stream", stream, "seq", last.Seq, "err", err)
	}
}

// noteEvents anchors the events if that was not done for a while.
func (s *session) noteEvents(ctx context.Context, seq uint64) {
	end := &s.j.eventsEnd
	end.mu.Lock()
	end.seq = max(end.seq, seq)
	end.pending = true
	due := time.Since(end.anchored) >= anchorEvery
	if due {
		end.anchored, end.pending = time.Now(), false
	}
	seq = end.seq
	end.mu.Unlock()
	if due {
		s.anchor(ctx, eventsStream, link{Seq: seq})
	}
}

// anchorAtClose anchors what noteEvents has left.
func (j *Journal) anchorAtClose(s *session) {
	if j.eventsEnd.pending && s.failure() == nil && s.conn.IsConnected() {
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		s.anchor(ctx, eventsStream, link{Seq: j.eventsEnd.seq})
	}
}

func (s *session) readAnchor(ctx context.Context, stream string) (link, error) {
	var last link
	_, err := s.getJSON(ctx, anchorBucket, stream, &last)
	return last, err
}

// checkAnchors fails when deeds or events are missing that were written.
func (s *session) checkAnchors(ctx context.Context) error {
	if err := s.checkDeedsAnchor(ctx); err != nil {
		return err
	}
	events, err := s.readAnchor(ctx, eventsStream)
	if err != nil || events.Seq == 0 {
		return err
	}
	// What the stream says of itself is not enough: it may come from an index beside a damaged block.
	_, err = s.events.GetMsg(ctx, events.Seq)
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return err
	}
	aged, err := agedOut(ctx, s.events, events.Seq)
	if err != nil || aged {
		return err
	}
	return s.j.missing("event bundle", events.Seq)
}

func (s *session) checkDeedsAnchor(ctx context.Context) error {
	deeds, err := s.readAnchor(ctx, deedsStream)
	if err != nil {
		return err
	}
	if deeds.Seq > 0 {
		got, err := s.linkAt(ctx, deeds.Seq)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
		if err != nil {
			if bounded, err2 := s.deedsBounded(ctx); err2 != nil || !bounded {
				return errors.Join(err2, s.j.missing("deed", deeds.Seq))
			}
			aged, err := agedOut(ctx, s.deeds, deeds.Seq)
			if err != nil || aged {
				return err
			}
		}
		if got != deeds {
			return s.j.missing("deed", deeds.Seq)
		}
	}
	// A process that was killed between a deed and its anchor leaves the anchor behind.
	last, err := s.lastLink(ctx)
	if err != nil {
		return err
	}
	if last.Seq > deeds.Seq {
		s.anchor(ctx, deedsStream, last)
	}
	return nil
}

// agedOut tells whether the message was removed for its age or for room: the stream remembers its last position all the same.
func agedOut(ctx context.Context, stream jetstream.Stream, seq uint64) (bool, error) {
	info, err := stream.Info(ctx)
	if err != nil {
		return false, err
	}
	return info.State.LastSeq >= seq && info.State.FirstSeq > seq, nil
}

// deedsBoundedKey is set in the anchors' bucket once the age or the size of deeds was bounded.
const deedsBoundedKey = "deeds-age"

func (s *session) markDeedsBounded(ctx context.Context) error {
	marked, err := s.deedsBounded(ctx)
	if err != nil || marked {
		return err
	}
	return s.putJSON(ctx, anchorBucket, deedsBoundedKey, true)
}

// deedsBounded tells whether old deeds may be gone.
func (s *session) deedsBounded(ctx context.Context) (marked bool, err error) {
	_, err = s.getJSON(ctx, anchorBucket, deedsBoundedKey, &marked)
	return marked, err
}

func (j *Journal) missing(what string, seq uint64) error {
	if j.opts.NoSync {
		// After a power cut the end may be missing without any fault but the one that NoSync accepts.
		j.logger.Error("writes are missing from the store", "what", what, "seq", seq)
		return nil
	}
	return fmt.Errorf("%w: %s %d was written and is missing: %s", ErrDamaged, what, seq, j.remedy())
}

// remedy says what to do about a damaged store.
func (j *Journal) remedy() string {
	if j.opts.NATS != "" {
		return "restore the cluster's streams from a backup, or delete the bucket " + anchorBucket + " to go on without what is missing"
	}
	return "restore the directory from a backup, or move it away to begin with an empty one"
}
