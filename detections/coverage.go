package detections

import "slices"

// Coverage tells which parts of a rule's conditions its tests saw hold and saw
// fail. A part that never failed may as well not be there.
type Coverage struct {
	Rule    string        `json:"rule"`
	Parts   []ClauseCover `json:"clauses"`
	Covered int           `json:"covered"` // outcomes that were seen, of two for each part
}

// ClauseCover is one part of a condition.
type ClauseCover struct {
	Key    string `json:"key"` // where, having, when, steps[0] …
	Text   string `json:"clause"`
	Held   bool   `json:"held"`
	Failed bool   `json:"failed"`
}

// Percent is how many of the outcomes were seen; 100 for a rule without conditions.
func (c *Coverage) Percent() int {
	if len(c.Parts) == 0 {
		return 100
	}
	return 100 * c.Covered / (2 * len(c.Parts))
}

// Missing lists what no test saw.
func (c *Coverage) Missing() []string {
	var out []string
	for _, p := range c.Parts {
		if !p.Held {
			out = append(out, p.Key+": "+p.Text+" never held")
		}
		if !p.Failed {
			out = append(out, p.Key+": "+p.Text+" never failed")
		}
	}
	return out
}

// coverage collects what the tests of one rule see.
type coverage struct {
	order []coverKey
	seen  map[coverKey]*ClauseCover
}

type coverKey struct{ key, text string }

func newCoverage() *coverage { return &coverage{seen: map[coverKey]*ClauseCover{}} }

func (c *coverage) note(key, text string, held bool) {
	k := coverKey{key, text}
	p := c.seen[k]
	if p == nil {
		p = &ClauseCover{Key: key, Text: text}
		c.seen[k] = p
		c.order = append(c.order, k)
	}
	p.Held, p.Failed = p.Held || held, p.Failed || !held
}

// notes takes down every part of a condition.
func (c *coverage) notes(key string, from *clause, r *row) {
	numbers, _ := from.numbers(r)
	for _, n := range numbers {
		c.note(key, n.Text, n.Holds)
	}
}

// expect makes known the parts that no test may reach.
func (c *coverage) expect(key string, from *clause) {
	if from == nil {
		return
	}
	for _, p := range slices.Concat(from.all, from.any) {
		c.expect(key, p)
	}
	if from.all == nil && from.any == nil {
		k := coverKey{key, from.text}
		if c.seen[k] == nil {
			c.seen[k] = &ClauseCover{Key: key, Text: from.text}
			c.order = append(c.order, k)
		}
	}
}

func (c *coverage) result(rule string) Coverage {
	out := Coverage{Rule: rule}
	for _, k := range c.order {
		p := *c.seen[k]
		out.Parts = append(out.Parts, p)
		for _, seen := range []bool{p.Held, p.Failed} {
			if seen {
				out.Covered++
			}
		}
	}
	return out
}

// cover begins to collect for the rule of a probe.
func (p *probe) cover(c *coverage) {
	p.covers = c
	c.expect("where", p.where)
	c.expect(p.decidesKey(), p.decides)
	for _, m := range p.marks() {
		c.expect(m.key, &clause{text: m.text})
	}
}

func (p *probe) decidesKey() string {
	if p.rule.kind == State {
		return "when"
	}
	return "having"
}

// markCover is a condition that marks an event.
type markCover struct{ key, text string }

func (p *probe) marks() []markCover {
	r := p.rule
	switch {
	case r.Rule.Kind() == Absence:
		return []markCover{{"after", r.After.Value}, {"expect", r.Expect.Value}}
	case r.marks != nil:
		var out []markCover
		for _, s := range r.Steps {
			out = append(out, markCover{"steps." + s.Name, s.Where.Value})
		}
		return out
	}
	return nil
}

// coverEvent takes down what the conditions over one event came to. The event is
// in the row.
func (p *probe) coverEvent(e *Engine) {
	p.covers.notes("where", p.where, e.eval.row)
	if p.rule.where != nil {
		if ok, _ := p.rule.where.holds(e.eval.row); !ok {
			return // what marks an event is asked only then
		}
	}
	marks := p.marks()
	for i, m := range p.rule.marks {
		if i < len(marks) {
			ok, _ := m.holds(e.eval.row)
			p.covers.note(marks[i].key, marks[i].text, ok)
		}
	}
}
