package networkacl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
)

// The tag in the description says whose the ACL is and when its entries end, so
// that what a lost run left behind can be recognised and cleaned up:
//
//	portcullis:v1 inst=9f3c2a exp=2026-11-21T10:00Z managed while an attack lasts, do not edit
const tagFormat = "2006-01-02T15:04Z"

func (c *Control) tagPrefix() string { return anyTag + c.instance + " " }

// anyTag begins the tag of every installation.
const anyTag = "portcullis:v1 inst="

// tellOthers says which network ACLs another installation holds or a lost store
// left behind: they are nobody's here to take back.
func (c *Control) tellOthers(all []auth0.NetworkACL, rep *control.Report) {
	for _, a := range all {
		if strings.HasPrefix(a.Description, anyTag) && !strings.HasPrefix(a.Description, c.tagPrefix()) {
			rep.Notes = append(rep.Notes, fmt.Sprintf("network ACL %s is of another installation, or of a store that was lost: left alone (%s)", a.ID, a.Description))
		}
	}
}

// find returns our ACL, nil when there is none, and copies of it that a request
// with unknown outcome left behind. An ACL that was yielded is ours no more.
func (c *Control) find(all []auth0.NetworkACL, m *memory) (ours *auth0.NetworkACL, copies []auth0.NetworkACL) {
	for i := range all {
		switch a := &all[i]; {
		case !strings.HasPrefix(a.Description, c.tagPrefix()) || slices.Contains(m.Yielded, a.ID):
		case ours == nil:
			ours = a
		default:
			copies = append(copies, *a)
		}
	}
	return ours, copies
}

// isOurShape reports whether an ACL is still of the kind that we write: one that
// denies logins from addresses.
func isOurShape(a *auth0.NetworkACL) bool {
	rest := a.Rule.Match
	rest.IPv4CIDRs, rest.IPv6CIDRs = nil, nil
	return a.Rule.Action == auth0.ActionBlock && a.Rule.Scope == auth0.ScopeAuthentication && len(a.Rule.Extra) == 0 &&
		rest.Empty() && a.Rule.NotMatch.Empty()
}

// isOff reports whether an ACL of our shape denies nothing.
func isOff(a *auth0.NetworkACL) bool { return !a.Active || a.Rule.LogOnly }

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

// draft is the ACL that denies the given addresses until a time.
func (c *Control) draft(want []string, end time.Time) auth0.NetworkACL {
	acl := auth0.NetworkACL{
		Description: fmt.Sprintf("%sexp=%s managed while an attack lasts, do not edit", c.tagPrefix(), end.UTC().Add(time.Minute-1).Format(tagFormat)),
		Active:      true,
		Rule:        auth0.ACLRule{Action: auth0.ActionBlock, Scope: auth0.ScopeAuthentication},
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
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// intersect returns the elements of a that are in b.
func intersect(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

// union returns the elements of both, sorted.
func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// changes names the addresses that differ.
func changes(before, after []string) []control.Change {
	var out []control.Change
	for _, a := range without(after, before) {
		out = append(out, control.Change{Field: a, From: "not denied", To: "denied"})
	}
	for _, a := range without(before, after) {
		out = append(out, control.Change{Field: a, From: "denied", To: "not denied"})
	}
	return out
}
