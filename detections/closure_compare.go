package detections

import (
	"fmt"
	"regexp"
	"strings"
)

// compared binds ==, != and the orders. The commonest forms, a field against a
// constant, have closures of their own.
func (b *binder) compared(op string, left, right operand) condition {
	if left.fixed && !right.fixed {
		op, left, right = mirrored[op], right, left
	}
	if left.named && right.fixed {
		if c := fieldAgainst(op, left.slot, right.is); c != nil {
			return c
		}
	}
	x, y := left.get, right.get
	switch op {
	case "eq":
		return func(r *row) bool { a, o := x(r), y(r); return a.kind != noValue && a.same(&o) }
	case "ne":
		return func(r *row) bool {
			a, o := x(r), y(r)
			return a.kind != noValue && o.kind != noValue && !a.same(&o)
		}
	case "lt":
		return func(r *row) bool { a, o := x(r), y(r); c, ok := a.order(&o); return ok && c < 0 }
	case "le":
		return func(r *row) bool { a, o := x(r), y(r); c, ok := a.order(&o); return ok && c <= 0 }
	case "gt":
		return func(r *row) bool { a, o := x(r), y(r); c, ok := a.order(&o); return ok && c > 0 }
	}
	return func(r *row) bool { a, o := x(r), y(r); c, ok := a.order(&o); return ok && c >= 0 }
}

// mirrored is the operator after its operands have changed places.
var mirrored = map[string]string{"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}

func fieldAgainst(op string, slot int, is datum) condition {
	switch {
	case is.kind == textValue && op == "eq":
		want := is.text
		return func(r *row) bool { d := r.at(slot); return d.kind == textValue && d.text == want }
	case is.kind == textValue && op == "ne":
		want := is.text
		return func(r *row) bool {
			d := r.at(slot)
			return d.kind != noValue && (d.kind != textValue || d.text != want)
		}
	case is.kind == numberValue && op == "eq":
		want := is.num
		return func(r *row) bool { d := r.at(slot); return d.kind == numberValue && d.num == want }
	case is.kind == boolValue && op == "eq":
		want := is.num
		return func(r *row) bool { d := r.at(slot); return d.kind == boolValue && d.num == want }
	}
	return nil
}

// membership binds "v in of", which is also "of contains v".
func (b *binder) membership(v, of operand, want bool) condition {
	if of.fixed {
		if set, ok := textSet(of.is); ok {
			get := v.get
			c := func(r *row) bool {
				d := get(r)
				if d.kind != textValue {
					return d.kind != noValue && !want
				}
				_, in := set[d.text]
				return in == want
			}
			return b.remembered(c, v, fmt.Sprintf("among %q %v", of.is.boxed, want))
		}
	}
	value, collection := v.get, of.get
	return func(r *row) bool {
		d, c := value(r), collection(r)
		if d.kind == noValue || c.kind == noValue {
			return false
		}
		if d.kind == textValue && c.kind == textValue {
			return strings.Contains(c.text, d.text) == want
		}
		in, ok := elementOf(&d, &c)
		return ok && in == want
	}
}

func elementOf(d, c *datum) (in, ok bool) {
	if list, is := c.list(); is && d.kind != collectionValue {
		for _, e := range list {
			o := datumOf(e)
			if d.same(&o) {
				return true, true
			}
		}
		return false, true
	}
	if c.kind != collectionValue {
		return false, false
	}
	return element(d.keep(), c.boxed)
}

// textSet makes a set of a list of nothing but texts.
func textSet(d datum) (map[string]struct{}, bool) {
	list, ok := d.list()
	set := map[string]struct{}{}
	for _, e := range list {
		s, is := e.(string)
		if !is {
			return nil, false
		}
		set[s] = struct{}{}
	}
	return set, ok
}

func affix(test func(s, part string) bool, of, part operand, want bool) condition {
	x, y := of.get, part.get
	return func(r *row) bool {
		s, p := x(r), y(r)
		return s.kind == textValue && p.kind == textValue && test(s.text, p.text) == want
	}
}

// listed binds "v in lists.NAME".
func (b *binder) listed(v operand, l *List, want bool) condition {
	get := v.get
	c := func(r *row) bool {
		d := get(r)
		switch d.kind {
		case noValue:
			return false
		case textValue:
			return l.Contains(d.text) == want
		case collectionValue:
			return listed(d.boxed, l, want)
		}
		return !want
	}
	if len(l.nets) == 0 {
		return c
	}
	return b.remembered(c, v, fmt.Sprintf("in %p %v", l, want))
}

func (b *binder) matches(v operand, re *regexp.Regexp, want bool) condition {
	get := v.get
	c := func(r *row) bool {
		d := get(r)
		return d.kind == textValue && re.MatchString(d.text) == want
	}
	return b.remembered(c, v, fmt.Sprintf("matches %q %v", re, want))
}

// remembered keeps the result of a costly condition on a field for as long as
// the row has the event: many rules ask the same.
func (b *binder) remembered(c condition, of operand, what string) condition {
	if !of.named {
		return c
	}
	m := b.t.table.memo(fmt.Sprintf("%d %s", of.slot, what))
	return func(r *row) bool {
		if r.memos[m] == 0 {
			r.memos[m] = -1
			r.decided = append(r.decided, m)
			if c(r) {
				r.memos[m] = 1
			}
		}
		return r.memos[m] > 0
	}
}
