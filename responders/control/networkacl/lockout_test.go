package networkacl

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

func aclOn(priority int, action, scope string, match auth0.ACLMatch) auth0.NetworkACL {
	return auth0.NetworkACL{ID: fmt.Sprintf("acl_%d", priority), Active: true, Priority: priority, Rule: auth0.ACLRule{Action: action, Scope: scope, Match: match}}
}

func TestJudgeSaysWhatIsCertain(t *testing.T) {
	office := netip.MustParsePrefix("203.0.113.0/24")
	v4 := func(cidrs ...string) auth0.ACLMatch { return auth0.ACLMatch{IPv4CIDRs: cidrs} }
	logs := aclOn(1, "block", "management", v4("203.0.113.0/24"))
	logs.Rule.LogOnly = true
	inactive := aclOn(1, "block", "management", v4("203.0.113.0/24"))
	inactive.Active = false
	notMatch := auth0.NetworkACL{ID: "acl_n", Active: true, Priority: 3, Rule: auth0.ACLRule{Action: "block", Scope: "management", NotMatch: v4("203.0.113.0/24")}}
	others := notMatch
	others.Rule.NotMatch = v4("192.0.2.0/24")
	unknown := aclOn(2, "", "management", v4("203.0.113.0/24"))
	for name, tt := range map[string]struct {
		acls []auth0.NetworkACL
		want verdict
		by   string
	}{
		"nothing":                                 {nil, passes, ""},
		"another network":                         {[]auth0.NetworkACL{aclOn(5, "block", "management", v4("198.51.100.0/24"))}, passes, ""},
		"all of it":                               {[]auth0.NetworkACL{aclOn(5, "block", "management", v4("203.0.0.0/16"))}, denied, "acl_5"},
		"a part of it":                            {[]auth0.NetworkACL{aclOn(5, "redirect", "tenant", v4("203.0.113.9"))}, unclear, "acl_5"},
		"another scope":                           {[]auth0.NetworkACL{aclOn(5, "block", "authentication", v4("203.0.113.0/24"))}, passes, ""},
		"an allow before it":                      {[]auth0.NetworkACL{aclOn(5, "block", "tenant", v4("203.0.113.0/24")), aclOn(4, "allow", "tenant", v4("203.0.113.0/24"))}, passes, ""},
		"an allow of a part before it":            {[]auth0.NetworkACL{aclOn(5, "block", "tenant", v4("203.0.113.0/24")), aclOn(4, "allow", "tenant", v4("203.0.113.0/25"))}, denied, "acl_5"},
		"an allow after it":                       {[]auth0.NetworkACL{aclOn(5, "block", "tenant", v4("203.0.113.0/24")), aclOn(6, "allow", "tenant", v4("203.0.113.0/24"))}, denied, "acl_5"},
		"a signal that is not known":              {[]auth0.NetworkACL{aclOn(5, "block", "management", auth0.ACLMatch{Countries: []string{"DE"}})}, unclear, "acl_5"},
		"such a signal and other addresses":       {[]auth0.NetworkACL{aclOn(5, "block", "management", auth0.ACLMatch{Countries: []string{"DE"}, IPv4CIDRs: []string{"198.51.100.7"}})}, passes, ""},
		"an allow that needs such a signal":       {[]auth0.NetworkACL{aclOn(4, "allow", "tenant", auth0.ACLMatch{JA4: []string{"x"}}), aclOn(5, "block", "tenant", v4("203.0.113.0/24"))}, denied, "acl_5"},
		"the address of the peer":                 {[]auth0.NetworkACL{aclOn(5, "block", "management", auth0.ACLMatch{ConnectingIPv4CIDRs: []string{"198.51.100.7"}})}, unclear, "acl_5"},
		"one that only logs":                      {[]auth0.NetworkACL{logs, aclOn(2, "log", "management", v4("203.0.113.0/24"))}, passes, ""},
		"one that is off":                         {[]auth0.NetworkACL{inactive}, passes, ""},
		"all but it":                              {[]auth0.NetworkACL{notMatch}, passes, ""},
		"all but another":                         {[]auth0.NetworkACL{others}, denied, "acl_n"},
		"a rule without a match":                  {[]auth0.NetworkACL{aclOn(5, "block", "management", auth0.ACLMatch{})}, unclear, "acl_5"},
		"an action that is not known":             {[]auth0.NetworkACL{unknown}, denied, "acl_2"},
		"an address of the other family":          {[]auth0.NetworkACL{aclOn(5, "block", "management", auth0.ACLMatch{IPv6CIDRs: []string{"2001:db8::/32"}})}, passes, ""},
		"an IPv4 network written as one of IPv6s": {[]auth0.NetworkACL{aclOn(5, "block", "management", auth0.ACLMatch{IPv6CIDRs: []string{"::ffff:203.0.113.0/120"}})}, denied, "acl_5"},
	} {
		t.Run(name, func(t *testing.T) {
			got, by := judge(tt.acls, "management", office)
			require.Equal(t, tt.want, got)
			if tt.by != "" {
				require.Equal(t, tt.by, by.ID)
			}
		})
	}
}

