package detections

import (
	"fmt"
	"math"
	"regexp"
	"strings"
)

// function is one of ours that rewritten expressions call.
type function struct {
	call  func(args ...any) (any, error)
	types []any
}

// functions are the comparisons that know about missing values (nil): with one
// of their operands missing they are false, in both polarities. Values of
// different types are never equal and never ordered.
var functions = map[string]function{
	"__eq":           operands(func(a, b any) bool { return equal(a, b) }),
	"__ne":           operands(func(a, b any) bool { return !equal(a, b) }),
	"__lt":           operands(func(a, b any) bool { c, ok := compare(a, b); return ok && c < 0 }),
	"__le":           operands(func(a, b any) bool { c, ok := compare(a, b); return ok && c <= 0 }),
	"__gt":           operands(func(a, b any) bool { c, ok := compare(a, b); return ok && c > 0 }),
	"__ge":           operands(func(a, b any) bool { c, ok := compare(a, b); return ok && c >= 0 }),
	"__in":           operands(func(a, b any) bool { in, ok := element(a, b); return ok && in }),
	"__not_in":       operands(func(a, b any) bool { in, ok := element(a, b); return ok && !in }),
	"__contains":     operands(func(a, b any) bool { in, ok := element(b, a); return ok && in }),
	"__not_contains": operands(func(a, b any) bool { in, ok := element(b, a); return ok && !in }),
	"__starts":       texts(strings.HasPrefix, true),
	"__not_starts":   texts(strings.HasPrefix, false),
	"__ends":         texts(strings.HasSuffix, true),
	"__not_ends":     texts(strings.HasSuffix, false),
	"__listed":       {call: func(a ...any) (any, error) { return listed(a[0], a[1], true), nil }, types: []any{new(func(any, any) bool)}},
	"__not_listed":   {call: func(a ...any) (any, error) { return listed(a[0], a[1], false), nil }, types: []any{new(func(any, any) bool)}},
	"__matches":      {call: func(a ...any) (any, error) { return matches(a[0], a[1], true), nil }, types: []any{new(func(any, *regexp.Regexp) bool)}},
	"__not_matches":  {call: func(a ...any) (any, error) { return matches(a[0], a[1], false), nil }, types: []any{new(func(any, *regexp.Regexp) bool)}},
	"__true":         {call: func(a ...any) (any, error) { b, ok := a[0].(bool); return ok && b, nil }, types: []any{new(func(any) bool)}},
	"__false":        {call: func(a ...any) (any, error) { b, ok := a[0].(bool); return ok && !b, nil }, types: []any{new(func(any) bool)}},
	"__member":       {call: func(a ...any) (any, error) { return member(a[0], a[1]), nil }, types: []any{new(func(any, any) any)}},
	"__elements":     {call: func(a ...any) (any, error) { return elements(a[0], a[1]) }, types: []any{new(func(any, any) []any)}},
	"__plain":        {call: func(a ...any) (any, error) { return plain(a[0]), nil }, types: []any{new(func(any) any)}},
	"__arith":        {call: func(a ...any) (any, error) { return arithmetic(a[0].(string), a[1], a[2]) }, types: []any{new(func(string, any, any) any)}},
}

func operands(f func(a, b any) bool) function {
	return function{
		call: func(args ...any) (any, error) {
			return args[0] != nil && args[1] != nil && f(args[0], args[1]), nil
		},
		types: []any{new(func(any, any) bool)},
	}
}

func texts(f func(s, part string) bool, want bool) function {
	return operands(func(a, b any) bool {
		s, ok1 := a.(string)
		part, ok2 := b.(string)
		return ok1 && ok2 && f(s, part) == want
	})
}

// number reads any of Go's numbers that JSON, YAML or expr produce.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func equal(a, b any) bool {
	if x, ok := a.(string); ok {
		y, ok := b.(string)
		return ok && x == y
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	switch x := a.(type) {
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	return false
}

func compare(a, b any) (int, bool) {
	if x, ok := a.(string); ok {
		y, ok := b.(string)
		return strings.Compare(x, y), ok
	}
	x, ok1 := number(a)
	y, ok2 := number(b)
	switch {
	case !ok1 || !ok2 || math.IsNaN(x) || math.IsNaN(y):
		return 0, false
	case x < y:
		return -1, true
	case x > y:
		return 1, true
	}
	return 0, true
}

// element reports whether v is in a collection, or is a part of a text.
func element(v, of any) (in, ok bool) {
	switch of := of.(type) {
	case []any:
		for _, e := range of {
			if equal(v, e) {
				return true, true
			}
		}
		return false, true
	case map[string]any:
		k, ok := v.(string)
		_, in := of[k]
		return in, ok
	case string:
		part, ok := v.(string)
		return ok && strings.Contains(of, part), ok
	}
	return false, false
}

// container is a list that a text can be in.
type container interface{ Contains(text string) bool }

func listed(v, list any, want bool) bool {
	if _, open := list.(maybe); open {
		return v != nil
	}
	l, ok := list.(container)
	if !ok || v == nil {
		return false
	}
	switch v := v.(type) {
	case string:
		return l.Contains(v) == want
	case []any: // any element
		any := false
		for _, e := range v {
			s, ok := e.(string)
			any = any || ok && l.Contains(s)
		}
		return any == want
	}
	return !want
}

func matches(v, pattern any, want bool) bool {
	s, ok := v.(string)
	return ok && pattern.(*regexp.Regexp).MatchString(s) == want
}

func member(of, key any) any {
	switch of := of.(type) {
	case map[string]any:
		if k, ok := key.(string); ok {
			return of[k]
		}
	case []any:
		if i, ok := number(key); ok && i == math.Trunc(i) {
			n := int(i)
			if n < 0 {
				n += len(of)
			}
			if n >= 0 && n < len(of) {
				return of[n]
			}
		}
	}
	return nil
}

// elements are what a predicate walks; each walk is charged to the row's run.
func elements(r, v any) ([]any, error) {
	l, _ := v.([]any)
	if row, ok := r.(*row); ok && !row.spend(len(l)) {
		return nil, row.err
	}
	return l, nil
}

// plain turns what expr's functions return into what events hold.
func plain(v any) any {
	texts, ok := v.([]string)
	if !ok {
		return v
	}
	out := make([]any, len(texts))
	for i, s := range texts {
		out[i] = s
	}
	return out
}

// arithmetic is missing when an operand is, and an error on other types.
func arithmetic(op string, a, b any) (any, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	if x, ok := a.(string); ok && op == "+" {
		if y, ok := b.(string); ok {
			return x + y, nil
		}
	}
	x, ok1 := number(a)
	y, ok2 := number(b)
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%T %s %T: numbers are needed", a, op, b)
	}
	if z, ok := calculate(op, x, y); ok {
		return z, nil
	}
	return nil, nil
}

// calculate is false when what comes out is no number.
func calculate(op string, x, y float64) (z float64, ok bool) {
	switch op {
	case "+":
		z = x + y
	case "-":
		z = x - y
	case "*":
		z = x * y
	case "/":
		if y == 0 {
			return 0, false // a ratio of nothing is missing
		}
		z = x / y
	case "%":
		z = math.Mod(x, y)
	default:
		z = math.Pow(x, y)
	}
	// What is no number is missing, and so is what grew past all numbers:
	// neither can be written as JSON. Infinite operands are bounds (see possible).
	if math.IsNaN(z) || math.IsInf(z, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
		return 0, false
	}
	return z, true
}
