package config

import (
	"path/filepath"
	"slices"
	"time"

	"portcullis/detections"
	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/responders"
)

// Checked counts what Check looked at.
type Checked struct {
	Rules, Policies, Configs int
	Playbooks                int
	Exceptions               int // of rule files that were given
	Actions                  int // JavaScript files that were given
	Warnings                 diag.Problems
}

// Check loads a configuration with all it names, and files or folders beside
// it, Actions included; without either, the shipped content. What the paths hold is checked
// together: an id that stands in two of their files is found. The error is a [diag.Problems] with
// every problem found.
func Check(file string, paths []string) (Checked, error) {
	var found Checked
	var problems diag.Problems
	add := func(err error) error {
		var other error
		problems, other = merge(problems, err)
		return other
	}
	base := defaults()
	if file != "" {
		cfg, err := Load(file)
		if other := add(err); other != nil {
			return found, other
		}
		if cfg != nil {
			base = cfg
			found.Configs++
			found.Warnings = cfg.Warnings
		}
	}
	content, err := LoadContent(base)
	if other := add(err); other != nil {
		return found, other
	}
	if file != "" || len(paths) == 0 {
		found.Rules, found.Policies, found.Playbooks = len(content.Rules.Rules), len(content.Policies), len(content.Playbooks)
		found.Warnings = append(found.Warnings, content.Warnings...)
		problems = append(problems, found.prove(content.Rules, base.Tenants)...)
	}
	code, paths, unseen := splitActions(paths)
	problems = append(append(problems, unseen...), found.lint(code)...)
	given, missing := collectOnce(paths)
	problems = append(problems, missing...)
	sorted, err := sortFiles(given)
	if other := add(err); other != nil {
		return found, other
	}
	for _, f := range sorted.configs {
		found.Configs++
		cfg, err := parse(f.Name, f.Data)
		if other := add(err); other != nil {
			return found, other
		}
		if cfg == nil {
			continue
		}
		found.Warnings = append(found.Warnings, cfg.Warnings...)
		named, err := LoadContent(cfg)
		if other := add(err); other != nil {
			return found, other
		}
		found.Warnings = append(found.Warnings, named.Warnings...)
		problems = append(problems, found.prove(named.Rules, cfg.Tenants)...)
		if file == "" && len(sorted.configs) == 1 {
			content = named // its lists are the ones that rules beside it name
		}
	}
	found.Warnings = append(found.Warnings, sigmaWarnings(content.Sigma)...)
	if len(sorted.rules) > 0 {
		rules, documents := base.translate(sorted.rules)
		found.Warnings = append(found.Warnings, sigmaWarnings(documents)...)
		sorted.rules = rules
		set, err := detections.Load(sorted.rules, content.Lists)
		if other := add(err); other != nil {
			return found, other
		}
		found.Rules += len(set.Rules)
		found.Exceptions += len(set.Exceptions)
		found.Warnings = append(found.Warnings, set.ExceptionWarnings(time.Now(), false)...)
		problems = append(problems, found.prove(set, nil)...)
	}
	policies, err := responders.LoadPolicies(sorted.policies, content.Checkers())
	if other := add(err); other != nil {
		return found, other
	}
	found.Policies += len(policies)
	books, err := loadPlaybooks(sorted.playbooks)
	if other := add(err); other != nil {
		return found, other
	}
	found.Playbooks += len(books)
	problems.Sort()
	found.Warnings.Sort()
	found.Warnings = slices.Compact(found.Warnings)
	return found, slices.Compact(problems).Err()
}

// prove adds what is proved of rules, also with the parameters of tenants, to the
// warnings, and returns the errors.
func (c *Checked) prove(rules *detections.RuleSet, tenants []Tenant) diag.Problems {
	proof := rules.Prove()
	c.Warnings = append(c.Warnings, proof.Warnings...)
	for _, t := range tenants {
		c.Warnings = append(c.Warnings, rules.ProveFor(t.Name, t.Params)...)
	}
	return proof.Errors
}

// collectOnce reads files and folders, each file once.
func collectOnce(paths []string) ([]detections.File, diag.Problems) {
	files, problems := collect("", false, paths)
	seen := map[string]bool{}
	return slices.DeleteFunc(files, func(f detections.File) bool {
		name := filepath.Clean(f.Name)
		defer func() { seen[name] = true }()
		return seen[name]
	}), problems
}

// sortedFiles is files by what they hold.
type sortedFiles struct{ configs, policies, playbooks, rules []detections.File }

// sortFiles tells files apart by the keys of their first document. The error
// is a [diag.Problems] with those that are not YAML.
func sortFiles(files []detections.File) (sortedFiles, error) {
	var out sortedFiles
	var problems diag.Problems
	for _, f := range files {
		docs, ps := yamldoc.Documents(diag.NewSource(f.Name, f.Data))
		if problems = append(problems, ps...); len(ps) > 0 {
			continue
		}
		has := func(keys ...string) bool {
			return len(docs) > 0 && slices.ContainsFunc(keys, func(k string) bool { return child(docs[0], k) != nil })
		}
		switch {
		case has("tenants"):
			out.configs = append(out.configs, f)
		case has("subject") && has("steps"):
			out.playbooks = append(out.playbooks, f)
		case has("when", "do") && !has("where"):
			out.policies = append(out.policies, f)
		default:
			out.rules = append(out.rules, f)
		}
	}
	return out, problems.Err()
}
