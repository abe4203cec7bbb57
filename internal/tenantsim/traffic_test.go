package tenantsim

import (
	"bytes"
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func dump(t *testing.T, tenant *Tenant) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, tenant.WriteEnvelopes(&b))
	return b.String()
}

func TestTheSameSeedMakesTheSameTraffic(t *testing.T) {
	run := func(seed uint64, steps ...time.Duration) string {
		tenant := New(Options{Start: testStart, Seed: seed, CalmRate: 3, IndexLag: 5 * time.Second})
		tenant.Attack(Attack{Kind: CredentialStuffing, Start: testStart.Add(time.Minute), Rate: 5})
		for _, d := range steps {
			tenant.Advance(d)
		}
		return dump(t, tenant)
	}
	whole := run(7, 10*time.Minute)
	require.Greater(t, strings.Count(whole, "\n"), 3000)
	require.True(t, whole == run(7, 10*time.Minute))
	require.True(t, whole == run(7, 17*time.Second, 1*time.Millisecond, 5*time.Minute, 5*time.Minute-17*time.Second-time.Millisecond),
		"how the time is cut does not matter")
	require.False(t, whole == run(8, 10*time.Minute))
}

func TestDefencesDoNotChangeCalmTraffic(t *testing.T) {
	calm := func(level string) (logins []string) {
		tenant := New(Options{Start: testStart, CalmRate: 3})
		tenant.Attack(Attack{Kind: CredentialStuffing, ValidShare: -1})
		require.NoError(t, tenant.HumanPatch("/attack-protection/bot-detection", map[string]any{"bot_detection_level": level}))
		tenant.Advance(10 * time.Minute)
		for _, ev := range tenant.log.events {
			if slices.Contains([]string{"s", "ss", "gd_send_sms", "seacft"}, ev.typ) {
				logins = append(logins, formatDate(ev.at)+ev.ip+ev.typ)
			}
		}
		return logins
	}
	require.Equal(t, calm("low"), calm("high"))
}

// members lists the members of each type: those Auth0's schema requires, and those it knows besides. date is required
// here though the schema leaves it open.
var members = map[string][2]string{
	"s":               {"client_name description details environment_name hostname ip log_id strategy strategy_type tenant_name type", "$event_schema agent_id auth0_client client_id connection connection_id date external_agent_id identity_user_id is_mobile organization_id organization_name references security_context user_agent user_id user_name"},
	"fp":              {"client_name description details environment_name ip log_id strategy strategy_type tenant_name type", "$event_schema client_id connection connection_id date identity_user_id is_mobile organization_id organization_name references security_context user_agent user_id user_name"},
	"fu":              {"client_name description details environment_name ip log_id strategy strategy_type tenant_name type", "$event_schema client_id connection connection_id date identity_user_id is_mobile organization_id organization_name references security_context user_agent user_id user_name"},
	"pla":             {"client_name description details environment_name hostname ip log_id tenant_name type", "$event_schema auth0_client client_id connection connection_id date identity_user_id is_mobile user_agent user_id user_name"},
	"limit_wc":        {"client_name description environment_name hostname ip log_id tenant_name type", "$event_schema client_id connection connection_id date details identity_user_id is_mobile security_context user_agent user_id user_name"},
	"limit_mu":        {"client_name description environment_name hostname ip log_id tenant_name type", "$event_schema client_id connection connection_id date details identity_user_id is_mobile security_context user_agent user_id user_name"},
	"pwd_leak":        {"client_name description environment_name hostname ip log_id tenant_name type", "$event_schema client_id connection connection_id date details identity_user_id is_mobile security_context user_agent user_id user_name"},
	"gd_send_sms":     {"description details environment_name ip log_id tenant_name type", "$event_schema client_id client_name connection connection_id date identity_user_id is_mobile references user_agent user_id user_name"},
	"gd_auth_succeed": {"description details environment_name ip log_id tenant_name type", "$event_schema date identity_user_id is_mobile references user_agent user_id user_name"},
	"seacft":          {"audience client_name description details environment_name hostname ip log_id tenant_name type", "$event_schema agent_id auth0_client client_id client_ip connection connection_id date external_agent_id identity_user_id is_mobile mtls_thumbprint_sha256 organization_id organization_name references security_context transaction_linking_id user_agent user_id user_name"},
	"sertft":          {"audience client_name description details environment_name ip log_id tenant_name type", "$event_schema agent_id auth0_client client_id client_ip connection connection_id date external_agent_id identity_user_id is_mobile mtls_thumbprint_sha256 organization_id organization_name references scope user_agent user_id user_name"},
	"ss":              {"client_name description details environment_name hostname ip log_id strategy strategy_type tenant_name type", "$event_schema auth0_client client_id connection connection_id date identity_user_id is_mobile organization_id organization_name references security_context user_agent user_id user_name"},
	"sv":              {"client_name description details environment_name ip log_id strategy strategy_type tenant_name type", "$event_schema client_id connection connection_id date identity_user_id is_mobile references user_agent user_id user_name"},
	"slo":             {"client_name description details environment_name hostname ip log_id tenant_name type", "$event_schema auth0_client client_id connection connection_id date identity_user_id is_mobile user_agent user_id user_name"},
	"sapi":            {"client_name description details environment_name ip log_id tenant_name type", "$event_schema auth0_client client_id date is_mobile references user_agent user_id"},
	"acls_summary":    {"description details environment_name log_id tenant_name type", "$event_schema date is_mobile user_agent"},
	"api_limit":       {"client_name description details environment_name hostname log_id tenant_name type", "$event_schema auth0_client client_id connection connection_id date identity_user_id is_mobile user_agent user_id user_name"},
}

