package detections

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// AnyRule is the rule of an exception that is for every rule on events.
const AnyRule = "*"

// Exception says what a rule must not alert on, who answers for that, why, and
// until when. One whose condition names only keys of the rule's groups swallows
// the alerts of such groups; any other leaves out the events that fulfil it.
type Exception struct {
	Rule    string       `yaml:"rule,required"` // an id, or AnyRule
	Where   yamldoc.Text `yaml:"where,required"`
	Owner   string       `yaml:"owner,required"`
	Reason  string       `yaml:"reason,required"`
	Expires string       `yaml:"expires,required"` // 2026-12-31: to the end of that day, UTC; or a time

	src  *diag.Source
	node *yaml.Node
	ends int64 // event time from which it is no more, Unix milliseconds
}

// Name tells exceptions apart: the rule and the condition.
func (x *Exception) Name() string { return x.Rule + ": " + x.Where.Value }

// place is where the exception stands, as file:line.
func (x *Exception) place() string { return fmt.Sprintf("%s:%d", x.src.Name, x.Where.Node.Line) }

// Excepted counts what an exception swallowed.
type Excepted struct {
	Rule   string // as the exception names it
	Where  string
	Events int64 // left out, once for each rule that they would have counted for
	Alerts int64
}

// isExceptions reports whether a document holds exceptions instead of a rule.
func isExceptions(doc *yaml.Node) bool {
	doc = yamldoc.Resolve(doc)
	return keyNode(doc, "exceptions") != doc && keyNode(doc, "id") == doc && keyNode(doc, "where") == doc
}

// addDocument adds the exceptions of a document of a rule file.
func (s *RuleSet) addDocument(src *diag.Source, doc *yaml.Node) diag.Problems {
	d := &yamldoc.Decoder{Src: src}
	var file struct {
		Exceptions []*Exception `yaml:"exceptions"`
	}
	d.Decode(doc, &file, "")
	s.addExceptions(d, file.Exceptions, keyNode(doc, "exceptions"), "exceptions")
	return d.Problems
}

// AddExceptions adds a list of exceptions that stands in src under a key. The
// error is a [diag.Problems].
func (s *RuleSet) AddExceptions(src *diag.Source, list *yaml.Node, key string) error {
	d := &yamldoc.Decoder{Src: src}
	var found []*Exception
	d.Decode(list, &found, key)
	before := len(s.Exceptions)
	s.addExceptions(d, found, list, key)
	return append(d.Problems, s.checkExceptions(before)...).Err()
}

func (s *RuleSet) addExceptions(d *yamldoc.Decoder, found []*Exception, list *yaml.Node, key string) {
	for i, x := range found {
		x.src, x.node = d.Src, yamldoc.Resolve(yamldoc.Resolve(list).Content[i])
		if x.node.Kind != yaml.MappingNode {
			continue // reported
		}
		for name, v := range map[string]string{"owner": x.Owner, "reason": x.Reason} {
			if n := keyNode(x.node, name); n != x.node && n.Kind == yaml.ScalarNode && n.Tag != "!!null" && strings.TrimSpace(v) == "" {
				d.Report(n, key+"."+name, "is empty").Hint = "say who answers for the exception, and why it is right"
			}
		}
		if x.Expires != "" {
			var ok bool
			if x.ends, ok = endOf(x.Expires); !ok {
				d.Report(keyNode(x.node, "expires"), key+".expires", "%q is no day", x.Expires).Hint = "write 2026-12-31, or a time as 2026-12-31T18:00:00Z"
			}
		}
		if x.Rule != "" && x.Where.Given() && x.ends != 0 {
			s.Exceptions = append(s.Exceptions, x)
		}
	}
}

// endOf reads when something expires: a day counts to its end.
func endOf(text string) (int64, bool) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1).UnixMilli(), true
	}
	at, err := time.Parse(time.RFC3339, text)
	return at.UnixMilli(), err == nil
}

// checkExceptions checks what the exceptions from the nth on say. Those for rules
// that are not in the set are checked as far as they can be.
func (s *RuleSet) checkExceptions(from int) diag.Problems {
	var problems diag.Problems
	for i, x := range s.Exceptions[from:] {
		d := &yamldoc.Decoder{Src: x.src}
		if was := slices.IndexFunc(s.Exceptions[:from+i], func(o *Exception) bool { return o.Name() == x.Name() }); was >= 0 {
			o := s.Exceptions[was]
			d.Report(x.Where.Node, "where", "the same exception stands at %s already", o.place())
		}
		table := newNameTable()
		c := &compiled{Rule: &Rule{On: "events"}}
		if r := s.Rule(x.Rule); r != nil {
			c = compile(r, nil, s.lists, table, &yamldoc.Decoder{Src: r.src})
		}
		compileException(x, c, s.lists, table, d)
		problems = append(problems, d.Problems...)
	}
	return problems
}

