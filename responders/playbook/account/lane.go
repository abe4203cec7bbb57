package account

import (
	"context"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/playbook"
)

// lanes are the lanes of the API's quota by those of playbooks.
var lanes = map[playbook.Lane]auth0.Lane{
	playbook.Contain: auth0.Contain, playbook.Verify: auth0.Verify, playbook.Recover: auth0.Restore, playbook.Tell: auth0.Observe,
}

// laned is a measure whose requests go in its lane of the quota: blocks first, and
// up to the whole limit.
type laned struct{ playbook.Measure }

func (m laned) lane(ctx context.Context) context.Context {
	return auth0.InLane(ctx, lanes[m.Kind().Lane])
}

// Happened asks the measure in its lane.
func (m laned) Happened(ctx context.Context, c *playbook.Case, since time.Time) (playbook.Verdict, error) {
	return m.Measure.Happened(m.lane(ctx), c, since)
}

// Take takes the measure in its lane.
func (m laned) Take(ctx context.Context, c *playbook.Case, op string) error {
	return m.Measure.Take(m.lane(ctx), c, op)
}

// Plan reads in the lane of verifying.
func (m laned) Plan(ctx context.Context, c *playbook.Case) (playbook.Plan, error) {
	if p, ok := m.Measure.(playbook.Planner); ok {
		return p.Plan(auth0.InLane(ctx, auth0.Verify), c)
	}
	return playbook.Plan{}, nil
}
