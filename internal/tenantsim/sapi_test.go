package tenantsim

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEachWriteIsLoggedOnce(t *testing.T) {
	s := newSite(t, Options{})
	long := strings.Repeat("c", 70)
	require.Equal(t, 200, s.call("PATCH", "/attack-protection/bot-detection", `{"bot_detection_level":"high"}`, "X-Correlation-ID", long).status)
	require.Equal(t, 201, s.call("POST", "/network-acls", acl(10, matchIP("192.0.2.1")), "X-Correlation-ID", "op-1").status)
	id := s.NetworkACLs()[0]["id"].(string)
	require.Equal(t, 200, s.call("PATCH", "/network-acls/"+id, `{"active":false}`).status)
	require.Equal(t, 204, s.call("DELETE", "/network-acls/"+id, "").status)
	s.call("GET", "/network-acls", "")
	require.Equal(t, 400, s.call("PATCH", "/attack-protection/bot-detection", `{"x":1}`).status)

	events := s.events()
	require.Len(t, events, 4, "reads and failed writes leave no trace")
	require.Equal(t, 4, s.Stats().Writes)
	for i, want := range []struct {
		method, path string
		status       float64
	}{
		{"patch", "/api/v2/attack-protection/bot-detection", 200}, {"post", "/api/v2/network-acls", 201},
		{"patch", "/api/v2/network-acls/" + id, 200}, {"delete", "/api/v2/network-acls/" + id, 204},
	} {
		ev := events[i]
		require.Equal(t, "sapi", ev["type"])
		require.Equal(t, want.method, at(ev, "details.request.method"))
		require.Equal(t, want.path, at(ev, "details.request.path"))
		require.Equal(t, want.status, at(ev, "details.response.statusCode"))
		require.Equal(t, "api", at(ev, "details.request.channel"))
		require.Equal(t, map[string]any{}, at(ev, "details.request.auth.user"))
		require.Equal(t, DefaultClientID, ev["client_id"])
		require.Equal(t, "", ev["user_id"])
		require.Equal(t, "127.0.0.1", ev["ip"])
		require.NotContains(t, ev, "hostname")
		if i > 0 {
			require.Greater(t, ev["date"], events[i-1]["date"], "no two writes share a date")
		}
	}
	require.Equal(t, long[:64], at(events[0], "references.correlation_id"))
	require.Equal(t, "op-1", at(events[1], "references.correlation_id"))
	require.NotContains(t, events[2], "references")
	require.Equal(t, map[string]any{"bot_detection_level": "high"}, at(events[0], "details.request.body"))
	require.Equal(t, "when_risky", at(events[0], "details.response.body.challenge_password_policy"), "the log shows the whole resource")
	require.Equal(t, id, at(events[1], "details.response.body.id"))
	require.Equal(t, false, at(events[2], "details.response.body.active"))
	require.NotNil(t, at(events[0], "details.request.auth.credentials.scopes"), "scopes show at a token's first use")
	require.Nil(t, at(events[1], "details.request.auth.credentials.scopes"))
}

func TestHumanChanges(t *testing.T) {
	s := newSite(t, Options{})
	require.NoError(t, s.HumanPatch("/attack-protection/bot-detection", map[string]any{"challenge_password_policy": "never", "allowlist": []string{"192.0.2.9"}}))
	require.Equal(t, "never", s.BotDetection()["challenge_password_policy"])
	require.Equal(t, []any{"192.0.2.9"}, s.BotDetection()["allowlist"])

	require.Equal(t, 201, s.call("POST", "/network-acls", acl(10, matchIP("192.0.2.1"))).status)
	path := "/api/v2/network-acls/" + s.NetworkACLs()[0]["id"].(string)
	require.NoError(t, s.HumanPatch(path, map[string]any{"active": false}))
	require.Equal(t, false, s.NetworkACLs()[0]["active"])
	require.NoError(t, s.HumanPatch(path, nil))
	require.Empty(t, s.NetworkACLs())

	require.ErrorContains(t, s.HumanPatch(path, nil), "404")
	require.ErrorContains(t, s.HumanPatch("/attack-protection/bot-detection", map[string]any{"challenge_password_policy": "off"}), "400")
	require.ErrorContains(t, s.HumanPatch("/attack-protection/bot-detection", map[string]any{"x": func() {}}), "body")

	events := s.events()
	require.Len(t, events, 4)
	for i, ev := range append(events[:1:1], events[2:]...) {
		require.Equal(t, "https://manage.auth0.com/", at(ev, "details.request.channel"))
		require.NotEmpty(t, at(ev, "details.request.auth.user.user_id"))
		require.NotContains(t, ev, "references")
		require.NotEqual(t, DefaultClientID, ev["client_id"])
		require.Equal(t, []string{"patch", "patch", "delete"}[i], at(ev, "details.request.method"))
	}
}

func TestACLSummaryEveryTenMinutesWhileThereAreACLs(t *testing.T) {
	s := newSite(t, Options{CalmRate: 0.5})
	s.Advance(25 * time.Minute)
	require.Empty(t, ofType(s.events(), "acls_summary"))
	require.Equal(t, 201, s.call("POST", "/network-acls", acl(10, matchIP("198.51.100.0/24"))).status)
	require.Equal(t, 201, s.call("POST", "/network-acls", strings.Replace(acl(5, matchIP("198.18.0.0/15")), `"block":true`, `"log":true`, 1)).status)
	s.Attack(Attack{Kind: CredentialStuffing, Rate: 1, Duration: time.Hour})
	s.Advance(20 * time.Minute)
	summaries := ofType(s.events(), "acls_summary")
	require.Len(t, summaries, 2)
	require.NotContains(t, summaries[0], "ip")
	require.Equal(t, "2026-03-02T09:30:00.000Z", at(summaries[1], "details.start_time"))
	require.Equal(t, "2026-03-02T09:40:00.000Z", at(summaries[1], "details.end_time"))
	stats := at(summaries[1], "details.stats").([]any)
	require.Equal(t, "block", at(stats[0], "action"))
	require.InDelta(t, 600, at(stats[0], "match.successes"), 100)
	require.InDelta(t, 300, at(stats[1], "match.successes"), 100, "a logging rule counts and lets evaluation go on")
	require.InDelta(t, 900, at(stats[0], "total_request_count.successes"), 200)
	require.Zero(t, s.Stats().CalmDenied)
}
