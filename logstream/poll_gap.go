package logstream

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

// Gap is a span of which logs may have been missed.
type Gap struct {
	From   time.Time // what is before it was read; zero if that is unknown
	To     time.Time // reading went on from here
	Reason string    // for people
}

const (
	refusalsBeforeReset = 3 // answers of 400 in a row until the cursor counts as lost
	// shortestRetention is the least that any plan keeps logs.
	shortestRetention = 24 * time.Hour
)

// outlived tells of a saved cursor that is older than the logs are kept.
func (p *Poll) outlived() {
	at, ok := logIDTime(p.cursor)
	oldest := p.opts.Now().Add(-p.opts.Retention).UTC()
	if p.opts.Retention <= 0 || !ok || !at.Before(oldest) {
		return
	}
	p.missed(Gap{From: at, To: oldest, Reason: fmt.Sprintf(
		"the last log read is older than the %s that the tenant keeps logs; those in between are gone", days(p.opts.Retention))})
}

// reset replaces a cursor that is refused by the oldest place from which
// nothing is missed, as far as there is one. It leaves the cursor when the API
// refuses the search for it, too: then the cursor is not what is wrong.
func (p *Poll) reset(ctx context.Context) error {
	a, err := p.get(ctx, p.url(url.Values{"sort": {"date:1"}, "per_page": {"1"}}))
	if err != nil {
		return ctx.Err()
	}
	pg, err := p.parse(a, "")
	if err != nil {
		return nil
	}
	oldest := pg.now // of an empty log
	if len(pg.events) > 0 && pg.events[0].Clock != Unknown {
		oldest = pg.events[0].Time
	}
	read, _ := logIDTime(p.cursor)
	if p.current.After(read) {
		read = p.current
	}
	start := oldest
	if read.After(oldest) {
		start = read.Add(-max(p.opts.Overlap, time.Minute)) // repeats some rather than miss one
		if start.Before(oldest) {
			start = oldest
		}
	}
	cursor := CursorAt(start)
	if cursor == p.cursor {
		return nil
	}
	if _, err := p.get(ctx, p.after(cursor)); err != nil {
		return ctx.Err()
	}
	p.log.Warn("the saved cursor is refused, going on from another", "tenant", p.base.Host, "cursor", p.cursor, "new_cursor", cursor)
	kept := p.opts.Retention
	if kept <= 0 {
		kept = shortestRetention
	}
	// Nothing can have expired that is younger than logs are kept.
	if oldest.After(read) && (pg.now.Before(read) || pg.now.Sub(read) > kept) {
		p.missed(Gap{From: read, To: oldest.UTC(), Reason: "the place in the logs read last has expired; logs between it and the oldest one left may be gone"})
	}
	p.next, p.refusals = "", 0
	return p.save(ctx, cursor)
}

func (p *Poll) missed(g Gap) {
	p.log.Warn("logs may have been missed", "tenant", p.base.Host, "from", g.From, "to", g.To, "err", g.Reason)
	if p.opts.Gap != nil {
		p.opts.Gap(g)
	}
}

// days returns "10 days" where that is exact, else the duration.
func days(d time.Duration) string {
	switch n := d / (24 * time.Hour); {
	case d%(24*time.Hour) != 0:
		return d.String()
	case n == 1:
		return "day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}
