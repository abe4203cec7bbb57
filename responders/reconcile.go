package responders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// expire ends holds whose time is over.
func (r *Responder) expire(ctx context.Context, now time.Time) error {
	_, _, feed := r.settings()
	news := news{}
	for _, h := range r.sortedHolds() {
		if h.State.Ended() || h.Letting() || now.Before(h.Expires) {
			continue
		}
		in, level := r.incidentOf(h), h.Level
		switch {
		case h.State == hold.Proposed:
			h.State, h.Ended, h.Note = hold.Released, now, "it would have ended by now"
			news.add(in, line{})
		case h.State == hold.AwaitingApproval:
			h.State, h.Ended, h.Note = hold.Released, now, "nobody approved it in time"
			news.add(in, holdLine("No longer asks to hold", h, h.Note))
		case r.controls[h.Control] == nil:
			control.Fail([]*hold.Hold{h}, now, "no control is called "+h.Control+" any more: its setting is left as it is")
			news.shout(in, holdLine("Cannot release", h, h.Note))
		case feed.Blind && h.State == hold.Active && now.Before(h.LastEnd()):
			// Nobody can tell whether the attack is over.
			h.Expires = h.Until(now.Add(time.Minute))
			if h.Kept == "" {
				news.add(in, holdLine("Keeps", h, "the log is "+feed.String()))
			}
			h.Kept = "the log is " + feed.String()
		case h.State == hold.Active && h.StepDown(now):
			news.add(in, holdLine("Steps down:", h, "it has been quiet"))
			r.look(h.Control)
		default:
			h.State = hold.Releasing
			r.look(h.Control)
			if feed.Blind {
				news.shout(in, holdLine("Releases, though nobody can tell whether the attack is over:", h, "it was held for the longest that its policy allows, and the log is "+feed.String()))
			}
		}
		if h.State.Ended() || h.Level != level {
			if err := r.record(ctx, "", "hold", h, now); err != nil {
				return err
			}
		}
		if err := r.saveHold(ctx, h); err != nil {
			return err
		}
	}
	return r.spread(ctx, news)
}

func (r *Responder) sortedHolds() []*hold.Hold {
	out := make([]*hold.Hold, 0, len(r.holds))
	for _, h := range r.holds {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b *hold.Hold) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

var errNotShown = errors.New("the tenant does not show what was written: looking again")

// reconcile brings every control that is due to what its holds ask for.
func (r *Responder) reconcile(ctx context.Context, now time.Time) error {
	if r.level.Level == Frozen {
		return r.holdBack(ctx, now)
	}
	for _, name := range r.inOrder() {
		d := r.due[name]
		if now.Before(d.at) {
			continue
		}
		var mine []*hold.Hold
		before := map[string]hold.Hold{}
		for _, h := range r.sortedHolds() {
			if h.Control == name && Mode(h.Mode) == Enforce && !h.State.Ended() {
				mine = append(mine, h)
				before[h.ID] = *h
			}
		}
		rep, err := r.controls[name].Reconcile(ctx, mine, now)
		if ctx.Err() != nil {
			return ctx.Err() // what it did is found by the next start's fresh look
		}
		if errors.Is(err, control.ErrStore) {
			return err
		}
		for _, note := range rep.Notes {
			r.log.Warn("setting of the tenant", "control", name, "note", note)
		}
		if err == nil && rep.Again {
			err = errNotShown
		}
		if err == nil {
			d.failures, d.at = 0, now.Add(r.opts.Look)
		} else {
			d.failures++
			d.at = now.Add(backoff(d.failures))
			r.log.Warn("control not brought to its holds yet", "control", name, "failures", d.failures, "err", err)
		}
		if err := r.noteReconciled(ctx, name, mine, before, rep, err, now); err != nil {
			return err
		}
	}
	return nil
}

// inOrder are the controls in the order in which they are brought to their holds:
// first those to tighten, then those to let go, the latest tightened first.
func (r *Responder) inOrder() []string {
	tighten, latest := map[string]bool{}, map[string]time.Time{}
	for _, h := range r.holds {
		if Mode(h.Mode) != Enforce || h.State.Ended() {
			continue
		}
		tighten[h.Control] = tighten[h.Control] || h.State == hold.Active && !h.Confirmed
		if h.Letting() && h.Created.After(latest[h.Control]) {
			latest[h.Control] = h.Created
		}
	}
	names := sortedKeys(r.controls)
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case tighten[a] != tighten[b]:
			if tighten[a] {
				return -1
			}
			return 1
		}
		return latest[b].Compare(latest[a])
	})
	return names
}

