package detections

import (
	"regexp"

	"gopkg.in/yaml.v3"

	"portcullis/internal/yamldoc"
)

// GroupKey is one part of what events are grouped by: an expression, or a name
// with one, {who: user_id ?? user_name}. Without a name the expression is the
// name: alerts show the part under it, and signals carry it as group.NAME.
type GroupKey struct {
	Name string // "" when it was given none
	yamldoc.Text
}

var keyName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// DecodeNode reads either form.
func (g *GroupKey) DecodeNode(d *yamldoc.Decoder, n *yaml.Node, key string) {
	if n.Kind != yaml.MappingNode {
		g.Text.DecodeNode(d, n, key)
		return
	}
	if len(n.Content) != 2 {
		d.Report(n, key, "must be an expression, or one name with one").Hint = "write each part as an item of its own"
		return
	}
	if g.Name = n.Content[0].Value; !keyName.MatchString(g.Name) {
		d.Report(n.Content[0], key, "%q is no name", g.Name).Hint = "letters, digits and _"
	}
	g.Text.DecodeNode(d, yamldoc.Resolve(n.Content[1]), key+"."+g.Name)
}
