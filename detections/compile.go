package detections

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/logstream"
)

// compiled is a rule ready to run for one tenant.
type compiled struct {
	*Rule
	kind            Kind // an unordered sequence is compiled to an aggregate
	params          map[string]any
	types           []string   // event types it can match; nil when any
	index           ruleKey    // how the index finds it
	where           *program   // nil when the marks alone decide
	marks           []*program // conditions of which one must hold: an event bears the bit of each that does; nil for most kinds
	group           []groupPart
	having          *program    // nil when one event is enough
	when            *program    // of a state
	steps           []step      // of a sequence
	aggs            []aggregate // of having and evidence
	nHaving         int         // so many of them belong to having
	baselines       []baseline  // of having
	kept            []namedProgram
	rises           bool // having is judged as events come
	travels         bool // kept holds latitude and longitude
	probed          bool // every window is judged, for the tools that explain
	coldLimit       int  // a group of fewer entries cannot satisfy the rule
	evidence        []namedProgram
	raises          []raise  // of severity
	fields          []field  // every event field that its expressions name
	lists           []string // every list that they name
	filled          []string // those of them that rules fill
	waits           bool     // a condition may still turn false as lists fill: judged behind the watermark
	groupExceptions []*exception
	eventExceptions []*exception
	derives         bool // it looks up a list that a rule fills
}

// step is one step of an ordered sequence.
type step struct {
	name     string
	times    int
	relation *program // over kept values of its event and of earlier steps; nil when it has none
	needed   []int    // for each kept value, the last step that names it of this one; -1 for none
}

// groupPart is one part of a group's key: an event field, or an expression.
type groupPart struct {
	name  string
	value *program
}

// slides reports whether the rule is judged as events come, over the window
// that ends with each. All others are judged when a window closes.
func (c *compiled) slides() bool { return c.rises || c.having == nil }

// looksAhead reports whether an alert may open before the watermark has passed
// its evidence: when what is still to come cannot make it untrue.
func (c *compiled) looksAhead() bool {
	switch c.kind {
	case Absence:
		return false
	case FirstSeen:
		return !c.travels // an event in between would be another way
	case Match, Aggregate, Baseline:
		return c.slides()
	}
	return true
}

// remembers reports whether groups know more than their entries tell.
func (c *compiled) remembers() bool { return c.kind == FirstSeen || c.kind == State }

// span is how long an entry can matter to a window.
func (c *compiled) span() int64 {
	switch c.kind {
	case Sequence:
		return c.Within.Milliseconds()
	case Absence:
		return 2 * c.Within.Milliseconds() // an event that comes late must find what answered it
	}
	return c.Window.Milliseconds()
}

// reach is how far behind the watermark an entry can matter to a window or to
// what baselines are made of.
func (c *compiled) reach() int64 {
	reach := c.span()
	for _, b := range c.baselines {
		reach = max(reach, b.span+2*b.bucket)
	}
	return reach
}

// keptOf are the kept values of an entry.
func (c *compiled) keptOf(e *entry) []any { return e.vals[len(c.aggs):] }

// placeOf is where an event happened, of a rule that asks for travel.
func (c *compiled) placeOf(e *entry) (place, bool) {
	if !c.travels {
		return place{}, false
	}
	kept := c.keptOf(e)
	lat, ok1 := number(kept[1])
	lon, ok2 := number(kept[2])
	return place{e.t, lat, lon}, ok1 && ok2
}

// field is an event field under the name that expressions use.
type field struct {
	name string
	path logstream.Path
	slot int // in the table of the rule set
}

type namedProgram struct {
	name string
	prog *program
}

