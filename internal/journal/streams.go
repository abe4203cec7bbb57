package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	eventsStream   = "events"
	findingsStream = "findings"
	deedsStream    = "deeds"
	clusterCopies  = 3
	readAheadBytes = 2 * maxPayload
	idleCheck      = 2 * time.Second
)

// Codes of the server's API that the client library does not name.
const (
	codeNoPeers              jetstream.ErrorCode = 10005 // not enough servers for this many copies
	codeReplicasNotSupported jetstream.ErrorCode = 10074 // a single server keeps one copy
)

func (j *Journal) openStreams(ctx context.Context) error {
	appendOnly := func(name string) jetstream.StreamConfig {
		return jetstream.StreamConfig{Name: name, DenyDelete: true, DenyPurge: true}
	}
	var err error
	if j.events, err = j.ensureStream(ctx, jetstream.StreamConfig{
		Name:     eventsStream,
		MaxAge:   j.opts.MaxEventsAge,
		MaxBytes: j.opts.MaxEventsBytes,
		Discard:  jetstream.DiscardOld,
	}); err != nil {
		return err
	}
	if j.findings, err = j.ensureStream(ctx, appendOnly(findingsStream)); err != nil {
		return err
	}
	j.deeds, err = j.ensureStream(ctx, appendOnly(deedsStream))
	return err
}

// ensureStream makes the stream, or brings the one that is there to cfg.
func (j *Journal) ensureStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	cfg.Subjects = []string{cfg.Name + ".*"}
	cfg.Storage = jetstream.FileStorage
	cfg.AllowDirect = true
	cfg.Description = "portcullis " + cfg.Name

	old, err := j.js.Stream(ctx, cfg.Name)
	if err == nil && !slices.Equal(old.CachedInfo().Config.Subjects, cfg.Subjects) {
		return nil, fmt.Errorf("stream %s is there already and belongs to something else (its subjects are %v): use an account of its own",
			cfg.Name, old.CachedInfo().Config.Subjects)
	}
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("look for stream %s: %w", cfg.Name, err)
	}
	fewest := 1
	if err == nil {
		fewest = old.CachedInfo().Config.Replicas
	}
	var stream jetstream.Stream
	err = j.withCopies(fewest, func(copies int) (err error) {
		cfg.Replicas = copies
		stream, err = j.js.CreateOrUpdateStream(ctx, cfg)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make stream %s: %w", cfg.Name, err)
	}
	return stream, nil
}

// withCopies calls create with the number of copies that a stream should have, and again with fewest if the cluster has
// too few servers for that; the next Open raises it then.
func (j *Journal) withCopies(fewest int, create func(copies int) error) error {
	if j.server != nil {
		return create(1)
	}
	err := create(max(fewest, clusterCopies))
	var apiErr *jetstream.APIError
	if errors.As(err, &apiErr) && (apiErr.ErrorCode == codeNoPeers || apiErr.ErrorCode == codeReplicasNotSupported) {
		j.logger.Warn("nats keeps fewer copies than wished", "wished", clusterCopies, "copies", fewest)
		return create(fewest)
	}
	return err
}

// scan calls fn with the messages of one subject, "*" in it allowed, from the given time or the stream's start to what is
// the stream's end as scan begins.
func (j *Journal) scan(ctx context.Context, stream jetstream.Stream, subject string, since time.Time, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	last, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverAllPolicy}
	if !since.IsZero() {
		if last.Time.Before(since) {
			return nil
		}
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	consumer, err := j.js.OrderedConsumer(ctx, stream.CachedInfo().Config.Name, cfg)
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxBytes(readAheadBytes))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		if j.stopping() {
			return ErrClosed
		}
		msg, err := nextMessage(ctx, messages)
		if errors.Is(err, errIdle) {
			gone, err := isGone(ctx, stream, last.Sequence)
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
		if err := fn(msg, meta); err != nil {
			return err
		}
		if meta.Sequence.Stream == last.Sequence {
			return nil
		}
	}
}

var errIdle = errors.New("no message in time")

func nextMessage(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	wait, cancel := context.WithTimeout(ctx, idleCheck)
	defer cancel()
	msg, err := messages.Next(jetstream.NextContext(wait))
	if err != nil && wait.Err() != nil && ctx.Err() == nil {
		return nil, errIdle
	}
	return msg, err
}

// isGone tells whether the message was removed for its age or for room since the scan began; those before it are too then.
func isGone(ctx context.Context, stream jetstream.Stream, seq uint64) (bool, error) {
	info, err := stream.Info(ctx)
	if err != nil {
		return false, err
	}
	return info.State.FirstSeq > seq, nil
}
