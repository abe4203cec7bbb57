package detections

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"portcullis/internal/diag"
	"portcullis/logstream"
)

// maxNamed bounds the event types that one message names.
const maxNamed = 5

// proveFields judges what a condition on one event names, where types are those
// that the event can have; nil for any.
func (p *prover) proveFields(n ast.Node, types []string) { p.fieldsOf(n, types, true) }

// fieldsOf walks and, or and not. partial says that a field which some of the
// types lack is told: within an or, another branch may be for those.
func (p *prover) fieldsOf(n ast.Node, types []string, partial bool) {
	if p.silent() {
		return
	}
	if u, ok := n.(*ast.UnaryNode); ok && (u.Operator == "not" || u.Operator == "!") {
		p.fieldsOf(u.Node, types, partial)
		return
	}
	b, _ := n.(*ast.BinaryNode)
	switch {
	case b != nil && isOr(b.Operator):
		branches := operandsOf(n, isOr)
		p.orBroadening(branches, types)
		for _, o := range branches {
			_, ownTypes := namesOf(o, "type", p.lists)
			p.fieldsOf(o, types, partial && ownTypes)
		}
	case b != nil && isAnd(b.Operator):
		clauses := operandsOf(n, isAnd)
		for _, o := range clauses {
			types = p.narrowed(types, o)
		}
		for _, o := range clauses {
			p.fieldsOf(o, types, partial)
		}
	default:
		p.typeNames(n)
		p.enumerated(n, p.narrowed(types, n))
		p.names(n, p.narrowed(types, n), partial)
	}
}

// silent reports whether fields are not judged: a tenant's parameters change none,
// and signals have no schema.
func (p *prover) silent() bool { return p.tenant != "" || p.rule.On == "signals" }

// narrowed is which of the types satisfy a clause as well.
func (p *prover) narrowed(types []string, clause ast.Node) []string {
	own, ok := namesOf(clause, "type", p.lists)
	switch {
	case !ok:
		return types
	case types == nil:
		return slices.Clone(own)
	}
	return slices.DeleteFunc(slices.Clone(types), func(t string) bool { return !slices.Contains(own, t) })
}

// orBroadening reports branches that hold for events of any type beside others
// that are about some.
func (p *prover) orBroadening(branches []ast.Node, types []string) {
	if types != nil {
		return
	}
	var loose []ast.Node
	for _, o := range branches {
		if _, ok := namesOf(o, "type", p.lists); !ok {
			loose = append(loose, o)
		}
	}
	if len(loose) == len(branches) {
		return
	}
	for _, o := range loose {
		p.at(p.warnings, o, "this branch holds for events of every type").
			Hint = "say which type is meant, or put the branches that belong together in brackets"
	}
}

// typeNames reports names of event types that Auth0 does not document.
func (p *prover) typeNames(n ast.Node) {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return
	}
	for _, pair := range [2][2]ast.Node{{b.Left, b.Right}, {b.Right, b.Left}} {
		if path, ok := dottedPath(pair[0]); !ok || strings.TrimPrefix(path, "data.") != "type" {
			continue
		}
		named := []ast.Node{pair[1]}
		if list, ok := pair[1].(*ast.ArrayNode); ok {
			named = list.Nodes
		}
		for _, v := range named {
			if s, ok := v.(*ast.StringNode); ok && !KnownType(s.Value) && equality(b.Operator) {
				p.at(p.warnings, v, "Auth0 documents no event type %q%s", s.Value, diag.DidYouMean(s.Value, allTypes()))
			}
		}
		if path, ok := dottedPath(pair[1]); ok && p.lists[strings.TrimPrefix(path, "lists.")] != nil {
			for _, e := range p.lists[strings.TrimPrefix(path, "lists.")].Entries() {
				if !KnownType(e) {
					p.at(p.warnings, pair[1], "%s holds %q, an event type that Auth0 does not document%s", path, e, diag.DidYouMean(e, allTypes()))
				}
			}
		}
	}
}

func equality(op string) bool { return op == "==" || op == "!=" || op == "in" }

// enumerated reports texts that a field is compared with and never holds.
func (p *prover) enumerated(n ast.Node, types []string) {
	b, ok := n.(*ast.BinaryNode)
	if !ok || !equality(b.Operator) {
		return
	}
	for _, pair := range [2][2]ast.Node{{b.Left, b.Right}, {b.Right, b.Left}} {
		path, ok := dottedPath(pair[0])
		if !ok || !isEventField(path) {
			continue
		}
		values := lookUp(types, path).enum
		named := []ast.Node{pair[1]}
		if list, ok := pair[1].(*ast.ArrayNode); ok {
			named = list.Nodes
		}
		for _, v := range named {
			if s, ok := v.(*ast.StringNode); ok && len(values) > 0 && !slices.Contains(values, s.Value) {
				p.at(p.warnings, v, "%s is never %q%s", path, s.Value, diag.DidYouMean(s.Value, values)).
					Hint = "Auth0 documents " + someOf(values)
			}
		}
	}
}

