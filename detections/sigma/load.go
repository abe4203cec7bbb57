package sigma

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"portcullis/detections"
	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/logstream"
)

// loader reads one document.
type loader struct {
	doc  *Document
	src  *diag.Source
	node *yaml.Node
	name string // what correlations call it

	cond       *expr
	key        *yaml.Node // the key that is being read
	prefixed   bool
	fieldsUsed []usedField
	params     map[string]placeholderAt
	paramOrder []string
	disabled   []Finding
	warnings   []Finding
	corr       *correlation
	bases      []*loader // of a correlation, once it is built
	filter     *filter
}

// placeholderAt is where a placeholder stands: a correlation has those of its rules.
type placeholderAt struct {
	of   *loader
	node *yaml.Node
}

type usedField struct {
	path string
	node *yaml.Node
}

func (l *loader) finding(code string, n *yaml.Node, format string, args ...any) Finding {
	if n == nil {
		n = l.node
	}
	length := 1
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		length = max(1, len([]rune(n.Value)))
	}
	return Finding{code, l.src.Problem(n.Line, n.Column, length, code, format, args...)}
}

// refuse notes a reason to disable the document; the problem may be given a hint.
func (l *loader) refuse(code string, n *yaml.Node, format string, args ...any) *diag.Problem {
	l.disabled = append(l.disabled, l.finding(code, n, format, args...))
	return &l.disabled[len(l.disabled)-1].Problem
}

func (l *loader) warn(code string, n *yaml.Node, format string, args ...any) {
	l.warnings = append(l.warnings, l.finding(code, n, format, args...))
}

func didYouMean(word string, known []string) string { return diag.DidYouMean(word, known) }

func (l *loader) nearestField(path string) string {
	root, rest, _ := strings.Cut(path, ".")
	if root == "request" || root == "response" {
		return "did you mean data.details." + root + "." + rest + "?"
	}
	if near := diag.Nearest(root, logstream.KnownFields()); near != "" {
		return "did you mean " + near + "?"
	}
	return "the fields of events are " + strings.Join(logstream.KnownFields(), ", ")
}

// commentedList reports whether comments that look like items stand where a
// value belongs.
func (l *loader) commentedList(n *yaml.Node) bool {
	for line := n.Line + 1; line <= l.src.Lines(); line++ {
		text := strings.TrimSpace(l.src.Line(line))
		if strings.HasPrefix(text, "#") {
			if strings.HasPrefix(strings.TrimSpace(strings.TrimLeft(text, "#")), "-") {
				return true
			}
			continue
		}
		if text != "" {
			return false
		}
	}
	return false
}

// Load reads files of Sigma documents. What is wrong with one touches no other.
func Load(files []detections.File, opts Options) Result {
	var all []*loader
	for _, f := range files {
		all = append(all, readFile(f)...)
	}
	giveIDs(all)
	b := &builder{all: all, opts: opts}
	b.build()
	var out Result
	for _, l := range all {
		l.doc.Disabled, l.doc.Warnings = l.disabled, l.warnings
		out.Documents = append(out.Documents, *l.doc)
	}
	return out
}

// readFile reads the documents of one file.
func readFile(f detections.File) []*loader {
	src := diag.NewSource(f.Name, f.Data)
	docs, problems := yamldoc.Documents(src)
	var out []*loader
	for _, n := range collect(docs) {
		l := &loader{doc: &Document{}, src: src, node: n, params: map[string]placeholderAt{}}
		l.read()
		out = append(out, l)
	}
	for _, p := range problems {
		l := &loader{doc: &Document{Kind: KindRule, Title: f.Name}, src: src, node: &yaml.Node{Line: p.Line, Column: p.Col}, params: map[string]placeholderAt{}}
		l.disabled = []Finding{{"syntax", p}}
		out = append(out, l)
	}
	return out
}

// collect applies the actions of the older collections: what is global goes into
// each document that follows, repeat takes over the one before.
func collect(docs []*yaml.Node) []*yaml.Node {
	var out []*yaml.Node
	var global, last *yaml.Node
	for _, n := range docs {
		n = yamldoc.Resolve(n)
		action := ""
		if a := value(n, "action"); a != nil {
			action = a.Value
		}
		switch action {
		case "global":
			global = merged(global, n)
			continue
		case "reset":
			global = nil
			continue
		case "repeat":
			n = merged(last, n)
		default:
			n = merged(global, n)
		}
		last = n
		out = append(out, n)
	}
	return out
}

// merged is over laid over base, mappings into one another.
func merged(base, over *yaml.Node) *yaml.Node {
	if base == nil || base.Kind != yaml.MappingNode || over.Kind != yaml.MappingNode {
		return over
	}
	out := *over
	out.Content = slices.Clone(over.Content)
	for i := 0; i+1 < len(base.Content); i += 2 {
		k, v := base.Content[i], yamldoc.Resolve(base.Content[i+1])
		if k.Value == "action" {
			continue
		}
		found := false
		for j := 0; j+1 < len(out.Content); j += 2 {
			if out.Content[j].Value == k.Value {
				found = true
				out.Content[j+1] = merged(v, yamldoc.Resolve(out.Content[j+1]))
			}
		}
		if !found {
			out.Content = append(out.Content, k, v)
		}
	}
	return &out
}

var knownKeys = strings.Fields("title id related name taxonomy status description license references author date modified logsource detection correlation filter fields falsepositives level tags scope action")

