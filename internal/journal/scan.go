package journal

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	readAheadBytes = 2 * maxPayload
	idleCheck      = 2 * time.Second
)

// span is which messages of a stream a scan reads.
type span struct {
	subject  string    // "*" in it allowed
	after    uint64    // only those past this position
	storedAt time.Time // only those stored then or later; all if zero
}

// scan calls fn with the messages of the span, to what is the stream's end as scan begins.
func (s *session) scan(ctx context.Context, stream jetstream.Stream, which span, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	last, err := stream.GetLastMsgForSubject(ctx, which.subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if last.Sequence <= which.after || last.Time.Before(which.storedAt) {
		return nil
	}
	cfg, err := startOf(ctx, stream, which)
	if err != nil {
		return err
	}
	consumer, err := s.js.OrderedConsumer(ctx, stream.CachedInfo().Config.Name, cfg)
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxBytes(readAheadBytes))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		if s.j.stopping() {
			return ErrClosed
		}
		msg, err := nextMessage(ctx, messages, idleCheck)
		if errors.Is(err, errIdle) {
			gone, err := agedOut(ctx, stream, last.Sequence)
			if err != nil || gone {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Stream > last.Sequence {
			return nil
		}
		if meta.Sequence.Stream > which.after {
			if err := fn(msg, meta); err != nil {
				return err
			}
		}
		if meta.Sequence.Stream == last.Sequence {
			return nil
		}
	}
}

// startOf chooses where reading begins: a stream can be entered at a position or at a time, at the later of both.
func startOf(ctx context.Context, stream jetstream.Stream, which span) (jetstream.OrderedConsumerConfig, error) {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{which.subject}, DeliverPolicy: jetstream.DeliverAllPolicy}
	byTime := !which.storedAt.IsZero()
	if which.after > 0 {
		next, err := stream.GetMsg(ctx, which.after+1)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return cfg, err
		}
		byTime = byTime && err == nil && next.Time.Before(which.storedAt)
	}
	switch {
	case byTime:
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &which.storedAt
	case which.after > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, which.after+1
	}
	return cfg, nil
}

var errIdle = errors.New("no message in time")

// nextMessage waits for a message, or for errIdle.
func nextMessage(ctx context.Context, messages jetstream.MessagesContext, idle time.Duration) (jetstream.Msg, error) {
	wait, cancel := context.WithTimeout(ctx, idle)
	defer cancel()
	msg, err := messages.Next(jetstream.NextContext(wait))
	if err != nil && wait.Err() != nil && ctx.Err() == nil {
		return nil, errIdle
	}
	return msg, err
}
