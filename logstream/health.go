package logstream

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Verdict says how far the absence of alerts can be trusted.
type Verdict string

const (
	Clear    Verdict = "clear"    // events arrive as they should
	Degraded Verdict = "degraded" // some may be missing, late or unusable
	Blind    Verdict = "blind"    // what happens in the tenant is not seen
)

// Health is a feed's state at one time.
type Health struct {
	Verdict     Verdict
	Reasons     []string      // for people, most severe first; none when clear
	Since       time.Time     // when the verdict became this one
	LastEvent   time.Time     // the latest time an event told; zero before the first
	LastArrival time.Time     // when an event last arrived; zero before the first
	Lag         time.Duration // how far what arrives is behind, at the last arrival
	Rate        float64       // events a minute over the last five minutes
	Usual       float64       // events a minute at this hour of the week; 0 until learned
}

// HealthOptions configures a [FeedMonitor]; the zero value of every field works.
type HealthOptions struct {
	LagDegraded     time.Duration // 5m if 0
	LagBlind        time.Duration // 30m if 0
	Silence         time.Duration // without events, before the usual rate is known: degraded; 30m if 0
	SilenceDegraded float64       // events that would have come in a silence; 20 if 0
	SilenceBlind    float64       // the same; 100 if 0
	FailingBlind    time.Duration // a poll that has failed this long; 2m if 0
	GapKept         time.Duration // a gap nobody acknowledged; 24h if 0
	MaskedShare     float64       // of a field's values, to count as masked; 0.5 if 0
	PrioritisedFor  time.Duration // with only prioritised types: degraded; 10m if 0

	Now func() time.Time // stamps Status, Gap and Stream; time.Now if nil
}

func (o *HealthOptions) setDefaults() {
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&o.LagDegraded, 5 * time.Minute}, {&o.LagBlind, 30 * time.Minute}, {&o.Silence, 30 * time.Minute},
		{&o.FailingBlind, 2 * time.Minute}, {&o.GapKept, 24 * time.Hour}, {&o.PrioritisedFor, 10 * time.Minute},
	} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	for _, d := range []struct {
		v *float64
		d float64
	}{{&o.SilenceDegraded, 20}, {&o.SilenceBlind, 100}, {&o.MaskedShare, 0.5}} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// FeedMonitor judges one source of one tenant by what arrives and when. It
// does nothing on its own: time passes for it in the calls. The times given to
// it must be of one clock, the one that events tell. It is safe for concurrent
// use.
type FeedMonitor struct {
	source string
	opts   HealthOptions

	mu      sync.Mutex // guards what follows
	state   feedState
	failing pollFailure
	stream  streamState
	lags    ring[lagReading]
	aheads  ring[lagReading] // how far events are stamped after they arrived
	minutes ring[minuteCount]
	resumed bool // restored, and not called since
}

type pollFailure struct {
	since  time.Time // zero while polling works
	reason string
}

type streamState struct{ status, reason string }

type lagReading struct {
	at  time.Time
	lag time.Duration
}

type minuteCount struct {
	minute int64 // since 1970
	n      int
}

// A ring keeps the last n values put into it.
type ring[T any] struct {
	values []T
	next   int
}

func (r *ring[T]) put(v T, n int) {
	if len(r.values) < n {
		r.values = append(r.values, v)
		return
	}
	r.values[r.next%n] = v
	r.next = (r.next + 1) % n
}

// NewFeedMonitor returns a monitor that has seen nothing yet. source stands in
// its reasons: "poll", "webhook".
func NewFeedMonitor(source string, opts HealthOptions) *FeedMonitor {
	opts.setDefaults()
	return &FeedMonitor{source: source, opts: opts}
}

const (
	lagReadings = 32
	lagEvidence = 3               // readings below which a lag does not count as blind
	clockSkew   = 5 * time.Minute // an event further ahead tells a wrong time
	rateMinutes = 5
)

// Observe takes note of a batch that was delivered, empty ones too. Late
// entries found by a re-read do no harm.
func (m *FeedMonitor) Observe(b Batch, arrived time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.state
	m.tick(arrived)
	if b.CaughtUp.After(s.CaughtUp) && b.CaughtUp.Before(arrived.Add(clockSkew)) {
		s.CaughtUp = b.CaughtUp
	}
	for i := range b.Events {
		e := &b.Events[i]
		at := arrived
		if e.Clock != Unknown {
			m.readAhead(e, arrived)
		}
		if e.Clock != Unknown && e.Time.Before(arrived.Add(clockSkew)) {
			at = e.Time
			if at.After(s.LastEvent) {
				s.LastEvent = at
			}
			m.readLag(arrived, at)
		}
		s.Usual.count(at)
		s.Kinds.see(e.Type, arrived)
	}
	s.Masks.see(b.Events)
	if len(b.Events) == 0 {
		// The source's word that nothing is left ends a backlog's lag. Not at once:
		// a tenant that indexes late says so between the events, too.
		if !b.CaughtUp.IsZero() && arrived.Sub(s.LastArrival) > m.opts.LagDegraded {
			m.lags = ring[lagReading]{}
		}
		return
	}
	if arrived.After(s.LastArrival) {
		s.LastArrival = arrived
	}
	minute := arrived.Unix() / 60
	for i := range m.minutes.values {
		if c := &m.minutes.values[i]; c.minute == minute {
			c.n += len(b.Events)
			return
		}
	}
	m.minutes.put(minuteCount{minute, len(b.Events)}, rateMinutes+1)
}

