package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/responders/control"
)

// Limit is somebody's word that holds on a control ask for no more than a level
// until a time.
type Limit struct {
	Control string `yaml:"control,required"`
	Level   string `yaml:"level,required"`
	Until   string `yaml:"until,required"` // in RFC 3339
	Actor   string `yaml:"actor,required"` // who answers for it
}

// LimitsOf are the limits of a control, in the controls' own form.
func (t *Tenant) LimitsOf(name string) []control.Limit {
	var out []control.Limit
	for _, l := range t.Limits {
		if until, err := time.Parse(time.RFC3339, l.Until); err == nil && l.Control == name {
			out = append(out, control.Limit{Level: l.Level, Until: until, Actor: l.Actor})
		}
	}
	return out
}

// check reports limits whose time cannot be read.
func (l *Limit) check(d *yamldoc.Decoder, n *yaml.Node) {
	if _, err := time.Parse(time.RFC3339, l.Until); err != nil && l.Until != "" {
		d.Report(at(n, "until"), "tenants.limits.until", "%q is not a time", l.Until).Hint = "write for instance 2026-12-01T08:00:00Z"
	}
}

// checkLimits reports limits on what no control is called, or has no such level.
func (t *Tenant) checkLimits(l *Loaded, report func(n *yaml.Node, key, format string, args ...any)) {
	list := child(t.node, "limits")
	for i, limit := range t.Limits {
		n := yamldoc.Resolve(list.Content[i])
		levels, known := l.Levels[limit.Control]
		names := slices.Sorted(maps.Keys(l.Levels))
		if !known {
			report(at(n, "control"), "limits.control", "no control with levels is called %s%s; controls: %s", limit.Control, diag.DidYouMean(limit.Control, names), strings.Join(names, ", "))
			continue
		}
		if _, ok := levels.Cells[limit.Level]; !ok {
			report(at(n, "level"), "limits.level", "%s", fmt.Sprintf("%s has no level %q: one of %s", limit.Control, limit.Level, strings.Join(slices.Sorted(maps.Keys(levels.Cells)), ", ")))
		}
	}
}
