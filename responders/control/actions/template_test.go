package actions

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/dop251/goja"
	"github.com/stretchr/testify/require"

	"portcullis/catalog"
	"portcullis/detections"
)

func template(t *testing.T, id string) *Template {
	t.Helper()
	for _, tmpl := range shipped(t) {
		if tmpl.ID == id {
			return tmpl
		}
	}
	require.Fail(t, "no template "+id)
	return nil
}

var shippedLists = sync.OnceValues(func() (detections.Lists, error) { return detections.ReadLists(catalog.FS, "lists") })

// shippedFacts are what a tenant without settings has.
func shippedFacts(t *testing.T) Facts {
	t.Helper()
	lists, err := shippedLists()
	require.NoError(t, err)
	return Facts{Domain: "acme.eu.auth0.com", List: func(name string) []string { return lists[name].Entries() }}
}

func TestEveryActionNamedInTheDesignIsShipped(t *testing.T) {
	require.Equal(t, []string{"disposable-domains-refused", "implicit-refused", "last-ip-recorded", "mfa-required", "passkey-required", "pkce-required",
		"session-tightened", "sms-throttled", "trusted-networks", "unblock-after-password-change", "verified-email-required"}, IDs(shipped(t)))
}

func TestShippedActionsNeedNoMoreThanTheseSettings(t *testing.T) {
	needed := map[string][]string{}
	for _, tmpl := range shipped(t) {
		code, missing, err := tmpl.Render(nil, shippedFacts(t))
		require.NoError(t, err)
		if len(missing) > 0 {
			needed[tmpl.ID] = missing
			continue
		}
		id, untouched := madeBy(code)
		require.Equal(t, tmpl.ID, id)
		require.True(t, untouched)
	}
	require.Equal(t, map[string][]string{"trusted-networks": {"networks"}, "unblock-after-password-change": {"client_id"}}, needed)
}

func TestDomainsThatPeopleUseAreNotTakenForDisposableOnes(t *testing.T) {
	code, _, err := template(t, "disposable-domains-refused").Render(nil, shippedFacts(t))
	require.NoError(t, err)
	refused := func(domain string) bool {
		got := runInGo(t, job{Code: code, Handler: "onExecutePreUserRegistration", Test: map[string]any{"event": map[string]any{"user": map[string]any{"email": "x@" + domain}}}})
		require.Empty(t, got.Threw)
		return len(got.Calls) > 0
	}
	require.True(t, refused("mailinator.com"))
	for _, domain := range []string{"gmail.com", "outlook.com", "yahoo.com", "icloud.com", "gmx.de", "web.de", "proton.me", "qq.com", "163.com", "example.co.uk"} {
		require.False(t, refused(domain), domain)
	}
}

func TestNoTextOfASettingBecomesCode(t *testing.T) {
	tmpl := template(t, "passkey-required")
	for _, text := range []string{
		`"; exports.onExecutePostLogin = null; //`, "a\nb\r\u2028\u2029\x00", `</script><!--`, `\"); throw 1; ("`, "`${1}`", "*/ /*", `__proto__`, "\xff\xfe", mark,
	} {
		code, _, err := tmpl.Render(map[string]any{"message": text, "metadata_key": text, "applications": []any{text}}, Facts{})
		require.NoError(t, err)
		require.NotContains(t, code, "</script")
		require.NotContains(t, code, "\u2028")
		vm := goja.New()
		require.NoError(t, vm.Set("exports", vm.NewObject()))
		_, err = vm.RunString(code + "; exports.settings = JSON.stringify(settings)")
		require.NoError(t, err, "%q", text)
		var got map[string]any
		require.NoError(t, json.Unmarshal([]byte(vm.Get("exports").ToObject(vm).Get("settings").String()), &got))
		want := strings.ToValidUTF8(text, "\uFFFD\uFFFD")
		require.Equal(t, map[string]any{"message": want, "metadata_key": want, "applications": []any{want}}, got)
	}
}

func TestAnEditIsSeenAndAHeadAloneProvesNothing(t *testing.T) {
	code, _, err := template(t, "mfa-required").Render(nil, Facts{})
	require.NoError(t, err)
	for name, edited := range map[string]string{
		"a letter":      strings.Replace(code, "any", "Any", 1),
		"a line":        code + "\n",
		"another sum":   strings.Replace(code, "sha256=", "sha256=0000", 1)[:len(code)],
		"another order": code[1:] + code[:1],
	} {
		_, untouched := madeBy(edited)
		require.False(t, untouched, name)
	}
	id, _ := madeBy("// our own\n" + code)
	require.Empty(t, id)
}

