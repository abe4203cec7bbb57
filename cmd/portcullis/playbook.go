package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/internal/auth0"
	"portcullis/internal/journal"
	"portcullis/responders/playbook"
	"portcullis/responders/playbook/account"
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

// playbookFlags are those of `playbook run`.
type playbookFlags struct {
	orderFlags
	users, clients, ips []string
	usersFile, since    string
	dryRun, yes         bool
}

func newPlaybookRun(std stdio) *cobra.Command {
	var f playbookFlags
	cmd := &cobra.Command{
		Use:   "run NAME --tenant T --user ID --config FILE",
		Short: "Run a playbook on users or clients",
		Long: `Run has the running daemon run a playbook, or runs it itself when none runs. It
shows each step as it is done, and returns when nothing more goes on by itself:
at the end, or where an event or a person is waited for. The daemon goes on from
there.

A user is named by user_id, or by an e-mail address that only one account has.
--dry-run reads the tenant and shows the exact plan: each call, each guard, and
what cannot be done and why; nothing is written.

Exit codes: 0 done or waiting, 2 wrong usage, 3 something of it could not be
done, 4 refused: nothing was done.`,
		Example: `  portcullis playbook run account-takeover --tenant acme --user 'auth0|64f' --dry-run --config portcullis.yaml
  portcullis playbook run account-takeover --tenant acme --user ann@example.com --ip 198.51.100.7 --since 2026-03-01T12:00Z --reason INC-41 --config portcullis.yaml
  portcullis playbook run account-takeover --tenant acme --users-file victims.txt --yes --config portcullis.yaml`,
		Args: oneArg("the name of a playbook: portcullis playbook list shows them"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, std, args[0]) },
	}
	f.add(cmd)
	cmd.Flags().StringArrayVar(&f.users, "user", nil, "a user, by `ID` or e-mail; may be repeated")
	cmd.Flags().StringVar(&f.usersFile, "users-file", "", "a `file` with one user a line")
	cmd.Flags().StringArrayVar(&f.clients, "client", nil, "a client, by `ID`; may be repeated")
	cmd.Flags().StringArrayVar(&f.ips, "ip", nil, "an `address` of the attack; may be repeated")
	cmd.Flags().StringVar(&f.since, "since", "", "the `time` at which the attack on these subjects began")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show the plan, and do nothing")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	return cmd
}

// run carries out the command.
func (f *playbookFlags) run(cmd *cobra.Command, std stdio, name string) error {
	ctx := cmd.Context()
	if f.config == "" {
		return usage("%s needs --config FILE", cmd.CommandPath())
	}
	cfg, content, err := load(f.config)
	if err != nil {
		return err
	}
	t, err := studiedTenant(cfg, f.tenant)
	if err != nil {
		return err
	}
	book := content.Playbooks[name]
	if book == nil {
		return usage("no playbook is called %s: %s", name, strings.Join(slices.Sorted(maps.Keys(content.Playbooks)), ", "))
	}
	cause, err := f.cause()
	if err != nil {
		return err
	}
	api, err := openAPI(cfg, t, auth0.Options{ReadOnly: true}) // to look who is meant
	if err != nil {
		return err
	}
	defer api.Close()
	subjects, err := f.subjects(ctx, book, api)
	if err != nil {
		return refusedExit(err)
	}
	if f.dryRun {
		return f.plan(ctx, std, book, t.Name, subjects, cause, api)
	}
	if !f.yes {
		fmt.Fprintf(std.err, "%s on tenant %s, for %s: %s\n", book.Title, t.Name, plural(len(subjects), book.Subject), printable(cut(strings.Join(subjects, ", "), 200)))
	}
	if err := confirm(std, f.yes, "Do it?"); err != nil {
		return refusedExit(err)
	}
	desk, err := openDesk(ctx, std, cfg, content, t.Name)
	if err != nil {
		return err
	}
	err = f.carryOut(ctx, std, desk, runRequest{Tenant: t.Name, Playbook: name, Subjects: subjects, Cause: cause})
	return errors.Join(err, desk.close())
}

func refusedExit(err error) error {
	var coded *exitError
	if errors.As(err, &coded) {
		return err
	}
	return &exitError{code: exitRefused, err: err}
}

func (f *playbookFlags) cause() (playbook.Cause, error) {
	actor, err := f.actor()
	if err != nil {
		return playbook.Cause{}, err
	}
	c := playbook.Cause{Actor: actor, Reason: f.reason, IPs: f.ips}
	if f.since != "" {
		if c.Since, err = parseMoment(f.since); err != nil {
			return c, err
		}
	}
	return c, nil
}

