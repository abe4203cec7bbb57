package tenantsim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Auth0's limits on Actions.
const (
	maxActions       = 100
	maxActionCode    = 100_000
	maxVersions      = 50
	maxSecrets       = 30
	maxSecretName    = 128
	maxSecretValue   = 4096
	maxDependencies  = 10
	defaultRuntime   = "node22"
	defaultBuildTime = 2
)

// actionTriggers are the triggers that the simulated tenant has, with their versions.
var actionTriggers = map[string]string{
	"post-login": "v3", "credentials-exchange": "v2", "pre-user-registration": "v2", "post-user-registration": "v2",
	"post-change-password": "v2", "send-phone-message": "v2", "password-reset-post-challenge": "v1", "custom-phone-provider": "v1",
}

// singleTriggers accept one Action.
var singleTriggers = map[string]bool{"custom-phone-provider": true}

// action is one Action: a draft that is built, and versions of which one may be deployed.
type action struct {
	id, name, trigger string
	draft             actionContent
	status            string // of the draft: pending, building, built or failed
	reads             int    // until the status moves on
	fails             bool   // the build ends as failed
	created, updated  time.Time

	versions []*actionVersion // oldest first
	deployed *actionVersion   // nil before the first deployment
	rolling  *actionVersion   // accepted and not yet deployed
	rollFor  int              // reads until it is
}

// actionContent is what a draft and its versions hold.
type actionContent struct {
	code, runtime string
	dependencies  []any
	secrets       []actionSecret
}

type actionSecret struct {
	name    string
	updated time.Time
}

type actionVersion struct {
	id      string
	number  int
	content actionContent
	status  string
	created time.Time
}

// binding is one Action's place in the flow of a trigger.
type binding struct {
	id, display string
	action      *action
	created     time.Time
}

func (c actionContent) json() map[string]any {
	secrets := []any{}
	for _, s := range c.secrets {
		secrets = append(secrets, map[string]any{"name": s.name, "updated_at": formatDate(s.updated)})
	}
	return map[string]any{"code": c.code, "runtime": c.runtime, "dependencies": cloneAny(orEmptyList(c.dependencies)), "secrets": secrets}
}

func orEmptyList(l []any) []any {
	if l == nil {
		return []any{}
	}
	return l
}

func (a *action) triggers() []any {
	return []any{map[string]any{"id": a.trigger, "version": actionTriggers[a.trigger]}}
}

// allDeployed reports whether the draft is what is deployed.
func (a *action) allDeployed() bool {
	d := a.deployed
	return d != nil && d.content.code == a.draft.code && d.content.runtime == a.draft.runtime && slices.Equal(d.content.secrets, a.draft.secrets)
}

func (a *action) json() map[string]any {
	out := a.draft.json()
	maps.Copy(out, map[string]any{
		"id": a.id, "name": a.name, "supported_triggers": a.triggers(), "status": a.status, "all_changes_deployed": a.allDeployed(),
		"created_at": formatDate(a.created), "updated_at": formatDate(a.updated),
	})
	if a.deployed != nil {
		out["deployed_version"] = a.versionJSON(a.deployed)
	}
	return out
}

func (a *action) versionJSON(v *actionVersion) map[string]any {
	out := v.content.json()
	maps.Copy(out, map[string]any{
		"id": v.id, "action_id": a.id, "number": v.number, "deployed": v == a.deployed, "status": v.status, "errors": []any{},
		"created_at": formatDate(v.created), "supported_triggers": a.triggers(),
	})
	if v.status == "failed" {
		out["errors"] = []any{map[string]any{"id": "build_failed", "msg": "the build failed (injected fault)"}}
	}
	return out
}

