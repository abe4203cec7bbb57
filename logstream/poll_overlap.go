package logstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	rereadPages = 10      // pages one re-read costs at most
	recentIDs   = 100_000 // remembered at most, 1 to 2 MB
)

// An overlap is what a [Poll] keeps for finding entries that became visible
// behind its cursor: Auth0 indexes logs out of order.
type overlap struct {
	recent *Dedupe   // what was delivered lately, by ID
	done   time.Time // up to when the last re-read was due, by the server's clock
	floor  string    // where reading began: what is before it was not asked for
	off    bool      // made-up cursors are refused
}

func newOverlap() overlap { return overlap{recent: NewDedupe(recentIDs)} }

// delivered remembers a page.
func (o *overlap) delivered(pg *page) {
	for i := range pg.events {
		o.recent.Seen(pg.events[i].ID)
	}
	for _, r := range pg.rejects {
		o.recent.Seen(rejectID(r))
	}
}

// rejectID is what a reject is remembered by; no event's ID has a newline.
func rejectID(r Reject) string { return "reject\n" + string(r.Raw) }

// reread reads the last Overlap of the logs again, up to the cursor, when that
// is due, and delivers what was not delivered before. The cursor stays. A
// re-read that fails is left for the next one; the tail tells of failures.
func (p *Poll) reread(ctx context.Context, tail *page, deliver Deliver) error {
	from, due := p.rereadFrom(tail)
	if !due {
		return nil
	}
	next := ""
	for range rereadPages {
		pg, err := p.fetchAgain(ctx, from, next)
		if err != nil {
			return p.rereadFailed(ctx, err)
		}
		events := pg.events[:0]
		end := false
		for _, e := range pg.events {
			if end = end || e.ID == p.cursor || beyond(e.ID, p.cursor); end {
				break
			}
			if (p.overlap.floor == "" || beyond(e.ID, p.overlap.floor)) && !p.overlap.recent.Seen(e.ID) {
				events = append(events, e)
			}
		}
		for _, r := range pg.rejects {
			if !p.overlap.recent.Seen(rejectID(r)) {
				p.report([]Reject{r})
			}
		}
		if len(events) > 0 {
			p.log.Debug("found late logs behind the cursor", "tenant", p.base.Host, "events", len(events))
			if err := deliver(ctx, Batch{Events: events, Cursor: p.cursor}); err != nil {
				return fmt.Errorf("deliver late logs before %s: %w", p.cursor, err)
			}
		}
		if end || !pg.full || pg.scarce {
			return nil
		}
		from, next = pg.cursor, pg.next
	}
	return nil
}

// rereadFrom returns where a re-read begins, and whether one is due.
func (p *Poll) rereadFrom(tail *page) (from string, due bool) {
	o := &p.overlap
	if p.opts.Overlap < 0 || o.off {
		return "", false
	}
	since := tail.now.Sub(o.done)
	if o.done.IsZero() || since < 0 { // the first page, or a server's clock set back
		o.done = tail.now
		return "", false
	}
	if since < p.opts.OverlapEvery || tail.scarce {
		return "", false
	}
	// From where the last one was due: so each entry is looked for until it is
	// Overlap old, also when re-reads were left out.
	start := o.done.Add(p.opts.OverlapEvery - p.opts.Overlap)
	o.done = tail.now
	if from = CursorAt(start); o.floor != "" && beyond(o.floor, from) {
		from = o.floor
	}
	if at, ok := logIDTime(p.cursor); ok && !start.Before(at) {
		return "", false // the cursor is behind all that
	}
	return from, true
}

// fetchAgain gets a page after some cursor, or the page at next.
func (p *Poll) fetchAgain(ctx context.Context, from, next string) (*page, error) {
	if next == "" {
		next = p.after(from)
	}
	a, err := p.get(ctx, next)
	if err != nil {
		return nil, err
	}
	return p.parse(a, from)
}

// rereadFailed waits as long as a rate limit asks for, and gives re-reads up
// when their cursors are refused.
func (p *Poll) rereadFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var f *failure
	if !errors.As(err, &f) {
		return nil
	}
	if f.kind == cursorRefused {
		p.overlap.off = true
		p.log.Warn("logs that arrive late are no longer looked for, as the tenant refuses cursors made from a time", "tenant", p.base.Host)
		return nil
	}
	p.log.Debug("re-reading logs failed", "tenant", p.base.Host, "err", f.reason)
	return sleep(ctx, f.wait)
}

// beyond reports whether id surely sorts after other. Within one millisecond
// nothing is sure, as the length of the sequence number varies.
func beyond(id, other string) bool {
	if len(id) < logIDStamp || len(other) < logIDStamp || !strings.HasPrefix(id, logIDPrefix) || !strings.HasPrefix(other, logIDPrefix) {
		return false
	}
	if a, b := id[:logIDStamp], other[:logIDStamp]; a != b {
		return a > b
	}
	return len(id) == len(other) && id > other
}
