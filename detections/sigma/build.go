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
	done  []detections.File
}

func (b *builder) build() {
	b.state = map[*loader]int{}
	for _, l := range b.all {
		if l.filter != nil && len(l.disabled) == 0 {
			b.applyFilter(l)
		}
	}
	for _, l := range b.all {
		if l.corr != nil {
			b.correlate(l)
		}
	}
	for _, l := range b.all {
		if l.doc.Kind != KindRule || l.doc.Used {
			continue
		}
		if b.resolveParams(l); len(l.disabled) == 0 {
			n := l.native()
			n.add("where", l.where())
			b.emit(l, n, nil)
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

// calls reports whether a name is that of the document itself.
func (b *builder) calls(l *loader, name string) bool {
	return l.name == name || strings.EqualFold(l.text("id"), name)
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
				f.doc.Used = false
				if at := value(value(f.node, "filter"), "rules"); n == 0 {
					f.refuse("unknown-rule", at, "no rule is called %s", name)
				} else {
					f.refuse("name-collision", at, "%d rules are called %s", n, name).Hint = "name it by its id"
				}
				continue
			}
			targets = append(targets, l)
		}
	}
	for _, l := range targets {
		if l.cond != nil {
			l.cond = join("and", l.cond, f.cond)
			l.takeParams(f)
		}
	}
}

// takeParams has the placeholders of another document be l's own too.
func (l *loader) takeParams(of *loader) {
	for _, name := range of.paramOrder {
		if _, ok := l.params[name]; !ok {
			l.params[name] = of.params[name]
			l.paramOrder = append(l.paramOrder, name)
		}
	}
}

// resolveParams disables a rule whose placeholders no tenant fills, unless it is
// to be kept. Each that is missing is told where it stands.
func (b *builder) resolveParams(l *loader) {
	l.doc.Params = slices.Clone(l.paramOrder)
	var missing []string
	for _, name := range l.paramOrder {
		if _, ok := b.opts.Params[l.doc.ID][name]; !ok {
			missing = append(missing, name)
		}
	}
	for _, name := range missing {
		at := l.params[name]
		finding := at.of.finding("placeholder", at.node, "the rule leaves %s to you", name)
		finding.Hint = fmt.Sprintf("set it for a tenant: params: {%s: {%s: …}}", l.doc.ID, strings.Join(missing, ": …, "))
		if b.opts.Keep {
			l.warnings = append(l.warnings, finding)
			continue
		}
		l.disabled = append(l.disabled, finding)
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
		case base == nil && count == 0 && b.calls(l, n.Value):
			l.refuse("cycle", n, "the correlation waits for itself")
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
	if b.resolveParams(l); len(l.disabled) > 0 {
		return
	}
	if n := b.correlation(l, bases); len(l.disabled) == 0 {
		b.emit(l, n, bases)
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
	for _, key := range []string{"level", "tags", "falsepositives", "references", "description", "author", "license"} {
		for _, base := range bases {
			if v := value(base.node, key); value(l.node, key) == nil && v != nil {
				l.node.Content = append(l.node.Content, yamlKey(key), v)
			}
		}
	}
	for _, base := range bases {
		if base.corr == nil { // a correlation's values are its own
			l.takeParams(base)
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
	if len(l.disabled) > 0 {
		return nil
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
	from := &members{l: l, bases: bases, conds: conds, chained: chained}
	groups := from.groups()
	for _, g := range groups {
		if len(types) > 0 && g.name == "" {
			l.partial(usedField{g.text, c.node}, types)
		}
	}
	values := from.values()
	if len(l.disabled) > 0 {
		return nil
	}
	span := yamldoc.FormatDuration(c.span)
	temporal := strings.HasPrefix(c.kind, "temporal")
	if temporal && c.logic == "" && len(c.bounds) == 0 && len(conds) > 1 {
		n.groupBy(groups)
		n.steps(conds, bases)
		if c.kind == "temporal" {
			n.raw("ordered", "false")
		}
		n.raw("within", span)
		return n
	}
	n.add("where", all)
	n.groupBy(groups)
	n.raw("window", span)
	n.add("having", l.having(bases, conds, values))
	return n
}

// having is the condition over the window.
func (l *loader) having(bases []*loader, conds, values []string) string {
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
		value = "distinct(" + values[0] + ")"
		if len(values) > 1 {
			parts := make([]string, len(values))
			for i, f := range values {
				parts[i] = "string(" + f + ")"
			}
			value = "distinct(" + strings.Join(parts, ` + "\u0000" + `) + ")"
		}
	case "value_sum", "value_avg", "value_median":
		value = strings.TrimPrefix(c.kind, "value_") + "(numbers(" + values[0] + ")[0])"
	case "value_percentile":
		value = "percentile(numbers(" + values[0] + ")[0], " + c.percent + ")"
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

// emit keeps a native rule if our own loader takes it.
func (b *builder) emit(l *loader, n *native, bases []*loader) {
	f := detections.File{Name: l.src.Name + "#" + l.doc.ID, Data: []byte(n.String())}
	if _, err := detections.Load([]detections.File{f}, nil); err != nil {
		msg, _, _ := strings.Cut(err.Error(), "\n")
		if i := strings.Index(msg, ": "); i > 0 {
			msg = msg[i+2:]
		}
		l.refuse("native", nil, "our own language refuses it: %s", msg)
		return
	}
	if b.opts.Keep {
		f.Data = b.withTests(l, f, bases)
	}
	b.done = append(b.done, f)
	l.doc.Native = f
}
