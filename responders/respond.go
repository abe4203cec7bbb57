package responders

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/detections"
	"portcullis/responders/hold"
)

const (
	// failedRest is how long a hold that the tenant refused is not asked for again.
	failedRest = time.Hour
	// refusalRest is how long a hold that a person denied, or ended by hand, is not
	// asked for again by the same policy in the same incident.
	refusalRest = time.Hour
	// shortKept bounds the holds of an incident that wait for a person because a
	// budget is used up: nobody reads more.
	shortKept = 20
	// outcomesKept bounds the refused and skipped responses that an incident shows,
	// refusalsNoted those that it tells apart in the journal.
	outcomesKept, refusalsNoted = 100, 2000
)

// handlePending answers what was offered. An error means that a store failed.
func (r *Responder) handlePending(ctx context.Context, now time.Time) error {
	r.mu.Lock()
	order, pending := r.order, r.pending
	r.order, r.pending = nil, map[string]offered{}
	r.mu.Unlock()
	// What was taken is finished, also when the run is asked to end meanwhile: half
	// of an answer in memory would look like all of it. Stores bound their own time.
	ctx = context.WithoutCancel(ctx)
	for _, id := range order {
		if err := r.handle(ctx, pending[id], now); err != nil {
			return err
		}
	}
	return nil
}

// handle answers one change of an alert, as far as the stores and the thread:
// what the holds ask for is done afterwards, once for all that came together.
func (r *Responder) handle(ctx context.Context, o offered, now time.Time) error {
	c := o.Change
	tenant, policies, feed := r.settings()
	before, known := r.incidents.Holding(c.Alert.ID)
	if known && addsNothing(alertOf(before, c.Alert.ID), c.Alert) {
		return nil // seen before a restart
	}
	in, merged, rose := r.incidents.Apply(c)
	if o.opened != nil && !known {
		if err := r.recordAlert(ctx, detections.Opened, in.ID, *o.opened, now); err != nil {
			return err
		}
	}
	var lines []line
	if rose {
		lines = append(lines, line{head: c.Alert.Title + ": " + groupText(c.Alert)})
	}
	for _, gone := range merged {
		if err := r.takeOver(ctx, in, gone, now); err != nil {
			return err
		}
		lines = append(lines, line{head: fmt.Sprintf("Incident %s turned out to be the same attack: %s", gone.ID, in.Explain())})
	}
	responses, asked := []detections.Response{}, []string{}
	for _, pl := range plan(tenant, policies, r.checkers, c.Alert, in, feed, now) {
		resp, id, l, err := r.respond(ctx, pl, c, now)
		if err != nil {
			return err
		}
		responses, asked, lines = append(responses, resp), append(asked, id), append(lines, l)
	}
	if c.Transition == detections.Resolved && in.ResolvedAt != nil {
		lines = append(lines, line{head: "The attack is over: " + c.Alert.Title})
	}
	in = r.incidents.SetResponses(in.ID, c.Alert.ID, responses)
	r.behind[c.Alert.ID] = asked
	a := alertOf(in, c.Alert.ID)
	transition := c.Transition
	if was := alertOf(before, a.ID); was.ResolvedAt != nil && transition == detections.Opened {
		transition = detections.Updated // it is open again: that it opened is recorded already
	}
	if err := r.recordAlert(ctx, transition, in.ID, a, now); err != nil {
		return err
	}
	return r.tell(ctx, in, lines, rose, a)
}

// recordAlert records a transition of an alert. It is recorded before the alert is
// saved, so that none is missing; killed between the two, the next life records
// the same transition under the same id.
func (r *Responder) recordAlert(ctx context.Context, tr detections.Transition, incident string, a detections.Alert, now time.Time) error {
	c := detections.Change{Transition: tr, Alert: a}
	if err := r.opts.Record(ctx, c.ID(), map[string]any{"kind": "alert", "transition": tr, "incident": incident, "alert": a, "at": now}); err != nil {
		return fmt.Errorf("record alert %s: %w", a.ID, err)
	}
	return nil
}

// addsNothing reports whether an alert says nothing that is not known: after a
// restart the engine goes through its past again, and old news must not undo
// newer.
func addsNothing(known, a detections.Alert) bool {
	return a.Count <= known.Count && !a.UpdatedAt.After(known.UpdatedAt) && a.Severity.Rank() <= known.Severity.Rank() &&
		(a.ResolvedAt == nil || known.ResolvedAt != nil)
}

