package logstream

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// history plays into a monitor on a clock of its own.
type history struct {
	t   *testing.T
	m   *FeedMonitor
	now time.Time
	n   int
}

func newHistory(t *testing.T) *history {
	h := &history{t: t, now: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)} // a Monday
	h.m = NewFeedMonitor("poll", HealthOptions{Now: func() time.Time { return h.now }})
	return h
}

func (h *history) event(kind, user string, at time.Time) Event {
	h.n++
	return decode(h.t, fmt.Sprintf(`{"log_id":"%d","type":%q,"date":%q,"user_name":%q,"ip":"198.51.100.7"}`, h.n, kind, at.Format(time.RFC3339), user))
}

// events delivers n events of one kind that are some time late.
func (h *history) events(n int, kind, user string, late time.Duration) {
	one := h.event(kind, user, h.now.Add(-late))
	h.m.Observe(Batch{Events: slices.Repeat([]Event{one}, n)}, h.now)
}

// traffic delivers n events a minute for a time.
func (h *history) traffic(d time.Duration, n int) {
	for range int(d / time.Minute) {
		h.events(n, "s", "ann@example.com", 2*time.Second)
		h.wait(time.Minute)
	}
}

// weeks lets a steady tenant pass, told in few events: n an hour.
func (h *history) weeks(weeks, n int) {
	for range weeks * weekHours * 4 {
		h.events(n/4, "s", "ann@example.com", time.Second)
		h.wait(15 * time.Minute)
	}
}

func (h *history) wait(d time.Duration) { h.now = h.now.Add(d) }

func (h *history) empty() { h.m.Observe(Batch{CaughtUp: h.now.Add(-10 * time.Second)}, h.now) }

func (h *history) verdict() Health { return h.m.Verdict(h.now) }

