package networkacl

import (
	"cmp"
	"net/netip"
	"slices"

	"portcullis/responders/control"
)

// The widest networks that addresses are joined into.
const joinedV4, joinedV6 = 24, 48

// bundle is a candidate with the prefix that stands for it.
type bundle struct {
	candidate
	prefix  netip.Prefix
	members []string
}

// aggregate joins addresses into networks, as few as it takes to fit into the
// room, and keeps the networks that are in force while two of their members are
// asked for. What a network would hit besides is joins' to judge.
func aggregate(wants []candidate, present []string, room int, joins func(netip.Prefix, []string, bool) bool) []candidate {
	var bundles []bundle
	for _, w := range wants {
		if p, err := control.ParseNetwork(w.Value); err == nil {
			bundles = append(bundles, bundle{w, p, []string{w.Value}})
		}
	}
	always := func(netip.Prefix, []string) bool { return true }
	for _, b := range slices.Clone(bundles) {
		bundles = join(bundles, b.prefix, 2, always) // a network that is asked for stands for what is in it
	}
	for _, e := range present {
		if p, err := control.ParseNetwork(e); err == nil && !p.IsSingleIP() {
			bundles = join(bundles, p, 2, func(network netip.Prefix, members []string) bool { return joins(network, members, true) })
		}
	}
	for len(bundles) > room {
		best, saves := netip.Prefix{}, 0
		for _, p := range covers(bundles, func(network netip.Prefix, members []string) bool { return joins(network, members, false) }) {
			if n := within(bundles, p); n > saves || n == saves && p.Bits() > best.Bits() {
				best, saves = p, n
			}
		}
		if saves < 2 {
			break
		}
		bundles = join(bundles, best, 2, always)
	}
	out := make([]candidate, len(bundles))
	for i, b := range bundles {
		out[i] = b.candidate
	}
	slices.SortFunc(out, compareCandidates)
	return out
}

// within counts the bundles inside a network.
func within(bundles []bundle, p netip.Prefix) int {
	n := 0
	for _, b := range bundles {
		if contains(p, b.prefix) {
			n++
		}
	}
	return n
}

// join puts the bundles inside a network together, when there are enough of them
// and it may stand for them.
func join(bundles []bundle, p netip.Prefix, least int, may func(netip.Prefix, []string) bool) []bundle {
	if within(bundles, p) < least {
		return bundles
	}
	whole := bundle{candidate: candidate{Value: p.String()}, prefix: p}
	var out []bundle
	for _, b := range bundles {
		if contains(p, b.prefix) {
			whole.Score += b.Score
			whole.members = append(whole.members, b.members...)
		} else {
			out = append(out, b)
		}
	}
	if !may(p, whole.members) {
		return bundles
	}
	return append(out, whole)
}

// covers lists the smallest networks around bundles that lie together, none of
// them wider than what may be joined.
func covers(bundles []bundle, may func(netip.Prefix, []string) bool) []netip.Prefix {
	sorted := slices.Clone(bundles)
	slices.SortFunc(sorted, func(a, b bundle) int {
		if c := a.prefix.Addr().Compare(b.prefix.Addr()); c != 0 {
			return c
		}
		return cmp.Compare(a.prefix.Bits(), b.prefix.Bits())
	})
	var out []netip.Prefix
	for len(sorted) > 0 {
		widest := joinedV4
		if sorted[0].prefix.Addr().Is6() {
			widest = joinedV6
		}
		block := netip.PrefixFrom(sorted[0].prefix.Addr(), min(widest, sorted[0].prefix.Bits())).Masked()
		n := 1
		for n < len(sorted) && contains(block, sorted[n].prefix) {
			n++
		}
		out = append(out, coversOf(sorted[:n], may)...)
		sorted = sorted[n:]
	}
	return out
}

// coversOf is the smallest network around sorted bundles, or those around its
// halves where it may not stand for them.
func coversOf(sorted []bundle, may func(netip.Prefix, []string) bool) []netip.Prefix {
	if len(sorted) < 2 {
		return nil
	}
	p := sorted[0].prefix
	for !contains(p, sorted[len(sorted)-1].prefix) {
		p = netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
	}
	var members []string
	for _, b := range sorted {
		members = append(members, b.members...)
	}
	if may(p, members) {
		return []netip.Prefix{p}
	}
	if p.IsSingleIP() {
		return nil
	}
	half := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	n := slices.IndexFunc(sorted, func(b bundle) bool { return !contains(half, b.prefix) })
	if n <= 0 {
		return nil
	}
	return append(coversOf(sorted[:n], may), coversOf(sorted[n:], may)...)
}
