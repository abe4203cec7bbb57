package detections

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/logstream"
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

// TestEvents is one event, or a burst of them in the short form
//
//	40 × {type: fp, ip: 198.51.100.7, user_name: "user{i%12}"} over 10m from 5m
//
// in which {i} is the number of the event, from 0, {i%12} the rest of dividing
// it by 12 and {i/12} the quotient. Times count from the start of the test: an
// event without one comes a second after the event before it; "from 5m", or at: 5m
// of one event, sets it, and "after 5m", or after: 5m, counts from where the
// events before it ended. "jitter 10s" moves each stamp by up to so much, the same
// way each time. Events arrive in the order in which they are written; "late 1h", or
// late: 1h, has them arrive so long after their stamps.
type TestEvents struct {
	Fields map[string]any
	Count  int
	Over   time.Duration
	From   *time.Duration
	After  time.Duration
	Jitter time.Duration
	Late   time.Duration
}

// testStart is when the events of a test begin, a Monday morning.
var testStart = time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)

// maxBurst and maxTestEvents bound the events of one burst and of one test.
const (
	maxBurst      = 100_000
	maxTestEvents = 1_000_000
)

var errTooManyEvents = fmt.Errorf("has more than %d events", maxTestEvents)

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

var burst = regexp.MustCompile(`(?s)^\s*(\d+)\s*[×x*]\s*(\{.*\})((?:\s+[a-z]+\s+\S+)*)\s*$`)

// DecodeNode reads either form.
func (t *TestEvents) DecodeNode(d *yamldoc.Decoder, n *yaml.Node, key string) {
	t.Count = 1
	if n.Kind == yaml.MappingNode {
		d.Decode(n, &t.Fields, key)
		for word, into := range map[string]string{"at": "from", "after": "after", "late": "late"} {
			if text, ok := t.Fields[word].(string); ok {
				if err := t.timing(into, text); err != nil {
					d.Report(keyNode(n, word), key+"."+word, "%s", err).Hint = "write a length of time, for instance " + word + ": 5m"
				}
				delete(t.Fields, word)
			}
		}
		return
	}
	m := burst.FindStringSubmatch(n.Value)
	if n.Kind != yaml.ScalarNode || m == nil {
		d.Report(n, key, "must be an event or a burst").Hint = `a burst is written 40 × {type: fp, user_name: "user{i}"} over 10m`
		return
	}
	t.Count, _ = strconv.Atoi(m[1])
	if t.Count < 1 || t.Count > maxBurst {
		d.Report(n, key, "a burst has 1 to %d events", maxBurst)
		return
	}
	// {i} inside an unquoted value is not YAML: hide it while parsing.
	text := index.ReplaceAllString(m[2], "⟦$1⟧")
	if err := yaml.Unmarshal([]byte(text), &t.Fields); err != nil {
		d.Report(n, key, "the event of the burst is not valid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	words := strings.Fields(m[3])
	for i := 0; i+1 < len(words); i += 2 {
		if err := t.timing(words[i], words[i+1]); err != nil {
			d.Report(n, key, "%s", err)
			return
		}
	}
}

// timing sets one of the times of a burst.
func (t *TestEvents) timing(word, text string) error {
	v, err := yamldoc.ParseDuration(text)
	if err != nil && strings.Trim(text, "0hms") == "" {
		v, err = 0, nil
	}
	if err != nil {
		return err
	}
	switch word {
	case "over":
		t.Over = v
	case "from":
		t.From = &v
	case "after":
		t.After = v
	case "jitter":
		t.Jitter = v
	case "late":
		t.Late = v
	default:
		return fmt.Errorf("unknown word %s%s: a burst may have over, from, after, jitter and late", word,
			diag.DidYouMean(word, []string{"over", "from", "after", "jitter", "late"}))
	}
	return nil
}

var (
	index  = regexp.MustCompile(`\{(i(?:[%/]\d+)?)\}`)
	hidden = regexp.MustCompile(`⟦i([%/])?(\d+)?⟧|\{i([%/])?(\d+)?\}`)
)

// fill writes the event's number into the texts of a value.
func fill(v any, i int) any {
	switch v := v.(type) {
	case string:
		return hidden.ReplaceAllStringFunc(v, func(s string) string {
			m := hidden.FindStringSubmatch(s)
			op, num := m[1]+m[3], m[2]+m[4]
			n, err := strconv.Atoi(num)
			switch {
			case op == "%" && err == nil && n > 0:
				return strconv.Itoa(i % n)
			case op == "/" && err == nil && n > 0:
				return strconv.Itoa(i / n)
			}
			return strconv.Itoa(i)
		})
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = fill(e, i)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for k, e := range v {
			out[k] = fill(e, i)
		}
		return out
	}
	return v
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

// expand writes the test's events out.
func (t Test) expand(fsys fs.FS) ([]logstream.Event, error) {
	var events []logstream.Event
	written := t.written()
	if written > maxTestEvents {
		return nil, errTooManyEvents
	}
	if t.File != "" {
		if fsys == nil {
			return nil, errors.New("file: no folder to read " + t.File + " from")
		}
		name := path.Clean(t.File)
		if !fs.ValidPath(name) {
			return nil, fmt.Errorf("file: %s is outside the rule's folder: put the events beside the rule file", t.File)
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		var bad error
		logstream.DecodeAll(data, func(ev logstream.Event, err error) bool {
			if bad = err; bad == nil && len(events)+written >= maxTestEvents {
				bad = errTooManyEvents
			}
			events = append(events, ev)
			return bad == nil
		})
		if bad != nil {
			return nil, fmt.Errorf("read events of %s: %w", t.File, bad)
		}
	}
	spelled, err := t.spell()
	return append(events, spelled...), err
}

// spell writes out the events of the test in the order in which they arrive.
func (t Test) spell() ([]logstream.Event, error) {
	type arrival struct {
		at time.Duration
		ev logstream.Event
	}
	var arrivals []arrival
	clock, latest := time.Duration(0), time.Duration(0)
	for n, te := range t.Events {
		if te.From != nil {
			clock = *te.From
		}
		clock += te.After
		jitter := rand.New(rand.NewPCG(uint64(n), 0))
		step := time.Second
		if te.Count > 1 && te.Over > 0 {
			step = te.Over / time.Duration(te.Count)
		}
		for i := range te.Count {
			fields := maps.Clone(te.Fields)
			moved := clock
			if te.Jitter > 0 {
				moved += time.Duration(jitter.Int64N(int64(2*te.Jitter))) - te.Jitter
			}
			when := testStart.Add(moved)
			filled, _ := fill(map[string]any(fields), i).(map[string]any)
			if _, has := filled["date"]; !has {
				filled["date"] = when.Format("2006-01-02T15:04:05.000Z")
			}
			if _, has := filled["log_id"]; !has {
				filled["log_id"] = fmt.Sprintf("900%s%03d%018d%021d", when.Format("20060102150405"), when.Nanosecond()/1e6, n, i)
			}
			raw, err := json.Marshal(filled)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", n+1, err)
			}
			ev, err := logstream.Decode(raw)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", n+1, err)
			}
			if te.Late > 0 {
				arrivals = append(arrivals, arrival{moved + te.Late, ev})
			} else {
				latest = max(latest, clock)
				arrivals = append(arrivals, arrival{latest, ev})
			}
			clock += step
		}
	}
	slices.SortStableFunc(arrivals, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	events := make([]logstream.Event, len(arrivals))
	for i, a := range arrivals {
		events[i] = a.ev
	}
	return events, nil
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
