package account

import (
	"context"
	"fmt"
	"slices"
	"time"

	"portcullis/responders/playbook"
)

// once is Happened of a measure whose effect cannot be read and which does no harm
// twice: what it noted itself tells.
func once(c *playbook.Case, fact string) (playbook.Verdict, error) {
	if c.Facts[fact] != "" {
		return playbook.Yes, nil
	}
	return playbook.No, nil
}

// forget makes remembered browsers ask for the second factor again.
type forget struct{ api API }

func (forget) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "makes remembered browsers ask for the second factor again", Lane: playbook.Verify, Scopes: []string{"update:users"}}
}

func (forget) Happened(_ context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	return once(c, factForgotten)
}

func (f forget) Take(ctx context.Context, c *playbook.Case, op string) error {
	if err := f.api.ForgetBrowsers(ctx, c.Subject, op); err != nil {
		return explained(err)
	}
	c.Facts[factForgotten] = c.Now.UTC().Format(time.RFC3339)
	return nil
}

func (forget) Plan(_ context.Context, c *playbook.Case) (playbook.Plan, error) {
	return playbook.Plan{Calls: []string{"POST /users/" + c.Subject + "/multifactor/actions/invalidate-remember-browser"}}, nil
}

// risk makes the tenant forget the devices that it knows of the user.
type risk struct{ api API }

func (risk) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "makes the tenant forget which devices it knows of the user", Lane: playbook.Verify, Scopes: []string{"update:users"}}
}

func (risk) Happened(_ context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	return once(c, factRisk)
}

func (r risk) Take(ctx context.Context, c *playbook.Case, op string) error {
	for _, connection := range Fields(c.Facts[FactConnects]) {
		if err := r.api.ClearRisk(ctx, c.Subject, connection, op); err != nil {
			return explained(err)
		}
	}
	c.Facts[factRisk] = c.Now.UTC().Format(time.RFC3339)
	return nil
}

func (risk) Plan(_ context.Context, c *playbook.Case) (playbook.Plan, error) {
	return playbook.Plan{Calls: []string{"POST /users/" + c.Subject + "/risk-assessments/clear"}}, nil
}

// bruteForce clears blocks of brute-force protection, which would keep a user out
// whom we let in again.
type bruteForce struct{ api API }

func (bruteForce) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "clears the blocks that brute-force protection left on the user", Lane: playbook.Recover,
		Scopes: []string{"read:users", "update:users"}}
}

func (b bruteForce) Happened(ctx context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	blocks, err := b.api.UserBlocks(ctx, c.Subject)
	switch {
	case err != nil:
		return playbook.No, explained(err)
	case len(blocks) == 0:
		return playbook.Yes, nil
	}
	return playbook.No, nil
}

func (b bruteForce) Take(ctx context.Context, c *playbook.Case, op string) error {
	return explained(b.api.ClearUserBlocks(ctx, c.Subject, op))
}

func (bruteForce) Plan(_ context.Context, c *playbook.Case) (playbook.Plan, error) {
	return playbook.Plan{Calls: []string{"DELETE /user-blocks/" + c.Subject}}, nil
}

// factors removes the factors that were added since the attack began, and no
// others: to wipe all would let whoever holds the mailbox enrol anew.
type factors struct{ api API }

func (factors) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "removes factors that were added since the attack began, and no others", Lane: playbook.Recover,
		Irreversible: true, Approval: true, Scopes: []string{"read:authentication_methods", "delete:authentication_methods"}}
}

// added are the factors that the evidence names and that are still there.
func (f factors) added(ctx context.Context, c *playbook.Case) ([]string, error) {
	found, err := f.api.Factors(ctx, c.Subject)
	if err != nil {
		return nil, explained(err)
	}
	named := Fields(c.Facts[FactAdded])
	var left []string
	for _, factor := range found {
		if slices.Contains(named, factor.ID) {
			left = append(left, factor.ID)
		}
	}
	return left, nil
}

func (f factors) Happened(ctx context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	left, err := f.added(ctx, c)
	if err != nil || len(left) > 0 {
		return playbook.No, err
	}
	return playbook.Yes, nil
}

func (f factors) Take(ctx context.Context, c *playbook.Case, op string) error {
	if _, err := contained(ctx, f.api, c); err != nil {
		return err
	}
	left, err := f.added(ctx, c)
	if err != nil {
		return err
	}
	for _, id := range left {
		if err := f.api.DeleteFactor(ctx, c.Subject, id, op); err != nil {
			return explained(err)
		}
	}
	return nil
}

func (f factors) Plan(ctx context.Context, c *playbook.Case) (playbook.Plan, error) {
	if c.Cause.Since.IsZero() {
		return playbook.Plan{Guards: []string{"it is not known when the attack began, so no factor counts as added in it"}}, nil
	}
	return playbook.Plan{Calls: []string{"DELETE /users/" + c.Subject + "/authentication-methods/{each}"},
		Guards: []string{fmt.Sprintf("only those added since %s; a person approves", c.Cause.Since.UTC().Format(time.RFC3339))}}, nil
}
