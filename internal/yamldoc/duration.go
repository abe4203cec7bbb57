package yamldoc

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

var days = regexp.MustCompile(`^(\d+)(d|w)(.*)$`)

// ParseDuration reads a Go duration that may begin with days or weeks: 30d,
// 2w, 1d12h, 90s. It must be positive and at most ten years.
func ParseDuration(s string) (time.Duration, error) {
	var total time.Duration
	rest := s
	if m := days.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 3650 {
			return 0, fmt.Errorf("%q is more than ten years", s)
		}
		unit := 24 * time.Hour
		if m[2] == "w" {
			unit *= 7
		}
		total = time.Duration(n) * unit
		rest = m[3]
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			return 0, fmt.Errorf("%q is not a length of time", s)
		}
		total += d
	}
	if total <= 0 || total > 3650*24*time.Hour {
		return 0, fmt.Errorf("%q is not between 1ns and ten years", s)
	}
	return total, nil
}

// FormatDuration writes d as a person would: 30d, 1h, 1h30m, 90s.
func FormatDuration(d time.Duration) string {
	if d >= 24*time.Hour && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	out := ""
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / u.unit; n > 0 {
			out += fmt.Sprintf("%d%s", n, u.name)
			d -= n * u.unit
		}
	}
	if out == "" {
		return d.String()
	}
	return out
}
