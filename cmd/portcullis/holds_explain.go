package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/internal/journal"
	"portcullis/responders/control"
	"portcullis/responders/control/all"
	"portcullis/responders/hold"
)

// tenantField is what is known of one field of one tenant.
type tenantField struct {
	Tenant string `json:"tenant"`
	control.Explained
}

func newHoldsExplain(std stdio) *cobra.Command {
	var f holdFlags
	cmd := &cobra.Command{
		Use:   "explain [CONTROL[.FIELD]] --config FILE",
		Short: "Say why a field is what it is, and what it falls to",
		Long: `Explain tells of each field that was held lately: what it was last seen to be, the
holds that ask for it, the baseline that comes back with who chose it and when, and
what it becomes next. It asks the running daemon, or reads the store when none runs;
the tenant is not asked.

Exit codes: 0 told, 1 nothing is known of it, 2 wrong usage.`,
		Example: "  portcullis holds explain bot-detection.bot_detection_level --config portcullis.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.config == "" {
				return usage("%s needs --config FILE", cmd.CommandPath())
			}
			cfg, content, err := load(f.config)
			if err != nil {
				return err
			}
			fields, err := readDaemon(cmd.Context(), cfg, "/v1/fields", func(j *journal.Journal) ([]tenantField, error) {
				return readFields(cmd.Context(), j, cfg, content, time.Now())
			})
			if err != nil {
				return err
			}
			asked := ""
			if len(args) == 1 {
				asked = args[0]
			}
			return explainFields(std, f, asked, fields)
		},
	}
	f.add(cmd, "text", "json")
	return cmd
}

// explainFields prints the fields that were asked for.
func explainFields(std stdio, f holdFlags, asked string, fields []tenantField) error {
	told := 0
	for _, e := range fields {
		named := asked == "" || asked == e.Control || asked == e.Control+"."+e.Field || strings.HasPrefix(asked, e.Control+".") && strings.HasPrefix(e.Field, strings.TrimPrefix(asked, e.Control+".")+" of ")
		if f.tenant != "" && f.tenant != e.Tenant || !named {
			continue
		}
		told++
		if f.output == "json" {
			if err := printJSON(std.out, e); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(std.out, "%s: %s\n", e.Tenant, printable(e.String()))
	}
	switch {
	case told > 0 || f.output == "json":
		return nil
	case asked == "":
		fmt.Fprintln(std.out, "no field was held lately")
		return nil
	}
	return hint(fmt.Errorf("nothing is known of %q: it was not held lately", asked), "name a control, or a control and a field, such as bot-detection.bot_detection_level")
}

// answerFields answers GET /v1/fields.
func (d *daemon) answerFields(ctx context.Context, _ url.Values) (any, error) {
	content := &config.Loaded{}
	if len(d.tenants) > 0 {
		content = d.tenants[0].content.Load()
	}
	return readFields(ctx, d.journal, d.cfg, content, d.opts.now())
}

// readFields reads what is known of every tenant's fields from the store.
func readFields(ctx context.Context, j *journal.Journal, cfg *config.Config, content *config.Loaded, now time.Time) ([]tenantField, error) {
	holds, err := readHolds(ctx, j)
	if err != nil {
		return nil, err
	}
	out := []tenantField{}
	for i := range cfg.Tenants {
		t := &cfg.Tenants[i]
		store, err := openStore(ctx, j, "controls", t.Name)
		if err != nil {
			return nil, err
		}
		controls := all.New(nil, content.Levels, store, nil)
		for _, name := range sortedKeys(controls) {
			controls[name].Limits = func() []control.Limit { return t.LimitsOf(name) }
			var mine []*hold.Hold
			for k := range holds {
				if h := &holds[k]; h.Tenant == t.Name && h.Control == name && h.Mode == "enforce" {
					mine = append(mine, h)
				}
			}
			fields, err := controls[name].Explain(ctx, mine, now)
			if err != nil {
				return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
			}
			for _, e := range fields {
				out = append(out, tenantField{t.Name, e})
			}
		}
	}
	return out, nil
}
