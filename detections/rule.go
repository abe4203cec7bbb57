package detections

import (
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// Kind is what a rule needs to know to hold.
type Kind string

// The kinds of rules. docs/rules.md has an example of each.
const (
	Match     Kind = "match"      // one event
	Aggregate Kind = "aggregate"  // the events of a group within a window
	Baseline  Kind = "baseline"   // the same, compared with what is usual for the group
	Sequence  Kind = "sequence"   // one event after another
	Absence   Kind = "absence"    // an event that another does not follow
	FirstSeen Kind = "first_seen" // a value that is new to its group
	State     Kind = "state"      // a setting that changes, until it is changed back
)

// Kinds lists every kind.
var Kinds = []Kind{Match, Aggregate, Baseline, Sequence, Absence, FirstSeen, State}

// Rule is one detection as its author wrote it.
type Rule struct {
	ID             string                  `yaml:"id,required"`    // stable for ever
	Title          string                  `yaml:"title,required"` // what happened, as a person would say it
	Description    string                  `yaml:"description"`
	Severity       Severity                `yaml:"severity,required"`
	SeverityReason string                  `yaml:"severity_reason"`
	SeverityWhen   []Raise                 `yaml:"severity_when"` // what makes an alert more severe than that
	Campaign       string                  `yaml:"campaign"`      // alerts of one campaign fold into one incident; the id if absent
	Fold           Fold                    `yaml:"fold"`          // what folds them; see DefaultFold
	FoldNetwork    bool                    `yaml:"fold_network"`
	Author         string                  `yaml:"author"`
	License        string                  `yaml:"license"`
	Date           string                  `yaml:"date"`     // when it was written, as its author writes dates
	Modified       string                  `yaml:"modified"` // and changed last
	Tags           []string                `yaml:"tags"`
	References     []string                `yaml:"references"`
	Related        map[string][]string     `yaml:"related"` // ids of rules published elsewhere, by how this one relates to them
	FalsePositives []string                `yaml:"false_positives"`
	Runbook        string                  `yaml:"runbook"` // what a person should do
	Params         map[string]Param        `yaml:"params"`
	On             string                  `yaml:"on"` // "events" (default) or "signals": the alerts of other rules
	Where          yamldoc.Text            `yaml:"where"`
	GroupBy        []GroupKey              `yaml:"group_by"`
	MissingKey     string                  `yaml:"missing_key"` // "drop" (default) or "group"
	Window         time.Duration           `yaml:"window"`
	Having         yamldoc.Text            `yaml:"having"`
	Steps          []Step                  `yaml:"steps"`   // of a sequence
	Ordered        bool                    `yaml:"ordered"` // the steps follow each other; true if absent
	Within         time.Duration           `yaml:"within"`  // of a sequence, from the first step to the last; of an absence
	After          yamldoc.Text            `yaml:"after"`   // of an absence: the event that another must follow
	Expect         yamldoc.Text            `yaml:"expect"`  // and that other
	Value          yamldoc.Text            `yaml:"value"`   // of first_seen and of a state
	Per            []GroupKey              `yaml:"per"`     // what a value is new to, as group_by
	Learn          time.Duration           `yaml:"learn"`   // nothing is new to what is younger than this
	Forget         time.Duration           `yaml:"forget"`  // a value that was not seen for so long is new again
	Key            []GroupKey              `yaml:"key"`     // what has a state, as group_by; the tenant if absent
	When           yamldoc.Text            `yaml:"when"`    // over was and now
	Quiet          time.Duration           `yaml:"quiet"`   // an alert resolves when its condition has not held for so long
	Publish        *Publish                `yaml:"publish"`
	Evidence       map[string]yamldoc.Text `yaml:"evidence"`
	Tests          []Test                  `yaml:"tests"`

	src     *diag.Source
	node    *yaml.Node
	loaded  bool     // what follows is known, and nothing changes any more: engines share the rule
	named   []string // lists that it names
	sources []string // rules whose signals it reads; nil when any
	reach   int64    // see Reach
}

// Reach is how far behind the watermark an event can still matter to a window, a
// step or a baseline of the rule. What a first_seen or state rule knows of longer
// ago is not made of events any more.
func (r *Rule) Reach() time.Duration { return time.Duration(r.reach) * time.Millisecond }

// Raise makes an alert more severe once its episode fulfils a condition over
// aggregates. More events can only make it truer, so that severity never falls.
type Raise struct {
	If       yamldoc.Text `yaml:"if,required"`
	Severity Severity     `yaml:"severity,required"`
}

// Step is one step of a sequence. Its condition may name fields of the first
// event of an earlier step: invite.user_id.
type Step struct {
	Name  string       `yaml:"name,required"`
	Where yamldoc.Text `yaml:"where,required"`
	Times int          `yaml:"times"` // events that make the step; 1 if absent
}

// Publish puts a value of each event of an alert into a list that other rules
// look up as lists.NAME, for TTL from the event.
type Publish struct {
	List  string        `yaml:"list,required"`
	Value yamldoc.Text  `yaml:"value,required"`
	TTL   time.Duration `yaml:"ttl,required"`
}

// Kind tells which kind of rule r is.
func (r *Rule) Kind() Kind {
	switch {
	case len(r.Steps) > 0:
		return Sequence
	case r.After.Given() || r.Expect.Given():
		return Absence
	case r.When.Given():
		return State
	case r.Value.Given():
		return FirstSeen
	case r.Having.Given() && usesBaseline(r.Having.Value):
		return Baseline
	case r.Having.Given():
		return Aggregate
	}
	return Match
}

// File is the file that r came from.
func (r *Rule) File() string { return r.src.Name }

// Source is the text of r's file.
func (r *Rule) Source() string { return string(r.src.Data) }

// Param is a number or text that a tenant may set without copying the rule.
type Param struct {
	Default any      `yaml:"default,required"`
	Min     *float64 `yaml:"min"`
	Max     *float64 `yaml:"max"`
	Doc     string   `yaml:"doc"`
}

// How long an alert without a window of its own stays open without a new event,
// and how long first_seen learns and remembers where the rule does not say.
const (
	defaultQuiet  = time.Hour
	defaultLearn  = 14 * 24 * time.Hour
	defaultForget = 90 * 24 * time.Hour
)

// minWindow and maxWindow bound windows and quiet times.
const (
	minWindow = time.Second
	maxWindow = 92 * 24 * time.Hour
)
