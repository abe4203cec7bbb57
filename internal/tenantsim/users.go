package tenantsim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// write is a change that somebody asks for.
type write struct {
	ids   []string // what stands for {id} in the route
	query url.Values
	body  map[string]any
	host  string // the custom domain that links are to lead to; the canonical one if empty
}

// userRoute is one endpoint that changes users or what belongs to them.
type userRoute struct {
	method, path, scope string
	do                  func(*Tenant, write) (changed, *apiError)
}

const bothDeletes = "delete:sessions+delete:refresh_tokens"

var userRoutes = []userRoute{
	{"PATCH", "/users/{id}", "update:users", (*Tenant).patchUser},
	{"DELETE", "/users/{id}", "delete:users", (*Tenant).deleteUser},
	{"DELETE", "/users/{id}/sessions", "delete:sessions", (*Tenant).deleteSessions},
	{"DELETE", "/users/{id}/refresh-tokens", "delete:refresh_tokens", (*Tenant).deleteTokens},
	{"POST", "/users/{id}/revoke-access", bothDeletes, (*Tenant).revokeAccess},
	{"DELETE", "/sessions/{id}", "delete:sessions", (*Tenant).deleteSession},
	{"POST", "/sessions/{id}/revoke", bothDeletes, (*Tenant).revokeSession},
	{"DELETE", "/refresh-tokens/{id}", "delete:refresh_tokens", (*Tenant).deleteToken},
	{"POST", "/refresh-tokens/revoke", "delete:refresh_tokens", (*Tenant).revokeTokens},
	{"POST", "/users/{id}/multifactor/actions/invalidate-remember-browser", "update:users", (*Tenant).forgetBrowsers},
	{"POST", "/users/{id}/risk-assessments/clear", "update:users", (*Tenant).clearRisk},
	{"DELETE", "/users/{id}/authentication-methods", "delete:authentication_methods", (*Tenant).deleteFactors},
	{"DELETE", "/users/{id}/authentication-methods/{id}", "delete:authentication_methods", (*Tenant).deleteFactor},
	{"DELETE", "/users/{id}/authenticators", "delete:guardian_enrollments", (*Tenant).deleteAuthenticators},
	{"DELETE", "/guardian/enrollments/{id}", "delete:guardian_enrollments", (*Tenant).deleteEnrollment},
	{"DELETE", "/users/{id}/multifactor/{id}", "update:users", (*Tenant).deleteProvider},
	{"POST", "/users/{id}/identities", "update:users", (*Tenant).linkIdentity},
	{"DELETE", "/users/{id}/identities/{id}/{id}", "update:users", (*Tenant).unlinkIdentity},
	{"POST", "/tickets/password-change", "create:user_tickets", (*Tenant).createTicket},
	{"POST", "/jobs/verification-email", "update:users", (*Tenant).mailVerification},
	{"DELETE", "/user-blocks/{id}", "update:users", (*Tenant).clearBlocks},
	{"DELETE", "/user-blocks", "update:users", (*Tenant).clearBlocksOf},
	{"DELETE", "/grants", "delete:grants", (*Tenant).deleteGrants},
	{"DELETE", "/grants/{id}", "delete:grants", (*Tenant).deleteGrant},
	{"DELETE", "/device-credentials/{id}", "delete:device_credentials", (*Tenant).deleteCredential},
	{"POST", "/clients/{id}/rotate-secret", "update:client_keys", (*Tenant).rotateSecret},
}

// userReads are the endpoints that only tell.
var userReads = []route{
	{"GET", "/users", "read:users", (*Tenant).serveUserSearch},
	{"GET", "/users-by-email", "read:users", (*Tenant).serveUsersByEmail},
	{"GET", "/users/{id}", "read:users", (*Tenant).serveUser},
	{"GET", "/users/{id}/sessions", "read:sessions", (*Tenant).serveSessions},
	{"GET", "/users/{id}/refresh-tokens", "read:refresh_tokens", (*Tenant).serveTokens},
	{"GET", "/refresh-tokens/{id}", "read:refresh_tokens", (*Tenant).serveToken1},
	{"GET", "/users/{id}/authentication-methods", "read:authentication_methods", (*Tenant).serveUserFactors},
	{"GET", "/users/{id}/enrollments", "read:users", (*Tenant).serveEnrollments},
	{"GET", "/user-blocks", "read:users", (*Tenant).serveBlocksOf},
	{"GET", "/user-blocks/{id}", "read:users", (*Tenant).serveBlocks},
	{"GET", "/grants", "read:grants", (*Tenant).serveGrants},
	{"GET", "/device-credentials", "read:device_credentials", (*Tenant).serveCredentials},
	{"GET", "/emails/provider", "read:email_provider", (*Tenant).serveMailProvider},
}

