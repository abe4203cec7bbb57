package config

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/responders/control/actions"
	"portcullis/responders/control/actions/lint"
)

// WantedActions are our Actions as a tenant is to have them. The values of secrets
// are not among them: see ActionSecret.
func (l *Loaded) WantedActions(t *Tenant) ([]*actions.Want, error) {
	choices := map[string]actions.Choice{}
	for id, a := range t.Actions {
		c := actions.Choice{Settings: a.Settings, Place: a.Position, Secrets: map[string]string{}}
		for name := range a.Secrets {
			c.Secrets[name] = "" // it is there
		}
		choices[id] = c
	}
	return actions.Fill(l.Actions, choices, actions.Facts{Domain: t.Domain, List: l.list})
}

// list are the entries of a list; none where there is no such list.
func (l *Loaded) list(name string) []string {
	if l.Lists[name] == nil {
		return nil
	}
	return l.Lists[name].Entries()
}

// ActionSecret reads the value of a secret of one of a tenant's Actions.
func (c *Config) ActionSecret(t *Tenant, action, name string) (Secret, error) {
	source := t.Actions[action].Secrets[name]
	s, err := readSecret(c.path(source.File), source.Env)
	if err != nil {
		return s, fmt.Errorf("secret %s of Action %s of tenant %s: %w", name, action, t.Name, err)
	}
	return s, nil
}

// checkActions reports what is wrong with what a tenant says of Actions.
func (c *Config) checkActions(l *Loaded, t *Tenant, report func(n *yaml.Node, key, format string, args ...any)) {
	ids := actions.IDs(l.Actions)
	fine := true
	bad := func(n *yaml.Node, key, format string, args ...any) {
		fine = false
		report(n, key, format, args...)
	}
	for _, id := range slices.Sorted(maps.Keys(t.Actions)) {
		a := t.Actions[id]
		i := slices.Index(ids, id)
		if i < 0 {
			bad(at(t.node, "actions", id), "actions", "there is no Action %s%s; Actions: %s", id, diag.DidYouMean(id, ids), strings.Join(ids, ", "))
			continue
		}
		key := "actions." + id
		for _, w := range l.Actions[i].CheckSettings(a.Settings) {
			bad(at(t.node, "actions", id, "settings", w.Setting), key+".settings."+w.Setting, "%s", w.Msg)
		}
		if _, err := actions.ParsePlace(a.Position); a.Position != "" && err != nil {
			bad(at(t.node, "actions", id, "position"), key+".position", "%s", err)
		}
		for _, name := range slices.Sorted(maps.Keys(a.Secrets)) {
			n := at(t.node, "actions", id, "secrets", name)
			known := slices.Sorted(maps.Keys(l.Actions[i].Secrets))
			if !slices.Contains(known, name) {
				bad(n, key+".secrets", "%s has no secret %s%s", id, name, diag.DidYouMean(name, known))
			}
			if s := a.Secrets[name]; (s.File == "") == (s.Env == "") {
				bad(n, key+".secrets."+name, "exactly one of file and env is needed")
			}
		}
	}
	if !fine {
		return
	}
	if _, err := l.WantedActions(t); err != nil { // what only shows with all values together
		report(at(t.node, "actions"), "actions", "%s", err)
	}
}

// isAction reports whether a file is the code of an Action: not of a test of one.
func isAction(name string) bool {
	return strings.HasSuffix(name, ".js") && !strings.HasSuffix(name, ".test.js") && !strings.HasSuffix(name, ".spec.js")
}

// splitActions takes the Actions that are named, or stand in folders that are
// named, out of paths. Folders stay: they may hold YAML as well.
func splitActions(paths []string) (actions, rest []string, problems diag.Problems) {
	seen := map[string]bool{}
	add := func(name string) {
		if clean := filepath.Clean(name); !seen[clean] {
			seen[clean] = true
			actions = append(actions, name)
		}
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil || !info.IsDir() {
			if strings.HasSuffix(p, ".js") {
				add(p) // also when it cannot be read: that is told then
				continue
			}
			rest = append(rest, p)
			continue
		}
		rest = append(rest, p)
		err = filepath.WalkDir(p, func(name string, e fs.DirEntry, err error) error {
			switch base := filepath.Base(name); {
			case err != nil:
				return err
			case e.IsDir() && name != p && (base == "node_modules" || strings.HasPrefix(base, ".")):
				return filepath.SkipDir
			case !e.IsDir() && isAction(base):
				add(name)
			}
			return nil
		})
		if err != nil {
			problems = append(problems, diag.Problem{File: p, Msg: "look for Actions: " + unwrapPath(err).Error()})
		}
	}
	return actions, rest, problems
}

// lint reads Actions and adds what is found in them.
func (c *Checked) lint(files []string) diag.Problems {
	var problems diag.Problems
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			problems = append(problems, diag.Problem{File: name, Msg: "cannot be read: " + unwrapPath(err).Error()})
			continue
		}
		c.Actions++
		report := lint.Check(diag.NewSource(name, data))
		problems = append(problems, report.Problems...)
		c.Warnings = append(c.Warnings, report.Warnings...)
	}
	return problems
}
