package logstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// PollOptions configures a [Poll]; the zero value of every field works.
type PollOptions struct {
	// Every is the wait after a page that was not full; 2s if zero. While nothing
	// new comes it grows step by step to five times that.
	Every time.Duration
	Take  int // entries a page, 1 to 100; 100 if zero or more

	// Start is where to begin when the store has no cursor: "now" (also ""),
	// "beginning", an RFC 3339 time, or a log_id to go on after.
	Start string

	// IndexLag is how long Auth0 may take to index an event. It is taken off the
	// answer's time to give [Batch].CaughtUp; 10s if zero, none if negative.
	IndexLag time.Duration

	// Overlap is how far back the logs are read again for entries that took a
	// place behind the cursor after it had passed; 2m if zero, none if negative.
	// OverlapEvery is how often, at most ten pages each time; 30s if not positive.
	Overlap      time.Duration
	OverlapEvery time.Duration

	// Retention is how long the tenant's plan keeps logs; 0 if unknown. A saved
	// cursor older than that is told through Gap.
	Retention time.Duration

	Gap    func(Gap)        // told when logs may have been missed; nil drops it
	Reject func(Reject)     // told of entries that are not objects; nil drops it
	Status func(PollStatus) // told of each change of state; nil drops it
	Logger *slog.Logger     // discards if nil
	Now    func() time.Time // used where an answer has no Date; time.Now if nil
}

// PollStatus says whether polling works. It changes when that does, or when
// the kind of failure does; repeated failures of one kind are one state.
type PollStatus struct {
	OK     bool
	Reason string    // why not, with what to do about it; "" when OK
	Since  time.Time // when this state began
}

// Poll reads a tenant's logs by checkpoint from the Management API.
//
// After each page that was delivered its last log_id is saved as the cursor,
// so a crash repeats a page and never skips one. Failures are retried without
// end, at most a minute apart, and told through Status. A cursor that Auth0 no
// longer takes is replaced by the oldest place there is, and told through Gap.
type Poll struct {
	hc    *http.Client
	base  *url.URL
	store CursorStore
	opts  PollOptions
	log   *slog.Logger

	cursor   string
	next     string    // URL of the next page as the API gave it; "" to build it from cursor
	maxPage  int64     // bytes
	take     int       // less than opts.Take while pages are too large
	attempts int       // failures in a row
	refusals int       // of these the last ones that were a 400
	idle     int       // pages in a row without anything
	current  time.Time // when the logs were last read to their end; zero if never
	overlap  overlap
	status   PollStatus
	kind     string // of failure, to tell changes; "" before the first answer
	rejected map[uint64]struct{}
}

// NewPoll returns a source over the tenant at baseURL ("https://tenant.example").
// hc must add the token; it is used with redirects off, as following one could
// carry the token elsewhere. NewPoll returns an error when baseURL or
// opts.Start makes no sense.
func NewPoll(hc *http.Client, baseURL string, store CursorStore, opts PollOptions) (*Poll, error) {
	base, err := url.Parse(strings.TrimRight(baseURL, "/"))
	if err != nil {
		return nil, fmt.Errorf("poll logs: base URL: %w", err)
	}
	if base.Scheme != "https" && base.Scheme != "http" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("poll logs: base URL %s must be like https://tenant.eu.auth0.com", base.Redacted())
	}
	base.Path = strings.TrimSuffix(base.Path, "/api/v2")
	if opts.Every <= 0 {
		opts.Every = 2 * time.Second
	}
	if opts.Take <= 0 || opts.Take > 100 {
		opts.Take = 100
	}
	if opts.IndexLag == 0 {
		opts.IndexLag = 10 * time.Second
	}
	if opts.Overlap == 0 {
		opts.Overlap = 2 * time.Minute
	}
	if opts.OverlapEvery <= 0 {
		opts.OverlapEvery = 30 * time.Second
	}
	if opts.Start == "" {
		opts.Start = startNow
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Start != startNow {
		if _, err := startCursor(opts.Start); err != nil {
			return nil, fmt.Errorf("poll logs: %w", err)
		}
	}
	client := *hc
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Poll{
		hc: &client, base: base, store: store, opts: opts, log: opts.Logger,
		take: opts.Take, maxPage: maxPage, rejected: map[uint64]struct{}{},
	}, nil
}

const (
	startNow       = "now"
	startBeginning = "beginning"
)

// startCursor returns the cursor for every start but "now".
func startCursor(start string) (string, error) {
	if start == startBeginning {
		// Auth0 has kept logs since 2013.
		return CursorAt(time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)), nil
	}
	if _, ok := logIDTime(start); ok {
		return start, nil
	}
	t, err := time.Parse(time.RFC3339, start)
	if err != nil {
		return "", fmt.Errorf("start %q is none of now, beginning, a time like 2026-01-05T10:15:30Z, a log_id", start)
	}
	return CursorAt(t), nil
}

