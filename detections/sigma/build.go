package sigma

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"portcullis/detections"
	"portcullis/internal/yamldoc"
)

// builder turns what was read into native rules.
type builder struct {
	all   []*loader
	opts  Options
	state map[*loader]int // of correlations: 1 being built, 2 built
}

func (b *builder) build() {
	b.state = map[*loader]int{}
	for _, l := range b.all {
		if l.filter != nil && len(l.disabled) == 0 {
			b.applyFilter(l)
		}
	}
	for _, l := range b.all {
		if l.doc.Kind == KindRule {
			b.resolveParams(l)
		}
	}
	for _, l := range b.all {
		if l.corr != nil {
			b.correlate(l)
		}
	}
	for _, l := range b.all {
		if l.doc.Kind == KindRule && len(l.disabled) == 0 && !l.doc.Used {
			n := l.native()
			n.add("where", l.where())
			b.emit(l, n)
		}
	}
}

// find is the document that another one names: of its own file first. A name
// that two documents of other files have is none.
func (b *builder) find(from *loader, name string) (*loader, int) {
	var near, far []*loader
	for _, l := range b.all {
		if l == from || l.filter != nil || l.name != name && !strings.EqualFold(l.text("id"), name) {
			continue
		}
		if far = append(far, l); l.src == from.src {
			near = append(near, l)
		}
	}
	if len(near) > 0 {
		far = near
	}
	if len(far) != 1 {
		return nil, len(far)
	}
	return far[0], 1
}

func (b *builder) applyFilter(f *loader) {
	targets := []*loader{}
	if f.filter.any {
		for _, l := range b.all {
			if l.doc.Kind == KindRule {
				targets = append(targets, l)
			}
		}
	} else {
		for _, name := range f.filter.rules {
			l, n := b.find(f, name)
			if l == nil {
				f.refuse("name-collision", value(value(f.node, "filter"), "rules"), "%d rules are called %s", n, name)
				continue
			}
			targets = append(targets, l)
		}
	}
	for _, l := range targets {
		if l.cond != nil {
			l.cond = join("and", l.cond, f.cond)
		}
	}
}

// resolveParams disables a rule whose placeholders no tenant fills.
func (b *builder) resolveParams(l *loader) {
	for _, name := range l.paramOrder {
		if _, ok := b.opts.Params[l.doc.ID][name]; !ok {
			l.refuse("placeholder", l.params[name], "the rule leaves a value to you").Hint = fmt.Sprintf("set it for a tenant: params: {%s: {%s: …}}", l.doc.ID, name)
		}
	}
}

// where is the rule's condition, false while its parameters are not set.
func (l *loader) where() string {
	e := l.cond
	text := e.native(false)
	if params := e.params(); len(params) > 0 {
		parts := []string{}
		for _, p := range params {
			parts = append(parts, "params."+p+` != ""`)
		}
		text = parens(text, e.op == "or")
		if e.op == "and" || e.op == "leaf" || e.op == "not" {
			return strings.Join(append([]string{text}, parts...), " && ")
		}
		return strings.Join(append(parts, text), " && ")
	}
	return text
}

// correlate builds a correlation, after those that it reads.
func (b *builder) correlate(l *loader) {
	if b.state[l] != 0 {
		return
	}
	b.state[l] = 1
	defer func() { b.state[l] = 2 }()
	c := l.corr
	if len(l.disabled) > 0 {
		b.markBases(l)
		return
	}
	var bases []*loader
	for _, n := range c.rules {
		base, count := b.find(l, n.Value)
		switch {
		case base == nil && count > 1:
			l.refuse("name-collision", n, "%d rules are called %s: none is meant more than another", count, n.Value).Hint = "name it by its id"
		case base == nil:
			l.refuse("unknown-rule", n, "no rule is called %s", n.Value)
		case base.corr != nil && b.state[base] == 1:
			l.refuse("cycle", n, "the correlation waits for itself")
		default:
			if base.corr != nil {
				b.correlate(base)
			}
			if bases = append(bases, base); len(base.disabled) > 0 {
				l.refuse("base-disabled", n, "the rule %s is disabled (%s)", n.Value, base.disabled[0].Code)
			}
		}
	}
	b.markBases(l)
	if len(l.disabled) > 0 {
		return
	}
	l.inherit(bases)
	if n := b.correlation(l, bases); len(l.disabled) == 0 {
		b.emit(l, n)
	}
}

// markBases has base rules tell nothing themselves, unless generate is set.
func (b *builder) markBases(l *loader) {
	for _, n := range l.corr.rules {
		if base, _ := b.find(l, n.Value); base != nil && base.corr == nil && !l.corr.generate {
			base.doc.Used = true
			base.warnings = slices.DeleteFunc(base.warnings, func(f Finding) bool { return f.Code == "base-only" }) // the correlation counts
		}
	}
}

// inherit takes level and tags of the base rules where there are none.
func (l *loader) inherit(bases []*loader) {
	for _, key := range []string{"level", "tags", "falsepositives", "references", "description"} {
		for _, base := range bases {
			if v := value(base.node, key); value(l.node, key) == nil && v != nil {
				l.node.Content = append(l.node.Content, yamlKey(key), v)
			}
		}
	}
	for _, base := range bases {
		for _, p := range base.paramOrder {
			if _, ok := l.params[p]; !ok {
				l.params[p] = base.params[p]
				l.paramOrder = append(l.paramOrder, p)
			}
		}
	}
}

