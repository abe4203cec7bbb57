package detections

import (
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// Lists are named lists that rules look values up in: lists.trusted_networks.
type Lists map[string]*List

// List is a set of texts and networks. An entry that reads as an address or a
// CIDR matches every address inside it; any other entry matches itself.
type List struct {
	entries []string
	texts   map[string]struct{}
	nets    []netip.Prefix
	ranges  []addrRange // what nets cover, sorted and apart
	filled  bool        // by the alerts of a rule, while the engine runs
}

// NewList makes a list of entries; surrounding space is ignored.
func NewList(entries ...string) *List {
	l := &List{texts: map[string]struct{}{}}
	for _, e := range entries {
		e = strings.TrimSpace(e)
		if e == "" {
			continue
		}
		l.entries = append(l.entries, e)
		if p, err := netip.ParsePrefix(e); err == nil {
			l.nets = append(l.nets, unmapPrefix(p))
		} else if a, err := netip.ParseAddr(e); err == nil {
			l.nets = append(l.nets, netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen()))
		} else {
			l.texts[e] = struct{}{}
		}
	}
	l.ranges = rangesOf(l.nets)
	return l
}

// addrRange is the addresses from one to another, both included.
type addrRange struct{ from, to netip.Addr }

// rangesOf joins networks that touch or overlap, so that one search finds an
// address among any number of them.
func rangesOf(nets []netip.Prefix) []addrRange {
	all := make([]addrRange, len(nets))
	for i, p := range nets {
		all[i] = addrRange{p.Addr(), lastOf(p)}
	}
	slices.SortFunc(all, func(a, b addrRange) int { return a.from.Compare(b.from) })
	out := all[:0]
	for _, r := range all {
		if n := len(out); n > 0 && r.from.BitLen() == out[n-1].to.BitLen() && r.from.Compare(out[n-1].to) <= 0 {
			if r.to.Compare(out[n-1].to) > 0 {
				out[n-1].to = r.to
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// lastOf is the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// unmapPrefix turns ::ffff:192.0.2.0/120 into 192.0.2.0/24.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Contains reports whether a text, or the address it spells, is in the list.
func (l *List) Contains(s string) bool {
	if _, ok := l.texts[s]; ok {
		return true
	}
	if len(l.nets) == 0 {
		return false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	i, found := slices.BinarySearchFunc(l.ranges, a, func(r addrRange, a netip.Addr) int { return r.from.Compare(a) })
	return found || i > 0 && a.Compare(l.ranges[i-1].to) <= 0
}

// Entries returns what the list was made of.
func (l *List) Entries() []string { return slices.Clone(l.entries) }

// Names returns the names of the lists, sorted.
func (ls Lists) Names() []string {
	names := make([]string, 0, len(ls))
	for n := range ls {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// ReadLists reads the .txt files of a folder: one entry a line, # begins a
// comment. A list has the name of its file.
func ReadLists(fsys fs.FS, dir string) (Lists, error) {
	lists := Lists{}
	names, err := fs.Glob(fsys, path.Join(dir, "*.txt"))
	if err != nil {
		return nil, fmt.Errorf("read lists in %s: %w", dir, err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read list %s: %w", name, err)
		}
		var entries []string
		for line := range strings.Lines(string(data)) {
			line, _, _ = strings.Cut(line, "#")
			entries = append(entries, line)
		}
		lists[strings.TrimSuffix(path.Base(name), ".txt")] = NewList(entries...)
	}
	return lists, nil
}

// withFilled is the lists together with those that the rules of files fill.
func (ls Lists) withFilled(files []File) Lists {
	out := maps.Clone(ls)
	if out == nil {
		out = Lists{}
	}
	for _, f := range files {
		docs, _ := yamldoc.Documents(diag.NewSource(f.Name, f.Data)) // problems are told by Load
		for _, doc := range docs {
			name := keyNode(keyNode(doc, "publish"), "list")
			if name.Kind == yaml.ScalarNode && out[name.Value] == nil {
				out[name.Value] = &List{filled: true}
			}
		}
	}
	return out
}
