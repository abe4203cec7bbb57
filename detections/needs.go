package detections

import "slices"

// LogTypes lists the event types that a rule of the set can hold on, sorted:
// those its conditions select, and those of the rules whose signals it reads or
// whose lists it looks up. It is nil when that is any type. A log stream that
// leaves one out makes the rule blind in part; TypeCategory names the filter.
func (s *RuleSet) LogTypes(r *Rule) []string {
	types, known := s.logTypes(r, map[string]bool{})
	if !known {
		return nil
	}
	slices.Sort(types)
	return slices.Compact(types)
}

func (s *RuleSet) logTypes(r *Rule, seen map[string]bool) (types []string, known bool) {
	if seen[r.ID] {
		return nil, true
	}
	seen[r.ID] = true
	if r.On != "signals" {
		p := r.newProver(s.lists, nil, "")
		if types = p.selected(); types == nil {
			return nil, false
		}
	}
	for _, o := range s.Rules {
		if o == r || !s.reads(r, o) {
			continue
		}
		more, known := s.logTypes(o, seen)
		if !known {
			return nil, false
		}
		types = append(types, more...)
	}
	return types, true
}

// StreamCategories lists the filters of a log stream that let a rule's event
// types through, sorted; nil when the rule holds on any type.
func (s *RuleSet) StreamCategories(r *Rule) []string {
	var out []string
	for _, t := range s.LogTypes(r) {
		if c := TypeCategory(t); c != "" {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// selected are the event types for which the rule's conditions on single events
// can be true; nil for any.
func (p *prover) selected() []string {
	var types []string
	if p.rule.Where.Given() {
		if n := p.parse(clauseText{text: p.rule.Where, key: "where"}); n != nil {
			types = p.narrowed(nil, n)
		}
	}
	events := p.rule.events()
	if len(events) == 0 {
		return types
	}
	union := []string{}
	for _, c := range events {
		own := types
		if n := p.parse(c); n != nil {
			own = p.narrowed(types, n)
		}
		if own == nil {
			return nil
		}
		union = append(union, own...)
	}
	return union
}