func TestSettingsThatAreWrongAreNamed(t *testing.T) {
	sms, nets := template(t, "sms-throttled"), template(t, "trusted-networks")
	for name, tt := range map[string]struct {
		tmpl  *Template
		given map[string]any
		want  string
	}{
		"unknown":             {sms, map[string]any{"per_aplication": 3}, "did you mean per_application?"},
		"too large":           {sms, map[string]any{"window_minutes": 1441}, "must be between 1 and 1440, found 1441"},
		"too small":           {sms, map[string]any{"window_minutes": 0.5}, "must be between"},
		"text for a number":   {sms, map[string]any{"per_country": "5"}, "must be a number"},
		"text for a boolean":  {sms, map[string]any{"count_enrolment": "true"}, "must be true or false"},
		"no text":             {sms, map[string]any{"message": ""}, "must be text"},
		"no network":          {nets, map[string]any{"networks": []any{}}, "at least one network"},
		"a host for a net":    {nets, map[string]any{"networks": []any{"office"}}, "found office"},
		"a zone":              {nets, map[string]any{"networks": []any{"fe80::1%eth0"}}, "found fe80::1%eth0"},
		"most of version 6":   {nets, map[string]any{"networks": []any{"::ffff:0:0/90"}}, "found ::ffff:0:0/90"},
		"a text for a list":   {nets, map[string]any{"networks": "203.0.113.0/24"}, "must be a list"},
		"a number in a list":  {nets, map[string]any{"applications": []any{7}}, "must be a list of texts"},
		"one of other values": {template(t, "session-tightened"), map[string]any{"on_change": "end"}, "must be one of shorten, revoke"},
	} {
		wrong := tt.tmpl.CheckSettings(tt.given)
		require.Len(t, wrong, 1, name)
		require.Contains(t, wrong[0].Msg, tt.want, name)
		_, _, err := tt.tmpl.Render(tt.given, Facts{})
		require.ErrorContains(t, err, tt.want, name)
	}
}

func TestCodeThatIsTooLongForAuth0IsRefused(t *testing.T) {
	var long []any
	for range 2000 {
		long = append(long, strings.Repeat("x", 60))
	}
	_, _, err := template(t, "pkce-required").Render(map[string]any{"exempt_applications": long}, Facts{})
	require.ErrorContains(t, err, "100000 are allowed: shorten its lists")
}

func TestTemplatesThatAreWrongAreNotLoaded(t *testing.T) {
	const good = "action: a\ntitle: t\ntrigger: post-login\nposition: first\nrank: 1\ncost: none\n"
	const code = mark + "\nexports.onExecutePostLogin = async () => settings.x;\n"
	for name, tt := range map[string]struct{ yaml, code, want string }{
		"another name":        {strings.Replace(good, "action: a", "action: b", 1), code, "is b in a file called a"},
		"an unknown trigger":  {strings.Replace(good, "post-login", "pre-login", 1), code, "pre-login is not one of"},
		"a place between":     {strings.Replace(good, "first", "middle", 1), code, "must be first or last"},
		"no place for values": {good, "exports.onExecutePostLogin = async () => 1;", "the code needs one line"},
		"no handler":          {good, mark, "the code has no exports.onExecutePostLogin"},
		"an unused setting":   {good + "settings: {y: {type: bool, default: true, doc: d}}\n", code, "the code does not use it"},
		"an unused secret":    {good + "secrets: {KEY: {doc: d}}\n", code, "the code does not use it"},
		"an unknown type":     {good + "settings: {x: {type: date, default: 1, doc: d}}\n", code, "type date is not one of"},
		"no default":          {good + "settings: {x: {type: bool, doc: d}}\n", code, "exactly one of default and required"},
		"a wrong default":     {good + "settings: {x: {type: bool, default: 1, doc: d}}\n", code, "must be true or false"},
		"an unknown key":      {good + "plan: enterprise\n", code, "unknown key plan"},
	} {
		_, err := ReadTemplates(fstest.MapFS{"d/a.yaml": {Data: []byte(tt.yaml)}, "d/a.js": {Data: []byte(tt.code)}}, "d")
		require.ErrorContains(t, err, tt.want, name)
	}
	_, err := ReadTemplates(fstest.MapFS{"d/a.yaml": {Data: []byte(good)}}, "d")
	require.ErrorContains(t, err, "read the code of d/a.yaml")
	ts, err := ReadTemplates(fstest.MapFS{"d/a.yaml": {Data: []byte(good)}, "d/a.js": {Data: []byte(code)}}, "d")
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, IDs(ts))
}

func TestThePageOfActionsNamesEverySetting(t *testing.T) {
	page, err := os.ReadFile("../../../docs/actions.md")
	require.NoError(t, err)
	for _, tmpl := range shipped(t) {
		row := ""
		for _, line := range strings.Split(string(page), "\n") {
			if strings.HasPrefix(line, "| `"+tmpl.ID+"` |") {
				row = line
			}
		}
		require.Contains(t, row, "`"+tmpl.Trigger+"`, "+tmpl.Position, tmpl.ID)
		for name := range tmpl.Settings {
			require.Contains(t, row, "`"+name+"`", tmpl.ID)
		}
		for name := range tmpl.Secrets {
			require.Contains(t, row, "`"+name+"`", tmpl.ID)
		}
	}
}
