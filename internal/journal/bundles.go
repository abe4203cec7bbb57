package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// bundleBytes is where a bundle is cut: below the 1 MiB that a message may have in a cluster with defaults.
	bundleBytes = 900_000
	maxSource   = 64

	arrivedHeader = "Portcullis-Arrived" // nanoseconds since 1970
	clockHeader   = "Portcullis-Clock"   // milliseconds since 1970
	sourceHeader  = "Portcullis-Source"
)

// Bundle is events of one tenant that arrived together.
type Bundle struct {
	// Seq is the bundle's position in the stream, set by ReplayBundles; they grow, with gaps where other tenants are.
	Seq uint64
	// Arrived is when the events reached us; the present if zero. It may be in the future: a simulation's clock runs
	// ahead. It is between the years 1678 and 2261.
	Arrived time.Time
	// Clock is the engine's event clock as the bundle was appended, kept to the millisecond; zero if there was none.
	Clock time.Time
	// Source says where the events came from, such as "poll" or "webhook": at most 64 printable ASCII characters.
	Source string
	// Events are one JSON object each.
	Events [][]byte
}

// AppendBundle writes a bundle as one message, or as several in their order, each with the same Arrived, Clock and
// Source, where its events exceed about 900 KB together. When it returns without an error they are durable, and seq is the
// position of the last message. After an error some of them may have been written: append them again, events count once
// by their log_id.
//
// Line breaks between the tokens of an event are taken out. No events write nothing and return 0. Errors: ErrTooLarge,
// ErrInvalid, ErrFull, ErrReadOnlyStore, ErrClosed.
func (j *Journal) AppendBundle(ctx context.Context, tenant string, b Bundle) (seq uint64, err error) {
	s, ctx, done, err := j.begin(ctx, writing)
	if err != nil {
		return 0, fmt.Errorf("append events of %s: %w", tenant, err)
	}
	defer done()
	if seq, err = s.appendBundle(ctx, tenant, b); err != nil {
		return 0, fmt.Errorf("append events of %s: %w", tenant, s.explain(ctx, err))
	}
	return seq, nil
}

func (s *session) appendBundle(ctx context.Context, tenant string, b Bundle) (seq uint64, err error) {
	if b.Arrived.IsZero() {
		b.Arrived = time.Now()
	}
	header, err := b.header()
	if err != nil {
		return 0, err
	}
	pieces, err := bundle(b.Events, int(s.conn.MaxPayload()))
	if err != nil || len(pieces) == 0 {
		return 0, err
	}
	if err := s.noteLead(ctx, time.Until(b.Arrived)); err != nil {
		return 0, err
	}
	for _, data := range pieces {
		// The client adds to the header.
		msg := &nats.Msg{Subject: subject(eventsStream, tenant), Header: maps.Clone(header), Data: data}
		ack, err := s.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(eventsStream))
		if err != nil {
			return 0, err
		}
		seq = ack.Sequence
		s.noteEvents(ctx, seq)
	}
	return seq, nil
}

func (b Bundle) header() (nats.Header, error) {
	if year := b.Arrived.UTC().Year(); year < 1678 || year > 2261 {
		return nil, fmt.Errorf("%w: an arrival in the year %d", ErrInvalid, year)
	}
	header := nats.Header{}
	header.Set(arrivedHeader, strconv.FormatInt(b.Arrived.UnixNano(), 10))
	if !b.Clock.IsZero() {
		header.Set(clockHeader, strconv.FormatInt(b.Clock.UnixMilli(), 10))
	}
	if b.Source == "" {
		return header, nil
	}
	unprintable := func(r rune) bool { return r < ' ' || r > '~' }
	if len(b.Source) > maxSource || strings.ContainsFunc(b.Source, unprintable) || strings.TrimSpace(b.Source) != b.Source {
		return nil, fmt.Errorf("%w: the source %q is not a short name", ErrInvalid, shorten(b.Source))
	}
	header.Set(sourceHeader, b.Source)
	return header, nil
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

// ReplayBundles calls fn with the bundles of one tenant in the order in which they were appended, to what is the stream's
// end as it begins; then it returns. It leaves out those up to and at the position after, and, unless since is zero, those
// that arrived before since. Events are fn's to keep. It ends early with fn's error, ctx's, or ErrClosed when the journal is
// closed meanwhile.
func (j *Journal) ReplayBundles(ctx context.Context, tenant string, after uint64, since time.Time, fn func(Bundle) error) error {
	s, ctx, done, err := j.beginRead(ctx)
	if err != nil {
		return fmt.Errorf("replay events of %s: %w", tenant, err)
	}
	defer done()
	storedAt, err := s.storedSince(ctx, since)
	if err != nil {
		return fmt.Errorf("replay events of %s: %w", tenant, s.explain(ctx, err))
	}
	var fnErr error
	which := span{subject: subject(eventsStream, tenant), after: after, storedAt: storedAt}
	err = s.scan(ctx, s.events, which, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		b := bundleOf(msg.Headers(), meta.Timestamp)
		if b.Arrived.Before(since) {
			return nil
		}
		b.Seq, b.Events = meta.Sequence.Stream, split(msg.Data())
		fnErr = fn(b)
		return fnErr
	})
	if fnErr != nil {
		return fnErr
	}
	if err != nil {
		return fmt.Errorf("replay events of %s: %w", tenant, s.explain(ctx, err))
	}
	return nil
}

// EventsFirst returns the position and the arrival of the oldest bundle of one tenant that is left, and whether there is
// any: retention drops the oldest.
//
// One who has read up to position p has missed nothing if seq <= p. Otherwise bundles past p may have been dropped: always
// where some were, and also where a tenant was quiet for so long that p itself has gone and nothing else; treat both as a
// gap. The same holds for a p above zero where there is no bundle left.
func (j *Journal) EventsFirst(ctx context.Context, tenant string) (seq uint64, arrived time.Time, ok bool, err error) {
	s, ctx, done, err := j.begin(ctx, reading)
	if err != nil {
		return 0, time.Time{}, false, fmt.Errorf("find the first event of %s: %w", tenant, err)
	}
	defer done()
	msg, err := s.events.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject(eventsStream, tenant)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, time.Time{}, false, nil
	}
	if err != nil {
		return 0, time.Time{}, false, fmt.Errorf("find the first event of %s: %w", tenant, s.explain(ctx, err))
	}
	return msg.Sequence, bundleOf(msg.Header, msg.Time).Arrived, true, nil
}

// bundleOf reads what the headers of a message say.
func bundleOf(header nats.Header, stored time.Time) Bundle {
	b := Bundle{Arrived: stored.UTC(), Source: header.Get(sourceHeader)}
	if ns, err := strconv.ParseInt(header.Get(arrivedHeader), 10, 64); err == nil {
		b.Arrived = time.Unix(0, ns).UTC()
	}
	if ms, err := strconv.ParseInt(header.Get(clockHeader), 10, 64); err == nil {
		b.Clock = time.UnixMilli(ms).UTC()
	}
	return b
}

func split(data []byte) [][]byte {
	raws := make([][]byte, 0, bytes.Count(data, []byte{'\n'})+1)
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
