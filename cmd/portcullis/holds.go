package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/internal/journal"
	"portcullis/responders"
	"portcullis/responders/hold"
)

// parent is a command that only groups others.
func parent(use, short, example string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ArbitraryArgs, SuggestionsMinimumDistance: 2}
	cmd.AddCommand(children...)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		var names []string
		for _, c := range children {
			names = append(names, c.Name())
		}
		return usage("%s needs a command: %s", use, strings.Join(names, ", "))
	}
	return cmd
}

func newHolds(std stdio) *cobra.Command {
	return parent("holds", "Show what is tightened, why and until when; extend it or let it go",
		"  portcullis holds list --config portcullis.yaml\n  portcullis holds release hd_3f2c --config portcullis.yaml",
		newHoldsList(std), newHoldsShow(std), newHoldsExplain(std), newHoldsExtend(std), newHoldsRelease(std), newHoldsSweep(std))
}

// holdFlags are those of the commands that look at holds.
type holdFlags struct{ config, tenant, output string }

func (f *holdFlags) add(cmd *cobra.Command, outputs ...string) {
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "the daemon's `file`")
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "of this `tenant` alone")
	addOutput(cmd, &f.output, outputs...)
}

// read reads the holds, of one tenant or of all.
func (f *holdFlags) read(cmd *cobra.Command) ([]hold.Hold, error) {
	if f.config == "" {
		return nil, usage("%s needs --config FILE", cmd.CommandPath())
	}
	cfg, err := config.Load(f.config)
	if err != nil {
		return nil, err
	}
	if f.tenant != "" {
		if _, err := studiedTenant(cfg, f.tenant); err != nil {
			return nil, err
		}
	}
	all, err := readDaemon(cmd.Context(), cfg, "/v1/holds", func(j *journal.Journal) ([]hold.Hold, error) {
		return readHolds(cmd.Context(), j)
	})
	if err != nil {
		return nil, err
	}
	holds := []hold.Hold{}
	for _, h := range all {
		if f.tenant == "" || h.Tenant == f.tenant {
			holds = append(holds, h)
		}
	}
	return holds, nil
}

