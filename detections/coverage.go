package detections

import (
	"fmt"
	"io/fs"

	"github.com/expr-lang/expr/ast"

	"portcullis/internal/yamldoc"
)

// Coverage tells which parts of a rule's conditions its tests saw hold and saw
// fail. A part that never failed may as well not be there.
type Coverage struct {
	Rule    string        `json:"rule"`
	File    string        `json:"file"`
	Parts   []ClauseCover `json:"clauses"`
	Covered int           `json:"covered"` // outcomes that were seen, of two for each part
}

// ClauseCover is a part of a condition that holds neither and, or nor not.
type ClauseCover struct {
	Key    string `json:"key"` // where, having, when, steps[0].where …
	Text   string `json:"clause"`
	Line   int    `json:"line"`
	Col    int    `json:"col"`
	Held   bool   `json:"held"`
	Failed bool   `json:"failed"` // also when it was unknown
}

// Percent is how many of the outcomes were seen; 100 for a rule without conditions.
func (c *Coverage) Percent() int {
	if len(c.Parts) == 0 {
		return 100
	}
	return 100 * c.Covered / (2 * len(c.Parts))
}

// Missing lists what no test saw, each with its place.
func (c *Coverage) Missing() []string {
	var out []string
	for _, p := range c.Parts {
		part := fmt.Sprintf("%s:%d:%d: %s: %s", c.File, p.Line, p.Col, p.Key, p.Text)
		if !p.Held {
			out = append(out, part+" never held")
		}
		if !p.Failed {
			out = append(out, part+" never failed")
		}
	}
	return out
}

// RunTestsCovering is [RuleSet.RunTests], and tells what the tests saw of the
// rule's conditions.
func (s *RuleSet) RunTestsCovering(r *Rule, fsys fs.FS) ([]TestResult, Coverage) {
	cover := &coverage{rule: r}
	table := newNameTable() // for the clauses of a rule without a test
	cover.clauses(compile(r, nil, s.lists, table, &yamldoc.Decoder{Src: r.src}), s.lists, table)
	out := Coverage{Rule: r.ID, File: r.File()}
	results := s.runTests(r, fsys, cover)
	out.Parts = cover.seen
	for _, p := range out.Parts {
		for _, seen := range []bool{p.Held, p.Failed} {
			if seen {
				out.Covered++
			}
		}
	}
	return results, out
}

// coverage watches the clauses of one rule while its tests run, one engine after
// the other.
type coverage struct {
	rule *Rule
	seen []ClauseCover // over all tests

	// Of the engine at hand:
	compiled  *compiled
	onEvents  []coverLeaf
	relations [][]coverLeaf // of each step, to earlier ones
	decides   []coverLeaf   // of having or when
}

// coverLeaf is a clause that can be evaluated.
type coverLeaf struct {
	holds *program
	nth   int // in seen
}

// attach watches the rule in an engine, which then judges every event and window.
func (c *coverage) attach(e *Engine, lists Lists) {
	for _, r := range e.rules {
		if r.ID != c.rule.ID {
			continue
		}
		c.compiled = r.compiled
		c.clauses(r.compiled, lists, e.eval.row.table)
		// The clauses may name what no program did before.
		e.eval.row, e.eval.agg = newRow(e.eval.row.table), newRow(e.eval.row.table)
		r.probed, r.coldLimit = true, 0
		e.cover, e.eval.cover = c, c
	}
}

// namesSources reports whether a clause only says whose signals a rule reads: it
// cannot fail, since no other signals reach it.
func namesSources(r *Rule, part ast.Node, lists Lists) bool {
	if r.sources == nil {
		return false
	}
	names, ok := namesOf(part, "rule", lists)
	return ok && len(names) == len(r.sources)
}

