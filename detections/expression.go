package detections

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/logstream"
)

// Expressions are parsed by expr, rewritten, and then checked and compiled by
// expr. The rewriting gives them our meaning of a missing field: a comparison
// with something missing is false, and so is its negation. To get there every
// "not" is pushed down to the comparisons, which become calls of functions that
// know about missing values (functions.go).

// program is one compiled expression.
type program struct {
	cond condition // nil unless it was compiled as a condition
	of   operand
}

// holds runs a condition; anything but true is false.
func (p *program) holds(r *row) (bool, error) {
	r.err, r.steps = nil, 0
	ok := p.cond(r)
	return ok && r.err == nil, r.err
}

// value runs an expression for its value, which is the caller's; nil when it is
// missing.
func (p *program) value(r *row) (any, error) {
	r.err, r.steps = nil, 0
	if p.of.named {
		return r.at(p.of.slot).keep(), nil
	}
	d := p.of.get(r)
	if r.err != nil {
		return nil, r.err
	}
	return d.keep(), nil
}

// translator rewrites the expressions of one rule.
type translator struct {
	params      map[string]any
	lists       Lists
	table       *nameTable
	untyped     bool     // kinds of fields are not checked, for tests of what happens to odd values
	types       []string // of the events, as far as the condition says; nil when any
	naive       bool     // everything runs on expr's machine, for tests to compare with
	aggregates  bool     // aggregate functions may be used
	inAggregate bool     // in the argument of one
	inPred      int      // depth of nested predicates
	temps       int      // names given to first arguments
	configs     [2]*conf.Config

	fields map[string]logstream.Path // event fields that were named
	used   map[string]bool           // parameters that were named
	named  map[string]bool           // lists that were named
	aggs   []aggregate               // aggregates that were named

	signals   bool            // the events are alerts of other rules
	offered   map[string]bool // names beside event fields that the kind of rule knows
	steps     map[string]bool // earlier steps of a sequence, whose fields may be named
	keep      map[string]bool // event fields that a sequence must keep
	baselines []baseline      // that were named
	derives   bool            // a list that a rule fills was named
	waits     bool            // and where its filling makes a condition false

	usesOffered bool

	problems []exprProblem
}

// offer makes names known that stand for something else than an event's fields.
func (t *translator) offer(names ...string) {
	t.offered = map[string]bool{}
	for _, n := range names {
		t.offered[n] = true
	}
	t.usesOffered = false
}

// withdraw ends what offer began.
func (t *translator) withdraw() { t.offered = nil }

type exprProblem struct {
	loc  file.Location
	msg  string
	hint string // what to do, optional
}

func newTranslator(params map[string]any, lists Lists, table *nameTable) *translator {
	return &translator{params: params, lists: lists, table: table, fields: map[string]logstream.Path{}, used: map[string]bool{}, named: map[string]bool{}}
}

func (t *translator) fail(n ast.Node, format string, args ...any) ast.Node {
	t.problems = append(t.problems, exprProblem{loc: n.Location(), msg: fmt.Sprintf(format, args...)})
	return &ast.NilNode{}
}

// failHint is fail with one argument of the message, and what to do.
func (t *translator) failHint(n ast.Node, format, what, hint string) ast.Node {
	out := t.fail(n, format, what)
	t.problems[len(t.problems)-1].hint = hint
	return out
}

// check has expr check the types of a rewritten tree.
func (t *translator) check(n ast.Node, text string) bool {
	if len(t.problems) > 0 {
		return false
	}
	if _, err := checker.Check(&parser.Tree{Node: n, Source: file.NewSource(text)}, t.config()); err != nil {
		t.problems = append(t.problems, problemOf(err))
	}
	return len(t.problems) == 0
}

