package detections

import (
	"math"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// clause is a condition taken apart, so that what decided it can be told: parts
// joined by and or or, down to those that are neither.
type clause struct {
	text  string
	all   []*clause // of which all must hold
	any   []*clause // of which one must hold
	holds *program  // of a part that is neither
	op    string    // of a comparison: its operator and both sides
	left  *program
	right *program
}

// clausesOf takes a condition apart. The translator must know all that the
// condition names.
func (t *translator) clausesOf(text string) *clause {
	n, ok := t.parse(text)
	if !ok {
		t.problems = nil // told when the rule was loaded
		return nil
	}
	return t.clauseOf(n, text)
}

func (t *translator) clauseOf(n ast.Node, text string) *clause {
	c := &clause{text: written(n)}
	if b, ok := n.(*ast.BinaryNode); ok {
		switch b.Operator {
		case "and", "&&":
			for _, p := range conjuncts(n) {
				c.all = append(c.all, t.clauseOf(p, text))
			}
			return c
		case "or", "||":
			c.any = []*clause{t.clauseOf(b.Left, text), t.clauseOf(b.Right, text)}
			return c
		}
		if _, compares := comparisons[b.Operator]; compares {
			c.op = b.Operator
			c.left, c.right = t.finish(t.value(b.Left), false, text), t.finish(t.value(b.Right), false, text)
		}
	}
	c.holds = t.finish(t.cond(n, false), true, text)
	t.problems = nil
	return c
}

// written is a part of a condition as its author wrote it, but for white space.
func written(n ast.Node) string {
	text := strings.ReplaceAll(n.String(), eachMark, "[*]")
	return strings.Map(func(r rune) rune {
		if r >= digitMark && r < digitMark+10 {
			return r - digitMark + '0'
		}
		return r
	}, text)
}

// ClauseNumbers is a part of a condition and what decided it.
type ClauseNumbers struct {
	Text      string `json:"clause"`
	Holds     bool   `json:"holds"`
	Value     any    `json:"value,omitempty"`     // of a comparison: its left side
	Operator  string `json:"operator,omitempty"`  // and how it was compared
	Threshold any    `json:"threshold,omitempty"` // with its right side
}

// numbers evaluates the parts of a condition that are neither and nor or.
func (c *clause) numbers(r *row) (out []ClauseNumbers, ratio float64) {
	switch {
	case c == nil:
		return nil, 0
	case c.all != nil:
		ratio = 1
		for _, p := range c.all {
			part, x := p.numbers(r)
			out, ratio = append(out, part...), min(ratio, x)
		}
		return out, ratio
	case c.any != nil:
		for _, p := range c.any {
			part, x := p.numbers(r)
			out, ratio = append(out, part...), max(ratio, x)
		}
		return out, ratio
	}
	n := ClauseNumbers{Text: c.text, Operator: c.op}
	if c.holds != nil {
		n.Holds, _ = c.holds.holds(r) // an error was counted when the rule ran
	}
	if c.left != nil && c.right != nil {
		n.Value, _ = c.left.value(r)
		n.Threshold, _ = c.right.value(r)
	}
	return []ClauseNumbers{n}, n.ratio()
}

// ratio is how near the part is to holding, from 0 to 1.
func (n *ClauseNumbers) ratio() float64 {
	if n.Holds {
		return 1
	}
	value, ok1 := number(n.Value)
	threshold, ok2 := number(n.Threshold)
	if !ok1 || !ok2 {
		return 0
	}
	switch n.Operator {
	case "<", "<=":
		value, threshold = threshold, value
	case ">", ">=":
	default:
		return 0
	}
	if threshold <= 0 || value <= 0 || math.IsNaN(value/threshold) {
		return 0
	}
	return min(value/threshold, 0.999)
}
