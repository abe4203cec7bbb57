package journal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Deeds are chained: each carries the hash of the one before it, over all tenants, and its own over everything it says.
// Changing, removing or inserting one breaks the chain from there on. What a chain alone cannot show is that its end was
// cut off; the anchor does, see anchor.go.

// link is a deed's place in the chain. The zero value stands before the first.
type link struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// chain is the end of the chain as this process knows it.
type chain struct {
	mu    sync.Mutex
	known bool
	last  link
}

// chainAttempts bounds how often an append starts over because another process of a cluster was faster.
const chainAttempts = 20

// hash covers every field but Hash itself, each with its length so that no two records read alike.
func (r record) hash() string {
	h := sha256.New()
	for _, field := range []string{"portcullis deed 1", r.Prev, r.At.Format(time.RFC3339Nano), r.Tenant, string(r.Doc)} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(field)))
		h.Write(length[:])
		h.Write([]byte(field))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// recordIDsKept is how long a finding or a deed is recognised by its id.
const recordIDsKept = 7 * 24 * time.Hour

// AppendDeed writes one deed, any value that encoding/json can write, at the end of the chain. When it returns without an
// error the deed is durable, and seq its position. After an error it may have been written or not; the chain holds
// either way.
//
// Unless id is empty, the deed is written only if the tenant has none of that id from the last seven days; seq is the
// position of that one otherwise. So who does not know whether a deed was written, after an error or a crash, appends it
// again.
func (j *Journal) AppendDeed(ctx context.Context, tenant, id string, doc any) (seq uint64, err error) {
	s, ctx, done, err := j.begin(ctx, writing)
	if err != nil {
		return 0, fmt.Errorf("append a deed of %s: %w", tenant, err)
	}
	defer done()
	rec, err := newRecord(tenant, doc)
	if err != nil {
		return 0, fmt.Errorf("append a deed of %s: %w", tenant, err)
	}
	seq, err = s.chainOn(ctx, rec, id)
	if err != nil {
		return 0, fmt.Errorf("append a deed of %s: %w", tenant, s.explain(ctx, err))
	}
	return seq, nil
}

func (s *session) chainOn(ctx context.Context, rec record, id string) (uint64, error) {
	var known []jetstream.PublishOpt
	if id != "" {
		known = append(known, recordID(rec.Tenant, id))
	}
	chain := &s.j.chain
	chain.mu.Lock()
	defer chain.mu.Unlock()
	for attempt := 1; ; attempt++ {
		if !chain.known {
			last, err := s.lastLink(ctx)
			if err != nil {
				return 0, err
			}
			chain.last, chain.known = last, true
		}
		rec.Prev = chain.last.Hash
		rec.Hash = rec.hash()
		ack, err := s.publish(ctx, deedsStream, rec, append(known, jetstream.WithExpectLastSequence(chain.last.Seq))...)
		if err == nil && ack.Duplicate {
			return ack.Sequence, nil
		}
		if err == nil {
			chain.last = link{Seq: ack.Sequence, Hash: rec.Hash}
			s.anchor(ctx, deedsStream, chain.last)
			return ack.Sequence, nil
		}
		// Whatever happened to this one, where the chain ends has to be read again.
		chain.known = false
		if !overtaken(err) || attempt == chainAttempts {
			return 0, err
		}
	}
}

