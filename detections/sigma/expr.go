package sigma

import (
	"slices"
	"strings"
)

// expr is a condition on its way into our language. Every leaf is true or false,
// never unknown, so that not of it is what Sigma means.
type expr struct {
	op   string // and, or, not, leaf
	kids []*expr

	text    string    // of a leaf
	field   string    // that it asks for, "" of keywords
	kind    string    // like, null, or what else it asks
	values  []literal // of like
	guarded []string  // parameters that must be set
	sample  *sample   // a value of the field with which it holds; nil when none is known
}

// literal is one plain value of a comparison.
type literal struct {
	pattern string // for like()
	plain   string // the text without escapes; only when exact
	exact   bool   // no wildcard
}

func join(op string, kids ...*expr) *expr {
	if len(kids) == 1 {
		return kids[0]
	}
	return &expr{op: op, kids: kids}
}

func not(e *expr) *expr { return &expr{op: "not", kids: []*expr{e}} }

// types are the event types that e leaves; nil when any.
func (e *expr) types() []string {
	switch e.op {
	case "leaf":
		if e.field != "type" || e.kind != "like" {
			return nil
		}
		out := []string{}
		for _, v := range e.values {
			if !v.exact {
				return nil
			}
			out = append(out, strings.ToLower(v.plain))
		}
		return out
	case "and":
		var out []string
		for _, k := range e.kids {
			t := k.types()
			if t == nil {
				continue
			}
			if out == nil {
				out = t
				continue
			}
			out = slices.DeleteFunc(slices.Clone(out), func(s string) bool { return !slices.Contains(t, s) })
		}
		return out
	case "or":
		out := []string{}
		for _, k := range e.kids {
			t := k.types()
			if t == nil {
				return nil
			}
			for _, s := range t {
				if !slices.Contains(out, s) {
					out = append(out, s)
				}
			}
		}
		return out
	}
	return nil
}

// native writes e in our language.
func (e *expr) native(negated bool) string {
	switch e.op {
	case "leaf":
		if types := e.types(); types != nil && !negated {
			if len(types) == 1 {
				return "type == " + quote(types[0])
			}
			return "type in " + quotes(types)
		}
		return e.text
	case "not":
		return "not " + parens(e.kids[0].native(!negated), e.kids[0].op != "leaf")
	}
	sign := " && "
	if e.op == "or" {
		sign = " || "
	}
	parts := make([]string, len(e.kids))
	for i, k := range e.kids {
		parts[i] = parens(k.native(negated), k.op != e.op && k.op != "leaf" && k.op != "not")
	}
	return strings.Join(parts, sign)
}

func parens(s string, want bool) string {
	if want {
		return "(" + s + ")"
	}
	return s
}

// leaves visits the leaves that must, or must not, hold.
func (e *expr) leaves(negated bool, visit func(l *expr, negated bool)) {
	if e.op == "leaf" {
		visit(e, negated)
		return
	}
	for _, k := range e.kids {
		k.leaves(negated != (e.op == "not"), visit)
	}
}

// params are the parameters that e needs.
func (e *expr) params() []string {
	var out []string
	e.leaves(false, func(l *expr, _ bool) {
		for _, p := range l.guarded {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	})
	return out
}