// read reads what every kind of document has, and then its own part.
func (l *loader) read() {
	l.doc.Kind = KindRule
	if l.node.Kind != yaml.MappingNode {
		l.refuse("syntax", nil, "a Sigma document is a mapping of keys to values")
		return
	}
	l.doc.Title, l.name, l.doc.ID = l.text("title"), l.text("name"), strings.ToLower(l.text("id"))
	for i := 0; i < len(l.node.Content); i += 2 {
		k := l.node.Content[i]
		if near := diag.Nearest(k.Value, knownKeys); near != "" && near != k.Value && !slices.Contains(knownKeys, k.Value) && value(l.node, near) == nil {
			l.warn("key-typo", k, "unknown key %s: it is read as %s", k.Value, near)
		}
	}
	if l.doc.Title == "" {
		l.warn("missing-meta", nil, "the title is missing")
		l.doc.Title = strings.TrimSuffix(filepath.Base(l.src.Name), filepath.Ext(l.src.Name))
	}
	if t := value(l.node, "tags"); t != nil {
		for _, n := range t.Content {
			if strings.HasPrefix(n.Value, "attack.") && strings.Contains(n.Value, "_") {
				l.warn("old-tags", n, "%s is written with - since version 2", n.Value)
			}
		}
	}
	switch {
	case value(l.node, "correlation") != nil:
		l.doc.Kind = KindCorrelation
		l.readCorrelation(value(l.node, "correlation"))
	case value(l.node, "filter") != nil:
		l.doc.Kind = KindFilter
		l.readFilter(value(l.node, "filter"))
	case value(l.node, "detection") != nil:
		l.readLogsource()
		l.cond = l.detection(value(l.node, "detection"), "detection")
		l.lint()
	default:
		l.refuse("syntax", nil, "the document has no detection, correlation or filter")
	}
	if l.prefixed {
		l.warn("prefix", nil, "data. is the webhook's envelope: fields are read with and without it")
	}
	if l.doc.Kind != KindFilter && value(l.node, "level") == nil {
		l.warn("missing-meta", nil, "the level is missing: medium, or that of the base rule, is taken")
	}
}

func (l *loader) text(key string) string {
	if n := value(l.node, key); n != nil && n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		return n.Value
	}
	return ""
}

// texts are the items of a list, or one value alone.
func texts(n *yaml.Node) []*yaml.Node {
	switch {
	case n == nil || n.Tag == "!!null":
		return nil
	case n.Kind == yaml.SequenceNode:
		return n.Content
	}
	return []*yaml.Node{n}
}

func (l *loader) readLogsource() {
	n := value(l.node, "logsource")
	if n == nil {
		l.refuse("logsource", nil, "the logsource is missing").Hint = "write logsource: {product: auth0}"
		return
	}
	if p := value(n, "product"); p == nil || !strings.EqualFold(p.Value, "auth0") {
		l.refuse("logsource", n, "the rule is for another product").Hint = "only product: auth0 stands for a tenant's log"
	}
}

// detection reads searches and the condition over them.
func (l *loader) detection(n *yaml.Node, what string) *expr {
	if n.Kind != yaml.MappingNode {
		l.refuse("syntax", n, "%s must be a mapping of searches and a condition", what)
		return nil
	}
	searches := map[string]*expr{}
	var names []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if isReserved(k.Value) || what == "filter" && k.Value == "rules" {
			if k.Value == "timeframe" {
				l.refuse("old-aggregation", k, "timeframe is no longer part of Sigma").Hint = "write a correlation with a timespan"
			}
			continue
		}
		l.key = k
		names = append(names, k.Value)
		searches[k.Value] = l.search(n.Content[i+1], k.Value)
	}
	c := value(n, "condition")
	if c == nil {
		l.refuse("condition", n, "the condition is missing")
		return nil
	}
	var kids []*expr
	for _, t := range texts(c) {
		e, err := parseCondition(t.Value, names, searches)
		if err != nil {
			l.refuse(err.code, t, "%s", err.msg).Hint = err.hint
			return nil
		}
		kids = append(kids, e)
	}
	if len(kids) == 0 {
		l.refuse("condition", c, "the condition is empty")
		return nil
	}
	return join("or", kids...)
}

var notID = regexp.MustCompile(`[^a-z0-9]+`)

func slug(s string) string { return strings.Trim(notID.ReplaceAllString(strings.ToLower(s), "-"), "-") }

// giveIDs makes the ids that are missing of file and title, and tells apart those
// that are equal.
func giveIDs(all []*loader) {
	seen := map[string]*loader{}
	for _, l := range all {
		given := l.doc.ID != ""
		if l.doc.ID = slug(l.doc.ID); l.doc.ID == "" {
			l.doc.ID = strings.Trim(slug(strings.TrimSuffix(filepath.Base(l.src.Name), filepath.Ext(l.src.Name)))+"-"+slug(l.doc.Title), "-")
			if l.doc.ID == "" {
				l.doc.ID = "sigma"
			}
			if l.doc.Kind != KindFilter {
				l.warn("missing-meta", nil, "the id is missing: %s is made of file and title", l.doc.ID)
			}
		}
		first := seen[l.doc.ID]
		switch {
		case first != nil && given:
			l.refuse("name-collision", value(l.node, "id"), "the id is already used at %s:%d", first.src.Name, first.node.Line)
		case first != nil:
			base := l.doc.ID
			for i := 2; seen[l.doc.ID] != nil; i++ {
				l.doc.ID = base + "-" + strconv.Itoa(i)
			}
		}
		seen[l.doc.ID] = l
	}
}
