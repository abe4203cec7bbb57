package detections

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// aggregate is one use of an aggregate function in having or evidence.
type aggregate struct {
	fn   string
	arg  *program // nil for count()
	name string   // its name in the environment
	text string
}

// aggregateFunc describes an aggregate function.
type aggregateFunc struct {
	args   [2]int // least and most
	pred   bool   // its argument is a condition
	growth growth // what one more event can do to its value
	make   func() accumulator
}

// growth says how a value can move when a window gets one more event.
type growth int

const (
	unknownGrowth growth = iota
	fixed                // a constant
	rises                // never falls
	falls                // never rises
)

var aggregateFuncs = map[string]aggregateFunc{
	"count":    {args: [2]int{0, 1}, pred: true, growth: rises, make: func() accumulator { return &counter{} }},
	"distinct": {args: [2]int{1, 1}, growth: rises, make: func() accumulator { return newDistinct() }},
	"max":      {args: [2]int{1, 1}, growth: rises, make: func() accumulator { return &extreme{sign: 1} }},
	"min":      {args: [2]int{1, 1}, growth: falls, make: func() accumulator { return &extreme{sign: -1} }},
	"sum":      {args: [2]int{1, 1}, make: func() accumulator { return &mean{total: true} }},
	"avg":      {args: [2]int{1, 1}, make: func() accumulator { return &mean{} }},
	"values":   {args: [2]int{1, 1}, make: func() accumulator { return &valueList{seen: map[any]bool{}} }},
	"first":    {args: [2]int{1, 1}, make: func() accumulator { return &edge{} }},
	"last":     {args: [2]int{1, 1}, make: func() accumulator { return &edge{last: true} }},

	"median":     {args: [2]int{1, 1}, make: func() accumulator { return newQuantile(50) }},
	"percentile": {args: [2]int{2, 2}}, // see newAccumulator
}

func aggregateNames() []string { return keys(aggregateFuncs) }

// maxValues bounds what values() lists.
const maxValues = 100

// aggregate compiles the argument of an aggregate and stands a name in for it.
func (t *translator) aggregate(n *ast.CallNode, fn string) ast.Node {
	f := aggregateFuncs[fn]
	if len(n.Arguments) < f.args[0] || len(n.Arguments) > f.args[1] {
		return t.fail(n, "%s() takes %s, found %d", fn, pick(f.args[1] == 2, "two arguments", "one argument"), len(n.Arguments))
	}
	text := n.String()
	for _, a := range t.aggs {
		if a.text == text {
			return at(n, &ast.IdentifierNode{Value: a.name})
		}
	}
	a := aggregate{fn: fn, text: text, name: fmt.Sprintf("agg:%d", len(t.aggs))}
	if fn == "percentile" {
		p, ok := constantNumber(n.Arguments[1])
		if !ok || p < 0 || p > 100 {
			return t.failHint(n.Arguments[1], "%s() takes a number from 0 to 100", fn, "for instance percentile(details.latency, 95)")
		}
		a.fn += ":" + strconv.FormatFloat(p, 'g', -1, 64)
	}
	if len(n.Arguments) > 0 {
		t.aggregates, t.inAggregate = false, true
		arg := n.Arguments[0]
		if f.pred {
			arg = t.cond(arg, false)
		} else {
			arg = t.value(arg)
		}
		a.arg = t.finish(arg, f.pred, text)
		t.aggregates, t.inAggregate = true, false
	}
	t.table.other(a.name) // a baseline may be all that looks at it
	t.aggs = append(t.aggs, a)
	return at(n, &ast.IdentifierNode{Value: a.name})
}

// baseline stands a name in for a member of baseline(aggregate, span).
func (t *translator) baseline(n *ast.MemberNode, of *ast.CallNode) ast.Node {
	member, _ := n.Property.(*ast.StringNode)
	if !t.aggregates || t.inAggregate {
		return t.fail(n, "baseline() compares a window with those before it: use it in having")
	}
	if member == nil || !slices.Contains(baselineMembers, member.Value) {
		return t.fail(n, "a baseline has %s", strings.Join(baselineMembers, ", "))
	}
	if len(of.Arguments) != 2 {
		return t.failHint(n, "baseline() takes an aggregate and how far to look back%s", "", "write for instance baseline(count(), 7d).mean")
	}
	agg, isCall := of.Arguments[0].(*ast.CallNode)
	fn := ""
	if isCall {
		fn, _ = calleeOf(agg)
	}
	if fn != "count" && fn != "distinct" && fn != "sum" {
		return t.fail(of.Arguments[0], "a baseline is made of count, distinct or sum")
	}
	span, ok := dottedPath(of.Arguments[1])
	length, isLength := lengthOf(span)
	if !ok || !isLength {
		return t.failHint(of.Arguments[1], "must be a length of time%s", "", "write for instance 7d")
	}
	id, ok := t.aggregate(agg, fn).(*ast.IdentifierNode)
	if !ok {
		return &ast.NilNode{}
	}
	b := baseline{fn: fn, span: length.Milliseconds()}
	b.agg = slices.IndexFunc(t.aggs, func(a aggregate) bool { return a.name == id.Value })
	b.name = fmt.Sprintf("base:%d:%d", b.agg, b.span)
	if !slices.ContainsFunc(t.baselines, func(o baseline) bool { return o.name == b.name }) {
		t.baselines = append(t.baselines, b)
	}
	return at(n, &ast.IdentifierNode{Value: b.name + "." + member.Value})
}

// calleeOf is the name of the function that is called.
func calleeOf(n *ast.CallNode) (string, bool) {
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return "", false
	}
	return id.Value, true
}

func isCallOf(n *ast.CallNode, name string) bool {
	fn, ok := calleeOf(n)
	return ok && fn == name
}

// usesBaseline reports whether a condition compares with what is usual.
func usesBaseline(having string) bool { return strings.Contains(having, "baseline(") }

// bound is the value that no sub-window of events can pass: the aggregate over
// all of them, or the number of events that have a value where that is cheaper.
func (a *aggregate) bound(present int) any {
	switch {
	case a.fn != "max" && a.fn != "min":
		return present
	case present == 0:
		return nil
	case a.fn == "max":
		return math.Inf(1)
	}
	return math.Inf(-1)
}

// constantNumber is the value of a number that stands in an expression.
func constantNumber(n ast.Node) (float64, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return float64(n.Value), true
	case *ast.FloatNode:
		return n.Value, true
	}
	return 0, false
}
