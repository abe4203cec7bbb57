package journal

import (
	"context"
	"time"
)

// AppendEvents is AppendBundle for tests of events with neither a clock nor a source.
func (j *Journal) AppendEvents(ctx context.Context, tenant string, arrived time.Time, raws [][]byte) (seq uint64, err error) {
	return j.AppendBundle(ctx, tenant, Bundle{Arrived: arrived, Events: raws})
}

// ReplayEvents is ReplayBundles from the stream's start, for those who need the events alone.
func (j *Journal) ReplayEvents(ctx context.Context, tenant string, since time.Time, fn func(seq uint64, raws [][]byte) error) error {
	return j.ReplayBundles(ctx, tenant, 0, since, func(b Bundle) error { return fn(b.Seq, b.Events) })
}
