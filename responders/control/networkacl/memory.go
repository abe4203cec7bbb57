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

// document is all that is kept across restarts.
type document struct {
	Slots   map[string]*memory `json:"slots,omitempty"`
	Watched map[string]watched `json:"watched,omitempty"` // holds whose entry is counted first, by key
	Yielded []string           `json:"yielded,omitempty"` // ids of ACLs that a human made into something else
	Limit   int                `json:"limit,omitempty"`   // how many ACLs the plan allows, as far as it was found out
	LimitAt time.Time          `json:"limit_at,omitzero"` // when
	Warned  []string           `json:"warned,omitempty"`  // ids of others' ACLs that people were warned of
}

// memory is what is known of the ACL of one slot between two looks at it.
type memory struct {
	Slot      slot              `json:"slot"`
	Gen       int               `json:"gen,omitempty"`       // of the tag that was last written, or is about to be
	Applied   []string          `json:"applied,omitempty"`   // entries known to be there by us, sorted
	Foreign   []string          `json:"foreign,omitempty"`   // entries that a human added
	Adopted   []string          `json:"adopted,omitempty"`   // those of Applied that were found without their holds
	KeepUntil time.Time         `json:"keep_until,omitzero"` // when the adopted ones run out
	Intent    *[]string         `json:"intent,omitempty"`    // written ahead: all entries that the ACL is to have
	IntentOn  bool              `json:"intent_on,omitempty"` // the intent also switches the ACL on again
	IntentAt  time.Time         `json:"intent_at,omitzero"`  // when
	Off       bool              `json:"off,omitempty"`       // a human switched our ACL off
	Overruled map[string]string `json:"overruled,omitempty"` // why, by the hold's key
	Full      bool              `json:"full,omitempty"`      // people were told that it is nearly full
}

// Why holds are overruled.
const (
	whyDeleted = "somebody deleted the network ACL after the hold began"
	whyOff     = "somebody switched the network ACL off after the hold began"
	whyRemoved = "somebody took the entry out of the network ACL after the hold began"
	whyYielded = "somebody made something else of the network ACL after the hold began"
)

// idle reports that nothing of ours can be in the tenant.
func (m *memory) idle() bool { return len(m.Applied) == 0 && m.Intent == nil }

func (m *memory) blank() bool { return m.idle() && len(m.Foreign) == 0 && len(m.Overruled) == 0 }

// idle reports that nothing of ours can be in the tenant.
func (d *document) idle() bool {
	for _, m := range d.Slots {
		if !m.idle() {
			return false
		}
	}
	return true
}

// slot is the memory of a slot, made if there is none.
func (d *document) slot(s slot) *memory {
	if d.Slots == nil {
		d.Slots = map[string]*memory{}
	}
	m := d.Slots[s.id()]
	if m == nil {
		m = &memory{Slot: s}
		d.Slots[s.id()] = m
	}
	return m
}

// look compares the slot's ACL, nil when there is none, with what is known of it,
// and learns what others did. holds are those whose entries are in the slot.
func (m *memory) look(ours *auth0.NetworkACL, holds []*hold.Hold, now time.Time, rep *control.Report) {
	if m.Intent != nil && now.Sub(m.IntentAt) > intentLife {
		defer m.closeIntent()
	}
	if ours == nil {
		m.lookGone(holds, rep)
		return
	}
	t, _ := tagOf(ours.Description)
	switch {
	case len(m.Applied) == 0 && len(m.Foreign) == 0 && m.Intent == nil:
		// Left by a run whose memory is lost: its entries stay until the tag's end.
		m.adopt(ours, t)
		rep.Notes = append(rep.Notes, fmt.Sprintf("found a network ACL of an earlier run with %d entries, %s: %s", len(m.Applied), m.Slot.done(), m.until()))
	case t.Gen > m.Gen:
		// The tenant is ahead of the store: an older store was put back, or another
		// daemon has a copy of it. What the tenant shows is the later word.
		m.adopt(ours, t)
		m.closeIntent()
		rep.Notes = append(rep.Notes, fmt.Sprintf("network ACL %s was written after what the store knows: an older store was put back, or another daemon runs on a copy of it; its %d entries are adopted: %s",
			ours.ID, len(m.Applied), m.until()))
	default:
		m.lookInto(ours, holds, rep)
	}
}

// adopt takes an ACL whose writing is not remembered for ours. Where somebody
// changed it since, what is not known to be ours is theirs.
func (m *memory) adopt(ours *auth0.NetworkACL, t tag) {
	entries := m.Slot.entries(ours)
	mine, theirs, ok := t.split(entries)
	if !ok {
		mine = intersect(entries, m.Applied)
		theirs = without(entries, mine)
	}
	m.Applied, m.Foreign, m.KeepUntil, m.Off, m.Gen = mine, theirs, t.End, isOff(ours), t.Gen
	m.Adopted = slices.Clone(mine)
}

func (m *memory) until() string {
	if m.KeepUntil.IsZero() {
		return "it tells no end, so it is removed"
	}
	return "kept until " + m.KeepUntil.Format("2006-01-02 15:04 UTC")
}

func (m *memory) closeIntent() { m.Intent, m.IntentOn = nil, false }

