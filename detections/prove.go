package detections

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// Proof is what can be proved of rules from Auth0's schemas and from their own
// logic. Nothing in it is a guess: where a proof would take too long or rests
// on values that a tenant may change, nothing is said.
type Proof struct {
	Errors   diag.Problems // the rule cannot work, or fires on everything
	Warnings diag.Problems // part of it has no effect, or not on each event it selects
	Notes    diag.Problems // what its author may want to know
}

func (p *Proof) add(q Proof) {
	p.Errors = append(p.Errors, q.Errors...)
	p.Warnings = append(p.Warnings, q.Warnings...)
	p.Notes = append(p.Notes, q.Notes...)
}

// Prove judges every rule with the defaults of its parameters.
func (s *RuleSet) Prove() Proof {
	var out Proof
	for _, r := range s.Rules {
		out.add(s.ProveRule(r))
	}
	return out
}

// ProveRule judges one rule of the set.
func (s *RuleSet) ProveRule(r *Rule) Proof { return r.prove(s.lists, nil, "") }

// ProveFor judges the rules whose parameters a tenant sets, with its values.
// What they make impossible or vacuous is a warning: it may be meant.
func (s *RuleSet) ProveFor(tenant string, params map[string]map[string]any) diag.Problems {
	var out diag.Problems
	for _, r := range s.Rules {
		if len(params[r.ID]) > 0 {
			out = append(out, r.prove(s.lists, params[r.ID], tenant).Warnings...)
		}
	}
	return out
}

// clauseText is an expression of a rule that is true or not of one event, or of
// the events of a window.
type clauseText struct {
	text   yamldoc.Text
	key    string // where it stands in the rule
	window bool   // it may use aggregates
}

// events are the conditions on single events that a rule has beside where, which
// each of their events satisfies as well. Every kind of rule hands over its own.
func (r *Rule) events() []clauseText {
	var out []clauseText
	switch r.Kind() {
	case Sequence:
		for i, s := range r.Steps {
			out = append(out, clauseText{text: s.Where, key: fmt.Sprintf("steps[%d].where", i)})
		}
	case Absence:
		out = append(out, clauseText{text: r.After, key: "after"}, clauseText{text: r.Expect, key: "expect"})
	}
	return slices.DeleteFunc(out, func(c clauseText) bool { return !c.text.Given() })
}

// keys are what a rule groups its events by, and the key of the list.
func (r *Rule) keys() ([]GroupKey, string) {
	switch r.Kind() {
	case FirstSeen:
		return r.Per, "per"
	case State:
		return r.Key, "key"
	}
	return r.GroupBy, "group_by"
}

// prover judges one rule.
type prover struct {
	rule   *Rule
	lists  Lists
	params map[string]any
	tenant string // whose parameters they are; "" for the defaults

	errors, warnings, notes *yamldoc.Decoder

	text yamldoc.Text // the expression that is judged
	key  string
}

func (r *Rule) prove(lists Lists, overrides map[string]any, tenant string) Proof {
	p := r.newProver(lists, overrides, tenant)
	p.proveRule()
	return Proof{p.named(p.errors), p.named(p.warnings), p.named(p.notes)}
}

func (r *Rule) newProver(lists Lists, overrides map[string]any, tenant string) *prover {
	decoder := func() *yamldoc.Decoder { return &yamldoc.Decoder{Src: r.src} }
	p := &prover{rule: r, lists: lists, params: map[string]any{}, tenant: tenant, errors: decoder(), warnings: decoder(), notes: decoder()}
	for name, param := range r.Params {
		p.params[name] = param.Default
		if v, ok := overrides[name]; ok {
			p.params[name] = v
		}
	}
	return p
}

// named puts the rule's id before the keys of problems.
func (p *prover) named(d *yamldoc.Decoder) diag.Problems {
	for i := range d.Problems {
		d.Problems[i].Key = strings.Trim(p.rule.ID+"."+d.Problems[i].Key, ".")
	}
	d.Problems.Sort()
	return d.Problems
}

func (p *prover) proveRule() {
	r := p.rule
	var types []string // that the rule selects; nil for any
	var where []*formula
	judge := func(c clauseText) (own []string) {
		own = types
		if n := p.parse(c); n != nil {
			own = p.narrowed(types, n)
			p.proveLogic(n, where)
			p.proveFields(n, types)
			if c.key == "where" {
				where = []*formula{p.formula(n, openParams)}
			}
		}
		return own
	}
	if r.Where.Given() {
		types = judge(clauseText{text: r.Where, key: "where"})
	}
	if events := r.events(); len(events) > 0 {
		union, anyType := []string{}, false
		for _, c := range events {
			own := judge(c)
			anyType = anyType || own == nil
			union = append(union, own...)
		}
		if slices.Sort(union); !anyType {
			types = slices.Compact(union)
		}
	}
	if r.Having.Given() {
		if n := p.parse(clauseText{text: r.Having, key: "having", window: true}); n != nil {
			p.proveHaving(n, types, where)
		}
	}
	for i, raise := range r.SeverityWhen {
		if n := p.parse(clauseText{text: raise.If, key: fmt.Sprintf("severity_when[%d].if", i), window: true}); n != nil {
			p.proveLogic(n, nil)
			p.proveValue(n, types)
		}
	}
	if r.When.Given() {
		if n := p.parse(clauseText{text: r.When, key: "when"}); n != nil {
			p.proveLogic(n, nil)
		}
	}
	p.proveGroup(types)
	if r.Value.Given() {
		if n := p.parse(clauseText{text: r.Value, key: "value"}); n != nil {
			p.proveValue(n, types)
		}
	}
	for _, name := range keys(r.Evidence) {
		if n := p.parse(clauseText{r.Evidence[name], "evidence." + name, true}); n != nil {
			p.proveValue(n, types)
		}
	}
}

