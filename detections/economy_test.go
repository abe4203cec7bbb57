package detections

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/logstream"
)

// What the engine keeps is bounded, and what it lets go is said.

// long tells that the long forms of the tests are wanted: make long.
func long() bool { return os.Getenv("PORTCULLIS_LONG") != "" }

func economyEngine(tb testing.TB, rules string, opts Options) *Engine {
	tb.Helper()
	set, err := Load([]File{{Name: "r.yaml", Data: []byte(rules)}}, nil)
	require.NoError(tb, err)
	opts.Unique = true
	e, err := NewEngine("acme", set, opts)
	require.NoError(tb, err)
	return e
}

var economyStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// economyEvent is an event as a tenant's log has it, with a log_id of 56 digits.
func economyEvent(tb testing.TB, at time.Time, n int, fields map[string]any) logstream.Event {
	tb.Helper()
	doc := map[string]any{
		"log_id": fmt.Sprintf("900%s%03d%036d", at.Format("20060102150405"), at.Nanosecond()/1e6, n), "date": at.Format("2006-01-02T15:04:05.000Z"), "type": "fp",
		"client_id": "cl1", "security_context": map[string]any{"ja4": "t13d1516h2_8daaf6152771_b186095e22b6"},
	}
	for k, v := range fields {
		doc[k] = v
	}
	raw, err := json.Marshal(doc)
	require.NoError(tb, err)
	ev, err := logstream.Decode(raw)
	require.NoError(tb, err)
	return ev
}

const countingRule = "id: r\ntitle: R\nseverity: low\nwhere: type == \"fp\"\ngroup_by: [ip]\nwindow: 1h\nhaving: count() > 40\n"

func TestPackedEntriesAreWhatTheyWere(t *testing.T) {
	e := economyEngine(t, "id: r\ntitle: R\nseverity: low\nwhere: type == \"fp\"\ngroup_by: [ip]\nwindow: 1h\nhaving: count() > 40 && distinct(user_name) > 3 && max(details.score) > 3\n", Options{})
	r := e.rules[0]
	rng := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", "198.51.100.7", "auth0|1", "ünïcode \x00\x1f", strings.Repeat("x", 300), "t13d"}
	pick := func() string { return texts[rng.IntN(len(texts))] }
	for range 2000 {
		g := &group{key: pick()}
		var want []entry
		for range rng.IntN(6) {
			en := entry{t: rng.Int64N(1 << 47), mask: uint16(rng.Uint32()), entity: [entityKinds]string{pick(), pick(), pick(), pick(), pick()}}
			switch rng.IntN(4) {
			case 0:
				en.id = pick()
			case 1:
				en.id = strings.Repeat("0", 20) + fmt.Sprint(rng.Uint64()) + "0007"
			default:
				en.id = fmt.Sprintf("900%053d", rng.Uint64())
			}
			en.vals = []any{true, []any{pick(), 3.5, nil, false, map[string]any{"a": "b"}}[rng.IntN(5)], float64(rng.IntN(9))}
			p := packer{r: r, key: g.key}
			require.True(t, p.pack(&en))
			g.cold += string(p.enc.b)
			g.n++
			want = append(want, en)
		}
		u := unpacker{r: r, key: g.key, dec: decoder{b: []byte(g.cold)}}
		var got []entry
		for range g.n {
			got = append(got, u.next(3))
		}
		require.NoError(t, u.dec.err)
		require.Equal(t, want, got)
		n := 0
		eachPacked(g.cold, func(at int64, mask uint16, _ string) {
			require.Equal(t, want[n].t, at)
			require.Equal(t, want[n].mask, mask)
			n++
		})
		require.Equal(t, len(want), n)
	}
}

func TestAFloodOfKeysCannotTakeThePlaceOfSlowOnes(t *testing.T) {
	var opened []Alert
	e := economyEngine(t, strings.Replace(countingRule, "> 40", "> 20", 1), Options{Memory: Memory{Keys: 1000}, OnChange: func(c Change) {
		if c.Transition == Opened {
			opened = append(opened, c.Alert)
		}
	}})
	n := 0
	send := func(ip string, at time.Duration) {
		n++
		ev := economyEvent(t, economyStart.Add(at), n, map[string]any{"ip": ip})
		e.Ingest(&ev)
	}
	// A slow attacker, every two minutes, amid ten thousand addresses that come once.
	for i := range 25 {
		at := time.Duration(i) * 2 * time.Minute
		send("203.0.113.1", at)
		send("203.0.113.1", at+time.Second) // so that it has more evidence than the flood
		for k := range 400 {
			send(fmt.Sprintf("10.%d.%d.%d", i, k/250, k%250), at+time.Duration(2+k/10)*time.Second)
		}
		require.LessOrEqual(t, e.rules[0].groups.len(), 1000)
	}
	e.Finish()
	require.Len(t, opened, 1)
	require.Equal(t, "203.0.113.1", opened[0].Group["ip"])
	require.Empty(t, opened[0].Notes, "nothing of it was let go")
	require.Greater(t, e.Stats().Shed["r"]["groups"], int64(5000))
}

