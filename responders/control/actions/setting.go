package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// API is the part of the tenant's API that the control needs.
type API interface {
	Actions(ctx context.Context) ([]auth0.Action, error)
	Flow(ctx context.Context, trigger string) (auth0.Flow, error)
	SetBindings(ctx context.Context, trigger string, refs []auth0.BindingRef, op string) error
}

// What a template can be in its flow, the weaker first.
const (
	unbound hold.Value = `"unbound"`
	bound   hold.Value = `"bound"`
)

var order = hold.Ordinal{unbound, bound}

// setting shows the flows of a tenant as one object with a field for each template.
// It is used by one goroutine.
type setting struct {
	api    API
	wants  []*Want
	ledger *ledger
	wrote  map[string]map[string]hold.Value // what our latest writes changed, by correlation id
	ops    []string                         // their ids, oldest first
}

// rememberedOps is how many of our writes are told apart in the log.
const rememberedOps = 200

// Read tells of each template whether it is bound. One whose Action is gone, or
// was given another name, is not.
func (s *setting) Read(ctx context.Context, _ string) (control.State, error) {
	state := control.State{}
	fields := map[string]hold.Value{}
	for _, trigger := range triggersOf(s.wants) {
		flow, err := s.api.Flow(ctx, trigger)
		if errors.Is(err, auth0.ErrNotFound) {
			continue // the tenant does not have the trigger
		}
		if err != nil {
			return state, control.Explain(err)
		}
		if state.At.IsZero() {
			state.At = flow.At // the first: what is read later is no older
		}
		s.ledger.over(trigger, flow.At)
		s.describe(fields, trigger, linksOf(flow, s.wants))
	}
	doc, err := json.Marshal(control.Object(fields))
	state.Doc = doc
	return state, err
}

// describe adds the fields of a trigger's templates.
func (s *setting) describe(fields map[string]hold.Value, trigger string, flow []link) {
	for _, w := range s.wants {
		if w.Trigger != trigger {
			continue
		}
		fields[w.ID] = unbound
		if has(flow, w) {
			fields[w.ID] = bound
		}
	}
}

// Told reads what a line of the log says of a flow. The API replaces flows as a
// whole, so what is in one may only have been carried along: somebody who moves
// their own Actions has chosen nothing about ours. That one of ours is missing they
// did choose.
func (s *setting) Told(ln control.Line) (string, json.RawMessage, bool) {
	trigger, after, ok := s.flowTold(ln)
	if !ok {
		return "", nil, false
	}
	fields := map[string]hold.Value{}
	s.describe(fields, trigger, linksOf(auth0.Flow{Bindings: after}, s.wants))
	ours, known := s.wrote[ln.Op]
	maps.DeleteFunc(fields, func(id string, v hold.Value) bool {
		if ln.Whose == hold.Theirs {
			return v == bound
		}
		_, changed := ours[id]
		return known && !changed
	})
	chosen, err := json.Marshal(control.Object(fields))
	return "", chosen, err == nil
}

// flowTold reads the flow that a line of the log tells of, as it is after it.
func (s *setting) flowTold(ln control.Line) (trigger string, after []auth0.Binding, ok bool) {
	for _, t := range triggersOf(s.wants) {
		if control.SamePath(ln.Path, auth0.BindingsPath(t)) {
			trigger = t
		}
	}
	if trigger == "" || !strings.EqualFold(ln.Method, http.MethodPatch) {
		return "", nil, false
	}
	var body struct {
		Bindings *[]auth0.Binding `json:"bindings"`
	}
	if json.Unmarshal(ln.Response, &body) != nil || body.Bindings == nil {
		return "", nil, false
	}
	return trigger, *body.Bindings, true
}

// remember notes what a write changes, so that its line in the log can be read.
func (s *setting) remember(op string, fields map[string]hold.Value) {
	if s.wrote == nil {
		s.wrote = map[string]map[string]hold.Value{}
	}
	s.wrote[op] = fields
	if s.ops = append(s.ops, op); len(s.ops) > rememberedOps {
		delete(s.wrote, s.ops[0])
		s.ops = s.ops[1:]
	}
}

// change is the new flow of one trigger.
type change struct {
	trigger string
	refs    []auth0.BindingRef
	read    time.Time // when the flow was read that it is made of
	others  []theirs  // what it carries along
}

