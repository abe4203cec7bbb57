package control

import (
	"slices"

	"portcullis/responders/hold"
)

// question is why a cell is not let go yet, and has the holds ask that let go of
// it. A hold asks until a person has said yes.
func (v *visit) question(cell string, c *hold.Cell, observed, want hold.Value, asks map[*hold.Hold]string) string {
	var letting []*hold.Hold
	atFloor := false
	for _, h := range v.holds {
		if h.Letting() || h.Peak > h.Rung {
			if v.f.asked(h, cell) {
				letting = append(letting, h)
				atFloor = atFloor || h.Level == Floor
			}
		}
	}
	why := c.Question(v.f.order(cell), observed, want, v.m.Doubt, v.f.Levels.Cells[Floor][cell], atFloor)
	if why == "" {
		return ""
	}
	if len(letting) == 0 {
		if v.m.Doubt.Reason == "" || c.Base.Told {
			return "" // a correction, to what somebody chose
		}
		return why
	}
	waits := false
	for _, h := range letting {
		if h.Let == "" {
			waits = true
			if asks[h] == "" {
				asks[h] = v.field(cell) + ": " + why
			}
		}
	}
	if !waits {
		return ""
	}
	return why
}

// asked reports whether a hold asks, or asked on any of its rungs, for a cell.
func (f *Fields) asked(h *hold.Hold, cell string) bool {
	levels := []string{h.Level}
	if h.Ladder != nil {
		for _, r := range h.Ladder.Rungs {
			levels = append(levels, r.Level)
		}
	}
	return slices.ContainsFunc(levels, func(level string) bool { _, has := f.Levels.Cells[level][cell]; return has })
}

// settle marks the holds whose end the tenant confirms: not those that wait for a
// person.
func (v *visit) settle() {
	var done []*hold.Hold
	for _, h := range v.holds {
		if h.Letting() && h.Asks == "" {
			done = append(done, h)
		}
	}
	Settle(done, v.now)
}