// clauses compiles the clauses of the rule. They come in the same order each time.
func (c *coverage) clauses(r *compiled, lists Lists, table *nameTable) {
	nth := 0
	c.onEvents, c.relations, c.decides = nil, nil, nil
	t := newTranslator(r.params, lists, table)
	defer t.done()
	t.signals = r.On == "signals"
	add := func(leaves []coverLeaf, n ast.Node, text yamldoc.Text, key string) []coverLeaf {
		for _, part := range leavesOf(n) {
			p := t.finish(t.cond(part, false), true, text.Value)
			t.problems = nil
			if p == nil || namesSources(r.Rule, part, lists) {
				continue
			}
			if nth == len(c.seen) {
				c.seen = append(c.seen, c.place(part, text, key))
			}
			leaves = append(leaves, coverLeaf{p, nth})
			nth++
		}
		return leaves
	}
	parse := func(text yamldoc.Text) ast.Node {
		n, ok := t.parse(text.Value)
		t.problems = nil
		if !ok || !text.Given() {
			return nil
		}
		return n
	}
	c.onEvents = add(c.onEvents, parse(c.rule.Where), c.rule.Where, "where")
	earlier := map[string]bool{}
	for i, text := range c.rule.events() {
		own, relation := parse(text.text), ast.Node(nil)
		if i < len(c.rule.Steps) && own != nil {
			own, relation = splitStep(own, earlier)
		}
		c.onEvents = add(c.onEvents, own, text.text, text.key)
		t.steps, t.keep = earlier, map[string]bool{}
		c.relations = append(c.relations, add(nil, relation, text.text, text.key))
		t.steps, t.keep = nil, nil
		if i < len(c.rule.Steps) {
			earlier[c.rule.Steps[i].Name] = true
		}
	}
	t.aggregates, t.aggs, t.baselines = true, r.aggs, r.baselines
	switch {
	case r.kind == State:
		t.offer("was", "now")
		c.decides = add(nil, parse(c.rule.When), c.rule.When, "when")
	case c.rule.Having.Given():
		if r.kind == FirstSeen {
			t.offer(nameTravelKM, nameTravelKMH, nameTravelHours)
		}
		c.decides = add(nil, parse(c.rule.Having), c.rule.Having, "having")
	}
}

// leavesOf are the parts of a condition that hold neither and nor or, without
// those that are true or false by what is written.
func leavesOf(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case nil, *ast.BoolNode:
		return nil
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return leavesOf(n.Node)
		}
	case *ast.BinaryNode:
		if isJunction(n.Operator) {
			return append(leavesOf(n.Left), leavesOf(n.Right)...)
		}
	}
	return []ast.Node{n}
}

func (c *coverage) place(n ast.Node, text yamldoc.Text, key string) ClauseCover {
	d := &yamldoc.Decoder{Src: c.rule.src}
	from, to := extent(n)
	d.ReportAt(text, from, to, key, "")
	return ClauseCover{Key: key, Text: written(n), Line: d.Problems[0].Line, Col: d.Problems[0].Col}
}

// event looks at an event in the engine's row.
func (c *coverage) event(e *Engine, t int64) {
	for _, r := range e.rules {
		if r.compiled == c.compiled {
			e.setLists(r, t)
		}
	}
	c.note(c.onEvents, e.eval.row)
}

// related looks at the values that a step of a sequence compares.
func (c *coverage) related(r *compiled, step *step, agg *row) {
	if c == nil || r != c.compiled {
		return
	}
	for i := range r.steps {
		if &r.steps[i] == step && i < len(c.relations) {
			c.note(c.relations[i], agg)
		}
	}
}

// judged looks at the values of a window.
func (c *coverage) judged(r *compiled, agg *row) {
	if c != nil && r == c.compiled {
		c.note(c.decides, agg)
	}
}

func (c *coverage) note(leaves []coverLeaf, values *row) {
	for _, l := range leaves {
		if ok, _ := l.holds.holds(values); ok { // an error was counted when the rule ran
			c.seen[l.nth].Held = true
		} else {
			c.seen[l.nth].Failed = true
		}
	}
}
