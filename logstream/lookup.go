package logstream

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// replacement stands for what is not UTF-8.
const replacement = "\uFFFD"

// Lookup returns the value at p: a string, float64, bool, []any or
// map[string]any, all of them copies safe to keep. It is nil when a name on
// the way is missing or the value is null. A path with [*] gives a []any of
// what the elements hold, without nulls and with inner arrays spliced in; it
// is empty when the elements have nothing there, and a value that is no array
// counts as its own only element. Invalid UTF-8 is replaced by U+FFFD, a number
// beyond float64 by the largest one. log_id falls back on the event's ID.
func (e *Event) Lookup(p Path) any {
	if v := e.find(p); v.kind != kindNull {
		return v.make(p)
	}
	if p.isID() && e.ID != "" && !strings.HasPrefix(e.ID, hashedID) {
		return e.ID
	}
	return nil
}

// LookupString returns the string at p, and false when there is none or it is
// no string. The string is a copy safe to keep.
func (e *Event) LookupString(p Path) (string, bool) {
	if b, ok := e.LookupBytes(p); ok {
		return string(b), true
	}
	return "", false
}

// LookupBytes is [Event.LookupString] without the copy: the bytes are the
// event's own, not to be changed, and valid as long as the event is.
func (e *Event) LookupBytes(p Path) ([]byte, bool) {
	v := e.find(p)
	if v.kind == kindString && v.rest == 0 {
		return v.text(), true
	}
	if v.kind == kindNull && p.isID() && e.ID != "" && !strings.HasPrefix(e.ID, hashedID) {
		return []byte(e.ID), true
	}
	return nil, false
}

// A located value is the part of an event where a search ended: at the value
// itself, or at the array after which rest segments of the path remain.
type located struct {
	b       []byte // as in field: without the quotes of a string
	kind    kind
	escaped bool
	rest    int // how many segments are left, the one with [*] included
}

func (e *Event) find(p Path) located {
	if len(p.segments) == 0 {
		return located{}
	}
	if v := e.findFrom(p.segments[0].name, p.segments); v.kind != kindNull {
		return v
	}
	if p.alias != "" {
		return e.findFrom(p.alias, p.segments)
	}
	return located{}
}

func (e *Event) findFrom(name string, segments []segment) located {
	f := e.member(name)
	if f == nil {
		return located{}
	}
	v := located{b: e.src[f.valStart:f.valEnd], kind: f.kind, escaped: e.escaped}
	return v.descend(segments)
}

// descend follows the segments whose first is where v already is, as far as
// the first [*].
func (v located) descend(segments []segment) located {
	for {
		if segments[0].each {
			v.rest = len(segments)
			return v
		}
		if segments = segments[1:]; len(segments) == 0 {
			return v
		}
		if v = v.child(segments[0].name); v.kind == kindNull {
			return v
		}
	}
}

// child returns the first member of that name of an object, or null.
func (v located) child(name string) located {
	if v.kind != kindObject {
		return located{}
	}
	out := located{escaped: v.escaped}
	v.members(func(key []byte, c located) bool {
		if string(key) == name || v.escaped && bytes.IndexByte(key, '\\') >= 0 && string(unescape(key)) == name {
			out.b, out.kind = c.b, c.kind
			return false
		}
		return true
	})
	return out
}

// members calls f with each member of an object, the keys still escaped.
func (v located) members(f func(key []byte, c located) bool) {
	s := scanner{b: v.b}
	i := skipSpace(v.b, 1)
	if i < len(v.b) && v.b[i] == '}' {
		return
	}
	for {
		start := i + 1
		end, at := s.key(i)
		if at < 0 {
			return
		}
		next, k := s.value(at, 0)
		if next < 0 || !f(v.b[start:end], v.at(at, next, k)) {
			return
		}
		var done bool
		if i, done = s.afterMember(next); i < 0 || done {
			return
		}
	}
}