// isEventField reports whether a dotted name is one of an event's members.
func isEventField(path string) bool {
	root, _, _ := strings.Cut(strings.TrimPrefix(path, "data."), ".")
	root, _ = strings.CutSuffix(root, "[*]")
	return slices.Contains(logstream.KnownFields(), root) || spellings[root] != ""
}

// names judges every event field that n names.
func (p *prover) names(n ast.Node, types []string, partial bool) {
	if p.silent() {
		return
	}
	if path, ok := dottedPath(n); ok {
		if isEventField(path) {
			p.field(n, path, types, partial)
		}
		return
	}
	if b, ok := n.(*ast.BinaryNode); ok && b.Operator == "??" {
		partial = false // what is absent was thought of
	}
	if call, ok := n.(*ast.CallNode); ok {
		if name, _ := calleeOf(call); helperByName[name] != nil && helperByName[name].total {
			partial = false
		}
	}
	for _, c := range children(n) {
		p.names(c, types, partial)
	}
}

// field judges one field on the types of an event.
func (p *prover) field(n ast.Node, path string, types []string, partial bool) {
	if types != nil && len(types) == 0 {
		return // reported as impossible
	}
	f := lookUp(types, path)
	switch {
	case f.presence == Never:
		p.at(p.errors, n, "no event%s has %s", ofTypes(types), path).Hint = p.fieldHint(path, f)
	case f.presence == Unlisted:
		p.at(p.warnings, n, "Auth0 documents no %s%s", path, onTypes(types)).Hint = p.fieldHint(path, f)
	case partial && types != nil && len(f.missing) > 0:
		p.at(p.warnings, n, "%s is absent on %s: there nothing compares with it", path, someOf(f.missing))
	}
}

// fieldHint says what could be meant by a field that is not there.
func (p *prover) fieldHint(path string, f schemaField) string {
	parent, last := "", f.stop
	if i := strings.LastIndex(f.stop, "."); i >= 0 {
		parent, last = f.stop[:i], f.stop[i+1:]
	}
	switch {
	case f.through&ListKind != 0 && strings.HasSuffix(f.stop, "[*]"):
	case f.through&ListKind != 0:
		return fmt.Sprintf("%s is a list: write %s[*].%s", parent, parent, last)
	case f.through != 0 && strings.HasSuffix(f.stop, "[*]"):
		return fmt.Sprintf("%s is no list but a %s", strings.TrimSuffix(f.stop, "[*]"), f.through)
	case f.through != 0:
		return fmt.Sprintf("%s is no mapping but a %s", parent, f.through)
	}
	if near := diag.Nearest(last, f.siblings); near != "" {
		return "did you mean " + strings.TrimPrefix(parent+"."+near, ".") + "?"
	}
	if with := TypesWith(path); parent == "" && len(with) > 0 {
		return "the types that have it are " + someOf(with)
	}
	if parent != "" && len(f.siblings) > 0 {
		return parent + " has " + someOf(f.siblings)
	}
	return ""
}

// someOf names some of a list and counts the rest.
func someOf(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	if len(names) > maxNamed+1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), len(names)-maxNamed)
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func ofTypes(types []string) string {
	if types == nil {
		return ""
	}
	return " of type " + someOf(types)
}

func onTypes(types []string) string {
	if types == nil {
		return ""
	}
	return " on events of type " + someOf(types)
}

// proveValue judges the fields of aggregates over events of these types, and of
// the conditions within them. That some of the types lack a field is told only
// where it decides something, which is in having.
func (p *prover) proveValue(n ast.Node, types []string) {
	fn, args := aggregateCall(n)
	if path, ok := dottedPath(n); ok && isEventField(path) {
		p.names(n, types, p.key == "value")
		return
	}
	switch {
	case fn == "":
		for _, c := range children(n) {
			p.proveValue(c, types)
		}
	case aggregateFuncs[fn].pred:
		for _, a := range args {
			p.fieldsOf(a, slices.Clone(types), false)
		}
	default:
		for _, a := range args {
			p.names(a, types, p.key == "having")
		}
	}
}

// proveGroup judges the fields that events are grouped by.
func (p *prover) proveGroup(types []string) {
	if p.silent() {
		return
	}
	texts, key := p.rule.keys()
	for i, g := range texts {
		n := p.parse(clauseText{text: g.Text, key: fmt.Sprintf("%s[%d]", key, i)})
		if n == nil {
			continue
		}
		path, ok := dottedPath(n)
		if !ok || !isEventField(path) || types != nil && len(types) == 0 {
			continue
		}
		f := lookUp(types, path)
		switch {
		case f.presence == Never:
			p.at(p.errors, n, "no event%s has %s: no group is ever formed", ofTypes(types), path).Hint = p.fieldHint(path, f)
		case f.presence == Unlisted:
			p.at(p.warnings, n, "Auth0 documents no %s%s: no group is formed", path, onTypes(types)).Hint = p.fieldHint(path, f)
		case types != nil && len(f.missing) > 0 && p.rule.MissingKey != "group":
			p.at(p.warnings, n, "%s is absent on %s: such events form no group", path, someOf(f.missing)).
				Hint = "leave these types out of where, or set missing_key: group"
		}
	}
}
