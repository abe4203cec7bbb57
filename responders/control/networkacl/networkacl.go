// Package networkacl is the control over which addresses a tenant denies. It
// keeps one network ACL of its own, known by a tag in its description, and
// leaves every other one alone.
package networkacl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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

// memory is what is known of our ACL between two looks at it.
type memory struct {
	Applied   []string          `json:"applied"` // addresses known to be denied by us, sorted
	Foreign   []string          `json:"foreign"` // addresses that a human added to our ACL
	Intent    *[]string         `json:"intent,omitempty"`
	IntentAt  time.Time         `json:"intent_at,omitzero"`
	Overruled map[string]string `json:"overruled,omitempty"` // why, by hold id
	KeepUntil time.Time         `json:"keep_until,omitzero"` // entries found without their holds run out then
}

func (m *memory) empty() bool {
	return len(m.Applied) == 0 && len(m.Foreign) == 0 && m.Intent == nil
}

// Reconcile makes our ACL deny exactly the addresses of the holds in force, and
// removes it when there are none.
func (c *Control) Reconcile(ctx context.Context, holds []*hold.Hold, now time.Time) (control.Report, error) {
	var rep control.Report
	m, err := c.load(ctx)
	if err != nil {
		return rep, err
	}
	var active []*hold.Hold
	for _, h := range holds {
		if !h.InForce(now) {
			continue
		}
		if err := c.guard(h.Subject); err != nil {
			h.State, h.Note, h.Ended = hold.Failed, err.Error(), now
			continue
		}
		active = append(active, h)
	}
	if len(active) == 0 && m.empty() && c.looked {
		control.Settle(holds, now)
		return rep, nil
	}
	all, err := c.api.NetworkACLs(ctx)
	if errors.Is(err, auth0.ErrForbidden) {
		if len(active) == 0 && m.empty() {
			// The tenant has no network ACLs and nothing asks for one.
			c.looked = true
			control.Settle(holds, now)
			return rep, nil
		}
		control.Fail(active, now, "the tenant allows no network ACLs: "+err.Error())
		return rep, nil
	}
	if err != nil {
		return rep, fmt.Errorf("read network ACLs: %w", err)
	}
	ours := c.find(all)
	observed := addresses(ours)
	c.look(&m, ours, observed, active, now, &rep)

	want := c.choose(&m, active, now)
	describe(active, want, m.Overruled)
	if !slices.Equal(want, observed) || ours != nil && c.tagLags(ours, active) && len(want) > 0 {
		if err := c.apply(ctx, &m, all, ours, want, active, now, &rep); err != nil {
			return rep, err
		}
	}
	if len(active) == 0 && len(m.Applied) == 0 {
		m.Overruled = nil
	}
	if err := c.save(ctx, m); err != nil {
		return rep, err
	}
	c.looked = true
	control.Settle(holds, now)
	return rep, nil
}

// look compares our ACL with what is known of it, and learns what others did.
func (c *Control) look(m *memory, ours *auth0.NetworkACL, observed []string, active []*hold.Hold, now time.Time, rep *control.Report) {
	landed := m.Intent != nil && slices.Equal(observed, *m.Intent)
	switch {
	case landed:
		m.Applied, m.Intent = without(observed, m.Foreign), nil
	case m.Intent != nil && now.Sub(m.IntentAt) > intentLife:
		m.Intent = nil
	}
	known := len(m.Applied) > 0 || len(m.Foreign) > 0
	switch {
	case ours == nil && known && !landed:
		rep.Notes = append(rep.Notes, "the network ACL was deleted by somebody else during a hold: left so")
		c.overrule(m, active, "somebody deleted the network ACL after the hold began", nil)
		m.Applied, m.Foreign = nil, nil
	case ours != nil && !known && m.Intent == nil && !landed:
		// Left by a run whose memory is lost: its entries stay until the tag's end.
		m.Applied, m.KeepUntil = observed, expiryOf(ours.Description)
		rep.Notes = append(rep.Notes, fmt.Sprintf("found a network ACL of an earlier run that denies %d addresses: kept until %s",
			len(observed), m.KeepUntil.Format("2006-01-02 15:04 UTC")))
	case ours != nil && (!ours.Active || ours.Rule.Action != "block" || ours.Rule.LogOnly):
		if c.overrule(m, active, "somebody switched the network ACL off after the hold began", nil) {
			rep.Notes = append(rep.Notes, "the network ACL was switched off by somebody else during a hold: left so")
		}
	case ours != nil && known:
		mine := append(slices.Clone(m.Applied), m.Foreign...)
		var intended []string
		if m.Intent != nil {
			intended = *m.Intent
		}
		if removed := without(m.Applied, observed); len(removed) > 0 && m.Intent == nil {
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s removed from the network ACL by somebody else during a hold: left so", strings.Join(removed, ", ")))
			c.overrule(m, active, "somebody took the address out of the network ACL after the hold began", removed)
			m.Applied = without(m.Applied, removed)
		}
		if added := without(without(observed, mine), intended); len(added) > 0 {
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s added to the network ACL by somebody else: kept, also when the holds end", strings.Join(added, ", ")))
			m.Foreign = append(m.Foreign, added...)
		}
		m.Foreign = without(m.Foreign, without(m.Foreign, observed))
	}
}

