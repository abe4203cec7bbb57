package tenantsim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// underAttack runs ten minutes of an attack under the given settings and returns its outcomes and the events, of which
// the attack made all.
func underAttack(t *testing.T, a Attack, bot map[string]any, opts Options, setUp func(*Tenant)) (AttackStats, *logged) {
	t.Helper()
	opts.Start, opts.CalmRate, opts.Seed = testStart, -1, 11
	tenant := New(opts)
	if bot != nil {
		require.NoError(t, tenant.HumanPatch("/attack-protection/bot-detection", bot))
	}
	if setUp != nil {
		setUp(tenant)
	}
	a.Duration = 10 * time.Minute
	tenant.Attack(a)
	tenant.Advance(11 * time.Minute)
	stats := tenant.Stats()
	got := stats.Attacks[0]
	require.Equal(t, got.Attempts, got.Denied+got.Throttled+got.Challenged+got.Failed+got.Succeeded)
	require.Equal(t, stats.Outcomes, got.Outcomes)
	return got, &logged{t: t, Tenant: tenant}
}

// logged is the log after an attack; most tests only count, which is much cheaper than to decode.
type logged struct {
	t *testing.T
	*Tenant
}

func (l *logged) count(types ...string) (n int) {
	for _, typ := range types {
		n += l.stats.EventsByType[typ]
	}
	return n
}

func (l *logged) decode(types ...string) []map[string]any {
	return ofType(decodeEvents(l.t, l.Tenant), types...)
}

func TestBotDetectionStopsItsShareOfCredentialStuffing(t *testing.T) {
	for _, tc := range []struct {
		name  string
		bot   map[string]any
		share float64
		pla   float64 // of attempts
	}{
		{"never", map[string]any{"challenge_password_policy": "never"}, 0, 0.50},
		{"monitoring", map[string]any{"challenge_password_policy": "always", "monitoring_mode_enabled": true}, 0, 0.50},
		{"when risky, low", map[string]any{"bot_detection_level": "low"}, 0.20, 0.20},
		{"when risky, medium", nil, 0.50, 0.50},
		{"when risky, high", map[string]any{"bot_detection_level": "high"}, 0.85, 0.85},
		{"always", map[string]any{"challenge_password_policy": "always"}, 0.97, 0.97},
		{"always, but on the allowlist", map[string]any{"challenge_password_policy": "always", "allowlist": []string{"198.51.100.0/24"}}, 0, 0.50},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, events := underAttack(t, Attack{Kind: CredentialStuffing}, tc.bot, Options{}, nil)
			require.InDelta(t, 12000, got.Attempts, 500)
			n := float64(got.Attempts)
			require.InDelta(t, tc.share*(1-botSolves), float64(got.Challenged)/n, 0.02)
			require.InDelta(t, tc.pla, float64(events.count("pla"))/n, 0.02)
			require.InDelta(t, 0.02*(1-tc.share), float64(got.Succeeded)/n, 0.005, "the success falls with the defence")
			require.Equal(t, got.Succeeded, events.count("s"))
			require.Equal(t, got.Failed, events.count("fp", "fu"))
		})
	}
}

func TestCredentialStuffingLooksLikeIt(t *testing.T) {
	_, events := underAttack(t, Attack{Kind: CredentialStuffing, Rate: 5}, nil, Options{}, nil)
	type address struct {
		names    map[any]bool
		failures int
	}
	byIP := map[any]*address{}
	ja4 := map[any]bool{}
	for _, ev := range events.decode("fp", "fu") {
		a := byIP[ev["ip"]]
		if a == nil {
			a = &address{names: map[any]bool{}}
			byIP[ev["ip"]] = a
		}
		a.failures++
		a.names[ev["user_name"]] = true
		ja4[at(ev, "security_context.ja4")] = true
	}
	require.Len(t, byIP, 3)
	require.Len(t, ja4, 1, "one tool")
	for _, a := range byIP {
		require.Greater(t, a.failures, 300)
		require.Greater(t, len(a.names), 250)
	}
	for _, ev := range events.decode("pla") {
		require.Equal(t, true, at(ev, "details.requiresVerification"))
	}
	require.NotZero(t, events.count("fu"))
	require.Equal(t, 3, events.count("pwd_leak"), "at most one an hour per address")
}

