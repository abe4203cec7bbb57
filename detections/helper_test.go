package detections_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

const helperEvent = `{"log_id":"1","date":"2026-03-01T23:30:00.000Z","type":"fp","ip":"203.0.113.77","user_name":"Ann@Mail.Example.COM","user_id":"sms|123","is_mobile":true,
"location_info":{"latitude":47.37,"longitude":8.54},"details":{"six":"2001:db8:1:2:3::4","mapped":"::ffff:10.1.2.3","home":{"latitude":52.52,"longitude":13.40},"at":"2026-03-01T22:30:00+00:00",
"n":3,"text":" x ","request":{"body":{"scope":["read:users","update:users"]}}}}`

func TestFunctionsMeanWhatTheySay(t *testing.T) {
	for cond, want := range map[string]string{
		`domain(user_name) == "mail.example.com"`: "true", `local_part(user_name) == "Ann"`: "true", `domain(user_id) == ""`: "false", `domain(user_id) != ""`: "false", `domain(client_id) == "x"`: "false",
		`network(ip, 24) == "203.0.113.0/24"`: "true", `network(details.six, 24) == "2001:db8:1:2::/64"`: "true", `network(details.six, 24, 48) == "2001:db8:1::/48"`: "true", `network(details.mapped, 8) == "10.0.0.0/8"`: "true",
		`network(user_name, 24) != "x"`: "false", `network(ip, 40) == "x"`: "error",
		`is_private(ip)`: "false", `not is_private(ip)`: "true", `is_private(details.mapped)`: "true", `is_private(user_name)`: "false", `not is_private(user_name)`: "false", `not is_private(details.gone)`: "false", `is_private(details.n)`: "error",
		`in_network(ip, "203.0.113.0/24")`: "true", `in_network(details.mapped, "10.0.0.0/8")`: "true", `not in_network(ip, "10.0.0.0/8")`: "true", `not in_network(user_name, "10.0.0.0/8")`: "false",
		`hour(date) == 23`: "true", `hour(date, "Europe/Zurich") == 0`: "true", `weekday(date) == "sunday"`: "true", `weekday(date, "Europe/Zurich") == "monday"`: "true", `hour(details.text) >= 0`: "false",
		`date > "2026-03-01T23:29:59Z"`: "true", `date < "2026-03-02"`: "true", `date >= "2026-03-02T00:30:00+01:00"`: "true", `"2026-03-02" <= date`: "false", `unix(date) - unix(details.at) == 3600`: "true",
		`distance_km(location_info, details.home) > 660 && distance_km(location_info, details.home) < 680`: "true", `distance_km(47.37, 8.54, 52.52, 13.40) > 660`: "true", `distance_km(location_info, details.gone) >= 0`: "false", `distance_km(location_info, details.request) >= 0`: "false", `distance_km(details.n, details.n) > 0`: "error",
		`split(user_id, "|")[0] == "sms"`: "true", `trim(details.text) == "x"`: "true", `trim(user_id, "s3") == "ms|12"`: "true", `upper("a") + lower("B") == "Ab"`: "true", `replace(user_name, ".", "") == "Ann@MailExampleCOM"`: "true",
		`len(details.request.body.scope) == 2`: "true", `len(location_info) == 2`: "true", `len(details.n) == 1`: "error", `lower(details.n) == "3"`: "error",
		`details.request.body.scope[*] contains "read:users"`: "true", `any(details.request.body.scope, # startsWith "update:")`: "true", `all(details.request.body.scope, # endsWith ":users")`: "true", `none(details.request.body.scope, # == "x")`: "true", `count(details.request.body.scope, # contains "users") == 2`: "true",
	} {
		require.Equal(t, want, verdict(t, cond, helperEvent), cond)
	}
}

