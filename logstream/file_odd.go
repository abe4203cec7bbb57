package logstream

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"
)

// The years that an event's time can lie in, as Unix seconds: Auth0 is younger
// than 2000, and a stamp of 2100 is a mistake.
var (
	firstSecond = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	lastSecond  = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
)

// oddity tells which values of e are not what they should be, nil when none
// is. It runs for every event, so what is as it should be costs no search.
func (e *Event) oddity() error {
	odd := e.Type == "" || e.Clock != FromDate
	if second := e.Time.Unix(); second < firstSecond || second >= lastSecond {
		odd = true
	}
	for rest := e.other; rest != 0 && !odd; rest &= rest - 1 {
		i := bits.TrailingZeros32(rest)
		odd = i == lastOther || e.textName(&e.fields[i]) != ""
	}
	if !odd {
		return nil
	}
	return e.oddities()
}

// oddities is the thorough half of [Event.oddity].
func (e *Event) oddities() error {
	var all []string
	for i := range e.fields {
		f := &e.fields[i]
		if f.kind == kindString || f.kind == kindNull {
			continue
		}
		if name := e.textName(f); name != "" {
			all = append(all, fmt.Sprintf("%s is %s where a text belongs", name, kindNames[f.kind]))
		}
	}
	if f := e.member("type"); e.Type == "" && (f == nil || f.kind == kindNull || f.kind == kindString) {
		all = append(all, "no type")
	}
	if why := e.oddTime(); why != "" {
		all = append(all, why)
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New(strings.Join(all, ", "))
}

// oddTime tells what is wrong with the event's time, "" when nothing is.
func (e *Event) oddTime() string {
	date := e.member("date")
	switch {
	case e.Clock == Unknown && (date == nil || date.kind != kindString):
		return "no date and no log_id stamp"
	case e.Clock == Unknown:
		return fmt.Sprintf("date %s is not a time, and there is no log_id stamp", e.quoted(date))
	case e.Clock == FromLogID && date != nil && date.kind == kindString:
		return fmt.Sprintf("date %s is not a time: the log_id's stamp counts", e.quoted(date))
	}
	if second := e.Time.Unix(); second >= firstSecond && second < lastSecond {
		return ""
	}
	if e.Clock == FromLogID {
		return fmt.Sprintf("the log_id's stamp is in the year %d", e.Time.Year())
	}
	return fmt.Sprintf("date is in the year %d", e.Time.Year())
}

// maxQuoted bounds how much of a value a reason repeats, in characters.
const maxQuoted = 40

func (e *Event) quoted(f *field) string {
	text := []rune(string(e.scalar(f)))
	if len(text) > maxQuoted {
		return fmt.Sprintf("%q…", string(text[:maxQuoted]))
	}
	return fmt.Sprintf("%q", string(text))
}

var kindNames = [...]string{
	kindNull: "null", kindTrue: "a boolean", kindFalse: "a boolean", kindNumber: "a number",
	kindString: "a text", kindArray: "a list", kindObject: "an object",
}

// textName returns the name of a member that holds text in every event that
// Auth0 sends, and "" for any other. Audience, scope and auth0_client come in
// several kinds.
func (e *Event) textName(f *field) string {
	key := e.src[f.keyStart:f.keyEnd]
	if e.escaped {
		key = unescape(key)
	}
	switch string(key) {
	case "type":
		return "type"
	case "ip":
		return "ip"
	case "user_id":
		return "user_id"
	case "user_name":
		return "user_name"
	case "client_id":
		return "client_id"
	case "client_name":
		return "client_name"
	case "connection":
		return "connection"
	case "hostname":
		return "hostname"
	case "user_agent":
		return "user_agent"
	case "date":
		return "date"
	case "description":
		return "description"
	case "log_id":
		return "log_id"
	}
	return ""
}

// isLetter reports whether e is no event but a line of a dead letter file, see
// [DeadLetter].
func (e *Event) isLetter() bool {
	if e.Type != "" || len(e.fields) != 7 {
		return false
	}
	for _, name := range [...]string{"at", "source", "line", "offset", "reason", "size"} {
		if e.member(name) == nil {
			return false
		}
	}
	return e.member("raw") != nil || e.member("raw_base64") != nil
}
