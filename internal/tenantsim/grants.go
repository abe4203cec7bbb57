package tenantsim

import (
	"net/http"
	"slices"
	"strings"
)

// grant is what a user allowed an application.
type grant struct {
	id  string
	app *app
}

// allow notes that the user let the application act. Every login does.
func (a *account) allow(app *app) {
	if !slices.ContainsFunc(a.grants, func(g *grant) bool { return g.app == app }) {
		a.grants = append(a.grants, &grant{id: "cgr_" + hexID(familySeed(a.user)) + app.id[:4], app: app})
	}
}

func (t *Tenant) serveGrants(req *request) *answer {
	list := []map[string]any{}
	if a := t.find(req.query.Get("user_id")); a != nil {
		for _, g := range a.grants {
			list = append(list, map[string]any{"id": g.id, "clientID": g.app.id, "user_id": a.id, "audience": g.app.audience,
				"scope": []any{"openid", "profile", "email", "offline_access"}})
		}
	}
	return offsetReply(req, "grants", list)
}

// revokeGrants takes grants back, and with them the refresh tokens of their applications; sessions stay.
func (t *Tenant) revokeGrants(a *account, which func(*grant) bool) {
	a.grants = slices.DeleteFunc(a.grants, func(g *grant) bool {
		if which(g) {
			a.dropTokens(func(r *refreshToken) bool { return r.app == g.app })
			return true
		}
		return false
	})
}

func (t *Tenant) deleteGrants(w write) (changed, *apiError) {
	id := w.query.Get("user_id")
	if id == "" {
		return changed{}, invalidQuery("missing required property: user_id")
	}
	if a := t.find(id); a != nil {
		t.revokeGrants(a, func(*grant) bool { return true })
	}
	return changed{status: http.StatusNoContent, summary: "Delete a grant by user_id"}, nil
}

func (t *Tenant) deleteGrant(w write) (changed, *apiError) {
	for _, u := range t.people {
		is := func(g *grant) bool { return g.id == w.ids[0] }
		if u.account != nil && slices.ContainsFunc(u.account.grants, is) {
			t.revokeGrants(u.account, is)
			return changed{status: http.StatusNoContent, summary: "Delete a grant by id"}, nil
		}
	}
	return changed{}, notFound("The grant does not exist.")
}

// Device credentials are the same refresh tokens, seen by what holds them. All plans have them.
const credentialPrefix = "dcr_"

func (t *Tenant) serveCredentials(req *request) *answer {
	list := []map[string]any{}
	if a := t.find(req.query.Get("user_id")); a != nil {
		t.expire(a)
		for _, r := range a.tokens {
			list = append(list, map[string]any{"id": credentialPrefix + r.session, "device_name": r.made.agent.normal, "type": "rotating_refresh_token",
				"user_id": a.id, "client_id": r.app.id})
		}
	}
	return offsetReply(req, "device_credentials", list)
}

func (t *Tenant) deleteCredential(w write) (changed, *apiError) {
	session, ok := strings.CutPrefix(w.ids[0], credentialPrefix)
	a, _, r := t.ownerOf("rt_" + session)
	if !ok || r == nil {
		return changed{}, notFound("The device credential does not exist.")
	}
	a.dropTokens(func(o *refreshToken) bool { return o == r })
	return changed{status: http.StatusNoContent, summary: "Delete a device credential"}, nil
}

// rotateSecret gives an application another secret. The daemon's own is what it fetches its next token with.
func (t *Tenant) rotateSecret(w write) (changed, *apiError) {
	id := w.ids[0]
	if id != t.opts.ClientID && !slices.ContainsFunc(apps, func(a app) bool { return a.id == id }) {
		return changed{}, notFound("The client does not exist")
	}
	secret := "rotated-" + hexID(t.ids.Uint64(), t.ids.Uint64())
	if t.secrets == nil {
		t.secrets = map[string]string{}
	}
	t.secrets[id] = secret
	if id == t.opts.ClientID {
		t.opts.ClientSecret = secret
	}
	client := map[string]any{"client_id": id, "client_secret": secret}
	return changed{status: http.StatusOK, resource: client, logged: map[string]any{"client_id": id, "client_secret": "*****"}, summary: "Rotate a client secret"}, nil
}

// RotatedSecret is the secret of an application since its rotation; empty if there was none.
func (t *Tenant) RotatedSecret(clientID string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.secrets[clientID]
}
