package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/config"
)

// The exit codes of playbooks.
const (
	exitPartly  = 3 // something of it could not be done
	exitRefused = 4 // nothing was done
)

func newPlaybook(std stdio) *cobra.Command {
	return parent("playbook", "Run playbooks, such as taking an account back",
		"  portcullis playbook run account-takeover --tenant acme --user 'auth0|64f' --dry-run --config portcullis.yaml\n  portcullis playbook status --config portcullis.yaml",
		newPlaybookList(std), newPlaybookRun(std), newPlaybookStatus(std), newPlaybookApprove(std), newPlaybookAbort(std))
}

func newPlaybookList(std stdio) *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use:     "list [--config FILE]",
		Short:   "List the playbooks",
		Long:    "List shows the shipped playbooks, and with --config those of its folders as well.\n\nExit codes: 0 listed, 1 a playbook is wrong, 2 wrong usage.",
		Example: "  portcullis playbook list\n  portcullis playbook list -o json --config portcullis.yaml",
		Args:    noArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			var cfg *config.Config
			var err error
			if file != "" {
				if cfg, err = config.Load(file); err != nil {
					return err
				}
			}
			content, err := config.LoadContent(cfg)
			if err != nil {
				return err
			}
			t := newTable(std.out, column{head: "PLAYBOOK"}, column{head: "OF A"}, column{"STEPS", cutting}, column{"TITLE", cutting})
			for _, id := range slices.Sorted(maps.Keys(content.Playbooks)) {
				p := content.Playbooks[id]
				var steps []string
				for i := range p.Steps {
					steps = append(steps, p.Steps[i].ID)
				}
				if output == "json" {
					if err := printJSON(std.out, map[string]any{"id": p.ID, "title": p.Title, "subject": p.Subject, "budget": p.Budget, "steps": steps}); err != nil {
						return err
					}
					continue
				}
				t.row(p.ID, p.Subject, strings.Join(steps, " → "), p.Title)
			}
			if output == "json" {
				return nil
			}
			return t.print()
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the daemon's `file`")
	addOutput(cmd, &output, "table", "json")
	return cmd
}