// segments are the parts of a path below /api/v2, unescaped.
func segments(path string) []string {
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(path, "/api/v2"), "/"), "/")
	for i, p := range parts {
		if plain, err := url.PathUnescape(p); err == nil {
			parts[i] = plain
		}
	}
	return parts
}

func (req *request) segments() []string { return segments(req.path) }

// changeUsers applies a write on users or what belongs to them.
func (t *Tenant) changeUsers(method, path string, w write) (changed, *apiError) {
	parts := segments(path)
	for i := range userRoutes {
		r := route{method: userRoutes[i].method, path: userRoutes[i].path}
		if r.method != method || !r.matches(strings.TrimPrefix(path, "/api/v2")) {
			continue
		}
		for k, pattern := range strings.Split(r.path[1:], "/") {
			if pattern == "{id}" {
				w.ids = append(w.ids, parts[k])
			}
		}
		return userRoutes[i].do(t, w)
	}
	return changed{}, notFound("Not Found")
}

func (t *Tenant) serveUser(req *request) *answer {
	a, problem := t.mustFind(req.segments()[1])
	if problem != nil {
		return fail(problem)
	}
	return reply(http.StatusOK, a.json())
}

func (t *Tenant) serveUsersByEmail(req *request) *answer {
	email := req.query.Get("email")
	if email == "" {
		return fail(invalidQuery("missing required property: email"))
	}
	list := []map[string]any{}
	for _, a := range t.withEmail(func(has string) bool { return has == email }) {
		list = append(list, a.json())
	}
	return reply(http.StatusOK, list)
}

// userFields are the fields that a search for users knows, besides those in metadata.
var userFields = []string{"user_id", "email", "email_verified", "name", "nickname", "phone_number", "username", "blocked", "last_ip", "created_at", "updated_at",
	"last_login", "logins_count", "identities.connection", "identities.provider", "identities.user_id"}

const searchMost = 1000

func (t *Tenant) serveUserSearch(req *request) *answer {
	page, problem := offsetPage(req.query)
	if problem != nil {
		return fail(problem)
	}
	if page.start()+page.size > searchMost {
		return fail(&apiError{status: http.StatusBadRequest, code: "invalid_paging", message: "You can only page through the first 1000 records."})
	}
	if v := req.query.Get("search_engine"); v != "" && v != "v3" {
		return fail(invalidQuery("search engine %q is not supported", v))
	}
	query, problem := parseSearchIn(req.query.Get("q"), func(field string) bool {
		return slices.Contains(userFields, field) || strings.HasPrefix(field, "app_metadata.") || strings.HasPrefix(field, "user_metadata.")
	})
	if problem != nil {
		return fail(problem)
	}
	found := []map[string]any{}
	for _, a := range t.everybody() {
		if u := a.json(); query.matchesUser(u) {
			found = append(found, u)
		}
	}
	list := found[min(page.start(), len(found)):min(page.start()+page.size, len(found))]
	if !page.totals {
		return reply(http.StatusOK, list)
	}
	return reply(http.StatusOK, map[string]any{"users": list, "start": page.start(), "limit": page.size, "length": len(list), "total": len(found)})
}

func (q searchQuery) matchesUser(u map[string]any) bool {
	for _, term := range q {
		if !slices.ContainsFunc(textsAt(u, strings.Split(term.field, ".")), term.matches) {
			return false
		}
	}
	return true
}

// textsAt are the values at a path, as texts; a list has several.
func textsAt(v any, path []string) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		if len(path) == 0 {
			return nil
		}
		return textsAt(v[path[0]], path[1:])
	case []any:
		var out []string
		for _, one := range v {
			out = append(out, textsAt(one, path)...)
		}
		return out
	default:
		return []string{fmt.Sprint(v)}
	}
}

