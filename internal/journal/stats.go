package journal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// StreamStats is how much one stream holds.
type StreamStats struct {
	// Name is "events", "findings", "deeds", "OBJ_snapshots", or "KV_" and the name of a bucket.
	Name string
	// Messages counts bundles, findings, deeds, chunks of snapshots, or keys.
	Messages uint64
	// Bytes is their size in the files, once for a cluster too.
	Bytes uint64
	// First and Last are when the oldest and the newest message were stored; zero while there are none.
	First, Last time.Time
}

// Stats returns the sizes of all streams of the journal, by name.
func (j *Journal) Stats(ctx context.Context) ([]StreamStats, error) {
	s, ctx, done, err := j.beginRead(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the sizes of the store: %w", err)
	}
	defer done()
	var all []StreamStats
	lister := s.js.ListStreams(ctx)
	for info := range lister.Info() {
		if !strings.HasPrefix(info.Config.Description, ownDescription) {
			continue
		}
		stats := StreamStats{Name: info.Config.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes}
		if stats.Messages > 0 {
			stats.First, stats.Last = info.State.FirstTime, info.State.LastTime
		}
		all = append(all, stats)
	}
	if err := lister.Err(); err != nil {
		return nil, fmt.Errorf("read the sizes of the store: %w", s.explain(ctx, err))
	}
	slices.SortFunc(all, func(a, b StreamStats) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
