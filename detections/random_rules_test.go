package detections_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/logstream"
)

// ruleMaker writes random rules of every kind that read each other's lists and
// signals.
type ruleMaker struct {
	*rand.Rand
	ids     []string // of the rules made so far
	fills   []string // lists that they fill
	signals bool     // conditions are about signals
}

func pick[T any](m *ruleMaker, of ...T) T { return of[m.IntN(len(of))] }

var randomFields = []string{"ip", "user_name", "user_id", "user_agent", "client_id", "details.level"}

// atom is a comparison with what an event holds.
func (m *ruleMaker) atom() string {
	if m.signals {
		return pick(m, fmt.Sprintf("rule == %q", pick(m, m.ids...)), `severity in ["high", "critical"]`, fmt.Sprintf("count > %d", m.IntN(6)),
			`group.ip == "198.51.100.1"`, `exists(user_id)`, `late == false`)
	}
	switch m.IntN(9) {
	case 0, 1, 2:
		return pick(m, `type == "fp"`, `type == "s"`, `type in ["fp", "s"]`, `type in ["ss", "ferrt"]`, `type != "sapi"`)
	case 3:
		return fmt.Sprintf(`user_name %s "u%d"`, pick(m, "==", "!="), m.IntN(3))
	case 4:
		return fmt.Sprintf(`ip %s ["198.51.100.%d", "198.51.100.7"]`, pick(m, "in", "not in"), m.IntN(3))
	case 5:
		return fmt.Sprintf("details.score %s %d", pick(m, ">", "<=", "!="), m.IntN(100))
	case 6:
		return fmt.Sprintf(`details.level %s "%s"`, pick(m, "==", "!=", "<"), pick(m, "off", "low", "high"))
	case 7:
		list := pick(m, append(slices.Clone(m.fills), "vip")...)
		return fmt.Sprintf("%s %s lists.%s", pick(m, "user_agent", "ip"), pick(m, "in", "not in"), list)
	}
	return pick(m, "exists(user_id)", `any(details.tags, # == "a")`, `details.tags[*] contains "b"`, `domain(user_name) == "x"`, `is_private(ip)`)
}

// condition joins atoms.
func (m *ruleMaker) condition(depth int) string {
	switch n := m.IntN(6); {
	case depth == 0 || n < 2:
		return m.atom()
	case n == 2:
		return "not (" + m.condition(depth-1) + ")"
	case n == 3:
		return "(" + m.condition(depth-1) + " || " + m.condition(depth-1) + ")"
	}
	return m.condition(depth-1) + " && " + m.condition(depth-1)
}

// measure compares an aggregate.
func (m *ruleMaker) measure() string {
	field, score := pick(m, randomFields...), "details.score"
	if m.signals {
		field, score = pick(m, "rule", "group.ip", "group.user_id", "severity"), "count"
	}
	switch m.IntN(8) {
	case 0, 1, 2:
		return fmt.Sprintf("count() %s %d", pick(m, ">", ">=", "<", "=="), 1+m.IntN(6))
	case 3:
		return fmt.Sprintf("distinct(%s) %s %d", field, pick(m, ">", ">=", "<="), 1+m.IntN(3))
	case 4:
		return fmt.Sprintf("count(%s) * %d %s count()", m.atom(), 1+m.IntN(4), pick(m, "<", ">="))
	case 5:
		return fmt.Sprintf("%s(%s) %s %d", pick(m, "avg", "max", "min", "median"), score, pick(m, ">", "<"), m.IntN(100))
	case 6:
		return fmt.Sprintf("sum(%s) / count() > %d", score, m.IntN(80))
	}
	return fmt.Sprintf("%s(%s) != %s(%s)", pick(m, "first", "last"), field, pick(m, "first", "last"), field)
}

func (m *ruleMaker) having() string {
	switch m.IntN(4) {
	case 0:
		return m.measure() + " && " + m.measure()
	case 1:
		return fmt.Sprintf("count() >= %d && (%s || %s)", 1+m.IntN(4), m.measure(), m.measure())
	}
	return m.measure()
}

// span is a length of time; minutes, now and then with seconds.
func (m *ruleMaker) span(most int) string {
	return fmt.Sprintf("%ds", 60*(1+m.IntN(most))+pick(m, 0, 0, 0, 1, 30))
}

