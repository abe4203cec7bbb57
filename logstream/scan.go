package logstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// maxDepth bounds the nesting of one event; Auth0's own stay under 15.
const maxDepth = 256

// errIncomplete marks input that ends before its value does.
var errIncomplete = errors.New("the JSON ends too early")

// A syntaxError says what is wrong at which byte of the value.
type syntaxError struct {
	what string
	at   int
}

func (e *syntaxError) Error() string { return fmt.Sprintf("not JSON: %s at byte %d", e.what, e.at+1) }

type kind uint8

const (
	kindNull kind = iota
	kindTrue
	kindFalse
	kindNumber
	kindString
	kindArray
	kindObject
)

// A field is one member of an object, as offsets into the object's bytes. The
// offsets of keys and of string values leave out the quotes.
type field struct {
	keyStart, keyEnd uint32
	valStart, valEnd uint32
	kind             kind
}

// A scanner checks JSON and finds the ends of values. Two departures from the
// grammar keep events that a strict reader would drop: strings may hold raw
// control characters and unknown escapes, and they may hold invalid UTF-8.
type scanner struct {
	b   []byte
	err error // why the last scan returned -1
}

func (s *scanner) fail(at int, what string) int {
	if at >= len(s.b) {
		s.err = errIncomplete
	} else {
		s.err = &syntaxError{what: what, at: at}
	}
	return -1
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && space(b[i]) {
		i++
	}
	return i
}

// quotes marks the bytes of w that are quotes by their highest bit. The lowest
// mark is exact; those above it may be false.
func quotes(w uint64) uint64 {
	const low, high = 0x0101010101010101, 0x8080808080808080
	w ^= '"' * low
	return (w - low) &^ w & high
}

// stringEnd returns the index of the quote that closes the string whose
// opening quote stands at i-1, or -1. It tests eight bytes at a time, as most
// strings of an event are too short for a call of bytes.IndexByte to pay.
func stringEnd(b []byte, i int) int {
	for i+8 <= len(b) {
		hit := quotes(binary.LittleEndian.Uint64(b[i:]))
		if hit == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(hit) / 8
		if b[i-1] != '\\' || !escapedAt(b, i) {
			return i
		}
		i++
	}
	for ; i < len(b); i++ {
		if b[i] == '"' && !escapedAt(b, i) {
			return i
		}
	}
	return -1
}

// escapedAt reports whether an odd number of backslashes precede b[i]. They
// end at the latest at the string's opening quote.
func escapedAt(b []byte, i int) bool {
	n := i
	for n > 0 && b[n-1] == '\\' {
		n--
	}
	return (i-n)%2 == 1
}

// value returns the end of the value at i and its kind, or -1 with s.err set.
// depth counts the containers around it.
func (s *scanner) value(i, depth int) (int, kind) {
	b := s.b
	if i >= len(b) {
		return s.fail(i, ""), 0
	}
	switch c := b[i]; c {
	case '"':
		e := stringEnd(b, i+1)
		if e < 0 {
			return s.fail(len(b), ""), 0
		}
		return e + 1, kindString
	case '{':
		return s.object(i, depth+1), kindObject
	case '[':
		return s.array(i, depth+1), kindArray
	case 't':
		return s.literal(i, "true"), kindTrue
	case 'f':
		return s.literal(i, "false"), kindFalse
	case 'n':
		return s.literal(i, "null"), kindNull
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return s.number(i), kindNumber
		}
		return s.fail(i, fmt.Sprintf("%q where a value belongs", c)), 0
	}
}

func (s *scanner) literal(i int, word string) int {
	b := s.b
	if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
		return i + len(word)
	}
	if len(b)-i < len(word) && string(b[i:]) == word[:len(b)-i] {
		return s.fail(len(b), "")
	}
	return s.fail(i, "an unknown word")
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

