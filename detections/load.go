package detections

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// File is the content of one rule file under the name people know it by.
type File struct {
	Name string
	Data []byte
}

// ReadDir collects the .yaml and .yml files below a folder of fsys, in order
// of their names. The name of each is prefix plus its path.
func ReadDir(fsys fs.FS, dir, prefix string) ([]File, error) {
	var files []File
	err := fs.WalkDir(fsys, dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read %s: %w", prefix+p, err)
		}
		if ext := path.Ext(p); e.IsDir() || ext != ".yaml" && ext != ".yml" {
			return nil
		}
		data, err := fs.ReadFile(fsys, p)
		if err != nil {
			return fmt.Errorf("read %s: %w", prefix+p, err)
		}
		files = append(files, File{Name: prefix + p, Data: data})
		return nil
	})
	return files, err
}

var idPattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Load reads the rules of files and checks all they say that does not depend
// on a tenant, with lists as the lists that rules may name. The returned error
// is a [diag.Problems] that holds every problem of every file; the rules that
// have none are returned all the same.
func Load(files []File, lists Lists) (*RuleSet, error) {
	var problems diag.Problems
	seen := map[string]*Rule{}
	lists = lists.withFilled(files)
	set := &RuleSet{lists: lists}
	for _, f := range files {
		src := diag.NewSource(f.Name, f.Data)
		docs, ps := yamldoc.Documents(src)
		problems = append(problems, ps...)
		if len(docs) == 0 && len(ps) == 0 {
			problems = append(problems, src.Problem(0, 0, 0, "", "holds no rule").WithHint("write at least id, title, severity and where"))
		}
		for _, doc := range docs {
			if isExceptions(doc) {
				problems = append(problems, set.addDocument(src, doc)...)
				continue
			}
			r, ps := loadRule(src, doc, lists)
			if first, dup := seen[r.ID]; dup && r.ID != "" {
				id, was := keyNode(doc, "id"), keyNode(first.node, "id")
				ps = append(ps, src.Problem(id.Line, id.Column, len(r.ID), r.ID+".id", "the id is already used at %s:%d", first.File(), was.Line))
			}
			if problems = append(problems, ps...); len(ps) > 0 {
				continue
			}
			seen[r.ID] = r
			set.Rules = append(set.Rules, r)
		}
	}
	problems = append(problems, set.checkNetwork()...)
	problems = append(problems, set.checkExceptions(0)...)
	return set, problems.Err()
}

// RuleSet is rules that were loaded together, with the lists they name.
type RuleSet struct {
	Rules []*Rule
	// Exceptions are those of the rule files, and what AddExceptions added.
	Exceptions []*Exception
	lists      Lists
	levels     map[string]int // by rule id: a rule is judged after those it reads
}

