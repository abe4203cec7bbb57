package logstream

import "time"

// setAsideAfter is how far ahead of the clock an event may be stamped before it
// is set aside and not evaluated; package detections decides so by the same.
const setAsideAfter = 10 * time.Minute

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
