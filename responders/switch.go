package responders

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"portcullis/responders/hold"
)

// Level is how far settings of a tenant may be moved at all, whatever policies
// and modes say.
type Level string

// The levels of the switch, the freest first.
const (
	Thawed    Level = ""           // policies and modes decide
	NoTighten Level = "no-tighten" // nothing new is held; what is held is released as usual
	Frozen    Level = "frozen"     // nothing is written, neither to tighten nor to release
)

// Switch is the level that a person chose, and outlives restarts.
type Switch struct {
	Level  Level     `json:"level"`
	Actor  string    `json:"actor,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

// switchKey is where the switch is kept among the budgets: what bounds how much
// may be done.
const switchKey = "switch"

// String says who chose the level, when and why.
func (s Switch) String() string {
	if s.Level == Thawed {
		return "not frozen"
	}
	text := string(s.Level)
	if s.Actor != "" {
		text += " by " + s.Actor
	}
	if !s.At.IsZero() {
		text += " since " + s.At.UTC().Format("2006-01-02 15:04 UTC")
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return text
}

// ReadSwitch reads the level from the store of budgets.
func ReadSwitch(ctx context.Context, budgets Store) (Switch, error) {
	var s Switch
	data, ok, err := budgets.Get(ctx, switchKey)
	if err == nil && ok {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read the switch: %w", err)
	}
	return s, nil
}

// setSwitch keeps a level, and has it obeyed from here on.
func (r *Responder) setSwitch(ctx context.Context, s Switch) error {
	if err := put(ctx, r.opts.Budgets, switchKey, s); err != nil {
		return fmt.Errorf("keep the switch: %w", err)
	}
	r.chosen = s
	r.obeySwitch()
	return nil
}

// obeySwitch takes the switch that a person chose, or the stricter one that
// Options.Stop demands, and hands it to whom it concerns.
func (r *Responder) obeySwitch() {
	s := r.chosen
	if r.opts.Stop != nil {
		if why := r.opts.Stop(); why != "" {
			s = Switch{Level: Frozen, Reason: why}
		}
	}
	if s.Level != r.level.Level {
		r.log.Warn("switch", "level", s.String())
		for _, d := range r.due {
			d.at = time.Time{} // what waited is done now
		}
	}
	r.level = s
	if r.opts.Switched != nil {
		r.opts.Switched(s.Level)
	}
}

// stopped says why a response may not be begun in the given mode; "" when it may.
func (r *Responder) stopped(mode Mode) string {
	if mode != Enforce || r.level.Level == Thawed {
		return ""
	}
	return r.level.String()
}

// holdBack notes on what should be written that it waits for the thaw.
func (r *Responder) holdBack(ctx context.Context, now time.Time) error {
	news := news{}
	for _, h := range r.sortedHolds() {
		waits := h.Letting() || h.State == hold.Active && !h.Confirmed
		if !waits || Mode(h.Mode) != Enforce || h.Trouble != "" {
			continue
		}
		was := *h
		h.Trouble = r.level.String()
		if l, _ := changeLine(was, h); l != (line{}) {
			news.add(r.incidentOf(h), l)
		}
		if err := r.record(ctx, "", "hold", h, now); err != nil {
			return err
		}
		if err := r.saveHold(ctx, h); err != nil {
			return err
		}
	}
	return r.spread(ctx, news)
}
