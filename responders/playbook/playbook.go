// Package playbook runs durable sequences of steps on a subject, such as taking an
// account back. A run is kept step by step: it goes on where it was after a crash
// at any instant, and never repeats what cannot be repeated.
package playbook

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// Playbook is a sequence of steps on one kind of subject.
type Playbook struct {
	ID      string `yaml:"id,required"`
	Title   string `yaml:"title,required"`
	Doc     string `yaml:"doc"`
	Subject string `yaml:"subject,required"` // user, client or tenant
	Budget  string `yaml:"budget"`           // the kind that a run counts against; none if empty
	Steps   []Step `yaml:"steps,required"`

	source []byte // itself, for runs that outlive it
}

// Step is one step of a playbook. It either does something or waits.
type Step struct {
	ID    string `yaml:"id,required"`
	Title string `yaml:"title"`
	Do    string `yaml:"do"` // the measure
	// With are settings of the measure.
	With map[string]string `yaml:"with"`
	// Until is an expression over an event; the step ends with the first that it
	// holds for, of those since the step After was done.
	Until yamldoc.Text `yaml:"until"`
	After string       `yaml:"after"`
	// Pause is how long is waited after the step before, and before this one begins.
	Pause    time.Duration `yaml:"pause"`
	Deadline time.Duration `yaml:"deadline"` // from its beginning; defaultDeadline if absent
	// Failing is what happens at the deadline, or when the tenant refuses for good.
	Failing Failing `yaml:"on_failure"`
	Approve bool    `yaml:"approve"` // a person must say yes first
	// When is a condition over the run; a step for which it does not hold is skipped.
	When yamldoc.Text `yaml:"when"`

	until, when *vm.Program
}

// Failing is what a run does when a step cannot be done.
type Failing string

// What happens when a step fails. Within its deadline it is always tried again.
const (
	Skip Failing = "skip" // go on with the next step
	Stop Failing = "stop" // end the run: what was done stays done
	AskA Failing = "ask"  // wait for a person
)

const (
	defaultDeadline = 10 * time.Minute
	// lastDeadline bounds the deadline of a step.
	lastDeadline = 60 * 24 * time.Hour
)

// Subjects of playbooks.
const (
	OfUser   = "user"
	OfClient = "client"
	OfTenant = "tenant"
)

var subjects = []string{OfUser, OfClient, OfTenant}

// EventEnv is what an until condition sees.
type EventEnv struct {
	Event   map[string]any    `expr:"event"`   // the event, in Auth0's names
	Subject string            `expr:"subject"` // the run's
	Facts   map[string]string `expr:"facts"`   // what earlier steps learned
}

// RunEnv is what a when condition sees.
type RunEnv struct {
	Subject string            `expr:"subject"`
	Facts   map[string]string `expr:"facts"`
}

// Load reads playbooks from files. measures are the measures that steps may name.
// The error is a [diag.Problems] with every problem; playbooks without one are
// returned all the same.
func Load(files []File, measures map[string]Kind) (map[string]*Playbook, error) {
	out := map[string]*Playbook{}
	seen := map[string]string{}
	var problems diag.Problems
	for _, f := range files {
		src := diag.NewSource(f.Name, f.Data)
		docs, ps := yamldoc.Documents(src)
		problems = append(problems, ps...)
		for _, doc := range docs {
			p := &Playbook{}
			d := &yamldoc.Decoder{Src: src}
			d.Decode(doc, p, "")
			if first, dup := seen[p.ID]; dup && p.ID != "" {
				d.Report(doc, "", "the id %s is already used in %s", p.ID, first)
			}
			if len(d.Problems) == 0 {
				p.check(d, doc, measures)
			}
			for i := range d.Problems {
				d.Problems[i].Key = strings.TrimSuffix(p.ID+"."+d.Problems[i].Key, ".")
			}
			if problems = append(problems, d.Problems...); len(d.Problems) == 0 {
				var err error
				if p.source, err = yaml.Marshal(doc); err != nil {
					problems = append(problems, diag.Problem{File: f.Name, Msg: "playbook " + p.ID + " cannot be kept: " + err.Error()})
					continue
				}
				seen[p.ID] = f.Name
				out[p.ID] = p
			}
		}
	}
	return out, problems.Err()
}

