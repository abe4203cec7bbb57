package tenantsim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// factorNames are the factors of multi-factor authentication, in the order of the API's list.
var factorNames = []string{"push-notification", "sms", "email", "duo", "otp", "webauthn-roaming", "webauthn-platform", "recovery-code"}

var policyName = oneOf("all-applications", "confidence-score")

// guardian is the tenant's multi-factor authentication.
type guardian struct {
	policies []any
	enabled  map[string]bool
}

func newGuardian() guardian {
	return guardian{policies: []any{}, enabled: map[string]bool{"sms": true, "otp": true, "recovery-code": true}}
}

func (t *Tenant) serveFactors(*request) *answer {
	list := []map[string]any{}
	for _, name := range factorNames {
		list = append(list, map[string]any{"name": name, "enabled": t.guardian.enabled[name], "trial_expired": false})
	}
	return reply(http.StatusOK, list)
}

// changeFactor enables or disables one factor.
func (t *Tenant) changeFactor(name string, body map[string]any) (changed, *apiError) {
	if !slices.Contains(factorNames, name) {
		return changed{}, notFound("Not Found")
	}
	if text := (fields{"enabled": isBool}).check(body); text != "" || len(body) != 1 {
		return changed{}, invalidBody("%s", cmpText(text, "enabled is required"))
	}
	t.guardian.enabled[name] = body["enabled"].(bool)
	return changed{status: http.StatusOK, resource: cloneJSON(body), summary: "Update multi-factor authentication type"}, nil
}

func cmpText(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}

func (t *Tenant) servePolicies(*request) *answer { return reply(http.StatusOK, t.guardian.policies) }

// serveSetPolicies takes a bare list: an empty body is refused, an empty list means never.
func (t *Tenant) serveSetPolicies(req *request) *answer {
	var list []any
	dec := json.NewDecoder(bytes.NewReader(req.body))
	if err := dec.Decode(&list); err != nil || list == nil {
		return fail(invalidBody("expected type array"))
	}
	if problem := t.setPolicies(t.apiWriter(req), list); problem != nil {
		return fail(problem)
	}
	return reply(http.StatusOK, t.guardian.policies)
}

func (t *Tenant) setPolicies(w writer, list []any) *apiError {
	if text := listOf(2, func(v any) string { return policyName(v) })(list); text != "" {
		return invalidBody("%s", text)
	}
	t.guardian.policies = list
	t.logWrite(w, http.MethodPut, "/api/v2/guardian/policies", list, http.StatusOK, list, "Update multi-factor authentication policies")
	return nil
}

// HumanMFAPolicy is an administrator choosing in the dashboard when a second factor is asked for: no policy is never.
func (t *Tenant) HumanMFAPolicy(policies ...string) error {
	list := []any{}
	for _, p := range policies {
		list = append(list, p)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if problem := t.setPolicies(t.adminWriter(), list); problem != nil {
		return problem
	}
	return nil
}

// MFA returns the policies in force and the names of the factors that are enabled.
func (t *Tenant) MFA() (policies, factors []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.guardian.policies {
		policies = append(policies, p.(string))
	}
	for _, name := range factorNames {
		if t.guardian.enabled[name] {
			factors = append(factors, name)
		}
	}
	return policies, factors
}

// changeGuardian applies a write under /guardian whose body is an object.
func (t *Tenant) changeGuardian(method, id string, body map[string]any) (changed, *apiError) {
	if factor, ok := strings.CutPrefix(id, "factors/"); ok && method == http.MethodPut {
		return t.changeFactor(factor, body)
	}
	return changed{}, notFound("Not Found")
}
