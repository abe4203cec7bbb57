package responders

import (
	"context"
	"fmt"
	"maps"
	"time"

	"portcullis/detections"
	"portcullis/responders/hold"
)

// incidentOf is the incident that a hold belongs to: the one that asked for it,
// or the one that it was merged into since.
func (r *Responder) incidentOf(h *hold.Hold) string { return r.incidents.Home(h.Cause.Incident) }

// askedBefore is the hold that was begun for a planned response, by its incident
// or one that was merged into it; nil when there is none.
func (r *Responder) askedBefore(pl planned) *hold.Hold {
	over := r.holds[pl.hold.ID]
	if over != nil && !over.State.Ended() {
		return over
	}
	for _, id := range pl.former {
		switch h := r.holds[id]; {
		case h == nil:
		case !h.State.Ended():
			return h
		case over == nil:
			over = h
		}
	}
	return over
}

// takeOver makes what was kept of an incident that of the one it was merged into,
// and shows it for the last time. The first write decides: the incident that
// names gone as merged owns its alerts, wherever they are when a crash comes.
func (r *Responder) takeOver(ctx context.Context, in, gone detections.Incident, now time.Time) error {
	told := r.told[gone.ID] != ""
	room := max(0, outcomesKept-len(r.outcomes[in.ID]))
	r.outcomes[in.ID] = append(r.outcomes[in.ID], r.outcomes[gone.ID][:min(room, len(r.outcomes[gone.ID]))]...)
	if r.refused[in.ID] == nil {
		r.refused[in.ID] = map[string]bool{}
	}
	maps.Copy(r.refused[in.ID], r.refused[gone.ID])
	delete(r.outcomes, gone.ID)
	delete(r.refused, gone.ID)
	delete(r.told, gone.ID)
	r.moved = true // its holds count for the other now

	if err := r.opts.Record(ctx, "merged "+gone.ID, map[string]any{"kind": "incident", "incident": gone.ID, "merged_into": in.ID, "at": now}); err != nil {
		return fmt.Errorf("record merge of incident %s: %w", gone.ID, err)
	}
	if err := r.saveIncident(ctx, in); err != nil {
		return err
	}
	for _, a := range gone.Alerts {
		if err := r.saveAlert(ctx, in.ID, a); err != nil {
			return err
		}
		if err := r.opts.Incidents.Delete(ctx, alertKey(gone.ID, a.ID)); err != nil {
			return fmt.Errorf("move alert %s: %w", a.ID, err)
		}
	}
	if !told {
		return r.markMerged(ctx, gone)
	}
	return r.showMerged(ctx, gone)
}

// showMerged shows an incident that is part of another for the last time, and
// then notes that it was: a crash between the two shows it again.
func (r *Responder) showMerged(ctx context.Context, gone detections.Incident) error {
	tenant, _, feed := r.settings()
	r.notify(ctx, Report{Incident: r.refreshed(gone), State: StateClosed, Mode: tenant.Mode, Feed: feed.String(),
		Transition: "Closed: it is part of incident " + gone.MergedInto})
	return r.markMerged(ctx, gone)
}

func (r *Responder) markMerged(ctx context.Context, gone detections.Incident) error {
	gone.Alerts = nil
	if err := put(ctx, r.opts.Incidents, gone.ID, savedIncident{Incident: gone, Told: StateClosed}); err != nil {
		return fmt.Errorf("save incident %s: %w", gone.ID, err)
	}
	return nil
}

// moveDoc gives a document of the incidents another key.
func (r *Responder) moveDoc(ctx context.Context, from, to string, data []byte) error {
	if err := r.opts.Incidents.Put(ctx, to, data); err != nil {
		return fmt.Errorf("move %s to %s: %w", from, to, err)
	}
	if err := r.opts.Incidents.Delete(ctx, from); err != nil {
		return fmt.Errorf("move %s to %s: %w", from, to, err)
	}
	return nil
}
