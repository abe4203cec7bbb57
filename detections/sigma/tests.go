package sigma

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/detections"
	"portcullis/internal/yamldoc"
)

// trial is a test that may be written into a rule, if it passes.
type trial struct {
	name   string
	params map[string]string
	events []burst
	group  map[string]string // of the alert that must come
	count  int               // likewise; 0 for not said
	silent bool              // none must come
}

// burst is one event, or many of them.
type burst struct {
	n      int
	fields map[string]any
	from   time.Duration
	over   time.Duration
}

// withTests is a rule with a test that fires and one that does not, each of which
// was run. A test that is not found is asked for in a comment.
func (b *builder) withTests(l *loader, f detections.File, bases []*loader) []byte {
	text := string(f.Data) + "tests: # a beginning: put in what your tenant's log holds\n"
	l.bases = bases
	passes := func(t trial) bool {
		file := detections.File{Name: f.Name, Data: []byte(string(f.Data) + "tests:\n" + t.String())}
		set, err := detections.Load(append(slices.Clone(b.done), file), nil)
		if err != nil {
			return false
		}
		results := set.RunTests(set.Rule(l.doc.ID), nil)
		return len(results) == 1 && len(results[0].Failures) == 0
	}
	fires, silents := l.trials()
	for _, t := range fires {
		for _, name := range l.paramOrder {
			if t.params[name] == "" {
				t.params[name] = filler(name)
			}
		}
	}
	i := slices.IndexFunc(fires, passes)
	if i < 0 {
		return []byte(text + "  # No event was found that makes the rule fire: describe one, and what must come of it.\n" +
			(trial{name: "an event that is not meant", events: []burst{{n: 1, fields: map[string]any{"type": "depnote"}}}, silent: true}).String())
	}
	text += fires[i].String()
	params := fires[i].params
	for _, t := range silents {
		t.params = params
		if t.silent = true; passes(t) {
			return []byte(text + t.String())
		}
	}
	return []byte(text + "  # Add one that looks alike and must stay silent.\n")
}

// trials are tests in which the rule may fire, and others in which it may not.
func (l *loader) trials() (fires, silents []trial) {
	if l.corr == nil {
		for _, w := range l.cond.wishes(true) {
			fires = append(fires, trial{name: "an event that is meant", params: w.and(wish{}).params, events: []burst{{n: 1, fields: l.typed(w.event())}}})
		}
		for _, w := range l.nearMisses() {
			silents = append(silents, trial{name: "an event that differs in one thing", events: []burst{{n: 1, fields: l.typed(w.event())}}})
		}
		return fires, silents
	}
	for _, n := range l.corr.counts() {
		for way := range maxWishes {
			events, params, ok := l.story(n, way, 0, 0)
			if !ok {
				break
			}
			t := trial{name: l.corr.called(n), params: params, events: events, group: l.groupOf(events[0].fields)}
			if len(events) == 1 && n > 1 {
				t.count = n
			}
			fires = append(fires, t)
		}
	}
	for _, n := range l.corr.misses() {
		for way := range maxWishes {
			events, _, ok := l.story(n, way, 0, 0)
			if !ok {
				break
			}
			if l.corr.steps() { // all but the last step
				if events = events[:len(events)-1]; len(events) == 0 {
					break
				}
			}
			silents = append(silents, trial{name: l.corr.missed(n), events: events})
		}
	}
	return fires, silents
}

// nearMisses are events that fulfil all parts of the condition but one, the last
// first.
func (l *loader) nearMisses() []wish {
	if l.cond.op != "and" {
		return l.cond.wishes(false)
	}
	var out []wish
	for miss := len(l.cond.kids) - 1; miss >= 0; miss-- {
		kids := []*expr{}
		for i, k := range l.cond.kids {
			if i == miss {
				k = not(k)
			}
			kids = append(kids, k)
		}
		out = append(out, join("and", kids...).wishes(true)...)
	}
	return out
}

// typed gives an event a type, when the condition asks for none.
func (l *loader) typed(event map[string]any) map[string]any {
	if event["type"] == nil {
		event["type"] = "s"
		if types := l.cond.types(); len(types) > 0 {
			event["type"] = "depnote"
		}
	}
	return event
}

