package tenantsim

import (
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"
)

const (
	aclDescriptionMax  = 255
	aclEntriesMax      = 20
	aclDefaultPriority = 50.0
)

// networkACL is one access control list, as stored and as compiled.
type networkACL struct {
	id          string
	description string
	active      bool
	priority    float64
	rule        map[string]any
	compiled    aclRule
	created     time.Time
	updated     time.Time

	matched, seen int // since the latest acls_summary
}

func (a *networkACL) json() map[string]any {
	return map[string]any{
		"id": a.id, "description": a.description, "active": a.active, "priority": a.priority, "rule": cloneJSON(a.rule),
		"created_at": formatDate(a.created), "updated_at": formatDate(a.updated),
	}
}

// apply sets the members of a body that has passed checkACLBody, all or nothing.
func (a *networkACL) apply(body map[string]any) *apiError {
	next := *a
	if v, ok := body["description"]; ok {
		next.description = v.(string)
	}
	if v, ok := body["active"]; ok {
		next.active = v.(bool)
	}
	if v, ok := body["priority"]; ok {
		next.priority = v.(float64)
	}
	if v, ok := body["rule"]; ok {
		next.rule = cloneJSON(v.(map[string]any))
		compiled, text := compileRule(next.rule)
		if text != "" {
			return invalidBody("%s on property rule", text)
		}
		next.compiled = compiled
	}
	*a = next
	return nil
}

var aclFields = fields{
	"description": func(v any) string {
		s, ok := v.(string)
		switch {
		case !ok:
			return "expected type string"
		case s == "":
			return "string is too short (0 chars), minimum 1"
		case utf8.RuneCountInString(s) > aclDescriptionMax:
			return fmt.Sprintf("string is too long, maximum %d", aclDescriptionMax)
		}
		return ""
	},
	"active": isBool,
	"priority": func(v any) string {
		n, ok := v.(float64)
		switch {
		case !ok:
			return "expected type number"
		case n < 1 || n > 100:
			return fmt.Sprintf("value %g is not between 1 and 100", n)
		}
		return ""
	},
	"rule": func(v any) string {
		rule, ok := v.(map[string]any)
		if !ok {
			return "expected type object"
		}
		_, problem := compileRule(rule)
		return problem
	},
}

func checkACLBody(body map[string]any, required ...string) *apiError {
	for _, name := range required {
		if _, ok := body[name]; !ok {
			return invalidBody("missing required property: %s", name)
		}
	}
	if managedSignal(body) {
		return &apiError{status: http.StatusForbidden, message: "auth0_managed is not enabled for this tenant"}
	}
	if text := aclFields.check(body); text != "" {
		return invalidBody("%s", text)
	}
	return nil
}

// managedSignal reports whether a rule uses Auth0's own lists, which need a feature the simulated tenant lacks.
func managedSignal(body map[string]any) bool {
	rule, _ := body["rule"].(map[string]any)
	for _, side := range []string{"match", "not_match"} {
		match, _ := rule[side].(map[string]any)
		if _, ok := match["auth0_managed"]; ok {
			return true
		}
	}
	return false
}

func (t *Tenant) createACL(body map[string]any) (*networkACL, *apiError) {
	if problem := checkACLBody(body, "description", "active", "rule"); problem != nil {
		return nil, problem
	}
	if len(t.acls) >= t.opts.ACLLimit {
		return nil, &apiError{status: http.StatusConflict,
			message: fmt.Sprintf("The maximum number of network ACLs (%d) has been reached", t.opts.ACLLimit)}
	}
	acl := &networkACL{id: "acl_" + hexID(t.ids.Uint64(), t.ids.Uint64())[:22], priority: aclDefaultPriority, created: t.now, updated: t.now}
	if problem := acl.apply(body); problem != nil {
		return nil, problem
	}
	if problem := t.checkPriority(acl); problem != nil {
		return nil, problem
	}
	t.acls = append(t.acls, acl)
	t.rankACLs()
	return acl, nil
}

// changeACL patches an ACL, or with replace puts a whole new one in its place.
func (t *Tenant) changeACL(id string, body map[string]any, replace bool) (*networkACL, *apiError) {
	acl, problem := t.findACL(id)
	if problem != nil {
		return nil, problem
	}
	var required []string
	next := *acl
	if replace {
		required = []string{"description", "active", "rule"}
		next.priority = aclDefaultPriority
	}
	if problem := checkACLBody(body, required...); problem != nil {
		return nil, problem
	}
	if problem := next.apply(body); problem != nil {
		return nil, problem
	}
	if problem := t.checkPriority(&next); problem != nil {
		return nil, problem
	}
	next.updated = t.now
	*acl = next
	t.rankACLs()
	return acl, nil
}

func (t *Tenant) deleteACL(id string) *apiError {
	acl, problem := t.findACL(id)
	if problem != nil {
		return problem
	}
	t.acls = slices.DeleteFunc(t.acls, func(a *networkACL) bool { return a == acl })
	t.rankACLs()
	return nil
}

func (t *Tenant) findACL(id string) (*networkACL, *apiError) {
	for _, a := range t.acls {
		if a.id == id {
			return a, nil
		}
	}
	return nil, notFound("NetworkACL with this ID was not found")
}

// checkPriority refuses a priority that another ACL has, active or not.
func (t *Tenant) checkPriority(acl *networkACL) *apiError {
	for _, other := range t.acls {
		if other.id != acl.id && other.priority == acl.priority {
			return &apiError{status: http.StatusConflict,
				message: fmt.Sprintf("A network ACL with priority %g already exists", acl.priority)}
		}
	}
	return nil
}

func (t *Tenant) rankACLs() {
	t.ranked = t.ranked[:0]
	for _, a := range t.acls {
		if a.active {
			t.ranked = append(t.ranked, a)
		}
	}
	slices.SortFunc(t.ranked, func(a, b *networkACL) int {
		if a.priority < b.priority {
			return -1
		}
		return 1
	})
}

// NetworkACLs returns copies of the present network ACLs in order of creation.
func (t *Tenant) NetworkACLs() []map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]map[string]any, 0, len(t.acls))
	for _, a := range t.acls {
		list = append(list, a.json())
	}
	return list
}
