package detections

import (
	"maps"
	"slices"
)

// Exempted is an exception that kept a group from being told of, as far as WhyNot
// looked.
type Exempted struct {
	Rule    string `json:"rule"` // as the exception names it
	Where   string `json:"where"`
	Owner   string `json:"owner"`
	Reason  string `json:"reason"`
	Expires string `json:"expires"`
	Place   string `json:"place"`  // file:line
	Events  int    `json:"events"` // of the group that it left out
	Alerts  int    `json:"alerts"` // of the group that it swallowed
}

// exempted is what is counted of an exception.
func (p *probe) exempted(x *exception) *Exempted {
	out := p.excepted[x]
	if out == nil {
		out = &Exempted{Rule: x.Rule, Where: x.Where.Value, Owner: x.Owner, Reason: x.Reason, Expires: x.Expires, Place: x.place()}
		p.excepted[x] = out
	}
	return out
}

// swallows takes down an alert that is not told because of an exception.
func (p *probe) swallows(a *Alert, x *exception) {
	if p == nil || a.Rule != p.rule.ID || !maps.Equal(a.Group, p.group) {
		return
	}
	if _, known := p.swallowed[a.ID]; !known {
		p.exempted(x).Alerts++
	}
	p.swallowed[a.ID] = *a
}

// exceptions lists those that were met: those about events, then those about groups.
func (p *probe) exceptions() []Exempted {
	var out []Exempted
	for _, x := range slices.Concat(p.rule.eventExceptions, p.rule.groupExceptions) {
		if met := p.excepted[x]; met != nil {
			out = append(out, *met)
		}
	}
	return out
}
