package labelled

import "time"

// Intensity is how hard an attacker tries.
type Intensity int

// The intensities. Low is an attacker who wants not to be seen.
const (
	Low Intensity = iota
	Medium
	High
)

// String returns low, medium or high.
func (i Intensity) String() string { return [...]string{"low", "medium", "high"}[i] }

// Intensities are all of them.
var Intensities = []Intensity{Low, Medium, High}

// Attack is a way in which tenants are attacked.
type Attack struct {
	Name string
	From time.Duration // after the beginning of the day
	tell func(r *run, i Intensity)
	nth  int
}

// of picks by intensity.
func (i Intensity) of(low, medium, high int) int { return [...]int{low, medium, high}[i] }

// Attacks are all of them.
func Attacks() []Attack {
	list := []Attack{
		{Name: "stuffing from one address", From: 10 * time.Hour, tell: stuffing},
		{Name: "stuffing from a carrier's address", From: 18 * time.Hour, tell: stuffingAmongCustomers},
		{Name: "stuffing from an office's address", From: 9 * time.Hour, tell: stuffingFromOffice},
		{Name: "stuffing from many addresses, one fingerprint", From: 13 * time.Hour, tell: distributedFingerprint},
		{Name: "stuffing from many addresses of one network", From: 2 * time.Hour, tell: distributedNetwork},
		{Name: "stuffing from many addresses, one user agent", From: 15 * time.Hour, tell: distributedAgent},
		{Name: "slow stuffing from one address", From: 4 * time.Hour, tell: slowStuffing},
		{Name: "slow stuffing from many addresses", From: 4 * time.Hour, tell: slowDistributed},
		{Name: "spraying from one address", From: 11 * time.Hour, tell: spraying},
		{Name: "spraying from many addresses", From: 8 * time.Hour, tell: sprayingDistributed},
		{Name: "stuffing that succeeds", From: 12 * time.Hour, tell: checkedList},
		{Name: "checked passwords from many addresses", From: 7 * time.Hour, tell: checkedDistributed},
		{Name: "account taken over after the login", From: 3 * time.Hour, tell: accountTaken},
		{Name: "signup fraud from one address", From: 14 * time.Hour, tell: fraudOneAddress},
		{Name: "signup fraud with disposable addresses", From: 9 * time.Hour, tell: fraudDisposable},
		{Name: "signup fraud with a pattern of names", From: 16 * time.Hour, tell: fraudPattern},
		{Name: "text messages to a range of numbers", From: 1 * time.Hour, tell: pumping},
		{Name: "text messages bombard one user", From: 20 * time.Hour, tell: bombarding},
		{Name: "push fatigue", From: 22 * time.Hour, tell: pushFatigue},
		{Name: "recovery codes guessed", From: 5 * time.Hour, tell: recoveryCodes},
		{Name: "refresh tokens stolen", From: 9 * time.Hour, tell: tokenTheft},
		{Name: "tenant takeover by an invited owner", From: 17 * time.Hour, tell: takeoverByInvitation},
		{Name: "tenant takeover, defences lowered", From: 23 * time.Hour, tell: takeoverDefences},
		{Name: "tenant takeover by a client", From: 6 * time.Hour, tell: takeoverByClient},
	}
	for i := range list {
		list[i].nth = i
	}
	return list
}

// Events are the attack's own events, on a day.
func (a Attack) Events(w *World, day int, i Intensity) []Event {
	r := w.newRun(uint64(2_000_000_000+a.nth*10+int(i)), a.Name, true, DayStart(day).Add(a.From))
	a.tell(r, i)
	return r.events()
}
