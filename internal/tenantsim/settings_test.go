package tenantsim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBotDetectionDefaultsAndMerge(t *testing.T) {
	s := newSite(t, Options{})
	want := map[string]any{
		"bot_detection_level": "medium", "challenge_password_policy": "when_risky", "challenge_passwordless_policy": "never",
		"challenge_password_reset_policy": "never", "allowlist": []any{}, "monitoring_mode_enabled": false,
	}
	require.Equal(t, want, s.call("GET", "/attack-protection/bot-detection", "").json(t))

	got := s.call("PATCH", "/attack-protection/bot-detection", `{"bot_detection_level":"high","allowlist":["192.0.2.1","2001:db8::/32"]}`)
	require.Equal(t, 200, got.status)
	want["bot_detection_level"], want["allowlist"] = "high", []any{"192.0.2.1", "2001:db8::/32"}
	require.Equal(t, want, got.json(t), "the whole object comes back")

	got = s.call("PATCH", "/attack-protection/bot-detection", `{"allowlist":["192.0.2.2"]}`)
	want["allowlist"] = []any{"192.0.2.2"}
	require.Equal(t, want, got.json(t), "lists are replaced")
	require.Equal(t, want, s.BotDetection())
	s.BotDetection()["allowlist"].([]any)[0] = "changed"
	require.Equal(t, want, s.BotDetection(), "callers get copies")
}

