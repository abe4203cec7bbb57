package logstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type memoryCursor struct {
	cursor string
	saved  []string
	err    error
}

func (m *memoryCursor) LoadCursor(context.Context) (string, error) { return m.cursor, m.err }
func (m *memoryCursor) SaveCursor(_ context.Context, c string) error {
	if m.err != nil {
		return m.err
	}
	m.cursor = c
	m.saved = append(m.saved, c)
	return nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func reply(code int, body string, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func id(n int) string { return fmt.Sprintf("90020260105101530123%036d", n) }

func entries(from, to int) string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf(`{"_id":%q,"log_id":%[1]q,"type":"f"}`, id(i)))
	}
	return "[" + strings.Join(all, ",") + "]"
}

const (
	base      = "https://tenant.example"
	smallPage = 1 << 20 // stands in for the limit of a page
)

// script runs a poll against answers given one request at a time, on a fake
// clock. The last answer repeats; the run ends after runFor.
func script(t *testing.T, store CursorStore, opts PollOptions, runFor time.Duration, answers ...func(*http.Request) (*http.Response, error)) (s scripted) {
	t.Helper()
	start := time.Now()
	hc := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		s.urls = append(s.urls, r.URL.String())
		s.at = append(s.at, time.Since(start))
		require.Equal(t, http.MethodGet, r.Method)
		return answers[min(len(s.urls), len(answers))-1](r)
	})}
	opts.Status = func(st PollStatus) { s.status = append(s.status, st) }
	opts.Reject = func(r Reject) { s.rejects = append(s.rejects, r) }
	p, err := NewPoll(hc, base, store, opts)
	require.NoError(t, err)
	require.Equal(t, int64(32<<20), p.maxPage)
	p.maxPage = smallPage
	ctx, cancel := context.WithTimeout(t.Context(), runFor)
	defer cancel()
	s.err = p.Run(ctx, func(_ context.Context, b Batch) error {
		for i := range b.Events {
			b.Events[i] = b.Events[i].Clone()
		}
		s.batches = append(s.batches, b)
		return nil
	})
	return s
}

type scripted struct {
	urls    []string
	at      []time.Duration
	batches []Batch
	status  []PollStatus
	rejects []Reject
	err     error
}

func give(code int, body string, headers ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return reply(code, body, headers...), nil }
}

func TestPollFollowsPagesAndWaitsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryCursor{cursor: id(0)}
		link := base + "/api/v2/logs?from=" + id(2) + "&take=2&extra=1"
		s := script(t, store, PollOptions{Take: 2}, 5*time.Second,
			give(200, entries(1, 3), "Link", "<"+link+`>; rel="next"`, "Date", "Mon, 05 Jan 2026 10:15:40 GMT"),
			give(200, entries(3, 4), "Date", "Mon, 05 Jan 2026 10:15:41 GMT"),
			give(200, `[]`))
		require.NoError(t, s.err)
		require.Equal(t, []string{
			base + "/api/v2/logs?from=" + id(0) + "&take=2", link,
			base + "/api/v2/logs?from=" + id(3) + "&take=2", base + "/api/v2/logs?from=" + id(3) + "&take=2",
		}, s.urls)
		require.Equal(t, []time.Duration{0, 0, 2 * time.Second, 4 * time.Second}, s.at)
		require.Len(t, s.batches, 4)
		require.Len(t, s.batches[0].Events, 2)
		require.Equal(t, id(2), s.batches[0].Cursor)
		require.Zero(t, s.batches[0].CaughtUp)
		require.Equal(t, time.Date(2026, 1, 5, 10, 15, 31, 0, time.UTC), s.batches[1].CaughtUp)
		require.Empty(t, s.batches[2].Events)
		require.Equal(t, id(3), s.batches[2].Cursor)
		require.Equal(t, time.Now().Add(-3*time.Second-10*time.Second).UTC(), s.batches[2].CaughtUp, "no Date: the clock of the machine")
		require.Equal(t, []string{id(2), id(3)}, store.saved)
		require.Equal(t, []PollStatus{{OK: true, Since: time.Now().Add(-5 * time.Second)}}, s.status)
	})
}

