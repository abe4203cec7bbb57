package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// load is the events to post, one a line, in one piece of memory: a body is a
// part of it, so that posting costs next to nothing beside what is measured.
type load struct {
	data []byte
	ends []int // where each line ends, with its newline
}

// step is the time between two events when they are given new dates: a million
// of them spread over ten minutes, so that bodies that overtake each other on
// different connections stay far within the lateness of two minutes.
const step = 600 * time.Microsecond

// generate makes events as bench/gen does for the benchmark of replay.
func generate(ctx context.Context, generator string, events int) (*load, error) {
	cmd := exec.CommandContext(ctx, generator, "--events", strconv.Itoa(events), "--users", strconv.Itoa(max(events/5, 1)),
		"--addresses", strconv.Itoa(min(max(events*3/10, 1), 4_000_000)), "--attacks", strconv.Itoa(min(6, events/2000)))
	var msgs strings.Builder
	var out bytes.Buffer
	out.Grow(events * 1300)
	cmd.Stdout, cmd.Stderr = &out, &msgs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("make events: %w: %s", err, strings.TrimSpace(msgs.String()))
	}
	return newLoad(out.Bytes())
}

func newLoad(data []byte) (*load, error) {
	l := &load{data: data}
	for at := 0; at < len(data); {
		n := bytes.IndexByte(data[at:], '\n')
		if n < 0 {
			return nil, fmt.Errorf("event %d has no end", len(l.ends)+1)
		}
		at += n + 1
		l.ends = append(l.ends, at)
	}
	if l.len() > 0 {
		if err := redate(l.line(0), time.Unix(0, 0)); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *load) len() int { return len(l.ends) }

// size is the bytes of an event on average.
func (l *load) size() float64 { return float64(len(l.data)) / float64(max(l.len(), 1)) }

// body is the lines from the i-th up to before the j-th.
func (l *load) body(i, j int) []byte {
	from := 0
	if i > 0 {
		from = l.ends[i-1]
	}
	return l.data[from:l.ends[j-1]]
}

func (l *load) line(i int) []byte { return l.body(i, i+1) }

// date gives the lines from the i-th up to before the j-th new dates, apart by
// step, of which the last is end.
func (l *load) date(i, j int, end time.Time) error {
	for k := i; k < j; k++ {
		if err := redate(l.line(k), end.Add(-time.Duration(j-1-k)*step)); err != nil {
			return fmt.Errorf("event %d: %w", k+1, err)
		}
	}
	return nil
}

const (
	idMark   = `"log_id":"900`
	dateMark = `"date":"`
	dateForm = "2006-01-02T15:04:05.000Z"
	idForm   = "20060102150405"
)

// redate puts another time in place of an event's date and of those within its
// log_id, which stands in it twice.
func redate(line []byte, t time.Time) error {
	t = t.UTC()
	id := t.AppendFormat(make([]byte, 0, 17), idForm)
	id = fmt.Appendf(id, "%03d", t.Nanosecond()/int(time.Millisecond))
	for _, at := range []int{bytes.Index(line, []byte(idMark)), bytes.LastIndex(line, []byte(idMark))} {
		if at < 0 || at+len(idMark)+len(id) > len(line) {
			return fmt.Errorf("no log_id in %q", line)
		}
		copy(line[at+len(idMark):], id)
	}
	at := bytes.Index(line, []byte(dateMark))
	if at < 0 || at+len(dateMark)+len(dateForm) > len(line) {
		return fmt.Errorf("no date in %q", line)
	}
	copy(line[at+len(dateMark):], t.AppendFormat(make([]byte, 0, len(dateForm)), dateForm))
	return nil
}

// keys counts what the windows are kept for: the addresses that each rule has
// seen, where the rule is one of the catalog's by address or the one of keyRule.
func (l *load) keys() int {
	type key struct{ rule, ip string }
	seen := map[key]struct{}{}
	for i := range l.len() {
		line := l.line(i)
		ip := member(line, "ip")
		for _, rule := range keyed[member(line, "type")] {
			seen[key{rule, ip}] = struct{}{}
		}
	}
	return len(seen)
}

// member is the text of the first member of that name; "" if there is none.
func member(line []byte, name string) string {
	_, rest, _ := bytes.Cut(line, []byte(`"`+name+`":"`))
	text, _, _ := bytes.Cut(rest, []byte{'"'})
	return string(text)
}

const keyRuleID = "live-keys"

// keyTypes are a quarter of the events: together with the catalog's rules their
// addresses come to about 300,000 keys in a million events.
var keyTypes = []string{"seacft", "ssa"}

// keyed is which rules by address ask for a type of the generator's events. A
// pla counts for one of them only where it asks for verification: too few to
// matter.
var keyed = map[string][]string{
	"seacft": {keyRuleID}, "ssa": {keyRuleID},
	"s": {"suspicious-ip-success"}, "ss": {"suspicious-ip-success"},
	"f": {"credential-stuffing-ip"}, "fp": {"credential-stuffing-ip"}, "fu": {"credential-stuffing-ip"},
	"pwd_leak": {"credential-stuffing-ip", "suspicious-ip-success"}, "limit_wc": {"credential-stuffing-ip", "suspicious-ip-success"},
}
