package detections

import (
	"math"
	"reflect"
	"slices"
	"strings"
)

// maxSolve bounds the work of one proof in steps. Past it nothing is proved.
const maxSolve = 2000

// solver looks for values that make formulas true together.
type solver struct {
	fixedLists bool // of event types; otherwise a list may hold anything
	steps      int
}

// canHold reports whether all of the formulas may be true together. It errs only
// towards yes.
func canHold(fixedLists bool, all ...[]*formula) bool {
	s := &solver{fixedLists: fixedLists}
	return s.solve(slices.Concat(all...), nil)
}

// solve looks at the formulas left, beside the comparisons that were chosen.
func (s *solver) solve(left []*formula, chosen []literal) bool {
	var choices []*formula
	chosen = slices.Clip(chosen)
	for len(left) > 0 {
		if s.steps++; s.steps > maxSolve {
			return true
		}
		f := left[0]
		left = left[1:]
		switch f.op {
		case isFalse:
			return false
		case isTrue:
		case compares:
			chosen = append(chosen, f.lit)
		case allOf:
			left = slices.Concat(f.subs, left)
		case anyOf:
			choices = append(choices, f)
		}
	}
	if !s.consistent(chosen) {
		return false
	}
	if len(choices) == 0 {
		return true
	}
	return slices.ContainsFunc(choices[0].subs, func(f *formula) bool {
		return s.solve(append([]*formula{f}, choices[1:]...), chosen)
	})
}

// consistent reports whether each operand may have a value of which all that is
// chosen about it is true.
func (s *solver) consistent(chosen []literal) bool {
	of := map[string][]literal{}
	for _, l := range chosen {
		of[l.operand] = append(of[l.operand], l)
	}
	for _, lits := range of {
		if s.steps += len(lits); !s.oneValue(lits) {
			return false
		}
	}
	return true
}

func (s *solver) oneValue(lits []literal) bool {
	var holds []literal
	for _, l := range lits {
		if !l.fails {
			holds = append(holds, l)
		}
	}
	for _, l := range holds {
		for _, m := range lits {
			if sameArg(l.arg, m.arg) && (m.fails && l.op == m.op || !m.fails && l.op == opposites[m.op]) {
				return false
			}
		}
	}
	whole := lits[0].whole
	if len(holds) == 0 && !whole || slices.ContainsFunc(lits, func(l literal) bool { return l.arg == nil }) {
		return true // it may be missing, or nothing is known of the other side
	}
	if values, listed := s.candidates(lits); listed {
		return slices.ContainsFunc(values, func(v any) bool { return s.fits(lits, v) })
	}
	if whole || slices.ContainsFunc(holds, literal.ordersNumbers) {
		return s.someNumber(lits, whole)
	}
	return someText(holds, lits)
}

// sameArg reports whether two sides are the same whatever a tenant changes: two
// lists that happen to hold the same now are not.
func sameArg(a, b any) bool {
	if l, isList := a.(*List); isList {
		m, _ := b.(*List)
		return l == m
	}
	return reflect.DeepEqual(a, b)
}

// fits reports whether everything demanded is so of a value.
func (s *solver) fits(lits []literal, v any) bool {
	for _, l := range lits {
		if _, isList := l.arg.(*List); isList && !s.fixed(l) {
			continue
		}
		if l.of(v) == l.fails {
			return false
		}
	}
	return true
}

// fixed reports whether a list is taken to hold just what it holds now.
func (s *solver) fixed(l literal) bool { return s.fixedLists && l.operand == "type" }

// candidates are the only values that the operand can have, when they can be listed.
func (s *solver) candidates(lits []literal) (values []any, listed bool) {
	for _, l := range lits {
		op := l.op
		if l.fails {
			op = opposites[op] // the operand is there, so a != that fails is an ==
		}
		switch arg := l.arg.(type) {
		case []any:
			if op == "in" {
				return arg, true
			}
			if op == "==" {
				return []any{arg}, true
			}
		case *List:
			if op == "in" && s.fixed(l) {
				for _, e := range arg.Entries() {
					values = append(values, e)
				}
				return values, true
			}
		default:
			if op == "==" {
				return []any{arg}, true
			}
		}
	}
	return nil, false
}

// ordersNumbers reports whether the comparison is true of numbers only.
func (l literal) ordersNumbers() bool {
	_, isNumber := number(l.arg)
	return isNumber && strings.ContainsAny(l.op, "<>")
}

// maxTried bounds the whole numbers that are tried one by one.
const maxTried = 64

// someNumber reports whether a number satisfies what is demanded.
func (s *solver) someNumber(lits []literal, whole bool) bool {
	lo, hi := math.Inf(-1), math.Inf(1)
	loOpen, hiOpen := false, false
	if whole {
		lo = float64(lits[0].least)
	}
	for _, l := range lits {
		n, isNumber := number(l.arg)
		op := l.op
		if l.fails {
			op = opposites[op]
		}
		if !isNumber {
			if !l.fails && op != "!=" && op != "not in" {
				return false // true of a text or a list only
			}
			continue
		}
		switch {
		case (op == ">" || op == ">=") && (n > lo || n == lo && op == ">"):
			lo, loOpen = n, op == ">"
		case (op == "<" || op == "<=") && (n < hi || n == hi && op == "<"):
			hi, hiOpen = n, op == "<"
		}
	}
	if whole {
		lo, hi = math.Ceil(lo), math.Floor(hi)
		if hi-lo <= maxTried {
			for v := lo; v <= hi; v++ {
				if s.fits(lits, v) {
					return true
				}
			}
			return false
		}
	}
	switch {
	case lo > hi || lo == hi && (loOpen || hiOpen):
		return false
	case lo == hi:
		return s.fits(lits, lo)
	}
	return true
}

// someText reports whether a text may satisfy what is demanded of its beginning
// and its end.
func someText(holds, lits []literal) bool {
	for _, l := range holds {
		text, isText := l.arg.(string)
		if !isText || l.op != "startsWith" && l.op != "endsWith" {
			if l.ordersNumbers() {
				return false
			}
			continue
		}
		for _, m := range lits {
			other, isText := m.arg.(string)
			switch {
			case !isText:
			case m.fails && m.op == l.op && beginsOrEnds(l.op, text, other):
				return false
			case m.fails && m.op == "contains" && strings.Contains(text, other):
				return false
			case !m.fails && m.op == l.op && !beginsOrEnds(l.op, text, other) && !beginsOrEnds(l.op, other, text):
				return false
			case m.op == opposites[l.op] && !m.fails && beginsOrEnds(l.op, text, other):
				return false
			}
		}
	}
	return true
}

// beginsOrEnds reports whether a text with this beginning, or end, has the other too.
func beginsOrEnds(op, text, other string) bool {
	if op == "startsWith" {
		return strings.HasPrefix(text, other)
	}
	return strings.HasSuffix(text, other)
}
