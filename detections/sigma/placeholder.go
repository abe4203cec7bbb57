package sigma

import (
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// Names in braces, Sigma's own names in percent signs, and the example names that
// the published rules leave for the reader to replace.
var (
	braced    = regexp.MustCompile(`\{([A-Za-z][A-Za-z0-9 _-]*)\}`)
	percented = regexp.MustCompile(`%([A-Za-z][A-Za-z0-9 _.-]*)%`)
	example   = regexp.MustCompile(`^(?:critical|trusted|your)[-_][A-Za-z0-9_-]+$`)
)

// withParams is the comparison with a value that holds placeholders; nil when it
// holds none.
func (c *comparison) withParams(v operand) *expr {
	if v.node.Tag != "!!str" {
		return nil
	}
	text := v.node.Value
	marks := braced
	if c.expand {
		marks = percented
	}
	found := marks.FindAllStringSubmatchIndex(text, -1)
	if len(found) == 0 && example.MatchString(text) && strings.Contains(c.path, "client_id") {
		found = [][]int{{0, len(text), 0, len(text)}}
	}
	if len(found) == 0 {
		if c.expand {
			c.l.warn("placeholder", v.node, "|expand has no effect without a %%name%%")
		}
		return nil
	}
	var parts, params []string
	filled := &sample{front: c.before, back: c.after, params: map[string]string{}}
	shown := ""
	if c.before {
		parts = append(parts, `"*"`)
	}
	from := 0
	for _, f := range found {
		if f[0] > from {
			parts = append(parts, quote(parsePattern(text[from:f[0]]).like()))
			shown += text[from:f[0]]
		}
		name := c.l.placeholder(v.node, text[f[2]:f[3]])
		params = append(params, name)
		parts = append(parts, "literal(params."+name+")")
		filled.params[name] = filler(name)
		shown += filled.params[name]
		from = f[1]
	}
	if from < len(text) {
		parts = append(parts, quote(parsePattern(text[from:]).like()))
		shown += text[from:]
	}
	if c.after {
		parts = append(parts, `"*"`)
	}
	filled.value = shown
	e := c.leaf("param", "%s(%s, %s)", c.like(), c.subject, strings.Join(parts, " + ")).like(filled)
	e.guarded = params
	return e
}

var notName = regexp.MustCompile(`[^a-z0-9]+`)

// placeholder notes a parameter that tenants must set, and returns its name.
func (l *loader) placeholder(n *yaml.Node, text string) string {
	name := strings.Trim(notName.ReplaceAllString(strings.ToLower(text), "_"), "_")
	if _, known := l.params[name]; !known {
		l.params[name] = placeholderAt{l, n}
		l.paramOrder = append(l.paramOrder, name)
	}
	return name
}

// filler is a value for a placeholder in a test.
func filler(name string) string { return "my-" + strings.ReplaceAll(name, "_", "-") }
