package logstream

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// entry is a log indexed at a time after the start of the test.
type entry struct {
	id string
	at time.Duration
}

// stamped returns a log_id of a time after the start of a synctest bubble.
func stamped(after time.Duration) string {
	at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(after)
	return logIDPrefix + at.Format("20060102150405") + "000" + strings.Repeat("0", 35)
}

// tenantLog answers like a tenant whose log holds entries once they are indexed.
func tenantLog(all []entry, headers ...string) func(*http.Request) (*http.Response, error) {
	start := time.Now()
	return func(r *http.Request) (*http.Response, error) {
		from := r.URL.Query().Get("from")
		var page []map[string]string
		for _, e := range all {
			if e.at <= time.Since(start) && e.id > from {
				page = append(page, map[string]string{"log_id": e.id, "type": "f"})
			}
		}
		slices.SortFunc(page, func(a, b map[string]string) int { return strings.Compare(a["log_id"], b["log_id"]) })
		if r.URL.Query().Get("sort") == "date:-1" && len(page) > 0 {
			page = page[len(page)-1:]
		}
		b, err := json.Marshal(page[:min(len(page), 100)])
		if page == nil {
			b = []byte("[]")
		}
		return reply(200, string(b), headers...), err
	}
}

func delivered(s scripted) (ids []string) {
	for _, b := range s.batches {
		for _, e := range b.Events {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func TestPollFindsLateEntriesBehindTheCursor(t *testing.T) {
	early, late, tail := stamped(5*time.Second), stamped(6*time.Second), stamped(8*time.Second)
	for name, c := range map[string]struct {
		opts    PollOptions
		lateAt  time.Duration
		headers []string
		want    []string
	}{
		"a late one is delivered once":      {PollOptions{}, 20 * time.Second, nil, []string{early, tail, late}},
		"one almost as late as the overlap": {PollOptions{}, 2 * time.Minute, nil, []string{early, tail, late}},
		"one later than that is not":        {PollOptions{}, 4 * time.Minute, nil, []string{early, tail}},
		"without an overlap none is":        {PollOptions{Overlap: -1}, 20 * time.Second, nil, []string{early, tail}},
		"nor while the quota is scarce":     {PollOptions{}, 20 * time.Second, []string{"X-RateLimit-Limit", "10", "X-RateLimit-Remaining", "1"}, []string{early, tail}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &memoryCursor{cursor: stamped(time.Second)}
				log := tenantLog([]entry{{early, 7 * time.Second}, {late, c.lateAt}, {tail, 9 * time.Second}}, c.headers...)
				s := script(t, store, c.opts, 10*time.Minute, log)
				require.NoError(t, s.err)
				require.Equal(t, c.want, delivered(s))
				require.Equal(t, tail, store.cursor, "the cursor does not go back")
				for _, b := range s.batches {
					if len(b.Events) == 1 && b.Events[0].ID == late {
						require.Equal(t, tail, b.Cursor)
						require.Zero(t, b.CaughtUp)
					}
				}
			})
		})
	}
}

func TestPollReadsNothingFromBeforeItsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, newest, next := stamped(-20*time.Second), stamped(-10*time.Second), stamped(5*time.Second)
		s := script(t, &memoryCursor{}, PollOptions{}, 5*time.Minute, tenantLog([]entry{{old, 0}, {newest, 0}, {next, 6 * time.Second}}))
		require.Equal(t, []string{next}, delivered(s))
	})
}

func TestPollRereadCostsABoundedNumberOfPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []entry
		for i := range 3000 {
			all = append(all, entry{stamped(time.Duration(i) * 10 * time.Millisecond)[:20] + id(i)[20:], 0})
		}
		slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.id, b.id) })
		s := script(t, &memoryCursor{cursor: stamped(-time.Minute)}, PollOptions{OverlapEvery: 30 * time.Second}, 40*time.Second, tenantLog(all))
		again := 0
		for i, u := range s.urls {
			if s.at[i] >= 29*time.Second && !strings.Contains(u, s.batches[len(s.batches)-1].Cursor) {
				again++
			}
		}
		require.Equal(t, rereadPages, again)
		require.Len(t, delivered(s), 3000)
	})
}

func TestPollGivesUpRereadsThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		s := script(t, &memoryCursor{cursor: stamped(0)}, PollOptions{}, 5*time.Minute, func(r *http.Request) (*http.Response, error) {
			if r.URL.Query().Get("from") != stamped(0) {
				refused++
				return reply(400, ""), nil
			}
			return reply(200, "[]"), nil
		})
		require.Equal(t, 1, refused)
		require.Len(t, s.status, 1)
		require.True(t, s.status[0].OK, "the tail works")
	})
}

func TestPollSlowsDownWhileNothingComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := give(200, "[]")
		s := script(t, &memoryCursor{cursor: stamped(0)}, PollOptions{Overlap: -1}, 55*time.Second,
			none, none, none, none, none, none, give(200, entries(1, 2)), none, none, none)
		var waits []time.Duration
		for i := 1; i < len(s.at); i++ {
			waits = append(waits, (s.at[i]-s.at[i-1])/time.Second)
		}
		require.Equal(t, []time.Duration{2, 4, 6, 8, 10, 10, 2, 2, 4, 6}, waits)
	})
}

func TestPollGoesOnFromTheOldestLogWhenItsCursorExpired(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		cursor string
		oldest string
		want   []Gap
		from   string
	}{
		"logs are missing":                {stamped(-40 * day), stamped(-10 * day), []Gap{{From: at(-40 * day), To: at(-10 * day)}}, stamped(-10 * day)[:17]},
		"the log is empty":                {stamped(-40 * day), "", []Gap{{From: at(-40 * day), To: at(7 * time.Second)}}, ""},
		"the cursor is of an unread form": {"abc", stamped(-10 * day), []Gap{{To: at(-10 * day)}}, stamped(-10 * day)[:17]},
		"nothing can have expired yet":    {stamped(-time.Hour), stamped(-time.Minute), nil, stamped(-time.Minute)[:17]},
		"older logs are still there":      {stamped(-2 * day), stamped(-10 * day), nil, stamped(-2*day - 2*time.Minute)[:17]},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var gaps []Gap
				store := &memoryCursor{cursor: c.cursor}
				s := script(t, store, PollOptions{Gap: func(g Gap) { gaps = append(gaps, g) }}, 20*time.Second, func(r *http.Request) (*http.Response, error) {
					q := r.URL.Query()
					switch {
					case q.Get("from") == c.cursor:
						return reply(400, `{"message":"bad cursor"}`), nil
					case q.Has("sort") && c.oldest != "":
						require.Equal(t, url.Values{"sort": {"date:1"}, "per_page": {"1"}}, q)
						return reply(200, `[{"log_id":"`+c.oldest+`"}]`), nil
					}
					return reply(200, "[]"), nil
				})
				require.NoError(t, s.err)
				require.Len(t, gaps, len(c.want))
				for i, want := range c.want {
					require.WithinDuration(t, want.From, gaps[i].From, 0)
					require.WithinDuration(t, want.To, gaps[i].To, 2*time.Second)
					require.NotEmpty(t, gaps[i].Reason)
				}
				require.True(t, strings.HasPrefix(store.cursor, c.from), store.cursor)
				require.Len(t, store.saved, 1)
				require.Len(t, s.status, 2)
				require.True(t, s.status[1].OK)
			})
		})
	}
}

func at(after time.Duration) time.Time {
	if after == 0 {
		return time.Time{}
	}
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(after)
}

func TestPollTellsOfACursorOlderThanTheRetention(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		cursor    string
		retention time.Duration
		gaps      int
	}{
		"older":                 {stamped(-11 * day), 10 * day, 1},
		"younger":               {stamped(-9 * day), 10 * day, 0},
		"unknown retention":     {stamped(-99 * day), 0, 0},
		"a cursor without time": {"abc", day, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var gaps []Gap
				store := &memoryCursor{cursor: c.cursor}
				s := script(t, store, PollOptions{Retention: c.retention, Gap: func(g Gap) { gaps = append(gaps, g) }}, time.Second, give(200, entries(1, 2)), give(200, "[]"))
				require.Len(t, delivered(s), 1)
				require.Len(t, gaps, c.gaps)
				if c.gaps > 0 {
					require.Equal(t, Gap{From: at(-11 * day), To: at(-10 * day), Reason: "the last log read is older than the 10 days that the tenant keeps logs; those in between are gone"}, gaps[0])
				}
			})
		})
	}
}
