package main

import (
	"context"
	"fmt"
	"net/url"

	"portcullis/detections"
)

// study is what the daemon's own journal says of a tenant, under the rules and
// parameters it runs with.
func (d *daemon) study(name string) (*detections.Study, error) {
	for _, t := range d.tenants {
		if t.name != name {
			continue
		}
		s := &detections.Study{Tenant: name, Rules: t.content.Load().Rules, Lateness: d.cfg.Rules.Lateness, History: journalHistory(d.journal, name)}
		for i := range d.cfg.Tenants {
			if c := &d.cfg.Tenants[i]; c.Name == name {
				s.Params = c.Params
			}
		}
		return s, nil
	}
	return nil, fmt.Errorf("no tenant is called %q here", name)
}

// explain answers GET /v1/explain?tenant=…&alert=…, or rule and key=FIELD=VALUE.
func (d *daemon) explain(ctx context.Context, q url.Values) (any, error) {
	s, err := d.study(q.Get("tenant"))
	if err != nil {
		return nil, err
	}
	group, err := parseGroup(q["key"])
	if err != nil {
		return nil, err
	}
	return explainKept(ctx, d.journal, s, detections.AlertRef{ID: q.Get("alert"), Rule: q.Get("rule"), Group: group})
}

// whyNot answers GET /v1/whynot?tenant=…&rule=…&at=…&key=FIELD=VALUE.
func (d *daemon) whyNot(ctx context.Context, q url.Values) (any, error) {
	s, err := d.study(q.Get("tenant"))
	if err != nil {
		return nil, err
	}
	group, err := parseGroup(q["key"])
	if err != nil {
		return nil, err
	}
	when, err := parseMoment(q.Get("at"))
	if err != nil {
		return nil, err
	}
	return s.WhyNot(ctx, q.Get("rule"), group, when)
}