// story is events that make the correlation find something once, with n events or
// values where it counts; other groups have other variants. way chooses among the
// ways to fulfil the rules' conditions; false when there are no more.
func (l *loader) story(n, way, variant int, from time.Duration) (events []burst, params map[string]string, ok bool) {
	c := l.corr
	params = map[string]string{}
	if l.chained() {
		return l.chainedStory(n, way, variant, from)
	}
	for i, base := range l.bases {
		ways := base.cond.wishes(true)
		if len(ways) == 0 || way >= maxWishes || i == 0 && way >= len(ways) {
			return nil, nil, false
		}
		w := ways[min(way, len(ways)-1)]
		maps.Copy(params, w.params)
		event := base.typed(w.event())
		for _, key := range c.groupBy {
			l.fill(event, i, key, sampleKey(l.keyPath(0, key), variant))
		}
		one := burst{n: 1, fields: event, from: from + time.Duration(i)*time.Minute}
		if !c.steps() {
			one.n, one.over = n, c.span/2
			for _, f := range c.fields {
				l.fill(event, i, f, c.valueAt(l.keyPath(i, f), n))
			}
			if c.kind != "event_count" && c.kind != "value_count" {
				one.n = 1
			}
			return []burst{one}, params, true
		}
		events = append(events, one)
	}
	return events, params, true
}

// chainedStory is a story of what other correlations find.
func (l *loader) chainedStory(n, way, variant int, from time.Duration) (events []burst, params map[string]string, ok bool) {
	params = map[string]string{}
	tell := func(base *loader, variant int, from time.Duration) bool {
		inner, of, ok := base.story(base.corr.counts()[0], way, variant, from)
		events = append(events, inner...)
		maps.Copy(params, of)
		return ok
	}
	if l.corr.steps() {
		for i, base := range l.bases {
			if !tell(base, variant, from+time.Duration(i)*2*base.corr.span) {
				return nil, nil, false
			}
		}
		return events, params, true
	}
	for i := range n {
		next, at := variant+i, from+time.Duration(i)*time.Second
		if len(l.corr.groupBy) > 0 { // one group: one finding after the other is over
			next, at = variant, from+time.Duration(i)*(2*l.bases[0].corr.span+time.Minute)
		}
		if !tell(l.bases[0], next, at) {
			return nil, nil, false
		}
	}
	return events, params, true
}

func (l *loader) chained() bool {
	return slices.ContainsFunc(l.bases, func(o *loader) bool { return o.corr != nil })
}

// keyPath is the field of a base's events that a key of the correlation is.
func (l *loader) keyPath(base int, key *yaml.Node) string {
	if of, ok := l.corr.aliases[key.Value]; ok {
		if key = of[l.corr.rules[base].Value]; key == nil {
			return ""
		}
	}
	path, _, _ := fieldName(key.Value)
	return path
}

// fill sets a field of an event that the condition leaves open.
func (l *loader) fill(event map[string]any, base int, key *yaml.Node, v any) {
	path := l.keyPath(base, key)
	if path == "" {
		return
	}
	if root, _, nested := strings.Cut(path, "."); !nested && event[root] != nil {
		return
	}
	put(event, strings.Split(path, "."), v)
}

// groupOf is the group that an event belongs to, as far as it is known.
func (l *loader) groupOf(event map[string]any) map[string]string {
	if l.chained() || len(l.corr.keys) != len(l.corr.groupBy) {
		return nil
	}
	out := map[string]string{}
	for i, key := range l.corr.groupBy {
		var at any = event
		for name := range strings.SplitSeq(l.keyPath(0, key), ".") {
			in, _ := at.(map[string]any)
			at = in[name]
		}
		if text, ok := at.(string); ok && !strings.Contains(text, "{i}") {
			out[l.corr.keys[i]] = text
		}
	}
	return out
}

var keySamples = map[string]string{"user_id": "auth0|ann", "user_name": "ann@example.com", "client_id": "web", "security_context.ja4": "t13d1516h2_aaaaaaaaaaaa_bbbbbbbbbbbb"}

