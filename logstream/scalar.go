package logstream

import "strings"

// Kind says what a value of an event is.
type Kind uint8

// The kinds of values. Null is also what is missing.
const (
	Null Kind = iota
	Bool
	Number
	Text
	Collection // an array or an object, or what a path with [*] finds
)

// A Scalar is a value at a path that was not copied: the text is the event's
// own, not to be changed, and valid as long as the event is.
type Scalar struct {
	Kind   Kind
	Number float64 // of a Bool 1 when true
	Text   []byte
}

// Scalar returns what [Event.Lookup] returns, without making anything of it. Of
// a Collection it tells no more than that there is one.
func (e *Event) Scalar(p Path) Scalar {
	v := e.find(p)
	switch {
	case v.rest > 0:
		return Scalar{Kind: Collection}
	case v.kind == kindNull:
		if p.isID() && e.ID != "" && !strings.HasPrefix(e.ID, hashedID) {
			return Scalar{Kind: Text, Text: []byte(e.ID)}
		}
		return Scalar{}
	case v.kind == kindString:
		return Scalar{Kind: Text, Text: v.text()}
	case v.kind == kindNumber:
		return Scalar{Kind: Number, Number: float(v.b)}
	case v.kind == kindTrue:
		return Scalar{Kind: Bool, Number: 1}
	case v.kind == kindFalse:
		return Scalar{Kind: Bool}
	}
	return Scalar{Kind: Collection}
}
