package logstream

import (
	"bytes"
	"math"
	"time"
)

// maskWindow is how many events are looked at for masked fields, maskEvidence
// how many values of a field must be among them.
const (
	maskWindow   = 200
	maskEvidence = 20
)

// maskPaths are the fields that a log stream's pii_config can spoil and that
// rules depend on.
var maskPaths = func() (ps []Path) {
	for _, s := range []string{"user_name", "ip", "email", "details.email"} {
		p, err := ParsePath(s)
		if err != nil {
			panic(err)
		}
		ps = append(ps, p)
	}
	return ps
}()

// maskCounter remembers of the last events which fields had a value and which
// of these were masked: two bits a field, one byte an event.
type maskCounter struct {
	Events []byte `json:"events,omitempty"`
	Next   int    `json:"next"`
}

func (m *maskCounter) see(events []Event) {
	for i := max(0, len(events)-maskWindow); i < len(events); i++ {
		var bits byte
		for n, p := range maskPaths {
			v, ok := events[i].LookupBytes(p)
			if !ok || len(v) == 0 {
				continue
			}
			bits |= 1 << (2 * n)
			if masked(v) {
				bits |= 2 << (2 * n)
			}
		}
		if len(m.Events) < maskWindow {
			m.Events = append(m.Events, bits)
			continue
		}
		m.Events[m.Next] = bits
		m.Next = (m.Next + 1) % maskWindow
	}
}

// masked returns the fields of whose values more than a share are masked.
func (m *maskCounter) masked(share float64) (names []string) {
	for n, p := range maskPaths {
		values, bad := 0, 0
		for _, b := range m.Events {
			values += int(b >> (2 * n) & 1)
			bad += int(b >> (2*n + 1) & 1)
		}
		if values >= maskEvidence && float64(bad) > share*float64(values) {
			names = append(names, p.String())
		}
	}
	return names
}

// masked reports whether a value is asterisks, perhaps around the marks of an
// address, or an xxHash.
func masked(v []byte) bool {
	if v[0] == '*' || v[len(v)-1] == '*' {
		return bytes.IndexByte(v, '*') >= 0 && len(bytes.Trim(v, "*@.:-")) == 0
	}
	if len(v) != 16 {
		return false
	}
	for _, c := range v {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// prioritised reports whether Auth0's prioritised streams carry a type, which
// keep flowing when the others do not.
func prioritised(t string) bool {
	switch t {
	case "limit_mu", "limit_sul", "limit_wc", "pwd_leak", "signup_pwd_leak", "reset_pwd_leak", "ublkdu", "gd_send_sms":
		return true
	}
	return false
}

// kindCounter tells prioritised types from the others.
type kindCounter struct {
	Other     time.Time `json:"other"`      // when another type last arrived
	OtherRate float64   `json:"other_rate"` // of these, a minute, at that time
	Since     int       `json:"since"`      // prioritised ones since
}

const (
	otherSpan     = 30.0 // minutes over which OtherRate is taken
	otherEvidence = 5    // others that must be missing
	kindEvidence  = 3    // prioritised events in their stead
)

func (k *kindCounter) see(kind string, arrived time.Time) {
	if prioritised(kind) {
		k.Since++
		return
	}
	passed := max(0, arrived.Sub(k.Other).Minutes())
	k.OtherRate = k.OtherRate*math.Exp(-passed/otherSpan) + 1/otherSpan
	k.Other, k.Since = arrived, 0
}

// onlyPrioritised returns for how long only prioritised types came while others
// were usual, if it is long enough.
func (k *kindCounter) onlyPrioritised(now time.Time, least time.Duration) (time.Duration, bool) {
	span := now.Sub(k.Other)
	return span, !k.Other.IsZero() && span >= least && k.Since >= kindEvidence && k.OtherRate*span.Minutes() >= otherEvidence
}
