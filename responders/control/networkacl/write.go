package networkacl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

var errNoRoom = errors.New("the tenant has no room for another network ACL")

// apply writes the ACL: intent, request, look again.
func (c *Control) apply(ctx context.Context, m *memory, all []auth0.NetworkACL, ours *auth0.NetworkACL, want []string, active []*hold.Hold, now time.Time, rep *control.Report) error {
	counts := len(m.counting(active)) > 0
	m.Intent, m.IntentAt, m.IntentOn = &want, now, m.Off && counts
	if err := c.save(ctx, m); err != nil {
		return err
	}
	end := m.end(want, active, now)
	if end.IsZero() {
		end = now // only what humans added is left, and nothing of ours runs
	}
	acl := c.draft(want, end)
	var err error
	switch {
	case len(want) == 0:
		err = c.api.DeleteNetworkACL(ctx, ours.ID, c.op())
	case ours != nil:
		acl.Priority = ours.Priority
		if m.Off && !counts {
			acl.Active, acl.Rule.LogOnly = ours.Active, ours.Rule.LogOnly
		}
		err = c.api.UpdateNetworkACL(ctx, ours.ID, acl, c.op())
	default:
		err = c.create(ctx, m, all, acl)
	}
	if err != nil {
		return c.refused(ctx, m, fmt.Errorf("write network ACL: %w", err))
	}
	after, err := c.api.NetworkACLs(ctx)
	if err != nil {
		return fmt.Errorf("read network ACLs back: %w", err)
	}
	found, _ := c.find(after, m)
	if !slices.Equal(addresses(found), want) || found != nil && counts && isOff(found) {
		rep.Again = true // the next look tells who was faster
		return nil
	}
	rep.Changes = append(rep.Changes, changes(addresses(ours), want)...)
	m.Applied = without(want, m.Foreign)
	m.Adopted = intersect(m.Adopted, m.Applied)
	m.Off = found != nil && isOff(found)
	m.closeIntent()
	return nil
}

// refused closes the intent of a write that certainly did nothing.
func (c *Control) refused(ctx context.Context, m *memory, err error) error {
	for _, nothing := range []error{errNoRoom, auth0.ErrForbidden, auth0.ErrRateLimited, auth0.ErrInvalid, auth0.ErrReadOnly} {
		if errors.Is(err, nothing) {
			m.closeIntent()
			if failed := c.save(ctx, m); failed != nil {
				return failed
			}
			break
		}
	}
	return err
}

// removeCopies deletes copies of our ACL: after a request with unknown outcome a
// second one may have made another.
func (c *Control) removeCopies(ctx context.Context, m *memory, ours *auth0.NetworkACL, copies []auth0.NetworkACL) error {
	known := union(m.Applied, addresses(ours))
	if m.Intent != nil {
		known = union(known, *m.Intent)
	}
	for _, a := range copies {
		if !isOurShape(&a) || len(without(addresses(&a), known)) > 0 {
			continue // a human made something of it
		}
		if err := c.api.DeleteNetworkACL(ctx, a.ID, c.op()); err != nil {
			return fmt.Errorf("remove a copy of our network ACL: %w", err)
		}
	}
	return nil
}

// create makes the ACL at a free priority. The answer tells no id, so the
// caller looks for the tag.
func (c *Control) create(ctx context.Context, m *memory, all []auth0.NetworkACL, acl auth0.NetworkACL) error {
	taken := map[int]bool{}
	for _, a := range all {
		taken[a.Priority] = true
	}
	for p := firstPriority; p <= lastPriority; p++ {
		if taken[p] {
			continue
		}
		acl.Priority = p
		err := c.api.CreateNetworkACL(ctx, acl, c.op())
		if !errors.Is(err, auth0.ErrConflict) {
			return err
		}
		// Either the priority was taken meanwhile, or the tenant is full.
		present, listErr := c.api.NetworkACLs(ctx)
		if listErr != nil {
			return fmt.Errorf("read network ACLs after a conflict: %w", listErr)
		}
		if ours, _ := c.find(present, m); ours != nil {
			return nil // an earlier request landed late
		}
		if !slices.ContainsFunc(present, func(a auth0.NetworkACL) bool { return a.Priority == p }) {
			return fmt.Errorf("%w: it has %d and allows no more", errNoRoom, len(present))
		}
		for _, a := range present {
			taken[a.Priority] = true
		}
	}
	return fmt.Errorf("%w: priorities %d to %d are all taken", errNoRoom, firstPriority, lastPriority)
}
