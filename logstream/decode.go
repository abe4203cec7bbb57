package logstream

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

var (
	errNotObject = errors.New("not a JSON object")
	errContainer = errors.New("a list of events where one event belongs")
)

// Decode reads exactly one event in any envelope: the API's bare object, the
// webhook's, EventBridge's, Event Grid's. Only what is not one JSON object is
// an error; missing and oddly typed members are not.
//
// The event borrows b: b must stay unchanged while the event is in use, or
// until [Event.Clone]. When an object has a member twice, the first counts.
func Decode(b []byte) (Event, error) {
	d := decoders.Get().(*decoder)
	defer d.release()
	b = bytes.TrimPrefix(b, utf8BOM)
	start := skipSpace(b, 0)
	if start == len(b) || b[start] != '{' {
		return Event{}, fmt.Errorf("decode an event: %w", errNotObject)
	}
	e, n, err := d.event(b[start:])
	if err == nil && skipSpace(b, start+n) < len(b) {
		err = &syntaxError{what: "something after the event", at: start + n}
	}
	if err != nil {
		return Event{}, fmt.Errorf("decode an event: %w", err)
	}
	return e, nil
}

// DecodeAll reads every event of a body that holds one object, an array of
// them, {"logs":[…]}, or JSON lines, each in any envelope. What cannot be
// decoded is yielded as an error of type [*DecodeError]; its neighbours are
// unharmed. Reading stops when yield returns false. Like [Decode] it borrows b.
func DecodeAll(b []byte, yield func(Event, error) bool) {
	d := decoders.Get().(*decoder)
	defer d.release()
	offset := 0
	if bytes.HasPrefix(b, utf8BOM) {
		offset = len(utf8BOM)
	}
	body := b[offset:]
	line, counted := 1, 0 // faults come in order, so each newline is counted once
	lineOf := func(i int) int {
		line += bytes.Count(body[counted:i], newline)
		counted = i
		return line
	}
	if open := d.sequence(body, 0, &sink{
		event: func(e Event) bool { return yield(e, nil) },
		fault: func(start, end int, err error) bool {
			return yield(Event{}, &DecodeError{
				Line: lineOf(start), Offset: int64(offset + start),
				Raw: body[start:end], Err: err,
			})
		},
	}); open == 1 {
		yield(Event{}, &DecodeError{Line: lineOf(len(body)), Offset: int64(len(b)), Err: errOpenArray})
	}
}

var (
	utf8BOM      = []byte("\xef\xbb\xbf")
	newline      = []byte{'\n'}
	errOpenArray = fmt.Errorf("the array is not closed: %w", errIncomplete)
)

// A DecodeError tells of one part of a body that is not an event.
type DecodeError struct {
	Line   int    // 1-based line of the body where the part starts
	Offset int64  // its first byte
	Raw    []byte // the part itself, borrowed from the body; empty when the body ends too early
	Err    error
}

