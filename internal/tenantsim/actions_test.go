package tenantsim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const postLogin = `"supported_triggers":[{"id":"post-login","version":"v3"}]`

// action makes an Action and lets its build end.
func (s *site) action(name string) string {
	s.t.Helper()
	got := s.call("POST", "/actions/actions", fmt.Sprintf(`{"name":%q,%s,"code":"// %s"}`, name, postLogin, name))
	require.Equal(s.t, 201, got.status, got.body)
	require.Equal(s.t, "pending", got.json(s.t)["status"])
	id := got.json(s.t)["id"].(string)
	s.settle(id)
	return id
}

// settle reads an Action until nothing moves.
func (s *site) settle(id string) map[string]any {
	s.t.Helper()
	s.call("GET", "/actions/actions/"+id, "")
	got := s.call("GET", "/actions/actions/"+id, "")
	require.Equal(s.t, 200, got.status)
	return got.json(s.t)
}

func (s *site) deployed(name string) string {
	s.t.Helper()
	id := s.action(name)
	require.Equal(s.t, 202, s.call("POST", "/actions/actions/"+id+"/deploy", "").status)
	require.Equal(s.t, true, s.settle(id)["all_changes_deployed"])
	return id
}

func (s *site) bind(refs ...string) result {
	s.t.Helper()
	items := []string{}
	for i := 0; i+1 < len(refs); i += 2 {
		items = append(items, fmt.Sprintf(`{"ref":{"type":%q,"value":%q}}`, refs[i], refs[i+1]))
	}
	return s.call("PATCH", "/actions/triggers/post-login/bindings", `{"bindings":[`+strings.Join(items, ",")+`]}`)
}

func TestAnActionIsBuiltThenDeployedAndBothTakeTime(t *testing.T) {
	s := newSite(t, Options{})
	got := s.call("POST", "/actions/actions", `{"name":"a",`+postLogin+`,"code":"x","secrets":[{"name":"K","value":"v"}]}`)
	require.Equal(t, 201, got.status, got.body)
	require.NotContains(t, got.body, `"v"`, "values of secrets are never told")
	id := got.json(t)["id"].(string)
	path := "/actions/actions/" + id

	require.Equal(t, 400, s.call("POST", path+"/deploy", "").status, "not built yet")
	require.Equal(t, "building", s.call("GET", path, "").json(t)["status"])
	require.Equal(t, "built", s.call("GET", path, "").json(t)["status"])
	require.Equal(t, 400, s.bind("action_id", id).status, "not deployed yet")

	accepted := s.call("POST", path+"/deploy", "")
	require.Equal(t, 202, accepted.status)
	require.Equal(t, false, accepted.json(t)["deployed"])
	require.Equal(t, 1.0, accepted.json(t)["number"])
	require.Equal(t, false, s.call("GET", path, "").json(t)["all_changes_deployed"])
	now := s.call("GET", path, "").json(t)
	require.Equal(t, true, now["all_changes_deployed"])
	require.Equal(t, "x", at(now, "deployed_version.code"))

	require.Equal(t, 200, s.call("PATCH", path, `{"code":"y"}`).status)
	now = s.settle(id)
	require.Equal(t, false, now["all_changes_deployed"], "the draft alone is changed")
	require.Equal(t, "x", at(now, "deployed_version.code"))
	require.Equal(t, "y", now["code"])
	require.Len(t, ofType(s.events(), "sapi"), 3)
}

func TestBuildsAndDeploymentsThatFailLeaveWhatIsDeployed(t *testing.T) {
	s := newSite(t, Options{})
	id := s.deployed("a")
	path := "/actions/actions/" + id
	s.FailBuilds(1)
	s.call("PATCH", path, `{"code":"bad"}`)
	require.Equal(t, "failed", s.settle(id)["status"])
	require.Equal(t, 400, s.call("POST", path+"/deploy", "").status)
	s.call("PATCH", path, `{"code":"good"}`)
	require.Equal(t, "built", s.settle(id)["status"])
	s.FailDeploys(1)
	require.Equal(t, 202, s.call("POST", path+"/deploy", "").status)
	now := s.settle(id)
	require.Equal(t, "// a", at(now, "deployed_version.code"))
	versions := s.call("GET", path+"/versions", "").json(t)["versions"].([]any)
	require.Equal(t, "failed", at(versions[0], "status"))
	require.NotEmpty(t, at(versions[0], "errors"))
	require.Equal(t, true, at(versions[1], "deployed"))
}

