package responders

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/expr-lang/expr"

	"portcullis/detections"
	"portcullis/responders/hold"
)

// Tenant is what planning must know of a tenant.
type Tenant struct {
	Name       string
	Mode       Mode
	Modes      map[string]Mode // by policy id: no further than this
	NeverTouch NeverTouch
}

// planned is a response that some policy asks for because of an alert.
type planned struct {
	hold    hold.Hold // as it would be created
	former  []string  // ids it has if it was asked for by an incident that was merged into this one
	why     string    // why it must not be; empty when it may
	outcome string    // "refused" by a safety rail, or "skipped" as pointless
}

func (pl *planned) refuse(why string) { pl.why, pl.outcome = why, "refused" }
func (pl *planned) skip(why string)   { pl.why, pl.outcome = why, "skipped" }

// response says in an alert what became of the plan.
func (pl *planned) response() detections.Response {
	resp := responseOf(&pl.hold)
	if pl.why != "" {
		resp.Outcome, resp.Reason = pl.outcome, pl.why
	}
	return resp
}

// plan asks every policy about an alert. It changes nothing: the same alert,
// incident and policies give the same plan.
func plan(t Tenant, policies []*Policy, controls map[string]Checker, a detections.Alert, in detections.Incident, feed Feed, now time.Time) []planned {
	env := envOf(a, in, feed)
	var out []planned
	for _, p := range policies {
		applies, err := expr.Run(p.when, env)
		if err != nil {
			pl := planned{hold: hold.Hold{Cause: hold.Cause{Rule: a.Rule, Policy: p.ID, Incident: in.ID, Alert: a.ID}, Mode: string(Observe)}}
			pl.refuse(fmt.Sprintf("policy %s could not be evaluated: %v", p.ID, err))
			out = append(out, pl)
			continue
		}
		if applies != true {
			continue
		}
		for i := range p.Do {
			out = append(out, p.ask(&p.Do[i], t, controls, env, a, in, now)...)
		}
	}
	return out
}

// ask plans one response for each of its subjects.
func (p *Policy) ask(ask *Ask, t Tenant, controls map[string]Checker, env policyEnv, a detections.Alert, in detections.Incident, now time.Time) []planned {
	cause := hold.Cause{Rule: a.Rule, Policy: p.ID, Incident: in.ID, Alert: a.ID}
	mode := Careful(Careful(t.Mode, t.Modes[p.ID]), Careful(p.Mode, ask.Mode))
	base := planned{hold: hold.Hold{
		Tenant: t.Name, Control: ask.Hold, Level: ask.Level, Cause: cause, Reason: ask.Reason, Mode: string(mode),
		Created: now, Evidence: a.UpdatedAt, Expires: a.UpdatedAt.Add(ask.For), TTL: ask.For, MaxTTL: ask.AtMost,
		Began: a.UpdatedAt, MinDwell: ask.MinDwell, Ladder: ask.ladder, Severity: a.Severity.Rank(),
	}}
	base.hold.Entry = ask.entry()
	if ask.ladder != nil {
		base.hold.Level = ask.ladder.Rungs[0].Level
	}
	switch {
	case a.Late && p.Late != "act":
		base.skip("the evidence came late: told, not acted on")
	case !now.Before(base.hold.Expires):
		base.skip("the evidence is older than the hold would last")
	}
	subjects := []string{""}
	if ask.subject != nil {
		v, err := expr.Run(ask.subject, env)
		subjects = texts(v)
		if err != nil || len(subjects) == 0 {
			base.skip("the alert names no subject for it")
			subjects = []string{""}
		}
	}
	out := make([]planned, 0, len(subjects))
	for _, s := range subjects {
		pl := base
		pl.hold.Subject = s
		if pl.why == "" && s != "" {
			if err := pl.name(t, controls[ask.Hold], ask.kind(), len(subjects), a.Count); err != nil {
				pl.refuse(err.Error())
			}
		}
		if pl.why == "" {
			if c := controls[ask.Hold]; c == nil {
				pl.refuse("the tenant has no control " + ask.Hold)
			} else if err := c.Check(base.hold.Level, pl.hold.Subject); err != nil {
				pl.refuse(err.Error())
			} else {
				pl.doubt(c)
			}
		}
		pl.hold.ID = hold.ID(t.Name, ask.Hold, ask.levels(), pl.hold.Subject, cause)
		for _, id := range in.Merged {
			was := cause
			was.Incident = id
			pl.former = append(pl.former, hold.ID(t.Name, ask.Hold, ask.levels(), pl.hold.Subject, was))
		}
		if !slices.ContainsFunc(out, func(o planned) bool { return o.hold.ID == pl.hold.ID }) {
			out = append(out, pl) // the same address may be written in several ways
		}
	}
	return out
}

// texts reads one text or number, or a list of them.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		if v != "" {
			return []string{v}
		}
	case []string:
		return slices.Clone(v)
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, texts(e)...)
		}
		return out
	case int:
		return []string{strconv.Itoa(v)}
	case int64:
		return []string{strconv.FormatInt(v, 10)}
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}
	}
	return nil
}

// WouldDo fills in an alert's responses with what would be done about it, for a
// replay of history: nothing is remembered and nothing is touched.
func WouldDo(t Tenant, policies []*Policy, controls map[string]Checker, a detections.Alert, in detections.Incident) detections.Alert {
	a.Responses = []detections.Response{}
	for _, pl := range plan(t, policies, controls, a, in, Feed{}, a.OpenedAt) {
		a.Responses = append(a.Responses, pl.response())
	}
	return a
}