func (e *DecodeError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// A decoder holds what decoding one event after another can reuse. It is not
// safe for concurrent use.
type decoder struct {
	s      scanner
	levels [maxEnvelopes + 1]level
	used   int // levels recorded for the current event

	keep  bool    // events put their fields into arena, else each has its own
	arena []field // reset by the decoder's owner when the events are done with

	types [512]string // recently seen event types, so that each is one string
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// release returns d to the pool without the bytes it read.
func (d *decoder) release() {
	d.s = scanner{}
	for i := range d.levels {
		d.levels[i].b = nil
	}
	decoders.Put(d)
}

// event decodes the object at the start of b and returns its length.
func (d *decoder) event(b []byte) (Event, int, error) {
	if uint64(len(b)) > math.MaxUint32 {
		return Event{}, 0, errors.New("larger than 4 GiB")
	}
	d.s.b, d.s.err, d.used = b, nil, 0
	end := d.record(0, 1)
	if end < 0 {
		return Event{}, 0, d.s.err
	}
	payload := 0
	for payload+1 < d.used && d.levels[payload].wraps() {
		payload++
	}
	e := d.build(payload)
	if e.ID == "" && !d.identify(&e, payload) {
		return Event{}, end, errContainer
	}
	e.setTime()
	return e, end, nil
}

// record scans the object at i like [scanner.object] and notes its members. It
// goes into the first member named data or detail that is an object, so that a
// payload is indexed in the same pass as its envelopes.
func (d *decoder) record(i, depth int) int {
	b := d.s.b
	n := d.used
	d.used++
	l := &d.levels[n]
	l.b, l.start, l.inner, l.other, l.fields = b, i, -1, 0, l.fields[:0]
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		l.end = i + 1
		return i + 1
	}
	for {
		keyStart := i + 1
		keyEnd, i2 := d.s.key(i)
		if i = i2; i < 0 {
			return -1
		}
		f := field{keyStart: uint32(keyStart), keyEnd: uint32(keyEnd), valStart: uint32(i), kind: kindString}
		switch {
		case i < len(b) && b[i] == '"':
			e := stringEnd(b, i+1)
			if e < 0 {
				return d.s.fail(len(b), "")
			}
			f.valStart, f.valEnd = uint32(i+1), uint32(e)
			i = e + 1
		case i < len(b) && b[i] == '{' && l.inner < 0 && d.used < len(d.levels) && payloadName(b[keyStart:keyEnd]):
			l.inner = len(l.fields)
			if i = d.record(i, depth+1); i < 0 {
				return -1
			}
			f.kind, f.valEnd = kindObject, uint32(i)
			l.other |= 1 << min(len(l.fields), lastOther)
		default:
			if i, f.kind = d.s.value(i, depth); i < 0 {
				return -1
			}
			f.valEnd = uint32(i)
			l.other |= 1 << min(len(l.fields), lastOther)
		}
		l.fields = append(l.fields, f)
		var done bool
		if i, done = d.s.afterMember(i); i < 0 {
			return -1
		}
		if done {
			l.end = i
			return i
		}
	}
}

// lastOther is the last bit of the set of members that are no strings.
const lastOther = 31

func payloadName(k []byte) bool { return string(k) == "data" || string(k) == "detail" }

// build makes the event whose payload is level n; its ID stays empty when the
// payload has none.
func (d *decoder) build(n int) Event {
	l := &d.levels[n]
	e := Event{src: l.b, start: uint32(l.start), end: uint32(l.end), other: l.other}
	e.escaped = bytes.IndexByte(e.Raw(), '\\') >= 0
	if d.keep {
		first := len(d.arena)
		d.arena = append(d.arena, l.fields...)
		e.fields = d.arena[first:len(d.arena):len(d.arena)]
	} else {
		e.fields = slices.Clone(l.fields)
	}
	if f := e.member("type"); f != nil {
		e.Type = d.intern(e.scalar(f))
	}
	e.ID = e.ownID()
	return e
}

// identify gives e the ID of the nearest envelope that has one, else one made
// from the payload. It reports false when the object is no event but a
// container of events.
func (d *decoder) identify(e *Event, payload int) bool {
	if payload == 0 && e.Type == "" {
		if f := e.member("logs"); f != nil && f.kind == kindArray {
			return false
		}
	}
	for n := payload - 1; n >= 0; n-- {
		l := &d.levels[n]
		w := Event{src: l.b, fields: l.fields, escaped: true}
		for _, name := range [...]string{"log_id", "id"} {
			if f := w.member(name); f != nil {
				if e.ID = string(w.scalar(f)); e.ID != "" {
					return true
				}
			}
		}
	}
	sum := sha256.Sum256(e.Raw())
	e.ID = hashedID + hex.EncodeToString(sum[:])
	return true
}

// hashedID starts the ID of an event that came without one.
const hashedID = "sha256:"

// intern returns b as a string, the same one for types seen recently.
func (d *decoder) intern(b []byte) string {
	if len(b) == 0 || len(b) > 64 {
		return string(b)
	}
	h := uint(len(b))
	for _, c := range b {
		h = h*31 + uint(c)
	}
	slot := &d.types[h%uint(len(d.types))]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}
