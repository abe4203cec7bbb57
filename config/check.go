package config

import (
	"gopkg.in/yaml.v3"

	"portcullis/detections"
	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/responders"
)

// Checked counts what Check looked at.
type Checked struct {
	Rules, Policies, Configs int
	Warnings                 diag.Problems
}

// Check loads a configuration with all it names, and files or folders beside
// it; without either, the shipped content. The error is a [diag.Problems] with
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
		found.Rules, found.Policies = len(content.Rules.Rules), len(content.Policies)
	}
	for _, p := range paths {
		files, err := ReadPath(p)
		if err != nil {
			return found, err
		}
		for _, f := range files {
			if other := add(checkFile(f, content, &found)); other != nil {
				return found, other
			}
		}
	}
	return found, problems.Err()
}

// checkFile checks one file for what its first document shows it to be.
func checkFile(f detections.File, content *Loaded, found *Checked) error {
	docs, problems := yamldoc.Documents(diag.NewSource(f.Name, f.Data))
	if len(problems) > 0 {
		return problems.Err()
	}
	has := func(keys ...string) bool {
		for _, k := range keys {
			if len(docs) > 0 && docs[0].Kind == yaml.MappingNode && child(docs[0], k) != nil {
				return true
			}
		}
		return false
	}
	switch {
	case has("tenants"):
		found.Configs++
		cfg, err := parse(f.Name, f.Data)
		if err != nil {
			return err
		}
		found.Warnings = append(found.Warnings, cfg.Warnings...)
		_, err = LoadContent(cfg)
		return err
	case has("when", "do") && !has("where"):
		policies, err := responders.LoadPolicies([]detections.File{f}, content.Checkers())
		found.Policies += len(policies)
		return err
	}
	set, err := detections.Load([]detections.File{f}, content.Lists)
	found.Rules += len(set.Rules)
	return err
}