func TestEventsHaveTheMembersOfTheirType(t *testing.T) {
	s := newSite(t, Options{CalmRate: 1, SuspiciousIPThrottling: true, RateBurst: 1, RateRefill: 1e-9})
	require.NoError(t, s.HumanRequest("POST", "/network-acls", map[string]any{"description": "log", "active": true,
		"rule": map[string]any{"scope": "authentication", "action": map[string]any{"log": true}}}))
	s.call("GET", "/logs", "")
	require.Equal(t, 429, s.call("GET", "/logs", "").status)
	s.Attack(Attack{Kind: SuspiciousSuccess})
	s.Attack(Attack{Kind: CredentialStuffing, Rate: 1})
	s.Advance(25 * time.Minute)
	seen := map[string]int{}
	for _, ev := range s.events() {
		typ := ev["type"].(string)
		seen[typ]++
		required, optional := strings.Fields(members[typ][0]), strings.Fields(members[typ][1])
		for _, name := range append(required, "date") {
			if _, ok := ev[name]; !ok {
				require.Fail(t, "missing member", "%s lacks %s", typ, name)
			}
		}
		for name := range ev {
			if !slices.Contains(required, name) && !slices.Contains(optional, name) {
				require.Fail(t, "unknown member", "%s has no member %s", typ, name)
			}
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(members)), slices.Sorted(maps.Keys(seen)), "every type occurs")
	dumped := dump(t, s.Tenant)
	size := len(dumped) / strings.Count(dumped, "\n")
	require.InDelta(t, 1000, size, 300, "about a kilobyte each")
}

func TestACalmTenantLooksCalm(t *testing.T) {
	for name, opts := range map[string]Options{
		"by default":              {CalmRate: 1},
		"with few and busy users": {CalmRate: 5, Users: 60},
		"with many users":         {CalmRate: 5, Users: 20_000},
	} {
		t.Run(name, func(t *testing.T) {
			opts.Start = testStart
			tenant := New(opts)
			tenant.Advance(2 * time.Hour)
			calm := netip.MustParsePrefix("198.18.0.0/15")
			names, sms := map[string]map[string]bool{}, map[string][]time.Time{}
			most, mostSMS := 0, 0
			for _, ev := range tenant.log.events {
				if !calm.Contains(netip.MustParseAddr(ev.ip)) {
					require.Fail(t, "an address that is not calm", ev.ip)
				}
				switch ev.typ {
				case "fp", "fu":
					if names[ev.ip] == nil {
						names[ev.ip] = map[string]bool{}
					}
					names[ev.ip][ev.userName()] = true
					most = max(most, len(names[ev.ip]))
				case "gd_send_sms":
					id := ev.who.id
					sms[id] = append(slices.DeleteFunc(sms[id], func(old time.Time) bool { return ev.at.Sub(old) > time.Hour }), ev.at)
					mostSMS = max(mostSMS, len(sms[id]))
				case "pla":
					if ev.risky {
						require.Fail(t, "a calm user was judged risky")
					}
				}
			}
			require.LessOrEqual(t, most, 8)
			require.LessOrEqual(t, mostSMS, 5)
			require.NotEmpty(t, names)
			require.NotEmpty(t, sms)
			for _, typ := range []string{"limit_wc", "limit_mu", "pwd_leak"} {
				require.Zero(t, tenant.Stats().EventsByType[typ])
			}
		})
	}
}