func TestNetworkACLsDenyAttemptsWithoutATrace(t *testing.T) {
	block := func(priority int, action, scope, match string) map[string]any {
		return map[string]any{"description": "d", "active": true, "priority": priority,
			"rule": map[string]any{"scope": scope, "action": map[string]any{action: true}, "match": map[string]any{match: map[string]any{
				"ipv4_cidrs": []any{"198.51.100.0/24"}, "ja4_fingerprints": []any{tools[0].ja4}, "asns": []any{65550},
				"geo_country_codes": []any{"ZZ"}, "user_agents": []any{tools[0].raw}, "hostnames": []any{DefaultCustomDomain}}[match]}}}
	}
	inactive := block(10, "block", "authentication", "ipv4_cidrs")
	inactive["active"] = false
	and := block(10, "block", "authentication", "ipv4_cidrs")
	and["rule"].(map[string]any)["match"].(map[string]any)["asns"] = []any{1}
	either := block(10, "block", "authentication", "ipv4_cidrs")
	either["rule"].(map[string]any)["match"].(map[string]any)["ipv6_cidrs"] = []any{"2001:db8::/32"}
	not := block(10, "block", "authentication", "ipv4_cidrs")
	not["rule"].(map[string]any)["not_match"] = map[string]any{"ja4_fingerprints": []any{tools[0].ja4}}
	all := block(10, "block", "authentication", "ipv4_cidrs")
	delete(all["rule"].(map[string]any), "match")
	monitor := block(10, "block", "authentication", "ipv4_cidrs")
	monitor["rule"].(map[string]any)["action"] = map[string]any{"block": true, "log": true}
	for _, tc := range []struct {
		name   string
		acls   []map[string]any
		denied bool
	}{
		{"an address block", []map[string]any{block(10, "block", "authentication", "ipv4_cidrs")}, true},
		{"a block of scope tenant", []map[string]any{block(10, "block", "tenant", "ipv4_cidrs")}, true},
		{"a block of scope management does not", []map[string]any{block(10, "block", "management", "ipv4_cidrs")}, false},
		{"a fingerprint block", []map[string]any{block(10, "block", "authentication", "ja4_fingerprints")}, true},
		{"a network number block", []map[string]any{block(10, "block", "authentication", "asns")}, true},
		{"a country block", []map[string]any{block(10, "block", "authentication", "geo_country_codes")}, true},
		{"a user agent block", []map[string]any{block(10, "block", "authentication", "user_agents")}, true},
		{"a hostname block", []map[string]any{block(10, "block", "authentication", "hostnames")}, true},
		{"an inactive block does not", []map[string]any{inactive}, false},
		{"a rule that only logs does not", []map[string]any{block(10, "log", "authentication", "ipv4_cidrs")}, false},
		{"a block in monitoring does not", []map[string]any{monitor}, false},
		{"signals must all hold", []map[string]any{and}, false},
		{"IPv4 and IPv6 are one pair", []map[string]any{either}, true},
		{"not_match must fail", []map[string]any{not}, false},
		{"a rule without match hits everybody", []map[string]any{all}, true},
		{"an earlier allow wins", []map[string]any{block(10, "block", "authentication", "ipv4_cidrs"), block(9, "allow", "authentication", "asns")}, false},
		{"a later allow loses", []map[string]any{block(10, "block", "authentication", "ipv4_cidrs"), block(11, "allow", "authentication", "asns")}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, events := underAttack(t, Attack{Kind: CredentialStuffing, Rate: 2}, nil, Options{}, func(tenant *Tenant) {
				for _, acl := range tc.acls {
					require.NoError(t, tenant.HumanRequest("POST", "/network-acls", acl))
				}
			})
			if tc.denied {
				require.Equal(t, got.Attempts, got.Denied)
				require.Zero(t, events.count("fp", "fu", "s", "pla"))
				return
			}
			require.Zero(t, got.Denied)
			require.NotZero(t, got.Succeeded)
		})
	}
}

func TestThrottlingBruteForceAndBreachedShields(t *testing.T) {
	noBots := map[string]any{"challenge_password_policy": "never"}
	patch := func(group string, body map[string]any) func(*Tenant) {
		return func(tenant *Tenant) {
			require.NoError(t, tenant.HumanPatch("/attack-protection/"+group, body))
		}
	}
	t.Run("throttling ends an address after a hundred failures", func(t *testing.T) {
		got, events := underAttack(t, Attack{Kind: CredentialStuffing}, noBots, Options{SuspiciousIPThrottling: true}, nil)
		require.InDelta(t, 3*100, got.Failed, 5)
		require.Equal(t, 3, events.count("limit_mu"))
		require.Greater(t, got.Throttled, 11000)
	})
	t.Run("tighter throttling ends it sooner", func(t *testing.T) {
		got, _ := underAttack(t, Attack{Kind: CredentialStuffing}, noBots, Options{}, patch(suspiciousIP, map[string]any{"enabled": true,
			"stage": map[string]any{"pre-login": map[string]any{"max_attempts": 10, "rate": 86_400_000}}}))
		require.InDelta(t, 3*10, got.Failed, 3)
	})
	t.Run("throttling without the block shield only logs", func(t *testing.T) {
		got, events := underAttack(t, Attack{Kind: CredentialStuffing}, noBots, Options{}, patch(suspiciousIP, map[string]any{"enabled": true, "shields": []any{}}))
		require.Zero(t, got.Throttled)
		require.Equal(t, 3, events.count("limit_mu"))
	})
	t.Run("ten failures lock an account for an address", func(t *testing.T) {
		got, events := underAttack(t, Attack{Kind: CredentialStuffing, Users: 1, KnownShare: 1, ValidShare: -1}, noBots, Options{}, nil)
		require.Equal(t, 3*10, got.Failed)
		require.Equal(t, got.Throttled, events.count("limit_wc"))
	})
	t.Run("counted per account the addresses share the count", func(t *testing.T) {
		got, _ := underAttack(t, Attack{Kind: CredentialStuffing, Users: 1, KnownShare: 1, ValidShare: -1}, noBots, Options{},
			patch(bruteForce, map[string]any{"mode": "count_per_identifier", "max_attempts": 5}))
		require.Equal(t, 5, got.Failed)
	})
	t.Run("without brute force protection nothing is locked", func(t *testing.T) {
		got, events := underAttack(t, Attack{Kind: CredentialStuffing, Users: 1, KnownShare: 1, ValidShare: -1}, noBots, Options{},
			patch(bruteForce, map[string]any{"enabled": false}))
		require.Equal(t, got.Attempts, got.Failed)
		require.Zero(t, events.count("limit_wc"))
	})
	t.Run("blocking breached passwords halves the success", func(t *testing.T) {
		open, _ := underAttack(t, Attack{Kind: CredentialStuffing}, noBots, Options{}, nil)
		got, _ := underAttack(t, Attack{Kind: CredentialStuffing}, noBots, Options{}, patch(breachedPasswords, map[string]any{"shields": []any{"block"}}))
		require.InDelta(t, 0.5, float64(got.Succeeded)/float64(open.Succeeded), 0.15)
	})
	t.Run("a plan without bot detection challenges nobody", func(t *testing.T) {
		got, events := underAttack(t, Attack{Kind: CredentialStuffing}, nil, Options{NoBotDetection: true}, nil)
		require.Zero(t, got.Challenged)
		require.Zero(t, events.count("pla"))
	})
}

