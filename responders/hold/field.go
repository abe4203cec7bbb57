package hold

import (
	"maps"
	"slices"
	"time"
)

// Order is a field's values from the weakest to the strictest.
type Order []string

// Stricter reports whether a is stricter than b. A value that the order does
// not know is neither stricter nor weaker than any.
func (o Order) Stricter(a, b string) bool {
	i, j := slices.Index(o, a), slices.Index(o, b)
	return i >= 0 && j >= 0 && i > j
}

// Strictest is the strictest of base and the others. A base that the order does
// not know is a choice we cannot judge, and stays.
func (o Order) Strictest(base string, others ...string) string {
	if slices.Index(o, base) < 0 {
		return base
	}
	for _, v := range others {
		if o.Stricter(v, base) {
			base = v
		}
	}
	return base
}

// Memory is what is known of one field between two looks at it.
type Memory struct {
	Baseline  string          `json:"baseline"`            // the last value a human chose
	Applied   string          `json:"applied"`             // the last value known to be in force
	Intent    *string         `json:"intent,omitempty"`    // written ahead of a change that may or may not have landed
	IntentAt  time.Time       `json:"intent_at,omitzero"`  // when
	Claims    []string        `json:"claims,omitempty"`    // that counted at the last look
	Overruled map[string]bool `json:"overruled,omitempty"` // claims that a human's weaker choice came after
}

// Finding is what a look at a field showed.
type Finding string

// The findings, as the three-way comparison tells them apart.
const (
	Unchanged  Finding = ""
	Landed     Finding = "landed"     // our write was in force before we could note it
	Tightened  Finding = "tightened"  // somebody else made it stricter
	Loosened   Finding = "loosened"   // somebody else made it weaker
	Foreign    Finding = "foreign"    // somebody else set a value, and the order does not know it or the one before
	FirstSight Finding = "first_seen" // nothing was known of the field
)

// Look compares an observed value with what is known and returns what is known
// now. claims are the keys of the claims on the field: a human's choice that is
// not stricter overrules them, and only them. m is nil when nothing is known yet.
//
// Two things no value can show, only the tenant's log: a human who sets the very
// value that is applied or intended, and one whose change our own write buried
// before anybody read it. Both look as if nobody had been there.
func (o Order) Look(m *Memory, observed string, claims []string) (Memory, Finding) {
	if m == nil {
		return Memory{Baseline: observed, Applied: observed}, FirstSight
	}
	out := *m
	out.Overruled = maps.Clone(m.Overruled)
	switch {
	case observed == m.Applied:
		// As far as the value tells, nobody else was here. An open intent has not
		// landed, but a slow request may land it yet.
		return out, Unchanged
	case m.Intent != nil && observed == *m.Intent:
		out.Applied, out.Intent = observed, nil
		return out, Landed
	}
	finding := Foreign
	if o.Stricter(observed, m.Applied) {
		finding = Tightened
	} else if o.Stricter(m.Applied, observed) {
		finding = Loosened
	}
	out.Baseline, out.Applied, out.Intent = observed, observed, nil
	if finding != Tightened {
		// Where no order tells whether the choice is weaker, it is not fought either.
		if out.Overruled == nil {
			out.Overruled = map[string]bool{}
		}
		for _, key := range claims {
			out.Overruled[key] = true
		}
	}
	return out, finding
}

// Claim is the value that one hold asks of a field.
type Claim struct {
	Hold  string // the hold's Key
	Value string
}

// Desired is the value the field should have: the strictest of the baseline and
// the claims that were not overruled.
func (o Order) Desired(m Memory, claims []Claim) string {
	values := make([]string, 0, len(claims))
	for _, c := range claims {
		if !m.Overruled[c.Hold] {
			values = append(values, c.Value)
		}
	}
	return o.Strictest(m.Baseline, values...)
}
