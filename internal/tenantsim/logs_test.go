package tenantsim

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var linkForm = regexp.MustCompile(`^<([^>]+)>; rel="next"$`)

func next(t *testing.T, r result) string {
	t.Helper()
	m := linkForm.FindStringSubmatch(r.header.Get("Link"))
	require.NotNil(t, m, r.header.Get("Link"))
	return m[1]
}

func TestCheckpointWalkSeesEachEventOnceInOrderWhileEventsArrive(t *testing.T) {
	s := newSite(t, Options{CalmRate: 5, IndexLag: 10 * time.Second, Seed: 3})
	s.Attack(Attack{Kind: CredentialStuffing, Rate: 10})
	page := s.url + "/api/v2/logs?from=" + beginning() + "&take=37"
	var ids []string
	var dates []string
	for step := 0; step <= 120; {
		got := s.call("GET", page, "")
		require.Equal(t, 200, got.status, got.body)
		list := got.list(t)
		for _, ev := range list {
			ids, dates = append(ids, ev["log_id"].(string)), append(dates, ev["date"].(string))
		}
		link := next(t, got)
		require.True(t, strings.HasPrefix(link, s.url), "the link must lead back to the host that was asked")
		if len(list) == 0 {
			require.Equal(t, page, link, "at the end the same URL is given again")
			if step++; step <= 120 {
				s.Advance(time.Second)
			}
		}
		page = link
	}
	var want []string
	for _, ev := range s.events() {
		want = append(want, ev["log_id"].(string))
	}
	require.Greater(t, len(ids), 1000)
	require.True(t, slices.Equal(want, ids), "walked %d events of %d", len(ids), len(want))
	require.True(t, slices.IsSorted(ids))
	require.Len(t, slices.Compact(slices.Clone(ids)), len(ids))
	require.False(t, slices.IsSorted(dates), "some events are indexed after later ones")
	for _, id := range ids {
		require.Equal(t, 56, len(id))
	}
}

func beginning() string { return "90020260101000000" + strings.Repeat("0", 39) }

func TestCheckpointCursors(t *testing.T) {
	s := newSite(t, Options{})
	for i := range 120 {
		s.Inject(map[string]any{"type": "s", "n": i})
		s.Advance(time.Second)
	}
	for _, tc := range []struct {
		name, query string
		status, n   int
	}{
		{"a page holds 50 unless told otherwise", "from=" + beginning(), 200, 50},
		{"a page holds at most 100", "from=" + beginning() + "&take=100", 200, 100},
		{"more than 100 is refused", "from=" + beginning() + "&take=101", 400, 0},
		{"take zero is refused", "from=" + beginning() + "&take=0", 400, 0},
		{"a made-up cursor starts at its time", "from=90020260302090100" + strings.Repeat("0", 39) + "&take=100", 200, 60},
		{"a cursor in the future finds nothing", "from=90020270302090100" + strings.Repeat("0", 39), 200, 0},
		{"other parameters are ignored with a cursor", "from=" + beginning() + "&take=10&q=((&sort=x&page=9", 200, 10},
		{"an empty cursor is malformed", "from=", 400, 0},
		{"a word is malformed", "from=latest", 400, 0},
		{"an impossible date is malformed", "from=90020261302090100" + strings.Repeat("0", 39), 400, 0},
		{"take alone is refused", "take=10", 400, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := s.call("GET", "/logs?"+tc.query, "")
			require.Equal(t, tc.status, got.status, got.body)
			if tc.status == 200 {
				require.Len(t, got.list(t), tc.n)
				return
			}
			require.EqualValues(t, 400, got.json(t)["statusCode"])
		})
	}
}

