package sigma

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"portcullis/internal/yamldoc"
)

// comparison is one field with its modifiers and values on the way to an expr.
type comparison struct {
	l       *loader
	subject string // in our language
	path    string // "" of keywords
	node    *yaml.Node

	values []operand
	all    bool
	cased  bool
	negate bool
	ref    bool
	expand bool
	re     bool
	cidr   bool
	exists bool
	flags  string
	order  string // >, >=, <, <=
	part   string // of a date: minute, hour, …
	before bool   // a * stands before the value
	after  bool
	bad    bool
}

// operand is one value as it was written.
type operand struct {
	node    *yaml.Node
	p       pattern
	null    bool
	number  bool
	encoded bool
}

var aliases = map[string]string{"ignorecase": "i", "multiline": "m", "dotall": "s", "wide": "utf16le"}

// KnownModifiers are the modifiers of the specification, and its aliases.
var knownModifiers = strings.Fields("all startswith endswith contains exists cased neq windash re i m s ignorecase multiline dotall base64 base64offset utf16le utf16be utf16 wide lt lte gt gte minute hour day week month year cidr expand fieldref")

func (c *comparison) fail(code, format string, args ...any) {
	c.bad = true
	at := c.l.key
	if at == nil {
		at = c.node
	}
	c.l.refuse(code, at, format, args...)
}

func (c *comparison) read(modifiers []string) *expr {
	if !c.readValues() {
		return join("and")
	}
	for i, m := range modifiers {
		c.modify(m, modifiers[:i])
	}
	if c.bad {
		return join("and")
	}
	if c.all && len(c.values) == 1 {
		c.l.warn("all-of-one", c.node, "|all has no effect on one value")
	}
	e := c.expr()
	if c.negate {
		return not(e)
	}
	return e
}

// readValues takes the values from the document.
func (c *comparison) readValues() bool {
	nodes := []*yaml.Node{c.node}
	switch c.node.Kind {
	case yaml.SequenceNode:
		if nodes = c.node.Content; len(nodes) == 0 {
			c.fail("empty-list", "an empty list of values: it is not said what it means")
			return false
		}
	case yaml.MappingNode:
		name := "x"
		if len(c.node.Content) == 2 && yamldoc.Resolve(c.node.Content[1]).Tag == "!!null" {
			name = c.node.Content[0].Value
		}
		c.l.refuse("unhashable-value", c.node, "a mapping where a value belongs").Hint = "a name in braces needs quotes: \"{" + name + "}\"; as Sigma has it, \"%" + name + "%\" with |expand"
		if name != "x" {
			c.l.placeholder(c.node, name)
		}
		return false
	}
	for _, n := range nodes {
		if n = yamldoc.Resolve(n); n.Kind != yaml.ScalarNode {
			c.fail("value", "a value must be a text, a number, true, false or null")
			return false
		}
		v := operand{node: n}
		switch n.Tag {
		case "!!null":
			if n == c.node && n.Value == "" && c.l.commentedList(n) {
				c.fail("null-list", "all values are commented out, which leaves null: events without the field")
				c.l.disabled[len(c.l.disabled)-1].Hint = "write null if that is meant, else give a value or remove the key"
				return false
			}
			if n != c.node {
				c.l.warn("null-in-list", n, "null in a list is not part of Sigma: it is read as one more alternative, the field is missing")
			}
			v.null = true
		case "!!int", "!!float":
			v.number = true
			v.p = plainPattern(number(n.Value))
		case "!!bool":
			b := "false"
			if strings.EqualFold(n.Value, "true") {
				b = "true"
			}
			v.p = plainPattern(b)
		default:
			v.p = parsePattern(n.Value)
		}
		c.values = append(c.values, v)
	}
	return true
}