func newHoldsList(std stdio) *cobra.Command {
	var f holdFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List what is tightened, or would be",
		Long: `List shows every hold that is not over: what is tightened or proposed, on what,
until when, and why. It asks the running daemon, or reads the store when none
runs.

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
		Example: "  portcullis holds list --config portcullis.yaml\n  portcullis holds list --all -o json --config portcullis.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			holds, err := f.read(cmd)
			if err != nil {
				return err
			}
			return listHolds(std, f.output, holds, holdList{
				none:    "nothing is held",
				columns: []column{{head: "ID"}, {head: "TENANT"}, {head: "CONTROL"}, {"ON", cutting}, {head: "STATE"}, {head: "UNTIL"}, {"WHY", cutting}},
				keep:    func(h *hold.Hold) bool { return all || !h.State.Ended() },
				doc:     func(h *hold.Hold) any { return h },
				row: func(h *hold.Hold) []string {
					return []string{h.ID, h.Tenant, h.Control, printable(cmp.Or(h.Level, h.Subject, "-")), string(h.State), moment(until(h)),
						printable(cmp.Or(h.Trouble, asks(h), h.Note, h.Reason))}
				},
			})
		},
	}
	f.add(cmd, "table", "json")
	cmd.Flags().BoolVar(&all, "all", false, "also those that are over, as long as they are remembered")
	return cmd
}

// asks is what a person is asked before a hold lets go.
func asks(h *hold.Hold) string {
	if h.Asks == "" || h.Let != "" || h.State.Ended() {
		return ""
	}
	return "asks before it lets go: " + h.Asks
}

// holdList says which holds a list shows, and how.
type holdList struct {
	none    string // what is said when there is none
	columns []column
	keep    func(*hold.Hold) bool
	doc     func(*hold.Hold) any // as JSON
	row     func(*hold.Hold) []string
}

// listHolds prints holds, as a table that fits the terminal or as JSON lines.
func listHolds(std stdio, output string, holds []hold.Hold, l holdList) error {
	t := newTable(std.out, l.columns...)
	for i := range holds {
		h := &holds[i]
		switch {
		case !l.keep(h):
		case output == "json":
			if err := printJSON(std.out, l.doc(h)); err != nil {
				return err
			}
		default:
			t.row(l.row(h)...)
		}
	}
	switch {
	case output == "json":
		return nil
	case len(t.rows) == 0:
		_, err := fmt.Fprintln(std.out, l.none)
		return err
	}
	return t.print()
}

// until is when a hold ends, or ended.
func until(h *hold.Hold) time.Time {
	if !h.Ended.IsZero() {
		return h.Ended
	}
	return h.Expires
}

func newHoldsShow(std stdio) *cobra.Command {
	var f holdFlags
	cmd := &cobra.Command{
		Use:     "show ID --config FILE",
		Short:   "Show one hold, whole",
		Long:    "Show tells everything that is known of one hold. ID is the hold's id or the\nbeginning of it.\n\nExit codes: 0 shown, 1 there is none, 2 wrong usage.",
		Example: "  portcullis holds show hd_3f2c --config portcullis.yaml",
		Args:    oneArg("the id of a hold"),
		RunE: func(cmd *cobra.Command, args []string) error {
			holds, err := f.read(cmd)
			if err != nil {
				return err
			}
			h, err := pick(holds, args[0])
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(std.out, h)
			}
			return printHold(std.out, h)
		},
	}
	f.add(cmd, "text", "json")
	return cmd
}

// oneArg asks for exactly one argument.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("%s needs %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// pick finds a hold by its id or the beginning of it.
func pick(holds []hold.Hold, id string) (*hold.Hold, error) {
	var found []*hold.Hold
	for i := range holds {
		if holds[i].ID == id {
			return &holds[i], nil
		}
		if id != "" && strings.HasPrefix(holds[i].ID, id) {
			found = append(found, &holds[i])
		}
	}
	switch len(found) {
	case 0:
		return nil, hint(fmt.Errorf("no hold is called %q", id), "portcullis holds list --all shows them")
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%q is the beginning of %d holds: say more of it", id, len(found))
}

func printHold(w io.Writer, h *hold.Hold) error {
	out := &lines{w: w}
	row := func(name, value string) {
		if value != "" && value != "-" {
			out.print("  %-9s %s", name, printable(value))
		}
	}
	out.print("%s  %s, %s", h.ID, h.Control, h.State)
	row("tenant", h.Tenant)
	row("level", h.Level)
	row("on", h.Subject)
	row("mode", h.Mode)
	row("from", h.From)
	row("to", h.To)
	row("reason", h.Reason)
	row("asked by", strings.Join([]string{"policy " + h.Cause.Policy, "rule " + h.Cause.Rule, "incident " + h.Cause.Incident}, ", "))
	row("begun", moment(h.Created))
	row("evidence", moment(h.Evidence))
	row("until", moment(h.Expires))
	if last := h.LastEnd(); !last.IsZero() {
		row("longest", moment(last))
	}
	row("ended", moment(h.Ended))
	if h.Renewals > 0 {
		row("renewed", plural(h.Renewals, "time"))
	}
	if h.Approved != nil {
		row("approved", fmt.Sprintf("by %s at %s", h.Approved.Actor, moment(h.Approved.At)))
	}
	if h.State == hold.AwaitingApproval {
		row("plan", responders.PlanHash(h))
	}
	row("note", h.Note)
	row("trouble", h.Trouble)
	row("kept", h.Kept)
	row("asks", asks(h))
	return out.err
}

func newHoldsExtend(std stdio) *cobra.Command {
	var f orderFlags
	var length time.Duration
	var own bool
	cmd := &cobra.Command{
		Use:   "extend ID --for 1h --config FILE",
		Short: "Let a hold live longer",
		Long: `Extend lets a hold live for a time from now. Beyond the longest that its policy
allows, --own says that you answer for it by name.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.`,
		Example: "  portcullis holds extend hd_3f2c --for 2h --reason 'the attack pauses' --config portcullis.yaml",
		Args:    oneArg("the id of a hold"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if length <= 0 {
				return usage("say for how long: --for 1h")
			}
			return f.giveAbout(cmd, std, args[0], responders.Order{Kind: responders.OrderExtend, For: length, Owner: own})
		},
	}
	f.add(cmd)
	cmd.Flags().DurationVar(&length, "for", 0, "how `long` from now")
	cmd.Flags().BoolVar(&own, "own", false, "answer for it beyond the longest that its policy allows")
	return cmd
}

func newHoldsRelease(std stdio) *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use:   "release ID --config FILE",
		Short: "End a hold now",
		Long: `Release ends a hold now: its setting goes back to what a human last chose, or to
what other holds still ask for. The same policy does not ask for it again in the
same incident within an hour.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.`,
		Example: "  portcullis holds release hd_3f2c --reason 'our own load test' --config portcullis.yaml",
		Args:    oneArg("the id of a hold"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.giveAbout(cmd, std, args[0], responders.Order{Kind: responders.OrderRelease})
		},
	}
	f.add(cmd)
	return cmd
}
