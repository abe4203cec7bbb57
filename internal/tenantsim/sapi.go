package tenantsim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

const (
	daemonName     = "Attack response"
	dashboardID    = "dashSimManage0000000000000000001"
	dashboardAgent = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"
	adminAddress   = "203.0.113.9"
	correlationMax = 64
)

// changed is the outcome of a write.
type changed struct {
	status   int
	resource map[string]any // the resource after the change
	list     []any          // instead of a resource, if not nil
	logged   map[string]any // what the log shows instead of it, if not nil
	silent   bool           // the caller gets no body, though the log shows the resource
	summary  string         // the sapi event's description
	after    func()         // what happens then, if not nil
}

// change applies a write, whoever makes it.
func (t *Tenant) change(method, path string, w write) (changed, *apiError) {
	collection, id := splitPath(path)
	switch collection {
	case "/attack-protection":
		if method != http.MethodPatch {
			break
		}
		settings, problem := t.patchSettings(id, w.body)
		return changed{status: http.StatusOK, resource: settings, summary: settingSummaries[id]}, problem
	case "/network-acls":
		return t.changeACLs(method, id, w.body)
	case "/actions":
		return t.changeActions(method, path, w.query, w.body)
	case "/guardian":
		if method == http.MethodPut {
			return t.changeGuardian(method, id, w.body)
		}
	case "/connections":
		return t.changeConnection(method, id, w.body)
	}
	return t.changeUsers(method, path, w)
}

func (t *Tenant) changeACLs(method, id string, body map[string]any) (changed, *apiError) {
	if problem := t.aclPlan(); problem != nil {
		return changed{}, problem
	}
	res := changed{status: http.StatusOK}
	var acl *networkACL
	var problem *apiError
	switch {
	case method == http.MethodPost && id == "":
		res.status, res.silent, res.summary = http.StatusCreated, true, "Create a network ACL"
		acl, problem = t.createACL(body)
	case method == http.MethodPut && id != "":
		res.summary = "Set a network ACL"
		acl, problem = t.changeACL(id, body, true)
	case method == http.MethodPatch && id != "":
		res.summary = "Update a network ACL"
		acl, problem = t.changeACL(id, body, false)
	case method == http.MethodDelete && id != "":
		res.status, res.summary = http.StatusNoContent, "Delete a network ACL"
		problem = t.deleteACL(id)
	default:
		problem = notFound("Not Found")
	}
	if acl != nil {
		res.resource = acl.json()
	}
	return res, problem
}

// writer is who makes a change, as the sapi event tells it.
type writer struct {
	clientID, clientName string
	userID               string
	user                 map[string]any // empty for machines
	ip, userAgent        string
	channel              string
	credentials          map[string]any
	correlation          string
	query                map[string]any
}

func (t *Tenant) apiWriter(req *request) writer {
	credentials := map[string]any{"jti": req.token.jti}
	if !req.token.used {
		req.token.used = true
		credentials["scopes"] = req.token.scopes
	}
	correlation := req.header.Get("X-Correlation-ID")
	if runes := []rune(correlation); len(runes) > correlationMax {
		correlation = string(runes[:correlationMax])
	}
	query := map[string]any{}
	for k := range req.query {
		query[k] = req.query.Get(k)
	}
	return writer{
		clientID: t.opts.ClientID, clientName: daemonName, user: map[string]any{}, ip: req.ip.String(), userAgent: req.userAgent,
		channel: "api", credentials: credentials, correlation: correlation, query: query,
	}
}

func (t *Tenant) adminWriter() writer {
	return writer{
		clientID: dashboardID, clientName: "Auth0 Dashboard", userID: "auth0|administrator",
		user:        map[string]any{"user_id": "auth0|administrator", "name": "Administrator", "email": "administrator@corp.example"},
		ip:          adminAddress,
		userAgent:   dashboardAgent,
		channel:     "https://manage.auth0.com/",
		credentials: map[string]any{"jti": hexID(t.ids.Uint64(), t.ids.Uint64())},
		query:       map[string]any{},
	}
}

