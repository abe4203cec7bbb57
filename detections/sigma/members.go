package sigma

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// members turns what a correlation calls its fields into our language: an alias,
// a field of the events, or, over other correlations, a part of their groups.
type members struct {
	l       *loader
	bases   []*loader
	conds   []string // that tell the bases' events apart
	chained bool     // the bases are correlations, and what comes of them signals
}

// groupPart is one item of group_by.
type groupPart struct{ name, text string } // name is "" for a field

// groups are the parts of a group's key.
func (m *members) groups() []groupPart {
	c := m.l.corr
	var out []groupPart
	for _, n := range c.groupBy {
		text, ok := m.member(n)
		if !ok {
			continue
		}
		name := n.Value
		if path, _, _ := fieldName(name); c.aliases[name] == nil {
			name = path
		}
		g := groupPart{text: text}
		if name != text && plainName.MatchString(name) {
			g.name = name
		}
		out = append(out, g)
		c.keys = append(c.keys, name)
	}
	return out
}

// values are the fields that a condition counts or adds up.
func (m *members) values() []string {
	var out []string
	for _, n := range m.l.corr.fields {
		if text, ok := m.member(n); ok {
			out = append(out, text)
		}
	}
	return out
}

// member is one field of the correlation. What differs from base to base is told
// apart by the base's condition.
func (m *members) member(n *yaml.Node) (string, bool) {
	of, isAlias := m.l.corr.aliases[n.Value]
	each := make([]string, len(m.bases))
	for i, base := range m.bases {
		at := n
		if isAlias {
			if at = of[m.l.corr.rules[i].Value]; at == nil {
				m.l.warn("partial-field", n, "%s says nothing of %s, whose events form no group", n.Value, m.l.corr.rules[i].Value)
				continue
			}
		}
		var ok bool
		if each[i], ok = m.of(base, at); !ok {
			return "", false
		}
	}
	if len(slices.Compact(slices.Clone(each))) == 1 {
		return each[0], each[0] != ""
	}
	text := "nil"
	for i := len(each) - 1; i >= 0; i-- {
		if each[i] != "" {
			text = "((" + m.conds[i] + ") ? " + each[i] + " : " + text + ")"
		}
	}
	return text, true
}

// of is a field of what one base makes.
func (m *members) of(base *loader, n *yaml.Node) (string, bool) {
	path, _, _ := fieldName(n.Value)
	if m.chained {
		for _, key := range base.corr.keys {
			if key != n.Value && key != path {
				continue
			}
			text, ok := spelled(key)
			return "group." + text, ok
		}
		if slices.Contains([]string{"ip", "user_id", "client_id"}, path) {
			return path, true // when all its events have the same
		}
		m.l.refuse("dead-field", n, "the correlation %s does not group by %s: what comes of it has none", base.doc.Title, n.Value).Hint = "add it to group-by there"
		return "", false
	}
	text, ok := spelled(path)
	if !ok || !isKnown(path) {
		m.l.refuse("dead-field", n, "no event has %s", n.Value).Hint = m.l.nearestField(path)
		return "", false
	}
	return text, true
}
