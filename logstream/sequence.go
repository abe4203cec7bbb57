package logstream

import "bytes"

// A sink takes what a sequence yields; a callback returning false ends it.
type sink struct {
	event func(Event) bool
	fault func(start, end int, err error) bool // bytes [start,end) of the body are not an event

	stopAtClose bool // the array's end is the sequence's end
	closedAt    int  // where that was

	scans int // searches of all that follows, see costly
}

// maxScans bounds the searches of a whole body for the end of a malformed
// value: each may read to the body's end, which a hostile body could ask for at
// every byte.
const maxScans = 100

// costly reports whether one more such search is allowed.
func (s *sink) costly() bool {
	s.scans++
	return s.scans <= maxScans
}

// sequence reads the objects in b one after another, with any white space,
// commas and array brackets between them, so that one function reads JSON
// lines, an array, concatenated objects and pieces of these. open is 1 inside
// an array and 0 outside; sequence returns what it is at the end of b, or -1
// when the sink ended it.
func (d *decoder) sequence(b []byte, open int, out *sink) int {
	i := 0
	for {
		for i < len(b) && (space(b[i]) || b[i] == ',' || b[i] == recordSeparator) {
			i++
		}
		if i == len(b) {
			return open
		}
		switch {
		case b[i] == '[' && open == 0:
			open = 1
			i++
			continue
		case b[i] == ']' && open == 1:
			open = 0
			i++
			if out.stopAtClose {
				out.closedAt = i
				return 0
			}
			continue
		case b[i] == '{':
			next, ok := d.one(b, i, out)
			if !ok {
				return -1
			}
			i = next
			continue
		}
		end, err := strayEnd(b, i, open, out)
		if !out.fault(i, end, err) {
			return -1
		}
		i = end
	}
}

// recordSeparator stands between the members of a JSON text sequence.
const recordSeparator = 0x1e

// one reads the object at i, or every event of the container at i, and returns
// where to go on.
func (d *decoder) one(b []byte, i int, out *sink) (next int, ok bool) {
	e, n, err := d.event(b[i:])
	switch err {
	case nil:
		return i + n, out.event(e)
	case errContainer:
		return i + n, d.container(b, i, n, out)
	}
	if m := logsPrefix.FindIndex(b[i:min(len(b), i+maxPrefix)]); m != nil {
		return d.brokenContainer(b, i+m[1], out)
	}
	end := resync(b, i, out)
	return end, out.fault(i, i+len(bytes.TrimRight(b[i:end], " \t\r\n")), err)
}

// brokenContainer reads the events of a {"logs":[…]} that is not JSON as a whole,
// element by element from the first, at start.
func (d *decoder) brokenContainer(b []byte, start int, out *sink) (next int, ok bool) {
	inner := &sink{stopAtClose: true, event: out.event, fault: func(from, to int, err error) bool {
		return out.fault(from+start, to+start, err)
	}}
	switch d.sequence(b[start:], 1, inner) {
	case -1:
		return 0, false
	case 1:
		return len(b), out.fault(len(b), len(b), errOpenArray)
	}
	// What follows the list is of no interest up to the object's end.
	next = start + inner.closedAt
	if n := bytes.IndexAny(b[next:], "}\n"); n >= 0 {
		return next + n + 1, true
	}
	return len(b), true
}

// container reads the events of the {"logs":[…]} in b[i:i+n].
func (d *decoder) container(b []byte, i, n int, out *sink) bool {
	list := Event{src: b[i : i+n], fields: d.levels[0].fields, escaped: true}
	f := list.member("logs")
	shift := i + int(f.valStart)
	list.fields = nil // the levels are about to be reused
	inner := &sink{event: out.event, fault: func(start, end int, err error) bool {
		return out.fault(start+shift, end+shift, err)
	}}
	return d.sequence(b[shift:i+int(f.valEnd)], 0, inner) >= 0
}

// strayEnd returns where something that is no object ends: at the end of the
// scalar or array that it is, else at the next separator.
func strayEnd(b []byte, i, open int, out *sink) (int, error) {
	s := scanner{b: b}
	if end, _ := s.value(i, 0); end > i {
		return end, errNotObject
	}
	if b[i] == '[' && out.costly() {
		if end := balancedEnd(b, i); end > i {
			return end, s.err
		}
	}
	stop := "\n"
	if open == 1 {
		stop = ",]\n"
	}
	if n := bytes.IndexAny(b[i+1:], stop); n >= 0 {
		return i + 1 + n, s.err
	}
	return len(b), s.err
}

// resync returns where to go on after the malformed object at i. It prefers
// losing the least: the object's own closing brace on its line; the next line
// when that starts an object at the same column; the closing brace further
// down; the next object that starts like an event. Else the rest is lost.
func resync(b []byte, i int, out *sink) int {
	lineEnd := len(b)
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		lineEnd = i + n
	}
	if end := balancedEnd(b[:lineEnd], i); end > 0 {
		return end
	}
	if next := skipSpace(b, lineEnd); next < len(b) && b[next] == '{' && column(b, next) == column(b, i) {
		return next
	}
	if !out.costly() {
		return len(b)
	}
	if end := balancedEnd(b, i); end > 0 {
		return end
	}
	if next := nextLikelyEvent(b, i); next > 0 {
		return next
	}
	return len(b)
}

// column counts the bytes between i and the line start before it.
func column(b []byte, i int) int { return i - 1 - bytes.LastIndexByte(b[:i], '\n') }

// nextLikelyEvent finds the next object that follows `}` and a separator and
// whose first member is a log id: the inside of a broken event does not look so.
func nextLikelyEvent(b []byte, i int) int {
	for {
		n := bytes.IndexByte(b[i+1:], '{')
		if n < 0 {
			return -1
		}
		i += 1 + n
		before := bytes.TrimRight(b[:i], " \t\r\n,")
		if len(before) == 0 || len(before) == i || before[len(before)-1] != '}' {
			continue
		}
		first := skipSpace(b, i+1)
		for _, name := range [...]string{`"log_id"`, `"_id"`} {
			if bytes.HasPrefix(b[first:], []byte(name)) {
				return i
			}
		}
	}
}
