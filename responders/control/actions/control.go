package actions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Name is what policies and holds call the control. The level of a hold is the
// template that it binds.
const Name = "actions"

// Control binds prepared Actions while holds ask for them. Whether each is bound is
// held as [control.Fields] holds fields: what a human chose is what comes back.
type Control struct {
	*control.Fields
	setting *setting
	api     API
	wants   []*Want
}

// New makes the control over the templates that a tenant may have.
func New(api API, wants []*Want, store control.Store, op control.Operation) *Control {
	spec, levels := control.Spec{}, map[string]map[string]hold.Value{}
	for _, w := range wants {
		spec[w.ID] = control.Field{Order: order}
		levels[w.ID] = map[string]hold.Value{w.ID: bound}
	}
	flows := &setting{api: api, wants: wants, ledger: &ledger{store: store}}
	fields := &control.Fields{Name: Name, Spec: spec, Levels: &control.Levels{Cells: levels}, Setting: flows, Store: store, Op: op}
	return &Control{Fields: fields, setting: flows, api: api, wants: wants}
}

// Checker checks holds against templates, without a tenant.
func Checker(templates []*Template) *Control {
	wants := make([]*Want, len(templates))
	for i, t := range templates {
		wants[i] = &Want{Template: t}
	}
	return New(nil, wants, nil, nil)
}

// Check reports why a hold makes no sense: its level is a template, and it has no
// subject.
func (c *Control) Check(level, subject string) error {
	if subject != "" {
		return fmt.Errorf("%s takes no subject: an Action is bound for the whole tenant", Name)
	}
	if c.want(level) == nil {
		return fmt.Errorf("%s has no Action %q as its level: one of %s", Name, level, strings.Join(c.ids(), ", "))
	}
	return nil
}

func (c *Control) want(id string) *Want {
	for _, w := range c.wants {
		if w.ID == id {
			return w
		}
	}
	return nil
}

func (c *Control) ids() []string {
	out := make([]string, len(c.wants))
	for i, w := range c.wants {
		out[i] = w.ID
	}
	return out
}

// Reconcile binds the Actions that holds in force ask for, and unbinds those that
// none asks for any more and no human chose. A hold on an Action that is not
// prepared fails, with what to do about it. The error wraps [control.ErrStore] if
// the store failed; after any error the next call starts from a fresh look.
func (c *Control) Reconcile(ctx context.Context, holds []*hold.Hold, now time.Time) (control.Report, error) {
	if err := c.setting.ledger.load(ctx); err != nil {
		return control.Report{}, err
	}
	if err := c.refuseUnprepared(ctx, holds, now); err != nil {
		return control.Report{}, err
	}
	rep, err := c.Fields.Reconcile(ctx, holds, now)
	if err != nil || rep.Again {
		return rep, err
	}
	if err := c.setting.putBack(ctx, c.Op, &rep); err != nil {
		return rep, err
	}
	return rep, c.setting.ledger.prune(ctx, now)
}

// Hear learns from a line of the log who chose what, as [control.Fields.Hear] does,
// and which change of others' Actions a write of ours undid.
func (c *Control) Hear(ctx context.Context, ln control.Line, now time.Time) (notes []string, concerned bool, err error) {
	if trigger, after, ok := c.setting.flowTold(ln); ok {
		if err := c.setting.ledger.hear(ctx, trigger, othersOf(after, c.wants), ln); err != nil {
			return nil, true, err
		}
	}
	return c.Fields.Hear(ctx, ln, now)
}

// refuseUnprepared fails the holds that were never in force and whose Action is
// not there as we made it: nothing is built in the middle of an attack.
func (c *Control) refuseUnprepared(ctx context.Context, holds []*hold.Hold, now time.Time) error {
	var fresh []*hold.Hold
	for _, h := range holds {
		if h.InForce(now) && !h.Confirmed && h.State != hold.Overruled {
			fresh = append(fresh, h)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	all, err := c.api.Actions(ctx)
	if errors.Is(err, auth0.ErrForbidden) {
		control.Fail(fresh, now, err.Error())
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the Actions of the tenant: %w", err)
	}
	for _, h := range fresh {
		w := c.want(h.Level)
		if w == nil {
			control.Fail([]*hold.Hold{h}, now, fmt.Sprintf("there is no Action %s any more", h.Level))
			continue
		}
		if why := w.refusal(w.condition(byName(all, w.Name()))); why != "" {
			control.Fail([]*hold.Hold{h}, now, why)
		}
	}
	return nil
}
