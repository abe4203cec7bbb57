package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// bundleBytes is where a bundle is cut: below the 1 MiB that a message may have in a cluster with defaults.
	bundleBytes = 900_000
	// arrivedHeader holds the time of arrival in nanoseconds since 1970.
	arrivedHeader = "Portcullis-Arrived"
)

// AppendEvents writes events of one tenant, as they arrived, as one message, or as several in their order where they
// exceed about 900 KB together. When it returns without an error they are durable, and seq is the position of the last
// message. After an error some of them may have been written: append them again, events count once by their log_id.
//
// Each of raws is one JSON object; line breaks between its tokens are taken out. arrived is kept for ReplayEvents: the
// present if zero or in the future. No raws write nothing and return 0. Errors: ErrTooLarge, ErrInvalid, ErrClosed.
func (j *Journal) AppendEvents(ctx context.Context, tenant string, arrived time.Time, raws [][]byte) (seq uint64, err error) {
	done, err := j.begin()
	if err != nil {
		return 0, fmt.Errorf("append events of %s: %w", tenant, err)
	}
	defer done()
	if now := time.Now(); arrived.IsZero() || arrived.After(now) {
		arrived = now
	}
	bundles, err := bundle(raws, int(j.conn.MaxPayload()))
	if err != nil {
		return 0, fmt.Errorf("append events of %s: %w", tenant, err)
	}
	for _, data := range bundles {
		msg := nats.NewMsg(subject(eventsStream, tenant))
		msg.Header.Set(arrivedHeader, strconv.FormatInt(arrived.UnixNano(), 10))
		msg.Data = data
		ack, err := j.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(eventsStream))
		if err != nil {
			return 0, fmt.Errorf("append events of %s: %w", tenant, cause(ctx, err))
		}
		seq = ack.Sequence
		j.noteEvents(ctx, seq)
	}
	return seq, nil
}

// headerRoom is left free for headers in a message that one large event fills.
const headerRoom = 512

// bundle joins raws with line breaks into pieces of about bundleBytes; one raw is never cut.
func bundle(raws [][]byte, limit int) ([][]byte, error) {
	total := 0
	for _, raw := range raws {
		total += len(raw) + 1
	}
	var out [][]byte
	piece := make([]byte, 0, min(total, bundleBytes))
	for i, raw := range raws {
		raw, err := oneLine(raw)
		if err != nil {
			return nil, fmt.Errorf("event %d of %d: %w", i+1, len(raws), err)
		}
		if len(raw) > limit-headerRoom {
			return nil, fmt.Errorf("event %d of %d: %w: %d bytes, at most %d", i+1, len(raws), ErrTooLarge, len(raw), limit-headerRoom)
		}
		if len(piece) > 0 && len(piece)+1+len(raw) > bundleBytes {
			out = append(out, piece)
			piece = make([]byte, 0, min(total, bundleBytes))
		}
		if len(piece) > 0 {
			piece = append(piece, '\n')
		}
		piece = append(piece, raw...)
		total -= len(raw) + 1
	}
	if len(piece) > 0 {
		out = append(out, piece)
	}
	return out, nil
}

func oneLine(raw []byte) ([]byte, error) {
	if len(raw) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrInvalid)
	}
	if bytes.IndexByte(raw, '\n') < 0 {
		return raw, nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return compact.Bytes(), nil
}

// ReplayEvents calls fn with the bundles of one tenant in the order in which they were appended, from the stream's start,
// or, unless since is zero, with those alone that arrived at since or later, to what is the stream's end as it begins; then it returns.
// raws are valid only during fn. It ends early with fn's error, ctx's, or ErrClosed when the journal is closed meanwhile.
func (j *Journal) ReplayEvents(ctx context.Context, tenant string, since time.Time, fn func(seq uint64, raws [][]byte) error) error {
	ctx, done, err := j.beginRead(ctx)
	if err != nil {
		return fmt.Errorf("replay events of %s: %w", tenant, err)
	}
	defer done()
	var raws [][]byte
	var fnErr error
	// A message is stored at its arrival or later, so the stream's own time finds the first; the header decides.
	err = j.scan(ctx, j.events, subject(eventsStream, tenant), since, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if !since.IsZero() && arrivedAt(msg, meta).Before(since) {
			return nil
		}
		raws = split(raws[:0], msg.Data())
		fnErr = fn(meta.Sequence.Stream, raws)
		return fnErr
	})
	if fnErr != nil {
		return fnErr
	}
	if err != nil {
		return fmt.Errorf("replay events of %s: %w", tenant, cause(ctx, err))
	}
	return nil
}

func arrivedAt(msg jetstream.Msg, meta *jetstream.MsgMetadata) time.Time {
	if ns, err := strconv.ParseInt(msg.Headers().Get(arrivedHeader), 10, 64); err == nil {
		return time.Unix(0, ns)
	}
	return meta.Timestamp
}

func split(raws [][]byte, data []byte) [][]byte {
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return append(raws, data)
		}
		raws = append(raws, data[:i:i])
		data = data[i+1:]
	}
	return raws
}
