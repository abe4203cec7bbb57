package tenantsim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// aclRule is a rule ready to be evaluated.
type aclRule struct {
	scope           string
	action          string // "block", "allow", "redirect", or "log" when the rule only logs
	logOnly         bool
	match, notMatch *aclMatch // nil: not given
}

// aclMatch holds the signals of one match object; an empty list is a signal that was not given.
type aclMatch struct {
	networks   []netip.Prefix // IPv4 and IPv6 lists form one OR pair
	connecting []netip.Prefix
	asns       []int
	countries  []string
	areas      []string // subdivisions
	ja3, ja4   []string
	agents     []string
	hostnames  []string
}

// client is what network ACLs and the defences see of whoever makes a request.
type client struct {
	addr      netip.Addr
	ja3, ja4  string
	userAgent string
	hostname  string
	country   string
	asn       int
}

// matches: signals of different kinds must all hold; one value within a signal is enough.
func (m *aclMatch) matches(c *client) bool {
	within := func(p netip.Prefix) bool { return p.Contains(c.addr) }
	return (len(m.networks) == 0 || slices.ContainsFunc(m.networks, within)) &&
		(len(m.connecting) == 0 || slices.ContainsFunc(m.connecting, within)) &&
		(len(m.asns) == 0 || slices.Contains(m.asns, c.asn)) &&
		(len(m.countries) == 0 || slices.Contains(m.countries, c.country)) &&
		(len(m.areas) == 0) && // no simulated client has a known subdivision
		(len(m.ja3) == 0 || slices.Contains(m.ja3, c.ja3)) &&
		(len(m.ja4) == 0 || slices.Contains(m.ja4, c.ja4)) &&
		(len(m.agents) == 0 || slices.Contains(m.agents, c.userAgent)) &&
		(len(m.hostnames) == 0 || slices.Contains(m.hostnames, c.hostname))
}

func (r *aclRule) matches(c *client) bool {
	return (r.match == nil || r.match.matches(c)) && (r.notMatch == nil || !r.notMatch.matches(c))
}

// denied evaluates the ACLs for a request to scope "authentication" or "management" and reports whether it is turned
// away: blocked or redirected. The caller holds mu.
func (t *Tenant) denied(scope string, c *client) bool {
	for _, a := range t.ranked {
		r := &a.compiled
		if r.scope != scope && r.scope != "tenant" {
			continue
		}
		a.seen++
		if !r.matches(c) {
			continue
		}
		a.matched++
		if r.logOnly {
			continue
		}
		return r.action != "allow"
	}
	return false
}

// compileRule reads a rule, or says what is wrong with it.
func compileRule(rule map[string]any) (r aclRule, problem string) {
	f := fields{
		"scope": oneOf("management", "authentication", "tenant", "dynamic_client_registration"),
		"action": func(v any) (problem string) {
			r.action, r.logOnly, problem = compileAction(v)
			return problem
		},
		"match": func(v any) (problem string) {
			r.match, problem = compileMatch(v)
			return problem
		},
		"not_match": func(v any) (problem string) {
			r.notMatch, problem = compileMatch(v)
			return problem
		},
	}
	for _, name := range []string{"action", "scope"} {
		if _, ok := rule[name]; !ok {
			return r, "missing required property: " + name
		}
	}
	if problem := f.check(rule); problem != "" {
		return r, problem
	}
	r.scope, _ = rule["scope"].(string)
	return r, ""
}

func compileAction(v any) (action string, logOnly bool, problem string) {
	onlyTrue := func(v any) string {
		if v != true {
			return "no enum match, only true is allowed,"
		}
		return ""
	}
	f := fields{"block": onlyTrue, "allow": onlyTrue, "log": onlyTrue, "redirect": onlyTrue,
		"redirect_uri": func(v any) string {
			if s, ok := v.(string); !ok || s == "" || len(s) > 2000 {
				return "expected a string of 1 to 2000 characters"
			}
			return ""
		}}
	if problem := f.check(v); problem != "" {
		return "", false, problem
	}
	given := v.(map[string]any)
	_, logOnly = given["log"]
	for _, name := range []string{"block", "allow", "redirect"} {
		if _, ok := given[name]; !ok {
			continue
		}
		if action != "" {
			return "", false, fmt.Sprintf("%s and %s exclude each other", action, name)
		}
		action = name
	}
	_, target := given["redirect_uri"]
	switch {
	case (action == "redirect") != target:
		return "", false, "redirect and redirect_uri need each other"
	case action == "" && !logOnly:
		return "", false, "one of block, allow, redirect, log is required"
	case action == "":
		action = "log"
	}
	return action, logOnly, ""
}

func compileMatch(v any) (*aclMatch, string) {
	m := &aclMatch{}
	f := fields{
		"ipv4_cidrs":            networksInto(&m.networks, true),
		"ipv6_cidrs":            networksInto(&m.networks, false),
		"connecting_ipv4_cidrs": networksInto(&m.connecting, true),
		"connecting_ipv6_cidrs": networksInto(&m.connecting, false),
		"asns": signal(func(v any) string {
			n, ok := v.(float64)
			if problem := integer(0, 1<<32-1)(v); problem != "" || !ok {
				return problem
			}
			m.asns = append(m.asns, int(n))
			return ""
		}),
		"geo_country_codes":     stringsInto(&m.countries, isCountry),
		"geo_subdivision_codes": stringsInto(&m.areas, nil),
		"ja3_fingerprints":      stringsInto(&m.ja3, nil),
		"ja4_fingerprints":      stringsInto(&m.ja4, nil),
		"user_agents":           stringsInto(&m.agents, nil),
		"hostnames":             stringsInto(&m.hostnames, nil),
	}
	return m, f.check(v)
}

// signal is a list of one to twenty values.
func signal(member check) check {
	most := listOf(aclEntriesMax, member)
	return func(v any) string {
		if list, ok := v.([]any); ok && len(list) == 0 {
			return "array is too short (0), minimum 1"
		}
		return most(v)
	}
}

func networksInto(dst *[]netip.Prefix, v4 bool) check {
	return signal(func(v any) string {
		s, _ := v.(string)
		p, err := parseNetwork(s)
		if err != nil || p.Addr().Is4() != v4 {
			return fmt.Sprintf("%q is not an address or CIDR block of this kind", s)
		}
		*dst = append(*dst, p)
		return ""
	})
}

func stringsInto(dst *[]string, valid func(string) bool) check {
	return signal(func(v any) string {
		s, ok := v.(string)
		if !ok || s == "" || valid != nil && !valid(s) {
			return fmt.Sprintf("%v is not a valid value", v)
		}
		*dst = append(*dst, s)
		return ""
	})
}

func isCountry(s string) bool { return len(s) == 2 && strings.ToUpper(s) == s }