func TestSettingsThatAreRefused(t *testing.T) {
	s := newSite(t, Options{})
	tooMany := `{"allowlist":["` + strings.Repeat(`192.0.2.1","`, 100) + `192.0.2.1"]}`
	for _, tc := range []struct{ name, group, body string }{
		{"an unknown field", botDetection, `{"level":"high"}`},
		{"an unknown level", botDetection, `{"bot_detection_level":"maximum"}`},
		{"the legacy policy value", botDetection, `{"challenge_password_policy":"off"}`},
		{"a word for a boolean", botDetection, `{"monitoring_mode_enabled":"false"}`},
		{"null", botDetection, `{"bot_detection_level":null}`},
		{"an allowlist entry that is no address", botDetection, `{"allowlist":["office"]}`},
		{"an allowlist of 101", botDetection, tooMany},
		{"a list for a body", botDetection, `[]`},
		{"broken JSON", botDetection, `{`},
		{"two objects", botDetection, `{}{}`},
		{"an unknown shield", suspiciousIP, `{"shields":["user_notification"]}`},
		{"no attempts at all", suspiciousIP, `{"stage":{"pre-login":{"max_attempts":0,"rate":864000}}}`},
		{"a rate under its minimum", suspiciousIP, `{"stage":{"pre-login":{"max_attempts":1,"rate":34559}}}`},
		{"half a stage", suspiciousIP, `{"stage":{"pre-login":{"max_attempts":1}}}`},
		{"an unknown stage", suspiciousIP, `{"stage":{"post-login":{"max_attempts":1,"rate":864000}}}`},
		{"more than a hundred attempts", bruteForce, `{"max_attempts":101}`},
		{"a fraction of an attempt", bruteForce, `{"max_attempts":1.5}`},
		{"an unknown mode", bruteForce, `{"mode":"count_per_ip"}`},
		{"an unknown method", breachedPasswords, `{"method":"best"}`},
		{"an unknown frequency", breachedPasswords, `{"admin_notification_frequency":["hourly"]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := s.Settings(tc.group)
			got := s.call("PATCH", "/attack-protection/"+tc.group, tc.body)
			require.Equal(t, 400, got.status, got.body)
			require.Equal(t, "invalid_body", got.json(t)["errorCode"])
			require.Equal(t, before, s.Settings(tc.group))
		})
	}
	require.Zero(t, s.Stats().Writes)
	require.Empty(t, s.events(), "failed writes are not logged")
	require.Equal(t, 404, s.call("GET", "/attack-protection/nothing", "").status)
	require.Equal(t, 404, s.call("PUT", "/attack-protection/bot-detection", "{}").status)
	require.Equal(t, 413, s.call("PATCH", "/attack-protection/bot-detection", strings.Repeat(" ", 1<<20)+"{}").status)
}

func TestThrottlingStagesMergeOneByOne(t *testing.T) {
	s := newSite(t, Options{})
	got := s.call("PATCH", "/attack-protection/suspicious-ip-throttling", `{"stage":{"pre-login":{"max_attempts":20,"rate":4320000}}}`)
	require.Equal(t, 200, got.status, got.body)
	want := initialSettings(false)[suspiciousIP]
	want["stage"].(map[string]any)["pre-login"] = map[string]any{"max_attempts": 20.0, "rate": 4320000.0}
	require.Equal(t, want, got.json(t))
	for _, group := range []string{bruteForce, breachedPasswords} {
		require.Equal(t, initialSettings(false)[group], s.call("GET", "/attack-protection/"+group, "").json(t))
		require.Equal(t, 200, s.call("PATCH", "/attack-protection/"+group, `{"enabled":false}`).status)
		require.Equal(t, false, s.Settings(group)["enabled"])
	}
}

func TestAPlanWithoutBotDetectionAnswers403(t *testing.T) {
	s := newSite(t, Options{NoBotDetection: true})
	for _, method := range []string{"GET", "PATCH"} {
		got := s.call(method, "/attack-protection/bot-detection", "{}")
		require.Equal(t, 403, got.status)
		require.NotContains(t, got.json(t), "errorCode", "a missing feature is not a missing scope")
	}
}

func acl(priority int, extra string) string {
	return fmt.Sprintf(`{"description":"d%d","active":true,"priority":%d,"rule":{"scope":"authentication","action":{"block":true}%s}}`, priority, priority, extra)
}

func matchIP(ips ...string) string {
	return `,"match":{"ipv4_cidrs":["` + strings.Join(ips, `","`) + `"]}`
}

func TestNetworkACLLifeCycle(t *testing.T) {
	s := newSite(t, Options{})
	made := s.call("POST", "/network-acls", acl(10, matchIP("198.51.100.0/24", "192.0.2.7")))
	require.Equal(t, 201, made.status, made.body)
	require.Empty(t, made.body, "the id has to be found by listing")

	list := s.call("GET", "/network-acls", "").list(t)
	require.Len(t, list, 1)
	require.Equal(t, []string{"active", "created_at", "description", "id", "priority", "rule", "updated_at"}, sortedKeys(list[0]))
	id := list[0]["id"].(string)
	require.LessOrEqual(t, len(id), 36)
	require.True(t, strings.HasPrefix(id, "acl_"))

	full := s.call("GET", "/network-acls/"+id, "").json(t)
	require.Equal(t, "sim", full["tenant_id"])
	require.Contains(t, full, "deleted_at")

	patched := s.call("PATCH", "/network-acls/"+id, `{"rule":{"scope":"tenant","action":{"block":true,"log":true}}}`)
	require.Equal(t, 200, patched.status, patched.body)
	require.Equal(t, map[string]any{"scope": "tenant", "action": map[string]any{"block": true, "log": true}}, patched.json(t)["rule"],
		"a rule is replaced whole: the match is lost")
	require.Equal(t, "d10", patched.json(t)["description"])

	put := s.call("PUT", "/network-acls/"+id, `{"description":"new","active":false,"rule":{"scope":"authentication","action":{"allow":true}}}`)
	require.Equal(t, 200, put.status, put.body)
	require.EqualValues(t, 50, put.json(t)["priority"], "what a replacement leaves out goes back to its default")
	require.Equal(t, 400, s.call("PUT", "/network-acls/"+id, `{"description":"new"}`).status)

	gone := s.call("DELETE", "/network-acls/"+id, "")
	require.Equal(t, 204, gone.status)
	require.Empty(t, gone.body)
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
		got := s.call(method, "/network-acls/"+id, acl(1, ""))
		require.Equal(t, 404, got.status, method)
		require.Equal(t, "NetworkACL with this ID was not found", got.json(t)["message"])
	}
	require.Equal(t, "[]", s.call("GET", "/network-acls", "").body)
}

func TestNetworkACLsThatAreRefused(t *testing.T) {
	s := newSite(t, Options{})
	require.Equal(t, 201, s.call("POST", "/network-acls", acl(1, matchIP("192.0.2.1"))).status)
	rule := func(rule string) string { return `{"description":"d","active":true,"rule":` + rule + `}` }
	twentyOne := strings.Split(strings.Repeat("192.0.2.1 ", 21), " ")[:21]
	for _, tc := range []struct {
		name, body string
		status     int
	}{
		{"no description", `{"active":true,"rule":{"scope":"tenant","action":{"block":true}}}`, 400},
		{"an empty description", `{"description":"","active":true,"rule":{"scope":"tenant","action":{"block":true}}}`, 400},
		{"a description of 256", `{"description":"` + strings.Repeat("x", 256) + `","active":true,"rule":{"scope":"tenant","action":{"block":true}}}`, 400},
		{"no active", `{"description":"d","rule":{"scope":"tenant","action":{"block":true}}}`, 400},
		{"no rule", `{"description":"d","active":true}`, 400},
		{"an unknown member", strings.Replace(acl(2, ""), `"active"`, `"id":"x","active"`, 1), 400},
		{"priority 0", acl(0, ""), 400},
		{"priority 101", acl(101, ""), 400},
		{"a priority that is taken", acl(1, ""), 409},
		{"an unknown scope", rule(`{"scope":"dcr","action":{"block":true}}`), 400},
		{"no action", rule(`{"scope":"tenant"}`), 400},
		{"an empty action", rule(`{"scope":"tenant","action":{}}`), 400},
		{"a false action", rule(`{"scope":"tenant","action":{"block":true,"log":false}}`), 400},
		{"two actions", rule(`{"scope":"tenant","action":{"block":true,"allow":true}}`), 400},
		{"a redirect to nowhere", rule(`{"scope":"tenant","action":{"redirect":true}}`), 400},
		{"an empty list", acl(2, `,"match":{"ipv4_cidrs":[]}`), 400},
		{"21 entries", acl(2, matchIP(twentyOne...)), 400},
		{"an IPv6 address among IPv4", acl(2, matchIP("2001:db8::1")), 400},
		{"a number for an address", acl(2, `,"match":{"ipv4_cidrs":[1]}`), 400},
		{"an ASN as text", acl(2, `,"match":{"asns":["64496"]}`), 400},
		{"a country by name", acl(2, `,"match":{"geo_country_codes":["Germany"]}`), 400},
		{"an unknown signal", acl(2, `,"match":{"cidrs":["192.0.2.1"]}`), 400},
		{"a null match", acl(2, `,"match":null`), 400},
		{"Auth0's own lists without the feature", acl(2, `,"not_match":{"auth0_managed":["auth0.tor"]}`), 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := s.call("POST", "/network-acls", tc.body)
			require.Equal(t, tc.status, got.status, got.body)
			require.Len(t, s.NetworkACLs(), 1)
		})
	}
	require.Equal(t, 201, s.call("POST", "/network-acls", acl(2, matchIP(twentyOne[:20]...))).status)
	require.Equal(t, 409, s.call("PATCH", "/network-acls/"+s.NetworkACLs()[1]["id"].(string), `{"priority":1}`).status)
	require.Equal(t, 200, s.call("PATCH", "/network-acls/"+s.NetworkACLs()[1]["id"].(string), `{"priority":2}`).status)
}

func TestTheNumberOfNetworkACLsIsLimitedByThePlan(t *testing.T) {
	s := newSite(t, Options{})
	for i := range 10 {
		require.Equal(t, 201, s.call("POST", "/network-acls", acl(i+1, "")).status)
	}
	require.Equal(t, 409, s.call("POST", "/network-acls", acl(11, "")).status)
	page := s.call("GET", "/network-acls?include_totals=true&page=1&per_page=4", "").json(t)
	require.EqualValues(t, 10, page["total"])
	require.EqualValues(t, 4, page["start"])
	require.Len(t, page["network_acls"], 4)
	require.Equal(t, 400, s.call("GET", "/network-acls?per_page=101", "").status)

	one := newSite(t, Options{ACLLimit: 1})
	require.Equal(t, 201, one.call("POST", "/network-acls", acl(1, "")).status)
	require.Equal(t, 409, one.call("POST", "/network-acls", acl(2, "")).status)

	none := newSite(t, Options{ACLLimit: -1})
	for _, call := range [][2]string{{"GET", ""}, {"POST", ""}, {"GET", "/x"}, {"DELETE", "/x"}} {
		require.Equal(t, 403, none.call(call[0], "/network-acls"+call[1], acl(1, "")).status)
	}
}

func TestARuleThatMatchesTheCallerLocksItOut(t *testing.T) {
	s := newSite(t, Options{})
	require.Equal(t, 201, s.call("POST", "/network-acls", strings.Replace(acl(5, matchIP("127.0.0.0/8")), "authentication", "management", 1)).status)
	require.Equal(t, 403, s.call("GET", "/logs", "").status)
	require.NotEmpty(t, s.fetchToken(), "tokens are not of the management scope")
	require.NoError(t, s.HumanRequest("POST", "/network-acls", map[string]any{"description": "way back", "active": true, "priority": 1,
		"rule": map[string]any{"scope": "tenant", "action": map[string]any{"allow": true}, "match": map[string]any{"ipv4_cidrs": []string{"127.0.0.1"}}}}))
	require.Equal(t, 200, s.call("GET", "/logs", "").status)
}