func TestSearchMode(t *testing.T) {
	s := newSite(t, Options{})
	for i := range 130 {
		s.Inject(map[string]any{"type": []string{"s", "fp"}[i%2], "user_name": fmt.Sprint("u", i), "ip": "198.18.0.1", "description": "two words"})
		s.Advance(time.Minute)
	}
	s.Inject(map[string]any{"type": "s", "user_name": "old", "date": "2026-03-01T00:00:00.000Z"})
	for _, tc := range []struct {
		name  string
		query url.Values
		n     int
		first string
	}{
		{"the newest comes first by default", url.Values{}, 50, "u129"},
		{"the usual bootstrap gets the newest by date", url.Values{"sort": {"date:-1"}, "per_page": {"1"}}, 1, "u129"},
		{"an old date sorts before newer ones whenever it was indexed", url.Values{"sort": {"date:1"}, "per_page": {"100"}}, 100, "old"},
		{"pages go on", url.Values{"sort": {"date:1"}, "per_page": {"100"}, "page": {"1"}}, 31, "u99"},
		{"a type is found", url.Values{"q": {`type:"fp"`}, "sort": {"date:1"}, "per_page": {"100"}}, 65, "u1"},
		{"terms are joined", url.Values{"q": {`type:s AND user_name:u4 AND description:"two words"`}}, 1, "u4"},
		{"dates have ranges", url.Values{"q": {`date:[2026-03-02T10:00 TO *]`}, "sort": {"date:1"}, "per_page": {"100"}}, 70, "u60"},
		{"an open bound is left out", url.Values{"q": {`date:{2026-03-02T10:00 TO 2026-03-02T10:02]`}, "sort": {"date:1"}}, 2, "u61"},
		{"nothing found is an empty list", url.Values{"q": {"type:fu"}}, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := s.call("GET", "/logs?"+tc.query.Encode(), "")
			require.Equal(t, 200, got.status, got.body)
			require.Empty(t, got.header.Get("Link"))
			list := got.list(t)
			require.Len(t, list, tc.n)
			if tc.n > 0 {
				require.Equal(t, tc.first, list[0]["user_name"])
			}
		})
	}
	for name, query := range map[string]string{
		"too many on a page":          "per_page=101",
		"a negative page":             "page=-1",
		"an unknown sort":             "sort=date",
		"a query that is not parsed":  "q=" + url.QueryEscape("type:(s OR fp)"),
		"a query with a dangling AND": "q=" + url.QueryEscape("type:s AND "),
		"details in a query":          "q=" + url.QueryEscape("details.x:1"),
		"an unknown parameter":        "limit=3",
		"fields that do not exist":    "fields=hostnames",
		"past a thousand results":     "page=20&per_page=50",
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			require.Equal(t, 400, s.call("GET", "/logs?"+query, "").status)
		})
	}

	totals := s.call("GET", "/logs?include_totals=true&per_page=7&page=1", "").json(t)
	require.EqualValues(t, 7, totals["start"])
	require.EqualValues(t, 7, totals["total"])
	require.Len(t, totals["logs"], 7)
	require.Equal(t, []string{"type"}, sortedKeys(s.call("GET", "/logs?fields=type&per_page=1", "").list(t)[0]))
	require.NotContains(t, s.call("GET", "/logs?fields=type&include_fields=false&per_page=1", "").list(t)[0], "type")
}

func TestOneLogEvent(t *testing.T) {
	s := newSite(t, Options{})
	id := s.Inject(map[string]any{"type": "fp", "is_mobile": true, "user_agent": browsers[0].raw, "details": map[string]any{"big": 9007199254740993}})
	got := s.call("GET", "/logs/"+id, "")
	require.Equal(t, 200, got.status)
	ev := got.json(t)
	require.Equal(t, id, ev["_id"])
	require.Equal(t, true, ev["isMobile"])
	require.NotContains(t, ev, "is_mobile")
	require.Equal(t, browsers[0].normal, ev["user_agent"])
	require.Contains(t, got.body, "9007199254740993")
	require.Contains(t, string(s.Envelope(id)), `"is_mobile":true`)
	require.Contains(t, string(s.Envelope(id)), browsers[0].raw)
	require.Nil(t, s.Envelope("900"))
	require.Equal(t, 404, s.call("GET", "/logs/"+id+"0", "").status)
	require.Equal(t, 404, s.call("POST", "/logs", "{}").status)
}

func TestInjectedEvents(t *testing.T) {
	s := newSite(t, Options{})
	a := s.Inject(map[string]any{"type": "s"})
	late := s.Inject(map[string]any{"type": "late", "log_id": beginning()})
	require.Equal(t, beginning(), late)
	require.Equal(t, late, s.Inject(map[string]any{"type": "again", "log_id": beginning()}))
	require.Empty(t, s.Inject(map[string]any{"bad": func() {}}))
	events := s.events()
	require.Len(t, events, 2)
	require.Equal(t, "late", events[0]["type"], "a given id takes its place in the order")
	require.Equal(t, a, events[1]["log_id"])
	require.Equal(t, "2026-03-02T09:00:00.000Z", events[1]["date"])
}

func TestOldEventsAreForgotten(t *testing.T) {
	s := newSite(t, Options{Retention: time.Hour, MaxEvents: 1000, CalmRate: 1})
	s.Inject(map[string]any{"type": "s"})
	s.Advance(30 * time.Minute)
	s.Inject(map[string]any{"type": "s"})
	require.Equal(t, 1000, len(s.events()), "the count is bounded")

	byAge := newSite(t, Options{Retention: time.Hour})
	id := byAge.Inject(map[string]any{"type": "s"})
	byAge.Advance(time.Hour)
	require.NotNil(t, byAge.Envelope(id))
	byAge.Advance(time.Second)
	require.Equal(t, 404, byAge.call("GET", "/logs/"+id, "").status)
	require.Equal(t, "[]", byAge.call("GET", "/logs?from="+id, "").body, "an expired id is still a place in the order")
}

func TestAPIAndStreamFormsDiffer(t *testing.T) {
	s := newSite(t, Options{CalmRate: 2})
	s.Advance(5 * time.Minute)
	list := s.call("GET", "/logs?from="+beginning()+"&take=100", "").list(t)
	nulls := 0
	for _, ev := range list {
		require.NotContains(t, ev, "is_mobile")
		require.NotContains(t, ev, "$event_schema")
		require.IsType(t, true, ev["isMobile"])
		require.NotContains(t, ev["user_agent"], "Mozilla")
		if v, ok := ev["location_info"]; ok {
			require.Nil(t, v)
			nulls++
		}
	}
	require.NotZero(t, nulls)
	require.Less(t, nulls, len(list))
	for _, ev := range s.events() {
		require.Contains(t, ev["user_agent"], "Mozilla")
		require.NotContains(t, ev, "_id")
		for name, v := range ev {
			require.NotNil(t, v, name)
		}
	}
}
