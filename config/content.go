package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/catalog"
	"portcullis/detections"
	"portcullis/detections/sigma"
	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/responders"
	"portcullis/responders/control/actions"
	"portcullis/responders/control/all"
	"portcullis/responders/control/networkacl"
	"portcullis/responders/playbook"
)

// Loaded is everything that decides what is detected and what is done.
type Loaded struct {
	Rules     *detections.RuleSet
	Warnings  diag.Problems // exceptions that are over, or for no rule
	Lists     detections.Lists
	Policies  []*responders.Policy
	Playbooks map[string]*playbook.Playbook
	Levels    all.Levels          // of the controls over fields
	Actions   []*actions.Template // the shipped ones
	Sigma     []sigma.Document    // the Sigma documents among the rules, with what is disabled and why
}

// LoadContent reads the rules, lists and policies that c names, and checks the
// parameters and modes that its tenants set. A nil c means the shipped content
// alone. The error is a [diag.Problems] with every problem.
func LoadContent(c *Config, extraRules ...string) (*Loaded, error) {
	if c == nil {
		c = defaults()
	}
	var problems diag.Problems
	out := &Loaded{}
	lists, err := c.lists()
	if err != nil {
		return nil, err
	}
	out.Lists = lists

	dirs := make([]string, 0, len(c.Rules.Dirs))
	for _, d := range c.Rules.Dirs {
		dirs = append(dirs, c.path(d))
	}
	files, ps := collect("rules", c.Rules.Catalog, append(dirs, extraRules...))
	problems = append(problems, ps...)
	files, out.Sigma = c.translate(files)
	out.Rules, err = detections.Load(files, lists)
	problems, err = merge(problems, err)
	if err != nil {
		return nil, err
	}
	if c.Rules.Exceptions != nil {
		problems, err = merge(problems, out.Rules.AddExceptions(c.src, c.Rules.Exceptions, "rules.exceptions"))
		if err != nil {
			return nil, err
		}
	}
	out.Warnings = out.Rules.ExceptionWarnings(time.Now(), true)
	kept, unknown := out.Rules.Without(c.Rules.Disable)
	for _, id := range unknown {
		problems = append(problems, c.problem("rules.disable", id, "no rule is called %s%s", id, diag.DidYouMean(id, out.Rules.IDs())))
	}
	out.Rules = kept
	problems = append(problems, c.checkRetention(kept)...)

	out.Levels, err = all.ReadLevels(catalog.FS, "controls")
	if err != nil {
		return nil, err
	}
	if out.Actions, err = actions.ReadTemplates(catalog.FS, "actions"); err != nil {
		return nil, err
	}
	dirs = nil
	for _, d := range c.Policies.Dirs {
		dirs = append(dirs, c.path(d))
	}
	files, ps = collect("policies", c.Policies.Catalog, dirs)
	problems = append(problems, ps...)
	out.Policies, err = responders.LoadPolicies(files, out.Checkers())
	problems, err = merge(problems, err)
	if err != nil {
		return nil, err
	}
	out.Playbooks, ps, err = c.playbooks()
	problems = append(problems, ps...)
	if err != nil {
		return nil, err
	}
	problems = append(problems, c.checkTenants(out)...)
	return out, problems.Err()
}

// LoadRules reads rules from files and folders alone, with the lists of c; a
// nil c means the shipped lists.
func LoadRules(c *Config, paths []string) (*detections.RuleSet, error) {
	if c == nil {
		c = defaults()
	}
	lists, err := c.lists()
	if err != nil {
		return nil, err
	}
	files, problems := collect("rules", false, paths)
	files, _ = c.translate(files)
	set, err := detections.Load(files, lists)
	problems, err = merge(problems, err)
	if err != nil {
		return nil, err
	}
	return set, problems.Err()
}

// ownClients is the shipped list that the tenants' client ids belong to.
const ownClients = "own_clients"

// lists are the shipped lists with what the file adds to them.
func (c *Config) lists() (detections.Lists, error) {
	lists, err := detections.ReadLists(catalog.FS, "lists")
	if err != nil {
		return nil, err
	}
	for _, t := range c.Tenants {
		lists[ownClients] = detections.NewList(append(lists[ownClients].Entries(), t.ClientID)...)
	}
	for name, entries := range c.Rules.Lists {
		if shipped := lists[name]; shipped != nil {
			entries = append(shipped.Entries(), entries...)
		}
		lists[name] = detections.NewList(entries...)
	}
	return lists, nil
}

