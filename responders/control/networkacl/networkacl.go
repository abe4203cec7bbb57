// Package networkacl is the control over whom a tenant denies. It keeps network
// ACLs of its own, one for each kind of entry, known by a tag in their
// descriptions, and leaves every other one alone.
package networkacl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Name is what policies and holds call the control.
const Name = "network-acl"

const (
	// maxEntries is how many values of one signal an ACL takes (Auth0's limit);
	// addresses of v4 and v6 are two.
	maxEntries = 20
	// maxACLs is how many ACLs the largest plan allows.
	maxACLs = 10
	// Our ACLs get free priorities of this band; the lowest is evaluated first.
	firstPriority, lastPriority = 20, 39
	// intentLife is how long a request with unknown outcome may still land.
	intentLife = 2 * time.Minute
	// tagSlack is how far the expiry in the tag may lag behind the holds before
	// it is worth a request of its own.
	tagSlack = 15 * time.Minute
	// limitLife is how long a limit that was met is believed: plans change.
	limitLife = time.Hour
)

// API is the part of the tenant's API that the control needs.
type API interface {
	NetworkACLs(ctx context.Context) ([]auth0.NetworkACL, error)
	CreateNetworkACL(ctx context.Context, acl auth0.NetworkACL, op string) error
	UpdateNetworkACL(ctx context.Context, id string, acl auth0.NetworkACL, op string) error
	DeleteNetworkACL(ctx context.Context, id, op string) error
}

// Options says what a Control must know of the tenant's own people.
type Options struct {
	// Guard refuses subjects that must never be denied, whatever a hold says. It
	// fails closed: an error of any kind refuses.
	Guard func(control.Subject) error
	// Protected lists networks that must get through: the never-touch list.
	Protected func() []netip.Prefix
	// Healthy is what is remembered of logins that succeeded. Without it nothing is
	// aggregated.
	Healthy *Healthy
}

// Control denies whom holds name.
type Control struct {
	api      API
	store    control.Store
	op       control.Operation
	instance string
	opts     Options
	looked   bool // the tenant was searched for what an earlier run left

	mu        sync.Mutex
	summaries []Summary // not yet looked at
}

// New makes the control. instance marks our ACLs as those of this installation.
func New(api API, store control.Store, op control.Operation, instance string, opts Options) *Control {
	return &Control{api: api, store: store, op: op, instance: instance, opts: opts}
}

// Reconcile makes our ACLs name exactly whom the holds in force name, as far as
// there is room, and removes those that name nobody. The error wraps
// [control.ErrStore] if the store failed; after any error the next call starts
// from a fresh look.
func (c *Control) Reconcile(ctx context.Context, holds []*hold.Hold, now time.Time) (control.Report, error) {
	var rep control.Report
	doc, err := c.load(ctx)
	if err != nil {
		return rep, err
	}
	active := c.allowed(holds, now)
	if len(active) == 0 && doc.idle() && c.looked {
		control.Settle(holds, now)
		return rep, nil
	}
	all, err := c.api.NetworkACLs(ctx)
	if errors.Is(err, auth0.ErrForbidden) && doc.idle() {
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
		c.tellOthers(all, now, &rep)
	}
	p := &pass{Control: c, ctx: ctx, doc: doc, active: active, all: all, now: now, rep: &rep}
	err = p.run(holds)
	if err == nil {
		c.looked = true
	}
	return rep, err
}

// allowed picks the holds that count at time now, and fails those on a subject
// that must not be touched.
func (c *Control) allowed(holds []*hold.Hold, now time.Time) []*hold.Hold {
	var active []*hold.Hold
	for _, h := range holds {
		if !h.InForce(now) {
			continue
		}
		if err := c.guard(h); err != nil {
			control.Fail([]*hold.Hold{h}, now, err.Error())
			continue
		}
		active = append(active, h)
	}
	return active
}

// guard says why a hold must not be given.
func (c *Control) guard(h *hold.Hold) error {
	s, err := control.ParseSubject(h.Subject)
	if err != nil {
		return err
	}
	if h.Entry.CanLockOut() && h.Approved == nil {
		return fmt.Errorf("scope %s can lock out this program and the people who run the tenant: nobody approved it", h.Entry.Scope)
	}
	return c.mayDeny(s)
}

// mayDeny says why a subject must not be denied.
func (c *Control) mayDeny(s control.Subject) error {
	if c.opts.Healthy != nil {
		if p, ok := s.Prefix(); ok {
			for _, own := range c.opts.Healthy.Own() {
				if p.Contains(own) {
					return fmt.Errorf("%s is where this program itself calls the tenant from (%s)", s, own)
				}
			}
		}
	}
	return c.opts.Guard(s)
}

// Covers reports whether a login is one that an entry matches.
func (c *Control) Covers(subject string, l control.Login) bool {
	s, err := control.ParseSubject(subject)
	if err != nil {
		return false
	}
	if p, ok := s.Prefix(); ok {
		from, err := control.ParseNetwork(l.IP)
		return err == nil && contains(p, from)
	}
	value := map[string]string{control.KindJA3: l.JA3, control.KindJA4: l.JA4, control.KindASN: l.ASN, control.KindCountry: l.Country, control.KindUserAgent: l.UserAgent}[s.Kind]
	got, err := control.NewSubject(s.Kind, value)
	return err == nil && got == s
}

// joins tells whether a network may stand for its members.
func (c *Control) joins(network netip.Prefix, members []string, present bool) bool {
	s, err := control.ParseSubject(network.String())
	if err != nil || c.mayDeny(s) != nil || c.opts.Healthy == nil {
		return false
	}
	known, clean := c.opts.Healthy.clean(network, members)
	return clean && (known || present)
}