func alertOf(in detections.Incident, id string) detections.Alert {
	for _, a := range in.Alerts {
		if a.ID == id {
			return a
		}
	}
	return detections.Alert{}
}

func sortAlerts(alerts []detections.Alert) {
	slices.SortFunc(alerts, func(a, b detections.Alert) int {
		if c := a.OpenedAt.Compare(b.OpenedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// respond carries one planned response as far as mode and rails allow. id names
// the hold behind it, if there is one; the line is for the thread.
func (r *Responder) respond(ctx context.Context, pl planned, c detections.Change, now time.Time) (resp detections.Response, id string, l line, err error) {
	h := r.askedBefore(pl)
	if h != nil && modeRank[Mode(pl.hold.Mode)] > modeRank[Mode(h.Mode)] && !(h.Short && r.budgets.usedUp(kindOf(h), Enforce, now) != "") {
		h = nil // what was proposed may now be done
	}
	if h != nil {
		level := h.Level
		if known, err := r.again(ctx, h, &pl, c, now); known || err != nil {
			if h.Level != level {
				l = holdLine("Climbs:", h, "the attack goes on")
			}
			return responseOf(h), h.ID, l, err
		}
	}
	if c.Transition == detections.Resolved && pl.why == "" {
		pl.skip("the alert had resolved before anything was done")
	}
	if pl.why == "" {
		if why := r.stopped(Mode(pl.hold.Mode)); why != "" {
			pl.refuse(why)
		}
	}
	var warning string
	if pl.why == "" {
		why, note, err := r.budgets.take(ctx, kindOf(&pl.hold), Mode(pl.hold.Mode), now)
		if err != nil {
			return resp, "", l, err
		}
		warning = note
		switch {
		case why == "":
		case Mode(pl.hold.Mode) == Enforce && r.shortOf(pl.hold.Cause.Incident) < shortKept:
			// A budget that is used up must not fall silent: a person decides.
			pl.hold.Mode, pl.hold.Short = string(Propose), true
			pl.hold.Note = why
		default:
			pl.refuse(why)
		}
	}
	if pl.why != "" {
		resp, l, err = r.refuse(ctx, pl, c, now)
		return resp, "", l, err
	}
	h, l, err = r.begin(ctx, pl.hold, now)
	if err != nil {
		return resp, "", l, err
	}
	if warning != "" && l == (line{}) {
		l = line{head: "A budget is nearly used up: " + warning}
	}
	return responseOf(h), h.ID, l, nil
}

// shortOf counts the holds of an incident that wait for a person because a budget
// is used up.
func (r *Responder) shortOf(incident string) int {
	n := 0
	for _, h := range r.holds {
		if h.Short && h.State == hold.AwaitingApproval && r.incidentOf(h) == incident {
			n++
		}
	}
	return n
}

// begin records and saves a new hold, before anything of it reaches the tenant.
func (r *Responder) begin(ctx context.Context, h hold.Hold, now time.Time) (*hold.Hold, line, error) {
	var l line
	switch Mode(h.Mode) {
	case Enforce:
		h.State = hold.Active
		r.look(h.Control)
	case Propose:
		h.State = hold.AwaitingApproval
		l = holdLine("Asks to hold", &h, h.Note)
	default:
		h.State = hold.Proposed
		l = holdLine("Would hold", &h, "")
	}
	if !r.opts.Steady {
		h.Spread = time.Duration(hold.Jitter(h.ID) * float64(h.TTL))
	}
	if before := r.holds[h.ID]; before != nil && before.Mode == h.Mode {
		h.Inherit(before)
	} else {
		h.Begin()
	}
	id := fmt.Sprintf("hold %s %s %d", h.ID, h.Mode, h.Evidence.UnixMilli())
	if err := r.record(ctx, id, "hold", &h, now); err != nil {
		return nil, l, err
	}
	if err := r.saveHold(ctx, &h); err != nil {
		return nil, l, err
	}
	r.holds[h.ID] = &h
	return &h, l, nil
}

// again answers from a hold that was asked for before: it lives on with new
// evidence, and one that is over is not begun anew without it. It reports whether
// that was all; if not, the plan stands, or holds a refusal.
func (r *Responder) again(ctx context.Context, h *hold.Hold, pl *planned, c detections.Change, now time.Time) (bool, error) {
	fresh := c.Transition != detections.Resolved && c.Alert.UpdatedAt.After(h.Evidence)
	asks := modeRank[Mode(pl.hold.Mode)] >= modeRank[Mode(h.Mode)] || h.Approved != nil
	allowed := pl.why == "" && asks && r.stopped(Mode(h.Mode)) == ""
	spent := !h.LastEnd().IsZero() && !h.Expires.Before(h.LastEnd())
	was := *h
	switch {
	case !h.State.Ended() && !h.Letting():
		if allowed && h.Renew(c.Alert.UpdatedAt) {
			h.Kept, h.Asks = "", ""
		}
		if allowed {
			h.Entry.Volume = pl.hold.Entry.Volume
		}
		if h.Level != was.Level {
			r.look(h.Control)
		}
	case !fresh:
	case !h.Refused.IsZero() && now.Sub(h.Refused) < refusalRest:
		return true, nil // a person said no
	case h.State == hold.Failed:
		return now.Sub(h.Ended) < failedRest, nil
	case !allowed:
		return false, nil
	case spent:
		pl.refuse(fmt.Sprintf("it was held for %s already, the longest that its policy allows: a person decides", h.MaxTTL))
		return false, nil
	case h.Letting():
		h.State, h.Kept, h.Asks, h.Let = hold.Active, "", "", ""
		h.Renew(c.Alert.UpdatedAt)
		r.look(h.Control)
	default:
		return false, nil
	}
	if *h == was {
		return true, nil
	}
	if h.Level != was.Level {
		if err := r.record(ctx, fmt.Sprintf("hold %s %s %d", h.ID, h.Level, h.RungSince.UnixMilli()), "hold", h, now); err != nil {
			return true, err
		}
	}
	return true, r.saveHold(ctx, h)
}

// look has a control looked at in this step.
func (r *Responder) look(name string) {
	if d := r.due[name]; d != nil {
		d.at = time.Time{}
	}
}

func refusalKey(holdID, reason string) string { return holdID + " " + reason }

// refuse notes a response that is not given, once for each reason.
func (r *Responder) refuse(ctx context.Context, pl planned, c detections.Change, now time.Time) (detections.Response, line, error) {
	resp := pl.response()
	in := pl.hold.Cause.Incident
	if c.Transition == detections.Resolved {
		// What became of it was decided before.
		for _, o := range r.outcomes[in] {
			if o.HoldID == pl.hold.ID {
				return o.Response, line{}, nil
			}
		}
	}
	if r.refused[in] == nil {
		r.refused[in] = map[string]bool{}
	}
	key := refusalKey(pl.hold.ID, resp.Reason)
	known := r.refused[in][key] || slices.ContainsFunc(pl.former, func(id string) bool { return r.refused[in][refusalKey(id, resp.Reason)] })
	if known || len(r.refused[in]) >= refusalsNoted {
		return resp, line{}, nil
	}
	h := pl.hold
	h.Note = pl.why
	if err := r.record(ctx, fmt.Sprintf("refused %s %d", key, h.Evidence.UnixMilli()), "refused", &h, now); err != nil {
		return resp, line{}, err
	}
	r.refused[in][key] = true
	if len(r.outcomes[in]) < outcomesKept {
		r.outcomes[in] = append(r.outcomes[in], Outcome{Response: resp, HoldID: pl.hold.ID, At: now})
		return resp, holdLine("Did not hold", &h, pl.why), nil
	}
	if len(r.refused[in]) == outcomesKept+1 {
		return resp, line{head: fmt.Sprintf("More than %d responses were refused or skipped: further ones are in the journal only", outcomesKept)}, nil
	}
	return resp, line{}, nil
}

// record records what became of a hold; id as Record has it.
func (r *Responder) record(ctx context.Context, id, kind string, h *hold.Hold, now time.Time) error {
	if err := r.opts.Record(ctx, id, map[string]any{"kind": kind, "hold": h, "at": now}); err != nil {
		return fmt.Errorf("record %s of hold %s: %w", kind, h.ID, err)
	}
	return nil
}
