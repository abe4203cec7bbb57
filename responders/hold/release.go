package hold

import (
	"fmt"
	"time"
)

// Doubt is why it is not certain that the log told everything since a time; the
// zero value is no doubt.
type Doubt struct {
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// Question is why a person must say yes before a field is let go from observed to
// want; "" when nobody need be asked, also when it is not let go. floor is the least
// that no tenant should be without, "" for none; held says that a hold of that level
// ends.
func (c *Cell) Question(l Lattice, observed, want Value, doubt Doubt, floor Value, held bool) string {
	if observed == want || l.Stricter(want, observed) {
		return ""
	}
	if doubt.Reason != "" {
		return doubt.Reason + ": a change that somebody made since may not be known"
	}
	if c.Base.Ours && want == c.Base.Value {
		return "another daemon of this installation had set it when this one came: what a person chose is not known"
	}
	if floor == "" || want != c.Base.Value || !l.Stricter(floor, want) || c.Base.Found && !held {
		return ""
	}
	by := "somebody"
	if c.Base.By != "" {
		by = c.Base.By
	}
	if c.Base.Found {
		return fmt.Sprintf("it would be %s again, which is under the floor of %s", want, floor)
	}
	return fmt.Sprintf("it would be %s again, which is under the floor of %s: set on %s by %s", want, floor, c.Base.At.UTC().Format("2 January 15:04 UTC"), by)
}