func TestPollNeverFollowsALinkElsewhere(t *testing.T) {
	for _, link := range []string{
		"https://evil.example/api/v2/logs?from=" + id(1), "http://tenant.example/api/v2/logs?from=" + id(1), "https://tenant.example:444/api/v2/logs?from=" + id(1),
		"https://tenant.example@evil.example/api/v2/logs?from=1", "https://user@tenant.example/api/v2/logs?from=1", "//evil.example/api/v2/logs?from=1",
		"https://tenant.example/api/v2/users?from=1", "https://tenant.example/api/v2/logs", ":", "",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := script(t, &memoryCursor{cursor: id(0)}, PollOptions{Take: 1}, time.Second,
				give(200, entries(1, 2), "Link", "<"+link+`>; rel="next"`), give(200, `[]`))
			require.Equal(t, base+"/api/v2/logs?from="+id(1)+"&take=1", s.urls[1], link)
		})
	}
}

func TestPollFindsTheNextLinkAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, &memoryCursor{cursor: id(0)}, PollOptions{Take: 1}, time.Second,
			give(200, entries(1, 2), "Link", "<https://x.example/>; rel=prev, </api/v2/logs?from=77&take=1>; title=x; rel=next"), give(200, `[]`))
		require.Equal(t, base+"/api/v2/logs?from=77&take=1", s.urls[1])
	})
}

func TestPollStartsWhereItIsTold(t *testing.T) {
	for name, c := range map[string]struct{ start, newest, want string }{
		"now is the newest log_id":        {"", entries(7, 8), id(7)},
		"now on an empty log is the time": {"now", `[]`, "90020260105101530" + strings.Repeat("0", 39)},
		"beginning":                       {"beginning", "", "90020130101000000" + strings.Repeat("0", 39)},
		"a time":                          {"2026-01-05T12:15:30+02:00", "", "90020260105101530" + strings.Repeat("0", 39)},
		"a log_id":                        {id(9), "", id(9)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &memoryCursor{}
				answers := []func(*http.Request) (*http.Response, error){give(200, `[]`)}
				if c.newest != "" {
					answers = append([]func(*http.Request) (*http.Response, error){give(200, c.newest, "Date", "Mon, 05 Jan 2026 10:15:40 GMT")}, answers...)
				}
				s := script(t, store, PollOptions{Start: c.start}, time.Second, answers...)
				require.NoError(t, s.err)
				if c.newest != "" {
					require.Equal(t, base+"/api/v2/logs?per_page=1&sort=date%3A-1", s.urls[0])
				}
				require.Equal(t, base+"/api/v2/logs?from="+c.want+"&take=100", s.urls[len(s.urls)-1])
				require.Equal(t, []string{c.want}, store.saved)
			})
		})
	}
}

func TestNewPollRefusesWhatMakesNoSense(t *testing.T) {
	for _, u := range []string{"", "tenant.example", "ftp://tenant.example", "https://", "https://u:secret@tenant.example", "https://tenant.example?x=1"} {
		_, err := NewPoll(http.DefaultClient, u, &memoryCursor{}, PollOptions{})
		require.ErrorContains(t, err, "poll logs: base URL")
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := NewPoll(http.DefaultClient, base, &memoryCursor{}, PollOptions{Start: "yesterday"})
	require.ErrorContains(t, err, `start "yesterday" is none of`)
	p, err := NewPoll(http.DefaultClient, base+"/api/v2/", &memoryCursor{}, PollOptions{})
	require.NoError(t, err)
	require.Equal(t, base+"/api/v2/logs", p.url(nil))
}

func TestPollRefusesABadCursor(t *testing.T) {
	p, err := NewPoll(http.DefaultClient, base, &memoryCursor{cursor: "{}"}, PollOptions{})
	require.NoError(t, err)
	require.EqualError(t, p.Run(t.Context(), nil), `poll logs: stored cursor "{}" is not a log_id`)
	boom := errors.New("boom")
	p, err = NewPoll(http.DefaultClient, base, &memoryCursor{err: boom}, PollOptions{})
	require.NoError(t, err)
	require.ErrorIs(t, p.Run(t.Context(), nil), boom)
}

func TestPollWaitsAsLongAsARateLimitSays(t *testing.T) {
	reset := func(d time.Duration) string {
		return strconv.FormatInt(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(d).Unix(), 10)
	}
	for name, c := range map[string]struct {
		headers  []string
		min, max time.Duration
	}{
		"seconds":                 {[]string{"Retry-After", "7"}, 7 * time.Second, 7700 * time.Millisecond},
		"an HTTP date":            {[]string{"Retry-After", "Sat, 01 Jan 2000 00:00:20 GMT"}, 20 * time.Second, 22 * time.Second},
		"a reset time":            {[]string{"X-RateLimit-Reset", reset(9 * time.Second)}, 9 * time.Second, 9900 * time.Millisecond},
		"Retry-After comes first": {[]string{"Retry-After", "3", "X-RateLimit-Reset", reset(9 * time.Second)}, 3 * time.Second, 3300 * time.Millisecond},
		"at most a minute":        {[]string{"Retry-After", "86400"}, time.Minute, 66 * time.Second},
		"at least a second":       {[]string{"X-RateLimit-Reset", reset(-time.Hour)}, time.Second, 1100 * time.Millisecond},
		"nothing said":            {nil, 800 * time.Millisecond, time.Second},
		"nonsense":                {[]string{"Retry-After", "soon"}, 800 * time.Millisecond, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := script(t, &memoryCursor{cursor: id(0)}, PollOptions{Every: time.Hour}, 2*time.Minute, give(429, "", c.headers...), give(200, "[]"))
				require.Len(t, s.at, 2)
				require.GreaterOrEqual(t, s.at[1], c.min)
				require.LessOrEqual(t, s.at[1], c.max)
				require.Len(t, s.status, 2)
				require.Equal(t, "rate limited by Auth0", s.status[0].Reason)
				require.True(t, s.status[1].OK)
			})
		})
	}
}