// noteReconciled records, saves and tells what a reconciliation changed.
func (r *Responder) noteReconciled(ctx context.Context, name string, mine []*hold.Hold, before map[string]hold.Hold, rep control.Report, failure error, now time.Time) error {
	if len(rep.Changes) > 0 || len(rep.Notes) > 0 {
		if err := r.opts.Record(ctx, "", map[string]any{"kind": "control", "control": name, "changes": rep.Changes, "notes": rep.Notes, "at": now}); err != nil {
			return fmt.Errorf("record change of %s: %w", name, err)
		}
	}
	news := news{}
	for _, h := range mine {
		was := before[h.ID]
		switch {
		case h.State.Ended():
		case failure == nil:
			h.Confirmed = h.Confirmed || h.State == hold.Active
		case !h.Confirmed || h.Letting():
			h.Trouble = failure.Error()
			if h.Letting() && now.Sub(h.Expires) > unreleasedAfter {
				h.State = hold.Unreleased
			}
		}
		if was == *h {
			continue
		}
		l, loud := changeLine(was, h)
		if l != (line{}) {
			if err := r.record(ctx, "", "hold", h, now); err != nil {
				return err
			}
		}
		if err := r.saveHold(ctx, h); err != nil {
			return err
		}
		switch {
		case loud:
			news.shout(r.incidentOf(h), l)
		case l != (line{}):
			news.add(r.incidentOf(h), l)
		}
	}
	concerned := map[string]bool{}
	for _, h := range mine {
		concerned[r.incidentOf(h)] = true
	}
	for in := range concerned {
		for _, note := range rep.Notes {
			news.add(in, line{head: note})
		}
	}
	return r.spread(ctx, news)
}

// changeLine says what a reconciliation made of a hold; loud asks for a person.
func changeLine(was hold.Hold, h *hold.Hold) (l line, loud bool) {
	switch {
	case h.State == hold.Released:
		return holdLine("Released", h, ""), false
	case h.State == hold.Failed:
		return holdLine("Cannot hold", h, h.Note), true
	case h.State == hold.Unreleased && was.State != hold.Unreleased:
		return holdLine("Still not released, and a person is needed:", h, h.Trouble), true
	case asking(h) != "" && asking(&was) == "":
		return holdLine("Asks before it lets go of", h, h.Asks), true
	case h.Trouble != "" && was.Trouble == "" && h.State == hold.Releasing:
		return holdLine("Not yet released:", h, h.Trouble), true
	case h.Trouble != "" && was.Trouble == "":
		return holdLine("Not yet in force:", h, h.Trouble), false
	case h.Trouble != "":
		return line{}, false
	case h.State == hold.Overruled && was.State != hold.Overruled:
		return holdLine("Overruled:", h, h.Note), false
	case h.State == hold.PendingCapacity && was.State != hold.PendingCapacity:
		return holdLine("Waits for room:", h, h.Note), false
	case h.State == hold.Active && h.Level != was.Level && was.Confirmed:
		return line{}, false
	case h.State == hold.Active && (was.State != hold.Active || !was.Confirmed):
		why := ""
		if h.To == "" {
			why = "everything is as strict already"
		}
		return holdLine("Holds", h, why), false
	}
	return line{}, false
}

// unreleasedAfter is how long it is tried to put a setting back before people are
// called a second time.
const unreleasedAfter = 15 * time.Minute

// hasHold reports whether an incident has a hold that is not over.
func (r *Responder) hasHold(incident string) bool {
	for _, h := range r.holds {
		if r.incidentOf(h) == incident && !h.State.Ended() {
			return true
		}
	}
	return false
}

// backoff waits longer after each failure in a row: 2s, 4s, … 1m.
func backoff(failures int) time.Duration {
	return min(time.Second<<min(failures, 10), time.Minute)
}
