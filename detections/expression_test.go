package detections_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/logstream"
)

// verdict evaluates a condition for one event: "true", "false" or "error"; "refused"
// when it compares different kinds.
func verdict(t *testing.T, cond, event string) string {
	t.Helper()
	lists := detections.Lists{"nets": detections.NewList("203.0.113.0/24", "2001:db8::/32", "::ffff:192.0.2.0/120", "10.0.0.1", "fe80::1", "word")}
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte("id: r\ntitle: R\nseverity: low\nparams: {five: {default: 5}}\nwhere: |\n  params.five == 5 && (" + cond + ")\n")}}, lists)
	if err != nil && strings.Contains(err.Error(), "cannot be compared with") {
		return "refused"
	}
	require.NoError(t, err)
	opened := false
	e, err := detections.NewEngine("acme", set, detections.Options{Ahead: true, OnChange: func(detections.Change) { opened = true }})
	require.NoError(t, err)
	ev, err := logstream.Decode([]byte(event))
	require.NoError(t, err)
	e.Ingest(&ev)
	switch {
	case len(e.Stats().RuleErrors) > 0:
		return "error"
	case opened:
		return "true"
	}
	return "false"
}

const expressionEvent = `{"log_id":"1","date":"2026-01-01T00:00:00Z","type":"fp","ip":"203.0.113.1","user_name":"Ann","isMobile":true,"client_id":null,
"details":{"n":3,"zero":0,"no":false,"text":"a.b","list":["x","y"],"empty":[],"nums":[1,2,3],"people":[{"name":"ann","age":3},{"name":"bob"}],
"stage":{"pre-login":{"ip":"192.0.2.7"}},"zone":"fe80::1%eth0","mapped":"::ffff:203.0.113.9","six":"2001:db8::5","ips":["1.1.1.1","10.0.0.1"]}}`

func TestAComparisonWithSomethingMissingIsFalseAndSoIsItsNegation(t *testing.T) {
	missing := []string{"user_id", "client_id", "details.gone", "details.gone.deeper", "details.n.deeper", `details["gone"]`, "details.list[7]", "lower(user_id)", "user_id + 1", "details.n / details.zero", "details.n % 0", "(-1) ** 0.5"}
	refused := 0
	for _, m := range missing {
		for _, cond := range []string{"X == 5", `X == "a"`, "X != 5", `X != ""`, "X == nil", "X != nil", "X < 5", "X <= 5", "X > 5", "X >= 5", "5 == X", "5 < X", "X == X", `X contains "a"`, `X startsWith "a"`, `X endsWith "a"`,
			`X matches "a"`, `X in ["a", "b"]`, "X in [1, 2]", "X in lists.nets", `"a" in X`, "X == ip", "X == true"} {
			text := ""
			for _, r := range cond {
				if r == 'X' {
					text += "(" + m + ")"
				} else {
					text += string(r)
				}
			}
			is := verdict(t, text, expressionEvent)
			if is == "refused" { // when the rule is loaded
				refused++
				continue
			}
			require.Equal(t, "false", is, text)
			require.Equal(t, "false", verdict(t, "not ("+text+")", expressionEvent), "not "+text)
			require.Equal(t, "false", verdict(t, "!(false || "+text+") && true", expressionEvent), text)
		}
	}
	require.Less(t, refused, 80, "too little is left to prove anything")
}