// overrule marks the present holds, or those on the given addresses.
func (c *Control) overrule(m *memory, active []*hold.Hold, why string, only []string) bool {
	marked := false
	for _, h := range active {
		if _, done := m.Overruled[h.ID]; done || only != nil && !slices.Contains(only, h.Subject) {
			continue
		}
		if m.Overruled == nil {
			m.Overruled = map[string]string{}
		}
		m.Overruled[h.ID] = why
		marked = true
	}
	return marked
}

// choose picks the addresses to deny: what humans added, then those already
// denied, then the newest. What finds no room waits.
func (c *Control) choose(m *memory, active []*hold.Hold, now time.Time) []string {
	want := append([]string{}, m.Foreign...) // never nil: an empty intent must not read as none
	if now.Before(m.KeepUntil) {
		want = append(want, m.Applied...)
	}
	ranked := slices.Clone(active)
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
		if _, overruled := m.Overruled[h.ID]; overruled || slices.Contains(want, h.Subject) {
			continue
		}
		family := 0
		for _, a := range want {
			if isV6(a) == isV6(h.Subject) {
				family++
			}
		}
		if family < maxEntries {
			want = append(want, h.Subject)
		}
	}
	slices.Sort(want)
	return slices.Compact(want)
}

// describe tells each hold whether its address is denied.
func describe(active []*hold.Hold, want []string, overruled map[string]string) {
	for _, h := range active {
		why, isOverruled := overruled[h.ID]
		switch {
		case isOverruled:
			h.State, h.Note = hold.Overruled, why
		case slices.Contains(want, h.Subject):
			h.State, h.Note = hold.Active, ""
			h.From, h.To = "not denied", "denied"
		default:
			h.State, h.Note = hold.PendingCapacity, fmt.Sprintf("the network ACL is full: %d addresses of each family", maxEntries)
		}
	}
}

// apply writes the ACL: intent, request, look again.
func (c *Control) apply(ctx context.Context, m *memory, all []auth0.NetworkACL, ours *auth0.NetworkACL, want []string, active []*hold.Hold, now time.Time, rep *control.Report) error {
	before := addresses(ours)
	m.Intent, m.IntentAt = &want, now
	if err := c.save(ctx, *m); err != nil {
		return err
	}
	acl := c.draft(want, active, now)
	var err error
	switch {
	case ours == nil && len(want) == 0:
		// Deleted already.
	case len(want) == 0:
		err = c.api.DeleteNetworkACL(ctx, ours.ID, c.op())
	case ours != nil:
		acl.Priority = ours.Priority
		acl.Active = ours.Active
		err = c.api.UpdateNetworkACL(ctx, ours.ID, acl, c.op())
	default:
		err = c.create(ctx, all, acl)
	}
	switch {
	case errors.Is(err, errNoRoom):
		m.Intent = nil
		for _, h := range active {
			h.State, h.Note, h.To = hold.PendingCapacity, err.Error(), ""
		}
		return nil
	case errors.Is(err, auth0.ErrForbidden):
		m.Intent = nil
		control.Fail(active, now, err.Error())
		return c.save(ctx, *m)
	case err != nil:
		return fmt.Errorf("write network ACL: %w", err)
	}
	after, err := c.api.NetworkACLs(ctx)
	if err != nil {
		return fmt.Errorf("read network ACLs back: %w", err)
	}
	if !slices.Equal(addresses(c.find(after)), want) {
		rep.Again = true // somebody was faster; the next look tells
		return nil
	}
	m.Applied, m.Intent = without(want, m.Foreign), nil
	for _, a := range without(want, before) {
		rep.Changes = append(rep.Changes, control.Change{Field: a, From: "not denied", To: "denied"})
	}
	for _, a := range without(before, want) {
		rep.Changes = append(rep.Changes, control.Change{Field: a, From: "denied", To: "not denied"})
	}
	return nil
}

var errNoRoom = errors.New("the tenant has no room for another network ACL")

// create makes the ACL at a free priority. The answer tells no id, so the
// caller looks for the tag.
func (c *Control) create(ctx context.Context, all []auth0.NetworkACL, acl auth0.NetworkACL) error {
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
		now, listErr := c.api.NetworkACLs(ctx)
		if listErr != nil {
			return fmt.Errorf("read network ACLs after a conflict: %w", listErr)
		}
		if !slices.ContainsFunc(now, func(a auth0.NetworkACL) bool { return a.Priority == p }) {
			return fmt.Errorf("%w: %d exist", errNoRoom, len(now))
		}
		for _, a := range now {
			taken[a.Priority] = true
		}
	}
	return fmt.Errorf("%w: priorities %d to %d are all taken", errNoRoom, firstPriority, lastPriority)
}

func (c *Control) load(ctx context.Context) (memory, error) {
	var m memory
	data, ok, err := c.store.Get(ctx, Name)
	if err == nil && ok {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return m, fmt.Errorf("load what is known of %s: %w", Name, err)
	}
	return m, nil
}

func (c *Control) save(ctx context.Context, m memory) error {
	data, err := json.Marshal(m)
	if err == nil {
		err = c.store.Put(ctx, Name, data)
	}
	if err != nil {
		return fmt.Errorf("save what is known of %s: %w", Name, err)
	}
	return nil
}
