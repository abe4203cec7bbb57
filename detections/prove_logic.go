package detections

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// maxProved bounds the comparisons of a condition whose logic is judged.
const maxProved = 100

// proveLogic judges a condition by itself, where the given formulas are true.
func (p *prover) proveLogic(n ast.Node, given []*formula) {
	f := p.formula(n, fixedParams)
	if f.size() > maxProved {
		return
	}
	lists := p.key == "where" // elsewhere a tenant's lists would speak against shipped rules
	if !canHold(lists, given, []*formula{f}) {
		blame, alone := p.contradiction(lists, f, given)
		msg := "can never be true"
		if !alone {
			msg = "can never be true together with what stands before it"
		}
		report := p.at(p.fault(), blame, "%s", msg)
		if comparesNil(blame) {
			report.Hint = "a comparison with something missing, or with nil, is false"
		}
		return
	}
	if p.tenant != "" {
		return
	}
	open := p.formula(n, openParams)
	if len(given) == 0 && !canHold(false, []*formula{open.fails()}) {
		if p.key == "where" && open.op == isTrue {
			return // written to mean every event
		}
		p.at(p.errors, n, "is always true").Hint = "leave it out, or compare with what differs between events"
		return
	}
	p.branches(open, given)
	p.needless(open, given)
}

func comparesNil(n ast.Node) bool {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return false
	}
	_, left := b.Left.(*ast.NilNode)
	_, right := b.Right.(*ast.NilNode)
	return left || right
}

// contradiction finds the part of f that makes it impossible. alone says that
// it is impossible without what stands beside it.
func (p *prover) contradiction(lists bool, f *formula, given []*formula) (blame ast.Node, alone bool) {
	if f.op != allOf {
		return f.node, !canHold(lists, []*formula{f})
	}
	before := given
	for _, s := range f.subs {
		if !canHold(lists, before, []*formula{s}) {
			return p.contradiction(lists, s, before)
		}
		before = slices.Concat(before, []*formula{s})
	}
	return f.node, false
}

// branches reports the branches of or that can never be true.
func (p *prover) branches(f *formula, given []*formula) {
	for i, s := range f.subs {
		switch f.op {
		case allOf:
			p.branches(s, slices.Concat(given, f.subs[:i], f.subs[i+1:]))
		case anyOf:
			if canHold(false, given, []*formula{s}) {
				p.branches(s, given)
				continue
			}
			blame, _ := p.contradiction(false, s, given)
			p.at(p.warnings, blame, "can never be true here: this branch has no effect")
		}
	}
}

// needless reports clauses that change nothing: those of and that are true
// wherever the others are, and those of or that are true only where the others are.
func (p *prover) needless(f *formula, given []*formula) {
	left := slices.Clone(f.subs)
	for i := len(left) - 1; i >= 0; i-- {
		s := left[i]
		others := slices.Concat(left[:i], left[i+1:])
		var redundant bool
		switch f.op {
		case allOf:
			redundant = !canHold(false, given, others, []*formula{s.fails()})
			if redundant {
				p.at(p.warnings, s.node, "is always true where the rest of the condition is: it has no effect")
			}
		case anyOf:
			if !canHold(false, given, []*formula{s}) {
				continue // reported by branches
			}
			demand := []*formula{s}
			for _, o := range others {
				demand = append(demand, o.fails())
			}
			redundant = len(others) > 0 && !canHold(false, given, demand)
			if redundant {
				p.at(p.warnings, s.node, "is true only where another branch is: it has no effect")
			}
		}
		if redundant {
			left = others
			continue
		}
		if f.op == allOf {
			p.needless(s, slices.Concat(given, others))
		} else {
			p.needless(s, given)
		}
	}
}

// proveFirstEvent reports a threshold that one event passes.
func (p *prover) proveFirstEvent(n ast.Node) {
	f := p.formula(n, fixedParams)
	if !onlyRises(n) || f.size() > maxProved || !canHold(false, []*formula{f}) {
		return
	}
	if p.tenant == "" && !canHold(false, []*formula{p.formula(n, openParams).fails()}) {
		return // reported as always true
	}
	if canHold(false, firstEvent(f), []*formula{f.fails()}) {
		return
	}
	p.at(p.fault(), n, "is true with the first event already").
		Hint = "raise the threshold; to alert on every event leave out window and having"
}

// firstEvent says what is known of the aggregates of f when a window has one
// event, with a value for every field.
func firstEvent(f *formula) []*formula {
	if f.op != compares {
		var out []*formula
		for _, s := range f.subs {
			out = append(out, firstEvent(s)...)
		}
		return out
	}
	if !f.lit.whole || f.lit.least == 0 && !strings.HasPrefix(f.lit.operand, "distinct(") {
		return nil
	}
	one := f.lit
	one.op, one.arg, one.fails = "==", 1.0, false
	return []*formula{{op: compares, lit: one, node: f.node}}
}
