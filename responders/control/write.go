package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"portcullis/responders/hold"
)

// write changes cells: intent, request, read back, done.
func (v *visit) write(ctx context.Context, changes map[string]hold.Value) error {
	f := v.f
	op := f.Op()
	for cell, want := range changes {
		v.m.cell(v.subject, cell).Intend(hold.Op{ID: op, Value: want, At: v.state.At, Claims: v.met(cell, want)})
	}
	if err := f.save(ctx, v.m); err != nil {
		return err
	}
	if err := f.Setting.Write(ctx, v.subject, v.state, f.Spec.fields(v.state.Doc, changes), op); err != nil {
		err = fmt.Errorf("write %s: %w", f.what(v.subject), err)
		if errors.Is(err, ErrUnsupported) || errors.Is(err, ErrNotApplied) {
			// An intent that cannot land would only make a human's like choice look ours.
			for cell := range changes {
				v.m.cell(v.subject, cell).GiveUp()
			}
			if failed := f.save(ctx, v.m); failed != nil {
				return failed
			}
		}
		return err
	}
	before := v.observed
	if err := v.read(ctx); err != nil {
		return fmt.Errorf("read %s back: %w", f.what(v.subject), err)
	}
	for _, cell := range slices.Sorted(maps.Keys(changes)) {
		if v.observed[cell] != changes[cell] {
			v.rep.Again = true // the next look tells who was faster
			continue
		}
		v.m.cell(v.subject, cell).Done(v.state.At)
		v.rep.Changes = append(v.rep.Changes, Change{Field: v.field(cell), From: text(cell, before[cell]), To: text(cell, changes[cell]), Op: op})
		v.sideEffect(cell, before[cell], changes[cell])
	}
	if v.rep.Again {
		return f.save(ctx, v.m)
	}
	return nil
}

// met are the claims on a cell that a value fulfils.
func (v *visit) met(cell string, want hold.Value) []string {
	var out []string
	order := v.f.order(cell)
	for _, cl := range v.claims[cell] {
		if cl.Value == want || order.Stricter(want, cl.Value) {
			out = append(out, cl.Hold)
		}
	}
	return out
}

// sideEffect says what else letting go of a field does.
func (v *visit) sideEffect(cell string, from, to hold.Value) {
	path, _, field, _ := v.f.Spec.field(cell)
	if why := v.f.Levels.OnRelease[path]; why != "" && field.Order.Stricter(from, to) {
		v.note("%s is %s again: %s", v.field(cell), text(cell, to), why)
	}
}

// failUnmet ends the holds that ask for more than is in force.
func (v *visit) failUnmet(why error) {
	v.active = slices.DeleteFunc(v.active, func(h *hold.Hold) bool {
		for cell, value := range v.f.Levels.Cells[h.Level] {
			c, observed := v.m.cell(v.subject, cell), v.observed[cell]
			if c == nil || c.Overruled(v.f.order(cell), hold.Claim{Hold: h.Key(), Value: value}) || observed == "" {
				continue
			}
			if value != observed && !v.f.order(cell).Stricter(observed, value) {
				h.From, h.To = "", ""
				Fail([]*hold.Hold{h}, v.now, why.Error())
				return true
			}
		}
		return false
	})
}

// describe tells each hold what it changes, and whether a human overruled it.
func (v *visit) describe() {
	for _, h := range v.active {
		var from, to []string
		overruled, counts := 0, 0
		fight := ""
		level := v.f.Levels.Cells[h.Level]
		for _, cell := range slices.Sorted(maps.Keys(level)) {
			c := v.m.cell(v.subject, cell)
			if c == nil || v.observed[cell] == "" {
				continue
			}
			counts++
			order := v.f.order(cell)
			switch {
			case c.Fighting(v.state.At):
				overruled++
				fight = c.Fight.Client
			case c.Overruled(order, hold.Claim{Hold: h.Key(), Value: level[cell]}):
				overruled++
			case order.Stricter(level[cell], c.Base.Value) || level[cell] == v.observed[cell] && level[cell] != c.Base.Value:
				from = append(from, cell+" "+text(cell, c.Base.Value))
				to = append(to, cell+" "+text(cell, level[cell]))
			}
		}
		if len(to) > 0 {
			h.From, h.To = strings.Join(from, ", "), strings.Join(to, ", ")
		}
		h.Trouble = ""
		h.State, h.Note = standing(counts, overruled, fight)
	}
}

// standing is how a hold stands of whose fields some are overruled.
func standing(counts, overruled int, fight string) (hold.State, string) {
	switch {
	case fight != "" && overruled == counts:
		return hold.Overruled, fmt.Sprintf("the application %s keeps setting it back", fight)
	case overruled > 0 && overruled == counts:
		return hold.Overruled, "somebody chose other values after the hold began"
	case fight != "":
		return hold.Active, fmt.Sprintf("the application %s keeps setting part of it back", fight)
	case overruled > 0:
		return hold.Active, "somebody chose another value for part of it after the hold began"
	}
	return hold.Active, ""
}