// finish checks a rewritten tree and makes closures of it.
func (t *translator) finish(n ast.Node, isCondition bool, text string) *program {
	if !t.check(n, text) {
		return nil
	}
	b := binder{t: t, text: text}
	p := &program{}
	switch {
	case t.naive:
		p.of = b.leaf(n)
		p.cond = func(r *row) bool { d := p.of.get(r); return d.kind == boolValue && d.num == 1 }
	case isCondition:
		p.cond = b.condition(n)
		p.of.get = func(r *row) datum { return truthOf(p.cond(r)) }
	default:
		p.of = b.operand(n)
	}
	if len(t.problems) > 0 {
		return nil
	}
	return p
}

// leaf compiles n for expr's machine; nil when it cannot, which is reported.
func (t *translator) leaf(n ast.Node, text string) *leaf {
	c := t.config()
	tree := &parser.Tree{Node: n, Source: file.NewSource(text)}
	l := &leaf{}
	for _, name := range namesIn(n) {
		l.names = append(l.names, leafName{name, t.slotOf(name)})
	}
	_, err := checker.Check(tree, c)
	if err == nil {
		l.code, err = compiler.Compile(tree, c)
	}
	if err != nil {
		t.problems = append(t.problems, problemOf(err))
		return nil
	}
	return l
}

// slotOf returns the number of a name in a rewritten expression.
func (t *translator) slotOf(name string) int {
	if p, ok := t.fields[name]; ok {
		return t.table.field(p)
	}
	return t.table.other(name)
}

// namesIn lists the names that n reads.
func namesIn(n ast.Node) []string {
	found := &nameVisitor{}
	ast.Walk(&n, found)
	slices.Sort(found.names)
	return slices.Compact(found.names)
}

type nameVisitor struct{ names []string }

// Visit is for package ast.
func (v *nameVisitor) Visit(n *ast.Node) {
	if id, ok := (*n).(*ast.IdentifierNode); ok && !strings.HasPrefix(id.Value, "__") && helperByName[id.Value] == nil && !strings.HasPrefix(id.Value, firstPrefix) && id.Value != rowName {
		v.names = append(v.names, id.Value)
	}
}

// condition compiles an expression that is true or not.
func (t *translator) condition(text string) *program {
	n, ok := t.parse(text)
	if !ok {
		return nil
	}
	return t.finish(t.cond(n, false), true, text)
}

// operand compiles an expression for its value.
func (t *translator) operand(text string) *program {
	n, ok := t.parse(text)
	if !ok {
		return nil
	}
	return t.finish(t.value(n), false, text)
}

// report moves the collected problems to their places in the rule file.
func (t *translator) report(d *yamldoc.Decoder, text yamldoc.Text, key string) {
	for _, p := range t.problems {
		d.ReportAt(text, p.loc.From, max(p.loc.To, p.loc.From+1), key, "%s", p.msg)
		last := &d.Problems[len(d.Problems)-1]
		last.Hint = p.hint
		if p.msg == endsEarly && strings.Contains(d.Src.Line(last.Line), " #") {
			last.Hint = "a # after a space begins a comment: put the expression in quotes"
		}
	}
	t.problems = nil
}