// readLag notes how far behind the feed is, measured by something of a time.
func (m *FeedMonitor) readLag(arrived, of time.Time) {
	m.lags.put(lagReading{arrived, max(0, arrived.Sub(of))}, lagReadings)
}

// tick lets time pass up to now.
func (m *FeedMonitor) tick(now time.Time) {
	s := &m.state
	if s.Clock.Sub(now) > clockSkew {
		m.setBack(now)
	}
	// Time in which nobody watched is no silence; it shows as a gap, if at all.
	if s.Watched.IsZero() || m.resumed && now.Sub(s.Clock) > m.opts.Silence {
		s.Watched = now
	}
	m.resumed = false
	if now.After(s.Clock) {
		s.Clock = now
	}
	s.Usual.roll(s.Clock, s.Watched)
}

// Status takes note of whether polling works.
func (m *FeedMonitor) Status(st PollStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if st.OK {
		m.failing = pollFailure{}
		return
	}
	// Another kind of failure is still the same outage.
	if m.failing.since.IsZero() {
		if m.failing.since = st.Since; st.Since.IsZero() {
			m.failing.since = m.opts.Now()
		}
	}
	m.failing.reason = st.Reason
}

// maxGaps is how many gaps are kept, the latest.
const maxGaps = 20

// Gap takes note of a gap, until it is acknowledged or GapKept has passed.
func (m *FeedMonitor) Gap(g Gap) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.state
	s.Gaps = slices.DeleteFunc(s.Gaps, func(o keptGap) bool { return o.From.Equal(g.From) }) // told again after a restart
	s.Gaps = append(s.Gaps, keptGap{Gap: g, Told: m.opts.Now()})
	s.Gaps = s.Gaps[max(0, len(s.Gaps)-maxGaps):]
}

// AcknowledgeGaps forgets the gaps told so far: a person knows of them.
func (m *FeedMonitor) AcknowledgeGaps() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Gaps = nil
}

// Stream takes note of what the tenant says of the log stream: its status
// (active, paused, suspended; "" when unknown), and why what it sends is
// incomplete ("pii_config masks email"), "" when it is not.
func (m *FeedMonitor) Stream(status, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stream = streamState{status, reason}
}

// Verdict judges the feed at a time that must not go back between calls.
func (m *FeedMonitor) Verdict(now time.Time) Health {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tick(now)
	s := &m.state
	f := m.findings(now)
	slices.SortStableFunc(f, func(a, b finding) int {
		switch {
		case a.verdict == b.verdict:
			return 0
		case a.verdict == Blind:
			return -1
		}
		return 1
	})
	h := Health{Verdict: Clear, LastEvent: s.LastEvent, LastArrival: s.LastArrival, Usual: s.Usual.rate(now) / 60}
	if len(f) > 0 {
		h.Verdict = f[0].verdict
	}
	for _, one := range f {
		h.Reasons = append(h.Reasons, one.reason)
	}
	if s.Verdict != h.Verdict {
		s.Verdict, s.Since = h.Verdict, now
	}
	if h.Verdict == Blind {
		s.Usual.doubt(now)
	}
	h.Since = s.Since
	h.Lag, _ = m.lag(now)
	minute := now.Unix() / 60
	for _, c := range m.minutes.values {
		if c.minute > minute-rateMinutes && c.minute <= minute {
			h.Rate += float64(c.n) / rateMinutes
		}
	}
	return h
}

// lag returns the least of the latest readings, so that single events that
// come late are none, and how many readings there are. A reading is evidence
// for LagBlind; after that silence is what there is to tell.
func (m *FeedMonitor) lag(now time.Time) (time.Duration, int) {
	least, n := time.Duration(0), 0
	for _, r := range m.lags.values {
		if now.Sub(r.at) > m.opts.LagBlind {
			continue
		}
		if n == 0 || r.lag < least {
			least = r.lag
		}
		n++
	}
	return least, n
}

// since rounds a duration for people.
func since(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute)/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d/time.Hour), int(d%time.Hour/time.Minute))
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}
