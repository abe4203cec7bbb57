package tenantsim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// factor is one authentication method of a user besides the password.
type factor struct {
	id      string // type|device
	typ     string // phone, totp, push-notification, webauthn-roaming, passkey, recovery-code, …
	phone   string
	created time.Time
}

func (f *factor) enrollment() string {
	_, id, _ := strings.Cut(f.id, "|")
	return id
}

// has tells whether a factor is there.
func (a *account) has(id string) bool {
	return slices.ContainsFunc(a.factors, func(f *factor) bool { return f.id == id })
}

func (f *factor) json() map[string]any {
	out := map[string]any{"id": f.id, "type": f.typ, "created_at": formatDate(f.created), "confirmed": true}
	if f.phone != "" {
		out["phone_number"], out["name"] = f.phone, f.phone
	}
	return out
}

func (t *Tenant) serveUserFactors(req *request) *answer {
	a, problem := t.mustFind(req.segments()[1])
	if problem != nil {
		return fail(problem)
	}
	list := []map[string]any{}
	for _, f := range a.factors {
		list = append(list, f.json())
	}
	return offsetReply(req, "authenticators", list)
}

// offsetReply answers one page of a list: bare, or with totals under key.
func offsetReply(req *request, key string, list []map[string]any) *answer {
	page, problem := offsetPage(req.query)
	if problem != nil {
		return fail(problem)
	}
	part := list[min(page.start(), len(list)):min(page.start()+page.size, len(list))]
	if !page.totals {
		return reply(http.StatusOK, part)
	}
	return reply(http.StatusOK, map[string]any{key: part, "start": page.start(), "limit": page.size, "total": len(list)})
}

func (t *Tenant) serveEnrollments(req *request) *answer {
	a, problem := t.mustFind(req.segments()[1])
	if problem != nil {
		return fail(problem)
	}
	list := []map[string]any{}
	for _, f := range a.factors {
		if f.typ == "passkey" {
			continue
		}
		list = append(list, map[string]any{"id": f.enrollment(), "status": "confirmed", "type": f.typ, "phone_number": f.phone, "enrolled_at": formatDate(f.created)})
	}
	return reply(http.StatusOK, list)
}

// unenrol takes factors from a user; the log tells each.
func (t *Tenant) unenrol(a *account, summary string, which func(*factor) bool) changed {
	var removed []*factor
	a.factors = slices.DeleteFunc(a.factors, func(f *factor) bool {
		if which(f) {
			removed = append(removed, f)
			return true
		}
		return false
	})
	return changed{status: http.StatusNoContent, summary: summary, after: func() {
		for _, f := range removed {
			t.tell(a, "gd_unenroll", "Guardian - Unenroll", origin{ip: a.lastIP}, map[string]any{"authenticator": map[string]any{"id": f.id, "type": f.typ}})
		}
	}}
}

func (t *Tenant) deleteFactors(w write) (changed, *apiError) {
	a, problem := t.mustFind(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	if slices.ContainsFunc(a.factors, func(f *factor) bool { return f.typ == "passkey" }) {
		return changed{}, &apiError{status: http.StatusForbidden, code: "operation_not_supported", message: "The authentication methods of a user with a passkey cannot be deleted together"}
	}
	return t.unenrol(a, "Delete all authentication methods for the given user", func(*factor) bool { return true }), nil
}

func (t *Tenant) deleteFactor(w write) (changed, *apiError) {
	a, problem := t.mustFind(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	if !a.has(w.ids[1]) {
		return changed{}, notFound("The authentication method does not exist.")
	}
	return t.unenrol(a, "Delete an authentication method by ID", func(f *factor) bool { return f.id == w.ids[1] }), nil
}

func (t *Tenant) deleteAuthenticators(w write) (changed, *apiError) {
	a, problem := t.mustFind(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	return t.unenrol(a, "Delete all of a user's authenticators", func(f *factor) bool { return f.typ != "passkey" }), nil
}

func (t *Tenant) deleteEnrollment(w write) (changed, *apiError) {
	for _, u := range t.people {
		if u.account == nil && "sms|"+w.ids[0] != u.enrolment {
			continue
		}
		is := func(f *factor) bool { return f.typ != "passkey" && f.enrollment() == w.ids[0] }
		if a := t.account(u); slices.ContainsFunc(a.factors, is) {
			return t.unenrol(a, "Delete a multi-factor authentication enrollment", is), nil
		}
	}
	return changed{}, notFound("The enrollment does not exist.")
}

// deleteProvider answers 204 also where there is nothing of the provider.
func (t *Tenant) deleteProvider(w write) (changed, *apiError) {
	a, problem := t.mustFind(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	typ := map[string]string{"duo": "duo", "google-authenticator": "totp"}[w.ids[1]]
	if typ == "" {
		return changed{}, invalidBody("no enum match for %q (one of duo, google-authenticator) on property provider", w.ids[1])
	}
	return t.unenrol(a, "Delete a User's Multi-factor Provider", func(f *factor) bool { return f.typ == typ }), nil
}

func (t *Tenant) forgetBrowsers(w write) (changed, *apiError) {
	a, problem := t.mustFind(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	clear(a.browsers)
	return changed{status: http.StatusNoContent, summary: "Invalidate All Remembered Browsers for Multi-factor Authentication"}, nil
}

var clearRiskFields = fields{"connection": isText(1, 128), "assessors": someOf("new-device")}

func (t *Tenant) clearRisk(w write) (changed, *apiError) {
	a, problem := t.mustFind(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	if text := clearRiskFields.check(w.body); text != "" {
		return changed{}, invalidBody("%s", text)
	}
	name, _ := w.body["connection"].(string)
	assessors, _ := w.body["assessors"].([]any)
	switch {
	case name == "" || len(assessors) == 0:
		return changed{}, invalidBody("missing required property: connection or assessors")
	case !slices.ContainsFunc(a.identities, func(i *identity) bool { return i.conn.name == name }):
		return changed{}, notFound("The connection does not exist.")
	}
	clear(a.devices)
	return changed{status: http.StatusNoContent, summary: "Clear risk assessment assessors for a specific user"}, nil
}
