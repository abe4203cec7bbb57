package journal

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Snapshots are objects of a JetStream object store, so that its tools can read them: chunks on a subject of their own for
// each upload, and one message that describes them, replaced as a whole. The client library's own upload sends that message
// without waiting for the chunks, which would replace a good snapshot by one with a hole when a chunk is refused; and its
// download waits for a chunk that is missing. So both are done here.

const (
	snapshotsBucket = "snapshots"
	snapshotsStream = "OBJ_" + snapshotsBucket
	chunkPrefix     = "$O." + snapshotsBucket + ".C."
	metaPrefix      = "$O." + snapshotsBucket + ".M."
	// chunkBytes fits the 1 MiB that a message may have in a cluster with defaults.
	chunkBytes = 512 << 10
	// chunksAhead is how many chunks are sent before the first is acknowledged.
	chunksAhead = 8
	// orphanAge is when chunks that no snapshot has are given up while some may be on their way, from here or from
	// another process of a cluster.
	orphanAge = time.Hour
	// maxSnapshotName is in bytes.
	maxSnapshotName = 512
)

// uploads are the chunks that this process knows of, by their id.
type uploads struct {
	mu      sync.Mutex
	inUse   map[string]int  // being sent, or read; they are no orphans
	gone    map[string]bool // to be removed
	cleaned time.Time       // when orphans of others were looked for
}

func (u *uploads) hold(id string) (release func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.inUse == nil {
		u.inUse = map[string]int{}
	}
	u.inUse[id]++
	return sync.OnceFunc(func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.inUse[id]--; u.inUse[id] == 0 {
			delete(u.inUse, id)
		}
	})
}

func (u *uploads) held() map[string]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.inUse)
}

func (u *uploads) drop(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone == nil {
		u.gone = map[string]bool{}
	}
	if id != "" {
		u.gone[id] = true
	}
}

// droppable lists what was dropped and is not in use.
func (u *uploads) droppable() (ids []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id := range u.gone {
		if u.inUse[id] == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

func (u *uploads) dropped(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.gone, id)
}

// cleaningDue tells whether orphans were not looked for in a while, and that they are now.
func (u *uploads) cleaningDue() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if time.Since(u.cleaned) < orphanAge {
		return false
	}
	u.cleaned = time.Now()
	return true
}

func (s *session) openSnapshots(ctx context.Context) error {
	fewest := 1
	if old, err := s.js.Stream(ctx, snapshotsStream); err == nil {
		fewest = old.CachedInfo().Config.Replicas
	}
	err := s.withCopies(fewest, func(copies int) error {
		_, err := s.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket:      snapshotsBucket,
			Description: description(snapshotsBucket),
			Storage:     jetstream.FileStorage,
			Replicas:    copies,
		})
		return err
	})
	if err == nil {
		s.snapshots, err = s.js.Stream(ctx, snapshotsStream)
	}
	if err != nil {
		return fmt.Errorf("make stream %s: %w", snapshotsStream, err)
	}
	return nil
}

func metaSubject(name string) (string, error) {
	if name == "" || len(name) > maxSnapshotName {
		return "", fmt.Errorf("%w: the name of a snapshot has 1 to %d bytes", ErrInvalid, maxSnapshotName)
	}
	return metaPrefix + base64.URLEncoding.EncodeToString([]byte(name)), nil
}

// PutSnapshot keeps what r has, to its end, under a name of 1 to 512 bytes, in place of what that name had. When it returns
// without an error the snapshot is durable. Until then, and after an error or a crash, the one before it is what GetSnapshot
// returns; both need room on the disk meanwhile. Errors: r's own, ErrFull, ErrReadOnlyStore, ErrInvalid, ErrClosed.
func (j *Journal) PutSnapshot(ctx context.Context, name string, r io.Reader) error {
	s, ctx, done, err := j.begin(ctx, writing)
	if err != nil {
		return fmt.Errorf("put snapshot %q: %w", shorten(name), err)
	}
	defer done()
	meta, err := metaSubject(name)
	if err != nil {
		return fmt.Errorf("put snapshot %q: %w", shorten(name), err)
	}
	id := nuid.Next()
	before, _, err := s.describe(ctx, meta)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return fmt.Errorf("put snapshot %q: %w", shorten(name), s.explain(ctx, err))
	}
	release := j.uploads.hold(id)
	described, err := s.upload(ctx, name, meta, id, r)
	release()
	err = s.explain(ctx, err)
	switch {
	case err == nil:
		j.uploads.drop(before.NUID)
	case !described:
		j.uploads.drop(id)
	default: // it may have become the snapshot, or become it yet; if not, its chunks are found to be orphans later
	}
	if s.failure() == nil {
		// Where ctx has ended the chunks that were sent are removed all the same.
		cleanCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
		defer cancel()
		if cleanErr := s.removeDropped(cleanCtx); cleanErr != nil {
			j.logger.Warn("chunks of old snapshots not removed", "err", cleanErr)
		}
	}
	if err != nil {
		return fmt.Errorf("put snapshot %q: %w", shorten(name), err)
	}
	return nil
}

