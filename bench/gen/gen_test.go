package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/catalog"
	"portcullis/detections"
	"portcullis/logstream"
)

// small is enough traffic for every share and every attack to show.
var small = Options{Events: 20_000, Users: 4_000, Addresses: 6_000, Attacks: 6, Seed: 1}

func generate(t *testing.T, o Options) []byte {
	t.Helper()
	g, err := New(o)
	require.NoError(t, err)
	var out []byte
	for g.Next() {
		out = g.Append(out)
	}
	return out
}

func decode(t *testing.T, lines []byte) []logstream.Event {
	t.Helper()
	var events []logstream.Event
	for line := range bytes.Lines(lines) {
		e, err := logstream.Decode(line)
		require.NoError(t, err, "%s", line)
		events = append(events, e)
	}
	return events
}

func TestSameOptionsGiveTheSameBytes(t *testing.T) {
	first := generate(t, small)
	require.Equal(t, first, generate(t, small))
	other := small
	other.Seed = 2
	require.NotEqual(t, first, generate(t, other))
}

func TestOptionsThatDoNotFitAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(o *Options)
		says   string
	}{
		"no events":                       {func(o *Options) { o.Events = 0 }, "0 events"},
		"no users":                        {func(o *Options) { o.Users = 0 }, "0 users"},
		"more addresses than can be made": {func(o *Options) { o.Addresses = maxAddresses + 1 }, "addresses"},
		"attacks below zero":              {func(o *Options) { o.Attacks = -1 }, "attacks"},
		"more attacks than events":        {func(o *Options) { o.Events = 100 }, "do not fit"},
	} {
		t.Run(name, func(t *testing.T) {
			o := small
			c.change(&o)
			_, err := New(o)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestEveryLineIsOneEnvelopeWithTheCommonMembers(t *testing.T) {
	lines := generate(t, small)
	events := decode(t, lines)
	require.Len(t, events, small.Events)
	ids := map[string]bool{}
	last := ""
	for i, line := range bytes.SplitAfter(bytes.TrimSuffix(lines, []byte("\n")), []byte("\n")) {
		var envelope struct {
			LogID string `json:"log_id"`
			Data  struct {
				LogID       string `json:"log_id"`
				Type        string `json:"type"`
				Description string `json:"description"`
				Tenant      string `json:"tenant_name"`
				Environment string `json:"environment_name"`
				IP          string `json:"ip"`
			} `json:"data"`
		}
		require.NoError(t, json.Unmarshal(line, &envelope), "%s", line)
		d := envelope.Data
		require.Equal(t, envelope.LogID, d.LogID)
		for _, text := range []string{d.LogID, d.Type, d.Description, d.Tenant, d.Environment, d.IP} {
			require.NotEmpty(t, text, "%s", line)
		}
		require.Greater(t, d.LogID, last, "log_ids rise")
		last = d.LogID
		ids[d.LogID] = true
		logged, ok := events[i].LogIDTime()
		require.True(t, ok, "the log_id holds a stamp")
		require.False(t, events[i].Time.After(logged), "an event is logged after it happened")
		require.Less(t, logged.Sub(events[i].Time).Seconds(), 20.0)
	}
	require.Len(t, ids, small.Events, "no log_id comes twice")
}

func TestTheMixIsAsDescribed(t *testing.T) {
	sum := 0
	for _, s := range traffic {
		sum += s.share
	}
	require.Equal(t, total, sum, "the shares add up")

	o := small
	o.Attacks = 0
	lines := generate(t, o)
	require.InDelta(t, 1240, len(lines)/o.Events, 60, "bytes an event")
	count, users, addresses := map[string]int{}, map[string]bool{}, map[string]bool{}
	user, ip := path(t, "user_id"), path(t, "ip")
	for _, e := range decode(t, lines) {
		count[e.Type]++
		if id, _ := e.LookupString(user); id != "" {
			users[id] = true
		}
		address, _ := e.LookupString(ip)
		addresses[address] = true
	}
	for _, s := range traffic {
		want := float64(s.share) / total * float64(o.Events)
		require.InDelta(t, want, count[s.code], 8+want/5, s.code)
	}
	require.Greater(t, len(users), o.Users*9/10)
	require.LessOrEqual(t, len(users), o.Users)
	require.Greater(t, len(addresses), o.Addresses*9/10)
	require.LessOrEqual(t, len(addresses), o.Addresses)
}

func path(t *testing.T, text string) logstream.Path {
	t.Helper()
	p, err := logstream.ParsePath(text)
	require.NoError(t, err)
	return p
}

func TestTheAttacksRaiseAlertsOfTheShippedRules(t *testing.T) {
	usual := alerts(t, func(o *Options) { o.Attacks = 0 })
	raised := alerts(t, func(*Options) {})
	for _, rule := range []string{"credential-stuffing-ip", "sms-bombarding-user", "suspicious-ip-success"} {
		require.Zero(t, usual[rule], "%s without an attack", rule)
		require.GreaterOrEqual(t, raised[rule], 2, rule)
	}
}

// alerts counts the alerts of the shipped rules, by rule.
func alerts(t *testing.T, change func(*Options)) map[string]int {
	t.Helper()
	lists, err := detections.ReadLists(catalog.FS, "lists")
	require.NoError(t, err)
	files, err := detections.ReadDir(catalog.FS, "rules", "")
	require.NoError(t, err)
	rules, err := detections.Load(files, lists)
	require.NoError(t, err)
	raised := map[string]int{}
	engine, err := detections.NewEngine("acme-prod", rules, detections.Options{OnChange: func(c detections.Change) {
		if c.Transition == detections.Opened {
			raised[c.Alert.Rule]++
		}
	}})
	require.NoError(t, err)
	o := small
	change(&o)
	events := decode(t, generate(t, o))
	for i := range events {
		engine.Ingest(&events[i])
	}
	engine.Finish()
	require.Zero(t, engine.Stats().Future)
	require.Zero(t, engine.Stats().Late)
	return raised
}

// TestEventsFollowThePublishedSchema compares with Auth0's own document, which
// is not part of the project, where it lies beside the checkout.
func TestEventsFollowThePublishedSchema(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "auth0-logs-schema.json"))
	if err != nil {
		t.Skip("the published schema is not beside the checkout")
	}
	var doc struct {
		Components struct{ Schemas map[string]schema }
	}
	require.NoError(t, json.Unmarshal(data, &doc))
	seen := map[string]int{}
	for line := range bytes.Lines(generate(t, small)) {
		var envelope struct{ Data map[string]any }
		require.NoError(t, json.Unmarshal(line, &envelope))
		code := envelope.Data["type"].(string)
		if seen[code]++; seen[code] <= 20 {
			s, ok := doc.Components.Schemas[code]
			require.True(t, ok, code)
			s.check(t, code, envelope.Data, true)
		}
	}
	require.Len(t, seen, len(shapes)-countRare(seen), "every frequent type comes")
}

// schema is as much of JSON Schema as tells required and known members.
type schema struct {
	Properties map[string]schema
	Required   []string
	Items      *schema
}

func (s schema) check(t *testing.T, at string, v any, closed bool) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range s.Required {
			require.Contains(t, v, name, at)
		}
		for name, member := range v {
			if closed {
				require.Contains(t, s.Properties, name, at)
			}
			if known, ok := s.Properties[name]; ok {
				known.check(t, at+"."+name, member, false)
			}
		}
	case []any:
		for _, e := range v {
			if s.Items != nil {
				s.Items.check(t, at+"[]", e, false)
			}
		}
	}
}

// countRare is how many types are too rare to be sure to come.
func countRare(seen map[string]int) int {
	n := 0
	for code, s := range shapes {
		if s.share < 10 && seen[code] == 0 {
			n++
		}
	}
	return n
}

func TestTheCommandWritesAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.jsonl")
	var out, msgs strings.Builder
	args := []string{"--events", "500", "--users", "50", "--addresses", "60", "--attacks", "1", "-o", file}
	require.Zero(t, run(args, &out, &msgs), msgs.String())
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, 500, bytes.Count(data, []byte("\n")))
	require.Empty(t, out.String())

	require.Equal(t, 2, run([]string{"--events", "none"}, &out, &msgs))
	require.Equal(t, 2, run([]string{"--events", "0"}, &out, &msgs))
	require.Equal(t, 2, run([]string{"file"}, &out, &msgs))
	require.Equal(t, 1, run([]string{"-o", filepath.Join(file, "below", "a file")}, &out, &msgs))
}
