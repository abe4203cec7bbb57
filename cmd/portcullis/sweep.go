package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/internal/auth0"
	"portcullis/responders"
	"portcullis/responders/control/networkacl"
)

func newHoldsSweep(std stdio) *cobra.Command {
	var file, tenant, output string
	var dry bool
	cmd := &cobra.Command{
		Use:   "sweep --tenant T --config FILE",
		Short: "Remove what a daemon left in a tenant whose store is lost",
		Long: `Sweep looks for network ACLs with the tag of a daemon, any daemon's, and removes
those whose end in the tag is past by half an hour. It reads no store and needs
no running daemon. What somebody changed since it was written stays, and so do
entries that people added. In mode observe only --dry-run is allowed.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.`,
		Example: "  portcullis holds sweep --tenant acme --dry-run --config portcullis.yaml\n  portcullis holds sweep --tenant acme --config portcullis.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" || tenant == "" {
				return usage("%s needs --config FILE and --tenant T", cmd.CommandPath())
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			api, err := sweeper(cfg, tenant, dry)
			if err != nil {
				return err
			}
			defer api.Close()
			id := make([]byte, 4)
			if _, err := rand.Read(id); err != nil {
				return fmt.Errorf("make ids for writes: %w", err)
			}
			n := 0
			op := func() string { n++; return fmt.Sprintf("portcullis-sweep-%x-%d", id, n) }
			swept, err := networkacl.Sweep(cmd.Context(), api, op, time.Now(), dry)
			return errors.Join(printSwept(std, swept, output), err)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the daemon's `file`")
	cmd.Flags().StringVar(&tenant, "tenant", "", "the `tenant`")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only tell what would be removed")
	addOutput(cmd, &output, "table", "json")
	return cmd
}

// sweeper is a client for the tenant; one that cannot write when nothing is to be
// removed. It refuses what a person has forbidden.
func sweeper(cfg *config.Config, tenant string, dry bool) (*auth0.Client, error) {
	t, err := studiedTenant(cfg, tenant)
	if err != nil {
		return nil, err
	}
	if !dry {
		if t.Mode == responders.Observe {
			return nil, hint(fmt.Errorf("tenant %s is in mode observe: nothing is ever written to it", tenant), "--dry-run tells what would be removed")
		}
		path := filepath.Join(cfg.StoreDir(), freezeFile)
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			return nil, hint(fmt.Errorf("nothing is written while it is frozen: the file %s is there", path), "remove it, or use --dry-run")
		}
	}
	secret, err := cfg.ClientSecret(t)
	if err != nil {
		return nil, err
	}
	key, err := cfg.PrivateKey(t)
	if err != nil {
		return nil, err
	}
	return auth0.New(auth0.Config{
		Domain: t.Domain, CustomDomain: t.CustomDomain, BaseURL: t.BaseURL, ClientID: t.ClientID, ClientSecret: secret.Reveal(), PrivateKeyPEM: key,
	}, auth0.Options{ReadOnly: dry, Instance: "sweep"})
}

func printSwept(std stdio, swept []networkacl.Leftover, output string) error {
	if output == "json" {
		for _, l := range swept {
			if err := printJSON(std.out, l); err != nil {
				return err
			}
		}
		return nil
	}
	if len(swept) == 0 {
		_, err := fmt.Fprintln(std.out, "no network ACL bears a daemon's tag")
		return err
	}
	t := newTable(std.out, column{"ACL", whole}, column{"SLOT", cutting}, column{"ENTRIES", cutting}, column{"DONE", whole}, column{"WHY", cutting})
	for _, l := range swept {
		done := "kept"
		switch {
		case l.Removed:
			done = "removed"
		case l.Expired:
			done = "would be removed"
		}
		t.row(printable(l.ID), printable(l.Slot), printable(strings.Join(l.Entries, ", ")), done, l.Why)
	}
	return t.print()
}