func sampleKey(path string, variant int) string {
	if path == "ip" {
		return fmt.Sprintf("198.51.100.%d", 7+variant)
	}
	text := keySamples[path]
	if text == "" {
		text = "one"
	}
	if variant > 0 {
		text += fmt.Sprint(variant)
	}
	return text
}

// steps reports whether each of the rules must be seen.
func (c *correlation) steps() bool { return strings.HasPrefix(c.kind, "temporal") }

// valueAt is what the counted field of the events holds, so that a condition of n
// is met.
func (c *correlation) valueAt(path string, n int) any {
	switch {
	case c.kind != "value_count":
		return n
	case path == "ip":
		return "203.0.113.{i}"
	case path == "user_name":
		return "user{i}@example.com"
	}
	return "value{i}"
}

// counts are numbers with which the condition may hold.
func (c *correlation) counts() []int {
	var out []int
	for _, b := range c.bounds {
		out = append(out, int(math.Ceil(satisfying(b.sign, b.of))))
	}
	return positive(out)
}

// misses are numbers with which it may not.
func (c *correlation) misses() []int {
	var out []int
	for _, b := range c.bounds {
		switch b.sign {
		case ">":
			out = append(out, int(b.of))
		case ">=", "==":
			out = append(out, int(math.Ceil(b.of))-1)
		default:
			out = append(out, int(b.of)+1)
		}
	}
	return positive(out)
}

// positive are numbers of events that a test can have.
func positive(numbers []int) []int {
	if len(numbers) == 0 {
		return []int{1}
	}
	return slices.DeleteFunc(numbers, func(n int) bool { return n < 1 || n > 10_000 })
}

func (c *correlation) called(n int) string {
	span := yamldoc.FormatDuration(c.span)
	switch {
	case c.steps():
		return "all of them within " + span
	case c.kind == "event_count":
		return fmt.Sprintf("%d within %s", n, span)
	case c.kind == "value_count":
		if n == 1 {
			return "one value within " + span
		}
		return fmt.Sprintf("%d different values within %s", n, span)
	}
	return fmt.Sprintf("a value of %d", n)
}

func (c *correlation) missed(n int) string {
	if c.steps() {
		return "without the last of them"
	}
	return "no more than " + c.called(n)
}

// String is the test as it stands in a rule.
func (t trial) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n", scalar(t.name, "      "))
	if len(t.params) > 0 {
		fmt.Fprintf(&b, "    params: %s\n", flow(t.params))
	}
	b.WriteString("    events:\n")
	for _, e := range t.events {
		if e.n == 1 {
			fields := maps.Clone(e.fields)
			if e.from > 0 {
				fields["at"] = yamldoc.FormatDuration(e.from)
			}
			fmt.Fprintf(&b, "      - %s\n", flow(fields))
			continue
		}
		text := fmt.Sprintf("%d × %s over %s", e.n, flow(e.fields), yamldoc.FormatDuration(e.over))
		if e.from > 0 {
			text += " from " + yamldoc.FormatDuration(e.from)
		}
		fmt.Fprintf(&b, "      - '%s'\n", strings.ReplaceAll(text, "'", "''"))
	}
	alert := map[string]any{}
	if len(t.group) > 0 {
		alert["group"] = t.group
	}
	if t.count > 0 {
		alert["count"] = t.count
	}
	if t.silent {
		b.WriteString("    alerts: []\n")
	} else {
		fmt.Fprintf(&b, "    alerts: [%s]\n", flow(alert))
	}
	return b.String()
}

// flow writes a mapping on one line, type first.
func flow(v any) string {
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		return "{}"
	}
	onOneLine(&n)
	out, err := yaml.Marshal(&n)
	if err != nil {
		return "{}"
	}
	return strings.TrimSpace(string(out))
}

func onOneLine(n *yaml.Node) {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		n.Style = yaml.FlowStyle
	} else if strings.ContainsAny(n.Value, "\n\t") {
		n.Style = yaml.DoubleQuotedStyle
	}
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		if n.Content[i].Value == "type" {
			k, v := n.Content[i], n.Content[i+1]
			n.Content = append([]*yaml.Node{k, v}, append(slices.Clone(n.Content[:i]), n.Content[i+2:]...)...)
			break
		}
	}
	for _, c := range n.Content {
		onOneLine(c)
	}
}