func TestAGroupThatWasLetGoSaysThatItsNumbersAreTheLeast(t *testing.T) {
	var last Alert
	e := economyEngine(t, strings.Replace(countingRule, "> 40", "> 3", 1), Options{Memory: Memory{Keys: 64}, OnChange: func(c Change) { last = c.Alert }})
	n := 0
	send := func(ip string, second int) {
		n++
		ev := economyEvent(t, economyStart.Add(time.Duration(second)*time.Second), n, map[string]any{"ip": ip})
		e.Ingest(&ev)
	}
	send("203.0.113.1", 0)
	for k := range 200 {
		send(fmt.Sprintf("10.0.0.%d", k), 1+k)
	}
	for k := range 6 {
		send("203.0.113.1", 300+k)
	}
	e.Finish()
	require.Equal(t, "203.0.113.1", last.Group["ip"])
	require.Equal(t, []string{"at least 6: events of this group were let go to stay within the rule's memory"}, last.Notes)
}

func TestABurstOfAMillionEventsInOneSecondIsOneAlertOfBoundedSize(t *testing.T) {
	n := 1_000_000
	if !long() {
		n = 150_000
	}
	var last Alert
	opened := 0
	e := economyEngine(t, "id: r\ntitle: R\nseverity: low\nwhere: type == \"fp\"\ngroup_by: [ip]\nwindow: 1h\nhaving: count() > 40 && distinct(user_name) > 10\nevidence: {users: distinct(user_name)}\n",
		Options{Ahead: true, OnChange: func(c Change) {
			last = c.Alert
			if c.Transition == Opened {
				opened++
				require.Equal(t, 41, c.Alert.Count, "it opens at the event that made it hold")
			}
		}})
	for i := range n {
		ev := economyEvent(t, economyStart.Add(time.Duration(i*1000/n)*time.Millisecond), i, map[string]any{"ip": "198.51.100.1", "user_name": fmt.Sprintf("u%d", i/2)})
		e.Ingest(&ev)
		if i%50_000 == 49_999 {
			require.LessOrEqual(t, len(e.rules[0].groups.get("198.51.100.1").entries), maxEntries+1)
		}
	}
	require.Less(t, e.rules[0].bytes, int64(4<<20))
	e.Finish()
	require.Equal(t, 1, opened)
	require.Equal(t, n, last.Count)
	require.InEpsilon(t, n/2, last.Evidence["users"], 3*sketchError)
	require.Equal(t, []string{"distinct(user_name) is an estimate, within 1.6 % two times out of three"}, last.Notes)
}

// A group that was folded and may have few entries again must not be packed:
// folds have no values.
func TestEventsThatComeToFewFoldsAreNotPacked(t *testing.T) {
	var opened []Alert
	e := economyEngine(t, "id: r\ntitle: R\nseverity: low\nwhere: type == \"fp\"\nwindow: 1h\nhaving: count() > 40 && count(ip == \"203.0.113.9\") > 20\n",
		Options{Ahead: true, OnChange: func(c Change) {
			if c.Transition == Opened {
				opened = append(opened, c.Alert)
			}
		}})
	n := 0
	send := func(ip string, second float64) {
		n++
		ev := economyEvent(t, economyStart.Add(time.Duration(second*float64(time.Second))), n, map[string]any{"ip": ip})
		e.Ingest(&ev)
	}
	for k := range 2*maxEntries + 100 {
		send("198.51.100.1", float64(k)/1000) // a burst that cannot satisfy the rule by itself
	}
	g := e.rules[0].groups.get("")
	require.Less(t, len(g.entries), 200, "the burst was folded")
	for k := range 21 {
		require.Empty(t, opened)
		send("203.0.113.9", 60+float64(k))
	}
	require.Len(t, opened, 1)
	require.Equal(t, 2*maxEntries+100+21, opened[0].Count, "none was lost")
}

// TestAYearOfOneEventAMinute keeps windows of 30 days full for a year.
func TestAYearOfOneEventAMinuteStaysWithinItsBound(t *testing.T) {
	days := 365
	if !long() {
		days = 45
	}
	e := economyEngine(t, "id: r\ntitle: R\nseverity: low\nwhere: type == \"fp\"\ngroup_by: [ip]\nwindow: 30d\nhaving: count() > 1000000 && distinct(user_name) > 5\n", Options{})
	for i := range days * 24 * 60 {
		ev := economyEvent(t, economyStart.Add(time.Duration(i)*time.Minute), i, map[string]any{"ip": "198.51.100.1", "user_name": fmt.Sprintf("u%d", i%1000)})
		e.Ingest(&ev)
	}
	g := e.rules[0].groups.get("198.51.100.1")
	require.LessOrEqual(t, len(g.entries), maxEntries+1)
	events := 0
	for i := range g.entries {
		events += g.entries[i].count()
	}
	require.InDelta(t, 30*24*60, events, float64(30*24*60)/cellsInWindow+1, "the window still counts what is in it")
	require.Empty(t, e.Stats().Shed)
}