func TestCalmRateIsLoginsPerSecond(t *testing.T) {
	tenant := New(Options{Start: testStart, CalmRate: 4})
	tenant.Advance(time.Hour)
	require.InDelta(t, 4*3600, tenant.Stats().CalmLogins, 500)
	require.Equal(t, testStart.Add(time.Hour), tenant.Now())
}

func TestIndexLagDelaysEvents(t *testing.T) {
	tenant := New(Options{Start: testStart, CalmRate: 10, IndexLag: 10 * time.Second})
	tenant.Advance(7 * time.Second)
	require.Empty(t, decodeEvents(t, tenant))
	require.NotZero(t, tenant.Stats().Events)
	tenant.Advance(10 * time.Minute)
	late, least, most := 0, time.Hour, time.Duration(0)
	for _, ev := range tenant.log.events {
		indexed, err := time.Parse("20060102150405.000", ev.logID[3:17]+"."+ev.logID[17:20])
		require.NoError(t, err)
		lag := indexed.Sub(ev.at)
		least, most = min(least, lag), max(most, lag)
		if lag > 15*time.Second {
			late++
		}
	}
	require.InDelta(t, 8*time.Second, least, float64(time.Second))
	require.InDelta(t, 48*time.Second, most, float64(3*time.Second))
	require.InDelta(t, lateShare, float64(late)/float64(len(tenant.log.events)), 0.015)
}

func TestRunMovesTheClockAtItsSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := New(Options{Start: testStart, Speed: 60})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- tenant.Run(ctx) }()
		time.Sleep(10*time.Second + time.Millisecond)
		require.Equal(t, testStart.Add(10*time.Minute), tenant.Now())
		require.Error(t, tenant.Run(ctx), "only one at a time")
		cancel()
		require.NoError(t, <-done)

		still := New(Options{Start: testStart, Speed: -1})
		ctx, cancel = context.WithCancel(t.Context())
		go func() { done <- still.Run(ctx) }()
		time.Sleep(time.Minute)
		require.Equal(t, testStart, still.Now())
		cancel()
		require.NoError(t, <-done)
	})
}

func TestConcurrentUse(t *testing.T) {
	s := newSite(t, Options{CalmRate: 20, IndexLag: time.Second})
	var wg sync.WaitGroup
	for _, do := range []func(){
		func() { s.Advance(4 * time.Second) },
		func() { s.Attack(Attack{Kind: SMSBombing}) },
		func() { s.call("GET", "/logs?from="+beginning(), "") },
		func() { s.call("PATCH", "/attack-protection/bot-detection", `{"bot_detection_level":"high"}`) },
		func() {
			_ = s.HumanPatch("/attack-protection/bot-detection", map[string]any{"bot_detection_level": "low"})
		},
		func() { s.Stats(); s.NetworkACLs(); s.BotDetection(); s.Now() },
		func() { s.Inject(map[string]any{"type": "s"}) },
		func() { s.Fail(Fault{Method: "PUT"}); dump(t, s.Tenant) },
	} {
		wg.Go(func() {
			for range 5 {
				do()
			}
		})
	}
	wg.Wait()
	require.NotZero(t, s.Stats().Events)
}

func BenchmarkAnHourOfAttack(b *testing.B) {
	for b.Loop() {
		tenant := New(Options{Start: testStart, CalmRate: 5})
		tenant.Attack(Attack{Kind: CredentialStuffing, Rate: 20, Duration: time.Hour})
		tenant.Advance(time.Hour)
	}
}