func TestSMSBombing(t *testing.T) {
	attack := Attack{Kind: SMSBombing, Addresses: 2, Target: "auth0|victim"}
	open, events := underAttack(t, attack, nil, Options{}, nil)
	sms := events.decode("gd_send_sms")
	require.Len(t, sms, open.Succeeded)
	require.Greater(t, len(sms), 60)
	addresses := map[any]bool{}
	for _, ev := range sms {
		require.Equal(t, "auth0|victim", ev["user_id"])
		require.NotContains(t, ev, "hostname")
		addresses[ev["ip"]] = true
	}
	require.Len(t, addresses, 2)

	attack.Rate = 5
	for policy, share := range map[string]float64{"never": 0, "when_risky": 0.5, "always": 0.97} {
		got, _ := underAttack(t, attack, map[string]any{"challenge_passwordless_policy": policy}, Options{}, nil)
		require.InDelta(t, share*(1-botSolves), float64(got.Challenged)/float64(got.Attempts), 0.04, policy)
	}
	got, _ := underAttack(t, attack, nil, Options{}, func(tenant *Tenant) {
		require.NoError(t, tenant.HumanRequest("POST", "/network-acls", map[string]any{"description": "d", "active": true, "rule": map[string]any{
			"scope": "authentication", "action": map[string]any{"block": true}, "match": map[string]any{"ipv4_cidrs": []any{"198.51.100.0/24"}}}}))
	})
	require.Equal(t, got.Attempts, got.Denied)
}

func TestSuspiciousSuccess(t *testing.T) {
	got, log := underAttack(t, Attack{Kind: SuspiciousSuccess}, nil, Options{}, nil)
	events := decodeEvents(t, log.Tenant)
	require.NotZero(t, got.Succeeded)
	first := map[any]int{}
	for i, ev := range events {
		if _, ok := first[ev["type"]]; !ok {
			first[ev["type"]] = i
		}
	}
	for _, typ := range []string{"fp", "pla", "limit_wc"} {
		require.Contains(t, first, typ)
		require.Less(t, first[typ], first["s"], typ)
	}
	success := ofType(events, "s")[0]
	require.Equal(t, ofType(events, "limit_wc")[0]["ip"], success["ip"])
	require.NotEqual(t, ofType(events, "limit_wc")[0]["user_id"], success["user_id"])

	stopped, _ := underAttack(t, Attack{Kind: SuspiciousSuccess}, map[string]any{"challenge_password_policy": "always"}, Options{}, nil)
	require.Less(t, stopped.Succeeded, got.Succeeded/4)
}

func TestAttacksStartAndEndOnTime(t *testing.T) {
	tenant := New(Options{Start: testStart, CalmRate: -1})
	tenant.Attack(Attack{Kind: CredentialStuffing, Start: testStart.Add(time.Minute), Duration: time.Minute})
	tenant.Attack(Attack{Kind: SMSBombing})
	tenant.Attack(Attack{Kind: 99})
	tenant.Advance(59 * time.Second)
	require.Zero(t, tenant.Stats().Attacks[0].Attempts)
	require.NotZero(t, tenant.Stats().Attacks[1].Attempts)
	tenant.Advance(61 * time.Second)
	n := tenant.Stats().Attacks[0].Attempts
	require.InDelta(t, 1200, n, 150)
	tenant.Advance(time.Minute)
	require.Equal(t, n, tenant.Stats().Attacks[0].Attempts)
	require.Zero(t, tenant.Stats().Attacks[2].Attempts)
	require.Equal(t, "SMS bombing", tenant.Stats().Attacks[1].Kind.String())
}
