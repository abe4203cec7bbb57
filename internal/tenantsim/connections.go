package tenantsim

import (
	"net/http"
	"slices"
)

// DefaultConnection is the name of the database connection that the tenant begins with.
const DefaultConnection = "Username-Password-Authentication"

const optionsScope = "read:connections_options"

var connectionFields = fields{
	"display_name": func(v any) string {
		if _, ok := v.(string); !ok {
			return "expected type string"
		}
		return ""
	},
	"options": func(v any) string {
		if _, ok := v.(map[string]any); !ok {
			return "expected type object"
		}
		return ""
	},
}

func initialConnections() []map[string]any {
	return []map[string]any{
		{
			"id": connectionID, "name": DefaultConnection, "display_name": "Customers", "strategy": "auth0", "is_domain_connection": false,
			"options": map[string]any{
				"passwordPolicy": "good", "brute_force_protection": true, "mfa": map[string]any{"active": true, "return_enroll_settings": true},
				"passwordHistory": map[string]any{"size": 5.0, "enable": false}, "strategy_version": 2.0,
			},
		},
		{
			"id": "con_SimGoogle0000001", "name": "google-oauth2", "strategy": "google-oauth2", "is_domain_connection": false,
			"options": map[string]any{"client_id": "google-client", "client_secret": "simulated-google-secret", "email": true},
		},
	}
}

// serveConnections lists connections: an object where take or from is given, a bare list otherwise.
func (t *Tenant) serveConnections(req *request) *answer {
	list := []map[string]any{}
	for _, c := range t.connections {
		if name := req.query.Get("name"); name == "" || name == c["name"] {
			list = append(list, t.shownConnection(c, req.token))
		}
	}
	if req.query.Has("take") || req.query.Has("from") {
		return reply(http.StatusOK, map[string]any{"connections": list})
	}
	return reply(http.StatusOK, list)
}

// shownConnection leaves out the options for a token without their scope: how much Auth0 hides is not documented.
func (t *Tenant) shownConnection(c map[string]any, token *accessToken) map[string]any {
	c = cloneJSON(c)
	if !slices.Contains(token.scopes, optionsScope) {
		delete(c, "options")
	}
	return c
}

// changeConnection patches a connection: options are replaced as a whole, and a display name that is left out becomes
// the name.
func (t *Tenant) changeConnection(method, id string, body map[string]any) (changed, *apiError) {
	i := slices.IndexFunc(t.connections, func(c map[string]any) bool { return c["id"] == id })
	if method != http.MethodPatch || i < 0 {
		return changed{}, notFound("The connection does not exist")
	}
	if text := connectionFields.check(body); text != "" {
		return changed{}, invalidBody("%s", text)
	}
	c := t.connections[i]
	c["display_name"] = c["name"]
	for k, v := range cloneJSON(body) {
		c[k] = v
	}
	return changed{status: http.StatusOK, resource: cloneJSON(c), summary: "Update a connection"}, nil
}

// DropConnection deletes the connection of a name, as an administrator would.
func (t *Tenant) DropConnection(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connections = slices.DeleteFunc(t.connections, func(c map[string]any) bool { return c["name"] == name })
}

// Connection returns a copy of the connection of a name, or nil if there is none.
func (t *Tenant) Connection(name string) map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.connections {
		if c["name"] == name {
			return cloneJSON(c)
		}
	}
	return nil
}
