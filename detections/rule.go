package detections

import (
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// Kind is what a rule needs to know to hold.
type Kind string

// The kinds of rules.
const (
	Match     Kind = "match"     // one event
	Aggregate Kind = "aggregate" // the events of a group within a window
)

// Rule is one detection as its author wrote it.
type Rule struct {
	ID             string                  `yaml:"id,required"`    // stable for ever
	Title          string                  `yaml:"title,required"` // what happened, as a person would say it
	Description    string                  `yaml:"description"`
	Severity       Severity                `yaml:"severity,required"`
	Campaign       string                  `yaml:"campaign"` // alerts of one campaign fold into one incident; the id if absent
	Tags           []string                `yaml:"tags"`
	References     []string                `yaml:"references"`
	FalsePositives []string                `yaml:"false_positives"`
	Runbook        string                  `yaml:"runbook"` // what a person should do
	Params         map[string]Param        `yaml:"params"`
	Where          yamldoc.Text            `yaml:"where,required"`
	GroupBy        []yamldoc.Text          `yaml:"group_by"`
	MissingKey     string                  `yaml:"missing_key"` // "drop" (default) or "group"
	Window         time.Duration           `yaml:"window"`
	Having         yamldoc.Text            `yaml:"having"`
	Quiet          time.Duration           `yaml:"quiet"` // an alert resolves when its condition has not held for so long
	Evidence       map[string]yamldoc.Text `yaml:"evidence"`
	Tests          []Test                  `yaml:"tests"`

	src  *diag.Source
	node *yaml.Node
}

// Kind tells which kind of rule r is.
func (r *Rule) Kind() Kind {
	if r.Having.Given() {
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

// defaultQuiet is how long a match rule's alert stays open without a new event.
const defaultQuiet = time.Hour

// minWindow and maxWindow bound windows and quiet times.
const (
	minWindow = time.Second
	maxWindow = 92 * 24 * time.Hour
)
