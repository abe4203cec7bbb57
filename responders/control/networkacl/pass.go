package networkacl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// pass is one reconciliation.
type pass struct {
	*Control
	ctx    context.Context
	doc    *document
	active []*hold.Hold
	all    []auth0.NetworkACL // as last seen
	now    time.Time
	rep    *control.Report
	slots  []*slotPass // sorted by id
}

// slotPass is what a reconciliation finds and wants of one slot.
type slotPass struct {
	slot
	m     *memory
	ours  *auth0.NetworkACL // nil when there is none
	holds []*hold.Hold      // whose entries are there
	want  []string          // all entries that the ACL is to have
	why   string            // why it is to have none though some are asked for
	err   error             // why it is not brought to it
	again bool              // the tenant does not show what was written
}

// run looks, decides, and writes. What failed in one slot keeps no other from
// what it needs.
func (p *pass) run(holds []*hold.Hold) error {
	if len(p.all) > p.doc.Limit || p.now.Sub(p.doc.LimitAt) > limitLife {
		p.doc.Limit = 0 // it allows more than was found out, or may by now
	}
	for {
		p.gather()
		if err := p.look(); err != nil {
			return errors.Join(err, p.save(p.ctx, p.doc))
		}
		if !p.promote() {
			break
		}
	}
	// What is met on the way, a limit of the plan or a hold that is refused, changes
	// what is best.
	for {
		p.decide()
		if again, err := p.write(); err != nil || !again {
			if err != nil {
				return err
			}
			break
		}
	}
	p.describe()
	p.watch()
	p.warn()
	p.doc.prune(p.active, p.all)
	if err := p.save(p.ctx, p.doc); err != nil {
		return err
	}
	return p.settle(holds)
}

// promoted reports whether a hold's entry was counted for long enough.
func (p *pass) promoted(h *hold.Hold) bool { return p.doc.Watched[h.Key()].Promoted }

// gather finds the slots that holds, the store or the tenant know, each with its
// holds.
func (p *pass) gather() {
	found := map[string]*slotPass{}
	add := func(s slot) *slotPass {
		sp := found[s.id()]
		if sp == nil {
			sp = &slotPass{slot: s, m: p.doc.slot(s)}
			found[s.id()] = sp
		}
		return sp
	}
	for _, m := range p.doc.Slots {
		add(m.Slot)
	}
	for i := range p.all {
		a := &p.all[i]
		t, ok := tagOf(a.Description)
		if !ok || t.Instance != p.instance || p.doc.Slots[t.Slot] != nil || slices.Contains(p.doc.Yielded, a.ID) {
			continue
		}
		s, known := slotFound(a)
		if !known || s.id() != t.Slot || t.Sum != sumOf(s.entries(a)) {
			p.rep.Notes = append(p.rep.Notes, fmt.Sprintf("found network ACL %s of an earlier run, which somebody else changed: it is theirs now, and stays", a.ID))
			p.doc.Yielded = append(p.doc.Yielded, a.ID)
			continue
		}
		add(s)
	}
	for _, h := range p.active {
		if s, _, err := slotOf(h, p.promoted(h)); err == nil {
			sp := add(s)
			sp.holds = append(sp.holds, h)
		}
	}
	p.slots = p.slots[:0]
	for _, sp := range found {
		p.slots = append(p.slots, sp)
	}
	slices.SortFunc(p.slots, func(a, b *slotPass) int { return strings.Compare(a.id(), b.id()) })
}

// find sets a slot's ACL to the one that the tenant shows, and returns copies of
// it that a request with unknown outcome left behind. An ACL that was yielded is
// ours no more.
func (p *pass) find(sp *slotPass) (copies []auth0.NetworkACL) {
	sp.ours = nil
	for i := range p.all {
		switch a := &p.all[i]; {
		case !p.isOurs(a, sp.id()) || slices.Contains(p.doc.Yielded, a.ID):
		case sp.ours == nil:
			sp.ours = a
		default:
			copies = append(copies, *a)
		}
	}
	return copies
}

// look compares every slot with what is known of it.
func (p *pass) look() error {
	for _, sp := range p.slots {
		copies := p.find(sp)
		for sp.ours != nil && !sp.isShape(sp.ours) {
			p.doc.yield(sp.m, sp.ours, sp.holds, p.rep)
			copies = p.find(sp)
		}
		sp.m.look(sp.ours, sp.holds, p.now, p.rep)
		if err := p.removeCopies(sp, copies); err != nil {
			return err
		}
	}
	return nil
}

// decide chooses the entries of every slot: what humans added, then what an
// earlier run left, then what is worth most. What finds no room waits.
func (p *pass) decide() {
	var demands []demand
	mine := 0
	for _, sp := range p.slots {
		d := demand{slot: sp.slot, fixed: slices.Clone(sp.m.Foreign), present: sp.m.Applied, exists: sp.ours != nil}
		if p.now.Before(sp.m.KeepUntil) && !sp.m.Off {
			d.fixed = union(d.fixed, slices.DeleteFunc(slices.Clone(sp.m.Adopted), func(e string) bool {
				s, err := control.ParseSubject(sp.subject(e))
				return err != nil || p.mayDeny(s) != nil
			}))
		}
		for _, h := range sp.m.counting(sp.holds) {
			d.wants = append(d.wants, candidate{valueOf(h), score(h, p.collateral(h), p.now)})
		}
		if sp.ours != nil {
			mine++
		}
		demands = append(demands, d)
	}
	limit := max(maxACLs, len(p.all)+1) // a plan that nothing is known of is tried
	if p.doc.Limit > 0 {
		limit = p.doc.Limit
	}
	grants := allocate(demands, limit-(len(p.all)-mine), p.doc.Limit == 1, p.joins)
	for _, sp := range p.slots {
		g := grants[sp.id()]
		sp.want, sp.why, sp.err = append([]string{}, g.entries...), g.why, nil // never nil: an empty intent must not read as none
		if sp.why != "" && p.doc.Limit > 0 {
			sp.why += fmt.Sprintf(": it has %d and allows no more", len(p.all))
		}
	}
}

