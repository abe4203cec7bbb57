package hold

import (
	"slices"
	"strings"
	"time"
)

// Cell is what is known of one field, or of one element of a list, between two
// looks at it. All of its times are the tenant's: dates of its log and of its
// answers.
type Cell struct {
	Base Choice `json:"base"` // what somebody else chose last, as far as is known
	// Before is the choice before that, while Base was only seen in the tenant and
	// the log has not told whose it is.
	Before  *Choice          `json:"before,omitempty"`
	Applied Value            `json:"applied,omitempty"` // last seen in force, at SeenAt; "" before the first look
	SeenAt  time.Time        `json:"seen_at,omitzero"`
	Intent  *Op              `json:"intent,omitempty"` // written ahead of a change that may or may not have landed
	Ops     []Op             `json:"ops,omitempty"`    // our latest writes
	Claims  map[string]Stand `json:"claims,omitempty"` // by the hold's Key, as they were at the last look
	Fights  []Blow           `json:"fights,omitempty"` // times that somebody lowered what was held
	Fight   *Blow            `json:"fight,omitempty"`  // the last of too many by one client
}

// Choice is a value that somebody else chose.
type Choice struct {
	Value  Value     `json:"value"`
	At     time.Time `json:"at,omitzero"`
	After  time.Time `json:"after,omitzero"`   // for one that was only seen: what was known then did not show it
	By     string    `json:"by,omitempty"`     // who, for people, where the log told
	Client string    `json:"client,omitempty"` // the application they used
	Found  bool      `json:"found,omitempty"`  // it was there when the field was first looked at
	Told   bool      `json:"told,omitempty"`   // the log told of it
	Ours   bool      `json:"ours,omitempty"`   // it was found, and another instance of this installation had written it
}

// Op is one write of ours.
type Op struct {
	ID     string    `json:"id"` // its correlation id
	Value  Value     `json:"value"`
	At     time.Time `json:"at"`
	Claims []string  `json:"claims,omitempty"` // that it brought into force
	Seen   bool      `json:"seen,omitempty"`   // the tenant was seen to have it
	Told   bool      `json:"told,omitempty"`   // the log has it
}

// Stand is how a claim stands with the tenant.
type Stand struct {
	Value Value     `json:"value"`          // what it asks for
	Since time.Time `json:"since,omitzero"` // it was in force at this time at the latest; zero: not yet
}

// Blow is one time that somebody lowered what was held.
type Blow struct {
	Client string    `json:"client"`
	At     time.Time `json:"at"`
}

// Claim is the value that one hold asks of a field.
type Claim struct {
	Hold     string // the hold's Key
	Value    Value
	Severity int       // decides between values without an order
	Created  time.Time // then the older one does
}

const (
	// IntentLife is how long a request with unknown outcome may still land.
	IntentLife = 2 * time.Minute
	// OpLife is how long the line of our own write may take to come in the log.
	OpLife = 15 * time.Minute
	// LateLife is how long after our last write late lines are still heard.
	LateLife = 24 * time.Hour
	// choiceLife is how long it is remembered who chose a value.
	choiceLife = 30 * 24 * time.Hour
	// fightLife is how long a fight lasts, and how far apart its blows may be.
	fightLife = 24 * time.Hour
	// fightBlows of one client are a fight.
	fightBlows = 3
	// grain is how exactly the dates of answers tell the time.
	grain = time.Second
)

// Finding is what a look at a field, or a line of the log, showed.
type Finding string

// The findings, as the three-way comparison tells them apart.
const (
	Unchanged  Finding = ""
	Landed     Finding = "landed"     // our write was in force before we could note it
	Tightened  Finding = "tightened"  // somebody else made it stricter
	Loosened   Finding = "loosened"   // somebody else made it weaker
	Foreign    Finding = "foreign"    // somebody else set a value, and no order is known between it and the one before
	FirstSight Finding = "first_seen" // nothing was known of the field
	Explained  Finding = "explained"  // somebody else set it, which the log had told
)

