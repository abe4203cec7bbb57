package logstream

import (
	"bytes"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// TimeBasis says where an event's time came from.
type TimeBasis uint8

const (
	Unknown   TimeBasis = iota // the event tells no time; Time is zero
	FromDate                   // its date member
	FromLogID                  // the stamp inside its log_id, as date is absent or unreadable
)

// String returns "unknown", "date" or "log_id".
func (t TimeBasis) String() string {
	switch t {
	case FromDate:
		return "date"
	case FromLogID:
		return "log_id"
	}
	return "unknown"
}

// Event is one tenant log event. Its methods only read, so several goroutines
// may use one event at a time. The strings in it are its own; the payload is
// borrowed (see [Decode] and [Batch]). The zero Event has no members.
type Event struct {
	// ID is the log_id, and never empty in a decoded event: without one it is
	// the payload's _id, else log_id or id of the nearest envelope, else
	// "sha256:" and the hex digest of the payload.
	ID string
	// Type is Auth0's event code such as "fp"; "" when absent.
	Type string
	// Time is when it happened, in UTC; zero when Clock is Unknown. It is passed
	// on as found, be it in the year 9999.
	Time time.Time
	// Clock tells where Time came from.
	Clock TimeBasis

	escaped bool   // the payload holds a backslash, so names and strings need unescaping
	other   uint32 // bit i: member i is no string; the last bit: one from there on is not
	src     []byte // what the event was decoded from, envelope and all
	start   uint32 // the payload object is src[start:end]
	end     uint32
	fields  []field // its members, in order, as offsets into src
}

// Raw returns the payload object as received, without its envelope. It is
// borrowed: do not change it, copy it to keep it.
func (e *Event) Raw() []byte { return e.src[e.start:e.end:e.end] }

// Clone returns a copy that outlives the [Deliver] call and the buffer it was
// decoded from.
func (e Event) Clone() Event {
	shift := e.start
	e.src = bytes.Clone(e.Raw())
	e.start, e.end = 0, e.end-shift
	e.fields = slices.Clone(e.fields)
	for i := range e.fields {
		f := &e.fields[i]
		f.keyStart -= shift
		f.keyEnd -= shift
		f.valStart -= shift
		f.valEnd -= shift
	}
	return e
}

// LogIDTime returns the stamp inside the log_id, to the millisecond; false when
// the ID is of another form.
func (e *Event) LogIDTime() (time.Time, bool) { return logIDTime(e.ID) }

// member returns the first member of that name, or nil.
func (e *Event) member(name string) *field {
	for i := range e.fields {
		f := &e.fields[i]
		if string(e.src[f.keyStart:f.keyEnd]) == name || e.escaped && e.escapedKey(f, name) {
			return f
		}
	}
	return nil
}

func (e *Event) escapedKey(f *field, name string) bool {
	k := e.src[f.keyStart:f.keyEnd]
	return bytes.IndexByte(k, '\\') >= 0 && string(unescape(k)) == name
}

// scalar returns the text of a string, number or boolean, and nothing for the
// rest. A number keeps its digits: a log_id has more than a float64 holds.
func (e *Event) scalar(f *field) []byte {
	b := e.src[f.valStart:f.valEnd]
	switch f.kind {
	case kindString:
		if e.escaped {
			b = unescape(b)
		}
		if !utf8.Valid(b) {
			b = bytes.ToValidUTF8(b, []byte(replacement))
		}
		return b
	case kindNumber, kindTrue, kindFalse:
		return b
	}
	return nil
}

func (e *Event) ownID() string {
	for _, name := range [...]string{"log_id", "_id"} {
		if f := e.member(name); f != nil {
			if b := e.scalar(f); len(b) > 0 {
				return string(b)
			}
		}
	}
	return ""
}

func (e *Event) setTime() {
	if f := e.member("date"); f != nil && f.kind == kindString {
		if t, ok := parseDate(e.scalar(f)); ok {
			e.Time, e.Clock = t, FromDate
			return
		}
	}
	if t, ok := logIDTime(e.ID); ok {
		e.Time, e.Clock = t, FromLogID
	}
}

// parseDate reads an ISO 8601 time; one without a zone is UTC.
func parseDate(b []byte) (time.Time, bool) {
	// Auth0's own form, 2026-01-05T10:15:30.123Z, is worth a short cut.
	if len(b) == 24 && b[4] == '-' && b[7] == '-' && b[10] == 'T' && b[13] == ':' && b[16] == ':' && b[19] == '.' && b[23] == 'Z' {
		year, ok1 := number(b[0:4])
		month, ok2 := number(b[5:7])
		day, ok3 := number(b[8:10])
		hour, ok4 := number(b[11:13])
		minute, ok5 := number(b[14:16])
		second, ok6 := number(b[17:19])
		milli, ok7 := number(b[20:23])
		if ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 {
			return civil(year, month, day, hour, minute, second, milli)
		}
	}
	s := strings.TrimSpace(string(b))
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

func number[S []byte | string](s S) (int, bool) {
	n := 0
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// civil is [time.Date] in UTC that refuses what is not on the calendar.
func civil(year, month, day, hour, minute, second, milli int) (time.Time, bool) {
	if month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, milli*int(time.Millisecond), time.UTC)
	if day > 28 && t.Day() != day {
		return time.Time{}, false
	}
	return t, true
}

// ParseTime reads a time as events spell theirs: ISO 8601, in UTC where it names
// no zone.
func ParseTime(text string) (time.Time, bool) { return parseDate([]byte(text)) }
