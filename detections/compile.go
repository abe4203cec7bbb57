package detections

import (
	"fmt"
	"slices"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/logstream"
)

// compiled is a rule ready to run for one tenant.
type compiled struct {
	*Rule
	params   map[string]any
	types    []string // event types it can match; nil when any
	where    *program
	group    []field
	having   *program    // nil for a match rule
	aggs     []aggregate // of having and evidence
	nHaving  int         // so many of them belong to having
	rises    bool        // having is judged as events come
	evidence []namedProgram
	fields   []field  // every event field that its expressions name
	lists    []string // every list that they name
}

// slides reports whether the rule is judged as events come, over the window
// that ends with each. All others are judged when a window closes.
func (c *compiled) slides() bool { return c.rises || c.having == nil }

// field is an event field under the name that expressions use.
type field struct {
	name string
	path logstream.Path
}

type namedProgram struct {
	name string
	prog *program
}

// compile makes a rule ready, with a tenant's parameters in place of the
// defaults, and reports what is wrong with its expressions to d.
func compile(r *Rule, overrides map[string]any, lists Lists, d *yamldoc.Decoder) *compiled {
	c := &compiled{Rule: r, params: map[string]any{}}
	for name, p := range r.Params {
		c.params[name] = p.Default
		if v, ok := overrides[name]; ok {
			c.params[name] = v
		}
	}
	t := newTranslator(c.params, lists)
	if !r.Where.Given() {
		// Reported as missing.
	} else if n, _, ok := t.parse(r.Where.Value); ok {
		if types, ok := typesOf(n, lists); ok {
			slices.Sort(types)
			c.types = slices.Compact(types)
		}
		c.where = t.condition(r.Where.Value)
	}
	t.report(d, r.Where, "where")
	if c.types != nil && len(c.types) == 0 {
		d.ReportAt(r.Where, 0, 1, "where", "can never be true: no event has all the types asked for")
	}

	for i, g := range r.GroupBy {
		key := fmt.Sprintf("group_by[%d]", i)
		if n, _, ok := t.parse(g.Value); ok {
			if path, isPath := dottedPath(n); isPath {
				t.name(n, path)
				if p, err := logstream.ParsePath(path); err == nil {
					c.group = append(c.group, field{path, p})
				}
			} else {
				t.fail(n, "must be the name of an event field")
			}
		}
		t.report(d, g, key)
	}

	t.aggregates = true
	if r.Having.Given() {
		if n, _, ok := t.parse(r.Having.Value); ok {
			c.rises = onlyRises(n)
			c.having = t.condition(r.Having.Value)
			if c.having != nil && len(t.aggs) == 0 {
				t.fail(n, "names no aggregate: use count(), distinct(field), …")
			}
			if c.having != nil && len(r.GroupBy)+len(t.fields) > 0 {
				c.checkHavingNames(t, d)
			}
		}
		t.report(d, r.Having, "having")
	}
	c.nHaving = len(t.aggs)
	for _, name := range keys(r.Evidence) {
		text := r.Evidence[name]
		p := t.operand(text.Value)
		t.report(d, text, "evidence."+name)
		c.evidence = append(c.evidence, namedProgram{name, p})
	}
	c.aggs = t.aggs

	for name := range r.Params {
		if !t.used[name] && len(d.Problems) == 0 {
			n := keyNode(keyNode(r.node, "params"), name)
			d.Report(n, "params."+name, "is used nowhere in the rule")
		}
	}
	c.lists = keys(t.named)
	for _, name := range keys(t.fields) {
		c.fields = append(c.fields, field{name, t.fields[name]})
	}
	return c
}

// checkHavingNames refuses event fields that stand outside an aggregate, where
// there is no single event to take them from.
func (c *compiled) checkHavingNames(t *translator, d *yamldoc.Decoder) {
	probe := newTranslator(c.params, t.lists)
	probe.aggregates = true
	n, _, ok := probe.parse(c.Rule.Having.Value)
	if !ok {
		return
	}
	var bare []exprProblem
	walkOutsideAggregates(n, func(path string, p exprProblem) {
		if !isConstantName(path) {
			p.msg = fmt.Sprintf("%s is a field of one event: say which of the window is meant, for instance last(%s)", path, path)
			bare = append(bare, p)
		}
	})
	probe.problems = bare
	probe.report(d, c.Rule.Having, "having")
}

// CheckParams checks the values that a tenant gives to parameters, by rule id
// and name. The error names the first that does not fit, and why.
func (s *RuleSet) CheckParams(params map[string]map[string]any) error {
	for _, id := range keys(params) {
		r := s.Rule(id)
		if r == nil {
			return fmt.Errorf("no rule is called %s%s", id, diag.DidYouMean(id, s.IDs()))
		}
		for _, name := range keys(params[id]) {
			p, ok := r.Params[name]
			if !ok {
				return fmt.Errorf("rule %s has no parameter %s%s", id, name, diag.DidYouMean(name, keys(r.Params)))
			}
			if err := p.accepts(params[id][name]); err != nil {
				return fmt.Errorf("parameter %s of rule %s: %v %w", name, id, params[id][name], err)
			}
		}
	}
	return nil
}
