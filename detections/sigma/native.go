package sigma

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// native is a rule in our language that is being written.
type native struct{ b strings.Builder }

func yamlKey(key string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}
}

var severities = map[string]string{"informational": "info", "low": "low", "medium": "medium", "high": "high", "critical": "critical"}

// native begins a rule with what is for people, and comments on what was changed.
func (l *loader) native() *native {
	n := &native{}
	fmt.Fprintf(&n.b, "# From the Sigma %s at %s:%d.\n", l.doc.Kind, l.src.Name, l.node.Line)
	for _, w := range l.warnings {
		fmt.Fprintf(&n.b, "# %s: %s.\n", w.Code, strings.ReplaceAll(w.Msg, "\n", " "))
	}
	n.raw("id", l.doc.ID)
	n.add("title", l.doc.Title)
	severity := severities[strings.ToLower(l.text("level"))]
	if severity == "" {
		severity = "medium"
	}
	for _, w := range l.warnings {
		if w.Code == "base-only" {
			severity = "info"
		}
	}
	n.raw("severity", severity)
	if d := strings.TrimSpace(l.text("description")); d != "" {
		n.add("description", d)
	}
	for _, key := range []string{"author", "license", "date", "modified"} {
		if s := strings.TrimSpace(l.text(key)); s != "" {
			n.add(key, s)
		}
	}
	n.list("tags", l.tags())
	n.list("references", plain(texts(value(l.node, "references"))))
	n.related(value(l.node, "related"))
	fp := texts(value(l.node, "falsepositives"))
	if fp == nil {
		fp = texts(value(l.node, "false_positive"))
	}
	n.list("false_positives", plain(fp))
	if len(l.paramOrder) > 0 {
		n.b.WriteString("params: # while one of them is empty the rule is silent\n")
		for _, p := range l.paramOrder {
			fmt.Fprintf(&n.b, "  %s: {default: \"\", doc: a value that the upstream rule leaves open}\n", p)
		}
	}
	return n
}

// tags are the tags as version 2 writes them.
func (l *loader) tags() []string {
	out := plain(texts(value(l.node, "tags")))
	for i, t := range out {
		if strings.HasPrefix(t, "attack.") {
			out[i] = strings.ReplaceAll(t, "_", "-")
		}
	}
	return out
}

func plain(nodes []*yaml.Node) []string {
	var out []string
	for _, n := range nodes {
		if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
			out = append(out, strings.TrimSpace(n.Value))
		}
	}
	return out
}

func (n *native) raw(key, text string) { fmt.Fprintf(&n.b, "%s: %s\n", key, text) }

// add writes a text: folded at && and || when it is long.
func (n *native) add(key, text string) { n.b.WriteString(key + ": " + scalar(text, "  ") + "\n") }

// scalar writes a text on one line, or as a block of lines indented so.
func scalar(text, indent string) string {
	single := !strings.ContainsAny(text, "\n\r\t")
	if single && len(text) < 110 {
		out, err := yaml.Marshal(text)
		if s := strings.TrimSuffix(string(out), "\n"); err == nil && !strings.Contains(s, "\n") {
			return s
		}
	}
	if single && strings.TrimSpace(text) == text && text != "" {
		text = strings.ReplaceAll(strings.ReplaceAll(text, " && ", "\n"+indent+"&& "), " || ", "\n"+indent+"|| ")
		return ">-\n" + indent + text
	}
	out, _ := yaml.Marshal(map[string]string{"x": text})
	s := strings.TrimSuffix(strings.TrimPrefix(string(out), "x: "), "\n")
	return strings.ReplaceAll(s, "\n    ", "\n"+indent)
}

func (n *native) list(key string, items []string) {
	if len(items) == 0 {
		return
	}
	n.b.WriteString(key + ":\n")
	for _, it := range items {
		n.b.WriteString("  - " + scalar(it, "    ") + "\n")
	}
}

// steps writes the steps of a sequence.
func (n *native) steps(conds []string, bases []*loader) {
	n.b.WriteString("steps:\n")
	for i, c := range conds {
		fmt.Fprintf(&n.b, "  - name: step%d # %s\n    where: %s\n", i+1, strings.ReplaceAll(bases[i].doc.Title, "\n", " "), scalar(c, "      "))
	}
}

// groupBy writes the key of groups.
func (n *native) groupBy(parts []groupPart) {
	for i, g := range parts {
		if i == 0 {
			n.b.WriteString("group_by:\n")
		}
		if n.b.WriteString("  - "); g.name != "" {
			n.b.WriteString(g.name + ": ")
		}
		n.b.WriteString(scalar(g.text, "      ") + "\n")
	}
}

// related writes how the rule relates to others: by relation, as rules of ours do.
func (n *native) related(list *yaml.Node) {
	ids := map[string][]string{}
	for _, r := range texts(list) {
		id, relation := value(r, "id"), value(r, "type")
		if id == nil || relation == nil {
			continue
		}
		word := strings.ToLower(relation.Value)
		if word == "obsoletes" { // as version 1 has it
			word = "obsolete"
		}
		ids[word] = append(ids[word], quote(id.Value))
	}
	begun := false
	for _, word := range strings.Fields("derived similar obsolete merged renamed") {
		if len(ids[word]) == 0 {
			continue
		}
		if !begun {
			n.b.WriteString("related:\n")
		}
		begun = true
		fmt.Fprintf(&n.b, "  %s: [%s]\n", word, strings.Join(ids[word], ", "))
	}
}

func (n *native) String() string { return n.b.String() }
