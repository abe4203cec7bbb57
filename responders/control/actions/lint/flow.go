package lint

import (
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

// deniesByThrowing is the one trigger that has no other way to refuse.
const deniesByThrowing = "onExecuteSendPhoneMessage"

// checkFlow finds throws and comparisons that convert.
func (l *linter) checkFlow(n ast.Node, above []ast.Node) {
	switch x := n.(type) {
	case *ast.ThrowStatement:
		for _, h := range l.names.handlers {
			if h.name == deniesByThrowing {
				return
			}
		}
		if !caught(x, above) {
			l.problem(x, RuleThrow, "a throw fails the whole flow, for every user that gets here", "return early, or refuse with api.access.deny(...)")
		}
	case *ast.BinaryExpression:
		switch x.Operator {
		case token.EQUAL:
			l.warn(x, RuleEquality, "== converts its sides before it compares them", "write ===, and for both null and undefined: x === null || x === undefined")
		case token.NOT_EQUAL:
			l.warn(x, RuleEquality, "!= converts its sides before it compares them", "write !==")
		}
	}
}

// caught reports whether n stands in a try whose catch gets what it throws,
// within its function.
func caught(n ast.Node, above []ast.Node) bool {
	below := n
	for i := len(above) - 1; i >= 0; i-- {
		if try, ok := above[i].(*ast.TryStatement); ok && try.Catch != nil && below == ast.Node(try.Body) {
			return true
		}
		if functionOf(above[i]) != nil {
			return false
		}
		below = above[i]
	}
	return false
}

// Deeper than this, conditions are hard to follow.
const maxDepth = 2

// checkGuards finds nesting in a handler where guard clauses would do.
func (l *linter) checkGuards(h handler) {
	block, ok := h.fn.body.(*ast.BlockStatement)
	if !ok {
		return
	}
	if n := len(block.List); n > 0 {
		if last, ok := block.List[n-1].(*ast.IfStatement); ok && last.Alternate == nil && size(last.Consequent) > 3 {
			l.warn(last, RuleGuard, "the rest of the handler stands inside this condition", "turn it round: if (!condition) return;")
		}
	}
	visit(block, nil, func(n ast.Node, above []ast.Node) {
		x, ok := n.(*ast.IfStatement)
		if !ok {
			return
		}
		if x.Alternate != nil && leaves(x.Consequent) {
			l.warn(x.Alternate, RuleGuard, "else behind a branch that returns anyway", "take what is in it one level out")
		}
		depth := 1
		below := n
		for i := len(above) - 1; i >= 0; i-- {
			// An else if is no deeper than its if.
			if outer, ok := above[i].(*ast.IfStatement); ok && outer.Alternate != below {
				depth++
			}
			below = above[i]
		}
		if depth == maxDepth+1 {
			l.warn(x, RuleGuard, "conditions "+plural(depth, "level")+" deep", "return early for what is not concerned, or name a part as a function")
		}
	})
}

func size(s ast.Statement) int {
	if b, ok := s.(*ast.BlockStatement); ok {
		return len(b.List)
	}
	return 1
}

// leaves reports whether a branch always ends its function.
func leaves(s ast.Statement) bool {
	switch x := s.(type) {
	case *ast.ReturnStatement, *ast.ThrowStatement:
		return true
	case *ast.BlockStatement:
		return len(x.List) > 0 && leaves(x.List[len(x.List)-1])
	case *ast.IfStatement:
		return x.Alternate != nil && leaves(x.Consequent) && leaves(x.Alternate)
	}
	return false
}

// blocking reports whether a failure of a handler fails what the user does.
func blocking(name string) bool {
	return name != "onExecutePostUserRegistration" && name != "onExecutePostChangePassword" && !strings.HasSuffix(name, "EventStream")
}