// The tenant itself decides whether the evaluator is right: what it calls certain
// is so, whatever ACLs there are.
func TestTheEvaluatorAgreesWithTheTenant(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 7))
		b := newBench(t, tenantsim.Options{})
		require.NoError(t, func() error { _, err := b.client.NetworkACLs(t.Context()); return err }(), "it has its token")
		all := []auth0.NetworkACL{}
		for i := range 1 + rng.IntN(5) {
			var m auth0.ACLMatch
			for range 1 + rng.IntN(2) {
				m.IPv4CIDRs = append(m.IPv4CIDRs, []string{"127.0.0.1", "127.0.0.0/8", "198.51.100.7", "127.0.0.0/31", "10.0.0.0/8"}[rng.IntN(5)])
			}
			if rng.IntN(4) == 0 {
				m.Countries = []string{"DE"}
			}
			a := aclOn(10+i, []string{"block", "allow", "log"}[rng.IntN(3)], []string{"management", "authentication", "tenant"}[rng.IntN(3)], m)
			if rng.IntN(4) == 0 {
				a.Rule.Match, a.Rule.NotMatch = auth0.ACLMatch{}, m
			}
			a.Active = rng.IntN(5) > 0
			all = append(all, a)
			b.human("POST", path, map[string]any{"description": "x", "active": a.Active, "priority": a.Priority, "rule": a.Rule})
		}
		v, _ := judge(all, "management", netip.MustParsePrefix("127.0.0.1/32"))
		_, err := b.client.NetworkACLs(t.Context())
		switch v {
		case passes:
			require.NoError(t, err, "seed %d: %+v", seed, all)
		case denied:
			require.Error(t, err, "seed %d: %+v", seed, all)
		}
	}
}

// approved is a hold that a person said yes to.
func (b *bench) approved(subject, scope string) *hold.Hold {
	h := b.hold(subject, time.Hour)
	h.Entry.Scope, h.Approved = scope, &hold.Approval{Actor: "ann"}
	return h
}

func TestAScopeThatCanLockOutNeedsAPersonAndAProof(t *testing.T) {
	own := netip.MustParseAddr("127.0.0.1")
	for name, tt := range map[string]struct {
		subject, scope string
		own            bool
		prepare        func(b *bench)
		why            string // "" when it is held
		unapproved     bool
	}{
		"management, proven":                      {"198.51.100.7", "management", true, nil, "", false},
		"tenant, proven":                          {"198.51.100.7", "tenant", true, nil, "", false},
		"nobody approved it":                      {"198.51.100.7", "management", true, nil, "nobody approved it", true},
		"the own address is not known":            {"198.51.100.7", "management", false, nil, "is not known yet", false},
		"the own address":                         {"127.0.0.1", "management", true, nil, "where this program itself calls the tenant from", false},
		"a network around the own address":        {"127.0.0.0/24", "tenant", true, nil, "where this program itself calls the tenant from", false},
		"a fingerprint, which may be ours":        {"ja4:t13d1516h2_8daaf6152771_b186095e22b6", "management", true, nil, "may deny 203.0.113.0/24 in scope management, by more than the address", false},
		"the same behind an allow of a human's":   {"ja4:t13d1516h2_8daaf6152771_b186095e22b6", "management", true, func(b *bench) { b.allow("203.0.113.0/24", "127.0.0.1") }, "", false},
		"an allow of a part of who must":          {"ja4:t13d1516h2_8daaf6152771_b186095e22b6", "management", true, func(b *bench) { b.allow("127.0.0.1") }, "may deny 203.0.113.0/24", false},
		"a human's ACL that may deny the on-call": {"198.51.100.7", "management", true, func(b *bench) { b.foreignIn("management", "203.0.113.9") }, "may deny 203.0.113.0/24", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			b.healthy, b.protect = NewHealthy(), []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
			if tt.own {
				b.healthy.SawOwn(own, start)
			}
			b.restart()
			if tt.prepare != nil {
				tt.prepare(b)
			}
			h := b.approved(tt.subject, tt.scope)
			if tt.unapproved {
				h.Approved = nil
			}
			b.run()
			if tt.why == "" {
				require.Equal(t, hold.Active, h.State, h.Note)
				_, err := b.client.NetworkACLs(t.Context())
				require.NoError(t, err, "we get through")
				b.end()
				return
			}
			require.Equal(t, hold.Failed, h.State)
			require.Contains(t, h.Note, tt.why)
			require.Empty(t, b.writes)
		})
	}
}

// allow makes a human's ACL that lets networks through before all others.
func (b *bench) allow(networks ...any) {
	b.t.Helper()
	b.human(http.MethodPost, path, map[string]any{"description": "office", "active": true, "priority": 1, "rule": map[string]any{
		"action": map[string]any{"allow": true}, "scope": "tenant", "match": map[string]any{"ipv4_cidrs": networks}}})
}

func (b *bench) foreignIn(scope string, networks ...any) {
	b.t.Helper()
	r := rule(networks...)
	r["scope"] = scope
	b.human(http.MethodPost, path, map[string]any{"description": "theirs", "active": true, "priority": 60, "rule": r})
}

func TestPeopleAreWarnedOnceOfAnACLOfOthersThatDeniesTheirs(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.protect = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	b.foreignIn("authentication", "203.0.113.0/24")
	b.hold("198.51.100.7", time.Hour)
	rep := b.run()
	require.Len(t, rep.Notes, 1)
	require.Contains(t, rep.Notes[0], "which is not ours, denies 203.0.113.0/24 of the never-touch list in scope authentication")
	b.denies("198.51.100.7")
	b.quiet()
	b.restart()
	b.quiet()
}

func TestNoNetworkOfOursHoldsAnAddressOnTheList(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	for _, subject := range []string{never, "203.0.113.0/28", "203.0.0.0/16", "::ffff:203.0.113.8/125"} {
		s, err := control.ParseSubject(subject)
		require.NoError(t, err)
		h := b.hold(s.String(), time.Hour)
		b.run()
		require.Equal(t, hold.Failed, h.State, subject)
	}
	require.Empty(t, b.writes)
}
