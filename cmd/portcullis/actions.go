package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/internal/auth0"
	"portcullis/internal/diag"
	"portcullis/responders"
	"portcullis/responders/control/actions"
)

func newActions(std stdio) *cobra.Command {
	return parent("actions", "Prepare our Actions in calm, and see how a tenant has them",
		"  portcullis actions prepare --config portcullis.yaml --dry-run\n  portcullis actions status --config portcullis.yaml",
		newActionsPrepare(std), newActionsStatus(std), newActionsDiff(std))
}

// actionFlags are those of the commands about Actions.
type actionFlags struct{ config, tenant, output string }

func (f *actionFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "the daemon's `file`")
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "of this `tenant` alone")
	addOutput(cmd, &f.output, "text", "json")
}

// actionTenant is one tenant, and the Actions that are asked about.
type actionTenant struct {
	cfg    *config.Config
	tenant *config.Tenant
	client *auth0.Client
	wants  []*actions.Want
	named  bool // the Actions were named, so none may be left out silently
}

// open reads the configuration and connects to its tenants. Nothing is contacted
// yet. readOnly refuses writes before they reach a tenant.
func (f *actionFlags) open(cmd *cobra.Command, std stdio, ids []string, readOnly bool) ([]actionTenant, error) {
	if f.config == "" {
		return nil, usage("%s needs --config FILE", cmd.CommandPath())
	}
	cfg, err := config.Load(f.config)
	if err != nil {
		return nil, err
	}
	content, err := config.LoadContent(cfg)
	if err != nil {
		return nil, err
	}
	known := actions.IDs(content.Actions)
	for _, id := range ids {
		if !slices.Contains(known, id) {
			return nil, usage("there is no Action %s%s: one of %s", id, diag.DidYouMean(id, known), strings.Join(known, ", "))
		}
	}
	var out []actionTenant
	var names []string
	for i := range cfg.Tenants {
		t := &cfg.Tenants[i]
		names = append(names, t.Name)
		if f.tenant != "" && f.tenant != t.Name {
			continue
		}
		wants, err := content.WantedActions(t)
		if err != nil {
			return nil, err
		}
		if len(ids) > 0 {
			wants = slices.DeleteFunc(wants, func(w *actions.Want) bool { return !slices.Contains(ids, w.ID) })
		}
		client, err := newActionClient(cfg, t, std, readOnly)
		if err != nil {
			return nil, err
		}
		out = append(out, actionTenant{cfg, t, client, wants, len(ids) > 0})
	}
	if len(out) == 0 {
		return nil, usage("there is no tenant %s%s: one of %s", f.tenant, diag.DidYouMean(f.tenant, names), strings.Join(names, ", "))
	}
	return out, nil
}

func newActionClient(cfg *config.Config, t *config.Tenant, std stdio, readOnly bool) (*auth0.Client, error) {
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
	}, auth0.Options{ReadOnly: readOnly || t.Mode == responders.Observe, Logger: newLogger(std.err, "text", false), Instance: "by-hand"})
}

// actionStatus is a line of actions status with -o json.
type actionStatus struct {
	Tenant  string   `json:"tenant"`
	Action  string   `json:"action,omitempty"` // the template; none for one of somebody else
	Name    string   `json:"name"`
	Trigger string   `json:"trigger"`
	State   string   `json:"state"`
	Bound   bool     `json:"bound"`
	Place   int      `json:"place,omitempty"` // in the flow, from 1
	Missing []string `json:"missing,omitempty"`
	Build   string   `json:"build,omitempty"` // of the draft, when it failed
}

func newActionsStatus(std stdio) *cobra.Command {
	var f actionFlags
	cmd := &cobra.Command{
		Use:   "status [NAME…]",
		Short: "Show which of our Actions are prepared, outdated or bound, and what others have in the same flows",
		Long: `Status reads the tenants and changes nothing. An Action of ours is

  prepared    deployed as it would be today
  outdated    deployed, and its settings, its code or its draft changed since
  edited      deployed, and somebody changed the code: no hold binds it
  undeployed  there, and no version of it in force
  absent      not there
  foreign     there under our name, and not made by us

and bound when it stands in a flow, at the place that is shown. Actions of others
in the same flows are listed as foreign too.

Exit codes: 0 told, 1 a tenant cannot be read, 2 wrong usage.`,
		Example: "  portcullis actions status --config portcullis.yaml\n  portcullis actions status pkce-required --tenant acme-prod --config portcullis.yaml -o json",
		RunE: func(cmd *cobra.Command, ids []string) error {
			tenants, err := f.open(cmd, std, ids, true)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
			for _, t := range tenants {
				v, err := actions.Look(cmd.Context(), t.client, t.wants)
				if err != nil {
					return err
				}
				for _, line := range statusLines(t.tenant.Name, v) {
					if f.output == "json" {
						err = printJSON(std.out, line)
					} else {
						_, err = fmt.Fprintln(table, line.row())
					}
					if err != nil {
						return err
					}
				}
			}
			return table.Flush()
		},
	}
	f.add(cmd)
	return cmd
}

