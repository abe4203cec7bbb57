package logstream

import "time"

// What feed health says of stamps from the future, and what package detections
// does with such events, go by the same bounds.
const (
	// StampTolerance is how far an event may be stamped after the time in its own
	// log_id, and after it arrived.
	StampTolerance = 10 * time.Minute
	// MaxClockError is how far an event may be stamped after it arrived when its
	// log_id agrees with the stamp: then it is our clock that is wrong.
	MaxClockError = 24 * time.Hour
)

// misdated reports whether an event's time is later than the one in its log_id:
// that says nothing about our clock.
func misdated(e *Event) bool {
	logged, ok := e.LogIDTime()
	return ok && e.Time.After(logged.Add(StampTolerance))
}

// readAhead notes how far ahead of the clock an event is stamped.
func (m *FeedMonitor) readAhead(e *Event, arrived time.Time) {
	if !misdated(e) {
		m.aheads.put(lagReading{arrived, e.Time.Sub(arrived)}, lagReadings)
	}
}

// setBack begins anew after the clock was set back: what was dated by the time
// before would else end no silence until that time has come again.
func (m *FeedMonitor) setBack(now time.Time) {
	s := &m.state
	for _, t := range []*time.Time{&s.LastEvent, &s.LastArrival, &s.CaughtUp, &s.Since, &s.Kinds.Other, &m.failing.since} {
		if t.After(now) {
			*t = now
		}
	}
	for i := range s.Gaps {
		if s.Gaps[i].Told.After(now) {
			s.Gaps[i].Told = now
		}
	}
	s.Clock, s.Watched = now, now
	s.Usual.restart(now)
	m.lags, m.aheads, m.minutes = ring[lagReading]{}, ring[lagReading]{}, ring[minuteCount]{}
}

// restart drops the hours not yet learned: they are of another clock.
func (u *hourlyUsual) restart(now time.Time) {
	u.Hour, u.Open, u.Doubt = hourOf(now), [2]int{0, learnt}, [2]bool{}
}

// ahead returns how far events are stamped ahead of the clock: the least of the
// latest readings, so that single wrong stamps are none, and of enough of them.
func (m *FeedMonitor) ahead(now time.Time) (least time.Duration, ok bool) {
	n := 0
	for _, r := range m.aheads.values {
		if now.Sub(r.at) > m.opts.LagBlind {
			continue
		}
		if n == 0 || r.lag < least {
			least = r.lag
		}
		n++
	}
	return least, n >= lagEvidence && least > clockSkew
}
