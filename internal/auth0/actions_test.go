package auth0

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const actionBody = `{"id":"a1","name":"guard","supported_triggers":[{"id":"post-login","version":"v3"}],"code":"new","status":"built",` +
	`"secrets":[{"name":"KEY","updated_at":"2026-01-01T00:00:00Z"}],"all_changes_deployed":false,"later":{"x":1},` +
	`"deployed_version":{"id":"v2","number":2,"code":"old","status":"built","deployed":true}}`

func TestAnActionIsReadWithItsDraftAndWhatIsDeployed(t *testing.T) {
	f := newFakeTenant(t, replies(200, actionBody))
	got, err := newClient(t, f, Options{}).Action(t.Context(), "a1")
	require.NoError(t, err)
	require.Equal(t, Action{ID: "a1", Name: "guard", Trigger: "post-login", Code: "new", Status: ActionBuilt, Secrets: []string{"KEY"},
		Deployed: &ActionVersion{ID: "v2", Number: 2, Code: "old", Status: ActionBuilt}, Raw: json.RawMessage(actionBody)}, got)
	require.Equal(t, "/api/v2/actions/actions/a1", f.requests("/api")[0].path)
}

func TestAllPagesOfActionsAreRead(t *testing.T) {
	for _, test := range []struct{ n, requests int }{{0, 1}, {3, 1}, {100, 1}, {101, 2}, {250, 3}} {
		f := newFakeTenant(t, func(w http.ResponseWriter, r *http.Request) {
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
			list := []string{}
			for i := page * size; i < min((page+1)*size, test.n); i++ {
				list = append(list, fmt.Sprintf(`{"id":"%d"}`, i))
			}
			reply(w, 200, fmt.Sprintf(`{"actions":[%s],"total":%d,"page":%d,"per_page":%d}`, strings.Join(list, ","), test.n, page, size))
		})
		list, err := newClient(t, f, Options{}).Actions(t.Context())
		require.NoError(t, err)
		require.Len(t, list, test.n)
		require.Len(t, f.requests("/api"), test.requests)
		require.Equal(t, "page=0&per_page=100", f.requests("/api")[0].query)
	}
}

func TestAListOfActionsThatIsNoneIsAnError(t *testing.T) {
	for _, body := range []string{``, `[]`, `{}`, `{"actions":null}`, `{"actions":{}}`, `{"actions":[],"total":"x"}`, `<html>`} {
		_, err := newClient(t, newFakeTenant(t, replies(200, body)), Options{}).Actions(t.Context())
		require.ErrorIs(t, err, ErrUnreachable, body)
	}
}

func TestWhatWritesOfActionsSend(t *testing.T) {
	f := newFakeTenant(t, replies(200, `{}`))
	c := newClient(t, f, Options{})
	require.NoError(t, c.CreateAction(t.Context(), testDraft(), "op-1"))
	require.NoError(t, c.UpdateAction(t.Context(), "a1", ActionDraft{Code: "x"}, "op-2"))
	require.NoError(t, c.DeployAction(t.Context(), "a1", "op-3"))
	require.NoError(t, c.SetBindings(t.Context(), "post-login", []BindingRef{{BindingID: "b1", DisplayName: "One"}, {ActionID: "a1", DisplayName: "Two"}}, "op-4"))
	require.NoError(t, c.SetBindings(t.Context(), "post-login", nil, "op-5"))
	got := f.requests("/api")
	require.Len(t, got, 5)
	for i, want := range []struct{ method, path, body string }{
		{"POST", "/api/v2/actions/actions", `{"name":"guard","supported_triggers":[{"id":"post-login","version":"v3"}],"runtime":"node22","code":"// code",` +
			`"secrets":[{"name":"KEY","value":"a-secret-value"}],"dependencies":[]}`},
		{"PATCH", "/api/v2/actions/actions/a1", `{"code":"x","secrets":[],"dependencies":[]}`},
		{"POST", "/api/v2/actions/actions/a1/deploy", ``},
		{"PATCH", "/api/v2/actions/triggers/post-login/bindings", `{"bindings":[{"ref":{"type":"binding_id","value":"b1"},"display_name":"One"},` +
			`{"ref":{"type":"action_id","value":"a1"},"display_name":"Two"}]}`},
		{"PATCH", "/api/v2/actions/triggers/post-login/bindings", `{"bindings":[]}`},
	} {
		require.Equal(t, want.method+" "+want.path, got[i].method+" "+got[i].path)
		require.Equal(t, fmt.Sprintf("op-%d", i+1), got[i].header.Get("X-Correlation-ID"))
		if want.body == "" {
			require.Empty(t, got[i].body)
			continue
		}
		require.JSONEq(t, want.body, string(got[i].body))
	}
}

func TestWritesOfActionsThatAreWrongAreNotSent(t *testing.T) {
	f := newFakeTenant(t, replies(200, `{}`))
	c := newClient(t, f, Options{})
	long := testDraft()
	long.Code = strings.Repeat("x", MaxActionCode+1)
	nameless := testDraft()
	nameless.Name = ""
	empty := testDraft()
	empty.Secrets = map[string]string{"KEY": ""}
	for name, err := range map[string]error{
		"too long":        c.CreateAction(t.Context(), long, "op"),
		"no name":         c.CreateAction(t.Context(), nameless, "op"),
		"an empty secret": c.UpdateAction(t.Context(), "a1", empty, "op"),
		"no op":           c.DeployAction(t.Context(), "a1", ""),
		"another path":    c.DeployAction(t.Context(), "../a1", "op"),
		"a path":          c.SetBindings(t.Context(), "post-login/x", nil, "op"),
		"too many":        c.SetBindings(t.Context(), "post-login", make([]BindingRef, 21), "op"),
	} {
		require.ErrorIs(t, err, ErrInvalid, name)
	}
	require.Empty(t, f.requests("/api"))
}

func TestTheCurrentVersionOfATriggerCounts(t *testing.T) {
	f := newFakeTenant(t, replies(200, `{"triggers":[{"id":"post-login","version":"v2","status":"DEPRECATED","default_runtime":"node18"},`+
		`{"id":"post-login","version":"v3","status":"CURRENT","default_runtime":"node22"},{"id":"post-login","version":"v1","status":"DEPRECATED"}]}`))
	got, err := newClient(t, f, Options{}).Triggers(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]Trigger{"post-login": {ID: "post-login", Version: "v3", DefaultRuntime: "node22"}}, got)
}

func TestTheScopesOfTheTokenAreTold(t *testing.T) {
	f := newFakeTenant(t, replies(200, `{}`))
	c := newClient(t, f, Options{})
	got, told, err := c.Scopes(t.Context())
	require.NoError(t, err)
	require.False(t, told, "the tenant says nothing of them")
	require.Empty(t, got)
}
