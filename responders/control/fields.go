package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/responders/hold"
)

// Setting is one object of the tenant whose fields are written one by one.
type Setting interface {
	// Read returns the present value of every field that the control knows.
	Read(ctx context.Context) (map[string]string, error)
	// Write changes the given fields and no others.
	Write(ctx context.Context, fields map[string]string, op string) error
}

// Fields is a control over the ordered fields of one Setting.
type Fields struct {
	Name    string
	Orders  map[string]hold.Order        // by field, weakest value first
	Levels  map[string]map[string]string // the value a level asks of each field
	Setting Setting
	Store   Store
	Op      Operation
}

// Check reports why holds at a level, on a subject, make no sense.
func (f *Fields) Check(level, subject string) error {
	if subject != "" {
		return fmt.Errorf("%s takes no subject: it is one setting for the whole tenant", f.Name)
	}
	if _, ok := f.Levels[level]; !ok {
		return fmt.Errorf("%s has no level %q: one of %s", f.Name, level, strings.Join(slices.Sorted(maps.Keys(f.Levels)), ", "))
	}
	return nil
}

// Reconcile makes every field the strictest of what a human chose and what the
// holds in force ask, and writes only fields whose value that changes. It moves
// the holds to the states that follow. On an error nothing is lost: the next
// call starts from a fresh look.
func (f *Fields) Reconcile(ctx context.Context, holds []*hold.Hold, now time.Time) (Report, error) {
	var rep Report
	memory, err := f.load(ctx)
	if err != nil {
		return rep, err
	}
	active := inForce(holds, now)
	if len(active) == 0 && len(memory) == 0 {
		Settle(holds, now)
		return rep, nil
	}
	observed, err := f.Setting.Read(ctx)
	if errors.Is(err, ErrUnsupported) && len(memory) == 0 {
		Fail(active, now, err.Error())
		Settle(holds, now)
		return rep, nil
	}
	if err != nil {
		return rep, fmt.Errorf("read %s: %w", f.Name, err)
	}
	claims := f.claims(active)
	f.look(memory, observed, claims, now, &rep)

	changes := map[string]string{}
	for field, m := range memory {
		if want := f.Orders[field].Desired(m, claims[field]); want != observed[field] {
			changes[field] = want
		}
	}
	f.describe(active, memory)
	if len(changes) > 0 {
		err := f.write(ctx, memory, changes, observed, now, &rep)
		if errors.Is(err, ErrUnsupported) && len(active) > 0 {
			// Refused for good. What other holds changed before stays remembered, and
			// is put back when somebody lets us.
			Fail(active, now, err.Error())
		}
		if err != nil {
			return rep, err
		}
	}
	for field, m := range memory {
		if len(claims[field]) == 0 && m.Intent == nil && m.Applied == m.Baseline {
			delete(memory, field) // nothing of ours is left in it
		}
	}
	if err := f.save(ctx, memory); err != nil {
		return rep, err
	}
	Settle(holds, now)
	return rep, nil
}

func (f *Fields) claims(active []*hold.Hold) map[string][]hold.Claim {
	claims := map[string][]hold.Claim{}
	for _, h := range active {
		for field, v := range f.Levels[h.Level] {
			claims[field] = append(claims[field], hold.Claim{Hold: h.ID, Value: v})
		}
	}
	return claims
}

