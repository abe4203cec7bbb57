package detections

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/logstream"
)

// The closures are compared with expr's machine, which runs the same rewritten
// expressions by calling one function after another on plain Go values.

// expressions makes random expressions of every form the language has.
type expressions struct{ *rand.Rand }

func (g expressions) of(options ...string) string { return options[g.IntN(len(options))] }

func (g expressions) condition(depth int) string {
	if depth <= 0 {
		return g.of(`type == "fp"`, `is_mobile`, `details.n > 2`, `true`, `details.gone == 1`, `ip in lists.nets`, `user_name startsWith "A"`)
	}
	depth--
	switch g.IntN(16) {
	case 0, 1:
		return "(" + g.condition(depth) + g.of(" && ", " and ") + g.condition(depth) + ")"
	case 2, 3:
		return "(" + g.condition(depth) + g.of(" || ", " or ") + g.condition(depth) + ")"
	case 4, 5:
		return g.of("not ", "!") + "(" + g.condition(depth) + ")"
	case 6:
		return "(" + g.condition(depth) + " ? " + g.condition(depth) + " : " + g.condition(depth) + ")"
	case 7:
		return g.value(depth) + g.of(" in ", " not in ") + g.of("lists.nets", "lists.words", `["fp", "s"]`, `[1, "x", true]`, "[]", "details.list", "details", g.value(depth))
	case 8:
		return g.value(depth) + " " + g.of("matches", "not matches") + " " + g.of(`"^a"`, `"(?i)A.*n"`, `"."`, `"x|fp"`)
	case 9:
		return g.of("any", "all", "none", "one") + "(" + g.collection(depth) + ", " + g.element(depth) + ")"
	case 10:
		return g.value(depth) + " " + g.of("contains", "startsWith", "endsWith", "not contains", "not startsWith") + " " + g.value(depth)
	case 11:
		return "bool(" + g.condition(depth) + ")"
	default:
		return g.value(depth) + g.of(" == ", " != ", " < ", " <= ", " > ", " >= ") + g.value(depth)
	}
}

// element is a condition on #.
func (g expressions) element(depth int) string {
	switch g.IntN(9) {
	case 0:
		return `# == "x"`
	case 1:
		return `.age > 1`
	case 2:
		return `not (#.name == "ann")`
	case 3:
		return g.of("# in lists.words", `# startsWith "b"`, "# > 1", `# matches "^[a-m]"`, "# == details.n", `lower(#) == "x"`)
	case 4:
		return "(" + g.element(depth) + g.of(" && ", " || ") + g.condition(depth-1) + ")"
	case 5:
		return g.of("any", "all", "none") + "(details.nums, # " + g.of("==", "<", ">=") + " 2)"
	case 6:
		return "len(filter(details.list, # != " + g.value(0) + ")) > 0"
	case 7:
		return "count(details.people, .age >= 2) " + g.of("==", ">") + " 1"
	}
	return "true"
}

func (g expressions) collection(depth int) string {
	if depth > 0 && g.IntN(3) == 0 {
		return g.of("filter", "filter") + "(" + g.collection(depth-1) + ", " + g.element(depth-1) + ")"
	}
	return g.of("details.list", "details.nums", "details.people", "details.people[*].name", "details.empty", "details.gone", "details.n", "details.mixed", "map(details.people, .name)", `[1, 2, "x"]`, "map(details.nums, # + 1)")
}

