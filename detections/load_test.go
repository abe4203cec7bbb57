package detections_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/internal/diag"
	"portcullis/logstream"
)

var testLists = detections.Lists{"trusted_networks": detections.NewList("203.0.113.0/24"), "failed_login": detections.NewList("fp", "fu")}

// rule writes a rule with lines after the ones that every rule needs.
func rule(lines ...string) string {
	return "id: r\ntitle: R\nseverity: low\n" + strings.Join(lines, "\n") + "\n"
}

func problemsOf(t *testing.T, text string) string {
	t.Helper()
	_, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(text)}}, testLists)
	if err == nil {
		return ""
	}
	var ps diag.Problems
	require.True(t, errors.As(err, &ps), "%v", err)
	return err.Error()
}

const agg = "group_by: [ip]\nwindow: 1h\n"

func TestAnAuthorsMistakeIsShownWhereItIs(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"a key", rule(`wehre: type == "fp"`, `where: type == "fp"`), `r.yaml:4:1: r: unknown key wehre (did you mean where?)
 4 | wehre: type == "fp"
     ^^^^^
 hint: known keys: id, title, description, severity, severity_reason, severity_when, campaign, fold, fold_network, author, license, date, modified, tags, references, related, false_positives, runbook, params, on, where, group_by, missing_key, window, having, steps, ordered, within, after, expect, value, per, learn, forget, key, when, quiet, publish, evidence, tests`},
		{"a field, in a block", rule(`where: |`, `  type == "fp" &&`, `  ipp != ""`), `r.yaml:6:3: r.where: unknown name ipp (did you mean ip?)
 6 |   ipp != ""
       ^^^`},
		{"a field, in quotes", rule(`where: "type == \"fp\" && ipp != 1"`), `r.yaml:4:27: r.where: unknown name ipp (did you mean ip?)
 4 | where: "type == \"fp\" && ipp != 1"
                               ^^^`},
		{"a list", rule(`where: ip in lists.trusted_netwroks`), `r.yaml:4:20: r.where: unknown list trusted_netwroks (did you mean trusted_networks?)
 4 | where: ip in lists.trusted_netwroks
                        ^^^^^^^^^^^^^^^^`},
		{"a parameter", rule(`params: {fails: {default: 1}}`, `where: type == "fp"`, agg+`having: count() > params.failz`), `r.yaml:8:26: r.having: unknown parameter params.failz (did you mean fails?)
 8 | having: count() > params.failz
                              ^^^^^`},
		{"an aggregate in where", rule(`where: count() > 5`), `r.yaml:4:8: r.where: count() needs a window of events: use it in having or evidence
 4 | where: count() > 5
            ^^^^^`},
		{"a bare field in having", rule(`where: type == "fp"`, agg+`having: count() > 5 && ip == "x"`), `r.yaml:7:24: r.having: ip is a field of one event: say which of the window is meant, for instance last(ip)
 7 | having: count() > 5 && ip == "x"
                            ^^`},
		{"having without a window", rule(`where: type == "fp"`, `having: count() > 5`), `r.yaml:5:9: r.having: needs a window
 5 | having: count() > 5
             ^^^^^^^^^^^
 hint: add for instance window: 1h`},
		{"look-behind", rule(`where: user_name matches "(?<!a)b"`), "r.yaml:4:26: r.where: invalid named capture: `(?<!a)b` (RE2 knows no look-around and no back-references)\n" +
			` 4 | where: user_name matches "(?<!a)b"
                              ^^^^^^^^^`},
		{"two types at once", rule(`where: type == "fp" && type == "s"`), `r.yaml:4:8: r.where: can never be true: no event has all the types asked for
 4 | where: type == "fp" && type == "s"
            ^`},
		{"an id twice", rule(`where: type == "fp"`) + "---\n" + rule(`where: type == "fp"`), `r.yaml:6:5: r.id: the id is already used at r.yaml:1
 6 | id: r
         ^`},
		{"count of a number", rule(`where: type == "fp"`, agg+`having: count(1) > 2`), `r.yaml:7:15: r.having: a condition is needed, not a number
 7 | having: count(1) > 2
                   ^
 hint: compare it with something, for instance type == "fp" or count() > 5`},
		{"a comment by mistake", rule(`where: any(details.x, # == "a")`), `r.yaml:4:21: r.where: the expression ends too early
 4 | where: any(details.x, # == "a")
                         ^
 hint: a # after a space begins a comment: put the expression in quotes`},
		{"a default under the least", rule(`params: {n: {default: 1, min: 5}}`, `where: type == "fp"`, agg+`having: count() > params.n`), `r.yaml:4:13: r.params.n: default 1 is under the least value, 5
 4 | params: {n: {default: 1, min: 5}}
                 ^`},
		{"nothing that is needed", "title: x\n", `r.yaml:1:1: key id is missing
 1 | title: x
     ^
r.yaml:1:1: key severity is missing
 1 | title: x
     ^
r.yaml:1:1: key where is missing
 1 | title: x
     ^
 hint: a match rule needs where`},
	} {
		t.Run(tc.name, func(t *testing.T) { require.Equal(t, tc.want, problemsOf(t, tc.text)) })
	}
}

