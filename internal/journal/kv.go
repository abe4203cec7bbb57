package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// KV is one bucket of keys and values; a Put that returned without an error is durable.
//
// A key is any string, the empty one too, of up to 2,048 bytes as encoded. Letters, digits, "-", "_" and "/" stand for
// themselves; every other byte is "=" and two upper-case hexadecimal digits; the empty key is "=". So "acme.eu" is
// stored as "acme=2Eeu".
type KV struct {
	j      *Journal
	bucket string
}

const (
	maxKey = 2048
	// markerAge is how long a deleted key leaves a trace, for those who watch the bucket from outside.
	markerAge = time.Hour
)

var bucketName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// KV returns the bucket, and makes it if it is missing. Names have letters, digits, "-" and "_"; "journal" is the
// journal's own.
func (j *Journal) KV(ctx context.Context, bucket string) (*KV, error) {
	s, ctx, done, err := j.begin(ctx, reading)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	defer done()
	if bucket == anchorBucket {
		return nil, fmt.Errorf("open bucket %s: %w: the journal keeps it for itself", bucket, ErrInvalid)
	}
	if !bucketName.MatchString(bucket) {
		return nil, fmt.Errorf("open bucket %q: %w: a bucket's name has letters, digits, - and _", bucket, ErrInvalid)
	}
	if _, err := s.bucket(ctx, bucket); err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, s.explain(ctx, err))
	}
	return &KV{j: j, bucket: bucket}, nil
}

// bucket opens a bucket once in a session, and makes it if it is missing.
func (s *session) bucket(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	s.bucketsMu.Lock()
	defer s.bucketsMu.Unlock()
	if store := s.buckets[bucket]; store != nil {
		return store, nil
	}
	store, err := s.js.KeyValue(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		err = s.withCopies(1, func(copies int) (err error) {
			store, err = s.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
				Bucket:         bucket,
				Description:    description(bucket),
				Storage:        jetstream.FileStorage,
				Replicas:       copies,
				LimitMarkerTTL: markerAge,
			})
			return err
		})
	}
	if err == nil {
		s.buckets[bucket] = store
	}
	return store, err
}

// do runs an operation on one key, and says in its error what it was.
func (kv *KV) do(ctx context.Context, doing, key string, needs use, run func(context.Context, *session) error) error {
	s, ctx, done, err := kv.j.begin(ctx, needs)
	if err == nil {
		defer done()
		err = s.explain(ctx, run(ctx, s))
	}
	if err != nil {
		return fmt.Errorf("%s %q in bucket %s: %w", doing, shorten(key), kv.bucket, err)
	}
	return nil
}

// Get returns the value of key, and whether there is one.
func (kv *KV) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	err = kv.do(ctx, "get", key, reading, func(ctx context.Context, s *session) (err error) {
		value, found, err = s.get(ctx, kv.bucket, key)
		return err
	})
	return value, found, err
}

// Put sets the value of key.
func (kv *KV) Put(ctx context.Context, key string, value []byte) error {
	return kv.do(ctx, "put", key, writing, func(ctx context.Context, s *session) error {
		return s.put(ctx, kv.bucket, key, value)
	})
}

// Create sets the value of key if it has none, and returns the one it has then. Of several processes that create it at once
// all get the same.
func (kv *KV) Create(ctx context.Context, key string, value []byte) (has []byte, err error) {
	err = kv.do(ctx, "create", key, writing, func(ctx context.Context, s *session) error {
		encoded, err := encodeKey(key)
		if err != nil {
			return err
		}
		store, err := s.bucket(ctx, kv.bucket)
		if err != nil {
			return err
		}
		for has = nil; has == nil; {
			old, found, err := s.get(ctx, kv.bucket, key)
			if err != nil {
				return err
			}
			if found {
				has = old
				return nil
			}
			if _, err = store.Create(ctx, encoded, value); err == nil {
				has = value
			} else if !errors.Is(err, jetstream.ErrKeyExists) {
				return err
			}
		}
		return nil
	})
	return has, err
}

// Delete removes key; one that is not there is no error.
func (kv *KV) Delete(ctx context.Context, key string) error {
	return kv.do(ctx, "delete", key, writing, func(ctx context.Context, s *session) error {
		encoded, err := encodeKey(key)
		if err != nil {
			return err
		}
		store, err := s.bucket(ctx, kv.bucket)
		if err != nil {
			return err
		}
		// Without a lifetime the marker of a deleted key would stay for ever.
		return store.Purge(ctx, encoded, jetstream.PurgeTTL(markerAge))
	})
}

// PutJSON sets the value of key to doc as JSON.
func (kv *KV) PutJSON(ctx context.Context, key string, doc any) error {
	return kv.do(ctx, "put", key, writing, func(ctx context.Context, s *session) error {
		return s.putJSON(ctx, kv.bucket, key, doc)
	})
}

// GetJSON decodes the value of key into doc, a pointer, and tells whether there is one; doc is left alone if not.
func (kv *KV) GetJSON(ctx context.Context, key string, doc any) (found bool, err error) {
	err = kv.do(ctx, "get", key, reading, func(ctx context.Context, s *session) (err error) {
		found, err = s.getJSON(ctx, kv.bucket, key, doc)
		return err
	})
	return found, err
}

// All returns every key and its value.
func (kv *KV) All(ctx context.Context) (map[string][]byte, error) {
	s, ctx, done, err := kv.j.beginRead(ctx)
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", kv.bucket, err)
	}
	defer done()
	var all map[string][]byte
	store, err := s.bucket(ctx, kv.bucket)
	if err == nil {
		all, err = readAll(ctx, store)
	}
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", kv.bucket, s.explain(ctx, err))
	}
	return all, nil
}

func readAll(ctx context.Context, store jetstream.KeyValue) (map[string][]byte, error) {
	watcher, err := store.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer func() { _ = watcher.Stop() }()
	all := map[string][]byte{}
	for {
		select {
		case entry, ok := <-watcher.Updates():
			if !ok {
				return nil, errors.New("interrupted")
			}
			if entry == nil { // the end of what was there
				return all, nil
			}
			key, err := decodeKey(entry.Key())
			if err != nil {
				return nil, err
			}
			all[key] = entry.Value()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *session) get(ctx context.Context, bucket, key string) ([]byte, bool, error) {
	encoded, err := encodeKey(key)
	if err != nil {
		return nil, false, err
	}
	store, err := s.bucket(ctx, bucket)
	if err != nil {
		return nil, false, err
	}
	entry, err := store.Get(ctx, encoded)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return entry.Value(), true, nil
}

func (s *session) put(ctx context.Context, bucket, key string, value []byte) error {
	encoded, err := encodeKey(key)
	if err != nil {
		return err
	}
	if limit := int(s.conn.MaxPayload()) - headerRoom; len(value) > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(value), limit)
	}
	store, err := s.bucket(ctx, bucket)
	if err != nil {
		return err
	}
	_, err = store.Put(ctx, encoded, value)
	return err
}

func (s *session) putJSON(ctx context.Context, bucket, key string, doc any) error {
	data, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return s.put(ctx, bucket, key, data)
}

func (s *session) getJSON(ctx context.Context, bucket, key string, doc any) (bool, error) {
	data, found, err := s.get(ctx, bucket, key)
	if err != nil || !found {
		return false, err
	}
	return true, json.Unmarshal(data, doc)
}