// Rule returns the rule with an id, nil if there is none.
func (s *RuleSet) Rule(id string) *Rule {
	for _, r := range s.Rules {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// Without returns the set without the rules named, and the names that no rule has.
func (s *RuleSet) Without(ids []string) (*RuleSet, []string) {
	out := &RuleSet{Exceptions: s.Exceptions, lists: s.lists, levels: s.levels}
	var unknown []string
	for _, id := range ids {
		if s.Rule(id) == nil {
			unknown = append(unknown, id)
		}
	}
	for _, r := range s.Rules {
		if !slices.Contains(ids, r.ID) {
			out.Rules = append(out.Rules, r)
		}
	}
	return out, unknown
}

// IDs lists the ids of the rules in order.
func (s *RuleSet) IDs() []string {
	ids := make([]string, len(s.Rules))
	for i, r := range s.Rules {
		ids[i] = r.ID
	}
	return ids
}

// loadRule decodes and checks one document.
func loadRule(src *diag.Source, doc *yaml.Node, lists Lists) (*Rule, diag.Problems) {
	r := &Rule{MissingKey: "drop", On: "events", Ordered: true, src: src, node: yamldoc.Resolve(doc)}
	d := &yamldoc.Decoder{Src: src}
	d.Decode(doc, r, "")
	if r.node.Kind == yaml.MappingNode {
		r.check(d)
		defer func() { r.loaded = true }()
		r.reach = compile(r, nil, lists, newNameTable(), d).reach()
	}
	for i := range d.Problems {
		p := &d.Problems[i]
		p.Key = strings.Trim(r.ID+"."+p.Key, ".")
	}
	return r, d.Problems
}

// check reports what is wrong with a rule beside its expressions, and fills in
// the defaults that depend on other keys.
func (r *Rule) check(d *yamldoc.Decoder) {
	at := func(key string) *yaml.Node { return keyNode(r.node, key) }
	given := func(key string) bool { return at(key) != r.node }
	if r.ID != "" && !idPattern.MatchString(r.ID) {
		d.Report(at("id"), "id", "%q must be lower-case words joined by hyphens", r.ID)
	}
	if r.Severity != "" {
		reportSeverity(d, at("severity"), "severity", r.Severity)
	}
	for key, v := range map[string]string{"id": r.ID, "title": r.Title} {
		if n := at(key); given(key) && n.Kind == yaml.ScalarNode && n.Tag == "!!str" && strings.TrimSpace(v) == "" {
			d.Report(n, key, "is empty").Hint = "give it a value"
		}
	}
	for key, v := range map[string]time.Duration{"window": r.Window, "quiet": r.Quiet, "within": r.Within, "learn": r.Learn, "forget": r.Forget} {
		r.checkLength(d, r.node, key, key, v)
	}
	r.checkTests(d)
	r.checkRelated(d)
	if r.MissingKey != "drop" && r.MissingKey != "group" {
		d.Report(at("missing_key"), "missing_key", "must be drop or group")
	}
	r.checkKind(d)
	for name, p := range r.Params {
		n := keyNode(at("params"), name)
		if p.Default == nil {
			continue // reported as missing
		}
		if err := p.accepts(p.Default); err != nil {
			d.Report(n, "params."+name, "default %v %s", p.Default, err)
		}
	}
	if r.Campaign == "" {
		r.Campaign = r.ID
	}
	r.checkFold(d)
	if r.Quiet == 0 && r.Kind() != State { // a state lasts until it is changed back
		r.Quiet = cmp.Or(r.Window, r.Within, defaultQuiet)
	}
	if r.Kind() == FirstSeen {
		r.Learn, r.Forget = cmp.Or(r.Learn, defaultLearn), cmp.Or(r.Forget, defaultForget)
	}
}

// relations are how a rule may relate to another; the words are Sigma's.
var relations = []string{"derived", "similar", "obsolete", "merged", "renamed"}

// checkRelated reports relations that there are not, and those to nothing.
func (r *Rule) checkRelated(d *yamldoc.Decoder) {
	for _, name := range keys(r.Related) {
		n, key := keyNode(keyNode(r.node, "related"), name), "related."+name
		if !slices.Contains(relations, name) {
			d.Report(n, key, "unknown relation %s%s", name, diag.DidYouMean(name, relations)).Hint = "one of " + strings.Join(relations, ", ")
		}
		if len(r.Related[name]) == 0 || slices.Contains(r.Related[name], "") {
			d.Report(n, key, "names no rule").Hint = "list the ids of the rules, or leave it out"
		}
	}
}

// reportSeverity reports a severity that there is not.
func reportSeverity(d *yamldoc.Decoder, n *yaml.Node, key string, s Severity) {
	if s.Rank() >= 0 {
		return
	}
	names := make([]string, len(Severities))
	for i, s := range Severities {
		names[i] = string(s)
	}
	d.Report(n, key, "unknown severity %s%s", s, diag.DidYouMean(string(s), names)).Hint = "one of " + strings.Join(names, ", ")
}

// accepts reports why a value may not be given to the parameter.
func (p Param) accepts(v any) error {
	_, whole := p.Default.(int)
	switch p.Default.(type) {
	case int, float64:
		n, ok := number(v)
		switch {
		case !ok:
			return errors.New("must be a number")
		case math.IsNaN(n) || math.IsInf(n, 0):
			return errors.New("must be a number with an end")
		case whole && n != math.Trunc(n):
			return errors.New("must be a whole number, as the default is")
		case p.Min != nil && n < *p.Min:
			return fmt.Errorf("is under the least value, %v", *p.Min)
		case p.Max != nil && n > *p.Max:
			return fmt.Errorf("is over the greatest value, %v", *p.Max)
		}
	case string:
		if _, ok := v.(string); !ok {
			return errors.New("must be text")
		}
	case bool:
		if _, ok := v.(bool); !ok {
			return errors.New("must be true or false")
		}
	default:
		return errors.New("must be a number, text, or true or false")
	}
	return nil
}

// keyNode finds the value of a key in a mapping; the mapping itself if absent.
func keyNode(m *yaml.Node, key string) *yaml.Node {
	m = yamldoc.Resolve(m)
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return m
}