func TestEveryOtherMistakeIsNamed(t *testing.T) {
	fp := `where: type == "fp"`
	for _, tc := range []struct{ text, want string }{
		{rule(`params: {fails: {default: 1}}`, fp), "4:17: r.params.fails: is used nowhere in the rule"},
		{rule(`where: lowr(ip) == "x"`), "4:8: r.where: unknown function lowr (did you mean lower?)"},
		{rule(`where: now() > 5`), "4:8: r.where: unknown function now"},
		{rule(fp, `window: 5m`), "5:9: r.window: has no effect without having"},
		{rule(fp, `having: count() > 1`, `window: 100d`), "6:9: r.window: is longer than 92d"},
		{rule(`where: user_name matches "a(b"`), "4:26: r.where: missing closing ): `a(b`"},
		{rule(`where: user_name matches user_id`), "4:26: r.where: the pattern after matches must be a text in quotes"},
		{rule(fp) + "related: {derivd: [x], similar: []}\n", "5:19: r.related.derivd: unknown relation derivd (did you mean derived?)"},
		{rule(fp) + "related: {similar: []}\n", "5:20: r.related.similar: names no rule"},
		{strings.Replace(rule(fp), "low", "hihg", 1), "3:11: r.severity: unknown severity hihg (did you mean high?)"},
		{strings.Replace(rule(fp), "id: r", "id: R_1", 1), `1:5: R_1.id: "R_1" must be lower-case words joined by hyphens`},
		{rule(fp, `quiet: 5 minutes`), `5:8: r.quiet: "5 minutes" is not a length of time`},
		{rule(fp, `window: 0s`, `having: count() > 1`), `5:9: r.window: "0s" is not between`},
		{rule(`params: {n: {default: [1]}}`, fp, agg+`having: count() > params.n`), "4:13: r.params.n: default [1] must be a number, text, or true or false"},
		{rule(fp, agg+`having: distinct() > 2`), "7:9: r.having: distinct() takes one argument, found 0"},
		{rule(fp, agg+`having: sum(user_name, ip) > 1`), "7:9: r.having: sum() takes one argument, found 2"},
		{rule(fp, agg+`having: distinct(count()) > 2`), "7:18: r.having: count() cannot stand inside another aggregate"},
		{rule(fp, agg+`having: true`), "7:9: r.having: names no aggregate"},
		{rule(`where: 5`), "4:8: r.where: a condition is needed, not a number"},
		{rule(`where: ip + user_id`), "4:11: r.where: a condition is needed, not the result of +"},
		{rule(fp, `group_by: [ipp, count(), "ip + 1"]`), "5:12: r.group_by[0]: unknown name ipp"},
		{rule(fp, `group_by: [ipp, count(), "ip + 1"]`), "5:17: r.group_by[1]: count() needs a window"},
		{rule(fp, `group_by: [ipp, count(), "ip + 1"]`), "5:30: r.group_by[2]: must be the name of an event field"},
		{rule(fp, `evidence: {a: valuez(ip)}`), "5:15: r.evidence.a: unknown function valuez (did you mean values?)"},
		{rule(`where: "1 in 1..2"`), "ranges are not part of the rule language"},
		{rule(`where: let x = ip; x == "1"`), "4:12: r.where: this form is not part of the rule language"},
		{rule(`where: ip[0:3] == "1"`), "4:10: r.where: slices are not part of the rule language"},
		{rule(`where: ip.startsWith("1")`), "4:11: r.where: methods are not part of the rule language"},
		{rule(`where: ip in trusted_networks`), "4:14: r.where: unknown name trusted_networks (did you mean lists.trusted_networks?)"},
		{rule(`where: lists.trusted_networks == 1`), "4:14: r.where: a list can only stand after in"},
		{rule(`where: "any(details.x, any(details.x, any(details.x, any(details.x, true))))"`), "predicates are nested more than 3 deep"},
		{rule(`missing_key: grup`, fp), "4:14: r.missing_key: must be drop or group"},
		{rule(`where: "` + strings.Repeat("(", 20000) + `"`), "is longer than 16384 characters"},
		{rule(`where: type`), "4:8: r.where: a condition is needed, not type, a text"},
		{rule(`where: data.user_id or type == "s"`), "4:13: r.where: a condition is needed, not user_id, a text"},
		{rule(`where: not details`), "4:12: r.where: a condition is needed, not details, a collection"},
		{rule(`where: details.x[*]`), "r.where: a condition is needed, not details.x[*], a collection"},
		{rule(`where: is_mobile && lower(ip)`), "4:21: r.where: a condition is needed, not lower(), a text"},
		{rule(`where: type ?? ip`), "r.where: a condition is needed, not type, a text"},
		{rule(`where: -details.n`), "4:8: r.where: a condition is needed, not a number"},
		{rule(`params: {n: {default: 1}}`, `where: params.n`), "5:15: r.where: a condition is needed, not params.n, a number"},
		{rule(fp, agg+`having: count()`), "7:9: r.having: a condition is needed, not count(), a number"},
		{rule(fp, agg+`having: count() > 1 && values(ip)`), "7:24: r.having: a condition is needed, not values(), a collection"},
		{rule(fp, agg+`having: last(ip)`), "7:9: r.having: a condition is needed, not ip, a text"},
		{rule(`where: 5 in lists.failed_login`), "4:8: r.where: a list holds texts: a number is never in one"},
		{rule(`params: {n: {default: 1}}`, `where: params.n not in lists.failed_login`), "5:15: r.where: a list holds texts: params.n is never in one"},
		{rule(fp, agg+`having: count() > 1`, `quiet: 500us`), "8:8: r.quiet: is shorter than 1s"},
		{rule(fp, `window: 1ns`, `having: count() > 1`), "5:9: r.window: is shorter than 1s"},
		{strings.Replace(rule(fp), "id: r", `id: ""`, 1), "1:5: id: is empty"},
		{strings.Replace(rule(fp), "title: R", `title: " "`, 1), "2:8: r.title: is empty"},
		{rule(`params: {n: {default: .nan}}`, fp, agg+`having: count() > params.n`), "4:13: r.params.n: default NaN must be a number with an end"},
		{rule(fp, "tests:", "- name: x", "  events: ["+strings.Repeat("'100000 x {type: s}', ", 11)+"]", "  alerts: []"), "6:3: r.tests[0].events: has more than 1000000 events"},
		{rule(`where: [a]`), "4:8: r.where: must be an expression, found a list"},
		{"just text\n", `1:1: must be a mapping of keys to values, found the text "just text"`},
		{"# nothing\n", "r.yaml: holds no rule"},
		{rule(fp, "tests:", "- name: x", "  events: ['5 x {type: s} ovr 3m']", "  alerts: []"), "7:12: r.tests[0].events[0]: unknown word ovr (did you mean over?)"},
	} {
		t.Run(tc.want, func(t *testing.T) { require.Contains(t, problemsOf(t, tc.text), tc.want) })
	}
}

