package detections

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// namesOf finds the values of a text field for which a condition can be true,
// such as the event types. ok is false when it does not say.
func namesOf(n ast.Node, field string, lists Lists) (types []string, ok bool) {
	b, isBinary := n.(*ast.BinaryNode)
	if !isBinary {
		return nil, false
	}
	isType := func(n ast.Node) bool { p, ok := dottedPath(n); return ok && (p == field || p == "data."+field) }
	switch b.Operator {
	case "==":
		for _, pair := range [2][2]ast.Node{{b.Left, b.Right}, {b.Right, b.Left}} {
			if s, isText := pair[1].(*ast.StringNode); isText && isType(pair[0]) {
				return []string{s.Value}, true
			}
		}
	case "in":
		if !isType(b.Left) {
			return nil, false
		}
		switch r := b.Right.(type) {
		case *ast.ArrayNode:
			for _, e := range r.Nodes {
				s, isText := e.(*ast.StringNode)
				if !isText {
					return nil, false
				}
				types = append(types, s.Value)
			}
			return types, true
		default:
			if p, named := dottedPath(r); named && len(p) > 6 && p[:6] == "lists." && lists[p[6:]] != nil && !lists[p[6:]].filled {
				return lists[p[6:]].Entries(), true
			}
		}
	case "and", "&&":
		l, lok := namesOf(b.Left, field, lists)
		r, rok := namesOf(b.Right, field, lists)
		switch {
		case lok && rok:
			return slices.DeleteFunc(slices.Clone(l), func(t string) bool { return !slices.Contains(r, t) }), true
		case lok:
			return l, true
		}
		return r, rok
	case "or", "||":
		l, lok := namesOf(b.Left, field, lists)
		r, rok := namesOf(b.Right, field, lists)
		if lok && rok {
			return append(slices.Clone(l), r...), true
		}
	}
	return nil, false
}

// onlyRises reports whether a condition over aggregates, once true for a
// window, stays true for every larger one. Such conditions are judged as events
// come; all others when the window closes.
func onlyRises(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BoolNode:
		return true
	case *ast.BinaryNode:
		l, r := growthOf(n.Left), growthOf(n.Right)
		switch n.Operator {
		case "and", "&&", "or", "||":
			return onlyRises(n.Left) && onlyRises(n.Right)
		case ">", ">=":
			return (l == rises || l == fixed) && (r == falls || r == fixed)
		case "<", "<=":
			return (l == falls || l == fixed) && (r == rises || r == fixed)
		}
	}
	return false
}

func growthOf(n ast.Node) growth {
	if p, ok := dottedPath(n); ok {
		if len(p) > 7 && p[:7] == "params." {
			return fixed
		}
		return unknownGrowth
	}
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode:
		return fixed
	case *ast.MemberNode:
		if of, ok := n.Node.(*ast.CallNode); ok && isCallOf(of, "baseline") {
			if m, ok := n.Property.(*ast.StringNode); ok && m.Value == "z" && len(of.Arguments) > 0 {
				return growthOf(of.Arguments[0])
			}
			return fixed // of the past
		}
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			return aggregateFuncs[callee.Value].growth
		}
	case *ast.BinaryNode:
		l, r := growthOf(n.Left), growthOf(n.Right)
		switch {
		case l == fixed && r == fixed:
			return fixed
		case n.Operator == "*" && (l == fixed && isPositive(n.Left) || r == fixed && isPositive(n.Right)):
			return max(l, r)
		case n.Operator == "+" && (l == r || r == fixed):
			return l
		case n.Operator == "+" && l == fixed:
			return r
		}
	}
	return unknownGrowth
}

// isPositive reports whether n is a number above zero.
func isPositive(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return n.Value > 0
	case *ast.FloatNode:
		return n.Value > 0
	}
	return false
}

// walkOutsideAggregates visits the dotted names of n that stand outside the
// argument of an aggregate.
func walkOutsideAggregates(n ast.Node, visit func(path string, at exprProblem)) {
	if path, ok := dottedPath(n); ok {
		visit(path, exprProblem{loc: n.Location()})
		return
	}
	switch n := n.(type) {
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			if _, is := aggregateFuncs[callee.Value]; is || callee.Value == "baseline" {
				return
			}
		}
		for _, a := range n.Arguments {
			walkOutsideAggregates(a, visit)
		}
	case *ast.UnaryNode:
		walkOutsideAggregates(n.Node, visit)
	case *ast.BinaryNode:
		walkOutsideAggregates(n.Left, visit)
		walkOutsideAggregates(n.Right, visit)
	case *ast.ConditionalNode:
		walkOutsideAggregates(n.Cond, visit)
		walkOutsideAggregates(n.Exp1, visit)
		walkOutsideAggregates(n.Exp2, visit)
	case *ast.BuiltinNode:
		for _, a := range n.Arguments {
			walkOutsideAggregates(a, visit)
		}
	}
}

func isConstantName(path string) bool {
	return len(path) > 7 && path[:7] == "params." || len(path) > 6 && path[:6] == "lists."
}
