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
func (j *Journal) anchor(ctx context.Context, stream string, last link) {
	kv, err := j.kv(ctx, anchorBucket)
	if err == nil {
		err = kv.putJSON(ctx, stream, last)
	}
	if err != nil {
		j.logger.Warn("end of a stream not anchored", "stream", stream, "seq", last.Seq, "err", err)
	}
}

// noteEvents anchors the events if that was not done for a while.
func (j *Journal) noteEvents(ctx context.Context, seq uint64) {
	end := &j.eventsEnd
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
		j.anchor(ctx, eventsStream, link{Seq: seq})
	}
}

// anchorAtClose anchors what noteEvents has left.
func (j *Journal) anchorAtClose() {
	if j.eventsEnd.pending && j.conn.IsConnected() {
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		j.anchor(ctx, eventsStream, link{Seq: j.eventsEnd.seq})
	}
}

func (j *Journal) readAnchor(ctx context.Context, stream string) (link, error) {
	var last link
	kv, err := j.kv(ctx, anchorBucket)
	if err != nil {
		return link{}, err
	}
	_, err = kv.getJSON(ctx, stream, &last)
	return last, err
}

// checkAnchors fails when deeds or events are missing that were written.
func (j *Journal) checkAnchors(ctx context.Context) error {
	deeds, err := j.readAnchor(ctx, deedsStream)
	if err != nil {
		return err
	}
	if deeds.Seq > 0 {
		got, err := j.linkAt(ctx, deeds.Seq)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
		if err != nil || got != deeds {
			return j.missing("deed", deeds.Seq)
		}
	}
	events, err := j.readAnchor(ctx, eventsStream)
	if err != nil {
		return err
	}
	if events.Seq == 0 {
		return nil
	}
	// What the stream says of itself is not enough: it may come from an index beside a damaged block.
	_, err = j.events.GetMsg(ctx, events.Seq)
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return err
	}
	info, err := j.events.Info(ctx)
	if err != nil {
		return err
	}
	// Events may have been removed for their age; the stream remembers its last position all the same.
	if info.State.LastSeq < events.Seq || info.State.FirstSeq <= events.Seq {
		return j.missing("event bundle", events.Seq)
	}
	return nil
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
	if j.server == nil {
		return "restore the cluster's streams from a backup, or delete the bucket " + anchorBucket + " to go on without what is missing"
	}
	return "restore the directory from a backup, or move it away to begin with an empty one"
}
