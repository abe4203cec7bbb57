package responders

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"portcullis/responders/hold"
)

// PlanHash names the exact plan that a proposed hold stands for. An approval is
// of one plan: when anything in it changes, the hash does, and what was approved
// is shown anew instead of done.
func PlanHash(h *hold.Hold) string {
	data, err := json.Marshal([]any{h.Key(), h.Tenant, h.Control, h.Level, h.Subject, h.Cause.Policy, h.Reason, h.TTL, h.MaxTTL, h.Ladder, h.From, h.To, h.Entry.Scope, h.Entry.RedirectTo, h.Entry.LogFirst})
	if err != nil {
		panic(err) // texts and numbers can be written
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

// approve does what was proposed. It counts against the budget of doing, and
// lasts from now, since the attack may have gone on while a person was asked.
func (r *Responder) approve(ctx context.Context, h *hold.Hold, o Order, now time.Time) (string, error) {
	switch {
	case h.Approved != nil:
		return "", refuseOrder("%s was approved already, by %s at %s", h.ID, h.Approved.Actor, h.Approved.At.UTC().Format("15:04 UTC"))
	case h.State != hold.AwaitingApproval:
		return "", refuseOrder("%s does not wait for an approval: it is %s", h.ID, h.State)
	case !now.Before(h.Expires):
		return "", refuseOrder("%s waited until %s: nobody approved it in time", h.ID, h.Expires.UTC().Format(time.RFC3339))
	case o.Plan != PlanHash(h):
		return "", fmt.Errorf("%w: %w: it is %s now (%s): look at it and approve that", ErrOrder, ErrPlanChanged, PlanHash(h), PlanText(h))
	}
	if why := r.stopped(Enforce); why != "" {
		return "", refuseOrder("%s", why)
	}
	tenant, _, _ := r.settings()
	if tenant.Mode == Observe {
		return "", refuseOrder("the tenant's mode is observe: nothing is ever written")
	}
	if h.Subject != "" {
		if _, err := tenant.subject(r.checkers[h.Control], h.Subject, ""); err != nil {
			return "", refuseOrder("%w", err)
		}
	}
	// A person may go beyond the budget, and it counts.
	if err := r.budgets.count(ctx, kindOf(h), Enforce, now); err != nil {
		return "", err
	}
	h.Approved = &hold.Approval{Actor: o.Actor, Reason: o.Reason, Plan: o.Plan, At: now}
	h.Mode, h.State = string(Enforce), hold.Active
	h.Expires = h.Until(later(h.Expires, now.Add(h.TTL)))
	r.look(h.Control)
	return sentence("Approved: holds", h, by(o)), nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func deny(h *hold.Hold, o Order, now time.Time) (string, error) {
	if h.State != hold.AwaitingApproval {
		return "", refuseOrder("%s does not wait for an approval: it is %s", h.ID, h.State)
	}
	h.State, h.Ended, h.Note, h.Refused = hold.Released, now, "denied by "+by(o), now
	return sentence("Denied: does not hold", h, by(o)), nil
}

// PlanText says what a proposed hold would do.
func PlanText(h *hold.Hold) string {
	text := h.Control
	if h.Level != "" {
		text += " at " + h.Level
	}
	if h.Subject != "" {
		text += " on " + h.Subject
	}
	if h.Entry.Scope != "" {
		text += " in scope " + h.Entry.Scope
	}
	if h.Entry.RedirectTo != "" {
		text += " to " + h.Entry.RedirectTo
	}
	if h.Entry.LogFirst > 0 {
		text += fmt.Sprintf(", counted first for %s", length(h.Entry.LogFirst))
	}
	if h.To != "" {
		text += fmt.Sprintf(", from %s to %s", h.From, h.To)
	}
	if h.Ladder != nil {
		for _, rung := range h.Ladder.Rungs {
			if rung.After > 0 {
				text += fmt.Sprintf(", %s if it goes on for %s", rung.Level, length(rung.After))
			}
		}
	}
	return text + fmt.Sprintf(", for %s, at most %s", length(h.TTL), length(h.MaxTTL))
}

// length writes a duration without the zeros at its end: 30m, 24h.
func length(d time.Duration) string {
	text := strings.TrimSuffix(d.String(), "m0s")
	if text != d.String() {
		text += "m"
	}
	return strings.Replace(text, "h0m", "h", 1)
}
