package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"portcullis/config"
	"portcullis/internal/httpapi"
	"portcullis/internal/journal"
	"portcullis/responders"
	"portcullis/responders/hold"
)

// freezeFile stops every write of the daemon while it lies in the store's folder:
// the last resort of one who has a shell and nothing else.
const freezeFile = "FREEZE"

func (d *daemon) frozenByFile() string { return frozenByFile(d.cfg) }

// frozenByFile says that the file is there; "" when it is not. A folder that
// cannot be looked into counts as frozen.
func frozenByFile(cfg *config.Config) string {
	path := filepath.Join(cfg.StoreDir(), freezeFile)
	_, err := os.Stat(path)
	switch {
	case err == nil:
		return "the file " + path + " is there"
	case errors.Is(err, os.ErrNotExist):
		return ""
	}
	return "it cannot be told whether the file " + path + " is there: " + err.Error()
}

// tenantOrder is an order with the tenants it is for.
type tenantOrder struct {
	Tenant string `json:"tenant,omitempty"` // "" is every tenant, where the order allows it
	responders.Order
}

// orderDone is what became of an order in one tenant.
type orderDone struct {
	Tenant string `json:"tenant"`
	Done   string `json:"done"`
}

// everywhere are the orders that may be given to all tenants at once.
var everywhere = []responders.OrderKind{responders.OrderFreeze, responders.OrderLimit, responders.OrderThaw, responders.OrderUnwind}

// takeOrder answers POST /v1/orders.
func (d *daemon) takeOrder(ctx context.Context, body []byte) (any, error) {
	var o tenantOrder
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return nil, httpapi.Refusal{Err: fmt.Errorf("the order is not readable: %w", err)}
	}
	return d.order(o, func(t *tenant) (string, error) {
		in := t.current.Load()
		if in == nil {
			return "", fmt.Errorf("%w: the tenant is not guarded at the moment: try again", responders.ErrOrder)
		}
		return in.life.responder.Order(ctx, o.Order)
	})
}

// order gives an order to the tenants that it is for. Where one of several
// refuses, the others still get it.
func (d *daemon) order(o tenantOrder, give func(*tenant) (string, error)) ([]orderDone, error) {
	done := []orderDone{}
	var errs []error
	found := false
	for _, t := range d.tenants {
		if o.Tenant != "" && o.Tenant != t.name {
			continue
		}
		if o.Tenant == "" && len(d.tenants) > 1 && !slices.Contains(everywhere, o.Kind) {
			return nil, httpapi.Refusal{Err: errors.New("the order needs a tenant")}
		}
		found = true
		text, err := give(t)
		switch {
		case errors.Is(err, responders.ErrOrder):
			errs = append(errs, httpapi.Refusal{Err: fmt.Errorf("tenant %s: %w", t.name, err)})
		case err != nil:
			return done, fmt.Errorf("tenant %s: %w", t.name, err)
		default:
			done = append(done, orderDone{t.name, text})
		}
	}
	if !found {
		return nil, httpapi.Refusal{Err: fmt.Errorf("no tenant is called %q", o.Tenant)}
	}
	return done, errors.Join(errs...)
}

// answerHolds answers GET /v1/holds.
func (d *daemon) answerHolds(ctx context.Context, _ url.Values) (any, error) {
	return readHolds(ctx, d.journal)
}

// readHolds reads every tenant's holds from the store, the newest last.
func readHolds(ctx context.Context, j *journal.Journal) ([]hold.Hold, error) {
	kv, err := j.KV(ctx, "holds")
	if err != nil {
		return nil, err
	}
	all, err := kv.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the holds: %w", err)
	}
	holds := make([]hold.Hold, 0, len(all))
	for key, data := range all {
		var h hold.Hold
		if err := json.Unmarshal(data, &h); err != nil {
			return nil, fmt.Errorf("read hold %s: %w", key, err)
		}
		holds = append(holds, h)
	}
	slices.SortFunc(holds, func(a, b hold.Hold) int {
		return slices.Compare([]string{a.Created.UTC().Format(time.RFC3339Nano), a.ID}, []string{b.Created.UTC().Format(time.RFC3339Nano), b.ID})
	})
	return holds, nil
}

// tenantSwitch is the switch of one tenant.
type tenantSwitch struct {
	Tenant string `json:"tenant"`
	responders.Switch
}

// answerSwitches answers GET /v1/switches.
func (d *daemon) answerSwitches(ctx context.Context, _ url.Values) (any, error) {
	out := []tenantSwitch{}
	for _, t := range d.tenants {
		store, err := openStore(ctx, d.journal, "budgets", t.name)
		if err != nil {
			return nil, err
		}
		s, err := responders.ReadSwitch(ctx, store)
		if err != nil {
			return nil, fmt.Errorf("tenant %s: %w", t.name, err)
		}
		out = append(out, tenantSwitch{t.name, s})
	}
	return out, nil
}

// giveOrder hands an order to the running daemon, or carries it out on the store
// itself when none runs.
func giveOrder(ctx context.Context, std stdio, file string, o tenantOrder) ([]orderDone, error) {
	cfg, content, err := load(file)
	if err != nil {
		return nil, err
	}
	done := []orderDone{}
	body, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if cfg.Store.NATS != "" { // somebody else may guard from another machine
		return done, callDaemon(ctx, cfg, http.MethodPost, "/v1/orders", body, &done)
	}
	alone := *cfg
	alone.HTTP, alone.Slack = nil, nil
	d, err := newDaemon(ctx, &alone, content, newLogger(std.err, "text", false), daemonOptions{notifiers: []responders.Notifier{}})
	if errors.Is(err, journal.ErrInUse) {
		return done, callDaemon(ctx, cfg, http.MethodPost, "/v1/orders", body, &done)
	}
	if err != nil {
		return nil, err
	}
	done, err = d.order(o, func(t *tenant) (string, error) { return t.carryOut(ctx, o.Order) })
	return done, errors.Join(err, d.close())
}

// carryOut carries an order out while no daemon runs.
func (t *tenant) carryOut(ctx context.Context, o responders.Order) (string, error) {
	if err := t.lease.Acquire(ctx, nil); err != nil {
		return "", err
	}
	incidents, err := openStore(ctx, t.daemon.journal, "incidents", t.name)
	if err != nil {
		return "", err
	}
	r, err := t.newResponder(ctx, incidents)
	if err != nil {
		return "", err
	}
	return r.CarryOut(ctx, o)
}

// readDaemon reads from the running daemon, or from the store when none runs.
func readDaemon[T any](ctx context.Context, cfg *config.Config, path string, here func(*journal.Journal) (T, error)) (out T, err error) {
	j, err := openJournal(ctx, cfg, nil)
	if errors.Is(err, journal.ErrInUse) {
		return out, askDaemon(ctx, cfg, path, &out)
	}
	if err != nil {
		return out, fmt.Errorf("open the store: %w", err)
	}
	out, err = here(j)
	return out, errors.Join(err, j.Close())
}
