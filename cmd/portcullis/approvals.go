package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"portcullis/responders"
	"portcullis/responders/hold"
)

func newApprovals(std stdio) *cobra.Command {
	return parent("approvals", "Approve or deny what is proposed",
		"  portcullis approvals list --config portcullis.yaml\n  portcullis approvals approve hd_3f2c --config portcullis.yaml",
		newApprovalsList(std), newApprove(std), newDeny(std))
}

// waiting is a proposed hold with the hash of its plan.
type waiting struct {
	Plan string `json:"plan"`
	*hold.Hold
}

func newApprovalsList(std stdio) *cobra.Command {
	var f holdFlags
	cmd := &cobra.Command{
		Use:     "list --config FILE",
		Short:   "List what waits for a person's approval",
		Long:    "List shows what is proposed and waits: the plan with its hash, until when it\nwaits, and why.\n\nExit codes: 0 done, 1 failed, 2 wrong usage.",
		Example: "  portcullis approvals list --config portcullis.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			holds, err := f.read(cmd)
			if err != nil {
				return err
			}
			return listHolds(std, f.output, holds, holdList{
				none:    "nothing waits for an approval",
				columns: []column{{head: "ID"}, {head: "PLAN"}, {head: "TENANT"}, {"WHAT", cutting}, {head: "WAITS UNTIL"}, {"WHY", cutting}},
				keep:    func(h *hold.Hold) bool { return h.State == hold.AwaitingApproval },
				doc:     func(h *hold.Hold) any { return waiting{responders.PlanHash(h), h} },
				row: func(h *hold.Hold) []string {
					return []string{h.ID, responders.PlanHash(h), h.Tenant, printable(responders.PlanText(h)), moment(h.Expires), printable(h.Reason)}
				},
			})
		},
	}
	f.add(cmd, "table", "json")
	return cmd
}

func newApprove(std stdio) *cobra.Command {
	var f orderFlags
	var plan string
	var yes bool
	cmd := &cobra.Command{
		Use:   "approve ID --config FILE",
		Short: "Do what is proposed",
		Long: `Approve has a proposed hold done, exactly as it is shown: it is asked for by the
hash of its plan, and when the plan has changed meanwhile nothing is done. It
works once.

Exit codes: 0 done, 1 refused, not confirmed or failed, 2 wrong usage.`,
		Example: "  portcullis approvals approve hd_3f2c --config portcullis.yaml\n  portcullis approvals approve hd_3f2c --plan 9a4e01c2b7d3 --yes --config portcullis.yaml",
		Args:    oneArg("the id of a hold"),
		RunE: func(cmd *cobra.Command, args []string) error {
			look := holdFlags{config: f.config, tenant: f.tenant}
			holds, err := look.read(cmd)
			if err != nil {
				return err
			}
			h, err := pick(holds, args[0])
			if err != nil {
				return err
			}
			if plan == "" {
				plan = responders.PlanHash(h)
			}
			if !yes {
				fmt.Fprintf(std.err, "%s: %s\nplan %s, because: %s\n", h.Tenant, printable(responders.PlanText(h)), plan, printable(h.Reason))
			}
			if err := confirm(std, yes, "Do it?"); err != nil {
				return err
			}
			return f.give(cmd, std, tenantOrder{h.Tenant, responders.Order{Kind: responders.OrderApprove, Hold: h.ID, Plan: plan}})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&plan, "plan", "", "the `hash` of the plan as it was shown; what is shown now by default")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newDeny(std stdio) *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use:     "deny ID --config FILE",
		Short:   "Do not do what is proposed",
		Long:    "Deny ends a proposal. The same policy does not ask again in the same incident\nwithin an hour.\n\nExit codes: 0 done, 1 refused or failed, 2 wrong usage.",
		Example: "  portcullis approvals deny hd_3f2c --reason 'our own load test' --config portcullis.yaml",
		Args:    oneArg("the id of a hold"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.giveAbout(cmd, std, args[0], responders.Order{Kind: responders.OrderDeny})
		},
	}
	f.add(cmd)
	return cmd
}
