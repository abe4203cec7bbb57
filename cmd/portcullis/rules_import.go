package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/detections"
	"portcullis/detections/sigma"
)

func newRulesImport(std stdio) *cobra.Command {
	var out, output string
	cmd := &cobra.Command{
		Use:   "import [--out DIR] PATH…",
		Short: "Turn Sigma rules into native ones",
		Long: `Import reads Sigma files and writes a native rule for each document that can be
turned without a guess: to stdout, or with --out to a file of its own in a folder.
The report on stderr says of each document what became of it.

Exit codes: 0 all loaded, 1 some are disabled, 2 wrong usage.`,
		Example: "  portcullis rules import sigma/ --out rules/\n  portcullis rules import -o json rule.yml",
		RunE: func(_ *cobra.Command, paths []string) error {
			if len(paths) == 0 {
				return usage("rules import takes files or folders of Sigma rules")
			}
			var files []detections.File
			for _, p := range paths {
				found, err := config.ReadPath(p)
				if err != nil {
					return err
				}
				files = append(files, found...)
			}
			result := sigma.Load(files, sigma.Options{Keep: true})
			if len(result.Documents) == 0 {
				return nothingIn("Sigma rule", paths)
			}
			return writeImported(std, out, output, result)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the `folder` to write to")
	addOutput(cmd, &output, "text", "json")
	return cmd
}

func writeImported(std stdio, out, output string, result sigma.Result) error {
	if out != "" {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return fmt.Errorf("make the folder for rules: %w", err)
		}
	}
	loaded, disabled := 0, 0
	for _, d := range result.Documents {
		report := std.err
		if output == "json" {
			report = std.out
		}
		if err := reportImported(report, output, d); err != nil {
			return err
		}
		if len(d.Disabled) > 0 {
			disabled++
		}
		if len(d.Native.Data) == 0 {
			continue
		}
		var err error
		switch loaded++; {
		case out != "":
			err = writeNew(filepath.Join(out, d.ID+".yaml"), d.Native.Data)
		case output != "json":
			_, err = fmt.Fprintf(std.out, "---\n%s", d.Native.Data)
		}
		if err != nil {
			return err
		}
	}
	if output != "json" {
		fmt.Fprintf(std.err, "%s: %s, %d disabled\n", plural(len(result.Documents), "document"), plural(loaded, "rule"), disabled)
	}
	if disabled > 0 {
		return failed()
	}
	return nil
}

// writeNew refuses to overwrite: a rule may have been edited since.
func writeNew(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return hint(fmt.Errorf("write the rule: %w", err), "an existing file is not overwritten: remove it, or name another folder")
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return fmt.Errorf("write the rule: %w", err)
	}
	return f.Close()
}

func verdictOf(d sigma.Document) string {
	switch {
	case len(d.Disabled) > 0:
		return "disabled"
	case d.Used:
		return "used by others"
	}
	return "loaded"
}

func reportImported(w io.Writer, output string, d sigma.Document) error {
	if output == "json" {
		return printJSON(w, importedJSON(d))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s: %s\n", verdictOf(d), d.ID, d.Title)
	for _, f := range d.Disabled {
		b.WriteString(f.Problem.String() + "\n")
	}
	for _, f := range d.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", f.Head())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func importedJSON(d sigma.Document) map[string]any {
	findings := func(list []sigma.Finding) []map[string]any {
		out := []map[string]any{}
		for _, f := range list {
			out = append(out, map[string]any{"code": f.Code, "file": f.File, "line": f.Line, "col": f.Col, "message": f.Msg, "hint": f.Hint})
		}
		return out
	}
	return map[string]any{"id": d.ID, "title": d.Title, "kind": d.Kind, "verdict": verdictOf(d), "disabled": findings(d.Disabled), "warnings": findings(d.Warnings), "rule": string(d.Native.Data)}
}
