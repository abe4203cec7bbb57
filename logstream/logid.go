package logstream

import (
	"fmt"
	"strings"
	"time"
)

// A log_id is logIDPrefix, the time as YYYYMMDDhhmmss and three digits of
// milliseconds, then a sequence number: 55 or 56 digits in all.
const (
	logIDPrefix = "900"
	logIDStamp  = len(logIDPrefix) + 14 + 3 // digits up to and with the milliseconds
)

func logIDTime(id string) (time.Time, bool) {
	if len(id) < logIDStamp || !strings.HasPrefix(id, logIDPrefix) {
		return time.Time{}, false
	}
	if _, ok := number(id); !ok {
		return time.Time{}, false
	}
	part := func(from, n int) int {
		v, _ := number(id[from : from+n])
		return v
	}
	return civil(part(3, 4), part(7, 2), part(9, 2), part(11, 2), part(13, 2), part(15, 2), part(17, 3))
}

// CursorAt returns the cursor after which the logs since t follow: a log_id of
// that second that sorts before every real one of it. t is cut to the second;
// years outside 1 to 9999 are moved to the nearest of these.
func CursorAt(t time.Time) string {
	t = t.UTC()
	switch {
	case t.Year() < 1:
		t = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > 9999:
		t = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return logIDPrefix + t.Format("20060102150405") + strings.Repeat("0", 39)
}

// checkCursor tells what is wrong with a stored or configured cursor. It is
// lenient about the form of ids and strict about what could not be one.
func checkCursor(c string) error {
	if len(c) > 128 {
		return fmt.Errorf("cursor of %d bytes is too long for a log_id", len(c))
	}
	for i := range len(c) {
		switch b := c[i]; {
		case b >= '0' && b <= '9', b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b == '_', b == '-':
		default:
			return fmt.Errorf("cursor %q is not a log_id", c)
		}
	}
	return nil
}
