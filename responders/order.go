package responders

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/responders/hold"
)

// OrderKind is what a person may ask of a tenant's responder.
type OrderKind string

// What a person may ask for.
const (
	OrderRelease OrderKind = "release"    // end a hold now
	OrderExtend  OrderKind = "extend"     // let a hold live longer
	OrderApprove OrderKind = "approve"    // do what is proposed
	OrderDeny    OrderKind = "deny"       // do not do it
	OrderFreeze  OrderKind = "freeze"     // write nothing from here on
	OrderLimit   OrderKind = "no-tighten" // hold nothing new
	OrderThaw    OrderKind = "thaw"       // let policies decide again
	OrderUnwind  OrderKind = "unwind"     // release everything, and hold nothing new
)

// Order is one thing that a person asks for.
type Order struct {
	Kind   OrderKind     `json:"kind"`
	Hold   string        `json:"hold,omitempty"`  // its id, for release, extend, approve and deny
	For    time.Duration `json:"for,omitempty"`   // for extend: how long from now, in nanoseconds
	Owner  bool          `json:"owner,omitempty"` // for extend: Actor answers for it beyond the longest its policy allows
	Plan   string        `json:"plan,omitempty"`  // for approve: the plan's hash, as it was shown
	Actor  string        `json:"actor"`           // who asks; required
	Reason string        `json:"reason,omitempty"`
}

var (
	// ErrOrder is wrapped by the error of an order that cannot be carried out: its
	// message tells the person why. Nothing was changed.
	ErrOrder = errors.New("not done")
	// ErrPlanChanged is wrapped, beside [ErrOrder], when the plan is no longer the
	// one that was shown.
	ErrPlanChanged = errors.New("the plan changed")
)

func refuseOrder(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrOrder, fmt.Errorf(format, args...))
}

// asked is an order on its way to Run.
type asked struct {
	Order
	done chan answered
}

type answered struct {
	text string
	err  error
}

// Order has Run carry out what a person asks for, and returns what was done, in
// a sentence. An error that wraps [ErrOrder] is the person's to read; any other
// means that it is not known to be done.
func (r *Responder) Order(ctx context.Context, o Order) (string, error) {
	a := asked{o, make(chan answered, 1)}
	r.mu.Lock()
	r.orders = append(r.orders, a)
	r.mu.Unlock()
	r.wakeUp()
	select {
	case got := <-a.done:
		return got.text, got.err
	case <-ctx.Done():
		return "", fmt.Errorf("order %s: %w", o.Kind, ctx.Err())
	}
}

// CarryOut carries out an order and brings the controls to what the holds ask for
// then. It is for one who owns the responder while Run does not. What could not
// be written yet is part of the sentence: the next Run goes on with it.
func (r *Responder) CarryOut(ctx context.Context, o Order) (string, error) {
	now := r.opts.Now()
	text, err := r.carryOut(ctx, o, now)
	if err != nil {
		return "", err
	}
	if err := r.reconcile(ctx, now); err != nil {
		return "", err
	}
	if err := r.tellStates(ctx); err != nil {
		return "", err
	}
	for _, h := range r.sortedHolds() {
		if h.Trouble != "" && !h.State.Ended() {
			text += fmt.Sprintf("\n%s is not confirmed yet: %s", h.ID, h.Trouble)
		}
	}
	return text, nil
}

// takeOrders carries out what was asked for. An error means that a store failed.
func (r *Responder) takeOrders(ctx context.Context, now time.Time) error {
	r.mu.Lock()
	orders := r.orders
	r.orders = nil
	r.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	for i, a := range orders {
		text, err := r.carryOut(ctx, a.Order, now)
		a.done <- answered{text, err}
		if err != nil && !errors.Is(err, ErrOrder) {
			for _, rest := range orders[i+1:] {
				rest.done <- answered{err: err}
			}
			return err
		}
	}
	return nil
}