// logChange logs a successful write as sapi.
func (t *Tenant) logChange(w writer, method, path string, body map[string]any, res changed) {
	t.logWrite(w, method, path, masked(orEmpty(body)), res.status, res.shown(), res.summary)
	if res.after != nil {
		res.after()
	}
}

func (t *Tenant) logWrite(w writer, method, path string, body any, status int, resource any, summary string) {
	t.stats.Writes++
	request := map[string]any{
		"method": strings.ToLower(method), "path": path, "query": w.query, "ip": w.ip, "userAgent": w.userAgent, "channel": w.channel,
		"auth": map[string]any{"strategy": "jwt", "user": w.user, "credentials": w.credentials},
	}
	request["body"] = body
	ev := t.plainEvent("sapi", summary)
	ev["client_id"] = w.clientID
	ev["client_name"] = w.clientName
	ev["user_id"] = w.userID
	ev["ip"] = w.ip
	ev["user_agent"] = w.userAgent
	ev["is_mobile"] = false
	ev["details"] = map[string]any{
		"request":  request,
		"response": map[string]any{"statusCode": status, "body": resource},
	}
	if w.correlation != "" {
		ev["references"] = map[string]any{"correlation_id": w.correlation}
	}
	at := t.now
	if !at.After(t.lastWrite) {
		at = t.lastWrite.Add(time.Millisecond) // so that the order of writes can be told from their dates
	}
	t.lastWrite = at
	t.emitMap(at, ev)
}

// shown is the resource as the log tells it.
func (res *changed) shown() any {
	switch {
	case res.logged != nil:
		return res.logged
	case res.list != nil:
		return res.list
	}
	return orEmpty(res.resource)
}

// masked hides a password in what was sent.
func masked(body map[string]any) map[string]any {
	if _, ok := body["password"]; !ok {
		return body
	}
	out := maps.Clone(body)
	out["password"] = "*****"
	return out
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// plainEvent starts an event that is not compact, with the members every event has.
func (t *Tenant) plainEvent(typ, description string) map[string]any {
	return map[string]any{
		"$event_schema": map[string]any{"version": schemaVersion},
		"type":          typ, "description": description, "tenant_name": t.name, "environment_name": environmentName,
	}
}

// emitMap logs an event given as its stream data object; its log_id is filled in when it is read.
func (t *Tenant) emitMap(at time.Time, data map[string]any) {
	data["date"] = formatDate(at)
	raw, err := json.Marshal(data)
	if err != nil {
		t.opts.Logger.Error("simulated event is not JSON, dropped", "type", data["type"], "err", err)
		return
	}
	typ, _ := data["type"].(string)
	t.emit(event{at: at, typ: typ, fixed: raw})
}

// HumanPatch is a human administrator changing something in the dashboard: PATCH path with body, or DELETE path when
// body is nil. path may leave out "/api/v2". The change passes the same checks as through the API and is logged as
// sapi with the dashboard's channel, a user, and no correlation id; tokens, quota and faults do not apply.
func (t *Tenant) HumanPatch(path string, body map[string]any) error {
	if body == nil {
		return t.HumanRequest(http.MethodDelete, path, nil)
	}
	return t.HumanRequest(http.MethodPatch, path, body)
}

// HumanRequest is HumanPatch with any method, such as POST to /network-acls.
func (t *Tenant) HumanRequest(method, path string, body map[string]any) error {
	path = "/api/v2/" + strings.TrimPrefix(strings.TrimPrefix(path, "/api/v2"), "/")
	if body != nil {
		var err error
		if body, err = asJSON(body); err != nil {
			return fmt.Errorf("administrator's %s %s: body: %w", method, path, err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	res, problem := t.change(method, path, write{body: body})
	if problem != nil {
		return fmt.Errorf("administrator's %s %s: %w", method, path, problem)
	}
	t.logChange(t.adminWriter(), method, path, body, res)
	return nil
}
