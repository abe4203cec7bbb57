package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/internal/journal"
	"portcullis/responders"
)

// keptFlags are those of the commands that show the incidents and alerts that
// the daemon's store holds.
type keptFlags struct {
	config, tenant, output string
	open                   bool
}

func (f *keptFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "the daemon's `file`")
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "only those of one `tenant`")
	addOutput(cmd, &f.output, "text", "json")
}

func (f *keptFlags) addOpen(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.open, "open", false, "only what is not over")
}

// load reads the incidents of the store, in order of opening: of the daemon when
// it runs. With an id, only that incident, or the one that holds that alert.
func (f *keptFlags) load(ctx context.Context, id string) ([]responders.KeptIncident, error) {
	if f.config == "" {
		return nil, usage("say --config FILE: what happened is in the daemon's store")
	}
	cfg, err := config.Load(f.config)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range cfg.Tenants {
		names = append(names, cfg.Tenants[i].Name)
	}
	if f.tenant != "" {
		if !slices.Contains(names, f.tenant) {
			return nil, usage("no tenant is called %s: the configuration has %s", f.tenant, strings.Join(names, ", "))
		}
		names = []string{f.tenant}
	}
	j, err := journal.Open(ctx, journal.Options{Dir: cfg.StoreDir(), NATS: cfg.Store.NATS, CredsFile: cfg.CredsFile()})
	if errors.Is(err, journal.ErrInUse) {
		var found []responders.KeptIncident
		return found, askDaemon(ctx, cfg, "/v1/incidents?"+url.Values{"tenant": names, "id": {id}}.Encode(), &found)
	}
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	found, err := keptIncidents(ctx, j, names, id)
	return found, errors.Join(err, j.Close())
}

// incidents answers GET /v1/incidents?tenant=…&id=…
func (d *daemon) incidents(ctx context.Context, q url.Values) (any, error) {
	return keptIncidents(ctx, d.journal, q["tenant"], q.Get("id"))
}

func keptIncidents(ctx context.Context, j *journal.Journal, tenants []string, id string) ([]responders.KeptIncident, error) {
	found := []responders.KeptIncident{}
	for _, name := range tenants {
		store, err := openStore(ctx, j, "incidents", name)
		if err != nil {
			return nil, err
		}
		docs, err := store.All(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the incidents of tenant %s: %w", name, err)
		}
		kept, err := responders.ReadIncidents(docs)
		if err != nil {
			return nil, err
		}
		for _, in := range kept {
			if id == "" || isOrHolds(in, id) {
				found = append(found, in)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b responders.KeptIncident) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.ID, b.ID))
	})
	return found, nil
}

// isOrHolds reports whether an id, or the beginning of one, names the incident or
// an alert of it.
func isOrHolds(in responders.KeptIncident, id string) bool {
	if strings.HasPrefix(in.ID, id) {
		return true
	}
	for i := range in.Alerts {
		if strings.HasPrefix(in.Alerts[i].ID, id) {
			return true
		}
	}
	return false
}

// named is the one thing of several whose id begins so.
func named[T any](all []T, id, what string, idOf func(T) string) (T, error) {
	var found []T
	var ids []string
	for _, x := range all {
		if strings.HasPrefix(idOf(x), id) {
			found, ids = append(found, x), append(ids, idOf(x))
		}
	}
	switch len(found) {
	case 0:
		var none T
		return none, hint(fmt.Errorf("the store knows no %s %s", what, id), "portcullis %ss list shows those that it holds", what)
	case 1:
		return found[0], nil
	}
	return found[0], fmt.Errorf("%s could be %s", id, strings.Join(ids, " or "))
}
