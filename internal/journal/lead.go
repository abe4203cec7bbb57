package journal

import (
	"context"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Reading "since" enters the stream by the time at which messages were stored, and a message that arrived since then was
// not stored earlier, except where a clock runs ahead. By how much any did is kept in the anchors' bucket before the first
// such message is written: as the number of bits of the seconds, one key each, so that no process overwrites another's.

const (
	leadPrefix = "lead-"
	// clockSlack is by how much clocks may differ without a note: between the machines of a cluster, or one before and
	// after it was set.
	clockSlack = 5 * time.Minute
	// maxLeadBits is where a lead is so long that reading begins at the stream's start.
	maxLeadBits = 32
)

// leads is what this process knows to be noted.
type leads struct {
	mu    sync.Mutex
	noted int // bits of the greatest lead
}

// noteLead remembers that a bundle arrives by lead later than it is stored.
func (s *session) noteLead(ctx context.Context, lead time.Duration) error {
	if lead <= clockSlack {
		return nil
	}
	leads := &s.j.leads
	leads.mu.Lock()
	defer leads.mu.Unlock()
	n := bits.Len64(uint64(lead/time.Second) + 1)
	if n <= leads.noted {
		return nil
	}
	if err := s.putJSON(ctx, anchorBucket, fmt.Sprint(leadPrefix, n), true); err != nil {
		return err
	}
	leads.noted = n
	return nil
}

// storedSince is the earliest time at which a bundle that arrived at since or later can have been stored; zero if that is
// not known.
func (s *session) storedSince(ctx context.Context, since time.Time) (time.Time, error) {
	if since.IsZero() {
		return since, nil
	}
	store, err := s.bucket(ctx, anchorBucket)
	if err != nil {
		return time.Time{}, err
	}
	all, err := readAll(ctx, store)
	if err != nil {
		return time.Time{}, err
	}
	greatest := 0
	for key := range all {
		if digits, ok := strings.CutPrefix(key, leadPrefix); ok {
			n, err := strconv.Atoi(digits)
			if err != nil {
				return time.Time{}, fmt.Errorf("key %q in bucket %s: %w", key, anchorBucket, err)
			}
			greatest = max(greatest, n)
		}
	}
	if greatest > maxLeadBits {
		return time.Time{}, nil
	}
	return since.Add(-clockSlack - time.Duration(1<<greatest-1)*time.Second), nil
}