// look is one read of an Action by a client: builds and deployments go on between reads, so that no test waits for a
// clock.
func (a *action) look() {
	if a.status == "pending" || a.status == "building" {
		if a.reads--; a.reads > 0 {
			a.status = "building"
		} else if a.status = "built"; a.fails {
			a.status = "failed"
		}
	}
	if a.rolling == nil {
		return
	}
	if a.rollFor--; a.rollFor > 0 {
		a.rolling.status = "building"
		return
	}
	if a.rolling.status != "failed" {
		a.rolling.status = "built"
		a.deployed = a.rolling
	}
	a.rolling = nil
}

var actionFields = fields{
	"name": isText(1, 255), "code": isText(0, maxActionCode), "runtime": oneOf("node22", "node18"), "deploy": isBool,
	"supported_triggers": listOf(1, func(v any) string {
		return fields{"id": oneOf(sortedKeys(actionTriggers)...), "version": isText(1, 16)}.check(v)
	}),
	"dependencies": listOf(maxDependencies, func(v any) string {
		return fields{"name": isText(1, 255), "version": isText(1, 255), "registry_url": isText(0, 255)}.check(v)
	}),
	"secrets": listOf(maxSecrets, func(v any) string {
		m, _ := v.(map[string]any)
		if text := (fields{"name": isText(1, maxSecretName), "value": isText(0, maxSecretValue)}).check(v); text != "" {
			return text
		}
		if _, ok := m["value"]; !ok {
			return "missing required property: value" // whether a value survives that is not sent is undocumented
		}
		return ""
	}),
	"modules": listOf(0, func(any) string { return "modules are not simulated" }),
}

func isText(least, most int) check {
	return func(v any) string {
		s, ok := v.(string)
		switch {
		case !ok:
			return "expected type string"
		case len(s) < least:
			return fmt.Sprintf("string is too short (%d chars), minimum %d", len(s), least)
		case len(s) > most:
			return fmt.Sprintf("string is too long (%d chars), maximum %d", len(s), most)
		}
		return ""
	}
}

func (t *Tenant) createAction(body map[string]any) (*action, *apiError) {
	if text := actionFields.check(body); text != "" {
		return nil, invalidBody("%s", text)
	}
	name, _ := body["name"].(string)
	triggers, _ := body["supported_triggers"].([]any)
	switch {
	case name == "":
		return nil, invalidBody("missing required property: name")
	case len(triggers) != 1:
		return nil, invalidBody("exactly one trigger is supported on property supported_triggers")
	case len(t.actions) >= maxActions:
		return nil, &apiError{status: http.StatusConflict, message: fmt.Sprintf("The maximum number of actions (%d) has been reached", maxActions)}
	case slices.ContainsFunc(t.actions, func(a *action) bool { return a.name == name }):
		return nil, &apiError{status: http.StatusConflict, message: "An action with this name already exists"}
	}
	trigger, _ := triggers[0].(map[string]any)
	id, _ := trigger["id"].(string)
	if v, _ := trigger["version"].(string); v != actionTriggers[id] {
		return nil, invalidBody("version %q of trigger %q is not supported (one of %s)", v, id, actionTriggers[id])
	}
	a := &action{id: t.uuid(), name: name, trigger: id, created: t.now}
	a.draft.runtime = defaultRuntime
	t.draftAction(a, body)
	t.actions = append(t.actions, a)
	if body["deploy"] == true {
		a.status = "built"
		t.startDeploy(a)
	}
	return a, nil
}

// draftAction sets the members of a body that was checked, and begins a build.
func (t *Tenant) draftAction(a *action, body map[string]any) {
	if v, ok := body["code"].(string); ok {
		a.draft.code = v
	}
	if v, ok := body["runtime"].(string); ok {
		a.draft.runtime = v
	}
	if v, ok := body["dependencies"].([]any); ok {
		a.draft.dependencies = cloneJSON(v)
	}
	if list, ok := body["secrets"].([]any); ok {
		a.draft.secrets = nil
		for _, v := range list {
			m, _ := v.(map[string]any)
			name, _ := m["name"].(string)
			a.draft.secrets = append(a.draft.secrets, actionSecret{name: name, updated: t.now})
		}
	}
	a.updated, a.status, a.reads = t.now, "pending", t.opts.ActionReads
	if a.fails = t.failBuilds > 0; a.fails {
		t.failBuilds--
	}
}