var patchUserFields = fields{
	"blocked": isBool, "app_metadata": isObject, "user_metadata": isObject, "email": isText(3, 255), "email_verified": isBool, "verify_email": isBool,
	"phone_number": isText(2, 32), "phone_verified": isBool, "username": isText(1, 128), "password": isText(8, 72), "connection": isText(1, 128),
	"client_id": isText(1, 64), "name": isText(1, 300), "nickname": isText(1, 300), "given_name": isText(1, 150), "family_name": isText(1, 150),
}

func isObject(v any) string {
	if _, ok := v.(map[string]any); !ok {
		return "expected type object"
	}
	return ""
}

func (t *Tenant) patchUser(w write) (changed, *apiError) {
	a, problem := t.mustFind(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	if text := patchUserFields.check(w.body); text != "" {
		return changed{}, invalidBody("%s", text)
	}
	if problem := a.patchable(w.body); problem != nil {
		return changed{}, problem
	}
	t.patch(a, w.body)
	return changed{status: http.StatusOK, resource: a.json(), summary: "Update a User"}, nil
}

// patchable refuses what cannot be changed together, or not on this account.
func (a *account) patchable(body map[string]any) *apiError {
	var given []string
	for _, name := range []string{"password", "email", "phone_number", "username", "email_verified", "phone_verified"} {
		if _, ok := body[name]; ok {
			given = append(given, name)
		}
	}
	if len(given) > 1 {
		return &apiError{status: http.StatusBadRequest, code: "operation_not_supported", message: "Cannot update " + strings.Join(given, " and ") + " simultaneously"}
	}
	kind := a.identities[0].conn.kind
	if len(given) == 1 && kind != "database" && (kind != "passwordless" || given[0] == "password" || given[0] == "username") {
		return &apiError{status: http.StatusBadRequest, code: "operation_not_supported", message: "Cannot update " + given[0] + " of a user whose primary identity is " + kind}
	}
	if c, ok := body["connection"].(string); ok && !slices.ContainsFunc(a.identities, func(i *identity) bool { return i.conn.name == c }) {
		return &apiError{status: http.StatusBadRequest, code: "inexistent_connection", message: "The connection does not exist."}
	}
	return nil
}

func (t *Tenant) patch(a *account, body map[string]any) {
	a.updated = t.now
	if v, ok := body["blocked"].(bool); ok {
		a.blocked, a.wasBlocked = v, a.wasBlocked || v
	}
	for name, into := range map[string]*map[string]any{"app_metadata": &a.appMetadata, "user_metadata": &a.userMetadata} {
		if m, ok := body[name].(map[string]any); ok {
			*into = mergeFirstLevel(*into, m)
		}
	}
	for name, into := range map[string]*string{"phone_number": &a.phoneNumber, "username": &a.username, "name": &a.name} {
		if v, ok := body[name].(string); ok {
			*into = v
		}
	}
	if v, ok := body["email"].(string); ok {
		t.setEmail(a, v)
	}
	if v, ok := body["email_verified"].(bool); ok {
		a.emailVerified = v
	}
	if v, ok := body["phone_verified"].(bool); ok {
		a.phoneVerified = v
	}
	if v, ok := body["password"].(string); ok {
		t.setPassword(a, v)
		a.blocked = false // Auth0's own behaviour, and no event tells it but the sapi of this very call
	}
}

// setEmail changes the address; databases keep it in lower case. It is to be verified anew.
func (t *Tenant) setEmail(a *account, email string) {
	if a.database() != nil {
		email = strings.ToLower(email)
	}
	if email != a.email {
		a.email, a.emailVerified, a.updated = email, false, t.now
		a.identities[0].email = email
	}
}

// mergeFirstLevel is how metadata is patched: null removes a name, an object replaces one.
func mergeFirstLevel(old, patch map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range old {
		out[k] = v
	}
	for k, v := range patch {
		if out[k] = cloneAny(v); v == nil {
			delete(out, k)
		}
	}
	return out
}

// deleteUser answers 204 for a user who is not there, too.
func (t *Tenant) deleteUser(w write) (changed, *apiError) {
	res := changed{status: http.StatusNoContent, summary: "Delete a User"}
	if a := t.find(w.ids[0]); a != nil {
		t.remove(a)
		res.after = func() { t.tell(a, "sdu", "User successfully deleted", origin{}, nil) }
	}
	return res, nil
}
