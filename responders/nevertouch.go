package responders

import (
	"fmt"
	"net/netip"
	"strings"
)

// NeverTouch is what no response may hit, whatever a rule says.
type NeverTouch struct {
	networks []netip.Prefix
}

// NewNeverTouch reads networks, each an address or a CIDR. One that cannot be
// read fails the whole list: a protection that is half there is none.
func NewNeverTouch(networks []string) (NeverTouch, error) {
	var nt NeverTouch
	for _, s := range networks {
		p, err := parseNetwork(s)
		if err != nil {
			return NeverTouch{}, fmt.Errorf("never_touch.networks: %w", err)
		}
		nt.networks = append(nt.networks, p)
	}
	return nt, nil
}

// parseNetwork reads an address or CIDR. An IPv4 network written as IPv6 is the
// IPv4 network it stands for.
func parseNetwork(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network like 203.0.113.0/24", s)
		}
		a = a.WithZone("")
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%q covers all of IPv4", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// Address checks that an address may be acted on and returns it in its one
// form. The error says why it may not.
func (nt NeverTouch) Address(s string) (string, error) {
	p, err := parseNetwork(s)
	if err != nil {
		return "", err
	}
	if !p.IsSingleIP() {
		return "", fmt.Errorf("%s is a network, one address is needed", p)
	}
	a := p.Addr()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return "", fmt.Errorf("%s is not an address of the internet", a)
	}
	for _, n := range nt.networks {
		if n.Overlaps(p) {
			return "", fmt.Errorf("%s is on the never-touch list (%s)", a, n)
		}
	}
	return a.String(), nil
}