func (g expressions) value(depth int) string {
	if depth <= 0 {
		return g.of("type", "ip", "user_name", "client_id", "is_mobile", "details.n", "details.text", "details.flag", "details.list", "details.people", "details.gone", "details.nums",
			"details.mixed", "details.people[*].age", `details["n"]`, "params.five", "params.word", `"fp"`, `"A"`, `""`, "1", "2.5", "-1", "true", "nil", `["x", "y"]`, "0")
	}
	depth--
	switch g.IntN(12) {
	case 0, 1:
		return "(" + g.value(depth) + g.of(" + ", " - ", " * ", " / ", " % ", " ** ") + g.value(depth) + ")"
	case 2:
		return "(" + g.value(depth) + " ?? " + g.value(depth) + ")"
	case 3:
		return "(" + g.condition(depth) + " ? " + g.value(depth) + " : " + g.value(depth) + ")"
	case 4:
		return g.collection(depth) + "[" + g.of("0", "-1", "1", "7", "params.five") + "]"
	case 5:
		return "-" + g.value(0)
	case 6:
		return g.of("len", "count") + "(filter(" + g.collection(depth) + ", " + g.element(depth) + "))"
	case 7:
		return g.of("map", "filter") + "(" + g.collection(depth) + ", " + g.of("# == 1", "true", `# != "x"`) + ")"
	case 8, 9:
		return g.function(depth)
	case 10:
		return "[" + g.value(depth) + ", " + g.value(0) + "]"
	}
	return g.value(0)
}

func (g expressions) function(depth int) string {
	text := g.of("user_name", "details.text", "ip", "details.gone", "details.list", "details.n", `"Ab.C"`, `"ann@Example.com"`, "date", g.value(depth))
	ip := g.of("ip", "ip", "details.gone", "user_name", `"10.1.2.3"`)
	switch g.IntN(9) {
	case 0:
		return g.of("lower", "upper", "trim", "len") + "(" + text + ")"
	case 1:
		return "split(" + text + `, ".")`
	case 2:
		return "(count(" + g.collection(depth) + ", " + g.element(depth) + "))"
	case 3:
		return g.of("domain", "local_part", "unix", "hour", "weekday") + "(" + text + ")"
	case 4:
		return g.of("hour", "weekday") + `(date, "Europe/Zurich")`
	case 5:
		return g.of("network("+ip+", 24)", "network("+ip+", details.n)", "network("+ip+", 16, 48)", "is_private("+ip+")", "in_network("+ip+`, "203.0.113.0/24")`)
	case 6:
		return g.of("distance_km(details.n, 1, 2, 3)", "distance_km(details.place, details.place)", "distance_km(details.place, details.mixed)", "distance_km(details.n, details.n)")
	case 7:
		return "replace(" + text + ", " + g.of(`"."`, `""`, `"a"`) + `, "xy")`
	}
	return g.of("trimPrefix", "trimSuffix", "indexOf") + "(" + text + `, "A")`
}

// event is a random event in which any field may be missing or of any kind.
func (g expressions) event(t testing.TB) logstream.Event {
	t.Helper()
	fields := map[string]any{"log_id": "1", "date": "2026-01-01T00:00:00Z"}
	put := func(to map[string]any, name string, values ...any) {
		if g.IntN(4) > 0 {
			to[name] = values[g.IntN(len(values))]
		}
	}
	put(fields, "type", "fp", "s", "", 5)
	put(fields, "ip", "203.0.113.1", "198.51.100.7", "2001:db8::1", "10.0.0.1", "::ffff:203.0.113.9", "no address", 7, nil)
	put(fields, "user_name", "Ann", "bob", "A", "x\"y\\z", "ünï", "Ann@Mail.Example.com", 3)
	put(fields, "client_id", "c", nil, "fp")
	put(fields, "is_mobile", true, false, "true")
	details := map[string]any{}
	put(details, "n", 3, 0, -1, 2.5, "3", 1e300)
	put(details, "text", "a.b", "", "fp", "A", 5)
	put(details, "flag", true, false, nil, "x")
	put(details, "list", []any{"x", "y"}, []any{}, []any{"x", nil, 3}, "x", []any{"A", "fp", "203.0.113.9"})
	put(details, "nums", []any{1, 2, 3}, []any{2, 2}, []any{}, 2)
	put(details, "mixed", []any{1, "x", true, nil, []any{"y"}, map[string]any{"name": "ann"}}, map[string]any{"x": 1})
	put(details, "people", []any{map[string]any{"name": "ann", "age": 3}, map[string]any{"name": "bob"}}, []any{map[string]any{"age": 2}}, map[string]any{"name": "ann"})
	put(details, "empty", []any{})
	put(details, "place", map[string]any{"latitude": 47.4, "longitude": 8.5}, map[string]any{"latitude": "x"}, map[string]any{}, "Zurich")
	put(fields, "details", details, details, details, "details", []any{details})
	raw, err := json.Marshal(fields)
	require.NoError(t, err)
	ev, err := logstream.Decode(raw)
	require.NoError(t, err)
	return ev
}

