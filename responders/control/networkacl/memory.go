package networkacl

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// memory is what is known of our ACL between two looks at it.
type memory struct {
	Applied   []string          `json:"applied,omitempty"`   // addresses known to be denied by us, sorted
	Foreign   []string          `json:"foreign,omitempty"`   // addresses that a human added to our ACL
	Adopted   []string          `json:"adopted,omitempty"`   // those of Applied that were found without their holds
	KeepUntil time.Time         `json:"keep_until,omitzero"` // when the adopted ones run out
	Intent    *[]string         `json:"intent,omitempty"`    // written ahead: all addresses that the ACL is to have
	IntentOn  bool              `json:"intent_on,omitempty"` // the intent also switches the ACL on again
	IntentAt  time.Time         `json:"intent_at,omitzero"`  // when
	Off       bool              `json:"off,omitempty"`       // a human switched our ACL off
	Overruled map[string]string `json:"overruled,omitempty"` // why, by the hold's key
	Yielded   []string          `json:"yielded,omitempty"`   // ids of ACLs that a human made into something else
}

// Why holds are overruled.
const (
	whyDeleted = "somebody deleted the network ACL after the hold began"
	whyOff     = "somebody switched the network ACL off after the hold began"
	whyRemoved = "somebody took the address out of the network ACL after the hold began"
	whyYielded = "somebody made something else of the network ACL after the hold began"
)

// idle reports that nothing of ours can be in the tenant.
func (m *memory) idle() bool { return len(m.Applied) == 0 && m.Intent == nil }

func (m *memory) blank() bool {
	return m.idle() && len(m.Foreign) == 0 && len(m.Overruled) == 0 && len(m.Yielded) == 0
}

// look compares our ACL, nil when there is none, with what is known of it, and
// learns what others did.
func (m *memory) look(ours *auth0.NetworkACL, active []*hold.Hold, now time.Time, rep *control.Report) {
	if m.Intent != nil && now.Sub(m.IntentAt) > intentLife {
		defer m.closeIntent()
	}
	switch {
	case ours == nil:
		m.lookGone(active, rep)
	case len(m.Applied) == 0 && len(m.Foreign) == 0 && m.Intent == nil:
		// Left by a run whose memory is lost: its entries stay until the tag's end.
		m.Applied, m.KeepUntil, m.Off = addresses(ours), expiryOf(ours.Description), isOff(ours)
		m.Adopted = slices.Clone(m.Applied)
		until := "it tells no end, so it is removed"
		if !m.KeepUntil.IsZero() {
			until = "kept until " + m.KeepUntil.Format("2006-01-02 15:04 UTC")
		}
		rep.Notes = append(rep.Notes, fmt.Sprintf("found a network ACL of an earlier run that denies %d addresses: %s", len(m.Applied), until))
	default:
		m.lookInto(ours, active, rep)
	}
}

func (m *memory) closeIntent() { m.Intent, m.IntentOn = nil, false }

// lookGone learns from our ACL's absence.
func (m *memory) lookGone(active []*hold.Hold, rep *control.Report) {
	switch {
	case m.Intent != nil && len(*m.Intent) == 0:
		rep.Changes = append(rep.Changes, changes(m.Applied, nil)...)
		m.closeIntent()
	case len(m.Applied) > 0:
		rep.Notes = append(rep.Notes, "the network ACL was deleted by somebody else during a hold: left so")
		m.overrule(active, whyDeleted, m.Applied)
		m.closeIntent()
	}
	m.Applied, m.Foreign, m.Adopted, m.Off = nil, nil, nil, false
}

