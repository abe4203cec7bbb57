// Package networkacl is the control over which addresses a tenant denies. It
// keeps one network ACL of its own, known by a tag in its description, and
// leaves every other one alone.
package networkacl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Name is what policies and holds call the control.
const Name = "network-acl"

const (
	// maxEntries is how many addresses of one family an ACL takes (Auth0's limit).
	maxEntries = 20
	// Our ACL gets a free priority of this band; the lowest is evaluated first.
	firstPriority, lastPriority = 20, 39
	// intentLife is how long a request with unknown outcome may still land.
	intentLife = 2 * time.Minute
	// tagSlack is how far the expiry in the tag may lag behind the holds before
	// it is worth a request of its own.
	tagSlack = 15 * time.Minute
)

// API is the part of the tenant's API that the control needs.
type API interface {
	NetworkACLs(ctx context.Context) ([]auth0.NetworkACL, error)
	CreateNetworkACL(ctx context.Context, acl auth0.NetworkACL, op string) error
	UpdateNetworkACL(ctx context.Context, id string, acl auth0.NetworkACL, op string) error
	DeleteNetworkACL(ctx context.Context, id, op string) error
}

// Control denies the addresses that holds name.
type Control struct {
	api      API
	store    control.Store
	op       control.Operation
	instance string
	guard    func(address string) error
	looked   bool // the tenant was searched for what an earlier run left
}

// New makes the control. instance marks our ACL as that of this installation;
// guard refuses addresses that must never be denied, whatever a hold says.
func New(api API, store control.Store, op control.Operation, instance string, guard func(address string) error) *Control {
	return &Control{api: api, store: store, op: op, instance: instance, guard: guard}
}

// Check reports why a hold makes no sense: it needs one address, and no level.
func (c *Control) Check(level, subject string) error {
	if level != "" {
		return fmt.Errorf("%s takes no level: an address is denied or it is not", Name)
	}
	if _, err := netip.ParseAddr(subject); err != nil {
		return fmt.Errorf("%s needs the address to deny as its subject, found %q", Name, subject)
	}
	return nil
}

// Reconcile makes our ACL deny exactly the addresses of the holds in force, and
// removes it when there are none. The error wraps [control.ErrStore] if the store
// failed; after any error the next call starts from a fresh look.
func (c *Control) Reconcile(ctx context.Context, holds []*hold.Hold, now time.Time) (control.Report, error) {
	var rep control.Report
	m, err := c.load(ctx)
	if err != nil {
		return rep, err
	}
	active := c.allowed(holds, now)
	if len(active) == 0 && m.idle() && c.looked {
		control.Settle(holds, now)
		return rep, nil
	}
	all, err := c.api.NetworkACLs(ctx)
	if errors.Is(err, auth0.ErrForbidden) && m.idle() {
		// The tenant has no network ACLs, so nothing of ours is in one.
		c.looked = true
		control.Fail(active, now, "the tenant allows no network ACLs: "+err.Error())
		control.Settle(holds, now)
		return rep, nil
	}
	if err != nil {
		return rep, fmt.Errorf("read network ACLs: %w", err)
	}
	if !c.looked {
		c.tellOthers(all, &rep)
	}
	ours, copies := c.find(all, &m)
	if ours != nil && !isOurShape(ours) {
		m.yield(ours, active, &rep)
		ours, copies = c.find(all, &m)
	}
	m.look(ours, active, now, &rep)
	if err := c.removeCopies(ctx, &m, ours, copies); err != nil {
		return rep, err
	}
	var full error
	want := c.choose(&m, active, now)
	if c.differs(&m, ours, want, active, now) {
		err := c.apply(ctx, &m, all, ours, want, active, now, &rep)
		switch {
		case errors.Is(err, errNoRoom):
			full, want = err, nil
		case errors.Is(err, auth0.ErrForbidden):
			active = failUnmet(&m, active, now, err)
			if want = c.choose(&m, active, now); c.differs(&m, ours, want, active, now) {
				return rep, err
			}
		case err != nil || rep.Again:
			return rep, err
		}
	}
	describe(active, want, m.Overruled, full)
	m.prune(active, all)
	if err := c.save(ctx, &m); err != nil {
		return rep, err
	}
	c.looked = true
	control.Settle(holds, now)
	return rep, nil
}

