package detections

import (
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// A rewritten expression becomes a tree of Go closures over a row. What the
// closures do not cover runs on expr's machine, as a leaf of that tree. The
// machine is also what tests compare the closures with.

// condition is a closure for a truth value. What is missing is not true.
type condition func(r *row) bool

// operand is a closure for a value, with what is known about it beforehand.
type operand struct {
	get   func(r *row) datum
	fixed bool // the value is the same for every row: is
	is    datum
	named bool // it is what the row has at slot
	slot  int
}

func constant(d datum) operand {
	d.keep()
	return operand{get: func(*row) datum { return d }, fixed: true, is: d}
}

// binder makes closures of one expression.
type binder struct {
	t        *translator
	text     string
	inPred   int // depth of predicates around the present node
	uncalled bool
}

// condition binds n where a truth value is wanted.
func (b *binder) condition(n ast.Node) condition {
	switch n := n.(type) {
	case *ast.BoolNode:
		is := n.Value
		return func(*row) bool { return is }
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&":
			return both(b.condition(n.Left), b.condition(n.Right))
		case "||":
			left, right := b.condition(n.Left), b.condition(n.Right)
			return func(r *row) bool { return left(r) || right(r) }
		}
	case *ast.ConditionalNode:
		cond, yes, no := b.condition(n.Cond), b.condition(n.Exp1), b.condition(n.Exp2)
		return func(r *row) bool {
			if cond(r) {
				return yes(r)
			}
			return no(r)
		}
	case *ast.CallNode:
		if c := b.comparison(n); c != nil {
			return c
		}
	}
	get := b.operand(n).get
	return func(r *row) bool { d := get(r); return d.kind == boolValue && d.num == 1 }
}

func both(left, right condition) condition {
	return func(r *row) bool { return left(r) && right(r) }
}

// operand binds n where its value is wanted.
func (b *binder) operand(n ast.Node) operand {
	switch n := n.(type) {
	case *ast.NilNode:
		return constant(datum{})
	case *ast.BoolNode:
		return constant(truthOf(n.Value))
	case *ast.IntegerNode:
		return constant(datumOf(n.Value))
	case *ast.FloatNode:
		return constant(datumOf(n.Value))
	case *ast.StringNode:
		return constant(datumOf(n.Value))
	case *ast.ConstantNode:
		return constant(datumOf(n.Value))
	case *ast.IdentifierNode:
		return b.named(n.Value)
	case *ast.ArrayNode:
		return b.array(n)
	case *ast.PointerNode:
		if n.Name == "" && b.inPred > 0 {
			return operand{get: func(r *row) datum { return r.element }}
		}
	case *ast.BinaryNode:
		if n.Operator == "??" {
			left, right := b.operand(n.Left), b.operand(n.Right)
			return operand{get: func(r *row) datum {
				if d := left.get(r); d.kind != noValue {
					return d
				}
				return right.get(r)
			}}
		}
		return b.truth(n)
	case *ast.ConditionalNode:
		cond, yes, no := b.condition(n.Cond), b.operand(n.Exp1), b.operand(n.Exp2)
		return operand{get: func(r *row) datum {
			if cond(r) {
				return yes.get(r)
			}
			return no.get(r)
		}}
	case *ast.CallNode:
		return b.call(n)
	case *ast.BuiltinNode:
		if o, ok := b.predicate(n); ok {
			return o
		}
	}
	return b.leaf(n)
}

// truth binds a condition for its value.
func (b *binder) truth(n ast.Node) operand {
	c := b.condition(n)
	return operand{get: func(r *row) datum { return truthOf(c(r)) }}
}

// named binds a name.
func (b *binder) named(name string) operand {
	slot := b.t.slotOf(name)
	return operand{get: func(r *row) datum { return *r.at(slot) }, named: true, slot: slot}
}

func (b *binder) array(n *ast.ArrayNode) operand {
	elements := make([]operand, len(n.Nodes))
	fixed := true
	for i, e := range n.Nodes {
		elements[i] = b.operand(e)
		fixed = fixed && elements[i].fixed
	}
	get := func(r *row) datum {
		out := make([]any, len(elements))
		for i := range elements {
			d := elements[i].get(r)
			out[i] = d.keep()
		}
		return datum{kind: collectionValue, boxed: out}
	}
	if fixed {
		return constant(get(nil))
	}
	return operand{get: get}
}