// lookInto learns from each address, since our own write and a human's may both
// have landed since the last look.
func (m *memory) lookInto(ours *auth0.NetworkACL, active []*hold.Hold, rep *control.Report) {
	observed := addresses(ours)
	intended := m.Applied
	if m.Intent != nil {
		intended = *m.Intent
	}
	mine := union(m.Applied, without(intended, m.Foreign))
	removed := without(intersect(m.Applied, intended), observed)
	added := without(without(observed, mine), m.Foreign)
	before := m.Applied
	m.Applied = intersect(observed, mine)
	m.Adopted = intersect(m.Adopted, m.Applied)
	m.Foreign = union(intersect(m.Foreign, observed), added)
	if m.Intent != nil {
		rep.Changes = append(rep.Changes, changes(without(before, removed), m.Applied)...)
	}
	if len(removed) > 0 {
		rep.Notes = append(rep.Notes, strings.Join(removed, ", ")+" removed from the network ACL by somebody else during a hold: left so")
		m.overrule(active, whyRemoved, removed)
	}
	if len(added) > 0 {
		rep.Notes = append(rep.Notes, strings.Join(added, ", ")+" added to the network ACL by somebody else: kept, also when the holds end")
	}
	off := isOff(ours)
	switch {
	case off && !m.Off:
		rep.Notes = append(rep.Notes, "the network ACL was switched off by somebody else during a hold: left so")
		m.overrule(active, whyOff, m.Applied)
	case !off && m.Off && !m.IntentOn:
		// Whoever switched it on again wants what is in it.
		for key, why := range m.Overruled {
			if why == whyOff {
				delete(m.Overruled, key)
			}
		}
	}
	m.Off = off
	if m.Intent != nil && !(off && m.IntentOn) && len(without(*m.Intent, union(observed, removed))) == 0 && len(without(m.Applied, *m.Intent)) == 0 {
		m.closeIntent()
	}
}

// yield gives up an ACL that a human made into something else.
func (m *memory) yield(acl *auth0.NetworkACL, active []*hold.Hold, rep *control.Report) {
	rep.Notes = append(rep.Notes, fmt.Sprintf("the network ACL %s was made into something else by somebody else: it is theirs now, and stays", acl.ID))
	m.overrule(active, whyYielded, m.Applied)
	m.Yielded = append(m.Yielded, acl.ID)
	m.Applied, m.Foreign, m.Adopted, m.Off = nil, nil, nil, false
	m.closeIntent()
}

// overrule marks the holds on the given addresses.
func (m *memory) overrule(active []*hold.Hold, why string, addresses []string) {
	for _, h := range active {
		if _, done := m.Overruled[h.Key()]; done || !slices.Contains(addresses, h.Subject) {
			continue
		}
		if m.Overruled == nil {
			m.Overruled = map[string]string{}
		}
		m.Overruled[h.Key()] = why
	}
}

// counting are the holds that nobody overruled.
func (m *memory) counting(active []*hold.Hold) []*hold.Hold {
	return slices.DeleteFunc(slices.Clone(active), func(h *hold.Hold) bool {
		_, overruled := m.Overruled[h.Key()]
		return overruled
	})
}

// prune forgets what no longer matters: overruled holds that are over, and
// yielded ACLs that are gone.
func (m *memory) prune(active []*hold.Hold, all []auth0.NetworkACL) {
	for key := range m.Overruled {
		if !slices.ContainsFunc(active, func(h *hold.Hold) bool { return h.Key() == key }) {
			delete(m.Overruled, key)
		}
	}
	m.Yielded = slices.DeleteFunc(m.Yielded, func(id string) bool {
		return !slices.ContainsFunc(all, func(a auth0.NetworkACL) bool { return a.ID == id })
	})
}

func (c *Control) load(ctx context.Context) (memory, error) {
	var m memory
	data, ok, err := c.store.Get(ctx, Name)
	if err != nil {
		return m, fmt.Errorf("%w: load what is known of %s: %w", control.ErrStore, Name, err)
	}
	if ok {
		if err := json.Unmarshal(data, &m); err != nil {
			return m, fmt.Errorf("load what is known of %s: %w", Name, err)
		}
	}
	return m, nil
}

func (c *Control) save(ctx context.Context, m *memory) error {
	if err := control.Save(ctx, c.store, Name, m, m.blank()); err != nil {
		return fmt.Errorf("save what is known of %s: %w", Name, err)
	}
	return nil
}