func TestFeedVerdicts(t *testing.T) {
	week := 7 * 24 * time.Hour
	for name, c := range map[string]struct {
		play    func(h *history)
		verdict Verdict
		reasons []string // parts of each, in order
	}{
		"a monitor that saw nothing yet is clear": {func(h *history) {}, Clear, nil},
		"a source from which nothing ever came is degraded": {func(h *history) { h.verdict(); h.wait(31 * time.Minute) }, Degraded,
			[]string{"nothing has arrived from poll yet"}},
		"a quiet tenant that answers is clear": {func(h *history) { h.empty(); h.wait(5 * time.Hour); h.empty() }, Clear, nil},
		"steady events are clear":              {func(h *history) { h.traffic(2*time.Hour, 3) }, Clear, nil},
		"events 6 minutes late are degraded":   {func(h *history) { h.events(40, "s", "", 6*time.Minute) }, Degraded, []string{"poll is 6 min behind"}},
		"events 31 minutes late are blind":     {func(h *history) { h.events(40, "s", "", 31*time.Minute) }, Blind, []string{"poll is 31 min behind"}},
		"two events hours late are degraded":   {func(h *history) { h.events(2, "s", "", 3*time.Hour) }, Degraded, []string{"poll is 3 h 0 min behind"}},
		"late ones among others are clear":     {func(h *history) { h.traffic(5*time.Minute, 3); h.events(20, "s", "", 72*time.Hour) }, Clear, nil},
		"a backlog read to its end is clear": {func(h *history) {
			h.events(100, "s", "", time.Hour)
			h.wait(6 * time.Minute)
			h.empty()
		}, Clear, nil},
		"late indexing is not excused by an empty page": {func(h *history) {
			h.events(100, "s", "", time.Hour)
			h.wait(time.Second)
			h.empty()
		}, Blind, []string{"1 h 0 min behind"}},
		"events from the far future hide no lag": {func(h *history) {
			h.events(40, "s", "", -9000*time.Hour)
			h.events(40, "s", "", 40*time.Minute)
		}, Blind, []string{"40 min behind"}},
		"silence for 31 minutes before the usual is known is degraded": {func(h *history) { h.traffic(time.Hour, 1); h.wait(31 * time.Minute) }, Degraded,
			[]string{"what is usual at this hour is not known yet"}},
		"silence where 15 events would be usual is clear": {func(h *history) { h.weeks(3, 60) }, Clear, nil},
		"silence where 50 events would be usual is degraded": {func(h *history) { h.weeks(3, 120); h.wait(10 * time.Minute) }, Degraded,
			[]string{"nothing from poll for 25 min, where 50 events would be usual"}},
		"silence where more than 100 events would be usual is blind": {func(h *history) { h.weeks(3, 120); h.wait(48 * time.Minute) }, Blind,
			[]string{"events would be usual"}},
		"silence in an hour that is usually quiet is clear": {func(h *history) { h.weeks(3, 4); h.wait(90 * time.Minute) }, Clear, nil},
		"one attack is no measure of the usual": {func(h *history) {
			h.traffic(30*time.Minute, 500)
			h.weeks(3, 4)
			h.wait(20 * time.Minute)
		}, Clear, nil},
		"a poll that fails is degraded": {func(h *history) {
			h.m.Status(PollStatus{Reason: "401: refused", Since: h.now})
			h.wait(119 * time.Second)
		}, Degraded, []string{"reading the logs fails for 2 min: 401: refused"}},
		"one that fails for 2 minutes in several ways is blind": {func(h *history) {
			h.m.Status(PollStatus{Reason: "network", Since: h.now})
			h.wait(time.Minute)
			h.m.Status(PollStatus{Reason: "502", Since: h.now})
			h.wait(time.Minute)
		}, Blind, []string{"502"}},
		"one that works again is clear": {func(h *history) {
			h.m.Status(PollStatus{Reason: "x", Since: h.now})
			h.wait(time.Hour)
			h.m.Status(PollStatus{OK: true, Since: h.now})
			h.empty()
		}, Clear, nil},
		"a gap is degraded": {func(h *history) { h.m.Gap(Gap{From: h.now.Add(-week), To: h.now, Reason: "expired"}) }, Degraded,
			[]string{"logs from 2026-02-23T00:00:00Z to 2026-03-02T00:00:00Z may be missing: expired"}},
		"the same gap told twice is one": {func(h *history) { h.m.Gap(Gap{Reason: "a"}); h.m.Gap(Gap{Reason: "b"}) }, Degraded, []string{"an unknown time"}},
		"an acknowledged gap is clear":   {func(h *history) { h.m.Gap(Gap{Reason: "x"}); h.m.AcknowledgeGaps() }, Clear, nil},
		"a gap of yesterday is clear":    {func(h *history) { h.m.Gap(Gap{Reason: "x"}); h.empty(); h.wait(24 * time.Hour); h.empty() }, Clear, nil},
		"masked user names are degraded": {func(h *history) { h.events(200, "f", "*****@*****.***", 0) }, Degraded, []string{"user_name is masked or hashed"}},
		"hashed user names are degraded": {func(h *history) { h.events(200, "f", "44bc2cf5ad770999", 0) }, Degraded, []string{"user_name is masked or hashed"}},
		"most of them is enough":         {func(h *history) { h.events(99, "f", "a@b.example", 0); h.events(101, "f", "********", 0) }, Degraded, []string{"user_name"}},
		"half of them is not":            {func(h *history) { h.events(100, "f", "********", 0); h.events(100, "f", "a@b.example", 0) }, Clear, nil},
		"only the last 200 count":        {func(h *history) { h.events(900, "f", "********", 0); h.events(200, "f", "a@b.example", 0) }, Clear, nil},
		"a few masked ones are clear":    {func(h *history) { h.events(19, "f", "********", 0) }, Clear, nil},
		"only prioritised types are degraded": {func(h *history) {
			h.traffic(time.Hour, 5)
			for range 10 {
				h.events(2, "limit_wc", "", 0)
				h.wait(time.Minute)
			}
		}, Degraded, []string{"only prioritised event types arrive, for 11 min"}},
		"prioritised types where others are rare are clear": {func(h *history) {
			h.traffic(2*time.Minute, 1)
			for range 15 {
				h.events(2, "pwd_leak", "", 0)
				h.wait(time.Minute)
			}
		}, Clear, nil},
		"a paused stream is blind":                 {func(h *history) { h.m.Stream("paused", "") }, Blind, []string{"the log stream is paused; set it active"}},
		"a suspended stream is blind":              {func(h *history) { h.m.Stream("suspended", "failing for 7 days") }, Blind, []string{"suspended (failing for 7 days)"}},
		"a stream with filters is degraded":        {func(h *history) { h.m.Stream("active", "filters leave out other") }, Degraded, []string{"filters leave out other"}},
		"a stream of unknown status is degraded":   {func(h *history) { h.m.Stream("resting", "") }, Degraded, []string{`unknown status "resting"`}},
		"a stream that is active again is clear":   {func(h *history) { h.m.Stream("paused", ""); h.m.Stream("active", "") }, Clear, nil},
		"the most severe reason comes first":       {func(h *history) { h.m.Stream("active", "filters"); h.events(40, "s", "*****", time.Hour) }, Blind, []string{"behind", "filters", "user_name"}},
		"a batch of events without times is clear": {func(h *history) { h.m.Observe(Batch{Events: []Event{decode(t, `{"type":"f"}`)}}, h.now) }, Clear, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t)
			c.play(h)
			got := h.verdict()
			require.Equal(t, c.verdict, got.Verdict, "%v", got.Reasons)
			require.Len(t, got.Reasons, len(c.reasons), "%v", got.Reasons)
			for i, part := range c.reasons {
				require.Contains(t, got.Reasons[i], part)
			}
		})
	}
}

