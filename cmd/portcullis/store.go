package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"

	"portcullis/config"
	"portcullis/internal/journal"
	"portcullis/responders"
	"portcullis/responders/slack"
)

// openJournal opens the store that a configuration names, with its bounds.
func openJournal(ctx context.Context, cfg *config.Config, log *slog.Logger) (*journal.Journal, error) {
	kept := cfg.Store.Retention
	return journal.Open(ctx, journal.Options{
		Dir: cfg.StoreDir(), NATS: cfg.Store.NATS, CredsFile: cfg.CredsFile(), Logger: log,
		MaxEventsAge: kept.Events.Age, MaxEventsBytes: int64(kept.Events.Size),
		MaxFindingsAge: kept.Findings.Age, MaxFindingsBytes: int64(kept.Findings.Size),
		MaxDeedsAge: kept.Deeds.Age, MaxDeedsBytes: int64(kept.Deeds.Size),
	})
}

// tenantStore is the part of a bucket that belongs to one tenant.
type tenantStore struct {
	kv     *journal.KV
	prefix string
}

var _ responders.Store = tenantStore{}

func openStore(ctx context.Context, j *journal.Journal, bucket, tenant string) (tenantStore, error) {
	kv, err := j.KV(ctx, bucket)
	if err != nil {
		return tenantStore{}, err
	}
	return tenantStore{kv, tenant + "/"}, nil
}

func (s tenantStore) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return s.kv.Get(ctx, s.prefix+key)
}

func (s tenantStore) Put(ctx context.Context, key string, value []byte) error {
	return s.kv.Put(ctx, s.prefix+key, value)
}

func (s tenantStore) Delete(ctx context.Context, key string) error {
	return s.kv.Delete(ctx, s.prefix+key)
}

func (s tenantStore) All(ctx context.Context) (map[string][]byte, error) {
	all, err := s.kv.All(ctx)
	if err != nil {
		return nil, err
	}
	mine := map[string][]byte{}
	for k, v := range all {
		if key, ok := strings.CutPrefix(k, s.prefix); ok {
			mine[key] = v
		}
	}
	return mine, nil
}

// slackStore remembers which message shows which incident.
type slackStore struct{ kv *journal.KV }

func (s slackStore) Load(ctx context.Context, incident string) (slack.Ref, bool, error) {
	var ref slack.Ref
	ok, err := s.kv.GetJSON(ctx, incident, &ref)
	return ref, ok, err
}

func (s slackStore) Save(ctx context.Context, incident string, ref slack.Ref) error {
	return s.kv.PutJSON(ctx, incident, ref)
}

// instanceID names this installation for ever: its own writes and its own
// network ACL are known by it.
func instanceID(ctx context.Context, j *journal.Journal) (string, error) {
	kv, err := j.KV(ctx, "instance")
	if err != nil {
		return "", err
	}
	b := make([]byte, 4)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make an id for this installation: %w", err)
	}
	id, err := kv.Create(ctx, "id", []byte(hex.EncodeToString(b)))
	return string(id), err
}

// operationIDs numbers this process's writes. A random start keeps them apart from
// those before a restart.
func operationIDs(instance string) (func() string, error) {
	b := make([]byte, 4)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("make ids for writes: %w", err)
	}
	run, n := hex.EncodeToString(b), make(chan int, 1)
	n <- 0
	return func() string {
		i := <-n + 1
		n <- i
		return fmt.Sprintf("%s%s-%s-%d", opPrefix, instance, run, i)
	}, nil
}