func TestAllProblemsOfAllFilesComeAtOnceAndGoodRulesAreKept(t *testing.T) {
	set, err := detections.Load([]detections.File{
		{Name: "b.yaml", Data: []byte(strings.Replace(rule(`where: ipp == "1"`, `titel: x`, `quiet: soon`), "id: r", "id: bad", 1) + "---\n" + rule(`where: type == "s"`))},
		{Name: "a.yaml", Data: []byte("\tx")},
		{Name: "c.yaml", Data: []byte(strings.Replace(rule(`where: type == "s"`), "id: r", "id: fine", 1))},
	}, nil)
	require.Equal(t, []string{"r", "fine"}, set.IDs())
	var ps diag.Problems
	require.ErrorAs(t, err, &ps)
	var places []string
	for _, p := range ps {
		place, _, _ := strings.Cut(p.Head(), ": ")
		places = append(places, place)
	}
	require.Equal(t, []string{"a.yaml:1", "b.yaml:4:8", "b.yaml:5:1", "b.yaml:6:8"}, places)
}

func TestValuesOfParametersAreChecked(t *testing.T) {
	set := load(t, rule(`params: {n: {default: 3, min: 2, max: 9}, f: {default: 0.5}, s: {default: a}, b: {default: true}}`, `where: user_name == params.s && params.b`, agg+`having: count() > params.n * params.f`))
	for _, tc := range []struct {
		params map[string]any
		want   string
	}{
		{map[string]any{"n": 2, "s": "x", "b": false}, ""},
		{map[string]any{"n": 3.0, "f": 0.75}, ""},
		{map[string]any{"n": 2.5}, "parameter n of rule r: 2.5 must be a whole number, as the default is"},
		{map[string]any{"n": math.NaN()}, "parameter n of rule r: NaN must be a number with an end"},
		{map[string]any{"f": math.Inf(1)}, "parameter f of rule r: +Inf must be a number with an end"},
		{map[string]any{"n": 1}, "parameter n of rule r: 1 is under the least value, 2"},
		{map[string]any{"n": 10}, "parameter n of rule r: 10 is over the greatest value, 9"},
		{map[string]any{"n": "5"}, "parameter n of rule r: 5 must be a number"},
		{map[string]any{"s": 5}, "parameter s of rule r: 5 must be text"},
		{map[string]any{"b": "no"}, "parameter b of rule r: no must be true or false"},
		{map[string]any{"m": 5}, "rule r has no parameter m"},
	} {
		err := set.CheckParams(map[string]map[string]any{"r": tc.params})
		if tc.want == "" {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, tc.want)
		}
	}
	require.EqualError(t, set.CheckParams(map[string]map[string]any{"rr": {}}), "no rule is called rr (did you mean r?)")
}

