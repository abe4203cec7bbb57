package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// A flow is replaced as a whole, and the API has no way to say which one was meant.
// What somebody changes in it between our read and our write is gone, and no look
// shows it: only the tenant's log has it. What they chose is put back then.

// carried is what our latest write of a flow carried along.
type carried struct {
	From   time.Time `json:"from"`            // when the flow was read, by the tenant's clock, to the second below
	Until  time.Time `json:"until,omitzero"`  // the write was over by then; zero while nobody has looked since
	Others []theirs  `json:"others"`          // the Actions of others, in order
	Buried *buried   `json:"buried,omitzero"` // what somebody chose meanwhile
}

// theirs is an Action of somebody else in a flow.
type theirs struct {
	ActionID string `json:"action_id"`
	Display  string `json:"display"`
}

// buried is a change of others' Actions that our write undid.
type buried struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Others []theirs  `json:"others"`
}

const (
	// carriedKey is where it is kept in the store.
	carriedKey = Name + "-flows"
	// carriedLife is how long lines of the log about it may still come.
	carriedLife = 24 * time.Hour
	// writeLife is how long a write may take that nobody saw the end of.
	writeLife = 2 * time.Minute
)

// othersOf are the Actions of others in a flow, in order.
func othersOf(bindings []auth0.Binding, wants []*Want) []theirs {
	out := []theirs{}
	for i, l := range linksOf(auth0.Flow{Bindings: bindings}, wants) {
		if l.want == nil {
			out = append(out, theirs{bindings[i].ActionID, bindings[i].DisplayName})
		}
	}
	return out
}

// sameActions compares the Actions alone: a name that is shown is no reason to write.
func sameActions(a, b []theirs) bool {
	return slices.EqualFunc(a, b, func(x, y theirs) bool { return x.ActionID == y.ActionID })
}

// ledger is what was carried along, by trigger. It is used by one goroutine.
type ledger struct {
	store  control.Store
	flows  map[string]*carried
	loaded bool
}

func (g *ledger) load(ctx context.Context) error {
	if g.loaded {
		return nil
	}
	g.flows = map[string]*carried{}
	data, ok, err := g.store.Get(ctx, carriedKey)
	if err == nil && ok {
		err = json.Unmarshal(data, &g.flows)
	}
	if err != nil {
		return fmt.Errorf("%w: load what was written of flows: %w", control.ErrStore, err)
	}
	g.loaded = true
	return nil
}

func (g *ledger) save(ctx context.Context) error {
	return control.Save(ctx, g.store, carriedKey, g.flows, len(g.flows) == 0)
}

// prune forgets what no line of the log can concern any more.
func (g *ledger) prune(ctx context.Context, now time.Time) error {
	for trigger, c := range g.flows {
		if c.Buried == nil && now.Sub(c.From) > carriedLife {
			delete(g.flows, trigger)
		}
	}
	return g.save(ctx)
}

// over notes that a write of a flow was over when the flow was read at a time.
func (g *ledger) over(trigger string, at time.Time) {
	if c := g.flows[trigger]; c != nil && c.Until.IsZero() && !at.Before(c.From) {
		c.Until = at.Add(time.Second)
	}
}

// hear notes a change of others' Actions that a write of ours undid.
func (g *ledger) hear(ctx context.Context, trigger string, after []theirs, ln control.Line) error {
	if err := g.load(ctx); err != nil {
		return err
	}
	c := g.flows[trigger]
	if c == nil || ln.Whose != hold.Theirs {
		return nil
	}
	until := c.Until
	if until.IsZero() {
		until = c.From.Add(writeLife)
	}
	if ln.At.Before(c.From) || ln.At.After(until) || c.Buried != nil && ln.At.Before(c.Buried.At) {
		return nil
	}
	c.Buried = &buried{By: ln.By, At: ln.At, Others: after}
	if sameActions(after, c.Others) {
		c.Buried = nil // we had read it
	}
	return g.save(ctx)
}

// putBack writes the flows that a write of ours undid as somebody had chosen them,
// with ours where they are asked for. A flow that somebody changed since is left.
func (s *setting) putBack(ctx context.Context, op control.Operation, rep *control.Report) error {
	for _, trigger := range triggersOf(s.wants) {
		c := s.ledger.flows[trigger]
		if c == nil || c.Buried == nil {
			continue
		}
		flow, err := s.api.Flow(ctx, trigger)
		if err != nil {
			return fmt.Errorf("read the flow of %s: %w", trigger, err)
		}
		if sameActions(othersOf(flow.Bindings, s.wants), c.Others) {
			done := "it is put back as they chose"
			err := s.restore(ctx, trigger, flow, c.Buried, op())
			switch {
			case errors.Is(err, auth0.ErrNotFound), errors.Is(err, auth0.ErrInvalid), errors.Is(err, auth0.ErrForbidden):
				done = "it cannot be put back as they chose: " + err.Error()
			case err != nil:
				return fmt.Errorf("put the flow of %s back as %s chose it: %w", trigger, c.Buried.By, err)
			}
			rep.Notes = append(rep.Notes, fmt.Sprintf("the flow of %s was changed by %s, to %s, in the moment in which we wrote it: %s",
				trigger, c.Buried.By, shown(c.Buried.Others), done))
		}
		c.Buried = nil
		if err := s.ledger.save(ctx); err != nil {
			return err
		}
	}
	return nil
}

// shown is a flow for people.
func shown(list []theirs) string {
	if len(list) == 0 {
		return "nothing"
	}
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.Display
	}
	return strings.Join(out, ", ")
}

// restore writes a flow: others as they were chosen, and ours that are in it now.
func (s *setting) restore(ctx context.Context, trigger string, flow auth0.Flow, b *buried, op string) error {
	byAction := map[string]auth0.Binding{}
	for _, x := range flow.Bindings {
		byAction[x.ActionID] = x
	}
	links, ids := []link{}, map[string]string{}
	for _, t := range b.Others {
		links = append(links, link{name: t.ActionID, display: t.Display})
		ids[t.ActionID] = t.ActionID
	}
	for i, l := range linksOf(flow, s.wants) {
		if l.want != nil && !has(links, l.want) {
			links = insert(links, l.want)
			ids[l.name] = flow.Bindings[i].ActionID
		}
	}
	var refs []auth0.BindingRef
	for _, l := range links {
		ref := auth0.BindingRef{BindingID: byAction[ids[l.name]].ID, DisplayName: l.display}
		if ref.BindingID == "" {
			ref.ActionID = ids[l.name]
		}
		refs = append(refs, ref)
	}
	s.remember(op, nil) // it changes nothing of ours
	return s.api.SetBindings(ctx, trigger, refs, op)
}
