package networkacl

import (
	"errors"
	"fmt"
	"slices"

	"portcullis/internal/auth0"
)

var (
	errNoRoom = errors.New("the tenant has no room for another network ACL")
	// errFull is an errNoRoom of the plan's: there are as many as it allows.
	errFull = fmt.Errorf("%w", errNoRoom)
)

// apply writes a slot's ACL: intent, request, look again.
func (p *pass) apply(sp *slotPass) error {
	m, want := sp.m, sp.want
	counts := len(m.counting(sp.holds)) > 0
	m.Intent, m.IntentAt, m.IntentOn = &want, p.now, m.Off && counts
	m.Gen++
	if err := p.save(p.ctx, p.doc); err != nil {
		return err
	}
	end := p.end(sp)
	if end.IsZero() {
		end = p.now // only what humans added is left, and nothing of ours runs
	}
	acl := p.draft(sp.slot, want, m.Foreign, m.Gen, end)
	var err error
	switch {
	case len(want) == 0:
		err = p.api.DeleteNetworkACL(p.ctx, sp.ours.ID, p.op())
	case sp.ours != nil:
		acl.Priority = sp.ours.Priority
		if m.Off && !counts {
			acl.Active, acl.Rule.LogOnly = sp.ours.Active, sp.ours.Rule.LogOnly
		}
		err = p.api.UpdateNetworkACL(p.ctx, sp.ours.ID, acl, p.op())
	default:
		err = p.create(sp, acl)
	}
	if err != nil {
		return p.refused(sp, fmt.Errorf("write network ACL: %w", err))
	}
	before := sp.entries(sp.ours)
	if p.all, err = p.api.NetworkACLs(p.ctx); err != nil {
		return fmt.Errorf("read network ACLs back: %w", err)
	}
	p.refind()
	if !slices.Equal(sp.entries(sp.ours), want) || sp.ours != nil && counts && isOff(sp.ours) {
		sp.again = true // the next look tells who was faster
		return nil
	}
	p.rep.Changes = append(p.rep.Changes, sp.changes(before, want)...)
	m.Applied = without(want, m.Foreign)
	m.Adopted = intersect(m.Adopted, m.Applied)
	m.Off = sp.ours != nil && isOff(sp.ours)
	m.closeIntent()
	return nil
}

// refind points every slot into the list that was just read.
func (p *pass) refind() {
	for _, sp := range p.slots {
		p.find(sp)
	}
}

// refused closes the intent of a write that certainly did nothing.
func (p *pass) refused(sp *slotPass, err error) error {
	for _, nothing := range []error{errNoRoom, auth0.ErrForbidden, auth0.ErrRateLimited, auth0.ErrInvalid, auth0.ErrReadOnly} {
		if errors.Is(err, nothing) {
			sp.m.closeIntent()
			if failed := p.save(p.ctx, p.doc); failed != nil {
				return failed
			}
			break
		}
	}
	return err
}

// removeCopies deletes copies of a slot's ACL: after a request with unknown
// outcome a second one may have made another.
func (p *pass) removeCopies(sp *slotPass, copies []auth0.NetworkACL) error {
	known := union(sp.m.Applied, sp.entries(sp.ours))
	if sp.m.Intent != nil {
		known = union(known, *sp.m.Intent)
	}
	for _, a := range copies {
		if !sp.isShape(&a) || len(without(sp.entries(&a), known)) > 0 {
			continue // a human made something of it
		}
		if err := p.api.DeleteNetworkACL(p.ctx, a.ID, p.op()); err != nil {
			return fmt.Errorf("remove a copy of our network ACL: %w", err)
		}
		id := a.ID
		p.all = slices.DeleteFunc(slices.Clone(p.all), func(a auth0.NetworkACL) bool { return a.ID == id })
		p.refind()
	}
	return nil
}

// create makes a slot's ACL at a free priority. The answer tells no id, so the
// caller looks for the tag.
func (p *pass) create(sp *slotPass, acl auth0.NetworkACL) error {
	taken := map[int]bool{}
	for _, a := range p.all {
		taken[a.Priority] = true
	}
	for prio := firstPriority; prio <= lastPriority; prio++ {
		if taken[prio] {
			continue
		}
		acl.Priority = prio
		err := p.api.CreateNetworkACL(p.ctx, acl, p.op())
		if !errors.Is(err, auth0.ErrConflict) {
			return err
		}
		// Either the priority was taken meanwhile, or the tenant is full.
		present, listErr := p.api.NetworkACLs(p.ctx)
		if listErr != nil {
			return fmt.Errorf("read network ACLs after a conflict: %w", listErr)
		}
		p.all = present
		p.refind()
		if sp.ours != nil {
			sp.ours = nil // for what changed: it was none before
			return nil    // an earlier request landed late
		}
		if !slices.ContainsFunc(present, func(a auth0.NetworkACL) bool { return a.Priority == prio }) {
			return fmt.Errorf("%w: it has %d and allows no more", errFull, len(present))
		}
		for _, a := range present {
			taken[a.Priority] = true
		}
	}
	return fmt.Errorf("%w: priorities %d to %d are all taken", errNoRoom, firstPriority, lastPriority)
}
