package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/responders/hold"
)

// Explained is what is known of one field: what it was last seen to be, why, and
// what it falls to.
type Explained struct {
	Control  string           `json:"control"`
	Field    string           `json:"field"`
	Value    string           `json:"value"` // last seen in force
	SeenAt   time.Time        `json:"seen_at"`
	Baseline ExplainedChoice  `json:"baseline"`
	Claims   []ExplainedClaim `json:"claims"` // the strictest first
	Next     string           `json:"next,omitempty"`
	NextAt   time.Time        `json:"next_at,omitzero"` // when it falls to Next, if nothing comes between
	Doubt    string           `json:"doubt,omitempty"`  // why a person is asked before that
}

// ExplainedChoice is the value that comes back.
type ExplainedChoice struct {
	Value string    `json:"value"`
	How   string    `json:"how"` // in words: who chose it, or that it was found
	At    time.Time `json:"at"`
}

// ExplainedClaim is what one hold asks of the field.
type ExplainedClaim struct {
	Hold  string    `json:"hold"`
	Level string    `json:"level"`
	Value string    `json:"value"`
	Until time.Time `json:"until"`
	Why   string    `json:"why,omitempty"` // why it does not count; empty when it does
}

// Explain tells every field that is remembered, from memory alone: the tenant is
// not asked.
func (f *Fields) Explain(ctx context.Context, holds []*hold.Hold, now time.Time) ([]Explained, error) {
	m, err := f.load(ctx)
	if err != nil {
		return nil, err
	}
	out := []Explained{}
	for _, key := range slices.Sorted(maps.Keys(m.Cells)) {
		subject, cell := splitKey(key)
		c := m.Cells[key]
		if c.Applied == "" {
			continue // the log told of it, and nobody held it
		}
		v := &visit{f: f, m: m, subject: subject, now: now}
		for _, h := range inForce(holds, now) {
			if _, asks := f.Levels.Cells[h.Level][cell]; asks && h.Subject == subject {
				v.active = append(v.active, h)
			}
		}
		out = append(out, v.explain(cell, c))
	}
	return out, nil
}

func (v *visit) explain(cell string, c *hold.Cell) Explained {
	order := v.f.order(cell)
	e := Explained{Control: v.f.Name, Field: v.field(cell), Value: text(cell, c.Applied), SeenAt: c.SeenAt, Doubt: v.m.Doubt.Reason, Claims: []ExplainedClaim{},
		Baseline: ExplainedChoice{Value: text(cell, c.Base.Value), How: how(c), At: c.Base.At}}
	slices.SortStableFunc(v.active, func(a, b *hold.Hold) int {
		x, y := v.f.Levels.Cells[a.Level][cell], v.f.Levels.Cells[b.Level][cell]
		switch {
		case order.Stricter(x, y):
			return -1
		case order.Stricter(y, x):
			return 1
		}
		return b.Expires.Compare(a.Expires)
	})
	v.claim()
	for _, h := range v.active {
		value := v.f.Levels.Cells[h.Level][cell]
		claim := ExplainedClaim{Hold: h.ID, Level: h.Level, Value: text(cell, value), Until: h.Expires}
		switch {
		case c.Fighting(v.now):
			claim.Why = "the application " + c.Fight.Client + " keeps setting it back"
		case c.Overruled(order, hold.Claim{Hold: h.Key(), Value: value}):
			claim.Why = "overruled: somebody chose less after it was in force"
		}
		e.Claims = append(e.Claims, claim)
	}
	v.state.At = v.now
	present := v.desired(cell)
	ends := slices.SortedFunc(slices.Values(v.active), func(a, b *hold.Hold) int { return a.Expires.Compare(b.Expires) })
	for _, h := range ends {
		v.active = slices.DeleteFunc(v.active, func(o *hold.Hold) bool { return o == h })
		v.claim()
		if next := v.desired(cell); next != present {
			e.Next, e.NextAt = text(cell, next), h.Expires
			break
		}
	}
	return e
}

// how says where a baseline comes from.
func how(c *hold.Cell) string {
	switch {
	case c.Base.Ours:
		return "set by another daemon of this installation before this one looked"
	case c.Base.Found:
		return "found"
	case c.Base.By != "":
		return "set by " + c.Base.By
	}
	return "set by somebody"
}

// String is the explanation in one paragraph.
func (e Explained) String() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s %s is %s", e.Control, e.Field, e.Value)
	var counts, not []string
	for _, c := range e.Claims {
		if c.Why == "" {
			counts = append(counts, fmt.Sprintf("%s (%s at %s until %s)", c.Hold, c.Value, c.Level, c.Until.UTC().Format("15:04 UTC")))
		} else {
			not = append(not, fmt.Sprintf("%s asks for %s and does not count: %s", c.Hold, c.Value, c.Why))
		}
	}
	if len(counts) > 0 {
		b.WriteString(": the strictest of its baseline and of " + strings.Join(counts, ", "))
	}
	fmt.Fprintf(b, "; baseline %s, %s on %s", e.Baseline.Value, e.Baseline.How, e.Baseline.At.UTC().Format("Monday 2 January 15:04 UTC"))
	if e.Next != "" {
		fmt.Fprintf(b, "; becomes %s at %s", e.Next, e.NextAt.UTC().Format("15:04 UTC"))
	}
	for _, n := range not {
		b.WriteString("; " + n)
	}
	if e.Doubt != "" {
		b.WriteString("; a person is asked before it is let go: " + e.Doubt)
	}
	return b.String()
}
