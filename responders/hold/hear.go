package hold

import (
	"slices"
	"time"
)

// Whose tells whose write a line of the log is.
type Whose int

// Whose writes there are. What any instance of this installation wrote is never
// somebody's choice.
const (
	Theirs Whose = iota
	Ours         // with a correlation id of this instance
	Twins        // with one of another instance of this installation
)

// Told is one line of the tenant's log about one field.
type Told struct {
	Value  Value // the field after it
	At     time.Time
	Whose  Whose
	Op     string // the correlation id
	By     string // who, for people
	Client string // the application they used
}

// Hear learns from a line of the log. Lines may come twice, late and in any order:
// what is known at the end is the same.
func (c *Cell) Hear(l Lattice, t Told) Finding {
	switch t.Whose {
	case Ours:
		c.hearOurs(t)
		return Unchanged
	case Twins:
		c.disown(t.Value, t.At)
		return Unchanged
	}
	if t.At.Before(c.Base.At) {
		// Older than what is known, unless it tells whose the choice is that was seen.
		if !c.Base.Told && !c.Base.Found && c.Base.Value == t.Value && !t.At.Before(c.Base.After) {
			c.Base.By, c.Base.Client, c.Base.Told, c.Before = t.By, t.Client, true, nil
			c.blow(l, t, true)
		} else if c.Before != nil && !t.At.Before(c.Before.At) {
			c.Before = &Choice{Value: t.Value, At: t.At, By: t.By, Client: t.Client, Told: true} // should Base turn out to be ours
		}
		return Unchanged
	}
	if c.Base.Told && c.Base.At.Equal(t.At) && c.Base.Value == t.Value {
		return Unchanged // heard before
	}
	seen := !c.Base.Told && !c.Base.Found && c.Base.Value == t.Value
	c.blow(l, t, seen)
	was := c.Base.Value
	c.Base, c.Before = Choice{Value: t.Value, At: t.At, By: t.By, Client: t.Client, Told: true}, nil
	switch {
	case seen || was == "" || c.Applied == "":
		return Unchanged // the look told of it already, or there is nothing to tell it from
	case l.Stricter(t.Value, was):
		return Tightened
	case c.overrules(l):
		return Loosened
	case t.Value != was:
		return Foreign
	}
	return Unchanged
}

// hearOurs notes when a write of ours landed.
func (c *Cell) hearOurs(t Told) {
	i := slices.IndexFunc(c.Ops, func(op Op) bool { return op.ID == t.Op })
	if i < 0 {
		c.disown(t.Value, t.At)
		return
	}
	if c.Ops[i].Told {
		return
	}
	c.Ops[i].Told = true
	c.stood(c.Ops[i].Claims, t.At)
	c.mistook(c.Ops[i].Value, c.Ops[i].At)
}

// disown notes a write of this installation that the cell knows nothing of.
func (c *Cell) disown(v Value, at time.Time) {
	if at.After(c.SeenAt) && !slices.ContainsFunc(c.Ops, func(op Op) bool { return op.Value == v && op.At.Equal(at) }) {
		c.Ops = append(c.Ops, Op{Value: v, At: at, Told: true})
	}
	if c.Base.Found && c.Base.Value == v && !at.After(c.Base.At.Add(grain)) {
		c.Base.Ours = true
	}
	c.mistook(v, at)
}

// mistook takes back a choice that was none: what was seen is what this
// installation wrote.
func (c *Cell) mistook(v Value, at time.Time) {
	if c.Before != nil && !c.Base.Told && c.Base.Value == v && !at.After(c.Base.At.Add(grain)) {
		c.Base, c.Before = *c.Before, nil
	}
}

// blow counts that a client lowered what was held. Three in a day are a fight.
// seen says that a look had shown it before.
func (c *Cell) blow(l Lattice, t Told, seen bool) {
	lowers := false
	for key, stand := range c.Claims {
		inForce := !stand.Since.IsZero() && !t.At.Before(stand.Since)
		lowers = lowers || inForce && !met(l, stand.Value, t.Value) && (seen || !c.Overruled(l, Claim{Hold: key, Value: stand.Value}))
	}
	b := Blow{Client: t.Client, At: t.At}
	if !lowers || t.Client == "" || slices.ContainsFunc(c.Fights, func(o Blow) bool { return o.At.Equal(b.At) }) {
		return
	}
	c.Fights = append(c.Fights, b)
	c.prune(t.At)
	n := 0
	for _, o := range c.Fights {
		if o.Client == t.Client {
			n++
		}
	}
	if n >= fightBlows {
		c.Fight = &b
	}
}