func (r *Responder) carryOut(ctx context.Context, o Order, now time.Time) (string, error) {
	if strings.TrimSpace(o.Actor) == "" {
		return "", refuseOrder("an order needs the name of who gives it")
	}
	var text string
	var err error
	switch o.Kind {
	case OrderRelease, OrderExtend, OrderApprove, OrderDeny:
		text, err = r.orderHold(ctx, o, now)
	case OrderFreeze:
		text, err = r.turn(ctx, o, Frozen, now)
	case OrderLimit:
		text, err = r.turn(ctx, o, NoTighten, now)
	case OrderThaw:
		text, err = r.turn(ctx, o, Thawed, now)
	case OrderUnwind:
		text, err = r.unwind(ctx, o, now)
	default:
		err = refuseOrder("%q is nothing that can be asked for", o.Kind)
	}
	if err != nil && !errors.Is(err, ErrOrder) {
		return "", fmt.Errorf("order %s: %w", o.Kind, err)
	}
	deed := map[string]any{"kind": "order", "order": o, "at": now, "done": text}
	if err != nil {
		deed["refused"] = err.Error()
	}
	if failed := r.opts.Record(ctx, "", deed); failed != nil {
		return "", fmt.Errorf("record order %s: %w", o.Kind, failed)
	}
	return text, err
}

// orderHold carries out an order about one hold.
func (r *Responder) orderHold(ctx context.Context, o Order, now time.Time) (string, error) {
	h, err := r.holdCalled(o.Hold)
	if err != nil {
		return "", err
	}
	was := *h
	var text string
	switch o.Kind {
	case OrderRelease:
		text, err = r.release(h, o, now)
	case OrderExtend:
		text, err = r.extend(h, o, now)
	case OrderApprove:
		text, err = r.approve(ctx, h, o, now)
	default:
		text, err = deny(h, o, now)
	}
	if err != nil || *h == was {
		return text, err
	}
	if err := r.record(ctx, "", "hold", h, now); err != nil {
		return "", err
	}
	if err := r.saveHold(ctx, h); err != nil {
		return "", err
	}
	n := news{}
	n.add(r.incidentOf(h), line{head: text})
	return text, r.spread(ctx, n)
}

// holdCalled finds a hold by its id or the beginning of it.
func (r *Responder) holdCalled(id string) (*hold.Hold, error) {
	if h := r.holds[id]; h != nil {
		return h, nil
	}
	var found []*hold.Hold
	for _, h := range r.sortedHolds() {
		if id != "" && strings.HasPrefix(h.ID, id) {
			found = append(found, h)
		}
	}
	switch len(found) {
	case 0:
		return nil, refuseOrder("no hold is called %q", id)
	case 1:
		return found[0], nil
	}
	return nil, refuseOrder("%q is the beginning of %d holds: say more of it", id, len(found))
}

func (r *Responder) release(h *hold.Hold, o Order, now time.Time) (string, error) {
	switch {
	case h.State.Ended():
		return "", refuseOrder("%s is over already: %s", h.ID, h.State)
	case h.State == hold.AwaitingApproval:
		return "", refuseOrder("%s was not begun: deny it instead", h.ID)
	case h.Letting() && h.Asks != "" && h.Let == "":
		h.Let = o.Actor
		r.look(h.Control)
		return sentence("Releases", h, by(o)), nil
	case h.Letting():
		return h.ID + " is being released already", nil
	case h.State == hold.Proposed:
		h.State, h.Ended = hold.Released, now
	default:
		h.State, h.Expires, h.Trouble, h.Let = hold.Releasing, now, "", o.Actor
		r.look(h.Control)
	}
	h.Note, h.Refused = "released by "+by(o), now
	return sentence("Releases", h, by(o)), nil
}

