package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/internal/diag"
)

func newCheck(std stdio) *cobra.Command {
	var file, output string
	var strict bool
	cmd := &cobra.Command{
		Use:   "check [--config FILE] [PATH…]",
		Short: "Find every problem in a configuration, rules, policies and Actions",
		Long: `Check loads what run would load, and reports all problems at once, each with its
place. A PATH is a YAML file, the JavaScript of an Auth0 Action, or a folder of
them; rules, policies and configurations are told apart by their keys. Without
any, the shipped catalog is checked. Secrets are not read and nothing is
contacted.

What can be proved of rules is told as well, from Auth0's schemas of its event
types and from the conditions themselves: a field that no selected event has, a
threshold that the first event passes, a condition that is never or always true.
Warnings leave the exit code at 0 unless --strict is given.

Actions are held to Auth0's guidelines: no throw, a timeout below 10 s on every
request, no personal data in the log, no secret in the code, and more. A comment
switches one rule off for a line: // portcullis: allow RULE REASON

Exit codes: 0 no problem, 1 problems, 2 wrong usage.`,
		Example: `  portcullis check --config portcullis.yaml
  portcullis check rules/
  portcullis check actions/
  portcullis check -o json rules/my-rule.yaml`,
		RunE: func(_ *cobra.Command, paths []string) error {
			found, err := config.Check(file, paths)
			var problems diag.Problems
			if err != nil && !errors.As(err, &problems) {
				return err
			}
			if len(problems) == 0 && found.Rules+found.Policies+found.Configs+found.Exceptions+found.Actions+found.Playbooks == 0 && len(paths) > 0 {
				return hint(nothingIn("rule, policy, playbook, configuration or Action", paths), "in a folder, files that end in .yaml, .yml or .js are read")
			}
			for _, w := range found.Warnings {
				if output == "json" {
					err = printJSON(std.out, problemJSON(w, "warning"))
				} else {
					_, err = fmt.Fprintf(std.err, "warning: %s\n", w)
				}
				if err != nil {
					return err
				}
			}
			for _, p := range problems {
				if output == "json" {
					err = printJSON(std.out, problemJSON(p, "problem"))
				} else {
					_, err = fmt.Fprintln(std.out, p.String())
				}
				if err != nil {
					return err
				}
			}
			if output != "json" {
				count := plural(len(problems), "problem")
				if n := len(found.Warnings); n > 0 {
					count += ", " + plural(n, "warning")
				}
				if _, err := fmt.Fprintf(std.out, "%s checked: %s\n", looked(found), count); err != nil {
					return err
				}
			}
			if len(problems) > 0 || strict && len(found.Warnings) > 0 {
				return failed()
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the daemon's `file`")
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings count as problems")
	addOutput(cmd, &output, "text", "json")
	return cmd
}

// problem is a problem as -o json prints it.
type problem struct {
	Kind string `json:"kind"`
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
	Key  string `json:"key,omitempty"`
	Msg  string `json:"message"`
	Hint string `json:"hint,omitempty"`
}

func problemJSON(p diag.Problem, kind string) problem {
	return problem{Kind: kind, File: p.File, Line: p.Line, Col: p.Col, Key: p.Key, Msg: p.Msg, Hint: p.Hint}
}

// looked says what was checked: rules, policies and configurations in any case,
// the rest where there was any.
func looked(found config.Checked) string {
	parts := []string{plural(found.Rules, "rule"), plural(found.Policies, "policy"), plural(found.Configs, "configuration")}
	for word, n := range map[string]int{"playbook": found.Playbooks, "Action": found.Actions} {
		if n > 0 {
			parts = append(parts, plural(n, word))
		}
	}
	slices.Sort(parts[3:])
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}