// exception is an Exception compiled for one rule.
type exception struct {
	*Exception
	prog  *program
	group []string // the names that a group's values take; nil for one over events
	kinds []FieldKind
}

// compileExceptions compiles those of a set that concern the rule.
func (c *compiled) compileExceptions(s *RuleSet, table *nameTable) error {
	for _, x := range s.Exceptions {
		if x.Rule != c.ID && (x.Rule != AnyRule || c.On == "signals") {
			continue
		}
		d := &yamldoc.Decoder{Src: x.src}
		compiled := compileException(x, c, s.lists, table, d)
		if err := d.Problems.Err(); err != nil {
			return err
		}
		if compiled.group != nil {
			c.groupExceptions = append(c.groupExceptions, compiled)
		} else {
			c.eventExceptions = append(c.eventExceptions, compiled)
		}
	}
	return nil
}

func compileException(x *Exception, c *compiled, lists Lists, table *nameTable, d *yamldoc.Decoder) *exception {
	t := newTranslator(nil, lists, table)
	defer t.done()
	t.signals = c.On == "signals"
	out := &exception{Exception: x}
	n, ok := t.parse(x.Where.Value)
	if ok && x.Rule != AnyRule {
		out.group = c.keysNamed(n)
	}
	if ok && out.group != nil {
		t.offer("group")
		for _, name := range out.group {
			out.kinds = append(out.kinds, t.kindOfName(name))
		}
	}
	if ok {
		out.prog = t.condition(x.Where.Value)
	}
	if ok && len(t.problems) == 0 {
		switch {
		case t.derives:
			t.fail(n, "cannot look up a list that rules fill: what it leaves out would depend on what it leaves out")
		case len(t.fields) == 0 && !t.usesOffered:
			t.failHint(n, "names no field%s", "", "to switch a rule off, name it in rules.disable of the configuration")
		}
	}
	t.report(d, x.Where, "where")
	return out
}

// keysNamed lists the group keys of a rule if an expression names nothing else;
// otherwise nil.
func (c *compiled) keysNamed(n ast.Node) []string {
	v := &pathVisitor{}
	ast.Walk(&n, v)
	names := []string{}
	for _, g := range c.group {
		names = append(names, g.name)
	}
	for _, p := range v.paths {
		if root, _, _ := strings.Cut(p, "."); root == "lists" || root == "params" || root == "group" && len(names) > 0 {
			continue
		}
		if !slices.Contains(names, strings.TrimPrefix(p, "data.")) {
			return nil
		}
	}
	if len(v.paths) == 0 || len(names) == 0 {
		return nil
	}
	return names
}

// pathVisitor collects the names of an expression, each with its members.
type pathVisitor struct{ paths []string }

// Visit is for package ast, which visits the members of a path before the path.
func (v *pathVisitor) Visit(n *ast.Node) {
	path, ok := dottedPath(*n)
	if !ok {
		return
	}
	if m, is := (*n).(*ast.MemberNode); is {
		if inner, ok := dottedPath(m.Node); ok && len(v.paths) > 0 {
			for i := len(v.paths) - 1; i >= 0; i-- {
				if v.paths[i] == inner {
					v.paths[i] = path
					return
				}
			}
		}
	}
	v.paths = append(v.paths, path)
}

// ExceptionWarnings tells of exceptions that are over by now, or within 14 days.
// If the set is all that runs, those for rules that it does not have are told too.
func (s *RuleSet) ExceptionWarnings(now time.Time, whole bool) diag.Problems {
	var out diag.Problems
	for _, x := range s.Exceptions {
		d := &yamldoc.Decoder{Src: x.src}
		switch end := msTime(x.ends); {
		case !end.After(now):
			d.Report(keyNode(x.node, "expires"), "expires", "the exception expired on %s", x.Expires).Hint = "remove it, or have " + x.Owner + " renew it"
		case end.Before(now.AddDate(0, 0, 14)):
			d.Report(keyNode(x.node, "expires"), "expires", "the exception expires on %s", x.Expires).Hint = "have " + x.Owner + " renew it, or let it go"
		}
		if whole && x.Rule != AnyRule && s.Rule(x.Rule) == nil {
			d.Report(keyNode(x.node, "rule"), "rule", "no rule is called %s%s", x.Rule, diag.DidYouMean(x.Rule, s.IDs()))
		}
		out = append(out, d.Problems...)
	}
	return out
}