// correlation writes the keys of its kind.
func (b *builder) correlation(l *loader, bases []*loader) *native {
	c := l.corr
	chained := slices.ContainsFunc(bases, func(o *loader) bool { return o.corr != nil })
	conds := make([]string, len(bases))
	var types []string
	for i, o := range bases {
		if chained {
			conds[i] = "rule == " + quote(o.doc.ID)
			if o.corr == nil {
				l.refuse("mixed-chain", c.rules[i], "rules and correlations cannot be read together").Hint = "put the rule into a correlation of its own"
			}
			continue
		}
		conds[i] = o.where()
		types = append(types, o.cond.types()...)
	}
	n := l.native()
	if chained {
		n.add("on", "signals")
	}
	all := conds[0]
	if len(conds) > 1 {
		parts := make([]string, len(conds))
		for i, s := range conds {
			parts[i] = "(" + s + ")"
		}
		all = strings.Join(parts, " || ")
	}
	groups := l.groups(bases, conds, chained)
	for _, g := range groups {
		if len(types) > 0 && len(c.aliases) == 0 {
			l.partial(usedField{g, c.node}, types)
		}
	}
	span := yamldoc.FormatDuration(c.span)
	temporal := strings.HasPrefix(c.kind, "temporal")
	if temporal && c.logic == "" && len(c.bounds) == 0 && len(conds) > 1 {
		n.list("group_by", groups)
		n.steps(conds, bases)
		if c.kind == "temporal" {
			n.raw("ordered", "false")
		}
		n.raw("within", span)
		return n
	}
	n.add("where", all)
	n.list("group_by", groups)
	n.raw("window", span)
	n.add("having", l.having(bases, conds))
	return n
}

// having is the condition over the window.
func (l *loader) having(bases []*loader, conds []string) string {
	c := l.corr
	if c.logic != "" {
		return l.logic(bases, conds)
	}
	value := "count()"
	switch c.kind {
	case "temporal", "temporal_ordered":
		parts := []string{}
		for _, s := range conds {
			parts = append(parts, fmt.Sprintf("(count(%s) > 0 ? 1 : 0)", s))
		}
		if value = strings.Join(parts, " + "); len(c.bounds) == 0 {
			return "count() > 0"
		}
		if c.kind == "temporal_ordered" {
			l.refuse("correlation", c.node, "temporal_ordered takes no condition")
		}
		value = "(" + value + ")"
	case "value_count":
		value = "distinct(" + c.fields[0] + ")"
		if len(c.fields) > 1 {
			parts := make([]string, len(c.fields))
			for i, f := range c.fields {
				parts[i] = "string(" + f + ")"
			}
			value = "distinct(" + strings.Join(parts, ` + "\u0000" + `) + ")"
		}
	case "value_sum":
		value = "sum(numbers(" + c.fields[0] + ")[0])"
	case "value_avg":
		value = "avg(numbers(" + c.fields[0] + ")[0])"
	case "value_median":
		value = "median(numbers(" + c.fields[0] + ")[0])"
	case "value_percentile":
		value = "percentile(numbers(" + c.fields[0] + ")[0], " + c.percent + ")"
	}
	parts := make([]string, len(c.bounds))
	for i, b := range c.bounds {
		parts[i] = value + " " + b.sign + " " + strconv.FormatFloat(b.of, 'f', -1, 64)
	}
	return strings.Join(parts, " && ")
}

// logic is an extended condition over the names of the rules.
func (l *loader) logic(bases []*loader, conds []string) string {
	c := l.corr
	searches := map[string]*expr{}
	var names []string
	for i := range bases {
		name := c.rules[i].Value
		names = append(names, name)
		searches[name] = &expr{op: "leaf", text: "(count(" + conds[i] + ") > 0)", kind: "rule"}
	}
	e, err := parseCondition(c.logic, names, searches)
	if err != nil {
		l.refuse(err.code, c.logicAt, "%s", err.msg).Hint = err.hint
		return ""
	}
	if c.kind == "temporal_ordered" {
		l.refuse("correlation", c.logicAt, "temporal_ordered takes no condition")
	}
	return e.native(false)
}

// groups are the parts of a group's key.
func (l *loader) groups(bases []*loader, conds []string, chained bool) []string {
	c := l.corr
	var out []string
	for _, n := range c.groupBy {
		if of, ok := c.aliases[n.Value]; ok {
			text := "nil"
			for i := len(bases) - 1; i >= 0; i-- {
				if f, ok := of[c.rules[i].Value]; ok {
					text = "(" + conds[i] + " ? " + f + " : " + text + ")"
				}
			}
			out = append(out, "string"+parens(text, text[0] != '('))
			continue
		}
		path, _, _ := fieldName(n.Value)
		text, ok := spelled(path)
		if !ok || !isKnown(path) {
			l.refuse("dead-field", n, "no event has %s", n.Value).Hint = l.nearestField(path)
			continue
		}
		if chained && !slices.Contains([]string{"ip", "user_id", "client_id"}, text) {
			text = "group." + text
		}
		out = append(out, text)
	}
	return out
}

// emit keeps a native rule if our own loader takes it.
func (b *builder) emit(l *loader, n *native) {
	f := detections.File{Name: l.src.Name + "#" + l.doc.ID, Data: []byte(n.String())}
	if _, err := detections.Load([]detections.File{f}, nil); err != nil {
		msg, _, _ := strings.Cut(err.Error(), "\n")
		if i := strings.Index(msg, ": "); i > 0 {
			msg = msg[i+2:]
		}
		l.refuse("native", nil, "our own language refuses it: %s", msg)
		return
	}
	l.doc.Native = f
}