// compile makes a rule ready, with a tenant's parameters in place of the
// defaults and the names it uses added to table, and reports what is wrong with
// its expressions to d.
func compile(r *Rule, overrides map[string]any, lists Lists, table *nameTable, d *yamldoc.Decoder) *compiled {
	c := &compiled{Rule: r, kind: r.Kind(), params: map[string]any{}}
	for name, p := range r.Params {
		c.params[name] = p.Default
		if v, ok := overrides[name]; ok {
			c.params[name] = v
		}
	}
	t := newTranslator(c.params, lists, table)
	defer t.done()
	t.signals = r.On == "signals"
	c.compileWhere(t, d)
	c.compileGroup(t, d)
	switch c.kind {
	case Sequence:
		c.compileSteps(t, d)
	case Absence:
		c.compileMarks(t, d, []markText{{"after", r.After}, {"expect", r.Expect}})
	case FirstSeen, State:
		c.keepValue(t, d)
	}
	t.aggregates, t.types = true, c.types
	c.compileHaving(t, d)
	c.compileEvidence(t, d)
	c.compileRaises(t, d)
	c.aggs = t.aggs

	for name := range r.Params {
		if !t.used[name] && len(d.Problems) == 0 {
			n := keyNode(keyNode(r.node, "params"), name)
			d.Report(n, "params."+name, "is used nowhere in the rule")
		}
	}
	c.lists, c.derives, c.waits = keys(t.named), t.derives, t.waits
	if !r.loaded {
		r.named = c.lists
	}
	for _, name := range c.lists {
		if lists[name].filled {
			c.filled = append(c.filled, name)
		}
	}
	for _, name := range keys(t.fields) {
		c.fields = append(c.fields, field{name, t.fields[name], table.field(t.fields[name])})
	}
	return c
}

func (c *compiled) compileWhere(t *translator, d *yamldoc.Decoder) {
	r := c.Rule
	if !r.Where.Given() {
		return
	}
	if n, ok := t.parse(r.Where.Value); ok {
		c.narrow(n, t)
		if t.signals && !r.loaded {
			r.sources, _ = namesOf(n, "rule", t.lists)
		}
		if c.where = t.condition(r.Where.Value); c.where != nil && !t.signals {
			c.index = keyOf(n, t)
		}
	}
	t.report(d, r.Where, "where")
	if c.types != nil && len(c.types) == 0 {
		d.ReportAt(r.Where, 0, 1, "where", "can never be true: no event has all the types asked for")
	}
}

// narrow keeps of the types so far those for which a condition can be true.
func (c *compiled) narrow(n ast.Node, t *translator) {
	types, ok := namesOf(n, "type", t.lists)
	if t.types = c.types; !ok {
		return
	}
	slices.Sort(types)
	types = slices.Compact(types)
	if c.types != nil {
		types = slices.DeleteFunc(types, func(x string) bool { return !slices.Contains(c.types, x) })
	}
	c.types, t.types = types, types
}

func (c *compiled) compileGroup(t *translator, d *yamldoc.Decoder) {
	keys, key := c.Rule.keys()
	for i, g := range keys {
		if n, ok := t.parse(g.Value); ok {
			part := groupPart{name: g.Value}
			kind := t.kindOf(n)
			if strings.Contains(g.Value, "[*]") && kind == AnyKind {
				kind = ListKind // of all elements
			}
			if kind != 0 && kind&^(ListKind|MappingKind) == 0 {
				t.failHint(n, "is a %s, which forms no group", kind.String(), "name one value in it")
			}
			_, isCall := n.(*ast.BuiltinNode)
			switch path, isPath := dottedPath(n); {
			case isPath:
				part.name, part.value = path, t.operand(g.Value)
			case isCall || isFunction(n) || g.Name != "":
				part.value = t.operand(g.Value)
			default:
				t.failHint(n, "must be the name of an event field, or a function of one%s", "", "give another expression a name: {name: expression}")
			}
			part.name = cmp.Or(g.Name, part.name)
			if slices.ContainsFunc(c.group, func(o groupPart) bool { return o.name == part.name }) {
				t.fail(n, "two parts of the key are called %s", part.name)
			}
			c.group = append(c.group, part)
		}
		t.report(d, g.Text, fmt.Sprintf("%s[%d]", key, i))
	}
}

// isFunction reports whether n is a call.
func isFunction(n ast.Node) bool {
	_, is := n.(*ast.CallNode)
	return is
}

func (c *compiled) compileHaving(t *translator, d *yamldoc.Decoder) {
	r := c.Rule
	if c.kind == State {
		c.compileWhen(t, d)
		return
	}
	if !r.Having.Given() || c.having != nil {
		return
	}
	if c.kind == FirstSeen {
		t.offer(nameTravelKM, nameTravelKMH, nameTravelHours)
	}
	if n, ok := t.parse(r.Having.Value); ok {
		c.rises = onlyRises(n)
		c.having = t.condition(r.Having.Value)
		if c.having != nil && len(t.aggs) == 0 && c.kind != FirstSeen {
			t.fail(n, "names no aggregate: use count(), distinct(field), …")
		}
		if c.having != nil && len(c.group)+len(t.fields) > 0 && c.kind != FirstSeen {
			c.checkHavingNames(t, d)
		}
	}
	c.baselines = t.baselines
	for i := range c.baselines {
		c.baselines[i].bucket = r.Window.Milliseconds()
		if b := c.baselines[i]; b.bucket > 0 && (b.span/b.bucket > maxBuckets || b.span < 3*b.bucket) {
			d.ReportAt(r.Having, 0, 1, "having", "a baseline looks back over 3 to %d windows of %s", maxBuckets, yamldoc.FormatDuration(r.Window))
		}
	}
	t.report(d, r.Having, "having")
	if c.kind == FirstSeen && t.usesOffered {
		c.travels = true
		for _, f := range []string{"location_info.latitude", "location_info.longitude"} {
			c.kept = append(c.kept, namedProgram{f, t.operand(f)})
		}
	}
	t.withdraw()
	c.nHaving = len(t.aggs)
}

