package logstream

import (
	"fmt"
	"time"
)

// A finding is one thing that is wrong with a feed.
type finding struct {
	verdict Verdict
	reason  string
}

// findings returns all that is wrong, causes before what follows from them.
func (m *FeedMonitor) findings(now time.Time) (all []finding) {
	add := func(v Verdict, format string, args ...any) {
		all = append(all, finding{v, fmt.Sprintf(format, args...)})
	}
	s := &m.state
	switch m.stream.status {
	case "", "active":
		if m.stream.reason != "" {
			add(Degraded, "the log stream does not send everything: %s", m.stream.reason)
		}
	case "paused", "suspended":
		why := ""
		if m.stream.reason != "" {
			why = " (" + m.stream.reason + ")"
		}
		add(Blind, "the log stream is %s%s; set it active in the tenant", m.stream.status, why)
	default:
		add(Degraded, "the log stream has the unknown status %q", m.stream.status)
	}

	if from := m.failing.since; !from.IsZero() {
		v := Degraded
		if now.Sub(from) >= m.opts.FailingBlind {
			v = Blind
		}
		add(v, "reading the logs fails for %s: %s", since(now.Sub(from)), m.failing.reason)
	}

	if ahead, ok := m.ahead(now); ok {
		v, then := Degraded, ""
		switch {
		case ahead > MaxClockError:
			v, then = Blind, "; what comes is set aside and not evaluated"
		case ahead > StampTolerance:
			then = "; what waits for time to pass, such as the end of an alert, waits as much longer"
		}
		add(v, "events are stamped %s ahead of this machine's clock: set it right%s", since(ahead), then)
	}
	if lag, n := m.lag(now); n > 0 {
		switch {
		case lag > m.opts.LagBlind && n >= lagEvidence:
			add(Blind, "%s is %s behind", m.source, since(lag))
		case lag > m.opts.LagDegraded:
			add(Degraded, "%s is %s behind", m.source, since(lag))
		}
	}
	if f, ok := m.silence(now); ok {
		all = append(all, f)
	}

	for i := len(s.Gaps) - 1; i >= 0; i-- {
		g := s.Gaps[i]
		if now.Sub(g.Told) >= m.opts.GapKept {
			continue
		}
		from := "an unknown time"
		if !g.From.IsZero() {
			from = g.From.UTC().Format(time.RFC3339)
		}
		add(Degraded, "logs from %s to %s may be missing: %s", from, g.To.UTC().Format(time.RFC3339), g.Reason)
	}

	for _, field := range s.Masks.masked(m.opts.MaskedShare) {
		add(Degraded, "%s is masked or hashed in most events; rules that group or look it up by its value do not work", field)
	}
	if span, ok := s.Kinds.onlyPrioritised(now, m.opts.PrioritisedFor); ok {
		add(Degraded, "only prioritised event types arrive, for %s; the tenant's log delivery is overloaded", since(span))
	}
	return all
}

// silence judges the time since the last event arrived.
func (m *FeedMonitor) silence(now time.Time) (finding, bool) {
	s := &m.state
	from := s.Watched
	if s.LastArrival.After(from) {
		from = s.LastArrival
	}
	quiet := now.Sub(from)
	missed := s.Usual.between(from, now)
	last := "nothing from " + m.source + " for " + since(quiet)
	switch {
	case missed >= m.opts.SilenceBlind:
		return finding{Blind, fmt.Sprintf("%s, where %.0f events would be usual", last, missed)}, true
	case missed >= m.opts.SilenceDegraded:
		return finding{Degraded, fmt.Sprintf("%s, where %.0f events would be usual", last, missed)}, true
	case quiet <= m.opts.Silence || s.Usual.learned(now):
		return finding{}, false
	case !s.LastArrival.IsZero():
		return finding{Degraded, last + "; what is usual at this hour is not known yet"}, true
	case s.CaughtUp.IsZero():
		return finding{Degraded, "nothing has arrived from " + m.source + " yet; is it set up in the tenant?"}, true
	}
	return finding{}, false // the source answers, and has nothing
}
