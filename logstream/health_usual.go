package logstream

import "time"

const weekHours = 7 * 24

// An hourCell is what is usual in one hour of the week.
type hourCell struct {
	Mean  float64 `json:"m"`
	Weeks int     `json:"w"` // learned from, counted up to enoughWeeks
}

const (
	enoughWeeks = 2   // below that one attack would pass for usual
	learnRate   = 0.3 // weight of a new week
	doubtRate   = 0.1 // the same, of an hour that was blind
)

// hourlyUsual learns how many events each hour of the week (UTC) brings, as a
// moving average by the times that events tell.
type hourlyUsual struct {
	Hours []hourCell `json:"hours,omitempty"` // none or weekHours
	// Open are the counts of the hours not yet learned: Hour, in hours since
	// 1970, and the one before it. The older closes a quarter of an hour late.
	Hour  int64   `json:"hour"`
	Open  [2]int  `json:"open"` // of Hour, of the one before
	Doubt [2]bool `json:"doubt"`
	Begun bool    `json:"begun"`
}

const settle = 15 * time.Minute // after which an hour is complete

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// cellOf returns an hour's place in the week.
func cellOf(hour int64) int { return int((hour%weekHours + weekHours) % weekHours) }

// roll closes the hours that are over; those that were not watched from their
// beginning teach nothing.
func (u *hourlyUsual) roll(now, watched time.Time) {
	hour := hourOf(now)
	if !u.Begun {
		u.Hour, u.Begun = hour, true
	}
	if u.Hours == nil {
		u.Hours = make([]hourCell, weekHours)
	}
	if hour-u.Hour > weekHours {
		u.Hour, u.Open, u.Doubt = hour-weekHours, [2]int{}, [2]bool{}
	}
	for u.Hour < hour {
		u.learn(u.Hour-1, u.Open[1], u.Doubt[1], watched)
		u.Hour++
		u.Open = [2]int{0, u.Open[0]}
		u.Doubt = [2]bool{false, u.Doubt[0]}
	}
	if now.Sub(time.Unix(hour*3600, 0)) >= settle && u.Open[1] >= 0 {
		u.learn(u.Hour-1, u.Open[1], u.Doubt[1], watched)
		u.Open[1] = learnt
	}
}

// learnt stands for the count of an hour that is closed.
const learnt = -1

func (u *hourlyUsual) learn(hour int64, n int, doubt bool, watched time.Time) {
	if n == learnt || watched.After(time.Unix(hour*3600, 0)) {
		return
	}
	c, v := &u.Hours[cellOf(hour)], float64(n)
	switch c.Weeks {
	case 0:
		c.Mean = v
	case 1:
		c.Mean = min(c.Mean, v)
	default:
		weight := learnRate
		if doubt || n == 0 && c.Mean >= 20 { // more likely an outage than a change
			weight = doubtRate
		}
		c.Mean += weight * (min(v, 3*c.Mean+20) - c.Mean) // an attack must not pass for usual
	}
	c.Weeks = min(c.Weeks+1, enoughWeeks)
}

// count notes an event of a time.
func (u *hourlyUsual) count(at time.Time) {
	switch u.Hour - hourOf(at) {
	case 0:
		u.Open[0]++
	case 1:
		if u.Open[1] != learnt {
			u.Open[1]++
		}
	}
}

// doubt marks the current hour as one in which little could be seen.
func (u *hourlyUsual) doubt(now time.Time) {
	if hourOf(now) == u.Hour {
		u.Doubt[0] = true
	}
}

func (u *hourlyUsual) learned(at time.Time) bool {
	return u.Hours != nil && u.Hours[cellOf(hourOf(at))].Weeks >= enoughWeeks
}

// rate returns the usual events of that hour, 0 when that is not learned.
func (u *hourlyUsual) rate(at time.Time) float64 {
	if !u.learned(at) {
		return 0
	}
	return u.Hours[cellOf(hourOf(at))].Mean
}

// steady is rate, or less where a neighbouring hour usually brings less: within
// an hour in which a tenant goes to sleep or wakes up nobody knows the minute.
func (u *hourlyUsual) steady(at time.Time) float64 {
	least := u.rate(at)
	for _, other := range [...]time.Time{at.Add(-time.Hour), at.Add(time.Hour)} {
		if u.learned(other) {
			least = min(least, u.rate(other))
		}
	}
	return least
}

// between returns how many events would be usual from one time to another.
func (u *hourlyUsual) between(from, to time.Time) (sum float64) {
	if to.Sub(from) > weekHours*time.Hour {
		from = to.Add(-weekHours * time.Hour) // enough to tell
	}
	for from.Before(to) {
		end := time.Unix((hourOf(from)+1)*3600, 0)
		if end.After(to) {
			end = to
		}
		sum += u.steady(from) * end.Sub(from).Hours()
		from = end
	}
	return sum
}