// look compares each field that is claimed or remembered with what is observed.
func (f *Fields) look(memory map[string]hold.Memory, observed map[string]string, claims map[string][]hold.Claim, now time.Time, rep *Report) {
	for _, field := range slices.Sorted(maps.Keys(f.Orders)) {
		m, known := memory[field]
		if !known && len(claims[field]) == 0 {
			continue
		}
		value, present := observed[field]
		if !present {
			continue // the tenant does not have the field
		}
		var was *hold.Memory
		if known {
			was = &m
		}
		ids := make([]string, 0, len(claims[field]))
		for _, c := range claims[field] {
			ids = append(ids, c.Hold)
		}
		next, finding := f.Orders[field].Look(was, value, ids)
		if next.Intent != nil && now.Sub(next.IntentAt) > intentLife {
			next.Intent = nil
		}
		switch finding {
		case hold.Loosened:
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s was lowered from %s to %s by somebody else during a hold: left as they chose", field, m.Applied, value))
		case hold.Tightened:
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s was raised from %s to %s by somebody else: kept, also when the holds end", field, m.Applied, value))
		case hold.Foreign:
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s was set to %s by somebody else, a value of which no order is known: left as they chose", field, value))
		}
		memory[field] = next
	}
}

// describe tells each hold what it changes and whether a human overruled it.
func (f *Fields) describe(active []*hold.Hold, memory map[string]hold.Memory) {
	for _, h := range active {
		var from, to []string
		overruled, counts := 0, 0
		for _, field := range slices.Sorted(maps.Keys(f.Levels[h.Level])) {
			m, ok := memory[field]
			if !ok {
				continue
			}
			counts++
			value := f.Levels[h.Level][field]
			switch {
			case m.Overruled[h.ID]:
				overruled++
			case f.Orders[field].Stricter(value, m.Baseline):
				from = append(from, field+" "+m.Baseline)
				to = append(to, field+" "+value)
			}
		}
		if len(to) > 0 {
			h.From, h.To = strings.Join(from, ", "), strings.Join(to, ", ")
		}
		switch {
		case overruled > 0 && overruled == counts:
			h.State, h.Note = hold.Overruled, "a human chose weaker values after the hold began"
		case overruled > 0:
			h.State, h.Note = hold.Active, "a human chose a weaker value for part of it after the hold began"
		default:
			h.State = hold.Active
		}
	}
}

// write changes fields: intent, request, read back, done.
func (f *Fields) write(ctx context.Context, memory map[string]hold.Memory, changes, observed map[string]string, now time.Time, rep *Report) error {
	for field, want := range changes {
		m := memory[field]
		m.Intent, m.IntentAt = &want, now
		memory[field] = m
	}
	if err := f.save(ctx, memory); err != nil {
		return err
	}
	if err := f.Setting.Write(ctx, changes, f.Op()); err != nil {
		return fmt.Errorf("write %s: %w", f.Name, err)
	}
	after, err := f.Setting.Read(ctx)
	if err != nil {
		return fmt.Errorf("read %s back: %w", f.Name, err)
	}
	for _, field := range slices.Sorted(maps.Keys(changes)) {
		m := memory[field]
		if after[field] != changes[field] {
			rep.Again = true // somebody was faster; the next look tells
			continue
		}
		m.Applied, m.Intent = changes[field], nil
		memory[field] = m
		rep.Changes = append(rep.Changes, Change{Field: field, From: observed[field], To: changes[field]})
	}
	return nil
}

func (f *Fields) load(ctx context.Context) (map[string]hold.Memory, error) {
	memory := map[string]hold.Memory{}
	data, ok, err := f.Store.Get(ctx, f.Name)
	if err != nil {
		return nil, fmt.Errorf("load what is known of %s: %w", f.Name, err)
	}
	if ok {
		if err := json.Unmarshal(data, &memory); err != nil {
			return nil, fmt.Errorf("load what is known of %s: %w", f.Name, err)
		}
	}
	return memory, nil
}

func (f *Fields) save(ctx context.Context, memory map[string]hold.Memory) error {
	if len(memory) == 0 {
		if err := f.Store.Delete(ctx, f.Name); err != nil {
			return fmt.Errorf("forget %s: %w", f.Name, err)
		}
		return nil
	}
	data, err := json.Marshal(memory)
	if err == nil {
		err = f.Store.Put(ctx, f.Name, data)
	}
	if err != nil {
		return fmt.Errorf("save what is known of %s: %w", f.Name, err)
	}
	return nil
}
