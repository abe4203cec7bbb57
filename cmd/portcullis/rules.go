package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/detections"
	"portcullis/internal/diag"
)

func newRules(std stdio) *cobra.Command {
	return parent("rules", "List and show rules, and turn Sigma into native ones",
		"  portcullis rules list\n  portcullis rules import sigma/ --out rules/",
		newRulesList(std), newRulesShow(std), newRulesImport(std))
}

// loadedRules is what a configuration, or the shipped content, loads.
func loadedRules(file string) (*config.Loaded, error) {
	var cfg *config.Config
	if file != "" {
		var err error
		if cfg, err = config.Load(file); err != nil {
			return nil, err
		}
	}
	return config.LoadContent(cfg)
}

func newRulesList(std stdio) *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use:     "list [--config FILE]",
		Short:   "List the rules that are loaded, and the Sigma documents that are disabled",
		Example: "  portcullis rules list\n  portcullis rules list --config portcullis.yaml -o json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			content, err := loadedRules(file)
			if err != nil {
				return err
			}
			table := newTable(std.out, column{}, column{}, column{}, column{fit: cutting})
			for _, r := range content.Rules.Rules {
				if output == "json" {
					err = printJSON(std.out, map[string]any{"id": r.ID, "title": r.Title, "kind": r.Kind(), "severity": r.Severity, "file": r.File(), "disabled": []string{},
						"log_types": content.Rules.LogTypes(r), "stream_categories": content.Rules.StreamCategories(r)})
				} else {
					table.row(r.ID, string(r.Severity), string(r.Kind()), printable(r.Title))
				}
				if err != nil {
					return err
				}
			}
			for _, d := range content.Sigma {
				if len(d.Disabled) == 0 {
					continue
				}
				if output == "json" {
					err = printJSON(std.out, importedJSON(d))
				} else {
					table.row(d.ID, "disabled", d.Disabled[0].Code, printable(d.Title))
				}
				if err != nil {
					return err
				}
			}
			return table.print()
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the daemon's `file`")
	addOutput(cmd, &output, "text", "json")
	return cmd
}

func newRulesShow(std stdio) *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use:     "show [--config FILE] ID",
		Short:   "Show the text of the file that a rule stands in, or why it is disabled",
		Example: "  portcullis rules show sms-bombarding-user",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("rules show takes the id of one rule")
			}
			content, err := loadedRules(file)
			if err != nil {
				return err
			}
			ids := content.Rules.IDs()
			if r := content.Rules.Rule(args[0]); r != nil {
				return showRule(std, output, r, content.Rules.ProveRule(r).Notes)
			}
			for _, d := range content.Sigma {
				ids = append(ids, d.ID)
				if d.ID == args[0] {
					return reportImported(std.out, output, d)
				}
			}
			return fmt.Errorf("no rule is called %s%s", args[0], diag.DidYouMean(args[0], ids))
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the daemon's `file`")
	addOutput(cmd, &output, "text", "json")
	return cmd
}

// showRule prints a rule's file, and what its author may want to know of it.
func showRule(std stdio, output string, r *detections.Rule, notes diag.Problems) error {
	told := make([]string, len(notes))
	for i, n := range notes {
		told[i] = n.Head()
	}
	if output == "json" {
		return printJSON(std.out, map[string]any{"id": r.ID, "title": r.Title, "kind": r.Kind(), "severity": r.Severity, "file": r.File(), "source": r.Source(), "notes": told})
	}
	for i := range told {
		told[i] = "# note: " + told[i] + "\n"
	}
	_, err := fmt.Fprintf(std.out, "# %s\n%s%s", r.File(), strings.Join(told, ""), r.Source())
	return err
}
