package auth0

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/auth0/go-auth0/v3/management"
	"github.com/auth0/go-auth0/v3/management/option"
)

// Action is one Action of the tenant: a draft, and the version that is deployed.
type Action struct {
	// ID is the tenant's.
	ID string
	// Name is unique in the tenant.
	Name string
	// Trigger is the one that it is for, such as post-login.
	Trigger string
	// Code is the draft's.
	Code string
	// Status is of the draft's build: pending, building, packaged, built, retrying or failed.
	Status string
	// Secrets are the names of the draft's secrets; the API never tells their values.
	Secrets []string
	// Deployed is the version in force; nil if there is none.
	Deployed *ActionVersion
	// AllDeployed tells that the draft is what is deployed.
	AllDeployed bool
	// Raw is the whole object as the tenant sent it.
	Raw json.RawMessage
}

// ActionVersion is what of an Action was deployed at one time.
type ActionVersion struct {
	ID     string
	Number int
	Code   string
	// Status is of its build, as an Action's.
	Status string
}

// The ends of a build.
const (
	ActionBuilt  = "built"
	ActionFailed = "failed"
)

// ActionDraft is what an Action is made of.
type ActionDraft struct {
	Name    string
	Trigger string
	// TriggerVersion is as Triggers tells it.
	TriggerVersion string
	Runtime        string // the trigger's default if empty
	Code           string
	Secrets        map[string]string // all of them: those that are left out are gone
}

// Trigger is a point at which the tenant runs Actions.
type Trigger struct {
	ID, Version, DefaultRuntime string
}

// Binding is one Action's place in the flow of a trigger.
type Binding struct {
	ID          string
	DisplayName string
	ActionID    string
	ActionName  string
}

// Auth0's limits on Actions.
const (
	// MaxBindings is how many Actions a trigger takes.
	MaxBindings = 20
	// MaxActionCode is how long an Action's code may be, in bytes.
	MaxActionCode = 100_000
	// MaxActionSecret is how long the value of one secret may be, in bytes.
	MaxActionSecret = 4096
)

const (
	actionsPath    = apiPath + "/actions/actions"
	triggersPath   = apiPath + "/actions/triggers"
	actionPage     = 100
	maxActionPages = 50 // ends a listing that never ends; Auth0 allows a hundred Actions
)

// BindingsPath is the API's path of the flow of a trigger, as the log tells it.
func BindingsPath(trigger string) string { return triggersPath + "/" + trigger + "/bindings" }

