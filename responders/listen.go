package responders

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Listener is a control that learns from the tenant's own log who changed what it
// holds.
type Listener interface {
	// Hear learns from a line. concerned is false for one about something else.
	Hear(ctx context.Context, ln control.Line, now time.Time) (notes []string, concerned bool, err error)
	// Gap notes that lines may be missing. It reports whether that matters.
	Gap(ctx context.Context, reason string, since time.Time) (bool, error)
}

// gap is a time of which lines of the log may be missing.
type gap struct {
	reason string
	since  time.Time
}

// Hear hands over a line of the tenant's log, which is kept until it was learned
// from. Lines may come twice, late and in any order. After an error the line is
// learned from all the same, but a crash may lose it.
func (r *Responder) Hear(ctx context.Context, ln control.Line) error {
	r.mu.Lock()
	r.lines = append(r.lines, ln)
	r.mu.Unlock()
	defer r.wakeUp()
	if r.opts.Lines == nil {
		return nil
	}
	if err := put(ctx, r.opts.Lines, ln.ID, ln); err != nil {
		return fmt.Errorf("keep line %s of the log: %w", ln.ID, err)
	}
	return nil
}

// Gap tells that lines of the tenant's log may be missing: until all holds of today
// are over, a person is asked before anything is let go.
func (r *Responder) Gap(reason string, since time.Time) {
	r.mu.Lock()
	r.gaps = append(r.gaps, gap{reason, since})
	r.mu.Unlock()
	r.wakeUp()
}

// loadLines takes up the lines that a life before has left.
func (r *Responder) loadLines(ctx context.Context) error {
	if r.opts.Lines == nil {
		return nil
	}
	all, err := r.opts.Lines.All(ctx)
	if err != nil {
		return fmt.Errorf("load lines of the log: %w", err)
	}
	for _, id := range sortedKeys(all) {
		var ln control.Line
		if err := json.Unmarshal(all[id], &ln); err != nil {
			return fmt.Errorf("load line %s of the log: %w", id, err)
		}
		r.lines = append(r.lines, ln)
	}
	return nil
}

// listen learns from what was heard since the last step.
func (r *Responder) listen(ctx context.Context, now time.Time) error {
	r.mu.Lock()
	lines, gaps := r.lines, r.gaps
	r.lines, r.gaps = nil, nil
	r.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	for _, g := range gaps {
		for _, name := range sortedKeys(r.controls) {
			l, ok := r.controls[name].(Listener)
			if !ok {
				continue
			}
			matters, err := l.Gap(ctx, g.reason, g.since)
			if err != nil {
				return err
			}
			if matters {
				if err := r.noteOn(ctx, name, []string{g.reason + ": a person is asked before " + name + " is let go"}, now); err != nil {
					return err
				}
			}
		}
	}
	for _, ln := range lines {
		for _, name := range sortedKeys(r.controls) {
			l, ok := r.controls[name].(Listener)
			if !ok {
				if ln.Whose != hold.Ours {
					r.look(name)
				}
				continue
			}
			notes, concerned, err := l.Hear(ctx, ln, now)
			if err != nil {
				return err
			}
			if !concerned {
				continue
			}
			r.look(name)
			if err := r.noteOn(ctx, name, notes, now); err != nil {
				return err
			}
		}
		if r.opts.Lines != nil {
			if err := r.opts.Lines.Delete(ctx, ln.ID); err != nil {
				return fmt.Errorf("forget line %s of the log: %w", ln.ID, err)
			}
		}
	}
	return nil
}

// noteOn records what people should know of a control, and tells it in the
// incidents that hold it.
func (r *Responder) noteOn(ctx context.Context, name string, notes []string, now time.Time) error {
	if len(notes) == 0 {
		return nil
	}
	for _, note := range notes {
		r.log.Warn("setting of the tenant", "control", name, "note", note)
	}
	if err := r.opts.Record(ctx, "", map[string]any{"kind": "control", "control": name, "notes": notes, "at": now}); err != nil {
		return fmt.Errorf("record note on %s: %w", name, err)
	}
	news := news{}
	var told []string
	for _, h := range r.sortedHolds() {
		in := r.incidentOf(h)
		if h.Control != name || h.State.Ended() || Mode(h.Mode) != Enforce || slices.Contains(told, in) {
			continue
		}
		told = append(told, in)
		for _, note := range notes {
			news.shout(in, line{head: note})
		}
	}
	return r.spread(ctx, news)
}
