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

const aclBody = `{"id":"acl_1","description":"guard","active":true,"priority":10.0,"tenant_id":"t","rule":{"scope":"authentication",` +
	`"action":{"block":true,"log":true},"match":{"ipv4_cidrs":["203.0.113.0/24"],"asns":[64500],"request_signature":{"keys":["k"]}},` +
	`"not_match":{"geo_country_codes":["NO"]},"new_member":7}}`

func TestAnACLIsReadAndWrittenBackWhole(t *testing.T) {
	var acl NetworkACL
	require.NoError(t, json.Unmarshal([]byte(aclBody), &acl))
	require.Equal(t, NetworkACL{
		ID: "acl_1", Description: "guard", Active: true, Priority: 10, Raw: json.RawMessage(aclBody),
		Rule: ACLRule{
			Action: ActionBlock, LogOnly: true, Scope: ScopeAuthentication,
			Match: ACLMatch{IPv4CIDRs: []string{"203.0.113.0/24"}, ASNs: []int{64500},
				Extra: map[string]json.RawMessage{"request_signature": json.RawMessage(`{"keys":["k"]}`)}},
			NotMatch: ACLMatch{Countries: []string{"NO"}},
			Extra:    map[string]json.RawMessage{"new_member": json.RawMessage(`7`)},
		},
	}, acl)
	back, err := json.Marshal(acl)
	require.NoError(t, err)
	require.JSONEq(t, strings.Replace(aclBody, `"tenant_id":"t",`, "", 1), string(back))
}

func TestEverySignalAndActionSurvivesTheWayThereAndBack(t *testing.T) {
	list := []string{"x"}
	match := ACLMatch{
		IPv4CIDRs: list, IPv6CIDRs: list, ConnectingIPv4CIDRs: list, ConnectingIPv6CIDRs: list, ASNs: []int{1}, Countries: list,
		Subdivisions: list, JA3: list, JA4: list, UserAgents: list, Hostnames: list, Auth0Managed: list,
	}
	for action, wire := range map[string]string{
		ActionBlock: `{"block":true}`, ActionAllow: `{"allow":true}`, ActionLog: `{"log":true}`,
		ActionRedirect: `{"redirect":true,"redirect_uri":"https://example.com/"}`,
	} {
		rule := ACLRule{Action: action, Scope: ScopeTenant, Match: match}
		if action == ActionRedirect {
			rule.RedirectURI = "https://example.com/"
		}
		data, err := json.Marshal(rule)
		require.NoError(t, err)
		var parts map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &parts))
		require.JSONEq(t, wire, string(parts["action"]))
		require.NotContains(t, parts, "not_match")
		var signals map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(parts["match"], &signals))
		require.Len(t, signals, 12)
		var back ACLRule
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, rule, back)
	}
	later := `{"action":{"throttle":true},"match":{"asns":[1]},"scope":"tenant"}`
	var rule ACLRule
	require.NoError(t, json.Unmarshal([]byte(later), &rule))
	require.Empty(t, rule.Action)
	back, err := json.Marshal(rule)
	require.NoError(t, err)
	require.JSONEq(t, later, string(back))
}

func TestNoEmptyListIsEverSent(t *testing.T) {
	data, err := json.Marshal(ACLRule{Action: ActionBlock, Scope: ScopeTenant, Match: ACLMatch{
		IPv4CIDRs: []string{}, ASNs: []int{}, JA4: []string{"j"},
		Extra: map[string]json.RawMessage{"new_signal": json.RawMessage(`[ ]`), "other": json.RawMessage(`null`)},
	}, NotMatch: ACLMatch{UserAgents: []string{}}})
	require.NoError(t, err)
	require.JSONEq(t, `{"action":{"block":true},"scope":"tenant","match":{"ja4_fingerprints":["j"]}}`, string(data))
}

// aclPages serves n ACLs in pages, in the form with totals or as arrays.
func aclPages(n int, totals bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		list := []string{}
		for i := page * size; i < min((page+1)*size, n); i++ {
			list = append(list, fmt.Sprintf(`{"id":"acl_%d","priority":%d,"rule":{"action":{"log":true},"scope":"tenant","match":{"asns":[1]}}}`, i, i%100))
		}
		body := "[" + strings.Join(list, ",") + "]"
		if totals {
			body = fmt.Sprintf(`{"network_acls":%s,"start":%d,"limit":%d,"total":%d}`, body, page*size, size, n)
		}
		reply(w, 200, body)
	}
}

func TestAllPagesOfACLsAreRead(t *testing.T) {
	for _, test := range []struct{ n, requests int }{{0, 1}, {3, 1}, {100, 1}, {101, 2}, {250, 3}} {
		for _, totals := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d with totals %v", test.n, totals), func(t *testing.T) {
				f := newFakeTenant(t, aclPages(test.n, totals))
				acls, err := newClient(t, f, Options{}).NetworkACLs(t.Context())
				require.NoError(t, err)
				require.Len(t, acls, test.n)
				for i, acl := range acls {
					require.Equal(t, fmt.Sprintf("acl_%d", i), acl.ID)
					require.NotEmpty(t, acl.Raw)
				}
				if totals {
					require.Len(t, f.requests("/api"), test.requests)
				}
				require.Equal(t, "include_totals=true&page=0&per_page=100", f.requests("/api")[0].query)
			})
		}
	}
}

