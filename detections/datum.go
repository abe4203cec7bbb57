package detections

import (
	"math"
	"strings"
	"unsafe"

	"portcullis/logstream"
)

// datum is a value within an expression. Scalars of an event stay where they
// are in it until somebody keeps them (see keep): a condition that is false
// costs no memory.
type datum struct {
	kind  datumKind
	lent  bool    // text is the event's: it changes when the event is gone
	num   float64 // of a truth 1 when true
	text  string
	boxed any // the same value for Go; of a collection the only form
}

type datumKind uint8

const (
	noValue datumKind = iota // missing
	boolValue
	numberValue
	textValue
	collectionValue // an array, an object, or whatever else a function gives
)

// datumOf takes a value as Lookup, YAML or expr give it.
func datumOf(v any) datum {
	switch v := v.(type) {
	case nil:
		return datum{}
	case string:
		return datum{kind: textValue, text: v, boxed: v}
	case float64:
		return datum{kind: numberValue, num: v, boxed: v}
	case int:
		return datum{kind: numberValue, num: float64(v), boxed: v}
	case int64:
		return datum{kind: numberValue, num: float64(v), boxed: v}
	case bool:
		return truthOf(v)
	}
	return datum{kind: collectionValue, boxed: v}
}

func truthOf(b bool) datum {
	if b {
		return datum{kind: boolValue, num: 1, boxed: true}
	}
	return datum{kind: boolValue, boxed: false}
}

func numberOf(n float64) datum { return datum{kind: numberValue, num: n} }

// inEvent finds the value at a path without copying it, unless it is a
// collection.
func inEvent(ev *logstream.Event, p logstream.Path) datum {
	s := ev.Scalar(p)
	switch s.Kind {
	case logstream.Text:
		return datum{kind: textValue, lent: true, text: unsafe.String(unsafe.SliceData(s.Text), len(s.Text))}
	case logstream.Number:
		return datum{kind: numberValue, num: s.Number}
	case logstream.Bool:
		return truthOf(s.Number == 1)
	case logstream.Collection:
		return datum{kind: collectionValue, boxed: ev.Lookup(p)}
	}
	return datum{}
}

// keep returns the value in a form that outlives the event; nil when missing.
func (d *datum) keep() any {
	if d.boxed != nil {
		return d.boxed
	}
	switch d.kind {
	case numberValue:
		d.boxed = d.num
	case textValue:
		if d.lent {
			d.text, d.lent = strings.Clone(d.text), false
		}
		d.boxed = d.text
	}
	return d.boxed
}

func (d *datum) list() ([]any, bool) {
	l, ok := d.boxed.([]any)
	return l, ok && d.kind == collectionValue
}

// same reports whether two values are equal; values of different kinds never are.
func (d *datum) same(o *datum) bool {
	if d.kind != o.kind {
		return false
	}
	switch d.kind {
	case textValue:
		return d.text == o.text
	case numberValue, boolValue:
		return d.num == o.num
	case collectionValue:
		return equal(d.boxed, o.boxed)
	}
	return false
}

// order compares two texts or two numbers; anything else has no order.
func (d *datum) order(o *datum) (int, bool) {
	switch {
	case d.kind == textValue && o.kind == textValue:
		return strings.Compare(d.text, o.text), true
	case d.kind != numberValue || o.kind != numberValue || math.IsNaN(d.num) || math.IsNaN(o.num):
		return 0, false
	case d.num < o.num:
		return -1, true
	case d.num > o.num:
		return 1, true
	}
	return 0, true
}