func TestWhatMayBeTrueIsACondition(t *testing.T) {
	for _, where := range []string{"true", "is_mobile", "not data.is_mobile", "details.x", `details["x"]`, "security_context.x", "type ?? is_mobile", "params.b",
		"details.x[0]", "any(details.x, #)", "first(details.x)", `["a"] in lists.failed_login`, "details.n in lists.failed_login", `ip == "a" ? is_mobile : false`} {
		require.Empty(t, problemsOf(t, rule("params: {b: {default: true}}", "where: '"+where+"'", agg+"having: params.b && last(is_mobile)")), where)
	}
	known := append(append([]string{"is_mobile"}, detections.TextFields...), detections.MappingFields...)
	require.ElementsMatch(t, logstream.KnownFields(), known, "every field is known by what it holds")
}

func TestDeepAndLongExpressionsCompileQuickly(t *testing.T) {
	for name, text := range map[string]string{
		"nested calls": strings.Repeat("lower(", 2000) + "ip" + strings.Repeat(")", 2000) + ` == "a"`,
		"nested not":   strings.Repeat("not ", 3000) + "is_mobile", "parentheses": strings.Repeat("(", 5000) + "is_mobile" + strings.Repeat(")", 5000),
		"many parts":  strings.Repeat(`ip == "a" || `, 1000) + "is_mobile",
		"conditions":  strings.Repeat("is_mobile ? false : ", 500) + "true",
		"a fallback":  strings.Repeat("ip ?? ", 1000) + `ip == "a"`,
		"a long text": `ip == "` + strings.Repeat("x", 15000) + `"`,
	} {
		begin := time.Now()
		problemsOf(t, rule("where: '"+text+"'"))
		require.Less(t, time.Since(begin), time.Minute, name) // what is exponential would take years
	}
}

