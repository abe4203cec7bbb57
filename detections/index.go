package detections

import (
	"cmp"
	"slices"

	"github.com/expr-lang/expr/ast"
)

// The index finds the rules that an event may concern. It errs only towards
// too many: each is evaluated as if there were no index.

// typePlan holds the rules for events of one type.
type typePlan struct {
	open  []*ruleState // that must see every event, in order
	keyed []keyedRules
}

// keyedRules are the rules that ask for certain texts of one field.
type keyedRules struct {
	slot   int
	byText map[string][]*ruleState
}

func (p *typePlan) empty() bool { return p == nil || len(p.open) == 0 && len(p.keyed) == 0 }

func (p *typePlan) add(r *ruleState) {
	if r.index.texts == nil {
		p.open = append(p.open, r)
		return
	}
	i := slices.IndexFunc(p.keyed, func(k keyedRules) bool { return k.slot == r.index.slot })
	if i < 0 {
		i = len(p.keyed)
		p.keyed = append(p.keyed, keyedRules{r.index.slot, map[string][]*ruleState{}})
	}
	for _, s := range r.index.texts {
		p.keyed[i].byText[s] = append(p.keyed[i].byText[s], r)
	}
}

// index sorts rules by the event types they ask for, and by texts of one field.
func (e *Engine) index() {
	e.byType, e.other = map[string]*typePlan{}, &typePlan{}
	for _, r := range e.rules {
		switch {
		case r.On == "signals":
		case r.types == nil:
			e.other.add(r)
		default:
			for _, t := range r.types {
				if e.byType[t] == nil {
					e.byType[t] = &typePlan{}
				}
				e.byType[t].add(r)
			}
		}
	}
}

// concerned lists the rules that the event in the row may concern, in order. The
// list is good until the next call.
func (e *Engine) concerned(plan *typePlan) []*ruleState {
	if plan != nil && len(plan.keyed) == 0 && e.other.empty() {
		return plan.open
	}
	out, sources := e.candidates[:0], 0
	for _, p := range [2]*typePlan{plan, e.other} {
		if p.empty() {
			continue
		}
		if len(p.open) > 0 {
			out = append(out, p.open...)
			sources++
		}
		for i := range p.keyed {
			k := &p.keyed[i]
			d := e.eval.row.at(k.slot)
			if d.kind != textValue {
				continue
			}
			if rules := k.byText[d.text]; len(rules) > 0 {
				out = append(out, rules...)
				sources++
			}
		}
	}
	if e.candidates = out; sources > 1 {
		slices.SortFunc(out, func(a, b *ruleState) int { return cmp.Compare(a.order, b.order) })
	}
	return out
}

// ruleKey is a field of which a rule asks for one of few texts.
type ruleKey struct {
	slot  int
	texts []string // sorted; nil when it asks for none
}

// maxKeyTexts bounds the texts of a key: with more, an index gains little.
const maxKeyTexts = 64

// maxKeyFields bounds the fields that are tried as a key.
const maxKeyFields = 8

// keyOf finds the field beside the type of which a condition asks for the fewest
// texts.
func keyOf(n ast.Node, t *translator) ruleKey {
	lists := Lists{}
	for name, l := range t.lists {
		if len(l.nets) == 0 && len(l.entries) <= maxKeyTexts {
			lists[name] = l
		}
	}
	var best ruleKey
	for _, path := range comparedFields(n, nil) {
		texts, ok := namesOf(n, path, lists)
		p, known := t.fields[path]
		if !ok || !known || path == "type" {
			continue
		}
		slices.Sort(texts)
		texts = slices.Compact(texts)
		if len(texts) <= maxKeyTexts && (best.texts == nil || len(texts) < len(best.texts)) {
			best = ruleKey{t.table.field(p), append([]string{}, texts...)}
		}
	}
	return best
}

// comparedFields adds the fields that stand beside == or in, outside negations.
func comparedFields(n ast.Node, to []string) []string {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return to
	}
	switch b.Operator {
	case "==", "in":
		for _, side := range [2]ast.Node{b.Left, b.Right} {
			if path, ok := dottedPath(side); ok && !isConstantName(path) && len(to) < maxKeyFields && !slices.Contains(to, path) {
				to = append(to, path)
			}
		}
	case "and", "&&", "or", "||":
		to = comparedFields(b.Right, comparedFields(b.Left, to))
	}
	return to
}
