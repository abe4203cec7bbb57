package sigma

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/internal/yamldoc"
)

// correlation is a correlation as it was written.
type correlation struct {
	kind     string
	node     *yaml.Node
	rules    []*yaml.Node
	groupBy  []*yaml.Node
	aliases  map[string]map[string]*yaml.Node // alias, rule, field
	keys     []string                         // what its groups call their parts, once it is built
	span     time.Duration
	generate bool

	bounds  []bound
	fields  []*yaml.Node // of value_count and the like
	percent string
	logic   string // an extended condition
	logicAt *yaml.Node
}

// bound is one comparison of a condition.
type bound struct {
	sign string
	of   float64
}

var correlationKinds = strings.Fields("event_count value_count temporal temporal_ordered value_sum value_avg value_percentile value_median")

var signs = map[string]string{"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "==", "neq": "!="}

func (l *loader) readCorrelation(n *yaml.Node) {
	c := &correlation{node: n, aliases: map[string]map[string]*yaml.Node{}}
	l.corr = c
	if t := value(n, "type"); t != nil {
		c.kind = t.Value
	}
	if !slices.Contains(correlationKinds, c.kind) {
		l.refuse("correlation", n, "unknown type of correlation %q%s", c.kind, didYouMean(c.kind, correlationKinds))
		return
	}
	if c.rules = texts(value(n, "rules")); len(c.rules) == 0 {
		l.refuse("correlation", n, "the correlation names no rules")
	}
	c.groupBy = texts(value(n, "group-by"))
	if g := value(n, "generate"); g != nil {
		c.generate = g.Value == "true"
	}
	l.readSpan(value(n, "timespan"))
	l.readAliases(value(n, "aliases"))
	l.readBounds(value(n, "condition"))
}

var units = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}

func (l *loader) readSpan(n *yaml.Node) {
	if n == nil || n.Value == "" {
		l.refuse("timespan", l.corr.node, "the timespan is missing")
		return
	}
	unit, ok := units[n.Value[len(n.Value)-1]]
	count, err := strconv.Atoi(n.Value[:len(n.Value)-1])
	if !ok || err != nil || count < 1 || count > 100_000 {
		l.refuse("timespan", n, "%q is no timespan", n.Value).Hint = "write 30s, 15m, 1h, 7d or 2w"
		return
	}
	if l.corr.span = time.Duration(count) * unit; l.corr.span > 92*24*time.Hour {
		l.refuse("timespan", n, "is longer than 92d")
	}
}

func (l *loader) readAliases(n *yaml.Node) {
	if n == nil {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		of := map[string]*yaml.Node{}
		m := yamldoc.Resolve(n.Content[i+1])
		for j := 0; j+1 < len(m.Content); j += 2 {
			rule := m.Content[j]
			if !slices.ContainsFunc(l.corr.rules, func(r *yaml.Node) bool { return r.Value == rule.Value }) {
				l.warn("stray-key", rule, "the correlation reads no rule %s", rule.Value)
			}
			of[rule.Value] = yamldoc.Resolve(m.Content[j+1])
		}
		l.corr.aliases[n.Content[i].Value] = of
	}
}

func (l *loader) readBounds(n *yaml.Node) {
	c := l.corr
	temporal := strings.HasPrefix(c.kind, "temporal")
	if n == nil {
		if !temporal {
			l.refuse("condition", c.node, "the condition is missing")
		}
		return
	}
	if n.Kind == yaml.ScalarNode && temporal {
		c.logic, c.logicAt = n.Value, n
		return
	}
	if n.Kind != yaml.MappingNode {
		l.refuse("condition", n, "the condition must be a mapping, for instance gte: 10")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], yamldoc.Resolve(n.Content[i+1])
		switch k.Value {
		case "field":
			l.readValueField(k, v)
		case "percentile":
			c.percent = v.Value
		default:
			x, err := strconv.ParseFloat(v.Value, 64)
			if signs[k.Value] == "" || err != nil {
				l.refuse("condition", k, "cannot read %s: %s", k.Value, v.Value).Hint = "write gt, gte, lt, lte, eq or neq and a number"
				continue
			}
			c.bounds = append(c.bounds, bound{signs[k.Value], x})
		}
	}
	if len(c.bounds) == 0 && !temporal {
		l.refuse("condition", n, "the condition compares with nothing").Hint = "write for instance gte: 10"
	}
	if strings.HasPrefix(c.kind, "value_") && len(c.fields) == 0 {
		l.refuse("condition", n, "%s needs a field", c.kind)
	}
	if p, err := strconv.ParseFloat(c.percent, 64); c.kind == "value_percentile" && (err != nil || p < 0 || p > 100) {
		l.refuse("condition", n, "value_percentile needs percentile: a number from 0 to 100")
	}
	l.lintBounds(n)
}

func (l *loader) readValueField(k, v *yaml.Node) {
	c := l.corr
	if !strings.HasPrefix(c.kind, "value_") {
		l.warn("stray-key", k, "field has no effect on %s", c.kind)
		return
	}
	c.fields = texts(v)
}

// lintBounds looks for conditions that say nothing.
func (l *loader) lintBounds(n *yaml.Node) {
	c := l.corr
	if c.kind != "event_count" && c.kind != "value_count" || len(c.bounds) != 1 {
		return
	}
	switch b := c.bounds[0]; {
	case b.sign == ">=" && b.of <= 1, b.sign == ">" && b.of < 1:
		l.refuse("vacuous", n, "the condition is true of the first event").Hint = "set the number that is meant"
	case b.sign == ">" && b.of < 3 && c.kind == "event_count", b.sign == ">=" && b.of < 4 && c.kind == "event_count":
		l.warn("noise", n, "so few events are soon there: look with portcullis tune which number fits")
	case b.sign == "<=" && b.of >= 1 || b.sign == "<" && b.of > 1:
		l.warn("premature", n, "true of the first event: it is judged when the timespan is over")
	}
}

// filter is a filter as it was written.
type filter struct {
	any   bool
	rules []string
}

func (l *loader) readFilter(n *yaml.Node) {
	l.readLogsource()
	l.filter = &filter{}
	rules := value(n, "rules")
	for _, r := range texts(rules) {
		if r.Value == "any" {
			l.filter.any = true
		}
		l.filter.rules = append(l.filter.rules, r.Value)
	}
	if rules == nil {
		l.refuse("filter", n, "the filter does not say which rules it is for").Hint = "name rules, or write rules: any"
	} else if rules.Kind == yaml.SequenceNode && len(rules.Content) == 0 {
		l.filter.any = true
	}
	l.cond = l.detection(n, "filter")
	l.doc.Used = len(l.disabled) == 0
	if l.cond == nil {
		return
	}
	if positive := l.cond.op != "not"; positive {
		negated := false
		l.cond.leaves(false, func(_ *expr, n bool) { negated = negated || n })
		if !negated {
			l.warn("filter-narrows", value(n, "condition"), "the condition is added as it stands: what it describes is what remains")
		}
	}
}