// parse reads an expression of the rule, which was loaded without problems.
func (p *prover) parse(c clauseText) ast.Node {
	p.text, p.key = c.text, c.key
	t := newTranslator(p.params, p.lists, newNameTable())
	t.aggregates = c.window
	defer t.done()
	n, ok := t.parse(c.text.Value)
	if !ok {
		return nil
	}
	return n
}

// proveHaving judges a condition on the events of a window, which all satisfy where.
func (p *prover) proveHaving(n ast.Node, types []string, where []*formula) {
	before := len(p.errors.Problems)
	p.proveLogic(n, nil)
	if p.rule.Kind() == FirstSeen {
		return // over the travel from one value to the next
	}
	p.proveFirstEvent(n)
	p.proveValue(n, types)
	eachPredicate(n, func(pred ast.Node) { p.proveLogic(pred, where) })
	if late := untilClose(n); late != nil && len(p.errors.Problems) == before {
		p.at(p.notes, late, "judged when the window closes, not as events come")
	}
}

// untilClose is the first clause that makes a condition wait for the window's end.
func untilClose(n ast.Node) ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && isJunction(b.Operator) {
		if late := untilClose(b.Left); late != nil {
			return late
		}
		return untilClose(b.Right)
	}
	if onlyRises(n) {
		return nil
	}
	return n
}

// at reports at the place of a node of the expression that is judged.
func (p *prover) at(d *yamldoc.Decoder, n ast.Node, format string, args ...any) *diag.Problem {
	from, to := extent(n)
	d.ReportAt(p.text, from, to, p.key, "%s", fmt.Sprintf(format, args...)+p.withParams())
	return &d.Problems[len(d.Problems)-1]
}

func (p *prover) withParams() string {
	if p.tenant == "" {
		return ""
	}
	return " (with the parameters of tenant " + p.tenant + ")"
}

// fault is where errors go: what only a tenant's parameters do is a warning.
func (p *prover) fault() *yamldoc.Decoder {
	if p.tenant != "" {
		return p.warnings
	}
	return p.errors
}

// extent is the part of the text that a node and all below it cover.
func extent(n ast.Node) (from, to int) {
	loc := n.Location()
	from, to = loc.From, loc.To
	for _, c := range children(n) {
		f, t := extent(c)
		from, to = min(from, f), max(to, t)
	}
	return from, to
}

// children are the nodes below n, as far as the rule language has them.
func children(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return []ast.Node{n.Node}
	case *ast.BinaryNode:
		return []ast.Node{n.Left, n.Right}
	case *ast.ConditionalNode:
		return []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.ChainNode:
		return []ast.Node{n.Node}
	case *ast.MemberNode:
		return []ast.Node{n.Node, n.Property}
	case *ast.CallNode:
		return slices.Concat([]ast.Node{n.Callee}, n.Arguments)
	case *ast.BuiltinNode:
		return n.Arguments
	case *ast.PredicateNode:
		return []ast.Node{n.Node}
	case *ast.ArrayNode:
		return n.Nodes
	}
	return nil
}

// eachPredicate visits the conditions that count() has within n.
func eachPredicate(n ast.Node, visit func(ast.Node)) {
	if fn, args := aggregateCall(n); fn != "" {
		if aggregateFuncs[fn].pred && len(args) == 1 {
			visit(args[0])
		}
		return
	}
	for _, c := range children(n) {
		eachPredicate(c, visit)
	}
}

// aggregateCall is the name of an aggregate and its arguments; "" for the rest.
func aggregateCall(n ast.Node) (fn string, args []ast.Node) {
	if call, ok := n.(*ast.CallNode); ok {
		if callee, ok := call.Callee.(*ast.IdentifierNode); ok {
			if _, is := aggregateFuncs[callee.Value]; is {
				return callee.Value, call.Arguments
			}
		}
	}
	return "", nil
}

func isAnd(op string) bool      { return op == "and" || op == "&&" }
func isOr(op string) bool       { return op == "or" || op == "||" }
func isJunction(op string) bool { return isAnd(op) || isOr(op) }

// operandsOf lists what a chain of and, or of or, joins.
func operandsOf(n ast.Node, is func(string) bool) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && is(b.Operator) {
		return append(operandsOf(b.Left, is), operandsOf(b.Right, is)...)
	}
	return []ast.Node{n}
}
