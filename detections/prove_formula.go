package detections

import (
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// formula is a condition with every not pushed down to its comparisons.
type formula struct {
	op   formulaOp
	subs []*formula // of allOf and anyOf
	lit  literal
	node ast.Node // what it was made of
}

type formulaOp int

const (
	allOf formulaOp = iota
	anyOf
	isTrue
	isFalse
	compares
)

// literal is one comparison of an operand with a constant, or with something
// that is not known.
type literal struct {
	operand string
	op      string // an operator of opposites
	arg     any    // nil when it is not known; op then names the other side too
	fails   bool   // it is demanded that the comparison not be true
	whole   bool   // the operand is a whole number that is always there
	least   int    // of a whole operand
}

// opposites maps operators to their negations. Both are false of a missing operand.
var opposites = map[string]string{
	"==": "!=", "!=": "==", "<": ">=", ">=": "<", "<=": ">", ">": "<=", "in": "not in", "not in": "in",
	"contains": "not contains", "not contains": "contains", "startsWith": "not startsWith", "not startsWith": "startsWith",
	"endsWith": "not endsWith", "not endsWith": "endsWith", "matches": "not matches", "not matches": "matches",
}

// flipped are the operators whose sides can change places.
var flipped = map[string]string{"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

// paramMode says whether parameters are constants.
type paramMode bool

const (
	openParams  paramMode = false // any value: a proof then holds for every tenant
	fixedParams paramMode = true
)

func (p *prover) formula(n ast.Node, mode paramMode) *formula { return p.build(n, false, mode) }

func (p *prover) build(n ast.Node, negate bool, mode paramMode) *formula {
	switch n := n.(type) {
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return p.build(n.Node, !negate, mode)
		}
	case *ast.BoolNode:
		return truth(n, n.Value != negate)
	case *ast.BinaryNode:
		if isJunction(n.Operator) {
			f := &formula{op: anyOf, node: n}
			if isAnd(n.Operator) != negate {
				f.op = allOf
			}
			is := isOr
			if isAnd(n.Operator) {
				is = isAnd
			}
			for _, o := range operandsOf(n, is) {
				f.subs = append(f.subs, p.build(o, negate, mode))
			}
			return f
		}
		if _, ok := opposites[n.Operator]; ok {
			return p.comparison(n, negate, mode)
		}
	}
	return &formula{op: compares, node: n, lit: p.literal(n, "==", !negate)}
}

func truth(n ast.Node, v bool) *formula {
	if v {
		return &formula{op: isTrue, node: n}
	}
	return &formula{op: isFalse, node: n}
}

func (p *prover) comparison(n *ast.BinaryNode, negate bool, mode paramMode) *formula {
	op, left, right := n.Operator, n.Left, n.Right
	if negate {
		op = opposites[op]
	}
	if _, isNil := left.(*ast.NilNode); isNil {
		return truth(n, false)
	}
	if _, isNil := right.(*ast.NilNode); isNil {
		return truth(n, false)
	}
	a, aKnown := p.constant(left, mode)
	b, bKnown := p.constant(right, mode)
	switch {
	case aKnown && bKnown:
		return truth(n, literal{op: op, arg: b}.of(a))
	case aKnown && flipped[op] != "" && !strings.Contains(right.String(), eachMark):
		return &formula{op: compares, node: n, lit: p.literal(right, flipped[op], a)}
	case bKnown && !strings.Contains(left.String(), eachMark):
		return &formula{op: compares, node: n, lit: p.literal(left, op, b)}
	}
	operand := left.String() + "\x00" + right.String()
	if strings.Contains(operand, eachMark) {
		operand += op // of several values: a comparison and its negation may both be true
	}
	return &formula{op: compares, node: n, lit: literal{operand: operand, op: op}}
}

func (p *prover) literal(operand ast.Node, op string, arg any) literal {
	l := literal{operand: operand.String(), op: op, arg: arg}
	if path, ok := dottedPath(operand); ok {
		l.operand = strings.TrimPrefix(path, "data.")
	}
	switch fn, args := aggregateCall(operand); {
	case fn == "count" && len(args) == 0:
		l.whole, l.least = true, 1 // a window that is judged has an event
	case fn == "count" || fn == "distinct":
		l.whole = true
	}
	return l
}

// constant is the value of an expression that is the same for every event.
func (p *prover) constant(n ast.Node, mode paramMode) (any, bool) {
	if path, ok := dottedPath(n); ok {
		if name, isParam := strings.CutPrefix(path, "params."); isParam && mode == fixedParams {
			v, ok := p.params[name]
			return v, ok && v != "" // an empty text is left to the tenant
		}
		if name, isList := strings.CutPrefix(path, "lists."); isList && p.lists[name] != nil {
			return p.lists[name], true
		}
		return nil, false
	}
	switch n := n.(type) {
	case *ast.IntegerNode:
		return float64(n.Value), true
	case *ast.FloatNode:
		return n.Value, true
	case *ast.StringNode:
		return n.Value, true
	case *ast.BoolNode:
		return n.Value, true
	case *ast.UnaryNode:
		v, ok := p.constant(n.Node, mode)
		x, isNumber := number(v)
		if !ok || !isNumber || n.Operator != "-" && n.Operator != "+" {
			return nil, false
		}
		if n.Operator == "-" {
			x = -x
		}
		return x, true
	case *ast.BinaryNode:
		a, aok := p.constant(n.Left, mode)
		b, bok := p.constant(n.Right, mode)
		if !aok || !bok || !strings.Contains("+-*/", n.Operator) {
			return nil, false
		}
		v, err := arithmetic(n.Operator, a, b)
		return v, err == nil && v != nil
	case *ast.ArrayNode:
		out := make([]any, len(n.Nodes))
		for i, e := range n.Nodes {
			v, ok := p.constant(e, mode)
			if !ok {
				return nil, false
			}
			out[i] = v
		}
		return out, true
	}
	return nil, false
}

// of reports whether the comparison is true of a value that is there.
func (l literal) of(v any) bool {
	op, negated := strings.CutPrefix(l.op, "not ")
	text, isText := v.(string)
	arg, argIsText := l.arg.(string)
	order, ordered := compare(v, l.arg)
	switch op {
	case "==":
		return equal(v, l.arg)
	case "!=":
		return !equal(v, l.arg)
	case "<":
		return ordered && order < 0
	case "<=":
		return ordered && order <= 0
	case ">":
		return ordered && order > 0
	case ">=":
		return ordered && order >= 0
	case "in":
		if list, ok := l.arg.(*List); ok {
			return listed(v, list, !negated)
		}
		in, ok := element(v, l.arg)
		return ok && in != negated
	case "contains":
		in, ok := element(l.arg, v)
		return ok && in != negated
	case "startsWith":
		return isText && argIsText && strings.HasPrefix(text, arg) != negated
	case "endsWith":
		return isText && argIsText && strings.HasSuffix(text, arg) != negated
	case "matches":
		re, err := regexp.Compile(arg)
		return isText && argIsText && err == nil && re.MatchString(text) != negated
	}
	return false
}

// fails is the demand that f not be true, be it false or about something missing.
func (f *formula) fails() *formula {
	out := *f
	switch f.op {
	case allOf, anyOf:
		out.op = allOf + anyOf - f.op
		out.subs = make([]*formula, len(f.subs))
		for i, s := range f.subs {
			out.subs[i] = s.fails()
		}
	case isTrue, isFalse:
		out.op = isTrue + isFalse - f.op
	case compares:
		out.lit.fails = !f.lit.fails
	}
	return &out
}

// size is the number of comparisons in f.
func (f *formula) size() int {
	if f.op == compares {
		return 1
	}
	n := 0
	for _, s := range f.subs {
		n += s.size()
	}
	return n
}
