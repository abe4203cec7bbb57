// Package actions is the control over which of our Actions run in the tenant's
// flows. Each is a template of the catalog, filled with settings; it is prepared
// in calm, deployed and bound to nothing, and a hold binds it.
package actions

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// Template is one Action of the catalog.
type Template struct {
	ID       string             `yaml:"action,required"`
	Title    string             `yaml:"title,required"`
	Trigger  string             `yaml:"trigger,required"`
	Position string             `yaml:"position,required"` // first or last in the flow
	Rank     int                `yaml:"rank,required"`     // the order of ours that stand at one end, the lowest first
	Settings map[string]Setting `yaml:"settings"`
	Secrets  map[string]struct {
		Doc string `yaml:"doc,required"`
	} `yaml:"secrets"`
	Cost string `yaml:"cost,required"` // what users notice

	source string // JavaScript, with one line that is marked for the settings
}

// Setting is one value that a template takes.
type Setting struct {
	Type     string     `yaml:"type,required"` // bool, number, text, choice, texts, networks or hashes
	Default  *yaml.Node `yaml:"default"`
	Min      float64    `yaml:"min"`
	Max      float64    `yaml:"max"`
	Choices  []string   `yaml:"choices"`
	List     string     `yaml:"list"`     // the list that it is unless given
	Tenant   string     `yaml:"tenant"`   // what of the tenant it is unless given: domain
	Required bool       `yaml:"required"` // without a value the Action cannot be prepared
	Doc      string     `yaml:"doc,required"`
}

// NamePrefix begins the name of every Action that is ours.
const NamePrefix = "portcullis-"

// Name is what the Action is called in the tenant.
func (t *Template) Name() string { return NamePrefix + t.ID }

// Places where an Action may stand.
const (
	First = "first"
	Last  = "last"
)

// mark is the line of a template that the settings take the place of.
const mark = "const settings = {}; // portcullis:settings"

// handlers are the functions that Auth0 calls, by trigger.
var handlers = map[string]string{
	"post-login": "onExecutePostLogin", "pre-user-registration": "onExecutePreUserRegistration", "post-change-password": "onExecutePostChangePassword",
	"credentials-exchange": "onExecuteCredentialsExchange", "post-user-registration": "onExecutePostUserRegistration",
}

// ReadTemplates reads the templates of a folder, each a YAML file beside its
// code, sorted by id. The error is a [diag.Problems] with every problem.
func ReadTemplates(fsys fs.FS, dir string) ([]*Template, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var out []*Template
	var problems diag.Problems
	for _, name := range names {
		t, ps, err := readTemplate(fsys, name)
		if err != nil {
			return nil, err
		}
		problems = append(problems, ps...)
		out = append(out, t)
	}
	return out, problems.Err()
}

func readTemplate(fsys fs.FS, name string) (*Template, diag.Problems, error) {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, nil, err
	}
	code, err := fs.ReadFile(fsys, strings.TrimSuffix(name, ".yaml")+".js")
	if err != nil {
		return nil, nil, fmt.Errorf("read the code of %s: %w", name, err)
	}
	src := diag.NewSource(name, data)
	docs, ps := yamldoc.Documents(src)
	if len(ps) > 0 {
		return nil, ps, nil
	}
	if len(docs) != 1 {
		return nil, nil, fmt.Errorf("read %s: it holds %d documents, one is needed", name, len(docs))
	}
	t := &Template{source: string(code)}
	d := &yamldoc.Decoder{Src: src}
	d.Decode(docs[0], t, "")
	t.check(d, docs[0], strings.TrimSuffix(path.Base(name), ".yaml"))
	return t, d.Problems, nil
}

func (t *Template) check(d *yamldoc.Decoder, doc *yaml.Node, file string) {
	report := func(key, format string, args ...any) { d.Report(doc, key, format, args...) }
	handler, known := handlers[t.Trigger]
	switch {
	case len(d.Problems) > 0:
		return
	case t.ID != file:
		report("action", "is %s in a file called %s", t.ID, file)
	case !known:
		report("trigger", "%s is not one of %s", t.Trigger, strings.Join(slices.Sorted(maps.Keys(handlers)), ", "))
	case t.Position != First && t.Position != Last:
		report("position", "must be first or last")
	case strings.Count(t.source, mark) != 1:
		report("", "the code needs one line %q", mark)
	case !strings.Contains(t.source, "exports."+handler+" ="):
		report("", "the code has no exports.%s", handler)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Settings)) {
		s := t.Settings[name]
		if msg := s.check(); msg != "" {
			report("settings."+name, "%s", msg)
		}
		if !strings.Contains(t.source, "settings."+name) {
			report("settings."+name, "the code does not use it")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Secrets)) {
		if !strings.Contains(t.source, "event.secrets."+name) {
			report("secrets."+name, "the code does not use it")
		}
	}
}

// Source is the code as it stands in the catalog.
func (t *Template) Source() string { return t.source }

// IDs are the ids of templates.
func IDs(ts []*Template) []string {
	out := make([]string, len(ts))
	for i, t := range ts {
		out[i] = t.ID
	}
	return out
}
