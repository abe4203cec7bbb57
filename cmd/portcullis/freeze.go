package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/responders"
)

func newFreeze(std stdio) *cobra.Command {
	var f orderFlags
	var tightening bool
	cmd := &cobra.Command{
		Use:   "freeze --config FILE",
		Short: "Write nothing to the tenants from here on",
		Long: `Freeze stops every write to the tenants: nothing is tightened, and nothing is
released either. Detection and messages go on. It outlives restarts and ends
with thaw. With --tightening alone, nothing new is held and what is held is
released as usual.

Where the daemon cannot be asked, a file called FREEZE in the store's folder does
the same; removing it ends that.

Exit codes: 0 frozen, 1 failed, 2 wrong usage.`,
		Example: "  portcullis freeze --reason 'is this us?' --config portcullis.yaml\n  touch data/FREEZE",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := responders.Order{Kind: responders.OrderFreeze}
			if tightening {
				o.Kind = responders.OrderLimit
			}
			err := f.give(cmd, std, tenantOrder{f.tenant, o})
			if cfg, bad := config.Load(f.config); err != nil && bad == nil && f.config != "" {
				return hint(err, "touch %s freezes all tenants without asking the daemon", filepath.Join(cfg.StoreDir(), freezeFile))
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&tightening, "tightening", false, "only hold nothing new; go on releasing")
	return cmd
}

func newThaw(std stdio) *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use:     "thaw --config FILE",
		Short:   "Let policies decide again, after a freeze or an unwind",
		Long:    "Thaw ends a freeze, and what an unwind left: policies and modes decide again, and\nwhat waited is done.\n\nExit codes: 0 done, 1 failed, 2 wrong usage.",
		Example: "  portcullis thaw --config portcullis.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.give(cmd, std, tenantOrder{f.tenant, responders.Order{Kind: responders.OrderThaw}})
		},
	}
	f.add(cmd)
	return cmd
}

func newUnwind(std stdio) *cobra.Command {
	var f orderFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "unwind --config FILE",
		Short: "Release everything that is held, and hold nothing new",
		Long: `Unwind releases every hold, the latest first, as it would be at its end: each
setting goes back to what a human last chose. Nothing new is held until thaw.
No budget stops it.

Exit codes: 0 done, 1 refused, not confirmed or failed, 2 wrong usage.`,
		Example: "  portcullis unwind --tenant acme --reason 'false alarm' --config portcullis.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := confirm(std, yes, "Release every hold, and hold nothing new until thaw?"); err != nil {
				return err
			}
			return f.give(cmd, std, tenantOrder{f.tenant, responders.Order{Kind: responders.OrderUnwind}})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