// Look compares an observed value with what is known and learns from it. seen is
// the date of the answer; the look may have been up to a second later.
//
// Two things no value can show, only the tenant's log: somebody who sets the very
// value that is applied or intended, and one whose change our own write buried
// before anybody read it. [Cell.Hear] learns those.
func (c *Cell) Look(l Lattice, observed Value, seen time.Time, claims []Claim) Finding {
	was := c.Applied
	f := c.compare(l, observed, seen)
	if f == Loosened || f == Foreign {
		// It came after the claims that were there before, whether or not their write
		// was known to have landed; a claim that is new since came later.
		for key, stand := range c.Claims {
			if stand.Since.IsZero() || stand.Since.After(seen) {
				stand.Since = seen
				c.Claims[key] = stand
			}
		}
	}
	if f == Explained {
		// What the last look showed in force was in force when they chose.
		for key, stand := range c.Claims {
			if met(l, stand.Value, was) && (stand.Since.IsZero() || stand.Since.After(c.SeenAt)) {
				stand.Since = c.SeenAt
				c.Claims[key] = stand
			}
		}
	}
	if f == Landed && c.Intent != nil && c.Intent.Value == observed {
		c.Done(seen)
	}
	if c.Intent != nil && seen.Sub(c.Intent.At) > IntentLife {
		c.Intent = nil
	}
	c.Applied, c.SeenAt = observed, seen
	stands := map[string]Stand{}
	for _, cl := range claims {
		stand := c.Claims[cl.Hold]
		if _, known := c.Claims[cl.Hold]; known && stand.Since.IsZero() && was == observed && met(l, cl.Value, observed) {
			stand.Since = seen.Add(grain)
		}
		stand.Value = cl.Value
		stands[cl.Hold] = stand
	}
	c.Claims = stands
	c.prune(seen)
	return f
}

func (c *Cell) compare(l Lattice, observed Value, seen time.Time) Finding {
	switch {
	case c.Applied == "":
		// The log may have told of a choice before anybody looked, and of what another
		// instance made of it.
		switch ours := c.landed(observed, seen); {
		case c.Base.Value == "":
			c.Base = Choice{Value: observed, At: seen, Found: true, Ours: ours}
		case !ours && c.Base.Value != observed && c.Base.At.Before(seen):
			c.saw(observed, seen, c.Base.At)
		}
		return FirstSight
	case observed == c.Applied:
		// As far as the value tells, nobody else was here. An open intent has not
		// landed, but a slow request may land it yet.
		return Unchanged
	case c.Intent != nil && observed == c.Intent.Value:
		return Landed
	case c.landed(observed, seen):
		return Landed // what another instance wrote, or a request that took long
	case c.Base.Told && c.Base.Value == observed && !c.Base.At.Before(c.SeenAt):
		return Explained
	}
	c.saw(observed, seen, c.SeenAt)
	switch {
	case l.Stricter(observed, c.Applied):
		return Tightened
	case l.Stricter(c.Applied, observed):
		return Loosened
	}
	return Foreign
}

// saw notes a choice that the log has not told of.
func (c *Cell) saw(v Value, seen, after time.Time) {
	if c.Base.Told && c.Base.At.After(after) {
		after = c.Base.At // it came after what the log told
	}
	if c.Before == nil {
		before := c.Base
		c.Before = &before
	}
	c.Base = Choice{Value: v, At: seen, After: after}
}

// landed looks for a write of this installation, other than the one intended, that
// may have made the field what it is, and notes that it did.
func (c *Cell) landed(observed Value, seen time.Time) bool {
	for i := range c.Ops {
		op := &c.Ops[i]
		if op.Value == observed && !op.Seen && (!op.At.Before(c.SeenAt) || seen.Sub(op.At) <= IntentLife) {
			op.Seen = true
			c.stood(op.Claims, seen.Add(grain))
			return true
		}
	}
	return false
}

// met reports whether a field at observed is as a claim asks.
func met(l Lattice, claim, observed Value) bool {
	return claim == observed || l.Stricter(observed, claim)
}

// stood notes that claims were in force at a time at the latest.
func (c *Cell) stood(keys []string, at time.Time) {
	for _, key := range keys {
		if stand, known := c.Claims[key]; known && (stand.Since.IsZero() || at.Before(stand.Since)) {
			stand.Since = at
			c.Claims[key] = stand
		}
	}
}

// Overruled reports whether somebody chose less than a claim asks after it was in
// force. It is not fought.
func (c *Cell) Overruled(l Lattice, cl Claim) bool {
	since := c.Claims[cl.Hold].Since
	return !c.Base.Found && !since.IsZero() && !c.Base.At.Before(since) && !met(l, cl.Value, c.Base.Value)
}

// overrules reports whether what somebody chose goes before any claim.
func (c *Cell) overrules(l Lattice) bool {
	for key, stand := range c.Claims {
		if c.Overruled(l, Claim{Hold: key, Value: stand.Value}) {
			return true
		}
	}
	return false
}

