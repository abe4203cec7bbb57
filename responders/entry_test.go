package responders

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/control/networkacl"
	"portcullis/responders/hold"
)

const someJA4 = "t13d1516h2_8daaf6152771_b186095e22b6"

// entryPolicy has one response on a network ACL.
func entryPolicy(response string) string {
	return "id: stuffing\nwhen: alert.rule == \"stuffing\"\ndo:\n  - {hold: network-acl, for: 1h, at_most: 4h, " + response + "}\n"
}

func ja4Alert() detections.Alert {
	a := alert(0, 41, "198.51.100.7")
	a.Entities.JA4 = []string{strings.ToUpper(someJA4)}
	a.Evidence = map[string]any{"systems": []any{64500, 64501.0}, "net": "192.0.2.77/28"}
	return a
}

func TestAPolicySaysWhatItsSubjectsAre(t *testing.T) {
	for name, tt := range map[string]struct{ response, subject, match string }{
		"a fingerprint":   {"match: ja4, subject: alert.entities.ja4", "ja4:" + someJA4, "ja4_fingerprints"},
		"an address":      {"subject: alert.entities.ip", "198.51.100.7", "ipv4_cidrs"},
		"a network":       {"match: network, subject: alert.evidence.net", "192.0.2.64/28", "ipv4_cidrs"},
		"systems":         {"match: asn, subject: alert.evidence.systems", "asn:64501", "asns"},
		"a fixed country": {"match: country, subject: '\"aq\"'", "country:AQ", "geo_country_codes"},
		"a user agent":    {"match: user_agent, subject: '\"curl/8.5.0: x\"'", "user_agent:curl/8.5.0: x", "user_agents"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tenantsim.Options{})
			w.policy = entryPolicy(tt.response)
			w.start()
			w.r.Offer(opened(ja4Alert()))
			w.step()
			require.Equal(t, 1, w.told("Holds network-acl on "), w.lines)
			found := false
			for _, h := range w.r.holds {
				require.Equal(t, hold.Active, h.State, h.Note)
				found = found || h.Subject == tt.subject
			}
			require.True(t, found, "%s is held", tt.subject)
			acls := w.NetworkACLs()
			require.Len(t, acls, 1)
			require.Contains(t, acls[0]["rule"].(map[string]any)["match"], tt.match)
			w.after(5 * time.Hour)
			require.Empty(t, w.NetworkACLs())
		})
	}
}

func TestWhatASubjectIsNotIsRefused(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.policy = entryPolicy("match: ja4, subject: alert.entities.ip")
	w.start()
	w.r.Offer(opened(ja4Alert()))
	w.step()
	require.Equal(t, 1, w.told(`Did not hold network-acl on 198.51.100.7: "198.51.100.7" is no JA4 fingerprint`), w.lines)
	require.Empty(t, w.writes)
}

func TestProblemsOfEntriesAreToldWhenAPolicyIsRead(t *testing.T) {
	for response, want := range map[string]string{
		"match: ja5, subject: alert.entities.ja4": `no subject is of the kind "ja5" (did you mean ja3?)`,
		"match: ja4": "need a subject",
		"subject: alert.entities.ip, level: deny":                                       `network-acl has no level "deny": one of log, block (the default), redirect`,
		"subject: alert.entities.ip, level: redirect":                                   "level redirect needs redirect_to",
		"subject: alert.entities.ip, level: log, log_first: 5m":                         "takes no log_first",
		"subject: alert.entities.ip, scope: everything":                                 `no scope "everything"`,
		"subject: alert.entities.ip, scope: management, mode: enforce":                  "its mode is propose at most",
		"subject: alert.entities.ip, confidence: 7":                                     "confidence is above 0 and at most 1",
		"subject: alert.entities.ip, ladder: [{level: block}, {level: log, after: 5m}]": "log is not stricter than block",
	} {
		_, err := LoadPolicies([]detections.File{{Name: "p.yaml", Data: []byte(entryPolicy(response))}}, checkers())
		require.ErrorContains(t, err, want, response)
		require.ErrorContains(t, err, "p.yaml:4:", response)
	}
	_, err := LoadPolicies([]detections.File{{Name: "p.yaml", Data: []byte("id: p\nwhen: true\ndo:\n  - {hold: bot-detection, level: elevated, for: 1h, match: ja4}\n")}}, checkers())
	require.ErrorContains(t, err, "not for bot-detection")
	_, err = LoadPolicies([]detections.File{{Name: "p.yaml", Data: []byte(entryPolicy("subject: alert.entities.ip, ladder: [{level: log}, {level: block, after: 5m}]"))}}, checkers())
	require.NoError(t, err)
}

// aWeekOfLogins is what a daemon remembers of a calm week.
func aWeekOfLogins() *networkacl.Healthy {
	h := networkacl.NewHealthy()
	for d := range 7 {
		at := start.Add(-time.Duration(6-d) * 24 * time.Hour)
		for i := range 400 {
			h.Saw(networkacl.Login{At: at, Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), JA4: someJA4}, at)
		}
	}
	return h
}