// number is a YAML number as events' numbers are compared: 1.0 is 1.
func number(text string) string {
	if x, err := strconv.ParseFloat(text, 64); err == nil {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	var x float64
	if err := yaml.Unmarshal([]byte(text), &x); err == nil {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return text
}

// modify applies one modifier, those before it having been.
func (c *comparison) modify(m string, before []string) {
	if slices.Contains(before, m) {
		c.fail("modifier", "|%s is given twice", m)
		return
	}
	if long, ok := aliases[m]; ok {
		m = long
	}
	switch m {
	case "all":
		c.all = true
	case "cased":
		c.cased = true
	case "neq":
		c.negate = true
	case "contains", "startswith", "endswith":
		c.affix(m)
	case "windash":
		c.map1(func(v operand) []pattern { return v.p.windash() })
	case "base64", "base64offset", "utf16le", "utf16be", "utf16":
		c.encode(m)
	case "re", "cidr", "exists", "fieldref":
		if len(before) > 0 && m != "fieldref" && !slices.Equal(before, []string{"all"}) && !slices.Equal(before, []string{"neq"}) {
			c.fail("modifier-order", "|%s must come first", m)
			return
		}
		c.re, c.cidr, c.exists, c.ref = c.re || m == "re", c.cidr || m == "cidr", c.exists || m == "exists", c.ref || m == "fieldref"
		if m != "re" && c.path == "" {
			c.fail("modifier", "|%s needs a field", m)
		}
	case "i", "m", "s":
		if !c.re {
			c.fail("modifier-order", "|%s must follow |re", m)
			return
		}
		c.flags += m
	case "lt", "lte", "gt", "gte":
		c.order = map[string]string{"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}[m]
	case "minute", "hour", "day", "week", "month", "year":
		c.part = m
	case "expand":
		c.expand = true
	default:
		c.fail("unknown-modifier", "unknown modifier |%s%s", m, didYouMean(m, knownModifiers))
	}
}

func (c *comparison) affix(m string) {
	if c.re || c.cidr || c.exists || c.order != "" || c.part != "" {
		c.fail("modifier-order", "|%s cannot follow a modifier that makes no text", m)
		return
	}
	c.before = m != "startswith"
	c.after = m != "endswith"
	for i := range c.values {
		if c.values[i].null {
			c.fail("modifier", "|%s of null", m)
			return
		}
		c.values[i].p = c.values[i].p.within(c.before, c.after)
	}
}

func (c *comparison) map1(f func(v operand) []pattern) {
	var out []operand
	for _, v := range c.values {
		for _, p := range f(v) {
			v.p = p
			out = append(out, v)
		}
	}
	c.values = out
}

func (c *comparison) encode(m string) {
	for _, v := range c.values {
		if !v.p.exact() || v.null {
			c.fail("modifier", "|%s needs a text without wildcards", m)
			return
		}
	}
	c.map1(func(v operand) []pattern {
		s := string(v.p.runes)
		if v.encoded {
			s = latin(v.p.runes)
		}
		switch m {
		case "base64":
			return []pattern{plainPattern(base64.StdEncoding.EncodeToString([]byte(s)))}
		case "base64offset":
			var out []pattern
			for _, enc := range base64Offsets(s) {
				out = append(out, plainPattern(enc))
			}
			return out
		case "utf16be":
			return []pattern{bytesPattern(utf16Text(s, binary.BigEndian, false))}
		case "utf16":
			return []pattern{bytesPattern(utf16Text(s, binary.LittleEndian, true))}
		}
		return []pattern{bytesPattern(utf16Text(s, binary.LittleEndian, false))}
	})
	for i := range c.values {
		c.values[i].encoded = strings.HasPrefix(m, "utf16")
	}
}

// bytesPattern has one rune for each byte.
func bytesPattern(s string) pattern {
	var p pattern
	for i := range len(s) {
		p.add(rune(s[i]), false)
	}
	return p
}

func latin(runes []rune) string {
	out := make([]byte, len(runes))
	for i, r := range runes {
		out[i] = byte(r)
	}
	return string(out)
}

// expr is the whole comparison.
func (c *comparison) expr() *expr {
	switch {
	case c.exists:
		return c.existence()
	case c.re:
		return c.each(c.regex)
	case c.cidr:
		return c.each(c.network)
	case c.ref:
		return c.each(c.reference)
	case c.order != "" || c.part != "":
		return c.each(c.number)
	}
	return c.likeness()
}

func (c *comparison) leaf(kind, format string, args ...any) *expr {
	return &expr{op: "leaf", field: c.path, kind: kind, text: fmt.Sprintf(format, args...)}
}

func (c *comparison) each(f func(v operand) *expr) *expr {
	var kids []*expr
	for _, v := range c.values {
		if v.null && !c.re {
			c.fail("modifier", "null cannot be compared in this way")
			return join("and")
		}
		if e := f(v); e != nil {
			kids = append(kids, e)
		}
	}
	if c.all {
		return join("and", kids...)
	}
	return join("or", kids...)
}

func (c *comparison) existence() *expr {
	v := string(c.values[0].p.runes)
	if len(c.values) != 1 || c.values[0].node.Tag != "!!bool" {
		c.fail("modifier", "|exists takes true or false")
		return join("and")
	}
	e := c.leaf("exists", "exists(%s)", c.subject).like(&sample{value: "x"})
	if v == "false" {
		return not(e)
	}
	return e
}

var lookAround = regexp.MustCompile(`\(\?<?[=!]|\\[1-9]|\(\?>`)

func (c *comparison) regex(v operand) *expr {
	text := v.node.Value
	if c.flags != "" {
		text = "(?" + c.flags + ")" + text
	}
	if _, err := regexp.Compile(text); err != nil {
		msg := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		c.bad = true
		p := c.l.refuse("regex-dialect", v.node, "%s", msg)
		if lookAround.MatchString(text) {
			p.Hint = "look-around and back-references are not part of Sigma's expressions, nor of RE2: match what is there, and exclude with a search of its own under not"
		}
		return nil
	}
	return c.leaf("re", "any(texts(%s), # matches %s)", c.subject, quote(text)).like(sampleOfRegex(text))
}

func (c *comparison) network(v operand) *expr {
	p, err := netip.ParsePrefix(v.node.Value)
	if a, e := netip.ParseAddr(v.node.Value); err != nil && e == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil {
		c.fail("value", "%q is no network", v.node.Value)
		return nil
	}
	return c.leaf("cidr", "any(texts(%s), in_network(#, %s))", c.subject, quote(p.Masked().String())).like(&sample{value: p.Masked().Addr().String()})
}

func (c *comparison) reference(v operand) *expr {
	path, _, _ := fieldName(v.node.Value)
	other, ok := spelled(path)
	if !ok || !isKnown(path) {
		c.fail("dead-field", "no event has the field %s", v.node.Value)
		return nil
	}
	pattern := "map(texts(" + other + "), literal(#))"
	if c.before || c.after {
		b, a := "", ""
		if c.before {
			b = `"*" + `
		}
		if c.after {
			a = ` + "*"`
		}
		pattern = "map(texts(" + other + "), " + b + "literal(#)" + a + ")"
	}
	return c.leaf("fieldref", "%s(%s, %s)", c.like(), c.subject, pattern).like(&sample{value: "same", also: path})
}

func (c *comparison) number(v operand) *expr {
	x, err := strconv.ParseFloat(string(v.p.runes), 64)
	if err != nil {
		c.fail("value", "%q is no number", string(v.p.runes))
		return nil
	}
	sign := c.order
	if sign == "" {
		sign = "=="
	}
	n := strconv.FormatFloat(x, 'f', -1, 64)
	if c.part != "" {
		return c.leaf("time", "any(texts(%s), %s(#) %s %s)", c.subject, c.part, sign, n)
	}
	return c.leaf("order", "any(numbers(%s), # %s %s)", c.subject, sign, n).like(&sample{value: satisfying(sign, x)})
}

func (c *comparison) like() string {
	if c.cased {
		return "like_cased"
	}
	return "like"
}

// likeness compares texts: as one list where any may match.
func (c *comparison) likeness() *expr {
	var kids []*expr
	var plain []literal
	for _, v := range c.values {
		if v.null {
			kids = append(kids, not(c.leaf("exists", "exists(%s)", c.subject).like(&sample{value: "x"})))
			continue
		}
		if e := c.withParams(v); e != nil {
			kids = append(kids, e)
			continue
		}
		if c.path == "" && !c.before && !c.after {
			v.p = v.p.within(true, true)
		}
		plain = append(plain, v.p.literal())
	}
	if c.all {
		for _, p := range plain {
			kids = append(kids, c.patterns([]literal{p}))
		}
		return join("and", kids...)
	}
	if len(plain) > 0 {
		kids = append([]*expr{c.patterns(plain)}, kids...)
	}
	return join("or", kids...)
}

func (c *comparison) patterns(values []literal) *expr {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = v.pattern
	}
	arg := quotes(list)
	if len(list) == 1 {
		arg = quote(list[0])
	}
	e := c.leaf("like", "%s(%s, %s)", c.like(), c.subject, arg).like(sampleOf(values[0]))
	if e.values = values; c.cased {
		e.kind = "like_cased"
	}
	return e
}