func (m *ruleMaker) keys() string {
	keys := randomFields
	if m.signals {
		keys = []string{"rule", "group.ip", "user_id", "severity"}
	}
	switch m.IntN(4) {
	case 0:
		return "[]"
	case 1:
		return fmt.Sprintf("[%s, %q]", keys[0], pick(m, keys[1:]...))
	case 2:
		if !m.signals {
			return `["network(ip, 30)"]`
		}
	}
	return fmt.Sprintf("[%q]", pick(m, keys...))
}

// rule writes one rule.
func (m *ruleMaker) rule() string {
	id := fmt.Sprintf("r%d", len(m.ids))
	m.signals = len(m.ids) > 2 && m.IntN(5) == 0
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("id: %s\ntitle: %s\nseverity: %s", id, id, pick(m, "low", "high", "critical"))
	if m.signals {
		line("on: signals")
	}
	where := func() { line("where: %q", m.condition(2)) }
	group := func() {
		line("group_by: %s", m.keys())
		if m.IntN(5) == 0 {
			line("missing_key: group")
		}
	}
	quiet := func() {
		if m.IntN(3) > 0 {
			line("quiet: %s", m.span(8))
		}
	}
	value := pick(m, "user_agent", "client_id", "details.level")
	if m.signals {
		value = pick(m, "rule", "user_id")
	}
	switch m.IntN(8) {
	case 0:
		where()
		group()
		quiet()
	case 1, 2:
		where()
		group()
		quiet()
		line("window: %s\nhaving: %q", m.span(15), m.having())
	case 3:
		where()
		group()
		quiet()
		of := pick(m, "count()", "distinct("+value+")", "count("+m.atom()+")")
		line("window: %dm\nhaving: %q", 10+m.IntN(10), fmt.Sprintf("count() >= %d && %s", 1+m.IntN(3), pick(m,
			fmt.Sprintf("baseline(%s, %dh).z > 0.5", of, 4+m.IntN(4)), fmt.Sprintf("%s > 1.2 * baseline(%s, %dh).mean", of, of, 4+m.IntN(4)))))
	case 4:
		if m.IntN(2) == 0 {
			where()
		}
		group()
		quiet()
		ordered := m.IntN(3) > 0
		if !ordered {
			line("ordered: false")
		}
		line("within: %s\nsteps:", m.span(12))
		for i := range 2 + m.IntN(2) {
			cond := m.condition(1)
			if i > 0 && ordered && !m.signals && m.IntN(2) == 0 {
				cond += fmt.Sprintf(" && %s %s one0.%s", value, pick(m, "==", "!="), value)
			}
			line("  - {name: one%d, where: %q, times: %d}", i, cond, 1+m.IntN(3))
		}
	case 5:
		group()
		quiet()
		line("after: %q\nexpect: %q\nwithin: %s", m.condition(1), m.condition(1), m.span(8))
	case 6:
		where()
		quiet()
		line("value: %s\nper: %s\nlearn: %s\nforget: %dm", value, pick(m, "[ip]", `["user_id"]`, "[]"), m.span(20), 30+m.IntN(60))
		if !m.signals && m.IntN(3) == 0 {
			line("having: %q", pick(m, "travel_km > 300", "travel_kmh > 900 && travel_km > 100", "travel_hours < 0.2"))
		}
	case 7:
		where()
		quiet()
		line("key: %s\nvalue: %s\nwhen: %q", pick(m, "[ip]", `["client_id"]`, "[]"), value,
			pick(m, `now == "off"`, `now != was`, `now == "off" && was != "off"`, `was == "c1" || now == "ua3"`, `now in ["r0", "r1", "low"]`))
		line("evidence: {was: was, now: now}")
	}
	if m.IntN(4) == 0 && !strings.Contains(b.String(), "\nkey:") {
		line("evidence: {v: %q, n: %q, l: %q}", "values("+value+")", "distinct("+value+")", "last("+value+")")
	}
	if m.IntN(6) == 0 {
		line("severity_when: [{if: %q, severity: critical}]", fmt.Sprintf("count() > %d", 2+m.IntN(5)))
	}
	if !m.signals && m.IntN(4) == 0 {
		list := fmt.Sprintf("filled%d", m.IntN(3))
		line("publish: {list: %s, value: %s, ttl: %s}", list, pick(m, "user_agent", "ip"), m.span(15))
		if !slices.Contains(m.fills, list) {
			m.fills = append(m.fills, list)
		}
	}
	return b.String()
}

