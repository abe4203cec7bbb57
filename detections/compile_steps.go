package detections

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"portcullis/internal/yamldoc"
)

// compileSteps makes the steps of a sequence ready. Steps in any order are the
// same as counts within a window, and are compiled to that.
func (c *compiled) compileSteps(t *translator, d *yamldoc.Decoder) {
	earlier := map[string]bool{}
	common := c.types
	relations := make([]ast.Node, len(c.Steps))
	var types []string
	known := true
	for i, s := range c.Steps {
		key := fmt.Sprintf("steps[%d].where", i)
		if !s.Where.Given() {
			continue // reported as missing
		}
		if n, ok := t.parse(s.Where.Value); ok {
			own, relation := splitStep(n, earlier)
			if own == nil { // it only compares with earlier steps
				own = &ast.BoolNode{Value: true}
			}
			c.types = common
			c.narrow(own, t)
			known = known && c.types != nil
			types = append(types, c.types...)
			c.marks = append(c.marks, t.finish(t.cond(own, false), true, s.Where.Value))
			st := step{name: s.Name, times: max(s.Times, 1)}
			if relations[i] = relation; relation != nil {
				st.relation = c.compileRelation(t, relation, s.Where.Value, earlier)
				if !c.Ordered {
					t.failHint(relation, "steps in any order cannot name %s", "each other's fields", "leave out ordered: false, or use group_by")
				}
			}
			c.steps = append(c.steps, st)
		}
		t.report(d, s.Where, key)
		earlier[s.Name] = true
	}
	if c.types = nil; known {
		slices.Sort(types)
		c.types = slices.Compact(types)
	}
	for _, path := range keys(t.keep) {
		c.kept = append(c.kept, namedProgram{path, t.operand(path)})
	}
	for i := range c.steps {
		c.steps[i].needed = c.neededOf(c.steps[i].name, relations)
	}
	if !c.Ordered && len(d.Problems) == 0 {
		c.compileUnordered(t)
	}
}

// compileRelation compiles the part of a step's condition that looks at earlier
// steps. Its fields are kept in the entries.
func (c *compiled) compileRelation(t *translator, n ast.Node, text string, earlier map[string]bool) *program {
	t.steps = earlier
	if t.keep == nil {
		t.keep = map[string]bool{}
	}
	p := t.finish(t.cond(n, false), true, text)
	t.steps = nil
	return p
}

// neededOf tells for each kept value of a step the last step that names it; -1
// where none does.
func (c *compiled) neededOf(step string, relations []ast.Node) []int {
	needed := slices.Repeat([]int{-1}, len(c.kept))
	for k, n := range relations {
		if n == nil {
			continue
		}
		v := &pathVisitor{}
		ast.Walk(&n, v)
		for _, p := range v.paths {
			root, rest, _ := strings.Cut(p, ".")
			if root != step {
				continue
			}
			for i, kept := range c.kept {
				if strings.HasPrefix(kept.name, rest) || strings.HasPrefix(rest, kept.name) { // what is behind brackets is no part of the path
					needed[i] = k
				}
			}
		}
	}
	return needed
}

// splitStep parts a step's condition into what its event alone decides, and what
// looks at earlier steps; the latter is nil when it has none.
func splitStep(n ast.Node, earlier map[string]bool) (own, relation ast.Node) {
	var owns, relations []ast.Node
	for _, p := range conjuncts(n) {
		if namesRoot(p, earlier) {
			relations = append(relations, p)
		} else {
			owns = append(owns, p)
		}
	}
	return joined(owns), joined(relations)
}

// joined is the condition that all of the parts hold.
func joined(parts []ast.Node) ast.Node {
	if len(parts) == 0 {
		return nil
	}
	out := parts[0]
	for _, p := range parts[1:] {
		out = at(p, &ast.BinaryNode{Operator: "&&", Left: out, Right: p})
	}
	return out
}

// conjuncts are the parts of a condition that must all hold.
func conjuncts(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "and" || b.Operator == "&&") {
		return append(conjuncts(b.Left), conjuncts(b.Right)...)
	}
	return []ast.Node{n}
}

// namesRoot reports whether n names something that begins with one of the roots.
func namesRoot(n ast.Node, roots map[string]bool) bool {
	found := false
	ast.Walk(&n, visitor(func(n ast.Node) {
		if id, ok := n.(*ast.IdentifierNode); ok && roots[id.Value] {
			found = true
		}
	}))
	return found
}

// visitor calls a function for every node.
type visitor func(ast.Node)

// Visit is for package ast.
func (v visitor) Visit(n *ast.Node) { v(*n) }

// compileUnordered turns steps in any order into counts within a window.
func (c *compiled) compileUnordered(t *translator) {
	counts := make([]string, len(c.Steps))
	for i, s := range c.Steps {
		counts[i] = fmt.Sprintf("count(%s) >= %d", s.Where.Value, max(s.Times, 1))
	}
	r := *c.Rule
	r.Window = r.Within
	c.Rule, c.kind, c.rises = &r, Aggregate, true
	t.aggregates = true
	c.having = t.condition(strings.Join(counts, " && "))
	c.nHaving = len(t.aggs)
}