// Write binds and unbinds templates. Each flow is read again just before, and
// what others have in it stays as it is and where it is: the API replaces the whole
// flow, and has no way to say which one was meant. Only when nothing at all was
// written the error wraps [control.ErrUnsupported] or [control.ErrNotApplied].
func (s *setting) Write(ctx context.Context, _ string, _ control.State, fields map[string]hold.Value, op string) error {
	s.remember(op, fields)
	var changes []change
	for _, trigger := range triggersOf(s.wants) {
		c, differs, err := s.rebuild(ctx, trigger, fields)
		if err != nil {
			return err
		}
		if differs {
			changes = append(changes, c)
		}
	}
	for _, c := range changes {
		s.ledger.flows[c.trigger] = &carried{From: c.read, Others: c.others}
	}
	if err := s.ledger.save(ctx); err != nil {
		return err
	}
	for i, c := range changes {
		err := s.api.SetBindings(ctx, c.trigger, c.refs, op)
		if err != nil && i > 0 {
			return fmt.Errorf("the flow of %s was written, that of %s not: %s", changes[0].trigger, c.trigger, err)
		}
		if errors.Is(err, auth0.ErrNotFound) {
			return fmt.Errorf("%w: the flow of %s changed in this moment: %w", control.ErrNotApplied, c.trigger, err)
		}
		if err != nil {
			return control.Explain(err)
		}
	}
	return nil
}

// rebuild is the flow of a trigger as it is now, with ours taken out or put in.
func (s *setting) rebuild(ctx context.Context, trigger string, fields map[string]hold.Value) (c change, differs bool, err error) {
	var mine []*Want
	for _, w := range s.wants {
		if w.Trigger == trigger && fields[w.ID] != "" {
			mine = append(mine, w)
		}
	}
	if len(mine) == 0 {
		return c, false, nil
	}
	flow, err := s.api.Flow(ctx, trigger)
	if err != nil {
		return c, false, fmt.Errorf("%w: %w", control.ErrNotApplied, err)
	}
	before := linksOf(flow, s.wants)
	after := rebuilt(before, mine, fields)
	if len(after) > auth0.MaxBindings {
		return c, false, fmt.Errorf("%w: %s has %d Actions already, and takes %d", control.ErrUnsupported, trigger, len(before), auth0.MaxBindings)
	}
	if len(before) == len(after) && !slices.ContainsFunc(mine, func(w *Want) bool { return has(before, w) != has(after, w) }) {
		return c, false, nil
	}
	ids, err := s.actionIDs(ctx, before, after)
	if err != nil {
		return c, false, err
	}
	c.trigger, c.read, c.others = trigger, flow.At, othersOf(flow.Bindings, s.wants)
	for _, l := range after {
		ref := auth0.BindingRef{DisplayName: l.display}
		if i := slices.IndexFunc(before, func(b link) bool { return b == l }); i >= 0 {
			ref.BindingID = flow.Bindings[i].ID
		} else {
			ref.ActionID = ids[l.name]
		}
		c.refs = append(c.refs, ref)
	}
	return c, true, nil
}

// rebuilt takes out of a flow and puts into it what fields say of ours.
func rebuilt(flow []link, mine []*Want, fields map[string]hold.Value) []link {
	flow = slices.DeleteFunc(slices.Clone(flow), func(l link) bool { return l.want != nil && fields[l.want.ID] == unbound })
	mine = slices.Clone(mine)
	slices.SortFunc(mine, rank)
	for _, w := range mine {
		if fields[w.ID] == bound && !has(flow, w) {
			flow = insert(flow, w)
		}
	}
	return flow
}

func has(flow []link, w *Want) bool {
	return slices.ContainsFunc(flow, func(l link) bool { return l.want == w })
}

// actionIDs are the ids of the Actions that are new in a flow. One that is not as
// it was prepared is not bound, whatever was known of it before.
func (s *setting) actionIDs(ctx context.Context, before, after []link) (map[string]string, error) {
	ids := map[string]string{}
	var all []auth0.Action
	for _, l := range after {
		if l.want == nil || has(before, l.want) {
			continue
		}
		if all == nil {
			var err error
			if all, err = s.api.Actions(ctx); err != nil {
				return nil, fmt.Errorf("%w: %w", control.ErrNotApplied, err)
			}
		}
		a := byName(all, l.name)
		if why := l.want.refusal(l.want.condition(a)); why != "" {
			return nil, fmt.Errorf("%w: %s", control.ErrUnsupported, why)
		}
		ids[l.name] = a.ID
	}
	return ids, nil
}
