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
)

// Codes of the server's API that the client library does not name.
const (
	codeNoPeers              jetstream.ErrorCode = 10005 // not enough servers for this many copies
	codeReplicasNotSupported jetstream.ErrorCode = 10074 // a single server keeps one copy
)

func (s *session) openStreams(ctx context.Context) error {
	appendOnly := func(name string, age time.Duration, bytes int64) jetstream.StreamConfig {
		if bytes == 0 {
			bytes = -1
		}
		return jetstream.StreamConfig{Name: name, MaxAge: age, MaxBytes: bytes, Discard: jetstream.DiscardOld, DenyDelete: true, DenyPurge: true}
	}
	var err error
	if s.events, err = s.ensureStream(ctx, jetstream.StreamConfig{
		Name:     eventsStream,
		MaxAge:   s.j.opts.MaxEventsAge,
		MaxBytes: s.j.opts.MaxEventsBytes,
		Discard:  jetstream.DiscardOld,
	}); err != nil {
		return err
	}
	findings := appendOnly(findingsStream, s.j.opts.MaxFindingsAge, s.j.opts.MaxFindingsBytes)
	findings.Duplicates = idsKept(findings.MaxAge)
	if s.findings, err = s.ensureStream(ctx, findings); err != nil {
		return err
	}
	if s.j.opts.MaxDeedsAge > 0 || s.j.opts.MaxDeedsBytes > 0 {
		// Before any of them goes: from now on the first deed may be missing.
		if err := s.markDeedsBounded(ctx); err != nil {
			return err
		}
	}
	deeds := appendOnly(deedsStream, s.j.opts.MaxDeedsAge, s.j.opts.MaxDeedsBytes)
	deeds.Duplicates = idsKept(deeds.MaxAge)
	if s.deeds, err = s.ensureStream(ctx, deeds); err != nil {
		return err
	}
	return s.openSnapshots(ctx)
}

// idsKept is how long a stream whose messages live so long, or for ever if zero, recognises them by their id.
func idsKept(age time.Duration) time.Duration {
	if age > 0 {
		return min(recordIDsKept, age)
	}
	return recordIDsKept
}

// ensureStream makes the stream, or brings the one that is there to cfg.
func (s *session) ensureStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	cfg.Subjects = []string{cfg.Name + ".*"}
	cfg.Storage = jetstream.FileStorage
	cfg.AllowDirect = true
	cfg.Description = description(cfg.Name)

	old, err := s.js.Stream(ctx, cfg.Name)
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
	err = s.withCopies(fewest, func(copies int) (err error) {
		cfg.Replicas = copies
		stream, err = s.js.CreateOrUpdateStream(ctx, cfg)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make stream %s: %w", cfg.Name, err)
	}
	return stream, nil
}

const ownDescription = "portcullis "

// description marks a stream as ours.
func description(name string) string { return ownDescription + name }

// withCopies calls create with the number of copies that a stream should have, and again with fewest if the cluster has
// too few servers for that; the next Open raises it then.
func (s *session) withCopies(fewest int, create func(copies int) error) error {
	if s.server != nil {
		return create(1)
	}
	err := create(max(fewest, clusterCopies))
	var apiErr *jetstream.APIError
	if errors.As(err, &apiErr) && (apiErr.ErrorCode == codeNoPeers || apiErr.ErrorCode == codeReplicasNotSupported) {
		s.j.logger.Warn("nats keeps fewer copies than wished", "wished", clusterCopies, "copies", fewest)
		return create(fewest)
	}
	return err
}