// upload sends the chunks and, once all are stored, what describes them; described tells whether it came to that.
func (s *session) upload(ctx context.Context, name, meta, id string, r io.Reader) (described bool, err error) {
	size := min(chunkBytes, int(s.conn.MaxPayload())-headerRoom)
	info := jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(size)}},
		Bucket:     snapshotsBucket,
		NUID:       id,
	}
	digest := sha256.New()
	var sent []jetstream.PubAckFuture
	for {
		chunk := make([]byte, size)
		n, readErr := readFull(r, chunk)
		if readErr != nil && readErr != io.EOF {
			return false, readErr
		}
		if n > 0 {
			if len(sent) == chunksAhead {
				if err := acknowledged(ctx, sent[0]); err != nil {
					return false, err
				}
				sent = sent[1:]
			}
			digest.Write(chunk[:n])
			future, err := s.bulk.PublishMsgAsync(&nats.Msg{Subject: chunkPrefix + id, Data: chunk[:n]}, jetstream.WithExpectStream(snapshotsStream))
			if err != nil {
				return false, err
			}
			sent = append(sent, future)
			info.Chunks++
			info.Size += uint64(n)
		}
		if readErr != nil {
			break
		}
	}
	for _, future := range sent {
		if err := acknowledged(ctx, future); err != nil {
			return false, err
		}
	}
	info.Digest = jetstream.GetObjectDigestValue(digest)
	data, err := json.Marshal(info)
	if err != nil {
		return false, err
	}
	msg := nats.NewMsg(meta)
	msg.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	msg.Data = data
	_, err = s.bulk.PublishMsg(ctx, msg, jetstream.WithExpectStream(snapshotsStream))
	return true, err
}

// readFull is io.ReadFull, but that its error is r's own: io.ErrUnexpectedEOF from r is not the end of a snapshot.
func readFull(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

func acknowledged(ctx context.Context, future jetstream.PubAckFuture) error {
	select {
	case <-future.Ok():
		return nil
	case err := <-future.Err():
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// DeleteSnapshot removes a snapshot; one that is not there is no error.
func (j *Journal) DeleteSnapshot(ctx context.Context, name string) error {
	s, ctx, done, err := j.begin(ctx, writing)
	if err != nil {
		return fmt.Errorf("delete snapshot %q: %w", shorten(name), err)
	}
	defer done()
	if err := s.deleteSnapshot(ctx, name); err != nil {
		return fmt.Errorf("delete snapshot %q: %w", shorten(name), s.explain(ctx, err))
	}
	return nil
}

func (s *session) deleteSnapshot(ctx context.Context, name string) error {
	meta, err := metaSubject(name)
	if err != nil {
		return err
	}
	before, _, err := s.describe(ctx, meta)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if err := s.snapshots.Purge(ctx, jetstream.WithPurgeSubject(meta)); err != nil {
		return err
	}
	s.j.uploads.drop(before.NUID)
	return s.removeDropped(ctx)
}

// removeDropped removes the chunks of snapshots that were replaced or deleted, or not put to their end.
func (s *session) removeDropped(ctx context.Context) error {
	for _, id := range s.j.uploads.droppable() {
		if err := s.snapshots.Purge(ctx, jetstream.WithPurgeSubject(chunkPrefix+id)); err != nil {
			return fmt.Errorf("remove the chunks of an old snapshot: %w", err)
		}
		s.j.uploads.dropped(id)
	}
	if s.j.uploads.cleaningDue() {
		return s.removeOrphans(ctx, orphanAge)
	}
	return nil
}

// cleanSnapshots removes what a process left behind that was killed.
func (s *session) cleanSnapshots(ctx context.Context) error {
	if s.server == nil {
		return s.removeOrphans(ctx, orphanAge)
	}
	return s.removeOrphans(ctx, 0)
}

// removeOrphans removes the chunks, older than age, that no snapshot has.
func (s *session) removeOrphans(ctx context.Context, age time.Duration) error {
	// In this order nothing in progress is taken for an orphan: chunks listed here are in use, described, or neither.
	chunks, err := s.snapshots.Info(ctx, jetstream.WithSubjectFilter(chunkPrefix+">"))
	if err != nil {
		return fmt.Errorf("list the chunks of snapshots: %w", err)
	}
	if len(chunks.State.Subjects) == 0 {
		return nil
	}
	kept := map[string]bool{}
	for id := range s.j.uploads.held() {
		kept[id] = true
	}
	metas, err := s.snapshots.Info(ctx, jetstream.WithSubjectFilter(metaPrefix+">"))
	if err != nil {
		return fmt.Errorf("list the snapshots: %w", err)
	}
	for meta := range metas.State.Subjects {
		info, found, err := s.describe(ctx, meta)
		if errors.Is(err, ErrDamaged) {
			continue
		}
		if err != nil {
			return err
		}
		if found {
			kept[info.NUID] = true
		}
	}
	for chunk := range chunks.State.Subjects {
		id := strings.TrimPrefix(chunk, chunkPrefix)
		if kept[id] {
			continue
		}
		if age > 0 {
			last, err := s.snapshots.GetLastMsgForSubject(ctx, chunk)
			if err != nil || time.Since(last.Time) < age {
				continue
			}
		}
		if err := s.snapshots.Purge(ctx, jetstream.WithPurgeSubject(chunk)); err != nil {
			return fmt.Errorf("remove the chunks of an old snapshot: %w", err)
		}
	}
	return nil
}

// describe reads the message that describes a snapshot.
func (s *session) describe(ctx context.Context, meta string) (info jetstream.ObjectInfo, found bool, err error) {
	msg, err := s.snapshots.GetLastMsgForSubject(ctx, meta)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return info, false, nil
	}
	if err != nil {
		return info, false, fmt.Errorf("read what describes it: %w", err)
	}
	if err := json.Unmarshal(msg.Data, &info); err != nil || info.NUID == "" || strings.ContainsAny(info.NUID, ".*> ") {
		return info, false, fmt.Errorf("%w: what describes it cannot be read", ErrDamaged)
	}
	return info, !info.Deleted, nil
}
