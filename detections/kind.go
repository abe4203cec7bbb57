package detections

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// kindKeys says which keys belong to a kind of rule: those it needs and those it
// may have, of the keys that not every kind has.
var kindKeys = map[Kind]struct{ needs, may string }{
	Match:     {"where", "group_by missing_key"},
	Aggregate: {"where having window", "group_by missing_key"},
	Baseline:  {"where having window", "group_by missing_key"},
	Sequence:  {"steps within", "where group_by missing_key ordered"},
	Absence:   {"after expect within", "where group_by missing_key"},
	FirstSeen: {"where value per", "having learn forget missing_key"},
	State:     {"where value when", "key missing_key"},
}

// ownKeys are the keys that not every kind has, in the order of a rule.
var ownKeys = strings.Fields("where group_by missing_key window having steps ordered within after expect value per learn forget key when")

// checkKind reports keys that the kind of rule needs or that have no effect on it.
func (r *Rule) checkKind(d *yamldoc.Decoder) {
	kind := r.Kind()
	needs, may := strings.Fields(kindKeys[kind].needs), strings.Fields(kindKeys[kind].may)
	contains := func(list []string, key string) bool {
		for _, k := range list {
			if k == key {
				return true
			}
		}
		return false
	}
	for _, key := range ownKeys {
		n := keyNode(r.node, key)
		given := n != r.node
		switch {
		case !given && contains(needs, key) && key == "window":
			d.Report(keyNode(r.node, "having"), "having", "needs a window").Hint = "add for instance window: 1h"
		case !given && contains(needs, key):
			d.Report(r.node, "", "key %s is missing", key).Hint = fmt.Sprintf("a %s rule needs %s", kind, strings.Join(needs, ", "))
		case given && key == "window" && kind == Match:
			d.Report(n, key, "has no effect without having").Hint = "add having, or use quiet to say when an alert resolves"
		case given && !contains(needs, key) && !contains(may, key):
			d.Report(n, key, "has no effect in a %s rule", kind).Hint = fmt.Sprintf("a %s rule has %s", kind, strings.Join(append(needs, may...), ", "))
		}
	}
	if r.On != "events" && r.On != "signals" {
		d.Report(keyNode(r.node, "on"), "on", "must be events or signals")
	}
	switch kind {
	case Sequence:
		r.checkSteps(d)
	case Baseline:
		if r.Window > 0 && r.Window < 10*time.Minute {
			d.Report(keyNode(r.node, "window"), "window", "a baseline needs a window of 10m or more")
		}
	}
	if p := r.Publish; p != nil {
		n := keyNode(r.node, "publish")
		if p.List != "" && !listPattern.MatchString(p.List) {
			d.Report(keyNode(n, "list"), "publish.list", "%q must be lower-case words joined by _", p.List)
		}
		r.checkLength(d, n, "ttl", "publish.ttl", p.TTL)
	}
}

var listPattern = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)

// checkLength reports a length of time that is out of bounds.
func (r *Rule) checkLength(d *yamldoc.Decoder, in *yaml.Node, key, name string, v time.Duration) {
	switch {
	case v > 0 && v < minWindow:
		d.Report(keyNode(in, key), name, "is shorter than %s", minWindow).Hint = "write for instance " + key + ": 10m"
	case v > maxWindow:
		d.Report(keyNode(in, key), name, "is longer than %s", yamldoc.FormatDuration(maxWindow))
	}
}

var stepPattern = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// maxSteps bounds the steps of a sequence, maxTimes the events of one.
const (
	maxSteps = 16
	maxTimes = 100
)

func (r *Rule) checkSteps(d *yamldoc.Decoder) {
	n := keyNode(r.node, "steps")
	switch {
	case len(r.Steps) < 2:
		d.Report(n, "steps", "a sequence has at least two steps").Hint = "for one kind of event use where, or having with a window"
	case len(r.Steps) > maxSteps:
		d.Report(n, "steps", "a sequence has at most %d steps", maxSteps)
	}
	seen := map[string]bool{}
	for i, s := range r.Steps {
		if i >= len(n.Content) || s.Name == "" {
			continue // reported already
		}
		at, key := n.Content[i], fmt.Sprintf("steps[%d].", i)
		switch {
		case !stepPattern.MatchString(s.Name):
			d.Report(keyNode(at, "name"), key+"name", "%q must be a lower-case word", s.Name)
		case isFieldName(s.Name):
			d.Report(keyNode(at, "name"), key+"name", "%q is the name of an event field", s.Name).Hint = "call it after what happens, for instance invite"
		case seen[s.Name]:
			d.Report(keyNode(at, "name"), key+"name", "two steps are called %s", s.Name)
		}
		seen[s.Name] = true
		if s.Times < 0 || s.Times > maxTimes {
			d.Report(keyNode(at, "times"), key+"times", "must be 1 to %d", maxTimes)
		}
	}
}

// checkNetwork reports rules of a set that wait for each other: a rule on
// signals, or one that looks up a list that another publishes, is judged after
// what it reads. It gives each rule its level.
func (s *RuleSet) checkNetwork() diag.Problems {
	var problems diag.Problems
	s.levels = map[string]int{}
	published := map[string]bool{}
	for _, r := range s.Rules {
		if r.Publish != nil {
			published[r.Publish.List] = true
		}
	}
	open := map[string]bool{}
	var levelOf func(r *Rule) (int, *Rule)
	levelOf = func(r *Rule) (int, *Rule) {
		if l, ok := s.levels[r.ID]; ok {
			return l, nil
		}
		if open[r.ID] {
			return 0, r
		}
		open[r.ID] = true
		defer delete(open, r.ID)
		level := 0
		waits := r.On == "signals" || slices.ContainsFunc(r.named, func(l string) bool { return published[l] })
		for _, o := range s.Rules {
			if !waits {
				break
			}
			if !s.reads(r, o) {
				continue
			}
			l, cycle := levelOf(o)
			if cycle != nil {
				return 0, cycle
			}
			level = max(level, l+1)
		}
		s.levels[r.ID] = level
		return level, nil
	}
	for _, r := range s.Rules {
		if _, cycle := levelOf(r); cycle != nil {
			n := keyNode(r.node, "id")
			problems = append(problems, r.src.Problem(n.Line, n.Column, len(r.ID), r.ID, "the rule waits for itself: what it reads depends on what it says").
				WithHint("name the rules whose signals it reads: rule == \"…\", and do not look up a list that it fills"))
			s.levels[r.ID] = 0
		}
	}
	return problems
}

// reads reports whether rule r needs what rule o says.
func (s *RuleSet) reads(r, o *Rule) bool {
	if o.Publish != nil {
		for _, l := range r.named {
			if l == o.Publish.List {
				return true
			}
		}
	}
	if r.On != "signals" || r == o && r.sources == nil {
		return false
	}
	if r.sources == nil { // any rule on events
		return o.On != "signals"
	}
	for _, id := range r.sources {
		if id == o.ID {
			return true
		}
	}
	return false
}
