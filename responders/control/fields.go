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

// Ranks reports whether a level asks for no less than a weaker one in any field,
// and for more in some.
func (f *Fields) Ranks(weaker, level string) bool {
	more := false
	for field, value := range f.Levels[weaker] {
		if f.Orders[field].Stricter(value, f.Levels[level][field]) || f.Levels[level][field] == "" {
			return false
		}
	}
	for field, value := range f.Levels[level] {
		was := f.Levels[weaker][field]
		more = more || was == "" || f.Orders[field].Stricter(value, was)
	}
	return more
}

// Reconcile makes every field the strictest of what a human chose and what the
// holds in force ask, and writes only fields whose value that changes. It moves
// the holds to the states that follow. On an error nothing is lost: the next
// call starts from a fresh look. The error wraps [ErrStore] if the store failed.
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
	active = f.answerable(active, observed, now)
	claims := f.claims(active)
	f.look(memory, observed, claims, now, &rep)
	if changes := f.changes(memory, observed, claims); len(changes) > 0 {
		err := f.write(ctx, memory, changes, observed, now, &rep)
		if errors.Is(err, ErrUnsupported) {
			// The holds that need this write will never have it. Those that are in
			// force stay, and what they changed stays remembered.
			active = f.failUnmet(active, memory, observed, now, err)
			if claims = f.claims(active); len(f.changes(memory, observed, claims)) == 0 {
				err = nil
			}
		}
		if err != nil || rep.Again {
			return rep, err
		}
	}
	f.describe(active, memory)
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

// answerable leaves out, as failed, holds on nothing that the tenant has.
func (f *Fields) answerable(active []*hold.Hold, observed map[string]string, now time.Time) []*hold.Hold {
	var out []*hold.Hold
	for _, h := range active {
		known := false
		for field := range f.Levels[h.Level] {
			_, has := observed[field]
			known = known || has
		}
		if known {
			out = append(out, h)
			continue
		}
		Fail([]*hold.Hold{h}, now, fmt.Sprintf("the tenant has none of the settings that %s at %s asks for", f.Name, h.Level))
	}
	return out
}

// changes are the fields whose value is not what it should be. A field that the
// tenant no longer has is left out, and stays remembered for when it is back.
func (f *Fields) changes(memory map[string]hold.Memory, observed map[string]string, claims map[string][]hold.Claim) map[string]string {
	out := map[string]string{}
	for field, m := range memory {
		value, present := observed[field]
		if want := f.Orders[field].Desired(m, claims[field]); present && want != value {
			out[field] = want
		}
	}
	return out
}

// failUnmet ends the holds that ask for more than is in force, and returns the
// others.
func (f *Fields) failUnmet(active []*hold.Hold, memory map[string]hold.Memory, observed map[string]string, now time.Time, why error) []*hold.Hold {
	var met []*hold.Hold
	for _, h := range active {
		unmet := false
		for field, value := range f.Levels[h.Level] {
			if !memory[field].Overruled[h.Key()] && f.Orders[field].Stricter(value, observed[field]) {
				unmet = true
			}
		}
		if !unmet {
			met = append(met, h)
			continue
		}
		h.From, h.To = "", ""
		Fail([]*hold.Hold{h}, now, why.Error())
	}
	return met
}

func (f *Fields) claims(active []*hold.Hold) map[string][]hold.Claim {
	claims := map[string][]hold.Claim{}
	for _, h := range active {
		for field, v := range f.Levels[h.Level] {
			claims[field] = append(claims[field], hold.Claim{Hold: h.Key(), Value: v})
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
		keys := make([]string, 0, len(claims[field]))
		for _, c := range claims[field] {
			keys = append(keys, c.Hold)
		}
		// A choice overrules what it came after; a claim that is new since the last
		// look came later.
		seen := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !slices.Contains(m.Claims, key) })
		next, finding := f.Orders[field].Look(was, value, seen)
		next.Claims = keys
		maps.DeleteFunc(next.Overruled, func(key string, _ bool) bool { return !slices.Contains(keys, key) })
		if next.Intent != nil && now.Sub(next.IntentAt) > intentLife {
			next.Intent = nil
		}
		switch finding {
		case hold.Landed:
			rep.Changes = append(rep.Changes, Change{Field: field, From: m.Applied, To: value})
		case hold.Loosened:
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s was lowered from %s to %s by somebody else during a hold: left as they chose", field, m.Applied, value))
		case hold.Tightened:
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s was raised from %s to %s by somebody else: kept, also when the holds end", field, m.Applied, value))
		case hold.Foreign:
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s was set to %s by somebody else, a value of which no order is known to what was in force: left as they chose", field, value))
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
			case m.Overruled[h.Key()]:
				overruled++
			case f.Orders[field].Stricter(value, m.Baseline):
				from = append(from, field+" "+m.Baseline)
				to = append(to, field+" "+value)
			}
		}
		if len(to) > 0 {
			h.From, h.To = strings.Join(from, ", "), strings.Join(to, ", ")
		}
		h.Trouble = ""
		switch {
		case overruled > 0 && overruled == counts:
			h.State, h.Note = hold.Overruled, "somebody chose other values after the hold began"
		case overruled > 0:
			h.State, h.Note = hold.Active, "somebody chose another value for part of it after the hold began"
		default:
			h.State, h.Note = hold.Active, ""
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
		err = fmt.Errorf("write %s: %w", f.Name, err)
		if errors.Is(err, ErrUnsupported) || errors.Is(err, ErrNotApplied) {
			// An intent that cannot land would only make a human's like choice look ours.
			for field := range changes {
				m := memory[field]
				m.Intent = nil
				memory[field] = m
			}
			if failed := f.save(ctx, memory); failed != nil {
				return failed
			}
		}
		return err
	}
	after, err := f.Setting.Read(ctx)
	if err != nil {
		return fmt.Errorf("read %s back: %w", f.Name, err)
	}
	for _, field := range slices.Sorted(maps.Keys(changes)) {
		m := memory[field]
		if after[field] != changes[field] {
			rep.Again = true // the next look tells who was faster
			continue
		}
		m.Applied, m.Intent = changes[field], nil
		memory[field] = m
		rep.Changes = append(rep.Changes, Change{Field: field, From: observed[field], To: changes[field]})
	}
	if rep.Again {
		return f.save(ctx, memory)
	}
	return nil
}

func (f *Fields) load(ctx context.Context) (map[string]hold.Memory, error) {
	memory := map[string]hold.Memory{}
	data, ok, err := f.Store.Get(ctx, f.Name)
	if err != nil {
		return nil, fmt.Errorf("%w: load what is known of %s: %w", ErrStore, f.Name, err)
	}
	if ok {
		if err := json.Unmarshal(data, &memory); err != nil {
			return nil, fmt.Errorf("load what is known of %s: %w", f.Name, err)
		}
	}
	return memory, nil
}

func (f *Fields) save(ctx context.Context, memory map[string]hold.Memory) error {
	if err := Save(ctx, f.Store, f.Name, memory, len(memory) == 0); err != nil {
		return fmt.Errorf("save what is known of %s: %w", f.Name, err)
	}
	return nil
}
