package networkacl

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
)

// errLockout is wrapped by the error of a write that cannot be proven to let
// everybody through who must be.
var errLockout = errors.New("not proven to lock nobody out")

// verdict is what a tenant's network ACLs do to requests from a network.
type verdict int

const (
	passes  verdict = iota
	unclear         // it depends on what is not known of the requests
	denied
)

// answer is whether a rule matches, as far as the addresses tell.
type answer int

const (
	no answer = iota
	maybe
	yes
)

// judge evaluates ACLs for requests to a scope that come from a network, by
// ascending priority: the first that matches and does not only log decides. It
// returns the ACL that denies them, or may. Of the requests only their addresses
// are known: a rule on anything else may match, and is not relied on to allow.
func judge(all []auth0.NetworkACL, scope string, from netip.Prefix) (verdict, *auth0.NetworkACL) {
	ranked := make([]*auth0.NetworkACL, 0, len(all))
	for i := range all {
		if all[i].Active {
			ranked = append(ranked, &all[i])
		}
	}
	slices.SortStableFunc(ranked, func(a, b *auth0.NetworkACL) int { return cmp.Compare(a.Priority, b.Priority) })
	var unsure *auth0.NetworkACL
	for _, a := range ranked {
		r := &a.Rule
		if r.Scope != scope && r.Scope != auth0.ScopeTenant || r.LogOnly || r.Action == auth0.ActionLog {
			continue
		}
		switch m := matches(r, from); {
		case m == no:
		case r.Action == auth0.ActionAllow:
			if m == yes && unsure == nil {
				return passes, nil
			}
			if m == yes {
				return unclear, unsure
			}
		case m == yes:
			return denied, a
		case unsure == nil:
			unsure = a
		}
	}
	if unsure != nil {
		return unclear, unsure
	}
	return passes, nil
}

// matches tells whether a rule matches requests from a network.
func matches(r *auth0.ACLRule, from netip.Prefix) answer {
	if r.Empty() || len(r.Extra) > 0 {
		return maybe // what the tenant makes of it is not documented
	}
	result := yes
	if !r.Match.Empty() {
		result = side(&r.Match, from)
	}
	if !r.NotMatch.Empty() {
		result = min(result, yes-side(&r.NotMatch, from))
	}
	return result
}

// side tells whether all signals of one side hold.
func side(m *auth0.ACLMatch, from netip.Prefix) answer {
	result := yes
	if addresses := slices.Concat(m.IPv4CIDRs, m.IPv6CIDRs); len(addresses) > 0 {
		result = among(addresses, from)
	}
	rest := *m
	rest.IPv4CIDRs, rest.IPv6CIDRs = nil, nil
	if !rest.Empty() {
		result = min(result, maybe)
	}
	return result
}

// among tells whether a network is among addresses and networks: all of it, a
// part, or none.
func among(entries []string, from netip.Prefix) answer {
	result := no
	for _, e := range entries {
		q, err := control.ParseNetwork(e)
		switch {
		case err != nil:
			result = max(result, maybe)
		case contains(q, from):
			return yes
		case q.Overlaps(from):
			result = max(result, maybe)
		}
	}
	return result
}

// protected are the networks that must get through.
func (c *Control) protected() []netip.Prefix {
	var out []netip.Prefix
	if c.opts.Protected != nil {
		out = c.opts.Protected()
	}
	if c.opts.Healthy != nil {
		for _, own := range c.opts.Healthy.Own() {
			out = append(out, netip.PrefixFrom(own, own.BitLen()))
		}
	}
	return out
}

// prove shows that whoever must get through still does, once a slot's ACL is as
// it is wanted. In scopes that can lock out this program and the people who run
// the tenant, what is not clear is not proven.
func (p *pass) prove(sp *slotPass) error {
	if len(sp.want) == 0 {
		return nil
	}
	draft := p.draft(sp.slot, sp.want, nil, 0, p.now)
	all := slices.Clone(p.all)
	draft.Priority = firstPriority // with one free for it, it comes before all of ours and after none of others'
	draft.ID = "draft"
	if sp.ours != nil {
		draft.Priority, draft.ID = sp.ours.Priority, sp.ours.ID
		all = slices.DeleteFunc(all, func(a auth0.NetworkACL) bool { return a.ID == draft.ID })
	} else {
		for slices.ContainsFunc(all, func(a auth0.NetworkACL) bool { return a.Priority == draft.Priority }) && draft.Priority < lastPriority {
			draft.Priority++
		}
	}
	all = append(all, draft)
	networks := p.protected()
	strict := sp.Scope == auth0.ScopeManagement || sp.Scope == auth0.ScopeTenant
	if strict && (p.opts.Healthy == nil || len(p.opts.Healthy.Own()) == 0) {
		return fmt.Errorf("%w: the address that this program calls the tenant from is not known yet; the tenant's log shows it after its first change of a setting", errLockout)
	}
	for _, scope := range []string{auth0.ScopeAuthentication, auth0.ScopeManagement} {
		if sp.Scope != scope && sp.Scope != auth0.ScopeTenant {
			continue
		}
		for _, n := range networks {
			v, by := judge(all, scope, n)
			switch {
			case v == denied && (strict || by.ID == draft.ID):
				return fmt.Errorf("%w: network ACL %s would deny %s in scope %s", errLockout, by.ID, n, scope)
			case v == unclear && strict:
				return fmt.Errorf("%w: network ACL %s may deny %s in scope %s, by more than the address; an ACL before it that allows the address would prove otherwise", errLockout, by.ID, n, scope)
			}
		}
	}
	return nil
}
