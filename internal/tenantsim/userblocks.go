package tenantsim

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// forgive forgets the failed logins of an account.
func (d *defences) forgive(who *user) {
	for key := range d.failures {
		if key.who == who {
			delete(d.failures, key)
		}
	}
}

// blocksOn are the addresses from which an account cannot sign in after too many failures; the zero address is all of them.
func (t *Tenant) blocksOn(a *account) []netip.Addr {
	var list []netip.Addr
	for key := range t.defences.failures {
		if key.who == a.user && key.addr.IsValid() != t.defences.perIdentifier && t.defences.locked(a.user, key.addr, t.now) {
			list = append(list, key.addr)
		}
	}
	slices.SortFunc(list, func(x, y netip.Addr) int { return cmp.Compare(x.String(), y.String()) })
	return list
}

func (t *Tenant) blocksJSON(accounts ...*account) map[string]any {
	list := []map[string]any{}
	for _, a := range accounts {
		for _, addr := range t.blocksOn(a) {
			one := map[string]any{"identifier": a.email, "connection": a.identities[0].conn.name}
			if addr.IsValid() {
				one["ip"] = addr.String()
			}
			list = append(list, one)
		}
	}
	return map[string]any{"blocked_for": list}
}

func (t *Tenant) serveBlocks(req *request) *answer {
	a, problem := t.mustFind(req.segments()[1])
	if problem != nil {
		return fail(problem)
	}
	return reply(http.StatusOK, t.blocksJSON(a))
}

// called are the accounts that sign in by an identifier.
func (t *Tenant) called(identifier string) []*account {
	var list []*account
	for _, a := range t.everybody() {
		if strings.EqualFold(a.email, identifier) || a.username != "" && a.username == identifier || a.phoneNumber != "" && a.phoneNumber == identifier {
			list = append(list, a)
		}
	}
	return list
}

func (t *Tenant) serveBlocksOf(req *request) *answer {
	identifier := req.query.Get("identifier")
	if identifier == "" {
		return fail(invalidQuery("missing required property: identifier"))
	}
	return reply(http.StatusOK, t.blocksJSON(t.called(identifier)...))
}

func (t *Tenant) clearBlocks(w write) (changed, *apiError) {
	a, problem := t.mustFind(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	t.defences.forgive(a.user)
	return changed{status: http.StatusNoContent, summary: "Unblock a user"}, nil
}

func (t *Tenant) clearBlocksOf(w write) (changed, *apiError) {
	identifier := w.query.Get("identifier")
	if identifier == "" {
		return changed{}, invalidQuery("missing required property: identifier")
	}
	for _, a := range t.called(identifier) {
		t.defences.forgive(a.user)
	}
	return changed{status: http.StatusNoContent, summary: "Unblock by identifier"}, nil
}
