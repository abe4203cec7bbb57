package networkacl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/hold"
)

// The tag in the description says whose the ACL is and when its entries end, so
// that what a lost run left behind can be recognised and cleaned up:
//
//	portcullis:v1 inst=9f3c2a exp=2026-11-21T10:00Z managed while an attack lasts, do not edit
const tagFormat = "2006-01-02T15:04Z"

func (c *Control) tagPrefix() string { return "portcullis:v1 inst=" + c.instance + " " }

// find returns our ACL, nil when there is none.
func (c *Control) find(all []auth0.NetworkACL) *auth0.NetworkACL {
	i := slices.IndexFunc(all, func(a auth0.NetworkACL) bool { return strings.HasPrefix(a.Description, c.tagPrefix()) })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// expiryOf reads the end from a tag; the zero time when it tells none.
func expiryOf(description string) time.Time {
	for _, word := range strings.Fields(description) {
		if v, ok := strings.CutPrefix(word, "exp="); ok {
			if t, err := time.Parse(tagFormat, v); err == nil {
				return t
			}
		}
	}
	return time.Time{}
}

// draft is the ACL that denies the given addresses.
func (c *Control) draft(want []string, active []*hold.Hold, now time.Time) auth0.NetworkACL {
	end := lastExpiry(active)
	if end.IsZero() {
		end = now
	}
	acl := auth0.NetworkACL{
		Description: fmt.Sprintf("%sexp=%s managed while an attack lasts, do not edit", c.tagPrefix(), end.UTC().Add(time.Minute-1).Format(tagFormat)),
		Active:      true,
		Rule:        auth0.ACLRule{Action: "block", Scope: auth0.ScopeAuthentication},
	}
	for _, a := range want {
		if isV6(a) {
			acl.Rule.Match.IPv6CIDRs = append(acl.Rule.Match.IPv6CIDRs, a)
		} else {
			acl.Rule.Match.IPv4CIDRs = append(acl.Rule.Match.IPv4CIDRs, a)
		}
	}
	return acl
}

func lastExpiry(active []*hold.Hold) time.Time {
	var end time.Time
	for _, h := range active {
		if h.Expires.After(end) {
			end = h.Expires
		}
	}
	return end
}

// tagLags reports whether the end in the tag is well before that of the holds.
func (c *Control) tagLags(ours *auth0.NetworkACL, active []*hold.Hold) bool {
	return lastExpiry(active).Sub(expiryOf(ours.Description)) > tagSlack
}

// addresses lists what an ACL denies, sorted, in the form we write.
func addresses(acl *auth0.NetworkACL) []string {
	if acl == nil {
		return nil
	}
	var out []string
	for _, s := range slices.Concat(acl.Rule.Match.IPv4CIDRs, acl.Rule.Match.IPv6CIDRs) {
		out = append(out, canonical(s))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// canonical writes an address the one way that comparisons need; a /32 is its
// address.
func canonical(s string) string {
	if p, err := netip.ParsePrefix(s); err == nil {
		if p.IsSingleIP() {
			return p.Addr().Unmap().String()
		}
		return p.Masked().String()
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().String()
	}
	return s
}

func isV6(s string) bool { return strings.Contains(s, ":") }

// without returns the elements of a that are not in b.
func without(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}
