package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
)

// Deployer is the part of the tenant's API that preparing needs.
type Deployer interface {
	API
	Action(ctx context.Context, id string) (auth0.Action, error)
	Triggers(ctx context.Context) (map[string]auth0.Trigger, error)
	CreateAction(ctx context.Context, d auth0.ActionDraft, op string) error
	UpdateAction(ctx context.Context, id string, d auth0.ActionDraft, op string) error
	DeployAction(ctx context.Context, id, op string) error
}

// Status is how a tenant has one template.
type Status struct {
	*Want
	Condition Condition
	Place     int           // in the flow, counted from 1; 0 when it is not bound
	Action    *auth0.Action // nil when there is none
}

// Other is an Action of somebody else in a flow that ours go into.
type Other struct {
	Trigger string
	Name    string
	Place   int // counted from 1
}

// View is how a tenant has all templates, and what else is in their flows.
type View struct {
	Statuses []Status
	Others   []Other
}

// Look reads how a tenant has the templates.
func Look(ctx context.Context, api API, wants []*Want) (View, error) {
	var v View
	all, err := api.Actions(ctx)
	if err != nil {
		return v, err
	}
	places := map[*Want]int{}
	for _, trigger := range triggersOf(wants) {
		flow, err := api.Flow(ctx, trigger)
		if errors.Is(err, auth0.ErrNotFound) {
			continue // the tenant does not have the trigger
		}
		if err != nil {
			return v, err
		}
		for i, l := range linksOf(flow, wants) {
			if l.want != nil {
				places[l.want] = i + 1
			} else {
				v.Others = append(v.Others, Other{trigger, l.name, i + 1})
			}
		}
	}
	for _, w := range wants {
		a := byName(all, w.Name())
		v.Statuses = append(v.Statuses, Status{Want: w, Condition: w.condition(a), Place: places[w], Action: a})
	}
	return v, nil
}

// Deed is what is done to prepare one template.
type Deed string

// The deeds.
const (
	Create  Deed = "create"  // make the Action, and deploy it
	Update  Deed = "update"  // write its draft anew, and deploy it
	Deploy  Deed = "deploy"  // deploy the draft that is there
	Nothing Deed = "nothing" // it is prepared
	Skip    Deed = "skip"    // it cannot be prepared, or must not be without force
)

// Step is the plan for one template.
type Step struct {
	Status
	Do  Deed
	Why string // for people
}

// Plan says what preparing would do. With force it also writes Actions anew that
// are bound, that somebody edited, or that differ in nothing.
func Plan(v View, force bool) []Step {
	steps := make([]Step, len(v.Statuses))
	for i, s := range v.Statuses {
		steps[i] = Step{Status: s}
		steps[i].Do, steps[i].Why = s.deed(force)
	}
	return steps
}

func (s Status) deed(force bool) (Deed, string) {
	draftIsIt := s.Action != nil && s.Code != "" && s.Action.Code == s.Code
	switch {
	case len(s.Missing) > 0:
		return Skip, "it needs a value for " + list(s.Missing)
	case s.Condition == Absent:
		return Create, "it is not there yet"
	case s.Condition == Foreign:
		return Skip, "an Action of this name was not made by us, or for another trigger"
	case s.Condition == Prepared && !force:
		return Nothing, "it is prepared"
	case s.edited(s.Action) && !force:
		return Skip, "somebody edited it: --force writes it anew"
	case s.Place > 0 && !force:
		return Skip, "it is bound, and a change would go live at once: --force does it all the same"
	case s.Condition == Undeployed && draftIsIt && s.Action.Status != auth0.ActionFailed:
		return Deploy, "it is built and not deployed"
	case s.Condition == Outdated && draftIsIt && s.Action.Status != auth0.ActionFailed && s.Action.Deployed.Code != s.Code && !force:
		return Deploy, "the draft is not deployed"
	}
	why := "its settings or its code changed"
	switch {
	case s.edited(s.Action):
		why = "somebody edited it"
	case s.Condition == Prepared:
		why = "it is written anew as asked"
	}
	return Update, why
}

func list(words []string) string {
	out := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			out += " and "
		default:
			out += ", "
		}
		out += w
	}
	return out
}

// Preparer carries out steps.
type Preparer struct {
	API     Deployer
	Op      control.Operation
	Poll    time.Duration // before the second look at a build, then longer each time, up to 2s; 200ms if zero
	Timeout time.Duration // for a build, and as long for a deployment; 1m if zero
}

var (
	// ErrBuild is wrapped when the tenant cannot build an Action, or does not in time.
	ErrBuild = errors.New("not built")
	// ErrNotDeployed is wrapped when a deployment was accepted and does not come into
	// force. What was deployed before still is.
	ErrNotDeployed = errors.New("not deployed")
)