// lookGone learns from our ACL's absence.
func (m *memory) lookGone(holds []*hold.Hold, rep *control.Report) {
	switch {
	case m.Intent != nil && len(*m.Intent) == 0:
		rep.Changes = append(rep.Changes, m.Slot.changes(m.Applied, nil)...)
		m.closeIntent()
	case len(m.Applied) > 0:
		rep.Notes = append(rep.Notes, "the network ACL was deleted by somebody else during a hold: left so")
		m.overrule(holds, whyDeleted, m.Applied)
		m.closeIntent()
	}
	m.forget()
}

func (m *memory) forget() { m.Applied, m.Foreign, m.Adopted, m.Off = nil, nil, nil, false }

// lookInto learns from each entry, since our own write and a human's may both
// have landed since the last look.
func (m *memory) lookInto(ours *auth0.NetworkACL, holds []*hold.Hold, rep *control.Report) {
	observed := m.Slot.entries(ours)
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
		rep.Changes = append(rep.Changes, m.Slot.changes(without(before, removed), m.Applied)...)
	}
	if len(removed) > 0 {
		rep.Notes = append(rep.Notes, m.names(removed)+" removed from the network ACL by somebody else during a hold: left so")
		m.overrule(holds, whyRemoved, removed)
	}
	if len(added) > 0 {
		rep.Notes = append(rep.Notes, m.names(added)+" added to the network ACL by somebody else: kept, also when the holds end")
	}
	off := isOff(ours)
	switch {
	case off && !m.Off:
		rep.Notes = append(rep.Notes, "the network ACL was switched off by somebody else during a hold: left so")
		m.overrule(holds, whyOff, m.Applied)
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

func (m *memory) names(entries []string) string {
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = m.Slot.subject(e)
	}
	return strings.Join(out, ", ")
}

// yield gives up an ACL that a human made into something else.
func (d *document) yield(m *memory, acl *auth0.NetworkACL, holds []*hold.Hold, rep *control.Report) {
	rep.Notes = append(rep.Notes, fmt.Sprintf("the network ACL %s was made into something else by somebody else: it is theirs now, and stays", acl.ID))
	m.overrule(holds, whyYielded, m.Applied)
	d.Yielded = append(d.Yielded, acl.ID)
	m.forget()
	m.closeIntent()
}

// overrule marks the holds whose entry is among the given ones.
func (m *memory) overrule(holds []*hold.Hold, why string, entries []string) {
	for _, h := range holds {
		if _, done := m.Overruled[h.Key()]; done || !m.Slot.covers(entries, valueOf(h)) {
			continue
		}
		if m.Overruled == nil {
			m.Overruled = map[string]string{}
		}
		m.Overruled[h.Key()] = why
	}
}

// valueOf is the entry of a hold.
func valueOf(h *hold.Hold) string {
	s, err := control.ParseSubject(h.Subject)
	if err != nil {
		return h.Subject
	}
	return s.Value
}

// counting are the holds that nobody overruled.
func (m *memory) counting(holds []*hold.Hold) []*hold.Hold {
	return slices.DeleteFunc(slices.Clone(holds), func(h *hold.Hold) bool {
		_, overruled := m.Overruled[h.Key()]
		return overruled
	})
}

// prune forgets what no longer matters: holds that are over, slots with nothing
// in them, and yielded ACLs that are gone.
func (d *document) prune(active []*hold.Hold, all []auth0.NetworkACL) {
	isOver := func(key string) bool {
		return !slices.ContainsFunc(active, func(h *hold.Hold) bool { return h.Key() == key })
	}
	isGone := func(id string) bool {
		return !slices.ContainsFunc(all, func(a auth0.NetworkACL) bool { return a.ID == id })
	}
	for id, m := range d.Slots {
		for key := range m.Overruled {
			if isOver(key) {
				delete(m.Overruled, key)
			}
		}
		if m.blank() {
			delete(d.Slots, id)
		}
	}
	for key := range d.Watched {
		if isOver(key) {
			delete(d.Watched, key)
		}
	}
	d.Yielded = slices.DeleteFunc(d.Yielded, isGone)
	d.Warned = slices.DeleteFunc(d.Warned, isGone)
	if len(d.Slots) == 0 && len(active) == 0 {
		d.Limit, d.LimitAt = 0, time.Time{}
	}
}

func (d *document) blank() bool {
	return len(d.Slots) == 0 && len(d.Watched) == 0 && len(d.Yielded) == 0 && len(d.Warned) == 0 && d.Limit == 0
}

func (c *Control) load(ctx context.Context) (*document, error) {
	d := &document{}
	data, ok, err := c.store.Get(ctx, Name)
	if err != nil {
		return nil, fmt.Errorf("%w: load what is known of %s: %w", control.ErrStore, Name, err)
	}
	if ok {
		if err := json.Unmarshal(data, d); err != nil {
			return nil, fmt.Errorf("load what is known of %s: %w", Name, err)
		}
	}
	return d, nil
}

func (c *Control) save(ctx context.Context, d *document) error {
	if err := control.Save(ctx, c.store, Name, d, d.blank()); err != nil {
		return fmt.Errorf("save what is known of %s: %w", Name, err)
	}
	return nil
}

// without returns the elements of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// intersect returns the elements of a that are in b.
func intersect(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

// union returns the elements of both, sorted.
func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// changes names the entries that differ.
func (s slot) changes(before, after []string) []control.Change {
	var out []control.Change
	for _, e := range without(after, before) {
		out = append(out, control.Change{Field: s.subject(e), From: "not " + s.done(), To: s.done()})
	}
	for _, e := range without(before, after) {
		out = append(out, control.Change{Field: s.subject(e), From: s.done(), To: "not " + s.done()})
	}
	return out
}