func overtaken(err error) bool {
	var apiErr *jetstream.APIError
	return errors.As(err, &apiErr) && (apiErr.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		apiErr.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// recordID makes the store recognise a record of a tenant.
func recordID(tenant, id string) jetstream.PublishOpt {
	sum := sha256.Sum256([]byte(tenant + "\x00" + id))
	return jetstream.WithMsgID(hex.EncodeToString(sum[:16]))
}

// lastLink reads where the chain ends.
func (s *session) lastLink(ctx context.Context) (link, error) {
	info, err := s.deeds.Info(ctx)
	if err != nil {
		return link{}, err
	}
	if info.State.LastSeq == 0 {
		return link{}, nil
	}
	last, err := s.linkAt(ctx, info.State.LastSeq)
	if errors.Is(err, jetstream.ErrMsgNotFound) && info.State.FirstSeq > info.State.LastSeq {
		// All deeds are gone for their age; the chain goes on from the last of them.
		anchored, anchorErr := s.readAnchor(ctx, deedsStream)
		if anchorErr != nil {
			return link{}, anchorErr
		}
		if anchored.Seq == info.State.LastSeq {
			return anchored, nil
		}
	}
	return last, err
}

func (s *session) linkAt(ctx context.Context, seq uint64) (link, error) {
	msg, err := s.deeds.GetMsg(ctx, seq)
	if err != nil {
		return link{}, fmt.Errorf("deed %d: %w", seq, err)
	}
	var rec record
	if err := json.Unmarshal(msg.Data, &rec); err != nil {
		return link{}, fmt.Errorf("deed %d: %w", seq, err)
	}
	return link{Seq: seq, Hash: rec.Hash}, nil
}

// ReadDeeds calls fn with the deeds of one tenant, or of all if tenant is "", in the order in which they were appended, to
// what is the stream's end as it begins. at is when the deed was appended; doc is valid only during fn. It ends early
// with fn's error, ctx's, or ErrClosed. It does not verify the chain.
func (j *Journal) ReadDeeds(ctx context.Context, tenant string, fn func(seq uint64, at time.Time, doc json.RawMessage) error) error {
	return j.read(ctx, "read deeds", deedsStream, tenant, fn)
}

// VerifyDeeds reads all deeds and proves that they are those that were appended, in their order, with none missing. Where
// Options.MaxDeedsAge or MaxDeedsBytes is or was set the oldest may be gone, and it proves the rest. An error that is ErrChainBroken names
// the first deed that is not what was appended.
func (j *Journal) VerifyDeeds(ctx context.Context) error {
	s, ctx, done, err := j.beginRead(ctx)
	if err != nil {
		return fmt.Errorf("verify deeds: %w", err)
	}
	defer done()
	// Read before the deeds, the anchor names one that they must contain, whatever is appended meanwhile.
	anchored, err := s.readAnchor(ctx, deedsStream)
	if err != nil {
		return fmt.Errorf("verify deeds: %w", s.explain(ctx, err))
	}
	bounded, err := s.deedsBounded(ctx)
	if err != nil {
		return fmt.Errorf("verify deeds: %w", s.explain(ctx, err))
	}
	var last link
	err = s.scan(ctx, s.deeds, span{subject: deedsStream + ".*"}, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if bounded && last.Seq == 0 && meta.Sequence.Stream > 1 {
			// The first that is left follows one that is gone.
			var rec record
			if json.Unmarshal(msg.Data(), &rec) == nil {
				last = link{Seq: meta.Sequence.Stream - 1, Hash: rec.Prev}
			}
		}
		next, err := follow(last, meta.Sequence.Stream, msg.Subject(), msg.Data())
		if err != nil {
			return err
		}
		if next.Seq == anchored.Seq && next.Hash != anchored.Hash {
			return fmt.Errorf("%w: deed %d is not the one that was written there", ErrChainBroken, next.Seq)
		}
		last = next
		return nil
	})
	if err == nil && last.Seq < anchored.Seq {
		var aged bool
		if bounded && last.Seq == 0 {
			aged, err = agedOut(ctx, s.deeds, anchored.Seq)
		}
		if err == nil && aged {
			return nil
		}
	}
	if err == nil && last.Seq < anchored.Seq {
		err = fmt.Errorf("%w: it ends with deed %d, and %d were written", ErrChainBroken, last.Seq, anchored.Seq)
	}
	if err != nil {
		return fmt.Errorf("verify deeds: %w", s.explain(ctx, err))
	}
	return nil
}

// follow checks one stored deed against the one before it and returns its link.
func follow(before link, seq uint64, subj string, data []byte) (link, error) {
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return link{}, fmt.Errorf("%w: deed %d cannot be read: %w", ErrChainBroken, seq, err)
	}
	switch {
	case seq != before.Seq+1:
		return link{}, fmt.Errorf("%w: deed %d is missing", ErrChainBroken, before.Seq+1)
	case rec.Prev != before.Hash:
		return link{}, fmt.Errorf("%w: deed %d does not follow the one before it", ErrChainBroken, seq)
	case rec.Hash != rec.hash() || subj != subject(deedsStream, rec.Tenant):
		return link{}, fmt.Errorf("%w: deed %d was changed after it was written", ErrChainBroken, seq)
	}
	return link{Seq: seq, Hash: rec.Hash}, nil
}