func TestExpressionsMeanWhatTheySay(t *testing.T) {
	for cond, want := range map[string]string{
		`type == "fp"`: "true", `type != "fp"`: "false", `not (type == "s")`: "true", `data.type == "fp"`: "true", `data.details.n == 3`: "true",
		`type == 5`: "refused", `type != 5`: "refused", `type < 5`: "refused", `not (type < 5)`: "refused", `details.n == "3"`: "false", `details.n == 3.0`: "true",
		`details.n + 1 == 4 && details.n * 2 == 6 && details.n - 1 == 2 && -details.n == -3 && details.n ** 2 == 9`: "true", `user_name + 1 == 2`: "error", `user_name + "x" == "Annx"`: "true",
		`details.n / 2 == 1.5`: "true", `is_mobile`: "true", `not is_mobile`: "false", `details.no`: "false", `not details.no`: "true", `details.no == false`: "true", `details.n`: "false", `is_mobile == true`: "true",
		`user_name contains "nn"`: "true", `not (user_name contains "nn")`: "false", `user_name not contains "zz"`: "true", `details.list contains "x"`: "true", `details.empty contains "x"`: "false", `not (details.empty contains "x")`: "true",
		`"x" in details.list`: "true", `"z" not in details.list`: "true", `"n" in details`: "true", `type in ["s", "fp"]`: "true", `type not in ["s"]`: "true", `user_name startsWith "A" && user_name endsWith "n"`: "true",
		`user_name matches "^a"`: "false", `user_name matches "(?i)^a"`: "true", `not (user_name matches "^a")`: "true", `details.n matches "3"`: "false", `not (details.n matches "3")`: "false",
		`ip in lists.nets`: "true", `not (ip in lists.nets)`: "false", `details.mapped in lists.nets`: "true", `details.zone in lists.nets`: "true", `details.six in lists.nets`: "true", `"192.0.2.200" in lists.nets`: "true", `user_name not in lists.nets`: "true", `"word" in lists.nets`: "true",
		`details.ips in lists.nets`: "true", `not (details.list in lists.nets)`: "true", `details.n in lists.nets`: "false",
		`any(details.list, # == "x")`: "true", `all(details.list, # == "x")`: "false", `none(details.list, # == "z")`: "true", `one(details.list, # == "y")`: "true", `any(details.gone, # == "x")`: "false", `all(details.gone, # == "x")`: "true", `none(details.gone, # == "x")`: "true",
		`any(details.people, .name == "bob")`: "true", `any(details.people, #.age > 2)`: "true", `any(details.people, not (#.age > 2))`: "false", `len(filter(details.people, .age > 0)) == 1`: "true", `len(details.list) == 2`: "true", `len(details.gone) == 0`: "false", `len(details.empty) == 0`: "true",
		`count(details.nums, # > 1) == 2`: "true", `sum(details.nums) == 6`: "true", `map(details.people, .name)[1] == "bob"`: "true", `details.people[*].name contains "bob"`: "true", `"bob" in details.people[*].name`: "true", `details.people[*].name == "[*]"`: "false", `user_name + "[*]" == "Ann[*]"`: "true",
		`details.list[0] == "x"`: "true", `details.list[-1] == "y"`: "true", `details.people[1].name == "bob"`: "true", `details.list == ["x", "y"]`: "true",
		`details.stage["pre-login"].ip == "192.0.2.7"`: "true", `details?.stage?.gone?.ip == "a"`: "false", `lower(user_name) == "ann"`: "true", `trim(details.gone) == ""`: "false", `split(details.text, ".")[1] == "b"`: "true",
		`(user_id ?? user_name) == "Ann"`: "true", `(user_id ?? client_id ?? "none") == "none"`: "true", `(type == "fp" ? details.n : 0) == 3`: "true", `type == "s" ? false : is_mobile`: "true", `not (type == "s" ? true : user_id == "x")`: "false",
		`not (type == "s" || user_id == "x")`: "false", `not (type == "s" && user_id == "x")`: "true", `type == "fp" or user_id == "x"`: "true",
	} {
		require.Equal(t, want, verdict(t, cond, expressionEvent), cond)
	}
}

func TestAMissingKeyFormsNoGroup(t *testing.T) {
	b := newBench(t, "id: m\ntitle: M\nseverity: low\nwhere: type == \"fp\"\ngroup_by: [user_id, details.n]\n", detections.Options{Ahead: true})
	for _, id := range []any{nil, "", []string{"a"}, map[string]any{}} {
		b.at(0, "user_id", id, "details", map[string]any{"n": 1})
	}
	b.at(0, "user_id", "u")
	require.Empty(t, b.take())
	b.at(0, "user_id", "u", "details", map[string]any{"n": 1.5})
	require.Equal(t, map[string]string{"user_id": "u", "details.n": "1.5"}, b.changes[0].Alert.Group)
}
