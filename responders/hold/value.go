package hold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
)

// Value is a JSON value in one form: values that are equal are equal texts. ""
// is no value at all.
type Value string

// The values of a switch, and of an element that is in a list or not.
const (
	True  Value = "true"
	False Value = "false"
)

// Canonical brings JSON into its one form: members sorted, numbers as short as can
// be, no space.
func Canonical(raw []byte) (Value, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", fmt.Errorf("read a value: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", fmt.Errorf("read a value: something follows it")
	}
	return ValueOf(v), nil
}

// ValueOf is the value of what a decoder of JSON or YAML made: nil, bool, numbers,
// strings, and lists and maps of these.
func ValueOf(v any) Value {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(plain(v)); err != nil {
		return ""
	}
	return Value(bytes.TrimRight(b.Bytes(), "\n"))
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if r, ok := new(big.Rat).SetString(string(v)); ok && len(v) < 64 {
			if r.IsInt() {
				return json.RawMessage(r.Num().String())
			}
		}
		return v
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = plain(e)
		}
		return out
	}
	return v
}

// Raw is the value as JSON; null for none.
func (v Value) Raw() json.RawMessage {
	if v == "" {
		return json.RawMessage("null")
	}
	return json.RawMessage(v)
}

// String is the value for people: a text without its quotes.
func (v Value) String() string {
	var s string
	if json.Unmarshal([]byte(v), &s) == nil {
		return s
	}
	if v == "" {
		return "nothing"
	}
	return string(v)
}

// number reads a value as a number; nil when it is none.
func (v Value) number() *big.Rat {
	if v == "" || strings.ContainsAny(string(v[:1]), `"[{tfn`) {
		return nil
	}
	r, ok := new(big.Rat).SetString(string(v))
	if !ok {
		return nil
	}
	return r
}

// Lattice is the order in which a field's values are strict.
type Lattice interface {
	// Stricter reports whether a is stricter than b. It is false too when they have
	// no order.
	Stricter(a, b Value) bool
	// Knows reports whether a value has a place in the order.
	Knows(v Value) bool
}

// Ordinal is a field's values from the weakest to the strictest.
type Ordinal []Value

// Words are the values of an Ordinal that are texts.
func Words(weakestFirst ...string) Ordinal {
	out := make(Ordinal, len(weakestFirst))
	for i, w := range weakestFirst {
		out[i] = ValueOf(w)
	}
	return out
}

// The orders of a switch. In a list of protections an element is stricter there
// (set union); in a list of exemptions it is stricter gone (set intersection).
var (
	On  = Ordinal{False, True}
	Off = Ordinal{True, False}
)

// Stricter compares places.
func (o Ordinal) Stricter(a, b Value) bool {
	i, j := slices.Index(o, a), slices.Index(o, b)
	return i >= 0 && j >= 0 && i > j
}

// Knows reports whether v is one of the values.
func (o Ordinal) Knows(v Value) bool { return slices.Contains(o, v) }

// Least is the order of numbers of which the smaller is stricter.
type Least struct{}

// Stricter compares numbers.
func (Least) Stricter(a, b Value) bool { return Most{}.Stricter(b, a) }

// Knows reports whether v is a number.
func (Least) Knows(v Value) bool { return v.number() != nil }

// Most is the order of numbers of which the greater is stricter.
type Most struct{}

// Stricter compares numbers.
func (Most) Stricter(a, b Value) bool {
	x, y := a.number(), b.number()
	return x != nil && y != nil && x.Cmp(y) > 0
}

// Knows reports whether v is a number.
func (Most) Knows(v Value) bool { return v.number() != nil }

// Exclusive is for values that have no order: one claim has its way, the others
// wait.
type Exclusive struct{}

// Stricter is never so.
func (Exclusive) Stricter(Value, Value) bool { return false }

// Knows takes every value.
func (Exclusive) Knows(v Value) bool { return v != "" }

// Insert puts an element into an ordered list at a place counted from its start,
// or from its end when that is negative; -1 is the end. Where it is already, it
// stays.
func Insert[T comparable](list []T, element T, place int) []T {
	if slices.Contains(list, element) {
		return list
	}
	if place < 0 {
		place = len(list) + 1 + place
	}
	return slices.Insert(slices.Clone(list), min(max(place, 0), len(list)), element)
}

// Remove takes an element out of an ordered list and leaves the others as they are.
func Remove[T comparable](list []T, element T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(e T) bool { return e == element })
}