// File is one file of playbooks.
type File struct {
	Name string
	Data []byte
}

func (p *Playbook) check(d *yamldoc.Decoder, doc *yaml.Node, measures map[string]Kind) {
	if !slices.Contains(subjects, p.Subject) {
		d.Report(at(doc, "subject"), "subject", "must be one of %s", strings.Join(subjects, ", "))
	}
	if len(p.Steps) == 0 {
		d.Report(at(doc, "steps"), "steps", "a playbook needs at least one step")
	}
	before := map[string]bool{}
	for i := range p.Steps {
		p.Steps[i].check(d, at(doc, "steps"), i, p.Subject, before, measures)
		before[p.Steps[i].ID] = true
	}
}

func (s *Step) check(d *yamldoc.Decoder, steps *yaml.Node, i int, subject string, before map[string]bool, measures map[string]Kind) {
	node := steps.Content[i]
	key := fmt.Sprintf("steps[%d]", i)
	report := func(name, format string, args ...any) *diag.Problem {
		return d.Report(at(node, name), key+"."+name, format, args...)
	}
	if before[s.ID] {
		report("id", "two steps are called %s", s.ID)
	}
	if s.Deadline == 0 {
		s.Deadline = defaultDeadline
	}
	if s.Deadline > lastDeadline {
		report("deadline", "is longer than %s", yamldoc.FormatDuration(lastDeadline))
	}
	switch s.Failing {
	case "":
		s.Failing = Stop
	case Skip, Stop, AskA:
	default:
		report("on_failure", "must be skip, stop or ask; within its deadline a step is always tried again")
	}
	if s.When.Given() {
		s.when = compile(d, s.When, key+".when", RunEnv{})
	}
	switch {
	case s.Do == "" && !s.Until.Given() && s.Pause == 0:
		d.Report(node, key, "a step needs do, until or pause")
	case s.Do != "" && s.Until.Given():
		report("until", "a step does something or waits for an event, not both")
	case s.Do != "":
		k, ok := measures[s.Do]
		if !ok {
			names := slices.Sorted(maps.Keys(measures))
			report("do", "unknown measure %s%s", s.Do, diag.DidYouMean(s.Do, names)).Hint = "measures: " + strings.Join(names, ", ")
			return
		}
		if k.Subject != "" && k.Subject != subject {
			report("do", "%s is for a %s, and the playbook's subject is a %s", s.Do, k.Subject, subject)
		}
		for name := range s.With {
			if _, known := k.Settings[name]; !known {
				names := slices.Sorted(maps.Keys(k.Settings))
				report("with", "%s has no setting %s%s", s.Do, name, diag.DidYouMean(name, names))
			}
		}
		if k.Irreversible && k.Approval && !s.Approve {
			report("do", "%s cannot be undone and may hit the wrong one: say approve: true", s.Do)
		}
	}
	if s.Until.Given() {
		s.until = compile(d, s.Until, key+".until", EventEnv{})
	}
	if s.After != "" && !before[s.After] {
		report("after", "no earlier step is called %s", s.After)
	}
}

func compile(d *yamldoc.Decoder, t yamldoc.Text, key string, env any) *vm.Program {
	prog, err := expr.Compile(t.Value, expr.Env(env), expr.AsBool(), expr.DisableBuiltin("now"))
	var fe *file.Error
	switch {
	case errors.As(err, &fe):
		d.ReportAt(t, fe.From, fe.To, key, "%s", fe.Message)
	case err != nil:
		d.ReportAt(t, 0, 1, key, "%s", err)
	}
	return prog
}

// at is the value of a key of a mapping, or the mapping itself.
func at(n *yaml.Node, key string) *yaml.Node {
	n = yamldoc.Resolve(n)
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return yamldoc.Resolve(n.Content[i+1])
		}
	}
	return n
}
