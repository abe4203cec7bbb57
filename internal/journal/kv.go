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
	store  jetstream.KeyValue
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
	done, err := j.begin()
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	defer done()
	if bucket == anchorBucket {
		return nil, fmt.Errorf("open bucket %s: %w: the journal keeps it for itself", bucket, ErrInvalid)
	}
	return j.kv(ctx, bucket)
}

func (j *Journal) kv(ctx context.Context, bucket string) (*KV, error) {
	if !bucketName.MatchString(bucket) {
		return nil, fmt.Errorf("open bucket %q: %w: a bucket's name has letters, digits, - and _", bucket, ErrInvalid)
	}
	j.bucketsMu.Lock()
	defer j.bucketsMu.Unlock()
	if kv := j.buckets[bucket]; kv != nil {
		return kv, nil
	}
	store, err := j.js.KeyValue(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		err = j.withCopies(1, func(copies int) (err error) {
			store, err = j.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
				Bucket:         bucket,
				Description:    "portcullis " + bucket,
				Storage:        jetstream.FileStorage,
				Replicas:       copies,
				LimitMarkerTTL: markerAge,
			})
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, cause(ctx, err))
	}
	kv := &KV{j: j, bucket: bucket, store: store}
	j.buckets[bucket] = kv
	return kv, nil
}

// Get returns the value of key, and whether there is one.
func (kv *KV) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	done, err := kv.j.begin()
	if err != nil {
		return nil, false, kv.wrap("get", key, err)
	}
	defer done()
	return kv.get(ctx, key)
}

func (kv *KV) get(ctx context.Context, key string) ([]byte, bool, error) {
	encoded, err := encodeKey(key)
	if err != nil {
		return nil, false, kv.wrap("get", key, err)
	}
	entry, err := kv.store.Get(ctx, encoded)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, kv.wrap("get", key, cause(ctx, err))
	}
	return entry.Value(), true, nil
}

// Put sets the value of key.
func (kv *KV) Put(ctx context.Context, key string, value []byte) error {
	done, err := kv.j.begin()
	if err != nil {
		return kv.wrap("put", key, err)
	}
	defer done()
	return kv.put(ctx, key, value)
}

func (kv *KV) put(ctx context.Context, key string, value []byte) error {
	encoded, err := encodeKey(key)
	if err != nil {
		return kv.wrap("put", key, err)
	}
	if limit := int(kv.j.conn.MaxPayload()) - headerRoom; len(value) > limit {
		return kv.wrap("put", key, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(value), limit))
	}
	if _, err := kv.store.Put(ctx, encoded, value); err != nil {
		return kv.wrap("put", key, cause(ctx, err))
	}
	return nil
}

// Delete removes key; one that is not there is no error.
func (kv *KV) Delete(ctx context.Context, key string) error {
	done, err := kv.j.begin()
	if err != nil {
		return kv.wrap("delete", key, err)
	}
	defer done()
	encoded, err := encodeKey(key)
	if err != nil {
		return kv.wrap("delete", key, err)
	}
	// Without a lifetime the marker of a deleted key would stay for ever.
	if err := kv.store.Purge(ctx, encoded, jetstream.PurgeTTL(markerAge)); err != nil {
		return kv.wrap("delete", key, cause(ctx, err))
	}
	return nil
}

// All returns every key and its value.
func (kv *KV) All(ctx context.Context) (map[string][]byte, error) {
	ctx, done, err := kv.j.beginRead(ctx)
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", kv.bucket, err)
	}
	defer done()
	watcher, err := kv.store.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", kv.bucket, cause(ctx, err))
	}
	defer func() { _ = watcher.Stop() }()
	all := map[string][]byte{}
	for {
		select {
		case entry, ok := <-watcher.Updates():
			if !ok {
				return nil, fmt.Errorf("read bucket %s: %w", kv.bucket, cause(ctx, errors.New("interrupted")))
			}
			if entry == nil { // the end of what was there
				return all, nil
			}
			key, err := decodeKey(entry.Key())
			if err != nil {
				return nil, fmt.Errorf("read bucket %s: %w", kv.bucket, err)
			}
			all[key] = entry.Value()
		case <-ctx.Done():
			return nil, fmt.Errorf("read bucket %s: %w", kv.bucket, context.Cause(ctx))
		}
	}
}

// PutJSON sets the value of key to doc as JSON.
func (kv *KV) PutJSON(ctx context.Context, key string, doc any) error {
	done, err := kv.j.begin()
	if err != nil {
		return kv.wrap("put", key, err)
	}
	defer done()
	return kv.putJSON(ctx, key, doc)
}

func (kv *KV) putJSON(ctx context.Context, key string, doc any) error {
	data, err := json.Marshal(doc)
	if err != nil {
		return kv.wrap("put", key, fmt.Errorf("%w: %w", ErrInvalid, err))
	}
	return kv.put(ctx, key, data)
}

// GetJSON decodes the value of key into doc, a pointer, and tells whether there is one; doc is left alone if not.
func (kv *KV) GetJSON(ctx context.Context, key string, doc any) (found bool, err error) {
	done, err := kv.j.begin()
	if err != nil {
		return false, kv.wrap("get", key, err)
	}
	defer done()
	return kv.getJSON(ctx, key, doc)
}

func (kv *KV) getJSON(ctx context.Context, key string, doc any) (bool, error) {
	data, found, err := kv.get(ctx, key)
	if err != nil || !found {
		return false, err
	}
	if err := json.Unmarshal(data, doc); err != nil {
		return false, kv.wrap("get", key, err)
	}
	return true, nil
}

func (kv *KV) wrap(doing, key string, err error) error {
	return fmt.Errorf("%s %q in bucket %s: %w", doing, shorten(key), kv.bucket, err)
}