// cond rewrites n, or its negation, where a truth value is wanted.
func (t *translator) cond(n ast.Node, negate bool) ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return t.cond(n.Node, !negate)
		}
	case *ast.BoolNode:
		return at(n, &ast.BoolNode{Value: n.Value != negate})
	case *ast.ConditionalNode:
		return at(n, &ast.ConditionalNode{Cond: t.cond(n.Cond, false), Exp1: t.cond(n.Exp1, negate), Exp2: t.cond(n.Exp2, negate)})
	case *ast.BinaryNode:
		if !t.checkKinds(n) {
			return &ast.NilNode{}
		}
		switch op := n.Operator; op {
		case "and", "&&", "or", "||":
			isAnd := (op == "and" || op == "&&") != negate
			join := "||"
			if isAnd {
				join = "&&"
			}
			return at(n, &ast.BinaryNode{Operator: join, Left: t.cond(n.Left, negate), Right: t.cond(n.Right, negate)})
		case "matches":
			return t.matches(n, negate)
		case "in":
			if l, ok := t.list(n.Right); ok {
				if what := t.neverListed(n.Left); what != "" {
					return t.failHint(n.Left, "a list holds texts: %s is never in one", what, "write texts in quotes, or use == to compare")
				}
				_, derived := l.(*ast.IdentifierNode)
				t.waits = t.waits || derived && negate
				return at(n, call(pick(negate, "__not_listed", "__listed"), t.value(n.Left), l))
			}
			return at(n, call(pick(negate, "__not_in", "__in"), t.value(n.Left), t.value(n.Right)))
		default:
			if names, ok := comparisons[op]; ok {
				if l, r, is := t.dates(n); is {
					return at(n, call(pick(negate, names[1], names[0]), l, r))
				}
				return at(n, call(pick(negate, names[1], names[0]), t.value(n.Left), t.value(n.Right)))
			}
		}
	}
	if what := t.noCondition(n); what != "" {
		return t.failHint(n, "a condition is needed, not %s", what, "compare it with something, for instance type == \"fp\" or count() > 5")
	}
	return at(n, call(pick(negate, "__false", "__true"), t.value(n)))
}

func (t *translator) matches(n *ast.BinaryNode, negate bool) ast.Node {
	pattern, ok := n.Right.(*ast.StringNode)
	if !ok {
		return t.fail(n.Right, "the pattern after matches must be a text in quotes")
	}
	re, err := regexp.Compile(pattern.Value)
	if err != nil {
		msg := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		if lookAround.MatchString(pattern.Value) {
			msg += " (RE2 knows no look-around and no back-references)"
		}
		return t.fail(pattern, "%s", msg)
	}
	return at(n, call(pick(negate, "__not_matches", "__matches"), t.value(n.Left), at(pattern, &ast.ConstantNode{Value: re})))
}

var lookAround = regexp.MustCompile(`\(\?<?[=!]|\\[1-9]`)

// value rewrites n where its value is wanted.
func (t *translator) value(n ast.Node) ast.Node {
	if path, ok := dottedPath(n); ok {
		return t.name(n, path)
	}
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.BoolNode, *ast.NilNode, *ast.PointerNode:
		return n
	case *ast.UnaryNode:
		if n.Operator == "-" || n.Operator == "+" {
			return at(n, call("__arith", &ast.StringNode{Value: n.Operator}, &ast.IntegerNode{}, t.value(n.Node)))
		}
		return t.cond(n, false)
	case *ast.BinaryNode:
		switch n.Operator {
		case "+", "-", "*", "/", "%", "**", "^":
			return at(n, call("__arith", &ast.StringNode{Value: n.Operator}, t.value(n.Left), t.value(n.Right)))
		case "??":
			return at(n, &ast.BinaryNode{Operator: "??", Left: t.value(n.Left), Right: t.value(n.Right)})
		case "..":
			return t.fail(n, "ranges are not part of the rule language")
		}
		return t.cond(n, false)
	case *ast.ConditionalNode:
		return at(n, &ast.ConditionalNode{Cond: t.cond(n.Cond, false), Exp1: t.value(n.Exp1), Exp2: t.value(n.Exp2)})
	case *ast.ChainNode:
		return t.value(n.Node)
	case *ast.MemberNode:
		if of, ok := n.Node.(*ast.CallNode); ok && isCallOf(of, "baseline") {
			return t.baseline(n, of)
		}
		return at(n, call("__member", t.value(n.Node), t.value(n.Property)))
	case *ast.ArrayNode:
		out := &ast.ArrayNode{}
		for _, e := range n.Nodes {
			out.Nodes = append(out.Nodes, t.value(e))
		}
		return at(n, out)
	case *ast.SliceNode:
		return t.fail(n, "slices are not part of the rule language")
	case *ast.CallNode:
		return t.call(n)
	case *ast.BuiltinNode:
		return t.builtin(n)
	}
	return t.fail(n, "this form is not part of the rule language")
}

