package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/responders"
	"portcullis/responders/control/actions"
)

// preparedAction is a line of actions prepare with -o json.
type preparedAction struct {
	Tenant  string `json:"tenant"`
	Action  string `json:"action"`
	Name    string `json:"name"`
	Do      string `json:"do"`
	Why     string `json:"why"`
	Outcome string `json:"outcome"` // planned, done, failed, or none where nothing is to be done
	Error   string `json:"error,omitempty"`
}

func newActionsPrepare(std stdio) *cobra.Command {
	var f actionFlags
	var dry, force bool
	cmd := &cobra.Command{
		Use:   "prepare [NAME…]",
		Short: "Deploy our Actions, bound to nothing, so that a hold can bind them in seconds",
		Long: `Prepare makes an Action for each template of the catalog, or for those that are
named, with the settings of the configuration, and deploys it. It binds nothing,
so no login notices. It says what it does before it begins, and done twice it
does nothing the second time. What a break leaves half done, the next run
finishes.

It leaves alone what is bound, since a deployment would go live at once, and what
somebody edited. --force writes those anew, and also what differs in nothing: use
it with names after a secret has changed.

It refuses a tenant in observe mode: set mode: propose or enforce, or look with
--dry-run. The application needs the scopes read:actions, create:actions and
update:actions.

Exit codes: 0 prepared, 1 refused or something failed or was skipped although it
was named, 2 wrong usage.`,
		Example: `  portcullis actions prepare --config portcullis.yaml --dry-run
  portcullis actions prepare pkce-required mfa-required --tenant acme-prod --config portcullis.yaml`,
		RunE: func(cmd *cobra.Command, ids []string) error {
			tenants, err := f.open(cmd, std, ids, dry)
			if err != nil {
				return err
			}
			if !dry {
				for _, t := range tenants {
					if err := t.mayWrite(cmd.Context()); err != nil {
						return err
					}
				}
			}
			bad := false
			for _, t := range tenants {
				ok, err := f.prepare(cmd.Context(), std, t, dry, force)
				if err != nil {
					return err
				}
				bad = bad || !ok
			}
			if bad {
				return failed()
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	cmd.Flags().BoolVar(&force, "force", false, "write anew what is bound, was edited, or differs in nothing")
	f.add(cmd)
	return cmd
}

// mayWrite says why nothing may be written to a tenant.
func (t *actionTenant) mayWrite(ctx context.Context) error {
	if t.tenant.Mode == responders.Observe {
		return hint(fmt.Errorf("tenant %s is in observe mode, in which nothing is written to it", t.tenant.Name),
			"set its mode to propose or enforce, or see with --dry-run what would be done")
	}
	if why := frozenByFile(t.cfg); why != "" {
		return hint(fmt.Errorf("nothing is written while it is frozen: %s", why), "take the file away when writes may begin again")
	}
	granted, told, err := t.client.Scopes(ctx)
	if err != nil {
		return err
	}
	if missing := actions.MissingScopes(granted, actions.NeededScopes); told && len(missing) > 0 {
		return hint(fmt.Errorf("tenant %s: the application %s lacks %s", t.tenant.Name, t.tenant.ClientID, strings.Join(missing, ", ")),
			"grant it on the Management API in the tenant's dashboard, then run this again")
	}
	return nil
}

// prepare prepares one tenant. It reports whether all went well; the error is of
// what stops everything.
func (f *actionFlags) prepare(ctx context.Context, std stdio, t actionTenant, dry, force bool) (bool, error) {
	view, err := actions.Look(ctx, t.client, t.wants)
	if err != nil {
		return false, err
	}
	steps := actions.Plan(view, force)
	op, err := operationIDs("by-hand")
	if err != nil {
		return false, err
	}
	if f.output != "json" {
		for _, s := range steps {
			fmt.Fprintf(std.out, "%s: %-7s %s: %s\n", t.tenant.Name, s.Do, s.ID, s.Why)
		}
	}
	well := true
	p := &actions.Preparer{API: t.client, Op: op}
	for _, s := range steps {
		line := preparedAction{Tenant: t.tenant.Name, Action: s.ID, Name: s.Name(), Do: string(s.Do), Why: s.Why, Outcome: "planned"}
		var failure error
		switch {
		case s.Do == actions.Skip || s.Do == actions.Nothing:
			line.Outcome = "none"
			well = well && (s.Do == actions.Nothing || !t.named)
		case !dry:
			if failure = t.readSecrets(s.Want); failure == nil {
				failure = p.Do(ctx, s)
			}
			if ctx.Err() != nil {
				return false, errors.New("interrupted: run it again to go on")
			}
			if line.Outcome = "done"; failure != nil {
				line.Outcome, line.Error, well = "failed", failure.Error(), false
			}
		}
		if err := f.told(std, line); err != nil {
			return false, err
		}
	}
	return well, nil
}

// told prints what became of one step; on a terminal the plan has told the rest.
func (f *actionFlags) told(std stdio, line preparedAction) error {
	var err error
	switch {
	case f.output == "json":
		err = printJSON(std.out, line)
	case line.Outcome == "done":
		_, err = fmt.Fprintf(std.out, "%s: done    %s is deployed, bound to nothing new\n", line.Tenant, line.Action)
	case line.Outcome == "failed":
		_, err = fmt.Fprintf(std.out, "%s: failed  %s: %s\n", line.Tenant, line.Action, printable(line.Error))
	}
	return err
}

// readSecrets reads the values of the secrets of one Action.
func (t *actionTenant) readSecrets(w *actions.Want) error {
	for name := range w.Secrets {
		s, err := t.cfg.ActionSecret(t.tenant, w.ID, name)
		if err != nil {
			return err
		}
		w.Secrets[name] = s.Reveal()
	}
	return nil
}
