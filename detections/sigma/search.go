package sigma

import (
	"strings"

	"gopkg.in/yaml.v3"

	"portcullis/internal/yamldoc"
	"portcullis/logstream"
)

// search reads one search of a detection.
func (l *loader) search(n *yaml.Node, name string) *expr {
	n = yamldoc.Resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		return l.fields(n)
	case yaml.SequenceNode:
		if len(n.Content) == 0 {
			l.refuse("empty-list", n, "the search %s is an empty list", name).Hint = "remove it, or say what it looks for"
			return join("and")
		}
		var kids []*expr
		words := &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Column: n.Column}
		for _, c := range n.Content {
			if c = yamldoc.Resolve(c); c.Kind == yaml.MappingNode {
				kids = append(kids, l.fields(c))
			} else {
				words.Content = append(words.Content, c)
			}
		}
		if len(words.Content) > 0 {
			kids = append(kids, l.item("", nil, words))
		}
		return join("or", kids...)
	}
	return l.item("", nil, n)
}

// fields reads a mapping of fields to values: all must hold.
func (l *loader) fields(n *yaml.Node) *expr {
	if len(n.Content) == 0 {
		l.refuse("empty-list", n, "the search is empty")
		return join("and")
	}
	var kids []*expr
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], yamldoc.Resolve(n.Content[i+1])
		if seen[k.Value] {
			l.refuse("duplicate-key", k, "%s is given twice: only one would count", k.Value)
			continue
		}
		seen[k.Value] = true
		parts := strings.Split(k.Value, "|")
		l.key = k
		kids = append(kids, l.item(parts[0], parts[1:], v))
	}
	return join("and", kids...)
}

// words is everything that an event says, for keywords.
var words = "words([" + strings.Join(logstream.KnownFields(), ", ") + "])"

// item reads one field with its modifiers and values.
func (l *loader) item(name string, modifiers []string, n *yaml.Node) *expr {
	subject := words
	path := ""
	if name != "" {
		var prefixed, braces, ok bool
		path, prefixed, braces = fieldName(name)
		if braces {
			l.warn("brace-suffix", l.key, "{} is no Sigma: it is read as any element of the list")
		}
		l.prefixed = l.prefixed || prefixed
		if subject, ok = spelled(path); !ok {
			l.refuse("field", l.key, "%q is no name of a field", name)
			return join("and")
		}
		if !isKnown(path) {
			l.refuse("dead-field", l.key, "no event has %s", name).Hint = l.nearestField(path)
			return join("and")
		}
		l.fieldsUsed = append(l.fieldsUsed, usedField{path, l.key})
	}
	c := &comparison{l: l, subject: subject, path: path, node: n}
	return c.read(modifiers)
}