func TestFeedHealthTellsItsFigures(t *testing.T) {
	h := newHistory(t)
	h.weeks(2, 120)
	h.wait(-15 * time.Minute) // back to the last events
	h.wait(time.Minute)
	h.events(20, "s", "ann@example.com", 3*time.Second)
	got := h.verdict()
	require.Equal(t, Clear, got.Verdict, "%v", got.Reasons)
	require.Equal(t, h.now, got.LastArrival)
	require.Equal(t, h.now.Add(-3*time.Second), got.LastEvent)
	require.InDelta(t, 10, got.Rate, 0.01, "30 and 20 events in five minutes")
	require.Positive(t, got.Lag)
	require.Less(t, got.Lag, 5*time.Second)
}

func TestFeedHealthLearnsEachHourOfTheWeek(t *testing.T) {
	h := newHistory(t)
	for range 3 * 7 * 24 * 4 {
		if hour := h.now.Hour(); hour >= 8 && hour < 18 {
			h.events(50, "s", "ann@example.com", 0)
		} else {
			h.empty()
		}
		h.wait(15 * time.Minute)
	}
	h.empty()
	require.Zero(t, h.verdict().Usual, "midnight")
	require.Equal(t, Clear, h.verdict().Verdict, "a night is no silence")
	h.wait(9*time.Hour + 35*time.Minute)
	require.InDelta(t, 200.0/60, h.verdict().Usual, 0.01)
	require.Equal(t, Blind, h.verdict().Verdict, "an hour of the day is")
}

func TestFeedHealthDatesItsVerdict(t *testing.T) {
	h := newHistory(t)
	start := h.now
	require.Equal(t, start, h.verdict().Since)
	h.wait(time.Minute)
	require.Equal(t, start, h.verdict().Since)
	h.m.Stream("paused", "")
	paused := h.now
	require.Equal(t, paused, h.verdict().Since)
	h.wait(time.Minute)
	require.Equal(t, paused, h.verdict().Since)
	h.m.Stream("active", "")
	require.Equal(t, h.now, h.verdict().Since)
}