// allowed picks the holds that count at time now, and fails those on an address
// that must not be touched.
func (c *Control) allowed(holds []*hold.Hold, now time.Time) []*hold.Hold {
	var active []*hold.Hold
	for _, h := range holds {
		if !h.InForce(now) {
			continue
		}
		if err := c.guard(h.Subject); err != nil {
			control.Fail([]*hold.Hold{h}, now, err.Error())
			continue
		}
		active = append(active, h)
	}
	return active
}

// failUnmet ends the holds whose address is not denied, since it never will be,
// and returns the others.
func failUnmet(m *memory, active []*hold.Hold, now time.Time, why error) []*hold.Hold {
	unmet := slices.DeleteFunc(m.counting(active), func(h *hold.Hold) bool { return slices.Contains(m.Applied, h.Subject) })
	control.Fail(unmet, now, why.Error())
	return slices.DeleteFunc(slices.Clone(active), func(h *hold.Hold) bool { return h.State == hold.Failed })
}

// choose picks the addresses to deny: what humans added, then what an earlier
// run left, then those already denied, then the newest. What finds no room waits.
func (c *Control) choose(m *memory, active []*hold.Hold, now time.Time) []string {
	want := append([]string{}, m.Foreign...) // never nil: an empty intent must not read as none
	if now.Before(m.KeepUntil) && !m.Off {
		want = union(want, slices.DeleteFunc(slices.Clone(m.Adopted), func(a string) bool { return c.guard(a) != nil }))
	}
	ranked := m.counting(active)
	slices.SortStableFunc(ranked, func(a, b *hold.Hold) int {
		inA, inB := slices.Contains(m.Applied, a.Subject), slices.Contains(m.Applied, b.Subject)
		switch {
		case inA && !inB:
			return -1
		case inB && !inA:
			return 1
		}
		return b.Created.Compare(a.Created)
	})
	for _, h := range ranked {
		family := 0
		for _, a := range want {
			if isV6(a) == isV6(h.Subject) {
				family++
			}
		}
		if family < maxEntries && !slices.Contains(want, h.Subject) {
			want = append(want, h.Subject)
		}
	}
	slices.Sort(want)
	return want
}

// differs reports whether our ACL must be written.
func (c *Control) differs(m *memory, ours *auth0.NetworkACL, want []string, active []*hold.Hold, now time.Time) bool {
	counting := m.counting(active)
	switch {
	case m.Off && len(counting) == 0 && len(active) > 0:
		return false // as somebody left it, while they may still look at it
	case !slices.Equal(want, addresses(ours)):
		return true
	case ours == nil:
		return false
	case m.Off && len(counting) > 0:
		return true
	}
	return m.end(want, active, now).Sub(expiryOf(ours.Description)) > tagSlack
}

// end is when the last of the addresses runs out; the zero time when none of
// them is ours.
func (m *memory) end(want []string, active []*hold.Hold, now time.Time) time.Time {
	var end time.Time
	if len(intersect(m.Adopted, want)) > 0 && now.Before(m.KeepUntil) {
		end = m.KeepUntil
	}
	for _, h := range m.counting(active) {
		if slices.Contains(want, h.Subject) && h.Expires.After(end) {
			end = h.Expires
		}
	}
	return end
}

// describe tells each hold whether its address is denied. full says that there
// is no room for an ACL at all.
func describe(active []*hold.Hold, want []string, overruled map[string]string, full error) {
	for _, h := range active {
		h.Trouble = ""
		why, isOverruled := overruled[h.Key()]
		switch {
		case isOverruled:
			h.State, h.Note = hold.Overruled, why
		case slices.Contains(want, h.Subject):
			h.State, h.Note = hold.Active, ""
			h.From, h.To = "not denied", "denied"
		case full != nil:
			h.State, h.Note, h.From, h.To = hold.PendingCapacity, full.Error(), "", ""
		default:
			h.State, h.Note, h.From, h.To = hold.PendingCapacity, fmt.Sprintf("the network ACL is full: %d addresses of each family", maxEntries), "", ""
		}
	}
}

// Covers reports whether a login comes from the address denied.
func (c *Control) Covers(subject string, l control.Login) bool {
	denied, err := netip.ParseAddr(subject)
	if err != nil {
		return false
	}
	from, err := netip.ParseAddr(l.IP)
	return err == nil && from.Unmap() == denied.Unmap()
}