func TestWindowsOfThirtyDaysOverManyKeysStayWithinTheirBound(t *testing.T) {
	keys := 300_000
	if !long() {
		keys = 20_000
	}
	const perKey = 4 // events of each over the month
	e := economyEngine(t, strings.Replace(countingRule, "window: 1h", "window: 30d", 1), Options{})
	before := heapBytes()
	step := 29 * 24 * time.Hour / time.Duration(keys*perKey)
	for i := range keys * perKey {
		k := i % keys
		ev := economyEvent(t, economyStart.Add(time.Duration(i)*step), i, map[string]any{"ip": fmt.Sprintf("198.%d.%d.%d", k>>16, k>>8&255, k&255), "user_id": fmt.Sprintf("auth0|%08d", k)})
		e.Ingest(&ev)
	}
	require.Equal(t, keys, e.rules[0].groups.len())
	require.Empty(t, e.Stats().Shed)
	require.Less(t, float64(heapBytes()-before)/float64(keys), 200.0+perKey*100)
	require.Less(t, e.rules[0].bytes, int64(defaultBytes))
	runtime.KeepAlive(e)
}

func BenchmarkMemoryOfACountingWindow(b *testing.B) {
	const keys = 300_000
	for b.Loop() {
		e := economyEngine(b, countingRule, Options{})
		before := heapBytes()
		for i := range keys {
			ev := economyEvent(b, economyStart.Add(time.Duration(i)*10*time.Millisecond), i, map[string]any{"ip": fmt.Sprintf("198.%d.%d.%d", i>>16, i>>8&255, i&255), "user_id": fmt.Sprintf("auth0|%08d", i)})
			e.Ingest(&ev)
		}
		b.ReportMetric(float64(heapBytes()-before)/keys, "bytes/key")
		b.ReportMetric(float64(e.rules[0].bytes)/keys, "told-bytes/key")
	}
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkIngestOverManyKeys gives events of 300,000 addresses, decoded before,
// to three rules that keep a group for each.
func BenchmarkIngestOverManyKeys(b *testing.B) {
	const keys = 300_000
	rules := ""
	for i, having := range []string{"count() > 40 && distinct(user_name) >= 10", "count() > 400", "distinct(user_id) > 20"} {
		rules += fmt.Sprintf("---\nid: r%d\ntitle: R\nseverity: low\nwhere: type == \"fp\"\ngroup_by: [ip]\nwindow: 1h\nhaving: %s\n", i, having)
	}
	events := make([]logstream.Event, 2*keys)
	for i := range events {
		k := i * 7919 % keys
		events[i] = economyEvent(b, economyStart.Add(time.Duration(i)*time.Millisecond), i, map[string]any{
			"ip": fmt.Sprintf("198.%d.%d.%d", k>>16, k>>8&255, k&255), "user_id": fmt.Sprintf("auth0|%08d", k), "user_name": fmt.Sprintf("u%d@example.com", i%9000)})
	}
	for b.Loop() {
		e := economyEngine(b, rules, Options{Ahead: true})
		for i := range events {
			e.Ingest(&events[i])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
}

// Events do not wait until all of many groups were looked through.
func TestManyGroupsAreSweptAFewAtATime(t *testing.T) {
	const keys = 3 * sweptWhole
	e := economyEngine(t, countingRule, Options{})
	r := e.rules[0]
	n := 0
	send := func(ip string, at time.Duration) {
		n++
		ev := economyEvent(t, economyStart.Add(at), n, map[string]any{"ip": ip})
		e.Ingest(&ev)
	}
	for k := range keys {
		send(fmt.Sprintf("10.%d.%d.%d", k>>16, k>>8&255, k&255), time.Duration(k)*time.Millisecond)
	}
	most, minute := 0, time.Hour
	for ; r.groups.len() > 1 && minute < 2*time.Hour; minute += time.Second {
		before := r.groups.len()
		send("192.0.2.1", minute)
		if before > sweptWhole {
			most = max(most, before-r.groups.len())
		}
	}
	require.Equal(t, 1, r.groups.len(), "only what still comes is left")
	require.LessOrEqual(t, minute, time.Hour+time.Hour/2+3*time.Minute, "a quarter of the window and the lateness later, or two where the last are few")
	require.Less(t, most, keys/groupShards*3)
	require.NotZero(t, most)
	left := int64(0)
	for g := range r.groups.all() {
		left += g.size()
	}
	require.Equal(t, left, r.bytes, "what is let go is accounted for")
}