func TestFeedHealthSurvivesARestart(t *testing.T) {
	h := newHistory(t)
	h.weeks(3, 120)
	h.m.Gap(Gap{From: h.now.Add(-time.Hour), To: h.now, Reason: "expired"})
	saved, err := h.m.MarshalBinary()
	require.NoError(t, err)
	require.NotContains(t, string(saved), "ann@example.com")

	again := newHistory(t)
	again.now = h.now.Add(5 * time.Minute)
	require.NoError(t, again.m.UnmarshalBinary(saved))
	got := again.verdict()
	require.Equal(t, Degraded, got.Verdict)
	require.Contains(t, strings.Join(got.Reasons, "\n"), "expired")
	require.InDelta(t, 2, got.Usual, 0.01)
	require.Contains(t, strings.Join(got.Reasons, "\n"), "nothing from poll for 20 min", "a short restart ends no silence")

	require.NoError(t, again.m.UnmarshalBinary(saved))
	again.m.AcknowledgeGaps()
	again.wait(10 * time.Hour)
	require.Equal(t, Clear, again.verdict().Verdict, "while nobody watched there was no silence")
	again.wait(time.Hour)
	require.Equal(t, Blind, again.verdict().Verdict)
}

func TestFeedHealthRefusesDamagedState(t *testing.T) {
	h := newHistory(t)
	h.events(3, "s", "", 0)
	saved, err := h.m.MarshalBinary()
	require.NoError(t, err)
	for name, b := range map[string][]byte{
		"nothing": nil, "another version": append([]byte{9}, saved[1:]...), "half": saved[:len(saved)/2],
		"too few hours": []byte("\x01" + `{"Usual":{"hours":[{"m":1}]}}`), "a negative rate": []byte("\x01" + `{"Kinds":{"other_rate":-1}}`),
		"a window out of bounds": []byte("\x01" + `{"Masks":{"next":900}}`),
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, h.m.UnmarshalBinary(b), "restore feed health")
			require.Equal(t, h.now, h.verdict().LastArrival)
		})
	}
}

func TestFeedHealthTellsAClockThatIsWrong(t *testing.T) {
	h := newHistory(t)
	h.traffic(10*time.Minute, 5)
	require.Equal(t, Clear, h.verdict().Verdict)

	h.events(1, "s", "ann@example.com", -time.Hour)
	require.Equal(t, Clear, h.verdict().Verdict, "one wrong stamp is none of the clock's")

	// The clock goes 8 minutes slow, then an hour; events are stamped as before.
	for _, c := range []struct {
		slow    time.Duration
		verdict Verdict
		says    string
	}{{8 * time.Minute, Degraded, "8 min ahead of this machine's clock: set it right"}, {time.Hour, Degraded, "waits as much longer"},
		{25 * time.Hour, Blind, "set aside and not evaluated"}} {
		right := h.now
		h.wait(-c.slow)
		for range 5 {
			h.events(1, "s", "ann@example.com", -c.slow)
		}
		got := h.verdict()
		require.Equal(t, c.verdict, got.Verdict, got.Reasons)
		require.Contains(t, strings.Join(got.Reasons, "; "), c.says)
		h.now = right
		h.traffic(35*time.Minute, 5)
		require.Equal(t, Clear, h.verdict().Verdict, h.verdict().Reasons)
	}
}

func TestFeedHealthGoesOnAfterTheClockWasAhead(t *testing.T) {
	h := newHistory(t)
	h.traffic(10*time.Minute, 5)
	h.wait(6 * time.Hour)
	for range 5 {
		h.events(1, "s", "ann@example.com", 6*time.Hour)
	}
	require.Equal(t, Blind, h.verdict().Verdict, "all that comes looks old")

	h.wait(-6 * time.Hour)
	h.traffic(time.Minute, 5)
	got := h.verdict()
	require.Equal(t, Clear, got.Verdict, got.Reasons)
	require.False(t, got.Since.After(h.now), got.Since)
	require.False(t, got.LastArrival.After(h.now), got.LastArrival)
	h.wait(40 * time.Minute)
	require.Equal(t, Degraded, h.verdict().Verdict, "a silence is told before the six hours are over again")
	h.traffic(20*time.Minute, 5)
	require.Equal(t, Clear, h.verdict().Verdict, h.verdict().Reasons)
}
