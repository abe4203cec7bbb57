package detections

import (
	"fmt"
	"io/fs"
	"maps"
	"strconv"
	"strings"
	"time"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// Test is one of a rule's own tests: events, and the alerts that must come of
// them, no more and no fewer.
type Test struct {
	Name   string              `yaml:"name,required"`
	Params map[string]any      `yaml:"params"`
	Lists  map[string][]string `yaml:"lists"` // what lists hold in this test
	Events []TestEvents        `yaml:"events"`
	File   string              `yaml:"file"` // events in JSON lines beside the rule file; they arrive first
	Alerts []ExpectAlert       `yaml:"alerts,required"`
}

// ExpectAlert is an alert that a test expects. What is absent is not compared.
type ExpectAlert struct {
	Group    map[string]string `yaml:"group"`
	Count    int               `yaml:"count"`
	Severity Severity          `yaml:"severity"`
	Late     *bool             `yaml:"late"`
	Evidence map[string]any    `yaml:"evidence"`
}

// checkTests reports tests whose bursts add up to more than a test may hold.
func (r *Rule) checkTests(d *yamldoc.Decoder) {
	tests := keyNode(r.node, "tests")
	for i, t := range r.Tests {
		if t.written() > maxTestEvents && i < len(tests.Content) {
			d.Report(tests.Content[i], fmt.Sprintf("tests[%d].events", i), "%s", errTooManyEvents).Hint = "make the bursts smaller"
		}
	}
}

// written is the number of events that the test spells out.
func (t Test) written() int {
	n := 0
	for _, te := range t.Events {
		n += te.Count
	}
	return n
}

// TestResult is how one test ended.
type TestResult struct {
	Rule, Name string
	File       string
	Line       int
	Failures   []string // empty when it passed
}

// RunTests runs the tests of a rule. Files that tests name are read from fsys,
// which holds the rule file's folder; it may be nil.
func (s *RuleSet) RunTests(r *Rule, fsys fs.FS) []TestResult { return s.runTests(r, fsys, nil) }

func (s *RuleSet) runTests(r *Rule, fsys fs.FS, cover *coverage) []TestResult {
	out := make([]TestResult, 0, len(r.Tests))
	tests := keyNode(r.node, "tests")
	for i, t := range r.Tests {
		res := TestResult{Rule: r.ID, Name: t.Name, File: r.File()}
		if i < len(tests.Content) {
			res.Line = tests.Content[i].Line
		}
		alerts, err := s.runTest(r, t, fsys, cover)
		if err != nil {
			res.Failures = []string{err.Error()}
		} else {
			res.Failures = t.compare(alerts)
		}
		out = append(out, res)
	}
	return out
}

func (s *RuleSet) runTest(r *Rule, t Test, fsys fs.FS, cover *coverage) ([]Alert, error) {
	var alerts []Alert
	opts := Options{OnChange: func(c Change) {
		if c.Transition == Resolved && c.Alert.Rule == r.ID {
			alerts = append(alerts, c.Alert)
		}
	}, Now: func() time.Time { return testStart.AddDate(10, 0, 0) }}
	if len(t.Params) > 0 {
		opts.Params = map[string]map[string]any{r.ID: t.Params}
	}
	set := s.around(r)
	set.Exceptions = nil // a test is of the rule
	lists, err := t.lists(set.lists)
	if err != nil {
		return nil, err
	}
	set.lists = lists
	e, err := NewEngine("test", set, opts)
	if err != nil {
		return nil, err
	}
	if cover != nil {
		cover.attach(e, set.lists)
	}
	events, err := t.expand(fsys)
	if err != nil {
		return nil, err
	}
	for i := range events {
		e.Ingest(&events[i])
	}
	if n := e.Stats().Future; n > 0 {
		return nil, fmt.Errorf("%d events are stamped in the future", n)
	}
	e.Finish()
	e.tellWhole() // a state lasts until it is changed back
	for _, a := range e.OpenAlerts() {
		if a.Rule == r.ID {
			alerts = append(alerts, a)
		}
	}
	if re, bad := e.Stats().RuleErrors[r.ID]; bad {
		return nil, fmt.Errorf("the rule failed to evaluate %d times: %s", re.Count, re.Last)
	}
	return alerts, nil
}

// lists are those of the rules with what the test puts into some.
func (t Test) lists(of Lists) (Lists, error) {
	out := maps.Clone(of)
	for name, entries := range t.Lists {
		if of[name] == nil {
			return nil, fmt.Errorf("lists: no list is called %s%s", name, diag.DidYouMean(name, of.Names()))
		}
		out[name] = NewList(entries...)
	}
	return out, nil
}

// around is a rule together with those whose signals or lists it reads.
func (s *RuleSet) around(r *Rule) *RuleSet {
	out := &RuleSet{Exceptions: s.Exceptions, lists: s.lists, levels: s.levels}
	needed := map[*Rule]bool{}
	var add func(r *Rule)
	add = func(r *Rule) {
		if needed[r] {
			return
		}
		needed[r] = true
		for _, o := range s.Rules {
			if s.reads(r, o) {
				add(o)
			}
		}
	}
	add(r)
	for _, o := range s.Rules {
		if needed[o] {
			out.Rules = append(out.Rules, o)
		}
	}
	return out
}

// compare says how the alerts differ from the expected ones.
func (t Test) compare(got []Alert) []string {
	var failures []string
	left := append([]Alert(nil), got...)
	for _, want := range t.Alerts {
		found := -1
		var near []string
		for i, a := range left {
			diffs := want.differences(a)
			if len(diffs) == 0 {
				found = i
				break
			}
			near = append(near, fmt.Sprintf("alert%s: %s", forGroup(a.Group), strings.Join(diffs, "; ")))
		}
		if found >= 0 {
			left = append(left[:found], left[found+1:]...)
			continue
		}
		msg := fmt.Sprintf("expected an alert%s, none came", forGroup(want.Group))
		if len(near) > 0 {
			msg += " (" + strings.Join(near, " · ") + ")"
		}
		failures = append(failures, msg)
	}
	for _, a := range left {
		failures = append(failures, fmt.Sprintf("unexpected alert%s with %d events, opened %s after the start",
			forGroup(a.Group), a.Count, a.OpenedAt.Sub(testStart)))
	}
	return failures
}

// forGroup writes " for ip=198.51.100.7, user_id=…"; "" when there is no key.
func forGroup(group map[string]string) string {
	parts := make([]string, 0, len(group))
	for _, k := range keys(group) {
		v := group[k]
		if v == "" || strings.ContainsAny(v, " ,=\"") || strconv.Quote(v) != `"`+v+`"` {
			v = strconv.Quote(v)
		}
		parts = append(parts, k+"="+v)
	}
	if len(parts) == 0 {
		return ""
	}
	return " for " + strings.Join(parts, ", ")
}

func (want ExpectAlert) differences(a Alert) []string {
	var out []string
	for k, v := range want.Group {
		if a.Group[k] != v {
			out = append(out, fmt.Sprintf("%s is %q, expected %q", k, a.Group[k], v))
		}
	}
	if want.Count != 0 && want.Count != a.Count {
		out = append(out, fmt.Sprintf("count is %d, expected %d", a.Count, want.Count))
	}
	if want.Severity != "" && want.Severity != a.Severity {
		out = append(out, fmt.Sprintf("severity is %s, expected %s", a.Severity, want.Severity))
	}
	if want.Late != nil && *want.Late != a.Late {
		out = append(out, fmt.Sprintf("late is %v, expected %v", a.Late, *want.Late))
	}
	for k, v := range want.Evidence {
		if g, w := fmt.Sprint(a.Evidence[k]), fmt.Sprint(v); g != w {
			out = append(out, fmt.Sprintf("evidence %s is %s, expected %s", k, g, w))
		}
	}
	return out
}