func (c *compiled) compileWhen(t *translator, d *yamldoc.Decoder) {
	t.offer("was", "now")
	c.when = t.condition(c.When.Value)
	t.report(d, c.When, "when")
	t.withdraw()
}

func (c *compiled) compileEvidence(t *translator, d *yamldoc.Decoder) {
	if c.kind == State {
		t.offer("was", "now")
	}
	for _, name := range keys(c.Evidence) {
		text := c.Evidence[name]
		p := t.operand(text.Value)
		t.report(d, text, "evidence."+name)
		c.evidence = append(c.evidence, namedProgram{name, p})
	}
	t.withdraw()
	if p := c.Publish; p != nil && p.Value.Given() {
		if l := t.lists[p.List]; l != nil && !l.filled {
			d.Report(keyNode(keyNode(c.node, "publish"), "list"), "publish.list", "the list %s exists already, and is not filled by rules", p.List)
		}
		t.aggregates = false
		c.kept = append(c.kept, namedProgram{"publish", t.operand(p.Value.Value)}) // the last that is kept
		t.report(d, p.Value, "publish.value")
	}
}

// keepValue compiles what first_seen and state rules keep of each event.
func (c *compiled) keepValue(t *translator, d *yamldoc.Decoder) {
	c.kept = []namedProgram{{"value", t.operand(c.Value.Value)}}
	t.report(d, c.Value, "value")
}

type markText struct {
	key  string
	text yamldoc.Text
}

// compileMarks compiles conditions of which one must hold for an event to count.
func (c *compiled) compileMarks(t *translator, d *yamldoc.Decoder, texts []markText) {
	var types []string
	all := true
	common := c.types
	for _, m := range texts {
		if !m.text.Given() {
			continue
		}
		n, ok := t.parse(m.text.Value)
		if ok {
			c.types = common
			c.narrow(n, t)
			all = all && c.types != nil
			types = append(types, c.types...)
			c.marks = append(c.marks, t.condition(m.text.Value))
		}
		t.report(d, m.text, m.key)
	}
	if c.types = nil; all {
		slices.Sort(types)
		c.types = slices.Compact(types)
	}
}

// checkHavingNames refuses event fields that stand outside an aggregate, where
// there is no single event to take them from.
func (c *compiled) checkHavingNames(t *translator, d *yamldoc.Decoder) {
	probe := newTranslator(c.params, t.lists, newNameTable())
	defer probe.done()
	probe.aggregates = true
	n, ok := probe.parse(c.Rule.Having.Value)
	if !ok {
		return
	}
	var bare []exprProblem
	walkOutsideAggregates(n, func(path string, p exprProblem) {
		if !isConstantName(path) {
			p.msg = fmt.Sprintf("%s is a field of one event: say which of the window is meant, for instance last(%s)", path, path)
			bare = append(bare, p)
		}
	})
	probe.problems = bare
	probe.report(d, c.Rule.Having, "having")
}

// CheckParams checks the values that a tenant gives to parameters, by rule id
// and name. The error names the first that does not fit, and why.
func (s *RuleSet) CheckParams(params map[string]map[string]any) error {
	for _, id := range keys(params) {
		r := s.Rule(id)
		if r == nil {
			return fmt.Errorf("no rule is called %s%s", id, diag.DidYouMean(id, s.IDs()))
		}
		for _, name := range keys(params[id]) {
			p, ok := r.Params[name]
			if !ok {
				return fmt.Errorf("rule %s has no parameter %s%s", id, name, diag.DidYouMean(name, keys(r.Params)))
			}
			if err := p.accepts(params[id][name]); err != nil {
				return fmt.Errorf("parameter %s of rule %s: %v %w", name, id, params[id][name], err)
			}
		}
	}
	return nil
}