// subjects are the users or clients that are meant, each once.
func (f *playbookFlags) subjects(ctx context.Context, book *playbook.Playbook, api *auth0.Client) ([]string, error) {
	if book.Subject == playbook.OfClient {
		if len(f.clients) == 0 || len(f.users)+len(f.usersFile) > 0 {
			return nil, usage("%s is for a client: name it with --client", book.ID)
		}
		return f.clients, nil
	}
	if len(f.clients) > 0 {
		return nil, usage("%s is for a user: name one with --user", book.ID)
	}
	named := slices.Clone(f.users)
	if f.usersFile != "" {
		more, err := readUsers(f.usersFile)
		if err != nil {
			return nil, err
		}
		named = append(named, more...)
	}
	if len(named) == 0 {
		return nil, usage("say whom: --user ID or --users-file FILE")
	}
	var ids []string
	for _, name := range named {
		id, err := userCalled(ctx, api, name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func readUsers(file string) ([]string, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, usage("read the users: %w", err)
	}
	defer in.Close()
	var out []string
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out, lines.Err()
}

// userCalled finds the user that an id or an e-mail address names.
func userCalled(ctx context.Context, api *auth0.Client, name string) (string, error) {
	if !strings.Contains(name, "@") || strings.Contains(name, "|") {
		u, err := api.User(ctx, name)
		if errors.Is(err, auth0.ErrNotFound) {
			return "", fmt.Errorf("the tenant has no user %s", name)
		}
		return u.ID, err
	}
	found, err := api.UsersByEmail(ctx, name)
	if err != nil {
		return "", err
	}
	var ids []string
	for i := range found {
		ids = append(ids, found[i].ID)
	}
	switch len(ids) {
	case 0:
		return "", hint(fmt.Errorf("the tenant has no user with the e-mail address %s", name), "the match is case-sensitive: addresses of databases are stored in lower case")
	case 1:
		return ids[0], nil
	}
	return "", hint(fmt.Errorf("%d accounts have the e-mail address %s: %s", len(ids), name, strings.Join(ids, ", ")), "name one of them by its id")
}

// plan shows what a run would do, and writes nothing.
func (f *playbookFlags) plan(ctx context.Context, std stdio, book *playbook.Playbook, tenant string, subjects []string, cause playbook.Cause, api *auth0.Client) error {
	cannot := false
	for _, subject := range subjects {
		steps, err := playbook.PlanOf(ctx, book, account.Measures(api), &playbook.Case{Tenant: tenant, Subject: subject, Cause: cause, Now: time.Now()})
		if err != nil {
			return refusedExit(err)
		}
		for i := range steps {
			cannot = cannot || steps[i].Cannot != ""
		}
		if f.output == "json" {
			if err := printJSON(std.out, map[string]any{"tenant": tenant, "playbook": book.ID, "subject": subject, "steps": steps}); err != nil {
				return err
			}
			continue
		}
		if err := printPlan(std.out, book, subject, steps); err != nil {
			return err
		}
	}
	if cannot {
		return &exitError{code: exitPartly}
	}
	return nil
}

func printPlan(w io.Writer, book *playbook.Playbook, subject string, steps []playbook.StepPlan) error {
	out := &lines{w: w}
	out.print("%s, on %s", book.Title, printable(subject))
	for i, s := range steps {
		out.print("%3d. %s: %s", i+1, s.Step, printable(s.Title))
		for _, note := range s.Notes {
			out.print("       %s", printable(note))
		}
		for _, c := range s.Calls {
			out.print("       %s", printable(c))
		}
		for _, g := range s.Guards {
			out.print("       guard: %s", printable(g))
		}
		if s.Cannot != "" {
			out.print("       CANNOT BE DONE: %s", printable(s.Cannot))
		}
	}
	return out.err
}

// carryOut begins runs and shows how they go.
func (f *playbookFlags) carryOut(ctx context.Context, std stdio, desk *playbookDesk, q runRequest) error {
	begun, err := desk.begin(ctx, q)
	if err != nil {
		return refusedExit(err)
	}
	ids := map[string]bool{}
	for _, b := range begun {
		if b.Run == nil {
			fmt.Fprintf(std.err, "%s: %s\n", printable(b.Subject), b.Refused)
			continue
		}
		ids[b.Run.ID] = true
	}
	if len(ids) == 0 {
		return &exitError{code: exitRefused, err: errors.New("nothing was done")}
	}
	told := map[string]string{}
	last, err := desk.watch(ctx, ids, func(run playbook.Run) { tellSteps(std.err, told, run) })
	if err != nil {
		return err
	}
	partly := len(ids) < len(begun)
	for i := range last {
		partly = partly || len(last[i].Trouble()) > 0 || last[i].State == playbook.Stopped
	}
	if err := f.summarise(std, last); err != nil {
		return err
	}
	if partly {
		return &exitError{code: exitPartly}
	}
	return nil
}

// tellSteps prints the steps of a run that ended or ask since they were last told.
func tellSteps(w io.Writer, told map[string]string, run playbook.Run) {
	for i := range run.Steps {
		s := &run.Steps[i]
		key, now := run.ID+" "+s.ID, string(s.State)+s.Note
		if s.State == playbook.StepWaits && s.Note == "" || s.State == playbook.StepTaken || told[key] == now {
			continue
		}
		told[key] = now
		state := string(s.State)
		if s.State == playbook.StepWaits {
			state = "tries on"
		}
		text := fmt.Sprintf("%s  %-12s %s", printable(run.Subject), s.ID, state)
		if s.Note != "" {
			text += ": " + printable(s.Note)
		}
		fmt.Fprintln(w, text)
	}
}

func (f *playbookFlags) summarise(std stdio, runs []playbook.Run) error {
	for i := range runs {
		if f.output == "json" {
			if err := printJSON(std.out, runs[i]); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(std.out, runLine(&runs[i]))
	}
	return nil
}

// runLine says where a run stands, in one line.
func runLine(run *playbook.Run) string {
	text := fmt.Sprintf("%s  %s on %s: %s", run.ID, run.Name, printable(run.Subject), run.State)
	if st := run.Current(); st != nil && !run.State.Over() {
		what := " at "
		if st.Waits {
			what = ", waits for "
		}
		text += what + st.ID
	}
	if trouble := run.Trouble(); len(trouble) > 0 {
		text += "; not done: " + printable(strings.Join(trouble, "; "))
	} else if run.Note != "" {
		text += ": " + printable(run.Note)
	}
	if until := run.Facts[account.FactRemains]; until != "" {
		text += "; access tokens of before may be good until " + until
	}
	return text
}

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