// Do carries out one step. It never binds. After an error, plan anew: the next run
// goes on from where this one stopped.
func (p *Preparer) Do(ctx context.Context, s Step) error {
	switch s.Do {
	case Nothing, Skip:
		return nil
	case Create:
		if err := p.create(ctx, s.Want); err != nil {
			return err
		}
	case Update:
		draft, err := p.draft(ctx, s.Want)
		if err != nil {
			return err
		}
		if err := p.API.UpdateAction(ctx, s.Action.ID, draft, p.Op()); err != nil {
			return err
		}
	}
	return p.deploy(ctx, s.Want)
}

func (p *Preparer) draft(ctx context.Context, w *Want) (auth0.ActionDraft, error) {
	triggers, err := p.API.Triggers(ctx)
	if err != nil {
		return auth0.ActionDraft{}, err
	}
	t, ok := triggers[w.Trigger]
	if !ok {
		return auth0.ActionDraft{}, fmt.Errorf("the tenant has no trigger %s", w.Trigger)
	}
	return auth0.ActionDraft{Name: w.Name(), Trigger: w.Trigger, TriggerVersion: t.Version, Runtime: t.DefaultRuntime, Code: w.Code, Secrets: w.Secrets}, nil
}

// create makes the Action. When the answer is lost, or somebody was faster, it is
// there now.
func (p *Preparer) create(ctx context.Context, w *Want) error {
	draft, err := p.draft(ctx, w)
	if err != nil {
		return err
	}
	err = p.API.CreateAction(ctx, draft, p.Op())
	if !errors.Is(err, auth0.ErrUnknownOutcome) && !errors.Is(err, auth0.ErrConflict) {
		return err
	}
	all, listErr := p.API.Actions(ctx)
	if listErr != nil {
		return errors.Join(err, listErr)
	}
	if a := byName(all, w.Name()); a == nil || a.Code != w.Code {
		return err
	}
	return nil
}

// deploy waits for the build, deploys, and waits until that shows.
func (p *Preparer) deploy(ctx context.Context, w *Want) error {
	all, err := p.API.Actions(ctx)
	if err != nil {
		return err
	}
	found := byName(all, w.Name())
	if found == nil {
		return fmt.Errorf("%w: the Action %s does not show", ErrBuild, w.Name())
	}
	a, err := p.until(ctx, *found, func(a auth0.Action) bool { return a.Status == auth0.ActionBuilt || a.Status == auth0.ActionFailed })
	if err != nil {
		return err
	}
	switch {
	case a.Status != auth0.ActionBuilt:
		return fmt.Errorf("%w: the build of %s is %s: the tenant's dashboard says why", ErrBuild, w.Name(), a.Status)
	case a.Code != w.Code:
		return fmt.Errorf("%w: somebody changed %s at the same time", ErrNotDeployed, w.Name())
	}
	before := 0
	if a.Deployed != nil {
		before = a.Deployed.Number
	}
	// Accepted is not done. After a lost answer the look tells all the same.
	if err := p.API.DeployAction(ctx, a.ID, p.Op()); err != nil && !errors.Is(err, auth0.ErrUnknownOutcome) {
		return err
	}
	a, err = p.until(ctx, a, func(a auth0.Action) bool { return a.Deployed != nil && a.Deployed.Number > before })
	if err != nil {
		return err
	}
	if a.Deployed == nil || a.Deployed.Number <= before || a.Deployed.Code != w.Code {
		return fmt.Errorf("%w: the deployment of %s was accepted and is not in force: the tenant's dashboard says why", ErrNotDeployed, w.Name())
	}
	return nil
}

// until reads an Action again until it is as asked, or time is up.
func (p *Preparer) until(ctx context.Context, a auth0.Action, done func(auth0.Action) bool) (auth0.Action, error) {
	wait, left := p.Poll, p.Timeout
	if wait == 0 {
		wait = 200 * time.Millisecond
	}
	if left == 0 {
		left = time.Minute
	}
	for ; !done(a) && left > 0; wait = min(2*wait, 2*time.Second) {
		left -= wait
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return a, ctx.Err()
		case <-timer.C:
		}
		var err error
		if a, err = p.API.Action(ctx, a.ID); err != nil {
			return a, err
		}
	}
	return a, nil
}

// NeededScopes are what preparing and holding need.
var NeededScopes = []string{"read:actions", "create:actions", "update:actions"}

// MissingScopes are those of needed that were not granted.
func MissingScopes(granted, needed []string) []string {
	return slices.DeleteFunc(slices.Clone(needed), func(s string) bool { return slices.Contains(granted, s) })
}