// call binds a call of one of our functions.
func (b *binder) call(n *ast.CallNode) operand {
	name := n.Callee.(*ast.IdentifierNode).Value
	switch name {
	case "__member":
		of, key := b.operand(n.Arguments[0]), b.operand(n.Arguments[1])
		return operand{get: func(r *row) datum {
			c, k := of.get(r), key.get(r)
			if c.kind != collectionValue {
				return datum{}
			}
			return datumOf(member(c.boxed, k.keep()))
		}}
	case "__arith":
		return beforehand(b.arithmetic(n))
	case "__plain", "__elements":
		return b.leaf(n)
	}
	if h := helperByName[name]; h != nil {
		return b.helper(n, h)
	}
	if c := b.comparison(n); c != nil {
		return operand{get: func(r *row) datum { return truthOf(c(r)) }}
	}
	return b.leaf(n)
}

// beforehand works out beforehand what depends on no row. What fails is left to fail
// when it runs.
func beforehand(o operand, fixed bool) operand {
	if !fixed {
		return o
	}
	var r row
	if d := o.get(&r); r.err == nil {
		return constant(d)
	}
	return o
}

func (b *binder) arithmetic(n *ast.CallNode) (operand, bool) {
	op := n.Arguments[0].(*ast.StringNode).Value
	left, right := b.operand(n.Arguments[1]), b.operand(n.Arguments[2])
	return operand{get: func(r *row) datum {
		x, y := left.get(r), right.get(r)
		if x.kind == numberValue && y.kind == numberValue {
			if z, ok := calculate(op, x.num, y.num); ok {
				return numberOf(z)
			}
			return datum{}
		}
		v, err := arithmetic(op, x.keep(), y.keep())
		if err != nil {
			return r.fail(err)
		}
		return datumOf(v)
	}}, left.fixed && right.fixed
}

// comparison binds a call that is true or not; nil when it is another.
func (b *binder) comparison(n *ast.CallNode) condition {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok || len(n.Arguments) == 0 {
		return nil
	}
	name, negated := strings.CutPrefix(callee.Value, "__not_")
	if !negated {
		name = strings.TrimPrefix(callee.Value, "__")
	}
	want := !negated
	switch callee.Value {
	case "__true":
		get := b.operand(n.Arguments[0]).get
		return func(r *row) bool { d := get(r); return d.kind == boolValue && d.num == 1 }
	case "__false":
		get := b.operand(n.Arguments[0]).get
		return func(r *row) bool { d := get(r); return d.kind == boolValue && d.num == 0 }
	case "__eq", "__ne", "__lt", "__le", "__gt", "__ge":
		return b.compared(name, b.operand(n.Arguments[0]), b.operand(n.Arguments[1]))
	case "__in", "__not_in":
		return b.membership(b.operand(n.Arguments[0]), b.operand(n.Arguments[1]), want)
	case "__contains", "__not_contains":
		return b.membership(b.operand(n.Arguments[1]), b.operand(n.Arguments[0]), want)
	case "__starts", "__not_starts":
		return affix(strings.HasPrefix, b.operand(n.Arguments[0]), b.operand(n.Arguments[1]), want)
	case "__ends", "__not_ends":
		return affix(strings.HasSuffix, b.operand(n.Arguments[0]), b.operand(n.Arguments[1]), want)
	case "__listed", "__not_listed":
		if l, ok := n.Arguments[1].(*ast.ConstantNode); ok {
			return b.listed(b.operand(n.Arguments[0]), l.Value.(*List), want)
		}
		v, l := b.operand(n.Arguments[0]).get, b.operand(n.Arguments[1]).get
		return func(r *row) bool { d, of := v(r), l(r); return listed(d.keep(), of.keep(), want) }
	case "__matches", "__not_matches":
		re, ok := n.Arguments[1].(*ast.ConstantNode)
		if !ok {
			return nil
		}
		return b.matches(b.operand(n.Arguments[0]), re.Value.(*regexp.Regexp), want)
	}
	return nil
}

// leaf has expr's machine run n, which is none of a predicate's inner nodes.
func (b *binder) leaf(n ast.Node) operand {
	if b.inPred > 0 {
		b.uncalled = true // the whole of the outermost predicate becomes a leaf
		return constant(datum{})
	}
	l := b.t.leaf(n, b.text)
	if l == nil {
		return constant(datum{}) // reported
	}
	return operand{get: l.run}
}
