package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is the release, set by the linker: -ldflags "-X main.version=v1.2.3".
var version = "dev"

func newVersion(std stdio) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  portcullis version\n  portcullis version -o json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			commit := ""
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						commit = s.Value
					}
				}
			}
			if output == "json" {
				return printJSON(std.out, map[string]string{"version": version, "commit": commit, "go": runtime.Version()})
			}
			text := "portcullis " + version
			if commit != "" {
				text += " (" + commit[:min(12, len(commit))] + ")"
			}
			_, err := fmt.Fprintf(std.out, "%s %s %s/%s\n", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	addOutput(cmd, &output, "text", "json")
	return cmd
}
