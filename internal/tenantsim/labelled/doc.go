// Package labelled makes traffic of a tenant of which it is known what is true:
// which events are an attacker's, which account was lost when, and who else uses
// an address. It is for measuring rules and policies: calm traffic of everyday
// life, look-alikes that are easily taken for attacks, and attacks at three
// intensities.
//
// Everything happens in event time and follows from a seed: the same seed and the
// same number of users give the same bytes. Days and attacks do not depend on each
// other, so a day with an attack differs from the day without it by the attack alone.
package labelled

import (
	"cmp"
	"slices"
	"time"
)

// Event is one event of the tenant's log, and what is true of it.
type Event struct {
	At      time.Time
	ID      string // its log_id
	Raw     []byte // as the Management API shows it
	Type    string
	IP      string
	UserID  string // "" when there is no such user
	Story   string // the look-alike or attack it belongs to; "" for everyday traffic
	Hostile bool   // an attacker's doing
}

// Took reports whether the event put an account into an attacker's hands.
func (e *Event) Took() bool {
	return e.Hostile && (e.Type == "s" || e.Type == "sertft") && e.UserID != ""
}

// Start is the first instant of day 0, a Monday.
var Start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// DayStart is the first instant of a day.
func DayStart(day int) time.Time { return Start.AddDate(0, 0, day) }

// Merge puts events of several sources into one, in order of time.
func Merge(lists ...[]Event) []Event {
	out := slices.Concat(lists...)
	slices.SortFunc(out, func(a, b Event) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return out
}
