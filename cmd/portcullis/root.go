package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
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
				msg := fmt.Sprintf("unknown command %q", args[0])
				if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
					msg += fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
				}
				return usage("%s", msg)
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
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	root.AddCommand(
		newDemo(std), newRun(std), newCheck(std), newTest(std), newReplay(std), newSimulate(std), newVersion(std),
	)
	return root
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
