package responders

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"portcullis/responders/control"
)

// NeverTouch is what no response may hit, whatever a rule says.
type NeverTouch struct {
	networks []netip.Prefix
	users    []string
	clients  []string
}

// NewNeverTouch reads networks, each an address or a CIDR, and ids of users and
// clients. One that cannot be read fails the whole list: a protection that is
// half there is none.
func NewNeverTouch(networks, users, clients []string) (NeverTouch, error) {
	var nt NeverTouch
	for _, s := range networks {
		p, err := control.ParseNetwork(s)
		if err != nil {
			return NeverTouch{}, fmt.Errorf("never_touch.networks: %w", err)
		}
		nt.networks = append(nt.networks, p)
	}
	for _, of := range []struct {
		key  string
		from []string
		to   *[]string
	}{{"users", users, &nt.users}, {"clients", clients, &nt.clients}} {
		for _, id := range of.from {
			if strings.TrimSpace(id) == "" {
				return NeverTouch{}, fmt.Errorf("never_touch.%s: an id is empty", of.key)
			}
			*of.to = append(*of.to, strings.TrimSpace(id))
		}
	}
	return nt, nil
}

// The widest networks that may be denied: whoever asks for more made a mistake.
const widestV4, widestV6 = 16, 32

// notInternet are the networks that nobody comes from over the internet.
var notInternet = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
	"224.0.0.0/3", "::/16", "64:ff9b::/32", "fc00::/6", "ff00::/8")

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Subject checks that a subject may be acted on; the error says why it may not.
// A network may not when any part of it is on the list.
func (nt NeverTouch) Subject(s control.Subject) error {
	p, ok := s.Prefix()
	if !ok {
		return nil // whom it stands for is judged by who was seen with it
	}
	widest := widestV4
	if p.Addr().Is6() {
		widest = widestV6
	}
	if p.Bits() < widest {
		return fmt.Errorf("%s is wider than a /%d", p, widest)
	}
	for _, n := range notInternet {
		if n.Overlaps(p) {
			what := "an address"
			if !p.IsSingleIP() {
				what = "a network"
			}
			return fmt.Errorf("%s is not %s of the internet", s, what)
		}
	}
	for _, n := range nt.networks {
		if n.Overlaps(p) {
			return fmt.Errorf("%s is on the never-touch list (%s)", s, n)
		}
	}
	return nil
}

// Networks are the networks of the list.
func (nt NeverTouch) Networks() []netip.Prefix { return slices.Clone(nt.networks) }

// Holds reports whether a user or client is on the list, or an address in one of
// its networks. Empty ones are not.
func (nt NeverTouch) Holds(user, client string, addr netip.Addr) bool {
	return user != "" && slices.Contains(nt.users, user) || client != "" && slices.Contains(nt.clients, client) ||
		slices.ContainsFunc(nt.networks, func(n netip.Prefix) bool { return n.Contains(addr.Unmap()) })
}