func (r *Responder) extend(h *hold.Hold, o Order, now time.Time) (string, error) {
	end := now.Add(o.For)
	switch {
	case o.For <= 0:
		return "", refuseOrder("say for how long, for instance 1h")
	case h.State != hold.Active && h.State != hold.PendingCapacity && h.State != hold.AwaitingApproval:
		return "", refuseOrder("%s cannot be extended: it is %s", h.ID, h.State)
	case !end.After(h.Expires):
		return "", refuseOrder("%s lives until %s anyway", h.ID, h.Expires.UTC().Format(time.RFC3339))
	case h.Until(end).Before(end) && !o.Owner:
		return "", refuseOrder("%s may live until %s, the longest that its policy allows: beyond it somebody must answer for it by name", h.ID, h.LastEnd().UTC().Format(time.RFC3339))
	}
	if h.Until(end).Before(end) {
		h.MaxTTL = end.Sub(h.Created)
	}
	h.Expires, h.Kept = end, "extended by "+by(o)
	return sentence("Extends", h, by(o)), nil
}

// by names who gave an order, and why.
func by(o Order) string {
	if o.Reason == "" {
		return o.Actor
	}
	return o.Actor + ": " + o.Reason
}

func sentence(verb string, h *hold.Hold, who string) string {
	return sentences([]line{holdLine(verb, h, who)})[0]
}

// turn puts the switch to a level.
func (r *Responder) turn(ctx context.Context, o Order, to Level, now time.Time) (string, error) {
	if r.chosen.Level == to {
		return "It is so already: " + r.chosen.String(), nil
	}
	s := Switch{Level: to, Actor: o.Actor, Reason: o.Reason, At: now}
	if err := r.setSwitch(ctx, s); err != nil {
		return "", err
	}
	text := "Thawed by " + by(o) + ": policies decide again"
	switch to {
	case Frozen:
		text = "Frozen by " + by(o) + ": nothing is written to the tenant"
	case NoTighten:
		text = "Nothing new is held, by " + by(o)
	}
	if to == Thawed && r.level.Level != Thawed {
		text += "; yet it is " + r.level.String()
	}
	return text, r.tellOpen(ctx, text)
}

// unwind releases every hold, the latest first, and holds nothing new until the
// thaw: a policy would only tighten again what was just released.
func (r *Responder) unwind(ctx context.Context, o Order, now time.Time) (string, error) {
	if r.level.Level == Frozen {
		return "", refuseOrder("nothing can be released while it is %s: thaw first", r.level)
	}
	if r.chosen.Level != NoTighten {
		if err := r.setSwitch(ctx, Switch{Level: NoTighten, Actor: o.Actor, Reason: cmp.Or(o.Reason, "unwind"), At: now}); err != nil {
			return "", err
		}
	}
	n := 0
	holds := r.sortedHolds()
	slices.Reverse(holds)
	for _, h := range holds {
		if h.State.Ended() || h.Letting() && (h.Asks == "" || h.Let != "") {
			continue
		}
		if h.State == hold.Proposed || h.State == hold.AwaitingApproval {
			h.State, h.Ended, h.Note = hold.Released, now, "unwound by "+by(o)
		} else {
			h.State, h.Expires, h.Trouble, h.Let, h.Note = hold.Releasing, now, "", o.Actor, "unwound by "+by(o)
			r.look(h.Control)
			n++
		}
		if err := r.record(ctx, "", "hold", h, now); err != nil {
			return "", err
		}
		if err := r.saveHold(ctx, h); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf("Unwinds, by %s: %d released, nothing new is held until the thaw", by(o), n)
	return text, r.tellOpen(ctx, text)
}

// tellOpen tells every incident that is not closed.
func (r *Responder) tellOpen(ctx context.Context, text string) error {
	n := news{}
	for _, in := range r.incidents.All() {
		if told := r.told[in.ID]; told != "" && told != StateClosed {
			n.shout(in.ID, line{head: text})
		}
	}
	return r.spread(ctx, n)
}
