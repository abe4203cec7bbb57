package detections

import (
	"github.com/expr-lang/expr/ast"
)

// predicate binds one of expr's functions that look at each element of a
// collection; false for those that the machine runs.
func (b *binder) predicate(n *ast.BuiltinNode) (operand, bool) {
	if len(n.Arguments) != 2 {
		return operand{}, false
	}
	p, ok := n.Arguments[1].(*ast.PredicateNode)
	over, isElements := n.Arguments[0].(*ast.CallNode)
	if !ok || !isElements || folds[n.Name] == nil {
		return operand{}, false
	}
	of := b.operand(over.Arguments[1])
	b.inPred++
	var o operand
	if n.Name == "map" {
		o = mapped(of, b.operand(p.Node))
	} else {
		o = folded(of, b.condition(p.Node), folds[n.Name])
	}
	if b.inPred--; b.inPred == 0 && b.uncalled {
		b.uncalled = false
		return b.leaf(n), true
	}
	return o, true
}

// elementFold is a way to fold the elements for which a condition was asked.
type elementFold struct {
	step   func(w *folding, element any, holds bool) (done bool)
	result func(w *folding) datum
}

type folding struct {
	n    int   // elements for which it holds
	not  bool  // one for which it does not was met
	kept []any // those for which it holds
}

// folds are the functions that closures cover.
var folds = map[string]*elementFold{
	"any":   {func(w *folding, _ any, holds bool) bool { return w.count(holds) > 0 }, func(w *folding) datum { return truthOf(w.n > 0) }},
	"none":  {func(w *folding, _ any, holds bool) bool { return w.count(holds) > 0 }, func(w *folding) datum { return truthOf(w.n == 0) }},
	"all":   {func(w *folding, _ any, holds bool) bool { w.not = w.not || !holds; return w.not }, func(w *folding) datum { return truthOf(!w.not) }},
	"one":   {func(w *folding, _ any, holds bool) bool { w.count(holds); return false }, func(w *folding) datum { return truthOf(w.n == 1) }},
	"count": {func(w *folding, _ any, holds bool) bool { w.count(holds); return false }, func(w *folding) datum { return datumOf(w.n) }},
	"filter": {func(w *folding, e any, holds bool) bool {
		if holds {
			w.kept = append(w.kept, e)
		}
		return false
	}, func(w *folding) datum { return datum{kind: collectionValue, boxed: w.kept} }},
	"map": {}, // see mapped
}

func (w *folding) count(holds bool) int {
	if holds {
		w.n++
	}
	return w.n
}

func folded(of operand, holds condition, how *elementFold) operand {
	return operand{get: func(r *row) datum {
		c := of.get(r)
		list, _ := c.list()
		w := folding{kept: []any{}}
		if !r.spend(len(list)) {
			return datum{}
		}
		outer := r.element
		for _, e := range list {
			r.element = datumOf(e)
			if how.step(&w, e, holds(r)) || r.err != nil {
				break
			}
		}
		r.element = outer
		return how.result(&w)
	}}
}

func mapped(of, to operand) operand {
	return operand{get: func(r *row) datum {
		c := of.get(r)
		list, _ := c.list()
		if !r.spend(len(list)) {
			return datum{}
		}
		out := make([]any, 0, len(list))
		outer := r.element
		for _, e := range list {
			r.element = datumOf(e)
			d := to.get(r)
			if r.err != nil {
				break
			}
			out = append(out, d.keep())
		}
		r.element = outer
		return datum{kind: collectionValue, boxed: out}
	}}
}