func TestEveryFunctionHasAnExampleThatLoads(t *testing.T) {
	for _, f := range detections.Functions() {
		require.True(t, strings.HasPrefix(f.Signature, f.Name+"("), f.Name)
		require.NotEmpty(t, f.Meaning, f.Name)
		require.Contains(t, f.Example, f.Name+"(")
		require.NotEqual(t, "refused", verdict(t, f.Example, helperEvent), f.Example)
	}
}

func TestWhatCanNeverBeComparedIsToldWhenTheRuleIsLoaded(t *testing.T) {
	for cond, want := range map[string]string{
		`ip > 5`:                                     "r.yaml:4:13: r.where: a text cannot be compared with a number (>)",
		`is_mobile == "true"`:                        "true or false cannot be compared with a text (==)",
		`5 != user_name`:                             "r.yaml:4:8: r.where: a number cannot be compared with a text (!=)",
		`type == "fp" && details == "x"`:             "cannot be compared with a text",
		`is_mobile > false`:                          "cannot be compared",
		`len(user_name) == "5"`:                      "leave out the quotes",
		`domain(user_name) in [5]`:                   "a text cannot be compared with a number (in)",
		`type == "fp" && details.error.message == 5`: "a text cannot be compared with a number",
		`details.anything == 5`:                      "",
		`params.x == "a"`:                            "a number cannot be compared with a text",
		`network(ip, "24") == "x"`:                   "network() takes a number here",
		`network(ip) == "x"`:                         "wrong number of arguments for network()",
		`in_network(ip, user_name)`:                  "takes a text in quotes",
		`in_network(ip, "10.0.0.0/80")`:              "is no network",
		`hour(date, "Mars/Base") > 1`:                `unknown time zone "Mars/Base"`,
		`date > "yesterday"`:                         `"yesterday" is no time`,
		`lower(5) == "5"`:                            "lower() takes a text here",
		`lower(user_name)`:                           "a condition is needed, not lower(), a text",
		`repeat(user_name, 5) == "x"`:                "unknown function repeat",
		`domian(user_name) == "x"`:                   "unknown function domian (did you mean domain?)",
	} {
		_, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte("id: r\ntitle: R\nseverity: low\nwhere: " + cond + "\nparams: {x: {default: 5}}\n")}}, nil)
		if want == "" {
			if err != nil {
				require.NotContains(t, err.Error(), "compared", cond)
			}
			continue
		}
		require.ErrorContains(t, err, want, cond)
	}
}

// Under "not" a condition is true where it is known to be false: Kleene's logic,
// with what is unknown at the top not true.
func TestConditionsFollowKleenesLogic(t *testing.T) {
	atoms := map[string]byte{`details.n == 3`: 'T', `details.n == 4`: 'F', `details.gone == 1`: 'U'}
	not := func(a byte) byte { return map[byte]byte{'T': 'F', 'F': 'T', 'U': 'U'}[a] }
	and := func(a, b byte) byte {
		switch {
		case a == 'F' || b == 'F':
			return 'F'
		case a == 'U' || b == 'U':
			return 'U'
		}
		return 'T'
	}
	or := func(a, b byte) byte { return not(and(not(a), not(b))) }
	check := func(text string, value byte) {
		t.Helper()
		want := "false"
		if value == 'T' {
			want = "true"
		}
		require.Equal(t, want, verdict(t, text, helperEvent), text)
	}
	for a, av := range atoms {
		check(a, av)
		check("not ("+a+")", not(av))
		check("not (not ("+a+"))", av)
		for b, bv := range atoms {
			x, xv := "("+a+" && "+b+")", and(av, bv)
			y, yv := "("+a+" || "+b+")", or(av, bv)
			check(x, xv)
			check(y, yv)
			check("not "+x, not(xv))
			check("not "+y, not(yv))
			for c, cv := range atoms {
				check("not ("+x+" || not ("+c+"))", not(or(xv, not(cv))))
				check("not ("+y+" && "+c+") || "+x, or(not(and(yv, cv)), xv))
			}
		}
	}
}