var (
	differentialParams = map[string]any{"five": 5, "word": "fp"}
	differentialLists  = Lists{"nets": NewList("203.0.113.0/24", "2001:db8::/32", "word"), "words": NewList("x", "fp", "ann", "Ann")}
)

// twin is an expression compiled both ways.
type twin struct {
	closures, naive *program
	table           *nameTable
}

// compileTwin is false when the expression has a problem, which must be the same
// either way.
func compileTwin(t testing.TB, text string, isCondition bool) (twin, bool) {
	t.Helper()
	w := twin{table: newNameTable()}
	var problems [2][]exprProblem
	for i, to := range []**program{&w.closures, &w.naive} {
		tr := newTranslator(differentialParams, differentialLists, w.table)
		tr.naive, tr.untyped = i == 1, true
		if isCondition {
			*to = tr.condition(text)
		} else {
			*to = tr.operand(text)
		}
		problems[i] = tr.problems
	}
	require.Equal(t, problems[1], problems[0], text)
	return w, w.closures != nil
}

// agree evaluates both ways and compares.
func (w twin) agree(t testing.TB, ev *logstream.Event, text string, isCondition bool) (result any, failed bool) {
	t.Helper()
	var results [2]any
	var errs [2]error
	for i, p := range []*program{w.closures, w.naive} {
		r := newRow(w.table)
		r.take(ev)
		if isCondition {
			results[i], errs[i] = p.holds(r)
		} else {
			results[i], errs[i] = p.value(r)
		}
	}
	where := fmt.Sprintf("%s\n%s", text, ev.Raw())
	require.Equal(t, errs[1] != nil, errs[0] != nil, "%s\nclosures: %v\nmachine: %v", where, errs[0], errs[1])
	require.Equal(t, results[1], results[0], where)
	return results[0], errs[0] != nil
}

func TestClosuresSayWhatTheMachineSays(t *testing.T) {
	rounds := 6000
	if testing.Short() {
		rounds = 1500
	}
	outcomes := map[string]int{}
	for seed := range rounds {
		g := expressions{rand.New(rand.NewPCG(uint64(seed), 4))}
		isCondition := g.IntN(3) > 0
		text := g.value(3)
		if isCondition {
			text = g.condition(4)
		}
		w, ok := compileTwin(t, text, isCondition)
		if !ok {
			outcomes["problem"]++
			continue
		}
		for range 8 {
			ev := g.event(t)
			result, failed := w.agree(t, &ev, text, isCondition)
			switch {
			case failed:
				outcomes["error"]++
			case isCondition:
				outcomes[fmt.Sprint(result)]++
			case result == nil:
				outcomes["missing"]++
			default:
				outcomes["value"]++
			}
		}
	}
	t.Log(outcomes)
	for _, o := range []string{"true", "false", "error", "missing", "value"} {
		require.Greater(t, outcomes[o], rounds/4, "too few %s to prove anything: %v", o, outcomes)
	}
	require.Less(t, outcomes["problem"], rounds/2)
}

// Whatever an expression says, it is refused or it evaluates, and the closures
// and the machine agree.
func FuzzClosures(f *testing.F) {
	for seed := range 40 {
		g := expressions{rand.New(rand.NewPCG(uint64(seed), 9))}
		f.Add(g.condition(4), true, uint64(seed))
		f.Add(g.value(3), false, uint64(seed))
	}
	f.Fuzz(func(t *testing.T, text string, isCondition bool, seed uint64) {
		if strings.Contains(text, "sort") {
			t.Skip("maps have no order of their own")
		}
		w, ok := compileTwin(t, text, isCondition)
		if !ok {
			return
		}
		g := expressions{rand.New(rand.NewPCG(seed, 1))}
		for range 3 {
			ev := g.event(t)
			w.agree(t, &ev, text, isCondition)
		}
	})
}
