package detections

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// What can be known of the kinds of values before any event has come. A
// comparison that can never be true for its kinds is told when the rule is
// loaded.

// kindOf is what an expression, as it was written, can be.
func (t *translator) kindOf(n ast.Node) FieldKind {
	if path, ok := dottedPath(n); ok {
		return t.kindOfName(path)
	}
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return NumberKind
	case *ast.StringNode:
		return TextKind
	case *ast.BoolNode:
		return BoolKind
	case *ast.ArrayNode:
		return ListKind
	case *ast.ConditionalNode:
		return t.kindOf(n.Exp1) | t.kindOf(n.Exp2)
	case *ast.UnaryNode:
		if n.Operator == "-" || n.Operator == "+" {
			return NumberKind
		}
		return BoolKind
	case *ast.BinaryNode:
		switch n.Operator {
		case "+":
			if k := t.kindOf(n.Left) & t.kindOf(n.Right) & (TextKind | NumberKind); k != 0 {
				return k
			}
			return TextKind | NumberKind
		case "-", "*", "/", "%", "**", "^":
			return NumberKind
		case "??":
			return t.kindOf(n.Left) | t.kindOf(n.Right)
		}
		return BoolKind
	case *ast.BuiltinNode:
		switch {
		case slices.Contains([]string{"any", "all", "none", "one"}, n.Name):
			return BoolKind
		case n.Name == "filter" || n.Name == "map":
			return ListKind
		case n.Name == "count":
			return NumberKind
		}
	case *ast.CallNode:
		return t.kindOfCall(n)
	}
	return AnyKind
}

func (t *translator) kindOfCall(n *ast.CallNode) FieldKind {
	name, _ := calleeOf(n)
	if h := helperByName[name]; h != nil {
		return h.result
	}
	if _, ok := aggregateFuncs[name]; !ok || !t.aggregates {
		return AnyKind
	}
	switch {
	case name == "values":
		return ListKind
	case name != "first" && name != "last":
		return NumberKind
	case len(n.Arguments) == 1:
		return t.kindOf(n.Arguments[0])
	}
	return AnyKind
}

func (t *translator) kindOfName(path string) FieldKind {
	root, rest, _ := strings.Cut(path, ".")
	switch {
	case root == "params":
		d := datumOf(t.params[rest])
		if k := kindOfDatum(&d); k != 0 {
			return k
		}
		return AnyKind
	case root == "lists", t.untyped, t.signals, t.offered[root], t.steps[root]:
		return AnyKind
	}
	return fieldKind(t.types, path)
}

// fieldKind is what a field of events of these types can hold, as far as Auth0
// documents it; nil types are any.
func fieldKind(types []string, path string) FieldKind {
	if kind, presence := FieldOf(types, path); presence >= Sometimes && kind != 0 {
		return kind
	}
	return AnyKind
}

// checkKinds reports a comparison that its operands' kinds rule out.
func (t *translator) checkKinds(n *ast.BinaryNode) bool {
	l, r := t.kindOf(n.Left), t.kindOf(n.Right)
	var bad bool
	switch n.Operator {
	case "==", "!=":
		bad = l&r == 0
	case "<", "<=", ">", ">=":
		bad = l&r&(TextKind|NumberKind) == 0
	case "startsWith", "endsWith", "matches":
		bad = l&TextKind == 0 || r&TextKind == 0
	case "contains":
		bad = l&(TextKind|ListKind|MappingKind) == 0
	case "in":
		if a, ok := n.Right.(*ast.ArrayNode); ok && len(a.Nodes) > 0 {
			r = 0
			for _, e := range a.Nodes {
				r |= t.kindOf(e)
			}
			bad = l&r == 0
		}
	}
	if !bad {
		return true
	}
	at := n.Right
	if isConstant(n.Left) {
		at = n.Left
	}
	t.fail(at, "%s cannot be compared with %s (%s)", named(l), named(r), n.Operator)
	hint := "compare values of one kind"
	switch {
	case l|r == TextKind|NumberKind || l|r == TextKind|BoolKind:
		if _, quoted := at.(*ast.StringNode); quoted {
			hint = "leave out the quotes"
		} else {
			hint = "texts stand in quotes"
		}
	case (l|r)&ListKind != 0 && n.Operator == "==":
		hint = "to look into a list write: contains"
	}
	t.problems[len(t.problems)-1].hint = hint
	return false
}

// named is a kind with its article.
func named(k FieldKind) string {
	if k == BoolKind || k&(k-1) != 0 {
		return k.String()
	}
	return "a " + k.String()
}

func isConstant(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.BoolNode:
		return true
	case *ast.UnaryNode:
		return isConstant(n.Node)
	}
	return false
}
