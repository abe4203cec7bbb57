package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// record is one line of "findings" or "deeds" as it is stored.
type record struct {
	At     time.Time       `json:"at"`
	Tenant string          `json:"tenant"`
	Doc    json.RawMessage `json:"doc"`
	// Prev and Hash make the chain of deeds; findings have none.
	Prev string `json:"prev,omitempty"`
	Hash string `json:"hash,omitempty"`
}

func newRecord(tenant string, doc any) (record, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	// Without a monotonic part and in UTC it reads back as it was hashed.
	return record{At: time.Now().UTC().Round(0), Tenant: tenant, Doc: raw}, nil
}

// AppendFinding writes one finding, any value that encoding/json can write. When it returns without an error the finding
// is durable, and seq its position. After an error it may have been written or not. An id keeps it from being written
// twice, as that of [Journal.AppendDeed] does.
func (j *Journal) AppendFinding(ctx context.Context, tenant, id string, doc any) (seq uint64, err error) {
	s, ctx, done, err := j.begin(ctx, writing)
	if err != nil {
		return 0, fmt.Errorf("append a finding of %s: %w", tenant, err)
	}
	defer done()
	rec, err := newRecord(tenant, doc)
	if err != nil {
		return 0, fmt.Errorf("append a finding of %s: %w", tenant, err)
	}
	var known []jetstream.PublishOpt
	if id != "" {
		known = append(known, recordID(tenant, id))
	}
	ack, err := s.publish(ctx, findingsStream, rec, known...)
	if err != nil {
		return 0, fmt.Errorf("append a finding of %s: %w", tenant, s.explain(ctx, err))
	}
	return ack.Sequence, nil
}

// ReadFindings calls fn with the findings of one tenant, or of all if tenant is "", in the order in which they were
// appended, to what is the stream's end as it begins. at is when the finding was appended; doc is valid only during fn.
// It ends early with fn's error, ctx's, or ErrClosed.
func (j *Journal) ReadFindings(ctx context.Context, tenant string, fn func(seq uint64, at time.Time, doc json.RawMessage) error) error {
	return j.read(ctx, "read findings", findingsStream, tenant, fn)
}

func (s *session) publish(ctx context.Context, stream string, rec record, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	data, err := json.Marshal(rec)
	if err != nil {
		return nil, err
	}
	if limit := int(s.conn.MaxPayload()) - headerRoom; len(data) > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), limit)
	}
	msg := &nats.Msg{Subject: subject(stream, rec.Tenant), Data: data}
	return s.js.PublishMsg(ctx, msg, append(opts, jetstream.WithExpectStream(stream))...)
}

func (j *Journal) read(ctx context.Context, doing, name, tenant string, fn func(uint64, time.Time, json.RawMessage) error) error {
	s, ctx, done, err := j.beginRead(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer done()
	sub := name + ".*"
	if tenant != "" {
		sub = subject(name, tenant)
	}
	stream := s.findings
	if name == deedsStream {
		stream = s.deeds
	}
	var fnErr error
	err = s.scan(ctx, stream, span{subject: sub}, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		var rec record
		if err := json.Unmarshal(msg.Data(), &rec); err != nil {
			return fmt.Errorf("record %d: %w", meta.Sequence.Stream, err)
		}
		fnErr = fn(meta.Sequence.Stream, rec.At, rec.Doc)
		return fnErr
	})
	if fnErr != nil {
		return fnErr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, s.explain(ctx, err))
	}
	return nil
}
