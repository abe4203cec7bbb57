package tenantsim

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxBindings is how many Actions the flow of a trigger takes.
const maxBindings = 20

func (b *binding) json() map[string]any {
	return map[string]any{
		"id": b.id, "trigger_id": b.action.trigger, "display_name": b.display, "created_at": formatDate(b.created), "updated_at": formatDate(b.created),
		"action": map[string]any{
			"id": b.action.id, "name": b.action.name, "supported_triggers": b.action.triggers(), "all_changes_deployed": b.action.allDeployed(),
			"created_at": formatDate(b.action.created), "updated_at": formatDate(b.action.updated),
		},
	}
}

var bindingFields = fields{
	"bindings": listOf(1000, fields{
		"ref":          fields{"type": oneOf("binding_id", "action_id", "action_name"), "value": isText(1, 255)}.check,
		"display_name": isText(1, 255),
		"secrets":      listOf(0, func(any) string { return "secrets of bindings are not simulated" }),
	}.check),
}

// changeBindings replaces the whole flow of a trigger. A binding that is not named is gone; one named by its Action is a
// new one, with a new id.
func (t *Tenant) changeBindings(trigger string, body map[string]any) (map[string]any, *apiError) {
	if _, known := actionTriggers[trigger]; !known {
		return nil, notFound("That trigger does not exist.")
	}
	if text := bindingFields.check(body); text != "" {
		return nil, invalidBody("%s", text)
	}
	list, given := body["bindings"].([]any)
	most := maxBindings
	if singleTriggers[trigger] {
		most = 1
	}
	switch {
	case !given:
		return nil, invalidBody("missing required property: bindings")
	case len(list) > most:
		return nil, &apiError{status: http.StatusBadRequest, message: fmt.Sprintf("No more than %d actions can be bound to this trigger", most)}
	}
	next := []*binding{}
	bound := map[*action]bool{}
	for _, v := range list {
		item, _ := v.(map[string]any)
		b, problem := t.resolveBinding(trigger, item)
		if problem != nil {
			return nil, problem
		}
		if bound[b.action] {
			return nil, invalidBody("action %s is bound twice", b.action.name)
		}
		bound[b.action] = true
		next = append(next, b)
	}
	t.bindings[trigger] = next
	return t.bindingsJSON(next), nil
}

// resolveBinding finds what one item of the list refers to.
func (t *Tenant) resolveBinding(trigger string, item map[string]any) (*binding, *apiError) {
	ref, _ := item["ref"].(map[string]any)
	kind, _ := ref["type"].(string)
	value, _ := ref["value"].(string)
	display, _ := item["display_name"].(string)
	if kind == "binding_id" {
		for _, b := range t.bindings[trigger] {
			if b.id == value {
				kept := *b
				if display != "" {
					kept.display = display
				}
				return &kept, nil
			}
		}
		return nil, notFound("That binding does not exist.")
	}
	for _, a := range t.actions {
		if kind == "action_id" && a.id != value || kind == "action_name" && a.name != value {
			continue
		}
		switch {
		case a.trigger != trigger:
			return nil, invalidBody("action %s does not support trigger %s", a.name, trigger)
		case a.deployed == nil:
			return nil, &apiError{status: http.StatusBadRequest, message: "An action that is not deployed cannot be bound: " + a.name}
		}
		if display == "" {
			display = a.name
		}
		return &binding{id: t.uuid(), display: display, action: a, created: t.now}, nil
	}
	return nil, notFound("That action does not exist.")
}

func (t *Tenant) bindingsJSON(list []*binding) map[string]any {
	out := []any{}
	for _, b := range list {
		out = append(out, b.json())
	}
	return map[string]any{"bindings": out}
}

