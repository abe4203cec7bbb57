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
	filled  bool // by the alerts of a rule, while the engine runs
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
	return l
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
	return slices.ContainsFunc(l.nets, func(p netip.Prefix) bool { return p.Contains(a) })
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