func TestAnEntryThatHealthyPeopleShareIsOnlyAskedFor(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.policy, w.healthy = entryPolicy("match: ja4, subject: alert.entities.ja4"), aWeekOfLogins()
	w.start()
	w.r.Offer(opened(ja4Alert()))
	w.step()
	require.Equal(t, map[hold.State]int{hold.AwaitingApproval: 1}, w.holds())
	require.Equal(t, 1, w.told("had 2800 of the 2800 logins that succeeded"), w.lines)
	require.Empty(t, w.writes)
	h := w.r.sortedHolds()[0]
	_, err := w.r.CarryOut(w.ctx, Order{Kind: OrderApprove, Hold: h.ID, Plan: PlanHash(h), Actor: "ann"})
	require.NoError(t, err)
	require.Len(t, w.NetworkACLs(), 1, "a person may")
	w.r.Offer(updated(func() detections.Alert {
		a := ja4Alert()
		a.UpdatedAt, a.Count = start.Add(30*time.Minute), 60
		return a
	}()))
	w.after(80 * time.Minute)
	require.Equal(t, map[hold.State]int{hold.Active: 1}, w.holds(), "and new evidence renews it")
}

func TestAScopeThatCanLockOutIsAskedForAndProven(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.policy, w.healthy = entryPolicy("scope: management, subject: alert.entities.ip"), aWeekOfLogins()
	w.start()
	w.r.Offer(opened(ja4Alert()))
	w.step()
	require.Equal(t, map[hold.State]int{hold.AwaitingApproval: 1}, w.holds())
	h := w.r.sortedHolds()[0]
	require.Contains(t, PlanText(h), "in scope management")
	require.NotEqual(t, PlanHash(h), PlanHash(func() *hold.Hold { other := *h; other.Entry.Scope = "tenant"; return &other }()))
	_, err := w.r.CarryOut(w.ctx, Order{Kind: OrderApprove, Hold: h.ID, Plan: PlanHash(h), Actor: "ann"})
	require.NoError(t, err)
	require.Equal(t, hold.Failed, h.State)
	require.Contains(t, h.Note, "is not known yet", "nothing was ever written from here, so nothing is proven")
	require.Empty(t, w.NetworkACLs())

	w = newWorld(t, tenantsim.Options{})
	w.policy, w.healthy = entryPolicy("scope: management, subject: alert.entities.ip"), aWeekOfLogins()
	w.healthy.SawOwn(netip.MustParseAddr("127.0.0.1"), start)
	w.start()
	w.r.Offer(opened(ja4Alert()))
	w.step()
	h = w.r.sortedHolds()[0]
	_, err = w.r.CarryOut(w.ctx, Order{Kind: OrderApprove, Hold: h.ID, Plan: PlanHash(h), Actor: "ann"})
	require.NoError(t, err)
	require.Equal(t, hold.Active, h.State, h.Note)
	require.Len(t, w.NetworkACLs(), 1)
}

func TestNoSubjectReachesWhatIsOnTheListFromEitherSide(t *testing.T) {
	nt, err := NewNeverTouch([]string{"203.0.113.64/26", "2001:db8:ffff::/48", "198.51.100.7"}, []string{"auth0|boss"}, []string{"billing"})
	require.NoError(t, err)
	for text, allowed := range map[string]bool{
		"203.0.113.65":           false, // inside
		"203.0.113.64/26":        false, // the same
		"203.0.113.64/30":        false, // a part
		"203.0.113.0/24":         false, // around
		"203.0.0.0/16":           false,
		"203.0.113.0/26":         true, // beside
		"203.0.113.128/25":       true,
		"::ffff:203.0.113.65":    false, // in another form
		"::ffff:203.0.113.0/120": false,
		"::ffff:cb00:7141":       false,
		"198.51.100.0/28":        false, // around one address
		"198.51.100.8/29":        true,
		"2001:db8:ffff::1":       false,
		"2001:db8:ffff:1::/64":   false,
		"2001:db8::/32":          false,
		"2001:db8:fffe::/48":     true,
		"203.0.0.0/15":           false, // too wide for anybody
		"2001::/16":              false,
		"0.0.0.0/0":              false,
		"10.1.2.0/24":            false, // not of the internet
		"169.254.0.0/16":         false,
		"fe80::/64":              false,
		"224.0.0.1":              false,
		"100.64.1.1":             false,
	} {
		s, err := control.ParseSubject(text)
		require.NoError(t, err, text)
		if allowed {
			require.NoError(t, nt.Subject(s), text)
		} else {
			require.Error(t, nt.Subject(s), text)
		}
	}
	_, err = control.ParseSubject("::ffff:0:0/90")
	require.ErrorContains(t, err, "covers all of IPv4")
	nobody := netip.MustParseAddr("192.0.2.1")
	require.True(t, nt.Holds("auth0|boss", "", nobody))
	require.True(t, nt.Holds("", "billing", nobody))
	require.True(t, nt.Holds("", "", netip.MustParseAddr("::ffff:203.0.113.70")))
	require.False(t, nt.Holds("", "", nobody))
	require.False(t, nt.Holds("auth0|other", "other", nobody))
}

func TestARandomNetworkIsRefusedExactlyWhenItMeetsTheList(t *testing.T) {
	listed := netip.MustParsePrefix("203.0.113.64/26")
	nt, err := NewNeverTouch([]string{listed.String()}, nil, nil)
	require.NoError(t, err)
	for bits := widestV4; bits <= 32; bits++ {
		for i := range 256 {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(112 + i%3), byte(i)}), bits).Masked()
			s, err := control.ParseSubject(p.String())
			require.NoError(t, err)
			require.Equal(t, p.Overlaps(listed), nt.Subject(s) != nil, p.String())
		}
	}
}
