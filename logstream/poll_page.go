package logstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	logsPath       = "/api/v2/logs"
	maxPage        = 32 << 20         // bytes of one page
	requestTimeout = 60 * time.Second // a tenant that hangs must not look like a quiet one
)

// An answer is a successful response, read to its end.
type answer struct {
	header http.Header
	body   []byte
	now    time.Time // the server's time
	time   time.Time // the same, less the index lag
}

// A page is a decoded answer.
type page struct {
	events  []Event
	rejects []Reject  // entries that are no events, not yet reported
	cursor  string    // after this page
	next    string    // URL of the page after it; "" to build it from cursor
	full    bool      // and there may be more
	scarce  bool      // little is left of the API's quota
	now     time.Time // as in answer
	time    time.Time
}

func (p *Poll) url(query url.Values) string {
	u := *p.base
	u.Path += logsPath
	u.RawQuery = query.Encode()
	return u.String()
}

// after returns the URL of the page after a cursor.
func (p *Poll) after(cursor string) string {
	return p.url(url.Values{"from": {cursor}, "take": {strconv.Itoa(p.take)}})
}

// fetch gets the page after the cursor.
func (p *Poll) fetch(ctx context.Context) (*page, error) {
	u := p.next
	if u == "" {
		u = p.after(p.cursor)
	}
	a, err := p.get(ctx, u)
	if err != nil {
		return nil, err
	}
	pg, err := p.parse(a, p.cursor)
	if err != nil {
		return nil, err
	}
	p.report(pg.rejects)
	if pg.next == "" && pg.cursor == p.cursor {
		pg.next = p.next
	}
	return pg, nil
}

// get makes one request and returns a *failure for everything but a 200.
func (p *Poll) get(ctx context.Context, u string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := p.hc.Do(req)
	if err != nil {
		return nil, networkFailure(err)
	}
	defer resp.Body.Close()
	now := p.opts.Now()
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now = t
	}
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return nil, p.refused(resp, body, now)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, p.maxPage+1))
	if err != nil {
		return nil, networkFailure(err)
	}
	if int64(len(body)) > p.maxPage {
		// Smaller pages pass the entries that made this one too large.
		f := &failure{kind: "oversize", reason: fmt.Sprintf("a page of %d logs is larger than %d MiB", p.take, p.maxPage>>20)}
		p.take, p.next = max(1, p.take/2), ""
		return nil, f
	}
	return &answer{header: resp.Header, body: body, now: now.UTC(), time: now.Add(-max(0, p.opts.IndexLag)).UTC()}, nil
}

// parse decodes the page after a cursor entry by entry: one bad entry costs no
// other.
func (p *Poll) parse(a *answer, cursor string) (*page, error) {
	body := bytes.TrimSpace(a.body)
	if len(body) == 0 || body[0] != '[' {
		return nil, &failure{kind: "format", reason: "the answer is not a list of logs; is there a proxy or a login page in between?"}
	}
	pg := &page{cursor: cursor, now: a.now, time: a.time, scarce: scarce(a.header)}
	entries, last := 0, ""
	d := decoders.Get().(*decoder)
	defer d.release()
	open := d.sequence(body, 0, &sink{
		stopAtClose: true,
		event: func(e Event) bool {
			entries++
			pg.events = append(pg.events, e)
			if !strings.HasPrefix(e.ID, hashedID) {
				last = e.ID
			}
			return true
		},
		fault: func(start, end int, err error) bool {
			entries++
			pg.rejects = append(pg.rejects, Reject{
				Source: p.base.String() + logsPath, Offset: int64(start), Size: int64(end - start),
				Reason: fmt.Errorf("entry %d after %s: %w", entries, cursor, err), Raw: firstBytes(body[start:end]),
			})
			return true
		},
	})
	if open == 1 {
		return nil, &failure{kind: "format", reason: "the answer breaks off in the middle of the list of logs"}
	}
	from := ""
	pg.next, from = p.nextLink(a.header)
	if last == "" {
		last = from
	}
	if checkCursor(last) != nil {
		return nil, &failure{kind: "format", reason: fmt.Sprintf("the last entry after %s has no log_id to go on from", cursor)}
	}
	if last != "" {
		pg.cursor = last
	} else if len(pg.events) > 0 && entries >= p.take {
		return nil, &failure{kind: "format", reason: fmt.Sprintf("no entry after %s has a log_id to go on from", cursor)}
	}
	pg.full = entries >= p.take && pg.cursor != cursor
	return pg, nil
}

// report tells of rejects, once each: a bad entry at the end of the log comes
// with every poll until another follows it.
func (p *Poll) report(rejects []Reject) {
	for _, r := range rejects {
		if len(p.rejected) > 1000 {
			clear(p.rejected)
		}
		h := hash64(string(r.Raw))
		if _, told := p.rejected[h]; told {
			continue
		}
		p.rejected[h] = struct{}{}
		if p.opts.Reject != nil {
			p.opts.Reject(r)
		}
	}
}

// nextLink returns the URL of the next page and the cursor in it. A link to
// another place than the logs of this tenant is ignored: the token would go there.
func (p *Poll) nextLink(h http.Header) (link, from string) {
	for _, v := range h.Values("Link") {
		for v != "" {
			_, rest, ok := strings.Cut(v, "<")
			target, rest, closed := strings.Cut(rest, ">")
			if !ok || !closed {
				break
			}
			params, more, _ := strings.Cut(rest, ",")
			v = more
			if !isNext(params) {
				continue
			}
			u, err := p.base.Parse(target)
			if err == nil && u.Scheme == p.base.Scheme && strings.EqualFold(u.Host, p.base.Host) &&
				u.User == nil && u.Path == p.base.Path+logsPath && u.Query().Get("from") != "" {
				u.Fragment = ""
				return u.String(), u.Query().Get("from")
			}
			p.log.Debug("ignored a next link to another place", "tenant", p.base.Host)
		}
	}
	return "", ""
}

func isNext(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(k, "rel") && strings.EqualFold(strings.Trim(v, `" `), "next") {
			return true
		}
	}
	return false
}

// scarce reports whether less than a fifth of the API's quota is left.
func scarce(h http.Header) bool {
	limit, err1 := strconv.Atoi(h.Get("X-RateLimit-Limit"))
	remaining, err2 := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
	return err1 == nil && err2 == nil && limit > 0 && remaining*5 < limit
}

// networkFailure describes an error without the URL, which says nothing new,
// and in one line: a token error quotes the server's whole answer.
func networkFailure(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &failure{kind: "network", reason: fmt.Sprintf("no answer within %s", requestTimeout)}
	}
	return &failure{kind: "network", reason: "request failed: " + oneLine(err.Error())}
}

func oneLine(s string) string {
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
