package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"portcullis/detections"
	"portcullis/logstream"
	"portcullis/responders"
	"portcullis/responders/control"
)

// whatIf is what `replay --respond` prints after the alerts, one object a line:
// what would have been tightened when, and who would have met it.
type whatIf struct {
	WhatIf responders.Would `json:"what_if"`
}

// traffic is what a replay remembers of a tenant's events, to tell who would have
// met a response: logins that succeeded, and second factors that were passed.
type traffic struct {
	logins []seenLogin
	passed map[string][]time.Time // by user
	texts  map[string]string      // each text once
}

type seenLogin struct {
	id string
	control.Login
}

// secondFactor is the event of a user who passed a second factor.
const secondFactor = "gd_auth_succeed"

var (
	userIDPath    = mustPath("user_id")
	ipPath        = mustPath("ip")
	agentPath     = mustPath("user_agent")
	ja3Path       = mustPath("security_context.ja3")
	ja4Path       = mustPath("security_context.ja4")
	asnPath       = mustPath("security_context.asn")
	countryPath   = mustPath("location_info.country_code")
	successLogins = "successful_login"
)

// see remembers an event if it is of that kind.
func (t *traffic) see(ev *logstream.Event, lists detections.Lists) {
	text := func(p logstream.Path) string {
		s, _ := ev.LookupString(p)
		if s == "" {
			return ""
		}
		kept, known := t.texts[s]
		if !known {
			kept = strings.Clone(s)
			t.texts[kept] = kept
		}
		return kept
	}
	switch {
	case ev.Clock == logstream.Unknown:
	case ev.Type == secondFactor:
		if user := text(userIDPath); user != "" {
			t.passed[user] = append(t.passed[user], ev.Time)
		}
	case lists[successLogins] != nil && lists[successLogins].Contains(ev.Type):
		t.logins = append(t.logins, seenLogin{strings.Clone(ev.ID), control.Login{At: ev.Time, User: text(userIDPath), IP: text(ipPath),
			JA3: text(ja3Path), JA4: text(ja4Path), ASN: text(asnPath), Country: text(countryPath), UserAgent: text(agentPath)}})
	}
}

// ordered are the logins in order of time, each once.
func (t *traffic) ordered() []control.Login {
	slices.SortFunc(t.logins, func(a, b seenLogin) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.id, b.id)) })
	out := make([]control.Login, 0, len(t.logins))
	for i, l := range t.logins {
		if i == 0 || l.id != t.logins[i-1].id {
			out = append(out, l.Login)
		}
	}
	return out
}

// wouldHave plays the responses to each tenant's alerts.
func (r *replayer) wouldHave(ctx context.Context, alerts []detections.Alert) ([]responders.Would, error) {
	var out []responders.Would
	for _, name := range sortedKeys(r.engines) {
		var mine []detections.Alert
		for _, a := range alerts {
			if a.Tenant == name {
				mine = append(mine, a)
			}
		}
		t, limits := responders.Tenant{Name: name}, map[string]responders.Budget{}
		if c := r.tenantConfig(name); c != nil {
			var err error
			if t, err = responderTenant(c); err != nil {
				return nil, err
			}
			limits = limitsOf(c)
		}
		seen := r.traffic[name]
		would, err := responders.NewWhatIf(t, r.content.Policies, r.content.Checkers(), limits).Play(ctx, mine, seen.ordered(), seen.passed)
		if err != nil {
			return nil, fmt.Errorf("play the responses of tenant %s: %w", name, err)
		}
		out = append(out, would...)
	}
	return out, nil
}

// printWhatIf prints what would have been in force.
func (r *replayer) printWhatIf(ctx context.Context, std stdio, alerts []detections.Alert) error {
	would, err := r.wouldHave(ctx, alerts)
	if err != nil {
		return err
	}
	if r.flags.output == "json" {
		for _, w := range would {
			if err := printJSON(std.out, whatIf{w}); err != nil {
				return err
			}
		}
		return nil
	}
	if len(would) == 0 {
		_, err := fmt.Fprintln(std.out, "\nNothing would have been tightened.")
		return err
	}
	table := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "\nWOULD HOLD\tON\tFROM\tUNTIL\tFOR\tPOLICY\tLOGINS MET\tUSERS\tSURELY HEALTHY")
	for _, w := range would {
		what := w.Control
		if w.Asked {
			what += " (asked)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", what, printable(cmp.Or(w.Level, w.Subject, "-")), w.From.Format("2006-01-02 15:04:05"),
			w.Until.Format("15:04:05"), w.Until.Sub(w.From).Round(time.Second), w.Policy, w.Hit.Logins, w.Hit.Users, w.Hit.Confirmed)
	}
	return table.Flush()
}
