package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/catalog"
	"portcullis/config"
	"portcullis/detections"
)

func newTest(std stdio) *cobra.Command {
	var file, output string
	var least int
	cmd := &cobra.Command{
		Use:   "test [--config FILE] [--coverage N] [PATH…]",
		Short: "Run the rules' own tests",
		Long: `Test runs the tests that stand in rule files: their events go through the
engine that the daemon runs, and the alerts that come out are compared with the
expected ones. A PATH is a rule file or a folder of them. Without any, the
shipped rules are tested. --config lends its lists.

Coverage is how many outcomes of the parts of a rule's conditions the tests saw:
each should hold in one test and fail in another. --coverage N names those of a
rule below N percent, and fails.

Exit codes: 0 all pass, 1 failures, problems or too little coverage, 2 wrong usage.`,
		Example: `  portcullis test
  portcullis test rules/ --coverage 100
  portcullis test -o json rules/my-rule.yaml`,
		RunE: func(_ *cobra.Command, paths []string) error {
			set, err := rulesToTest(file, paths)
			if err != nil {
				return err
			}
			if len(set.Rules) == 0 {
				return nothingIn("rule", paths)
			}
			if least < 0 || least > 100 {
				return usage("--coverage is a percentage, 0 to 100")
			}
			passed, bad, without := 0, 0, []string{}
			var covers []detections.Coverage
			for _, r := range set.Rules {
				if len(r.Tests) == 0 {
					without = append(without, r.ID)
				}
				results, cover := set.RunTestsCovering(r, testFolder(r))
				covers = append(covers, cover)
				for _, res := range results {
					if len(res.Failures) == 0 {
						passed++
					} else {
						bad++
					}
					if err := printTest(std, output, res); err != nil {
						return err
					}
				}
			}
			thin, err := printCoverage(std, output, covers, least)
			if err != nil {
				return err
			}
			if output != "json" {
				for _, id := range without {
					fmt.Fprintf(std.out, "none  %s: the rule has no test\n", id)
				}
				if _, err := fmt.Fprintf(std.out, "%d passed, %d failed\n", passed, bad); err != nil {
					return err
				}
			}
			if bad > 0 || thin > 0 {
				return failed()
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the daemon's `file`, for its lists")
	cmd.Flags().IntVar(&least, "coverage", 0, "least `percentage` of outcomes that a rule's tests must see")
	addOutput(cmd, &output, "text", "json")
	return cmd
}

// printCoverage tells the coverage of each rule, with what is missing where it is
// too little, and counts those rules.
func printCoverage(std stdio, output string, covers []detections.Coverage, least int) (thin int, err error) {
	seen, all := 0, 0
	for _, c := range covers {
		seen, all = seen+c.Covered, all+2*len(c.Parts)
		low := c.Percent() < least
		if low {
			thin++
		}
		switch {
		case output == "json":
			err = printJSON(std.out, map[string]any{"rule": c.Rule, "coverage": c.Percent(), "missing": append([]string{}, c.Missing()...)})
		case low:
			_, err = fmt.Fprintf(std.out, "thin  %s: %d %% of outcomes seen\n", c.Rule, c.Percent())
			for _, m := range c.Missing() {
				if err == nil {
					_, err = fmt.Fprintf(std.out, "      %s\n", printable(oneLine(m)))
				}
			}
		}
		if err != nil {
			return thin, err
		}
	}
	if output != "json" && all > 0 {
		_, err = fmt.Fprintf(std.out, "%d %% of %d outcomes of conditions seen\n", 100*seen/all, all)
	}
	return thin, err
}

func rulesToTest(file string, paths []string) (*detections.RuleSet, error) {
	var cfg *config.Config
	if file != "" {
		var err error
		if cfg, err = config.Load(file); err != nil {
			return nil, err
		}
	}
	if len(paths) == 0 {
		content, err := config.LoadContent(cfg)
		if err != nil {
			return nil, err
		}
		return content.Rules, nil
	}
	return config.LoadRules(cfg, paths)
}

// testFolder is where a rule's tests find the files they name: beside the rule.
func testFolder(r *detections.Rule) fs.FS {
	if _, shipped := strings.CutPrefix(r.File(), "catalog/"); shipped {
		return catalog.FS
	}
	return os.DirFS(filepath.Dir(r.File()))
}

// nothingIn is the error for paths that hold nothing of what a command needs:
// silence would look like success.
func nothingIn(what string, paths []string) error {
	err := fmt.Errorf("no %s in %s", what, cmp.Or(strings.Join(paths, ", "), "the configuration"))
	return hint(err, "in a folder, files that end in .yaml or .yml are read")
}

func printTest(std stdio, output string, res detections.TestResult) error {
	if output == "json" {
		return printJSON(std.out, map[string]any{
			"rule": res.Rule, "test": res.Name, "file": res.File, "line": res.Line, "passed": len(res.Failures) == 0,
			"failures": append([]string{}, res.Failures...), // [] rather than null
		})
	}
	if len(res.Failures) == 0 {
		_, err := fmt.Fprintf(std.out, "ok    %s: %s\n", res.Rule, res.Name)
		return err
	}
	_, err := fmt.Fprintf(std.out, "FAIL  %s: %s\n      %s:%d\n      %s\n", res.Rule, res.Name, res.File, res.Line, strings.Join(res.Failures, "\n      "))
	return err
}
