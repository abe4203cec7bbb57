package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/robfig/cron/v3"
)

// runDigest tells on a schedule how things stand, so that quiet days are known
// to be quiet. It returns when ctx ends.
func (d *daemon) runDigest(ctx context.Context) error {
	schedule := cron.New()
	if _, err := schedule.AddFunc(d.cfg.Digest, d.digest); err != nil {
		return fmt.Errorf("digest %q: %w", d.cfg.Digest, err)
	}
	schedule.Start()
	<-ctx.Done()
	<-schedule.Stop().Done() // one that runs finishes
	return nil
}

// digest logs one line for each tenant.
func (d *daemon) digest() {
	for _, t := range d.tenants {
		h := t.health(d.opts.now())
		attrs := []any{"feed", string(h.Verdict), "unreadable", d.letters.Count()}
		if len(h.Reasons) > 0 {
			attrs = append(attrs, "why", strings.Join(h.Reasons, "; "))
		}
		if in := t.current.Load(); in != nil {
			if s := in.stats.Load(); s != nil {
				events := int64(0)
				for _, n := range s.Events {
					events += n
				}
				leftOut, swallowed := int64(0), int64(0)
				for _, x := range s.Engine.Exceptions {
					leftOut, swallowed = leftOut+x.Events, swallowed+x.Alerts
				}
				attrs = append(attrs, "excepted_events", leftOut, "excepted_alerts", swallowed)
				attrs = append(attrs, "events", events, "open_alerts", s.OpenAlerts, "late", s.Engine.Late, "rules_failing", len(s.Engine.RuleErrors))
			}
		}
		t.log.Info("digest", attrs...)
	}
}
