package playbook

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"portcullis/internal/yamldoc"
)

// StepPlan is what one step of a playbook would do to one subject.
type StepPlan struct {
	Step  string   `json:"step"`
	Title string   `json:"title,omitempty"`
	Notes []string `json:"notes,omitempty"` // pauses, waits, approvals, what happens when it fails
	Plan
}

// PlanOf tells what a playbook would do to a subject, step by step, by reading the
// tenant alone. An error means that the subject cannot be read.
func PlanOf(ctx context.Context, p *Playbook, measures map[string]Measure, c *Case) ([]StepPlan, error) {
	var out []StepPlan
	for i := range p.Steps {
		s := &p.Steps[i]
		plan := StepPlan{Step: s.ID, Title: s.Title, Notes: s.notes()}
		if m := measures[s.Do]; m != nil {
			plan.Notes = append(plan.Notes, facts(m.Kind())...)
			if planner, ok := m.(Planner); ok {
				now := *c
				now.With = s.With
				now.Facts = map[string]string{}
				found, err := planner.Plan(ctx, &now)
				switch {
				case errors.Is(err, ErrGone):
					return nil, err
				case err != nil:
					found.Cannot = err.Error()
				}
				plan.Plan = found
			}
		}
		out = append(out, plan)
	}
	return out, nil
}

// notes say when a step comes and what becomes of it.
func (s *Step) notes() []string {
	var out []string
	if s.Pause > 0 {
		out = append(out, "after "+yamldoc.FormatDuration(s.Pause))
	}
	if s.When.Given() {
		out = append(out, "only if "+strings.Join(strings.Fields(s.When.Value), " "))
	}
	if s.Until.Given() {
		out = append(out, "waits for an event with "+strings.Join(strings.Fields(s.Until.Value), " "))
	}
	if s.Approve {
		out = append(out, "a person approves it first")
	}
	then := map[Failing]string{Skip: "the run goes on without it", Stop: "the run ends", AskA: "a person is asked"}[s.Failing]
	return append(out, fmt.Sprintf("within %s, or else %s", yamldoc.FormatDuration(s.Deadline), then))
}

func facts(k Kind) []string {
	var out []string
	if k.Irreversible {
		out = append(out, "cannot be undone")
	}
	if len(k.Scopes) > 0 {
		out = append(out, "needs "+strings.Join(k.Scopes, ", "))
	}
	return out
}