func TestPollSlowsDownWhenTheQuotaRunsLow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		low := []string{"X-RateLimit-Limit", "50", "X-RateLimit-Remaining", "9"}
		s := script(t, &memoryCursor{cursor: id(0)}, PollOptions{Take: 1}, 9*time.Second,
			give(200, entries(1, 2), low...), give(200, "[]", low...), give(200, "[]", "X-RateLimit-Limit", "50", "X-RateLimit-Remaining", "10"), give(200, "[]"))
		require.Equal(t, []time.Duration{0, 4 * time.Second, 8 * time.Second}, s.at)
	})
}

func TestPollBacksOffAndTellsOncePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
		s := script(t, &memoryCursor{cursor: id(0)}, PollOptions{}, 10*time.Minute,
			down, down, down, give(502, "<html>"), give(503, ""), down, down, down, down, give(200, "[]"), give(500, ""), give(200, "[]"))
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			got := s.at[i+1] - s.at[i]
			require.LessOrEqual(t, got, want*time.Second)
			require.GreaterOrEqual(t, got, want*time.Second*4/5)
		}
		var told []string
		for _, st := range s.status {
			told = append(told, st.Reason)
		}
		require.Equal(t, []string{"request failed: connection refused", "502: Auth0 has a fault of its own", "request failed: connection refused", "", "500: Auth0 has a fault of its own", ""}, told)
	})
}

func TestPollSaysWhatIsWrongAndKeepsTrying(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		want   string
	}{
		"401":                {give(401, `{"statusCode":401,"message":"Invalid token"}`), "401: the token is refused (Invalid token); check client_id"},
		"403":                {give(403, `{"message":"Insufficient scope"}`), "grant the client the scope read:logs"},
		"404":                {give(404, `nope`), "404: no Management API at https://tenant.example"},
		"400":                {give(400, `{"message":"bad\ncursor"}`), "400: the cursor " + id(0) + " is refused (bad cursor)"},
		"a teapot":           {give(418, ``), "unexpected status 418"},
		"a redirect":         {give(302, ``, "Location", "https://evil.example/"), "302: redirected"},
		"a login page":       {give(200, `<html>`), "the answer is not a list of logs"},
		"an object":          {give(200, `{"log_id":"1"}`), "the answer is not a list of logs"},
		"half a list":        {give(200, `[{"log_id":"1"}`), "breaks off in the middle"},
		"a page without ids": {give(200, "["+strings.Repeat(`{"type":"f"},`, 99)+`{"type":"f"}]`), "has a log_id to go on from"},
		"a page too large": {func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(io.LimitReader(endless(' '), smallPage+1))}, nil
		}, "is larger than 1 MiB"},
		"a body that breaks off": {func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(strings.NewReader("["), errReader{}))}, nil
		}, "request failed: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &memoryCursor{cursor: id(0)}
				s := script(t, store, PollOptions{}, 40*time.Second, c.answer)
				require.NoError(t, s.err)
				require.Len(t, s.status, 1)
				require.False(t, s.status[0].OK)
				require.Contains(t, s.status[0].Reason, c.want)
				require.NotContains(t, s.status[0].Reason, "\n")
				require.Greater(t, len(s.at), 5)
				require.Empty(t, s.batches)
				require.Empty(t, store.saved)
				for _, u := range s.urls {
					require.True(t, strings.HasPrefix(u, base))
				}
			})
		})
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestPollAsksForLessWhenAPageIsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		huge := func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(io.LimitReader(endless(' '), smallPage+1))}, nil
		}
		s := script(t, &memoryCursor{cursor: id(0)}, PollOptions{Take: 4}, 6*time.Second, huge, huge, give(200, entries(1, 2)), give(200, "[]"))
		take := func(i int) string {
			u, err := url.Parse(s.urls[i])
			require.NoError(t, err)
			return u.Query().Get("take")
		}
		require.Equal(t, []string{"4", "2", "1", "4"}, []string{take(0), take(1), take(2), take(3)})
	})
}