func (t *Tenant) changeAction(id string, body map[string]any) (*action, *apiError) {
	a, problem := t.findAction(id)
	if problem != nil {
		return nil, problem
	}
	if text := actionFields.check(body); text != "" {
		return nil, invalidBody("%s", text)
	}
	if _, ok := body["supported_triggers"]; ok && len(a.versions) > 0 {
		return nil, invalidBody("the trigger of a deployed action cannot be changed")
	}
	if name, ok := body["name"].(string); ok {
		if slices.ContainsFunc(t.actions, func(o *action) bool { return o != a && o.name == name }) {
			return nil, &apiError{status: http.StatusConflict, message: "An action with this name already exists"}
		}
		a.name = name
	}
	t.draftAction(a, body)
	return a, nil
}

// deployAction accepts a deployment; the version is in force some reads later, also where the Action is bound already.
func (t *Tenant) deployAction(id string) (*action, *actionVersion, *apiError) {
	a, problem := t.findAction(id)
	if problem != nil {
		return nil, nil, problem
	}
	if a.status != "built" {
		return nil, nil, &apiError{status: http.StatusBadRequest, message: fmt.Sprintf("The action is not built: its status is %s", a.status)}
	}
	return a, t.startDeploy(a), nil
}

func (t *Tenant) startDeploy(a *action) *actionVersion {
	number := 1
	if n := len(a.versions); n > 0 {
		number = a.versions[n-1].number + 1
	}
	v := &actionVersion{id: t.uuid(), number: number, content: a.draft, status: "pending", created: t.now}
	if t.failDeploys > 0 {
		t.failDeploys--
		v.status = "failed"
	}
	a.versions = append(a.versions, v)
	for i := 0; len(a.versions) > maxVersions && i < len(a.versions); i++ {
		if a.versions[i] != a.deployed {
			a.versions = slices.Delete(a.versions, i, i+1)
			break
		}
	}
	if v.status != "failed" {
		a.rolling, a.rollFor = v, t.opts.ActionReads
	}
	return v
}

func (t *Tenant) deleteAction(id string, force bool) *apiError {
	a, problem := t.findAction(id)
	if problem != nil {
		return problem
	}
	bound := slices.ContainsFunc(t.bindings[a.trigger], func(b *binding) bool { return b.action == a })
	if bound && !force {
		return &apiError{status: http.StatusBadRequest, message: "The action is bound to a trigger and cannot be deleted without force"}
	}
	t.bindings[a.trigger] = slices.DeleteFunc(t.bindings[a.trigger], func(b *binding) bool { return b.action == a })
	t.actions = slices.DeleteFunc(t.actions, func(o *action) bool { return o == a })
	return nil
}

func (t *Tenant) findAction(id string) (*action, *apiError) {
	for _, a := range t.actions {
		if a.id == id {
			return a, nil
		}
	}
	return nil, notFound("That action does not exist.")
}

// uuid is an id of the form that Actions and bindings have.
func (t *Tenant) uuid() string {
	h := hexID(t.ids.Uint64(), t.ids.Uint64())
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:32]}, "-")
}

// FailBuilds makes the next n builds of a draft end as failed.
func (t *Tenant) FailBuilds(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failBuilds = n
}

// FailDeploys makes the next n deployments, though accepted, never come into force.
func (t *Tenant) FailDeploys(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failDeploys = n
}

// Actions returns copies of the present Actions in order of creation.
func (t *Tenant) Actions() []map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]map[string]any, 0, len(t.actions))
	for _, a := range t.actions {
		list = append(list, a.json())
	}
	return list
}

// Flow returns the names of the Actions bound to a trigger, in order.
func (t *Tenant) Flow(trigger string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := []string{}
	for _, b := range t.bindings[trigger] {
		names = append(names, b.action.name)
	}
	return names
}
