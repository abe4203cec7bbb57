package config

import (
	"time"

	"portcullis/detections"
	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// Retention says how long and how much the streams of the store keep; of each
// the oldest go first.
type Retention struct {
	Events   Kept `yaml:"events"`
	Findings Kept `yaml:"findings"`
	Deeds    Kept `yaml:"deeds"` // without a bound unless one is given
}

// Kept bounds one stream.
type Kept struct {
	Age  time.Duration `yaml:"age"`  // for ever if 0
	Size yamldoc.Size  `yaml:"size"` // of all tenants together, in the files; without a bound if 0
}

// defaultRetention is what the store keeps unless the file says otherwise.
var defaultRetention = Retention{
	Events:   Kept{Age: 31 * 24 * time.Hour, Size: 8 << 30},
	Findings: Kept{Age: 400 * 24 * time.Hour, Size: 2 << 30},
}

// minKept is the least size of a stream: one message is up to 8 MiB.
const minKept yamldoc.Size = 16 << 20

// check refuses a stream that could hold next to nothing.
func (r *Retention) check(d *yamldoc.Decoder, c *Config) {
	for _, s := range []struct {
		stream string
		size   yamldoc.Size
	}{{"events", r.Events.Size}, {"findings", r.Findings.Size}, {"deeds", r.Deeds.Size}} {
		if s.size != 0 && s.size < minKept {
			n := at(c.node, "store", "retention", s.stream, "size")
			d.Report(n, "store.retention."+s.stream+".size", "%s is less than a few messages take", s.size).Hint = "write " + minKept.String() + " or more"
		}
	}
}

// checkRetention refuses an age of events that is shorter than what a rule looks
// back: a start that finds no snapshot makes its windows anew from the events.
func (c *Config) checkRetention(rules *detections.RuleSet) diag.Problems {
	if c.node == nil { // no file, so nothing is kept by it
		return nil
	}
	lateness := max(c.Rules.Lateness, detections.DefaultLateness)
	longest, reach := "", time.Duration(0)
	for _, r := range rules.Rules {
		if r.Reach() > reach {
			longest, reach = r.ID, r.Reach()
		}
	}
	age := c.Store.Retention.Events.Age
	if age >= reach+lateness {
		return nil
	}
	n := at(c.node, "store", "retention", "events", "age")
	p := c.src.Problem(n.Line, n.Column, max(1, len(n.Value)), "store.retention.events.age",
		"events are kept for %s, and rule %s looks back over %s", yamldoc.FormatDuration(age), longest, yamldoc.FormatDuration(reach))
	enough := (reach + lateness + 24*time.Hour - 1).Truncate(24 * time.Hour)
	return diag.Problems{p.WithHint("keep them for at least %s, or disable the rule", yamldoc.FormatDuration(enough))}
}
