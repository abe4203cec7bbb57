package networkacl

import (
	"fmt"
	"net/netip"
	"slices"

	"portcullis/internal/auth0"
	"portcullis/responders/hold"
)

// warn tells people of slots that are nearly full, and of others' ACLs that deny
// who must get through: once each.
func (p *pass) warn() {
	for _, sp := range p.slots {
		full := false
		for _, family := range families(sp.slot) {
			n := 0
			for _, e := range sp.want {
				if family(e) {
					n++
				}
			}
			full = full || n*100 >= maxEntries*80
		}
		waits := slices.ContainsFunc(sp.holds, func(h *hold.Hold) bool { return h.State == hold.PendingCapacity }) // which tells as much
		if full && !sp.m.Full && !waits {
			p.rep.Notes = append(p.rep.Notes, fmt.Sprintf("the network ACL of %s is nearly full: %d entries, and there is room for %d", sp.id(), len(sp.want), maxEntries))
		}
		sp.m.Full = full
	}
	for _, network := range p.protected() {
		p.warnOfOthers(network)
	}
}

func (p *pass) warnOfOthers(network netip.Prefix) {
	for _, scope := range []string{auth0.ScopeAuthentication, auth0.ScopeManagement} {
		v, by := judge(p.all, scope, network)
		if v != denied || p.isMine(by) || slices.Contains(p.doc.Warned, by.ID) {
			continue
		}
		p.rep.Notes = append(p.rep.Notes, fmt.Sprintf("network ACL %s (%s), which is not ours, denies %s of the never-touch list in scope %s", by.ID, by.Description, network, scope))
		p.doc.Warned = append(p.doc.Warned, by.ID)
	}
}

func (p *pass) isMine(a *auth0.NetworkACL) bool {
	t, ok := tagOf(a.Description)
	return ok && t.Instance == p.instance
}