func TestPollRejectsABadEntryOnceAndKeepsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryCursor{cursor: id(0)}
		s := script(t, store, PollOptions{}, 7*time.Second,
			give(200, `[{"log_id":"`+id(1)+`"},17,{"log_id":"`+id(2)+`"},"tail"]`), give(200, `["tail"]`), give(200, `["tail"]`))
		require.NoError(t, s.err)
		require.Len(t, s.batches[0].Events, 2)
		require.Equal(t, id(2), store.cursor)
		require.Len(t, s.rejects, 3, "%v", s.rejects) // "tail" again, once, after the cursor moved
		require.Equal(t, base+"/api/v2/logs: entry 2 after "+id(0)+": not a JSON object", s.rejects[0].String())
		require.Equal(t, "17", string(s.rejects[0].Raw))
	})
}

func TestPollGivesUpOnARequestThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, &memoryCursor{cursor: id(0)}, PollOptions{}, 90*time.Second, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		require.NoError(t, s.err)
		require.Len(t, s.status, 1)
		require.Equal(t, "no answer within 1m0s", s.status[0].Reason)
	})
}

func TestPollLeavesTheCursorWhenDeliverFails(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/api/v2/logs", r.URL.Path)
		fmt.Fprint(w, entries(1, 3))
	}))
	defer srv.Close()
	store := NewCursorFile(filepath.Join(t.TempDir(), "cursor"))
	require.NoError(t, store.SaveCursor(t.Context(), id(0)))
	p, err := NewPoll(srv.Client(), srv.URL, store, PollOptions{Every: time.Millisecond})
	require.NoError(t, err)

	boom := errors.New("boom")
	err = p.Run(t.Context(), func(context.Context, Batch) error { return boom })
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, id(0))
	cursor, err := store.LoadCursor(t.Context())
	require.NoError(t, err)
	require.Equal(t, id(0), cursor)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls := 0
	require.NoError(t, p.Run(ctx, func(_ context.Context, b Batch) error {
		require.Len(t, b.Events, 2)
		saved, err := store.LoadCursor(ctx)
		require.NoError(t, err)
		if calls++; calls == 1 {
			require.Equal(t, id(0), saved, "not before deliver returns")
			return nil
		}
		require.Equal(t, id(2), saved)
		cancel()
		return nil
	}))
}

func TestPollOverTheWireSkipsAndRepeatsNothing(t *testing.T) {
	const total = 950
	srv := httptest.NewServer(nil)
	defer srv.Close()
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		from, take := q.Get("from"), q.Get("take")
		require.Len(t, q, 2)
		n, err := strconv.Atoi(take)
		require.NoError(t, err)
		first, err := strconv.Atoi(strings.TrimLeft(from[20:], "0") + "")
		if err != nil {
			first = 0
		}
		last := min(first+n, total)
		w.Header().Set("Link", fmt.Sprintf(`<%s/api/v2/logs?from=%s&take=%d>; rel="next"`, srv.URL, id(last), n))
		fmt.Fprint(w, entries(first+1, last+1))
	})
	store := &memoryCursor{cursor: id(0)}
	p, err := NewPoll(srv.Client(), srv.URL, store, PollOptions{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	require.NoError(t, p.Run(ctx, func(_ context.Context, b Batch) error {
		for _, e := range b.Events {
			got = append(got, e.ID)
		}
		if !b.CaughtUp.IsZero() {
			cancel()
		}
		return nil
	}))
	require.Len(t, got, total)
	for i, g := range got {
		require.Equal(t, id(i+1), g)
	}
}