func TestAPatchOfBindingsReplacesTheWholeFlow(t *testing.T) {
	s := newSite(t, Options{})
	a, b := s.deployed("a"), s.deployed("b")
	require.Equal(t, 200, s.bind("action_id", a, "action_name", "b").status)
	require.Equal(t, []string{"a", "b"}, s.Flow("post-login"))
	list := s.call("GET", "/actions/triggers/post-login/bindings", "").json(t)
	require.Equal(t, 2.0, list["total"])
	first := at(list["bindings"].([]any)[0], "id").(string)
	require.Equal(t, a, at(list["bindings"].([]any)[0], "action.id"))

	require.Equal(t, 200, s.bind("action_id", b, "binding_id", first).status)
	require.Equal(t, []string{"b", "a"}, s.Flow("post-login"))
	require.Equal(t, 200, s.bind("binding_id", first).status)
	require.Equal(t, []string{"a"}, s.Flow("post-login"), "what is not named is gone")

	require.Equal(t, 400, s.bind("action_id", a, "action_name", "a").status, "bound twice")
	require.Equal(t, 404, s.bind("binding_id", "gone").status)
	require.Equal(t, 400, s.call("PATCH", "/actions/triggers/post-login/bindings", `{}`).status)
	require.Equal(t, 400, s.call("PATCH", "/actions/triggers/pre-user-registration/bindings", `{"bindings":[{"ref":{"type":"action_id","value":"`+a+`"}}]}`).status)
	require.Equal(t, []string{"a"}, s.Flow("post-login"))

	require.Equal(t, 400, s.call("DELETE", "/actions/actions/"+a, "").status, "it is bound")
	require.Equal(t, 204, s.call("DELETE", "/actions/actions/"+a+"?force=true", "").status)
	require.Empty(t, s.Flow("post-login"))
	require.Equal(t, 200, s.call("PATCH", "/actions/triggers/post-login/bindings", `{"bindings":[]}`).status)
}

func TestLimitsOfActions(t *testing.T) {
	s := newSite(t, Options{ActionReads: 1})
	var refs []string
	for i := range 21 {
		refs = append(refs, "action_id", s.deployed(fmt.Sprint("a", i)))
	}
	require.Equal(t, 200, s.bind(refs[:40]...).status)
	require.Equal(t, 400, s.bind(refs...).status, "twenty at most")
	require.Equal(t, 409, s.call("POST", "/actions/actions", `{"name":"a1",`+postLogin+`}`).status)
	for i := range 60 {
		path := "/actions/actions/" + refs[1]
		s.call("PATCH", path, fmt.Sprintf(`{"code":"%d"}`, i))
		s.settle(refs[1])
		require.Equal(t, 202, s.call("POST", path+"/deploy", "").status)
		s.settle(refs[1])
	}
	got := s.call("GET", "/actions/actions/"+refs[1]+"/versions?per_page=100", "").json(t)
	require.Equal(t, 50.0, got["total"])
	require.Equal(t, 61.0, at(got["versions"].([]any)[0], "number"))
	for name, body := range map[string]string{
		"no trigger":             `{"name":"n"}`,
		"two triggers":           `{"name":"n","supported_triggers":[{"id":"post-login","version":"v3"},{"id":"post-login","version":"v3"}]}`,
		"an old version":         `{"name":"n","supported_triggers":[{"id":"post-login","version":"v1"}]}`,
		"a runtime that is gone": `{"name":"n",` + postLogin + `,"runtime":"node16"}`,
		"too much code":          `{"name":"n",` + postLogin + `,"code":"` + strings.Repeat("x", maxActionCode+1) + `"}`,
		"a secret with no value": `{"name":"n",` + postLogin + `,"secrets":[{"name":"K"}]}`,
		"an unknown member":      `{"name":"n",` + postLogin + `,"bound":true}`,
	} {
		require.Equal(t, 400, s.call("POST", "/actions/actions", body).status, name)
	}
	require.Len(t, s.Actions(), 21)
	page := s.call("GET", "/actions/actions?per_page=2&page=10", "").json(t)
	require.Len(t, page["actions"], 1)
	require.Equal(t, 21.0, page["total"])
	require.Equal(t, 1.0, s.call("GET", "/actions/actions?actionName=a3", "").json(t)["total"])
}

func TestActionsAskForTheirScopes(t *testing.T) {
	for scope, calls := range map[string][]string{
		"read:actions":   {"GET /actions/actions", "GET /actions/actions/x", "GET /actions/triggers", "GET /actions/triggers/post-login/bindings"},
		"create:actions": {"POST /actions/actions", "POST /actions/actions/x/deploy"},
		"update:actions": {"PATCH /actions/actions/x", "PATCH /actions/triggers/post-login/bindings"},
		"delete:actions": {"DELETE /actions/actions/x"},
	} {
		s := newSite(t, Options{Scopes: []string{"read:logs"}})
		with := newSite(t, Options{Scopes: []string{scope}})
		for _, c := range calls {
			method, path, _ := strings.Cut(c, " ")
			require.Equal(t, 403, s.call(method, path, "{}").status, c)
			require.NotEqual(t, 403, with.call(method, path, "{}").status, c)
		}
	}
}