// elements calls f with each element of an array.
func (v located) elements(f func(located)) {
	s := scanner{b: v.b}
	i := skipSpace(v.b, 1)
	for i < len(v.b) && v.b[i] != ']' {
		next, k := s.value(i, 0)
		if next < 0 {
			return
		}
		f(v.at(i, next, k))
		if i = skipSpace(v.b, next); i < len(v.b) && v.b[i] == ',' {
			i = skipSpace(v.b, i+1)
		}
	}
}

func (v located) at(start, end int, k kind) located {
	if k == kindString {
		start, end = start+1, end-1
	}
	return located{b: v.b[start:end], kind: k, escaped: v.escaped}
}

// make turns v into what Lookup returns.
func (v located) make(p Path) any {
	if v.rest > 0 {
		return v.collect(p.segments[len(p.segments)-v.rest:], []any{})
	}
	return v.plain()
}

// collect appends what each element of v holds after the first segment, which
// has [*].
func (v located) collect(segments []segment, out []any) []any {
	v.rest = 0
	visit := func(c located) {
		if len(segments) == 1 {
			out = c.splice(out)
			return
		}
		if c = c.child(segments[1].name); c.kind == kindNull {
			return
		}
		if c = c.descend(segments[1:]); c.kind == kindNull {
			return
		}
		if c.rest > 0 {
			out = c.collect(segments[len(segments)-c.rest:], out)
			return
		}
		out = c.splice(out)
	}
	if v.kind == kindArray {
		v.elements(visit)
	} else {
		visit(v)
	}
	return out
}

// splice appends v, or what it holds when it is an array.
func (v located) splice(out []any) []any {
	switch v.kind {
	case kindNull:
	case kindArray:
		v.elements(func(c located) { out = c.splice(out) })
	default:
		out = append(out, v.plain())
	}
	return out
}

func (v located) plain() any {
	switch v.kind {
	case kindTrue:
		return true
	case kindFalse:
		return false
	case kindNumber:
		return float(v.b)
	case kindString:
		return string(v.text())
	case kindArray:
		out := []any{}
		v.elements(func(c located) { out = append(out, c.plain()) })
		return out
	case kindObject:
		out := map[string]any{}
		v.members(func(key []byte, c located) bool {
			k := string(located{b: key, escaped: v.escaped}.text())
			if _, twice := out[k]; !twice {
				out[k] = c.plain()
			}
			return true
		})
		return out
	}
	return nil
}

func float(b []byte) float64 {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil && math.IsInf(f, 0) {
		return math.Copysign(math.MaxFloat64, f)
	}
	return f
}

// text returns a string's characters.
func (v located) text() []byte {
	b := v.b
	if v.escaped {
		b = unescape(b)
	}
	if !utf8.Valid(b) {
		b = bytes.ToValidUTF8(b, []byte(replacement))
	}
	return b
}

// unescape returns b without its JSON escapes, b itself when it has none. An
// escape that JSON does not know is kept as it stands; half a surrogate pair
// becomes U+FFFD.
func unescape(b []byte) []byte {
	n := bytes.IndexByte(b, '\\')
	if n < 0 {
		return b
	}
	out := append(make([]byte, 0, len(b)), b[:n]...)
	for b = b[n:]; len(b) > 0; {
		if b[0] != '\\' || len(b) < 2 {
			out = append(out, b[0])
			b = b[1:]
			continue
		}
		if b[1] == 'u' {
			r, n := unicodeEscape(b)
			if n == 0 {
				out = append(out, '\\', 'u')
				b = b[2:]
				continue
			}
			out = utf8.AppendRune(out, r)
			b = b[n:]
			continue
		}
		if c, ok := shortEscapes[b[1]]; ok {
			out = append(out, c)
		} else {
			out = append(out, b[:2]...)
		}
		b = b[2:]
	}
	return out
}

var shortEscapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unicodeEscape reads the \uXXXX, or the pair of them, at the start of b and
// returns its length; 0 when it is malformed.
func unicodeEscape(b []byte) (rune, int) {
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := hex4(b[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 32)
	return rune(n), err == nil
}