func statusLines(tenant string, v actions.View) []actionStatus {
	var out []actionStatus
	for _, s := range v.Statuses {
		line := actionStatus{Tenant: tenant, Action: s.ID, Name: s.Name(), Trigger: s.Trigger, State: string(s.Condition), Bound: s.Place > 0, Place: s.Place, Missing: s.Missing}
		if s.Action != nil && s.Action.Status == auth0.ActionFailed {
			line.Build = auth0.ActionFailed
		}
		out = append(out, line)
	}
	for _, o := range v.Others {
		out = append(out, actionStatus{Tenant: tenant, Name: o.Name, Trigger: o.Trigger, State: string(actions.Foreign), Bound: true, Place: o.Place})
	}
	return out
}

func (l actionStatus) row() string {
	name, where := l.Action, ""
	if name == "" {
		name = l.Name
	}
	if l.Bound {
		where = fmt.Sprintf("bound at %d", l.Place)
	}
	var notes []string
	if len(l.Missing) > 0 {
		notes = append(notes, "needs "+strings.Join(l.Missing, ", "))
	}
	if l.Build != "" {
		notes = append(notes, "the build of its draft failed")
	}
	row := []string{printable(l.Tenant), printable(name), l.State, l.Trigger, where, strings.Join(notes, "; ")}
	return strings.TrimRight(strings.Join(row, "\t"), "\t")
}

func newActionsDiff(std stdio) *cobra.Command {
	var f actionFlags
	cmd := &cobra.Command{
		Use:   "diff [NAME…]",
		Short: "Show how the code that a tenant has differs from what prepare would deploy",
		Long: `Diff reads the tenants and changes nothing. For each of our Actions that is there
it shows the code in force (the draft, where none is) against the code with
today's settings: - is only in the tenant, + only in what prepare would deploy.

Exit codes: 0 no difference, 1 differences or a tenant cannot be read, 2 wrong
usage.`,
		Example: "  portcullis actions diff --config portcullis.yaml\n  portcullis actions diff pkce-required --config portcullis.yaml",
		RunE: func(cmd *cobra.Command, ids []string) error {
			tenants, err := f.open(cmd, std, ids, true)
			if err != nil {
				return err
			}
			differs := false
			for _, t := range tenants {
				v, err := actions.Look(cmd.Context(), t.client, t.wants)
				if err != nil {
					return err
				}
				for _, s := range v.Statuses {
					d, err := f.printDiff(std, t, s)
					if err != nil {
						return err
					}
					differs = differs || d
				}
			}
			if differs {
				return failed()
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

// printDiff prints how one Action differs, and reports whether it does.
func (f *actionFlags) printDiff(std stdio, t actionTenant, s actions.Status) (bool, error) {
	if s.Action == nil || s.Code == "" {
		if !t.named {
			return false, nil
		}
		why := "it is not there: portcullis actions prepare makes it"
		if len(s.Missing) > 0 {
			why = "it needs a value for " + strings.Join(s.Missing, ", ")
		}
		return false, fmt.Errorf("tenant %s: Action %s cannot be compared: %s", t.tenant.Name, s.ID, why)
	}
	theirs, what := s.Action.Code, "draft"
	if s.Action.Deployed != nil {
		theirs, what = s.Action.Deployed.Code, fmt.Sprintf("version %d", s.Action.Deployed.Number)
	}
	lines := actions.DiffLines(theirs, s.Code)
	if len(lines) == 0 {
		return false, nil
	}
	if f.output == "json" {
		return true, printJSON(std.out, map[string]any{"tenant": t.tenant.Name, "action": s.ID, "state": s.Condition, "against": what, "lines": lines})
	}
	fmt.Fprintf(std.out, "%s: %s is %s\n--- %s in the tenant\n+++ with today's settings\n", t.tenant.Name, s.ID, s.Condition, what)
	for _, l := range lines {
		if _, err := fmt.Fprintln(std.out, printable(l)); err != nil {
			return true, err
		}
	}
	return true, nil
}