func TestATenantThatIgnoresPagesIsReadOnce(t *testing.T) {
	f := newFakeTenant(t, replies(200, "["+strings.Repeat(aclBody+",", 120)+aclBody+"]"))
	acls, err := newClient(t, f, Options{}).NetworkACLs(t.Context())
	require.NoError(t, err)
	require.Len(t, acls, 1, "one id is one ACL")
}

func TestAListThatIsNoneIsAnError(t *testing.T) {
	for _, body := range []string{``, `{}`, `{"network_acls":17}`, `<html>`, `[1]`} {
		f := newFakeTenant(t, replies(200, body))
		_, err := newClient(t, f, Options{}).NetworkACLs(t.Context())
		require.ErrorIs(t, err, ErrUnreachable, body)
		require.ErrorContains(t, err, "cannot be read")
	}
}

func TestCreatingAnACLNeedsNoIDInTheAnswer(t *testing.T) {
	for name, body := range map[string]string{"nothing": "", "an object": aclBody, "no JSON": "Created"} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTenant(t, replies(201, body))
			require.NoError(t, newClient(t, f, Options{}).CreateNetworkACL(t.Context(), testACL(), "op-1"))
			sent := f.requests("/api")
			require.Len(t, sent, 1)
			require.Equal(t, "POST /api/v2/network-acls", sent[0].method+" "+sent[0].path)
			require.JSONEq(t, `{"description":"test","active":true,"priority":20,
				"rule":{"action":{"block":true},"scope":"authentication","match":{"ipv4_cidrs":["198.51.100.0/24"]}}}`, sent[0].body)
		})
	}
}

func TestAnUpdateSendsTheWholeRule(t *testing.T) {
	f := newFakeTenant(t, replies(200, aclBody))
	c := newClient(t, f, Options{})
	acl := testACL()
	acl.ID, acl.Raw, acl.Priority, acl.Rule.LogOnly = "other", json.RawMessage(`{}`), 0, true
	require.NoError(t, c.UpdateNetworkACL(t.Context(), "acl_1", acl, "op"))
	sent := f.requests("/api")
	require.Equal(t, "PATCH /api/v2/network-acls/acl_1", sent[0].method+" "+sent[0].path)
	require.JSONEq(t, `{"description":"test","active":true,"priority":0,
		"rule":{"action":{"block":true,"log":true},"scope":"authentication","match":{"ipv4_cidrs":["198.51.100.0/24"]}}}`, sent[0].body)
}

func TestAnEmptySlotBecomesInactiveAndKeepsItsRule(t *testing.T) {
	f := newFakeTenant(t, replies(200, aclBody))
	c := newClient(t, f, Options{})
	require.NoError(t, c.UpdateNetworkACL(t.Context(), "acl_1", NetworkACL{Description: "test", Priority: 20}, "op"))
	require.JSONEq(t, `{"description":"test","active":false,"priority":20}`, f.requests("/api")[0].body)
}

func TestDeletingTwiceIsFine(t *testing.T) {
	for name, api := range map[string]http.HandlerFunc{
		"204":                     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"200 with an odd body":    replies(200, `{"code":204,"object":""}`),
		"202":                     replies(202, ``),
		"404 because it was gone": replies(404, `{"statusCode":404,"message":"NetworkACL with this ID was not found"}`),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTenant(t, api)
			require.NoError(t, newClient(t, f, Options{}).DeleteNetworkACL(t.Context(), "acl_1", "op"))
			require.Equal(t, "DELETE /api/v2/network-acls/acl_1", f.requests("/api")[0].method+" "+f.requests("/api")[0].path)
		})
	}
}

func TestACLsThatAreWrongAreNotSent(t *testing.T) {
	f := newFakeTenant(t, nil)
	c := newClient(t, f, Options{})
	for name, change := range map[string]func(*NetworkACL){
		"no description":      func(a *NetworkACL) { a.Description = "" },
		"a long description":  func(a *NetworkACL) { a.Description = strings.Repeat("ä", 256) },
		"a negative priority": func(a *NetworkACL) { a.Priority = -1 },
		"a high priority":     func(a *NetworkACL) { a.Priority = 101 },
		"no action":           func(a *NetworkACL) { a.Rule.Action = "" },
		"an unknown action":   func(a *NetworkACL) { a.Rule.Action = "explode" },
		"a redirect nowhere":  func(a *NetworkACL) { a.Rule.Action = ActionRedirect },
		"no scope":            func(a *NetworkACL) { a.Rule.Scope = "" },
		"nobody named":        func(a *NetworkACL) { a.Rule.Match = ACLMatch{JA3: []string{}} },
		"21 addresses":        func(a *NetworkACL) { a.Rule.Match.IPv4CIDRs = make([]string, 21) },
		"21 networks":         func(a *NetworkACL) { a.Rule.NotMatch.ASNs = make([]int, 21) },
	} {
		t.Run(name, func(t *testing.T) {
			acl := testACL()
			change(&acl)
			require.ErrorIs(t, c.CreateNetworkACL(t.Context(), acl, "op"), ErrInvalid)
			require.ErrorIs(t, c.UpdateNetworkACL(t.Context(), "acl_1", acl, "op"), ErrInvalid)
		})
	}
	for _, id := range []string{"", "..", "a/b", "a?b", "a b", strings.Repeat("a", 65)} {
		require.ErrorIs(t, c.UpdateNetworkACL(t.Context(), id, testACL(), "op"), ErrInvalid, "%q", id)
		require.ErrorIs(t, c.DeleteNetworkACL(t.Context(), id, "op"), ErrInvalid, "%q", id)
	}
	require.Empty(t, f.requests("/"))
}
