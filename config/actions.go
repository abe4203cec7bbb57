package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"portcullis/internal/diag"
	"portcullis/responders/control/actions/lint"
)

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