func (p *pass) collateral(h *hold.Hold) float64 {
	s, err := control.ParseSubject(h.Subject)
	if err != nil || p.opts.Healthy == nil {
		return 0
	}
	return p.opts.Healthy.collateral(s, h.Entry.Volume)
}

// write brings every slot to what was decided, those first that make room. again
// asks for another decision.
func (p *pass) write() (again bool, err error) {
	order := slices.Clone(p.slots)
	slices.SortStableFunc(order, func(a, b *slotPass) int {
		rank := func(sp *slotPass) int {
			if len(sp.want) == 0 {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	for _, sp := range order {
		if !p.differs(sp) {
			continue
		}
		err := p.prove(sp)
		if err == nil {
			err = p.apply(sp)
		}
		switch {
		case errors.Is(err, control.ErrStore):
			return false, err
		case errors.Is(err, errNoRoom):
			if p.noRoom(sp, err) {
				return true, nil
			}
		case errors.Is(err, auth0.ErrForbidden), errors.Is(err, errLockout):
			if p.failUnmet(sp, err) {
				return true, nil
			}
			sp.err = err
		case err != nil:
			sp.err = err
		}
	}
	return false, nil
}

// noRoom learns the plan's limit from a refusal. It reports whether another
// decision can be better.
func (p *pass) noRoom(sp *slotPass, why error) bool {
	if errors.Is(why, errFull) && p.doc.Limit != len(p.all) {
		p.doc.Limit, p.doc.LimitAt = len(p.all), p.now
		return true
	}
	sp.want, sp.why = slices.Clone(sp.m.Applied), why.Error()
	return false
}

// failUnmet ends the holds whose entry is not in force, since it never will be,
// and reports whether there were any.
func (p *pass) failUnmet(sp *slotPass, why error) bool {
	unmet := slices.DeleteFunc(sp.m.counting(sp.holds), func(h *hold.Hold) bool { return sp.covers(sp.m.Applied, valueOf(h)) })
	control.Fail(unmet, p.now, why.Error())
	failed := func(h *hold.Hold) bool { return h.State == hold.Failed }
	sp.holds = slices.DeleteFunc(sp.holds, failed)
	p.active = slices.DeleteFunc(p.active, failed)
	return len(unmet) > 0
}

// differs reports whether a slot's ACL must be written.
func (p *pass) differs(sp *slotPass) bool {
	counting := sp.m.counting(sp.holds)
	switch {
	case sp.m.Off && len(counting) == 0 && len(sp.holds) > 0:
		return false // as somebody left it, while they may still look at it
	case !slices.Equal(sp.want, sp.entries(sp.ours)):
		return true
	case sp.ours == nil:
		return false
	case sp.m.Off && len(counting) > 0:
		return true
	}
	t, _ := tagOf(sp.ours.Description)
	return p.end(sp).Sub(t.End) > tagSlack
}

// end is when the last of a slot's entries runs out; the zero time when none of
// them is ours.
func (p *pass) end(sp *slotPass) time.Time {
	var end time.Time
	if len(intersect(sp.m.Adopted, sp.want)) > 0 && p.now.Before(sp.m.KeepUntil) {
		end = sp.m.KeepUntil
	}
	for _, h := range sp.m.counting(sp.holds) {
		if sp.covers(sp.want, valueOf(h)) && h.Expires.After(end) {
			end = h.Expires
		}
	}
	return end
}

// describe tells each hold whether its entry is in force.
func (p *pass) describe() {
	for _, sp := range p.slots {
		if sp.err != nil || sp.again {
			continue
		}
		for _, h := range sp.holds {
			h.Trouble = ""
			why, isOverruled := sp.m.Overruled[h.Key()]
			switch {
			case isOverruled:
				h.State, h.Note = hold.Overruled, why
			case sp.covers(sp.want, valueOf(h)):
				h.State, h.Note = hold.Active, p.watchNote(h)
				h.From, h.To = "not "+sp.done(), sp.done()
			case sp.why != "":
				h.State, h.Note, h.From, h.To = hold.PendingCapacity, sp.why, "", ""
			default:
				h.State, h.Note, h.From, h.To = hold.PendingCapacity, whyWaits(sp.slot), "", ""
			}
		}
	}
}

// settle marks the holds that are over where the tenant confirms it, and tells
// what failed.
func (p *pass) settle(holds []*hold.Hold) error {
	var errs []error
	broken := map[string]bool{}
	for _, sp := range p.slots {
		if sp.err != nil {
			errs = append(errs, sp.err)
		}
		broken[sp.id()] = sp.err != nil || sp.again
		p.rep.Again = p.rep.Again || sp.again
	}
	for _, h := range holds {
		counted, _, _ := slotOf(h, false)
		done, _, err := slotOf(h, true)
		if err != nil || !broken[counted.id()] && !broken[done.id()] {
			control.Settle([]*hold.Hold{h}, p.now)
		}
	}
	return errors.Join(errs...)
}