// changeActions applies a write below /actions.
func (t *Tenant) changeActions(method, path string, query url.Values, body map[string]any) (changed, *apiError) {
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(path, "/api/v2"), "/"), "/")[1:]
	at := func(pattern ...string) bool {
		if len(pattern) != len(parts) {
			return false
		}
		for i, p := range pattern {
			if p != "*" && p != parts[i] {
				return false
			}
		}
		return true
	}
	var res changed
	var a *action
	var problem *apiError
	switch {
	case method == http.MethodPost && at("actions"):
		res.status, res.summary = http.StatusCreated, "Create an action"
		a, problem = t.createAction(body)
	case method == http.MethodPatch && at("actions", "*"):
		res.status, res.summary = http.StatusOK, "Update an action"
		a, problem = t.changeAction(parts[1], body)
	case method == http.MethodDelete && at("actions", "*"):
		res.status, res.summary = http.StatusNoContent, "Delete an action"
		problem = t.deleteAction(parts[1], query.Get("force") == "true")
	case method == http.MethodPost && at("actions", "*", "deploy"):
		var v *actionVersion
		res.status, res.summary = http.StatusAccepted, "Deploy an action"
		if a, v, problem = t.deployAction(parts[1]); problem == nil {
			res.resource = a.versionJSON(v)
			return res, nil
		}
	case method == http.MethodPatch && at("triggers", "*", "bindings"):
		res.status, res.summary = http.StatusOK, "Update trigger bindings"
		res.resource, problem = t.changeBindings(parts[1], body)
	default:
		problem = notFound("Not Found")
	}
	if a != nil && problem == nil {
		res.resource = a.json()
	}
	return res, problem
}

func (t *Tenant) serveActions(req *request) *answer {
	page, problem := offsetPage(req.query)
	if problem != nil {
		return fail(problem)
	}
	var found []*action
	for _, a := range t.actions {
		q := req.query
		if q.Has("triggerId") && q.Get("triggerId") != a.trigger || q.Has("actionName") && q.Get("actionName") != a.name ||
			q.Has("deployed") && (q.Get("deployed") == "true") != (a.deployed != nil) {
			continue
		}
		found = append(found, a)
	}
	list := []any{}
	for i := page.start(); i < min(page.start()+page.size, len(found)); i++ {
		found[i].look()
		list = append(list, found[i].json())
	}
	return reply(http.StatusOK, map[string]any{"actions": list, "total": len(found), "page": page.number, "per_page": page.size})
}

// pathPart is one segment of the path behind "/api/v2/actions".
func pathPart(req *request, i int) string {
	return strings.Split(strings.TrimPrefix(req.path, "/api/v2/actions/"), "/")[i]
}

func (t *Tenant) serveAction(req *request) *answer {
	a, problem := t.findAction(pathPart(req, 1))
	if problem != nil {
		return fail(problem)
	}
	a.look()
	return reply(http.StatusOK, a.json())
}

func (t *Tenant) serveActionVersions(req *request) *answer {
	a, problem := t.findAction(pathPart(req, 1))
	if problem != nil {
		return fail(problem)
	}
	a.look()
	page, problem := offsetPage(req.query)
	if problem != nil {
		return fail(problem)
	}
	list := []any{}
	for i := page.start(); i < min(page.start()+page.size, len(a.versions)); i++ {
		list = append(list, a.versionJSON(a.versions[len(a.versions)-1-i])) // the newest first
	}
	return reply(http.StatusOK, map[string]any{"versions": list, "total": len(a.versions), "page": page.number, "per_page": page.size})
}

func (t *Tenant) serveTriggers(*request) *answer {
	list := []any{}
	for _, id := range sortedKeys(actionTriggers) {
		list = append(list, map[string]any{"id": id, "version": actionTriggers[id], "status": "CURRENT", "runtimes": []any{"node18", "node22"},
			"default_runtime": defaultRuntime, "binding_policy": "trigger-bound", "compatible_triggers": []any{}})
	}
	return reply(http.StatusOK, map[string]any{"triggers": list})
}

func (t *Tenant) serveBindings(req *request) *answer {
	trigger := pathPart(req, 1)
	if _, known := actionTriggers[trigger]; !known {
		return fail(notFound("That trigger does not exist."))
	}
	page, problem := offsetPage(req.query)
	if problem != nil {
		return fail(problem)
	}
	all := t.bindings[trigger]
	shown := all[min(page.start(), len(all)):min(page.start()+page.size, len(all))]
	out := t.bindingsJSON(shown)
	out["total"], out["page"], out["per_page"] = len(all), page.number, page.size
	return reply(http.StatusOK, out)
}