func (s *scanner) number(i int) int {
	b := s.b
	if b[i] == '-' {
		i++
	}
	start := i
	i = digits(b, i)
	if i == start {
		return s.fail(i, "a number without digits")
	}
	if b[start] == '0' && i-start > 1 {
		return s.fail(start, "a number with a leading zero")
	}
	if i < len(b) && b[i] == '.' {
		start = i + 1
		if i = digits(b, start); i == start {
			return s.fail(i, "a number without digits after its point")
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start = i
		if i = digits(b, start); i == start {
			return s.fail(i, "a number without an exponent")
		}
	}
	return i
}

func (s *scanner) array(i, depth int) int {
	if depth > maxDepth {
		return s.fail(i, fmt.Sprintf("nesting deeper than %d", maxDepth))
	}
	b := s.b
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i, _ = s.value(i, depth); i < 0 {
			return -1
		}
		i = skipSpace(b, i)
		if i >= len(b) {
			return s.fail(i, "")
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return i + 1
		default:
			return s.fail(i, fmt.Sprintf("%q where a comma or ] belongs", b[i]))
		}
	}
}

func (s *scanner) object(i, depth int) int {
	if depth > maxDepth {
		return s.fail(i, fmt.Sprintf("nesting deeper than %d", maxDepth))
	}
	b := s.b
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		// The loop holds what nearly every member looks like, "name":"text",
		// without a call; key and afterMember know the rest.
		if i >= len(b) || b[i] != '"' {
			_, i = s.key(i)
			return i
		}
		e := stringEnd(b, i+1)
		if e >= 0 && e+1 < len(b) && b[e+1] == ':' {
			if i = e + 2; i < len(b) && b[i] <= ' ' {
				i = skipSpace(b, i)
			}
		} else if _, i = s.key(i); i < 0 {
			return -1
		}
		if i < len(b) && b[i] == '"' {
			e := stringEnd(b, i+1)
			if e < 0 {
				return s.fail(len(b), "")
			}
			i = e + 1
		} else if i, _ = s.value(i, depth); i < 0 {
			return -1
		}
		if i+1 < len(b) && b[i] == ',' && b[i+1] == '"' {
			i++
			continue
		}
		var done bool
		if i, done = s.afterMember(i); i < 0 || done {
			return i
		}
	}
}

// key reads `"name":` at i and returns the index of its closing quote and of
// the value after it; the second is -1 on failure.
func (s *scanner) key(i int) (end, value int) {
	b := s.b
	if i >= len(b) || b[i] != '"' {
		if i < len(b) {
			return 0, s.fail(i, fmt.Sprintf("%q where a member name belongs", b[i]))
		}
		return 0, s.fail(i, "")
	}
	e := stringEnd(b, i+1)
	if e < 0 {
		return 0, s.fail(len(b), "")
	}
	i = e + 1
	if i < len(b) && b[i] != ':' {
		i = skipSpace(b, i)
	}
	if i >= len(b) || b[i] != ':' {
		return 0, s.fail(i, "no colon after a member name")
	}
	i++
	if i < len(b) && b[i] <= ' ' {
		i = skipSpace(b, i)
	}
	return e, i
}

// afterMember steps over the comma or brace that follows a member's value at
// i; done says that it was the brace.
func (s *scanner) afterMember(i int) (next int, done bool) {
	b := s.b
	if i < len(b) && b[i] <= ' ' {
		i = skipSpace(b, i)
	}
	if i >= len(b) {
		return s.fail(i, ""), false
	}
	switch b[i] {
	case ',':
		i++
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		return i, false
	case '}':
		return i + 1, true
	}
	return s.fail(i, fmt.Sprintf("%q where a comma or } belongs", b[i])), false
}

// balancedEnd returns the index after the bracket that closes the one at i,
// minding strings and nothing else, or -1. It finds where a malformed value
// stops. A newline inside a string means that the quotes are out of step.
func balancedEnd(b []byte, i int) int {
	level := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			e := stringEnd(b, i+1)
			if e < 0 || bytes.IndexByte(b[i:e], '\n') >= 0 {
				return -1
			}
			i = e
		case '{', '[':
			level++
		case '}', ']':
			if level--; level == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}