// UnmarshalJSON reads the API's form and keeps it in Raw.
func (a *Action) UnmarshalJSON(data []byte) error {
	var in struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Triggers []struct {
			ID string `json:"id"`
		} `json:"supported_triggers"`
		Code    string `json:"code"`
		Status  string `json:"status"`
		Secrets []struct {
			Name string `json:"name"`
		} `json:"secrets"`
		Deployed *struct {
			ID     string  `json:"id"`
			Number float64 `json:"number"`
			Code   string  `json:"code"`
			Status string  `json:"status"`
		} `json:"deployed_version"`
		All bool `json:"all_changes_deployed"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*a = Action{ID: in.ID, Name: in.Name, Code: in.Code, Status: in.Status, AllDeployed: in.All, Raw: bytes.Clone(data)}
	if len(in.Triggers) > 0 {
		a.Trigger = in.Triggers[0].ID
	}
	for _, s := range in.Secrets {
		a.Secrets = append(a.Secrets, s.Name)
	}
	if d := in.Deployed; d != nil && d.ID != "" {
		a.Deployed = &ActionVersion{ID: d.ID, Number: int(d.Number), Code: d.Code, Status: d.Status}
	}
	return nil
}

// UnmarshalJSON reads the API's form.
func (b *Binding) UnmarshalJSON(data []byte) error {
	var in struct {
		ID          string `json:"id"`
		DisplayName string `json:"display_name"`
		Action      struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"action"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*b = Binding{ID: in.ID, DisplayName: in.DisplayName, ActionID: in.Action.ID, ActionName: in.Action.Name}
	return nil
}

// Actions reads all Actions of the tenant, bound or not; scope read:actions.
func (c *Client) Actions(ctx context.Context) ([]Action, error) {
	call := call{"list Actions", http.MethodGet, actionsPath}
	return listed(ctx, c, call, "actions", func(a Action) string { return a.ID }, func(ctx context.Context, page int) error {
		_, err := c.api.Actions.List(ctx, &management.ListActionsRequestParameters{Page: management.Int(page), PerPage: management.Int(actionPage)})
		return err
	})
}

// Flow is what a trigger runs.
type Flow struct {
	Bindings []Binding // in the order of execution
	// At is when the tenant answered, by the tenant's own clock, to the second below.
	At time.Time
}

// Flow reads what a trigger runs; scope read:actions.
func (c *Client) Flow(ctx context.Context, trigger string) (Flow, error) {
	call := call{"list the Actions bound to " + trigger, http.MethodGet, BindingsPath(trigger)}
	if err := checkTrigger(trigger); err != nil {
		return Flow{}, c.refuse(call, err)
	}
	id := management.ActionTriggerTypeEnum(trigger)
	list, at, err := listedAt(ctx, c, call, "bindings", func(b Binding) string { return b.ID }, func(ctx context.Context, page int) error {
		_, err := c.api.Actions.Triggers.Bindings.List(ctx, &id,
			&management.ListActionTriggerBindingsRequestParameters{Page: management.Int(page), PerPage: management.Int(actionPage)})
		return err
	})
	return Flow{list, at}, err
}

// listed reads all pages of a list that stands under a key beside its total.
func listed[T any](ctx context.Context, c *Client, call call, key string, id func(T) string, fetch func(ctx context.Context, page int) error) ([]T, error) {
	all, _, err := listedAt(ctx, c, call, key, id, fetch)
	return all, err
}

// listedAt is listed, and tells when the first page was answered.
func listedAt[T any](ctx context.Context, c *Client, call call, key string, id func(T) string, fetch func(ctx context.Context, page int) error) ([]T, time.Time, error) {
	var all []T
	var at time.Time
	seen := map[string]bool{}
	for page := range maxActionPages {
		got, err := c.answer(ctx, call, func(ctx context.Context) error { return fetch(ctx, page) })
		if err != nil {
			return nil, at, err
		}
		if page == 0 {
			at = got.at
		}
		list, total, err := onePage[T](got.body, key)
		if err != nil {
			return nil, at, c.unreadable(call, err)
		}
		added := 0
		for _, v := range list {
			// One that moved to another page while we read is listed twice.
			if !seen[id(v)] {
				seen[id(v)] = true
				all = append(all, v)
				added++
			}
		}
		if added == 0 || len(all) >= total {
			return all, at, nil
		}
	}
	return nil, at, c.unreadable(call, fmt.Errorf("it goes on after %d pages", maxActionPages))
}

func onePage[T any](body []byte, key string) (list []T, total int, err error) {
	var members map[string]json.RawMessage
	if err := decodeObject(body, &members); err != nil {
		return nil, 0, err
	}
	if err := json.Unmarshal(orNull(members[key]), &list); err != nil {
		return nil, 0, err
	}
	if list == nil {
		return nil, 0, errors.New("it has no " + key)
	}
	err = json.Unmarshal(orNull(members["total"]), &total)
	return list, total, err
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// Action reads one Action; scope read:actions. ErrNotFound if there is none.
func (c *Client) Action(ctx context.Context, id string) (Action, error) {
	call := call{"read an Action", http.MethodGet, actionsPath + "/" + id}
	if err := checkActionID(id); err != nil {
		return Action{}, c.refuse(call, err)
	}
	body, err := c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.Actions.Get(ctx, id)
		return err
	})
	if err != nil {
		return Action{}, err
	}
	var a Action
	if err := decodeObject(body, &a); err != nil {
		return Action{}, c.unreadable(call, err)
	}
	return a, nil
}

// Triggers reads the triggers that the tenant has, by id, with their versions and runtimes; scope read:actions.
func (c *Client) Triggers(ctx context.Context) (map[string]Trigger, error) {
	call := call{"list the triggers of Actions", http.MethodGet, triggersPath}
	body, err := c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.Actions.Triggers.List(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	var in struct {
		Triggers []struct {
			ID      string `json:"id"`
			Version string `json:"version"`
			Status  string `json:"status"`
			Runtime string `json:"default_runtime"`
		} `json:"triggers"`
	}
	if err := decodeObject(body, &in); err != nil {
		return nil, c.unreadable(call, err)
	}
	out := map[string]Trigger{}
	for _, t := range in.Triggers {
		// An older version of the same trigger is listed beside the current one.
		if _, have := out[t.ID]; !have || t.Status == "CURRENT" {
			out[t.ID] = Trigger{ID: t.ID, Version: t.Version, DefaultRuntime: t.Runtime}
		}
	}
	return out, nil
}

func (d ActionDraft) fields() map[string]any {
	secrets := []map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(d.Secrets)) {
		secrets = append(secrets, map[string]string{"name": name, "value": d.Secrets[name]})
	}
	fields := map[string]any{"code": d.Code, "secrets": secrets, "dependencies": []any{}}
	if d.Runtime != "" {
		fields["runtime"] = d.Runtime
	}
	return fields
}

func (d ActionDraft) check() error {
	if len(d.Code) > MaxActionCode {
		return fmt.Errorf("%w: the code has %d bytes, at most %d are allowed", ErrInvalid, len(d.Code), MaxActionCode)
	}
	for name, value := range d.Secrets {
		if value == "" || len(value) > MaxActionSecret {
			return fmt.Errorf("%w: secret %s has %d bytes, 1 to %d are allowed", ErrInvalid, name, len(value), MaxActionSecret)
		}
	}
	return nil
}

// hide keeps the values of secrets out of errors that repeat what was sent.
func (c *Client) hide(secrets map[string]string) {
	for _, value := range secrets {
		c.secrets.add(value)
	}
}

// CreateAction makes an Action that is neither deployed nor bound; scope create:actions. After ErrUnknownOutcome list the
// Actions and look for its name. ErrConflict if the name is taken, or the tenant has as many as it may. op is as in
// PatchBotDetection.
func (c *Client) CreateAction(ctx context.Context, d ActionDraft, op string) error {
	call := call{"create an Action", http.MethodPost, actionsPath}
	err := d.check()
	if err == nil {
		err = checkTrigger(d.Trigger)
	}
	if err == nil && d.Name == "" {
		err = fmt.Errorf("%w: the Action has no name", ErrInvalid)
	}
	if err == nil {
		err = checkOp(op)
	}
	if err != nil {
		return c.refuse(call, err)
	}
	c.hide(d.Secrets)
	fields := d.fields()
	fields["name"] = d.Name
	fields["supported_triggers"] = []any{map[string]string{"id": d.Trigger, "version": d.TriggerVersion}}
	_, err = c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.Actions.Create(ctx, nil, option.WithBodyProperties(fields), correlation(op))
		return err
	})
	return err
}

// UpdateAction replaces code, runtime and secrets of an Action's draft; what is deployed stays in force; scope
// update:actions. op is as in PatchBotDetection.
func (c *Client) UpdateAction(ctx context.Context, id string, d ActionDraft, op string) error {
	call := call{"update an Action", http.MethodPatch, actionsPath + "/" + id}
	err := d.check()
	if err == nil {
		err = checkActionID(id)
	}
	if err == nil {
		err = checkOp(op)
	}
	if err != nil {
		return c.refuse(call, err)
	}
	c.hide(d.Secrets)
	_, err = c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.Actions.Update(ctx, id, nil, option.WithBodyProperties(d.fields()), correlation(op))
		return err
	})
	return err
}

// DeployAction asks that the draft become the version in force, at once also where the Action is bound; scope
// create:actions. It is eventual: read the Action until it shows. ErrInvalid if the draft is not built. op is as in
// PatchBotDetection.
func (c *Client) DeployAction(ctx context.Context, id, op string) error {
	call := call{"deploy an Action", http.MethodPost, actionsPath + "/" + id + "/deploy"}
	err := checkActionID(id)
	if err == nil {
		err = checkOp(op)
	}
	if err != nil {
		return c.refuse(call, err)
	}
	_, err = c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.Actions.Deploy(ctx, id, correlation(op))
		return err
	})
	return err
}

// BindingRef names a place in a flow: a binding that there is, by its id, or else an Action that gets one.
type BindingRef struct {
	BindingID   string
	ActionID    string
	DisplayName string
}

// SetBindings replaces the whole flow of a trigger: what refs do not name is bound no more; scope update:actions. The API
// has no way to tell that the flow changed since it was read. op is as in PatchBotDetection.
func (c *Client) SetBindings(ctx context.Context, trigger string, refs []BindingRef, op string) error {
	call := call{"change the Actions bound to " + trigger, http.MethodPatch, BindingsPath(trigger)}
	err := checkTrigger(trigger)
	if err == nil && len(refs) > MaxBindings {
		err = fmt.Errorf("%w: %d Actions are more than the %d that a trigger takes", ErrInvalid, len(refs), MaxBindings)
	}
	if err == nil {
		err = checkOp(op)
	}
	if err != nil {
		return c.refuse(call, err)
	}
	list := []any{} // never null: it is the whole flow
	for _, r := range refs {
		ref := map[string]string{"type": "binding_id", "value": r.BindingID}
		if r.BindingID == "" {
			ref = map[string]string{"type": "action_id", "value": r.ActionID}
		}
		list = append(list, map[string]any{"ref": ref, "display_name": r.DisplayName})
	}
	id := management.ActionTriggerTypeEnum(trigger)
	_, err = c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.Actions.Triggers.Bindings.UpdateMany(ctx, &id, nil, option.WithBodyProperties(map[string]any{"bindings": list}), correlation(op))
		return err
	})
	return err
}

var (
	actionID    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	triggerName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
)

func checkActionID(id string) error {
	if !actionID.MatchString(id) {
		return fmt.Errorf("%w: %q is not the id of an Action", ErrInvalid, id)
	}
	return nil
}

func checkTrigger(name string) error {
	if !triggerName.MatchString(name) {
		return fmt.Errorf("%w: %q is not a trigger", ErrInvalid, name)
	}
	return nil
}
