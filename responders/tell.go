package responders

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/detections"
	"portcullis/responders/hold"
)

// responseOf says in an alert what became of a hold that was asked for.
func responseOf(h *hold.Hold) detections.Response {
	resp := detections.Response{Kind: "hold", Control: h.Control, Level: h.Level, Subject: h.Subject, Mode: h.Mode, Reason: h.Reason}
	switch {
	case h.State == hold.Failed:
		resp.Outcome, resp.Reason = "failed", h.Note
	case h.State == hold.PendingCapacity || h.State == hold.Overruled:
		resp.Outcome, resp.Reason = "skipped", h.Note
	case Mode(h.Mode) == Enforce && h.State != "":
		resp.Outcome = "done"
	default:
		resp.Outcome = "proposed"
	}
	return resp
}

// holdText names a hold for people: network-acl on 198.51.100.7 until 10:45 UTC.
func holdText(h *hold.Hold) string {
	text := h.Control
	if h.Level != "" {
		text += " at " + h.Level
	}
	if h.Subject != "" {
		text += " on " + h.Subject
	}
	if h.To != "" && h.Subject == "" {
		text += " (" + h.To + ")"
	}
	if !h.State.Ended() && !h.Expires.IsZero() {
		text += " until " + h.Expires.UTC().Format("15:04 UTC")
	}
	return text
}

func groupText(a detections.Alert) string {
	parts := make([]string, 0, len(a.Group))
	for _, k := range sortedKeys(a.Group) {
		parts = append(parts, k+" "+a.Group[k])
	}
	if len(parts) == 0 {
		parts = append(parts, "the whole tenant")
	}
	return fmt.Sprintf("%s, %d events", strings.Join(parts, ", "), a.Count)
}

// stateOf is where an incident stands.
func (r *Responder) stateOf(in detections.Incident) State {
	running := false
	for _, h := range r.holds {
		if h.Cause.Incident == in.ID && Mode(h.Mode) == Enforce && !h.State.Ended() {
			running = true
		}
	}
	switch {
	case in.ResolvedAt == nil && running:
		return StateContaining
	case in.ResolvedAt == nil:
		return StateObserving
	case running:
		return StateRelaxing
	}
	return StateClosed
}

// tell saves an incident and shows it to people.
func (r *Responder) tell(ctx context.Context, in detections.Incident, transitions []string, broadcast bool) error {
	tenant, _, feed := r.settings()
	state := r.stateOf(in)
	if was := r.told[in.ID]; was != "" && was != state {
		transitions = append(transitions, map[State]string{
			StateObserving:  "The attack goes on and nothing is held",
			StateContaining: "The attack goes on and holds are in force",
			StateRelaxing:   "The attack is over; holds run out by themselves",
			StateClosed:     "Closed: every setting is back at the value a human chose",
		}[state])
		if state == StateClosed && !r.everHeld(in.ID) {
			transitions[len(transitions)-1] = "Closed: nothing was changed"
		}
	}
	r.told[in.ID] = state
	data, err := json.Marshal(savedIncident{Incident: in, Outcomes: r.outcomes[in.ID], Told: state})
	if err == nil {
		err = r.opts.Incidents.Put(ctx, in.ID, data)
	}
	if err != nil {
		return fmt.Errorf("save incident %s: %w", in.ID, err)
	}
	rep := Report{Incident: in, State: state, Mode: tenant.Mode, Feed: feed.String(), Outcomes: r.outcomesOf(in.ID),
		Transition: strings.Join(transitions, "\n"), Broadcast: broadcast}
	for _, n := range r.opts.Notifiers {
		if err := n.Notify(ctx, rep); err != nil {
			r.log.Error("incident not shown", "incident", in.ID, "err", err)
		}
	}
	return nil
}

func (r *Responder) everHeld(incident string) bool {
	for _, h := range r.holds {
		if h.Cause.Incident == incident && Mode(h.Mode) == Enforce && h.To != "" {
			return true
		}
	}
	return false
}

// outcomesOf lists what was done about an incident, and what was not.
func (r *Responder) outcomesOf(incident string) []Outcome {
	var out []Outcome
	for _, h := range r.sortedHolds() {
		if h.Cause.Incident != incident {
			continue
		}
		o := Outcome{Response: responseOf(h), HoldID: h.ID, From: h.From, To: h.To, Until: h.Expires, At: h.Created, Ended: h.Ended}
		if h.Note != "" && h.State == hold.Active {
			o.Reason += " (" + h.Note + ")"
		}
		out = append(out, o)
	}
	return append(out, slices.Clone(r.outcomes[incident])...)
}

// forgetIncidents drops incidents that ended long ago.
func (r *Responder) forgetIncidents(ctx context.Context, now time.Time) error {
	for _, in := range r.incidents.All() {
		if in.ResolvedAt == nil || now.Sub(*in.ResolvedAt) < endedKept || r.stateOf(in) != StateClosed {
			continue
		}
		r.incidents.Forget(in.ID)
		delete(r.told, in.ID)
		delete(r.outcomes, in.ID)
		if err := r.opts.Incidents.Delete(ctx, in.ID); err != nil {
			return fmt.Errorf("forget incident %s: %w", in.ID, err)
		}
	}
	return nil
}