// randomRules makes a set of n rules. What cannot be loaded beside the others, for
// instance because it would wait for itself, is made anew.
func randomRules(t *testing.T, rng *rand.Rand, n int) (*detections.RuleSet, string) {
	t.Helper()
	m := &ruleMaker{Rand: rng}
	lists := detections.Lists{"vip": detections.NewList("198.51.100.2", "ua3")}
	var text string
	var set *detections.RuleSet
	for tries := 0; len(m.ids) < n; tries++ {
		require.Less(t, tries, 100*n, "no rule can be loaded:\n%s", text)
		fills := slices.Clone(m.fills)
		next := m.rule()
		if text != "" {
			next = text + "---\n" + next
		}
		loaded, err := detections.Load([]detections.File{{Name: "random.yaml", Data: []byte(next)}}, lists)
		if err != nil {
			m.fills = fills
			continue
		}
		text, set = next, loaded
		m.ids = append(m.ids, fmt.Sprintf("r%d", len(m.ids)))
	}
	return set, text
}

// oddEvents are events of which some lack fields, or hold null, another kind of
// value or something long.
func oddEvents(t *testing.T, rng *rand.Rand, n int) []stamped {
	t.Helper()
	events := kindEvents(t, rng, n)
	for i := range events {
		var doc map[string]any
		require.NoError(t, json.Unmarshal(events[i].ev.Raw(), &doc))
		doc["details"] = map[string]any{"score": rng.IntN(100), "level": []any{"off", "low", "high"}[rng.IntN(3)], "tags": []any{"a", "b", "c"}[rng.IntN(3):]}
		for _, f := range []string{"ip", "user_name", "user_id", "user_agent", "client_id", "location_info", "details"} {
			switch rng.IntN(24) {
			case 0:
				delete(doc, f)
			case 1:
				doc[f] = nil
			case 2:
				doc[f] = []any{7, true, []any{"u1"}, map[string]any{"x": "u1"}, "", "日本\u001f\u001e\"", "10.0.0.1"}[rng.IntN(7)]
			}
		}
		raw, err := json.Marshal(doc)
		require.NoError(t, err)
		ev, err := logstream.Decode(raw)
		require.NoError(t, err)
		events[i].ev = ev
	}
	return events
}

// Any rules, any events: neither the order within the lateness, nor batches,
// duplicates, restarts, nor that alerts are told ahead changes what comes out.
func TestRandomRulesGiveTheSameAlertsInAnyOrderAndOverRestarts(t *testing.T) {
	rounds, first := 60, 0
	switch {
	case os.Getenv("PORTCULLIS_LONG") != "":
		rounds = 3000
	case testing.Short():
		rounds = 15
	}
	if s := os.Getenv("PORTCULLIS_SEED"); s != "" {
		_, err := fmt.Sscan(s, &first)
		require.NoError(t, err)
		rounds = 1
	}
	said := map[detections.Kind]int{}
	alerts := 0
	for seed := first; seed < first+rounds; seed++ {
		rng := rand.New(rand.NewPCG(uint64(seed), 9))
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			set, text := randomRules(t, rng, 8)
			defer func() {
				if t.Failed() {
					t.Logf("again with PORTCULLIS_SEED=%d\n%s", seed, text)
				}
			}()
			events := oddEvents(t, rng, 300)
			want := finalAlerts(t, set, arrivals{events: events, odd: true})
			alerts += len(want)
			for _, a := range want {
				var alert detections.Alert
				require.NoError(t, json.Unmarshal([]byte(a), &alert))
				said[set.Rule(alert.Rule).Kind()]++
			}
			disorder := slices.Clone(events)
			for i := range disorder {
				if rng.IntN(40) == 0 {
					disorder = append(disorder, disorder[i])
				}
			}
			for i := range disorder {
				disorder[i].at += time.Duration(rng.IntN(110_000)) * time.Millisecond
			}
			slices.SortStableFunc(disorder, func(a, b stamped) int { return int(a.at - b.at) })
			for name, in := range map[string]arrivals{
				"shuffled":                 {events: disorder, odd: true},
				"restarted":                {events: disorder, restarts: rng, odd: true},
				"told ahead":               {events: events, ahead: true, odd: true},
				"told ahead and restarted": {events: disorder, ahead: true, restarts: rng, odd: true},
			} {
				requireSame(t, want, finalAlerts(t, set, in), name)
			}
		})
	}
	for _, k := range []detections.Kind{detections.Match, detections.Aggregate, detections.Baseline, detections.Sequence, detections.Absence, detections.FirstSeen, detections.State} {
		if rounds > 1 {
			require.NotZero(t, said[k], "no %s rule said anything", k)
		}
	}
	t.Logf("%d alerts: %v", alerts, said)
}
