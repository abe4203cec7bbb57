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

	"portcullis/internal/auth0"
	"portcullis/responders/playbook"
	"portcullis/responders/playbook/account"
)

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
