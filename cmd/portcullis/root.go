package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"portcullis/internal/diag"
)

// newRoot builds the command tree.
func newRoot(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "portcullis",
		Short: "Guard Auth0 tenants: recognise attacks in the log, tighten, and relax again",
		Long: `Portcullis reads the log of an Auth0 tenant, recognises attacks with YAML rules,
tightens the tenant's own defences while the attack lasts, relaxes them
afterwards, and tells the person on call what it did, did not do, and why.

Exit codes: 0 done, 1 failed or problems found, 2 wrong usage.`,
		Example: `  portcullis demo                         the whole loop on this machine, no account needed
  portcullis check --config portcullis.yaml
  portcullis run --config portcullis.yaml`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.ArbitraryArgs,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			if err := cmd.Help(); err != nil {
				return err
			}
			return &exitError{code: exitUsage}
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if words := cmd.Flags().Args(); cmd == root && len(words) > 0 {
			return unknownCommand(cmd, words[0]) // whose flag it was
		}
		var unknown *pflag.NotExistError
		if errors.As(err, &unknown) {
			return usage("%w%s", err, nearestFlag(cmd, unknown.GetSpecifiedName()))
		}
		return usage("%w", err)
	})
	root.AddCommand(
		newDemo(std), newRun(std), newCheck(std), newTest(std), newRules(std), newReplay(std), newExplain(std), newWhyNot(std), newTune(std), newIncidents(std), newAlerts(std), newHolds(std), newApprovals(std),
		newFreeze(std), newThaw(std), newUnwind(std), newPlaybook(std), newActions(std), newSimulate(std), newTenantCommand(std), newVersion(std),
	)
	strictHelp(root)
	strictCompletion(root)
	return root
}

// nearestFlag is the flag that an unknown one was probably meant to be, in the
// words of a message; "" when none is close.
func nearestFlag(cmd *cobra.Command, name string) string {
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := diag.Nearest(name, known); near != "" {
		return fmt.Sprintf(" (did you mean --%s?)", near)
	}
	return ""
}

// unknownCommand is the error for a command that there is not.
func unknownCommand(parent *cobra.Command, name string) error {
	msg := fmt.Sprintf("unknown command %q", name)
	if near := parent.SuggestionsFor(name); len(near) > 0 {
		msg += fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
	}
	return usage("%s", msg)
}

// strictHelp makes help refuse a command that there is not. The library's own
// shows the general help and exits with 0.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil || help == root {
		return
	}
	show := help.Run
	help.Run = nil
	help.Example = "  portcullis help replay"
	help.RunE = func(cmd *cobra.Command, args []string) error {
		if found, rest, err := root.Find(args); found == nil || err != nil || len(rest) > 0 {
			return unknownCommand(cmp.Or(found, root), append(rest, args...)[0])
		}
		show(cmd, args)
		return nil
	}
}

// strictCompletion makes completion refuse what it does not know with the exit
// code of wrong usage, as every command does.
func strictCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	completion, _, err := root.Find([]string{"completion"})
	if err != nil || completion == root {
		return
	}
	completion.Example = "  source <(portcullis completion bash)\n  portcullis completion fish > ~/.config/fish/completions/portcullis.fish"
	completion.Args = cobra.ArbitraryArgs
	completion.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("no completion for the shell %q: one of bash, fish, powershell, zsh", args[0])
		}
		if err := cmd.Help(); err != nil {
			return err
		}
		return &exitError{code: exitUsage}
	}
	for _, shell := range completion.Commands() {
		shell.Args = noArgs
		shell.Example = "  portcullis completion " + shell.Name()
	}
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no argument, found %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// addOutput adds the flag -o with the given values, the first of which is the
// default.
func addOutput(cmd *cobra.Command, into *string, values ...string) {
	cmd.Flags().StringVarP(into, "output", "o", values[0], "output: "+strings.Join(values, " or "))
	check := cmd.PreRunE
	cmd.PreRunE = func(c *cobra.Command, args []string) error {
		for _, v := range values {
			if *into == v {
				if check != nil {
					return check(c, args)
				}
				return nil
			}
		}
		return usage("-o %s is unknown: one of %s", *into, strings.Join(values, ", "))
	}
	if err := cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was added above
	}
}

// printJSON writes one object on a line of its own.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// newLogger logs for people on a terminal, or as JSON lines.
func newLogger(w io.Writer, format string, verbose bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbose {
		opts.Level = slog.LevelDebug
	}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