// Desired is the value the field should have at time now: the strictest of what
// somebody else chose and the claims that count. waiting are the claims that have
// to give way to another, where values have no order. limit is a person's bound on
// what claims may ask, "" for none; it never weakens what a person chose.
func (c *Cell) Desired(l Lattice, claims []Claim, limit Value, now time.Time) (v Value, waiting []string) {
	if c.Fighting(now) || !l.Knows(c.Base.Value) {
		return c.Base.Value, nil // a choice that we cannot judge stays
	}
	counting := slices.DeleteFunc(slices.Clone(claims), func(cl Claim) bool { return !l.Knows(cl.Value) || c.Overruled(l, cl) })
	if _, exclusive := l.(Exclusive); exclusive {
		return c.choose(counting)
	}
	v = c.Base.Value
	for _, cl := range counting {
		if l.Stricter(cl.Value, v) {
			v = cl.Value
		}
	}
	if l.Stricter(v, limit) {
		v = limit
		if l.Stricter(c.Base.Value, v) {
			v = c.Base.Value
		}
	}
	return v, nil
}

// choose is for values without an order: the gravest claim, then the oldest.
func (c *Cell) choose(claims []Claim) (v Value, waiting []string) {
	if len(claims) == 0 {
		return c.Base.Value, nil
	}
	slices.SortFunc(claims, func(a, b Claim) int {
		if a.Severity != b.Severity {
			return b.Severity - a.Severity
		}
		if n := a.Created.Compare(b.Created); n != 0 {
			return n
		}
		return strings.Compare(a.Hold, b.Hold)
	})
	for _, cl := range claims[1:] {
		if cl.Value != claims[0].Value {
			waiting = append(waiting, cl.Hold)
		}
	}
	return claims[0].Value, waiting
}

// Intend notes a write ahead of it. The cell must be saved before the request.
func (c *Cell) Intend(op Op) {
	c.Intent = &op
	c.Ops = append(c.Ops, op)
	c.prune(op.At)
}

// GiveUp notes that the write that was intended certainly did not land.
func (c *Cell) GiveUp() {
	if c.Intent != nil {
		id := c.Intent.ID
		c.Ops = slices.DeleteFunc(c.Ops, func(op Op) bool { return op.ID == id })
	}
	c.Intent = nil
}

// Done notes that the write that was intended was read back at seen.
func (c *Cell) Done(seen time.Time) {
	c.stood(c.Intent.Claims, seen.Add(grain))
	for i := range c.Ops {
		c.Ops[i].Seen = c.Ops[i].Seen || c.Ops[i].ID == c.Intent.ID
	}
	c.Applied, c.SeenAt, c.Intent = c.Intent.Value, seen, nil
}

// prune forgets what is too old to matter at time now.
func (c *Cell) prune(now time.Time) {
	c.Ops = slices.DeleteFunc(c.Ops, func(op Op) bool {
		return now.Sub(op.At) > LateLife
	})
	c.Fights = slices.DeleteFunc(c.Fights, func(b Blow) bool { return now.Sub(b.At) > fightLife })
	if c.Fight != nil && now.Sub(c.Fight.At) > fightLife {
		c.Fight = nil
	}
}

// Fighting reports whether a client keeps lowering what is held: then nothing is
// held any more, for a day.
func (c *Cell) Fighting(now time.Time) bool {
	return c.Fight != nil && now.Sub(c.Fight.At) <= fightLife
}

// Open reports whether the tenant may have to be looked at or written,
// though no claim is left.
func (c *Cell) Open() bool {
	return c.Intent != nil || c.Applied != "" && c.Applied != c.Base.Value
}

// Idle reports that nothing of the cell is worth remembering at time now.
func (c *Cell) Idle(now time.Time) bool {
	c.prune(now)
	if len(c.Claims) > 0 || c.Open() || c.Fight != nil || len(c.Ops) > 0 {
		return false
	}
	return c.Base.Found || now.Sub(c.Base.At) > choiceLife
}

// Knows reports whether the cell knows of a write of ours.
func (c *Cell) Knows(op string) bool {
	return slices.ContainsFunc(c.Ops, func(o Op) bool { return o.ID == op })
}

// Unconfirmed are the writes that the log should have told of by now.
func (c *Cell) Unconfirmed(now time.Time) []Op {
	var out []Op
	for _, op := range c.Ops {
		if !op.Told && now.Sub(op.At) > OpLife && (c.Intent == nil || c.Intent.ID != op.ID) {
			out = append(out, op)
		}
	}
	return out
}
