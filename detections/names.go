package detections

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"portcullis/internal/diag"
	"portcullis/logstream"
)

// name resolves a dotted path: a parameter or an event field.
func (t *translator) name(n ast.Node, path string) ast.Node {
	root, rest, dotted := strings.Cut(path, ".")
	if length, ok := lengthOf(path); ok {
		return at(n, &ast.ConstantNode{Value: length.Seconds()})
	}
	switch {
	case t.offered[root]:
		t.usesOffered = true
		return at(n, offeredMember(root, rest))
	case t.steps[root]:
		return t.stepField(n, root, rest)
	}
	switch root {
	case "params":
		v, ok := t.params[rest]
		if !ok {
			return t.fail(n, "unknown parameter %s%s", path, diag.DidYouMean(rest, keys(t.params)))
		}
		t.used[rest] = true
		return at(n, &ast.ConstantNode{Value: v})
	case "lists":
		if _, ok := t.list(n); !ok && !dotted {
			return t.fail(n, "name a list: lists.NAME")
		}
		return t.fail(n, "a list can only stand after in: ip in %s", path)
	case "data":
		if dotted {
			return t.name(n, rest)
		}
	}
	known := logstream.KnownFields()
	if t.signals {
		known = signalFields
	}
	if root, _ := strings.CutSuffix(root, "[*]"); !slices.Contains(known, root) {
		switch {
		case t.lists[root] != nil:
			return t.fail(n, "unknown name %s (did you mean lists.%s?)", root, root)
		case t.params[root] != nil:
			return t.fail(n, "unknown name %s (did you mean params.%s?)", root, root)
		}
		return t.fail(n, "unknown name %s%s", root, diag.DidYouMean(root, append(slices.Clone(known), "params", "lists")))
	}
	p, err := logstream.ParsePath(path)
	if err != nil {
		return t.fail(n, "%s", err)
	}
	t.fields[path] = p
	if t.steps != nil {
		t.keep[path] = true
	}
	return at(n, &ast.IdentifierNode{Value: path})
}

// stepField resolves a field of an earlier step's event.
func (t *translator) stepField(n ast.Node, step, path string) ast.Node {
	if path == "" {
		return t.failHint(n, "%s is a step: name a field of its event", step, "for instance "+step+".user_id")
	}
	t.name(n, path) // an unknown field is told, and it is kept
	return at(n, &ast.IdentifierNode{Value: step + "." + path})
}

// offeredMember reads a member of something that is not an event.
func offeredMember(root, rest string) ast.Node {
	var out ast.Node = &ast.IdentifierNode{Value: root}
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, ".")
		out = call("__member", out, &ast.StringNode{Value: name})
	}
	return out
}

// isFieldName reports whether a name means something in every expression.
func isFieldName(name string) bool {
	return slices.Contains(logstream.KnownFields(), name) || slices.Contains([]string{"params", "lists", "data", "was", "now"}, name)
}

// list resolves lists.NAME to the list itself.
func (t *translator) list(n ast.Node) (ast.Node, bool) {
	path, ok := dottedPath(n)
	name, isList := strings.CutPrefix(path, "lists.")
	if !ok || !isList {
		return nil, false
	}
	l := t.lists[name]
	if l == nil {
		return t.fail(n, "unknown list %s%s", name, diag.DidYouMean(name, t.lists.Names())), true
	}
	t.named[name] = true
	if l.filled {
		t.derives = true
		t.waits = t.waits || t.aggregates || t.inAggregate || t.steps != nil
		return at(n, &ast.IdentifierNode{Value: listName(name)}), true
	}
	return at(n, &ast.ConstantNode{Value: l}), true
}

// dottedPath spells a chain of members as one path: details.request.path,
// details.stage["pre-login"].
func dottedPath(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return strings.ReplaceAll(n.Value, eachMark, "[*]"), true
	case *ast.ChainNode:
		return dottedPath(n.Node)
	case *ast.MemberNode:
		name, ok := n.Property.(*ast.StringNode)
		if !ok {
			return "", false
		}
		base, ok := dottedPath(n.Node)
		return base + "." + strings.ReplaceAll(name.Value, eachMark, "[*]"), ok
	}
	return "", false
}