// Checkers are the controls as far as files can be checked against them.
func (l *Loaded) Checkers() map[string]responders.Checker {
	out := map[string]responders.Checker{networkacl.Name: networkacl.New(nil, nil, nil, "", networkacl.Options{}), actions.Name: actions.Checker(l.Actions)}
	for name, c := range all.New(nil, l.Levels, nil, nil) {
		out[name] = c
	}
	return out
}

// merge adds an error's problems to those so far; an error of another kind is
// handed back.
func merge(problems diag.Problems, err error) (diag.Problems, error) {
	if err == nil {
		return problems, nil
	}
	if ps, ok := err.(diag.Problems); ok { // Load returns it bare
		return append(problems, ps...), nil
	}
	return problems, err
}

// collect reads the YAML files of the catalog's folder, and of files and folders
// on disk.
func collect(kind string, shipped bool, paths []string) ([]detections.File, diag.Problems) {
	var files []detections.File
	var problems diag.Problems
	if shipped {
		fromCatalog, err := detections.ReadDir(catalog.FS, kind, "catalog/")
		if err != nil {
			problems = append(problems, diag.Problem{File: "catalog/" + kind, Msg: err.Error()})
		}
		files = append(files, fromCatalog...)
	}
	for _, p := range paths {
		found, err := ReadPath(p)
		if err != nil {
			problems = append(problems, diag.Problem{File: p, Msg: err.Error(), Hint: "name a YAML file or a folder of them"})
		}
		files = append(files, found...)
	}
	return files, problems
}

// ReadPath reads one YAML file, or those below a folder.
func ReadPath(p string) ([]detections.File, error) {
	info, err := os.Stat(p)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, unwrapPath(err))
	}
	if !info.IsDir() {
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", p, unwrapPath(err))
		}
		return []detections.File{{Name: p, Data: data}}, nil
	}
	files, err := detections.ReadDir(os.DirFS(p), ".", "")
	for i := range files {
		files[i].Name = filepath.Join(p, files[i].Name)
	}
	return files, err
}

// unwrapPath drops the path that the message names already.
func unwrapPath(err error) error {
	if pe, ok := err.(*fs.PathError); ok { // os.Stat and os.ReadFile return it bare
		return pe.Err
	}
	return err
}

// problem is about an item of the list at a key.
func (c *Config) problem(key, item, format string, args ...any) diag.Problem {
	if c.node == nil {
		return diag.Problem{Key: key, Msg: fmt.Sprintf(format, args...)}
	}
	n := at(c.node, strings.Split(key, ".")...)
	for _, e := range n.Content {
		if e = yamldoc.Resolve(e); n.Kind == yaml.SequenceNode && e.Value == item {
			n = e
			break
		}
	}
	return c.src.Problem(n.Line, n.Column, max(1, len(n.Value)), key, format, args...)
}

// checkTenants checks what tenants say about rules and policies.
func (c *Config) checkTenants(l *Loaded) diag.Problems {
	var problems diag.Problems
	policyIDs := make([]string, 0, len(l.Policies))
	for _, p := range l.Policies {
		policyIDs = append(policyIDs, p.ID)
	}
	for i := range c.Tenants {
		t := &c.Tenants[i]
		report := func(n *yaml.Node, key, format string, args ...any) {
			problems = append(problems, c.src.Problem(n.Line, n.Column, 1, "tenants."+key, format, args...))
		}
		for id, params := range t.Params {
			if slices.Contains(c.Rules.Disable, id) {
				continue
			}
			if why := sigmaParams(l.Sigma, id, params); why != "" {
				report(at(t.node, "params", id), "params."+id, "%s", why)
				continue
			}
			if err := l.Rules.CheckParams(map[string]map[string]any{id: {}}); err != nil {
				report(at(t.node, "params", id), "params", "%s", err)
				continue
			}
			for name, v := range params {
				if err := l.Rules.CheckParams(map[string]map[string]any{id: {name: v}}); err != nil {
					report(at(t.node, "params", id, name), "params."+id, "%s", err)
				}
			}
		}
		c.checkActions(l, t, report)
		t.checkLimits(l, report)
		for id := range t.Modes {
			if !slices.Contains(policyIDs, id) && !slices.Contains(playbooks, id) {
				report(at(t.node, "modes", id), "modes", "no policy is called %s%s", id, diag.DidYouMean(id, policyIDs)+"; policies: "+strings.Join(policyIDs, ", "))
			}
		}
	}
	return problems
}