// Run polls until ctx ends and then returns nil. It returns an error when the
// store's cursor cannot be read, is no cursor or cannot be saved, and the error
// of deliver, wrapped, with the cursor unmoved. Run may be called again after
// that. Deliver is called with no events, too, when there is nothing new.
func (p *Poll) Run(ctx context.Context, deliver Deliver) error {
	err := p.run(ctx, deliver)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (p *Poll) run(ctx context.Context, deliver Deliver) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	for {
		pg, err := p.fetch(ctx)
		if err != nil {
			if err := p.failed(ctx, err); err != nil {
				return err
			}
			if p.refusals >= refusalsBeforeReset {
				if err := p.reset(ctx); err != nil {
					return err
				}
			}
			continue
		}
		p.works()
		b := Batch{Events: pg.events, Cursor: pg.cursor}
		if !pg.full {
			b.CaughtUp = pg.time
		}
		if err := deliver(ctx, b); err != nil {
			return fmt.Errorf("deliver logs after %s: %w", p.cursor, err)
		}
		if err := p.move(ctx, pg); err != nil {
			return err
		}
		p.overlap.delivered(pg)
		if !pg.full {
			p.current = pg.time
			if err := p.reread(ctx, pg, deliver); err != nil {
				return err
			}
		}
		if err := sleep(ctx, p.pause(pg)); err != nil {
			return err
		}
	}
}

// begin finds the cursor to start from: the store's, or what Start says.
func (p *Poll) begin(ctx context.Context) error {
	p.next, p.attempts, p.refusals, p.idle = "", 0, 0, 0
	p.overlap = newOverlap()
	cursor, err := p.store.LoadCursor(ctx)
	if err != nil {
		return fmt.Errorf("poll logs: load the cursor: %w", err)
	}
	if err := checkCursor(cursor); err != nil {
		return fmt.Errorf("poll logs: stored %w", err)
	}
	if cursor != "" {
		p.cursor = cursor
		p.outlived()
		return nil
	}
	for cursor == "" {
		if p.opts.Start != startNow {
			cursor, err = startCursor(p.opts.Start)
		} else {
			cursor, err = p.newest(ctx)
		}
		if err != nil {
			if err := p.failed(ctx, err); err != nil {
				return err
			}
		}
	}
	p.overlap.floor = cursor
	// Saved at once: a restart before the first event must not skip to a later now.
	return p.save(ctx, cursor)
}

// newest returns the log_id of the latest event, or a made one when there is none.
func (p *Poll) newest(ctx context.Context) (string, error) {
	a, err := p.get(ctx, p.url(url.Values{"sort": {"date:-1"}, "per_page": {"1"}}))
	if err != nil {
		return "", err
	}
	pg, err := p.parse(a, "")
	if err != nil {
		return "", err
	}
	p.report(pg.rejects)
	p.works()
	if pg.cursor != "" {
		return pg.cursor, nil
	}
	return CursorAt(pg.time), nil
}

// move makes the page's end the place to go on from.
func (p *Poll) move(ctx context.Context, pg *page) error {
	p.next = pg.next
	if p.take != p.opts.Take { // the page that was too large is past
		p.take, p.next = p.opts.Take, ""
	}
	if pg.cursor == p.cursor {
		return nil
	}
	clear(p.rejected)
	return p.save(ctx, pg.cursor)
}

func (p *Poll) save(ctx context.Context, cursor string) error {
	if err := p.store.SaveCursor(ctx, cursor); err != nil {
		return fmt.Errorf("poll logs: save the cursor %s: %w", cursor, err)
	}
	p.cursor = cursor
	return nil
}

// maxSlower is how many times Every the wait grows to while nothing comes.
const maxSlower = 5

// pause returns how long to wait after a delivered page. A full one is
// followed at once, unless the API's quota runs low: responses need it more.
func (p *Poll) pause(pg *page) time.Duration {
	if p.idle++; len(pg.events) > 0 {
		p.idle = 0
	}
	wait := p.opts.Every * time.Duration(min(max(p.idle, 1), maxSlower))
	switch {
	case pg.scarce:
		return max(wait, 2*p.opts.Every)
	case pg.full:
		return 0
	}
	return wait
}

// failed notes a failure and waits before the next try; it returns an error
// when ctx ends.
func (p *Poll) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f := &failure{kind: "other", reason: err.Error()}
	errors.As(err, &f)
	if p.kind != f.kind {
		p.kind = f.kind
		p.change(PollStatus{Reason: f.reason, Since: p.opts.Now()})
		p.log.Warn("polling logs fails", "tenant", p.base.Host, "err", f.reason, "cursor", p.cursor)
	}
	wait := f.wait
	if wait == 0 {
		wait = backoff(p.attempts)
	}
	p.attempts++
	if p.refusals++; f.kind != cursorRefused {
		p.refusals = 0
	}
	return sleep(ctx, wait)
}

const working = "ok"

func (p *Poll) works() {
	p.attempts, p.refusals = 0, 0
	if p.kind == working {
		return
	}
	if p.kind != "" {
		p.log.Info("polling logs works again", "tenant", p.base.Host, "failed_since", p.status.Since)
	}
	p.kind = working
	p.change(PollStatus{OK: true, Since: p.opts.Now()})
}

func (p *Poll) change(s PollStatus) {
	p.status = s
	if p.opts.Status != nil {
		p.opts.Status(s)
	}
}