func FuzzRule(f *testing.F) {
	f.Add(orderRules)
	f.Add(everyKind)
	f.Add(rule(`where: type == "s"`, "tests:", "- name: x", "  events: ['5 x {type: \"{i%0}\"} over 3m from 0s', {at: 5m, type: s}]", "  alerts: []"))
	f.Fuzz(func(t *testing.T, text string) {
		set, _ := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(text)}}, testLists)
		set.Prove()
		for _, r := range set.Rules {
			for i := range r.Tests {
				for _, e := range r.Tests[i].Events {
					if e.Count > 100 {
						return
					}
				}
			}
			set.RunTests(r, nil)
		}
	})
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{`ip in lists.trusted_networks && not (user_name matches "a.*")`, `any(details.x[*], {.a == #})`, "details[\"a\"]?.b ?? 5 > 3", `lower(ip) contains "a" ? true : len(details.x) > 2`,
		`map(details.x, # + 1)[0] == 1`, `-details.x ** 2 % 0 == 1`, `split(ip, ".")[0] == "1"`, "`a[*]` == ip", `sortBy(details.x, #.a)[0].b == 1`, `reduce(details.x, #acc + #, 0) > 1`, `{"a": ip}.a == "1"`, `count() > 1`, `date(ip).Year() == 5`, `fromJSON(ip).a == 1`} {
		f.Add(s)
	}
	ev, err := logstream.Decode([]byte(`{"log_id":"1","date":"2026-01-01T00:00:00Z","type":"fp","ip":"203.0.113.1","user_name":"a","isMobile":true,"details":{"x":[1,"a",{"a":1,"b":[2]},null],"a":{"b":4}}}`))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		quoted := "'" + strings.NewReplacer("'", "''", "\n", " ").Replace(text) + "'"
		for _, r := range []string{rule("where: " + quoted), rule(`where: type == "fp"`, agg+"having: "+quoted, "evidence: {a: "+quoted+"}")} {
			set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(r)}}, testLists)
			if err != nil {
				continue
			}
			e, err := detections.NewEngine("acme", set, detections.Options{Ahead: true})
			require.NoError(t, err)
			e.Ingest(&ev)
			e.Finish()
		}
	})
}

func TestAKeyThatFormsNoGroupIsRefused(t *testing.T) {
	for key, kind := range map[string]string{`"details.request.auth.credentials.scopes[*]"`: "list", "details.request": "mapping"} {
		_, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte("id: r\ntitle: R\nseverity: low\nwhere: type == \"sapi\"\ngroup_by: [" + key + "]\n")}}, nil)
		require.ErrorContains(t, err, "is a "+kind+", which forms no group")
	}
	for _, key := range []string{"details.request.method", `"len(details.request.auth.credentials.scopes[*])"`} {
		_, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte("id: r\ntitle: R\nseverity: low\nwhere: type == \"sapi\"\ngroup_by: [" + key + "]\n")}}, nil)
		require.NoError(t, err)
	}
}