func (t *translator) call(n *ast.CallNode) ast.Node {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return t.fail(n, "methods are not part of the rule language")
	}
	if callee.Value == "baseline" {
		return t.failHint(n, "%s is not a value itself", "a baseline", "name one of its members, for instance baseline(count(), 7d).mean; others are "+strings.Join(baselineMembers[1:], ", "))
	}
	if _, ok := aggregateFuncs[callee.Value]; ok {
		switch {
		case t.inAggregate:
			return t.fail(n, "%s() cannot stand inside another aggregate", callee.Value)
		case !t.aggregates:
			return t.fail(n, "%s() needs a window of events: use it in having or evidence", callee.Value)
		}
		return t.aggregate(n, callee.Value)
	}
	if h := helperByName[callee.Value]; h != nil {
		return t.helper(n, h)
	}
	return t.fail(n, "unknown function %s%s", callee.Value, diag.DidYouMean(callee.Value, slices.Concat(aggregateNames(), keys(helperByName), keys(t.config().Builtins))))
}

// builtin rewrites the arguments of one of expr's own functions. With its first
// argument missing, a function over a collection sees an empty one, and any
// other is missing itself.
func (t *translator) builtin(n *ast.BuiltinNode) ast.Node {
	out := &ast.BuiltinNode{Name: n.Name, Throws: n.Throws}
	overCollection := false
	for _, a := range n.Arguments {
		p, ok := a.(*ast.PredicateNode)
		if !ok {
			out.Arguments = append(out.Arguments, t.value(a))
			continue
		}
		overCollection = true
		if t.inPred++; t.inPred > maxPredicates {
			return t.fail(n, "predicates are nested more than %d deep", maxPredicates)
		}
		var body ast.Node
		switch n.Name {
		case "map", "groupBy", "sortBy", "sum", "reduce":
			body = t.value(p.Node)
		default:
			body = t.cond(p.Node, false)
		}
		t.inPred--
		out.Arguments = append(out.Arguments, at(p, &ast.PredicateNode{Node: body}))
	}
	if len(out.Arguments) == 0 {
		return at(n, out)
	}
	if overCollection {
		out.Arguments[0] = call("__elements", &ast.IdentifierNode{Value: rowName}, out.Arguments[0])
		return at(n, out)
	}
	// Under a name: written twice, nested calls would double at every level.
	t.temps++
	first := &ast.IdentifierNode{Value: fmt.Sprint(firstPrefix, t.temps)}
	value := out.Arguments[0]
	out.Arguments[0] = first
	return at(n, &ast.VariableDeclaratorNode{Name: first.Value, Value: value, Expr: &ast.ConditionalNode{
		Cond: &ast.BinaryNode{Operator: "==", Left: first, Right: &ast.NilNode{}},
		Exp1: &ast.NilNode{}, Exp2: at(n, call("__plain", at(n, out))),
	}})
}

// firstPrefix begins the names of first arguments.
const firstPrefix = "first:"

// comparisons maps an operator to the function for it and for its negation.
var comparisons = map[string][2]string{
	"==": {"__eq", "__ne"}, "!=": {"__ne", "__eq"},
	"<": {"__lt", "__ge"}, "<=": {"__le", "__gt"}, ">": {"__gt", "__le"}, ">=": {"__ge", "__lt"},
	"contains":   {"__contains", "__not_contains"},
	"startsWith": {"__starts", "__not_starts"},
	"endsWith":   {"__ends", "__not_ends"},
}

func call(name string, args ...ast.Node) ast.Node {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
}

// at gives a new node the place of the one it stands for.
func at(from, n ast.Node) ast.Node {
	n.SetLocation(from.Location())
	return n
}

func pick(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
