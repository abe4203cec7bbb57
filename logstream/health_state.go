package logstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// feedState is what a [FeedMonitor] keeps over a restart. What a source or the
// tenant tells anew at its start is no part of it.
type feedState struct {
	Clock       time.Time // the latest time that was given
	Watched     time.Time // since when time passes for the monitor
	LastEvent   time.Time
	LastArrival time.Time
	CaughtUp    time.Time
	Verdict     Verdict
	Since       time.Time
	Gaps        []keptGap
	Usual       hourlyUsual
	Masks       maskCounter
	Kinds       kindCounter
}

type keptGap struct {
	Gap
	Told time.Time
}

const healthVersion = 1

// MarshalBinary returns what the monitor learned, for
// [FeedMonitor.UnmarshalBinary]. There is nothing personal in it.
func (m *FeedMonitor) MarshalBinary() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := json.Marshal(&m.state)
	if err != nil {
		return nil, fmt.Errorf("save feed health: %w", err)
	}
	return append([]byte{healthVersion}, b...), nil
}

// UnmarshalBinary replaces what the monitor learned by what was saved. On an
// error the monitor stays as it was.
func (m *FeedMonitor) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != healthVersion {
		return errors.New("restore feed health: the data is damaged or of another version")
	}
	var s feedState
	if err := json.Unmarshal(b[1:], &s); err != nil {
		return fmt.Errorf("restore feed health: %w", err)
	}
	if !s.sound() {
		return errors.New("restore feed health: the data is damaged")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.resumed = s, true
	m.lags, m.aheads, m.minutes = ring[lagReading]{}, ring[lagReading]{}, ring[minuteCount]{}
	return nil
}

// sound reports whether a state can be calculated with.
func (s *feedState) sound() bool {
	if n := len(s.Usual.Hours); n != 0 && n != weekHours {
		return false
	}
	for _, c := range s.Usual.Hours {
		if !(c.Mean >= 0) || math.IsInf(c.Mean, 0) || c.Weeks < 0 {
			return false
		}
	}
	k, m := s.Kinds, s.Masks
	return k.OtherRate >= 0 && !math.IsInf(k.OtherRate, 0) && len(s.Gaps) <= maxGaps &&
		len(m.Events) <= maskWindow && m.Next >= 0 && m.Next < maskWindow
}
