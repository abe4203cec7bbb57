package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/internal/journal"
	"portcullis/responders/playbook"
)

func newPlaybookStatus(std stdio) *cobra.Command {
	var f holdFlags
	cmd := &cobra.Command{
		Use:     "status [RUN] --config FILE",
		Short:   "Show runs, or one of them step by step",
		Long:    "Status shows the runs that are remembered, the oldest first, or one of them step by\nstep. RUN is its id or the beginning of it.\n\nExit codes: 0 shown, 1 there is none, 2 wrong usage.",
		Example: "  portcullis playbook status --config portcullis.yaml\n  portcullis playbook status run_3f2c --config portcullis.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			runs, err := f.runs(cmd)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				run, err := runCalled(runs, args[0])
				if err != nil {
					return err
				}
				if f.output == "json" {
					return printJSON(std.out, run)
				}
				return printRun(std.out, run)
			}
			if len(runs) == 0 && f.output != "json" {
				fmt.Fprintln(std.out, "no playbook was run")
			}
			for i := range runs {
				if f.output == "json" {
					err = printJSON(std.out, &runs[i])
				} else {
					_, err = fmt.Fprintln(std.out, runLine(&runs[i]))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.add(cmd, "text", "json")
	return cmd
}

// runs reads the runs of one tenant or of all.
func (f *holdFlags) runs(cmd *cobra.Command) ([]playbook.Run, error) {
	if f.config == "" {
		return nil, usage("%s needs --config FILE", cmd.CommandPath())
	}
	cfg, err := config.Load(f.config)
	if err != nil {
		return nil, err
	}
	all, err := readDaemon(cmd.Context(), cfg, "/v1/runs", func(j *journal.Journal) ([]playbook.Run, error) { return readRuns(cmd.Context(), j) })
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(r playbook.Run) bool { return f.tenant != "" && r.Tenant != f.tenant }), nil
}

func runCalled(runs []playbook.Run, id string) (*playbook.Run, error) {
	var found []*playbook.Run
	for i := range runs {
		if runs[i].ID == id {
			return &runs[i], nil
		}
		if id != "" && strings.HasPrefix(runs[i].ID, id) {
			found = append(found, &runs[i])
		}
	}
	switch len(found) {
	case 0:
		return nil, hint(fmt.Errorf("no run is called %q", id), "portcullis playbook status shows them")
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%q is the beginning of %d runs: say more of it", id, len(found))
}

func printRun(w io.Writer, run *playbook.Run) error {
	out := &lines{w: w}
	out.print("%s", runLine(run))
	out.print("asked for by %s%s, begun %s", printable(run.Cause.Actor), printable(reasonOf(run.Cause.Reason)), moment(run.Begun))
	if run.State == playbook.Awaiting && run.Approved == "" && run.Current().State != playbook.StepAsks {
		out.print("plan %s waits for an approval", run.Hash())
	}
	for i := range run.Steps {
		s := &run.Steps[i]
		state := string(s.State)
		if state == "" {
			state = "-"
		}
		text := fmt.Sprintf("  %-12s %-8s %-19s", s.ID, state, moment(s.Ended))
		if s.Attempts > 1 {
			text += fmt.Sprintf("  tried %d times", s.Attempts)
		}
		if s.Note != "" {
			text += "  " + printable(s.Note)
		}
		if s.Approved != "" {
			text += "  approved by " + printable(s.Approved)
		}
		out.print("%s", strings.TrimRight(text, " "))
	}
	return out.err
}

func reasonOf(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

func newPlaybookApprove(std stdio) *cobra.Command {
	var f orderFlags
	var skip, yes bool
	var plan string
	cmd := &cobra.Command{
		Use:   "approve RUN --config FILE",
		Short: "Let a run go on that asks",
		Long: `Approve lets a run begin that waits for a person, or the step that asks be done in
spite of what it asks. With --skip the run goes on without that step.

Exit codes: 0 done, 1 failed, 2 wrong usage, 4 refused: nothing was done.`,
		Example: "  portcullis playbook approve run_3f2c --config portcullis.yaml\n  portcullis playbook approve run_3f2c --skip --reason 'spoke to the owner' --config portcullis.yaml",
		Args:    oneArg("the id of a run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer := playbook.Approve
			if skip {
				answer = playbook.SkipStep
			}
			return f.answer(cmd, std, args[0], answer, plan, yes)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&skip, "skip", false, "go on without the step that asks")
	cmd.Flags().StringVar(&plan, "plan", "", "the `hash` of the plan as it was shown; what is shown now by default")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newPlaybookAbort(std stdio) *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use:     "abort RUN --config FILE",
		Short:   "End a run where it is",
		Long:    "Abort ends a run where it is: what was done stays done, a user who was blocked\nstays blocked.\n\nExit codes: 0 done, 1 failed, 2 wrong usage, 4 refused: nothing was done.",
		Example: "  portcullis playbook abort run_3f2c --reason 'false alarm' --config portcullis.yaml",
		Args:    oneArg("the id of a run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.answer(cmd, std, args[0], playbook.Abort, "", true)
		},
	}
	f.add(cmd)
	return cmd
}

// answer gives a run a person's answer.
func (f *orderFlags) answer(cmd *cobra.Command, std stdio, id string, answer playbook.Answer, plan string, yes bool) error {
	look := holdFlags{config: f.config, tenant: f.tenant}
	runs, err := look.runs(cmd)
	if err != nil {
		return err
	}
	run, err := runCalled(runs, id)
	if err != nil {
		return err
	}
	if plan == "" {
		plan = run.Hash()
	}
	if !yes {
		if err := printRun(std.err, run); err != nil {
			return err
		}
	}
	if err := confirm(std, yes, "Go on?"); err != nil {
		return refusedExit(err)
	}
	actor, err := f.actor()
	if err != nil {
		return err
	}
	cfg, content, err := load(f.config)
	if err != nil {
		return err
	}
	desk, err := openDesk(cmd.Context(), std, cfg, content, run.Tenant)
	if err != nil {
		return err
	}
	got, err := desk.answer(cmd.Context(), runAnswer{run.Tenant, playbook.Order{Run: run.ID, Answer: answer, Plan: plan, Actor: actor, Reason: f.reason}})
	if err = errors.Join(err, desk.close()); err != nil {
		return refusedExit(err)
	}
	if f.output == "json" {
		return printJSON(std.out, got)
	}
	fmt.Fprintln(std.out, runLine(&got))
	return nil
}
