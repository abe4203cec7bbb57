package detections

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// errSnapshot is wrapped by every error about the content of a snapshot.
var errSnapshot = errors.New("the snapshot is damaged or of another version")

// encoder writes the few kinds of values that snapshots are made of.
type encoder struct{ b []byte }

func (e *encoder) uint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)   { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) len(n int)     { e.uint(uint64(n)) }
func (e *encoder) bool(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}
func (e *encoder) string(s string) {
	e.len(len(s))
	e.b = append(e.b, s...)
}
func (e *encoder) float(f float64) {
	e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(f))
}
func (e *encoder) strings(list []string) {
	e.len(len(list))
	for _, s := range list {
		e.string(s)
	}
}

// The kinds of values that events hold.
const (
	kindNil = iota
	kindFalse
	kindTrue
	kindNumber
	kindInt
	kindString
	kindList
	kindMap
)

func (e *encoder) value(v any) {
	kind := func(k byte) { e.b = append(e.b, k) }
	switch v := v.(type) {
	case nil:
		kind(kindNil)
	case bool:
		if v {
			kind(kindTrue)
		} else {
			kind(kindFalse)
		}
	case float64:
		kind(kindNumber)
		e.float(v)
	case int:
		kind(kindInt)
		e.int(int64(v))
	case string:
		kind(kindString)
		e.string(v)
	case []any:
		kind(kindList)
		e.len(len(v))
		for _, x := range v {
			e.value(x)
		}
	case map[string]any:
		kind(kindMap)
		e.len(len(v))
		for _, k := range keys(v) {
			e.string(k)
			e.value(v[k])
		}
	default:
		// Expressions over events make nothing else; its text is better than nothing.
		kind(kindString)
		e.string(fmt.Sprint(v))
	}
}

// decoder reads what an encoder wrote. After the first fault it reads zeros, and
// err tells it.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errSnapshot
	}
	d.b = nil
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// len reads a count of things that take at least a byte each.
func (d *decoder) len() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bool() bool {
	b := d.take(1)
	return len(b) == 1 && b[0] == 1
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail()
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) string() string { return string(d.take(d.len())) }

func (d *decoder) float() float64 {
	b := d.take(8)
	if len(b) < 8 {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

func (d *decoder) strings() []string {
	n := d.len()
	list := make([]string, 0, n)
	for range n {
		list = append(list, d.string())
	}
	return list
}

// maxDepth bounds how deep values nest.
const maxDepth = 64

func (d *decoder) value() any { return d.valueAt(0) }

func (d *decoder) valueAt(depth int) any {
	b := d.take(1)
	if len(b) == 0 || depth > maxDepth {
		d.fail()
		return nil
	}
	switch b[0] {
	case kindNil:
		return nil
	case kindFalse:
		return false
	case kindTrue:
		return true
	case kindNumber:
		return d.float()
	case kindInt:
		return int(d.int())
	case kindString:
		return d.string()
	case kindList:
		n := d.len()
		list := make([]any, 0, n)
		for range n {
			list = append(list, d.valueAt(depth+1))
		}
		return list
	case kindMap:
		n := d.len()
		m := make(map[string]any, n)
		for range n {
			k := d.string()
			m[k] = d.valueAt(depth + 1)
		}
		return m
	}
	d.fail()
	return nil
}

// scalars reads the values of a set in any order.
func (d *decoder) scalar() any {
	v := d.value()
	switch v.(type) {
	case string, float64, bool:
		return v
	}
	d.fail()
	return nil
}

// sortedScalars lists the keys of a set in a fixed order, so that equal states
// are equal snapshots.
func sortedScalars[V any](set map[any]V) []any {
	out := make([]any, 0, len(set))
	for k := range set {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b any) int {
		if c, ok := compare(a, b); ok {
			return c
		}
		return slices.Compare([]byte(fmt.Sprintf("%T%v", a, a)), []byte(fmt.Sprintf("%T%v", b, b)))
	})
	return out
}
