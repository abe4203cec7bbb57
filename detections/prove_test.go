package detections_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

// proof lists what is proved of a rule: E for an error, W for a warning and N for
// a note, with the columns that are underlined and the message.
func proof(t *testing.T, keys ...string) []string {
	t.Helper()
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(rule(keys...))}}, detections.Lists{
		"logins": detections.NewList("fp", "fu"), "odd": detections.NewList("fp", "pwd_laek"), "empty": detections.NewList(), "bare": detections.NewList(),
		"addresses": detections.NewList("192.0.2.0/24"),
	})
	require.NoError(t, err)
	p := set.Prove()
	var out []string
	for _, e := range p.Errors {
		out = append(out, "E "+under(set.Rules[0], e.Line, e.Col, e.Len)+": "+e.Msg)
	}
	for _, w := range p.Warnings {
		out = append(out, "W "+under(set.Rules[0], w.Line, w.Col, w.Len)+": "+w.Msg)
	}
	for _, n := range p.Notes {
		out = append(out, "N "+under(set.Rules[0], n.Line, n.Col, n.Len)+": "+n.Msg)
	}
	return out
}

// under is the text that a caret would underline.
func under(r *detections.Rule, line, col, length int) string {
	text := []rune(strings.Split(r.Source(), "\n")[line-1])
	return string(text[col-1 : min(len(text), col-1+length)])
}

func TestWhatIsProvedOfAConditionOnOneEvent(t *testing.T) {
	for _, tc := range []struct {
		where string
		want  []string
	}{
		// Fields by type.
		{`type == "fp" && ip == "192.0.2.1"`, nil},
		{`type == "fp" && hostname == "x"`, []string{`E hostname: no event of type fp has hostname`}},
		{`type in ["fp", "s"] && hostname == "x"`, []string{`W hostname: hostname is absent on fp: there nothing compares with it`}},
		{`type in lists.logins && not (hostname == "x")`, []string{`E hostname: no event of type fp and fu has hostname`}},
		{`type == "ferrt" && details.request.channel == "x"`, []string{`W details.request.channel: Auth0 documents no details.request.channel on events of type ferrt`}},
		{`type == "sapi" && details.request.path contains "/rules"`, nil},
		{`type == "sapi" && details.requst.path contains "/rules"`, []string{`W details.requst.path: Auth0 documents no details.requst.path on events of type sapi`}},
		{`type == "fepft" && details.anything == 1`, nil},
		{`type == "not_yet" && details.x == 1 && hostname == "x"`, []string{`W "not_yet": Auth0 documents no event type "not_yet"`}},
		{`type == "s" && details.prompts.name == "x"`, []string{`E details.prompts.name: no event of type s has details.prompts.name`}},
		{`type == "s" && details.prompts[*].name contains "x"`, nil},
		{`type == "s" && ip.v4 == "x"`, []string{`E ip.v4: no event of type s has ip.v4`}},
		{`type == "fp" && (hostname ?? ip) == "x"`, []string{`E hostname: no event of type fp has hostname`}},
		{`type in ["fp", "s"] && (hostname ?? ip) == "x"`, nil},
		{`type == "s" && hostname == "x" || type == "fp" && ip == "192.0.2.1"`, nil},
		{`type in ["s", "pla"] && (details.requiresVerification == true || hostname == "x")`, nil},
		{`ip == "192.0.2.1"`, nil},
		{`location_info.country_code == "CH"`, nil},

		// Names of types and values.
		{`type == "pwd_laek"`, []string{`W "pwd_laek": Auth0 documents no event type "pwd_laek" (did you mean pwd_leak?)`}},
		{`type in ["fp", "limit_cw"]`, []string{`W "limit_cw": Auth0 documents no event type "limit_cw" (did you mean limit_wc?)`}},
		{`type in lists.odd`, []string{`W lists.odd: lists.odd holds "pwd_laek", an event type that Auth0 does not document (did you mean pwd_leak?)`}},
		{`type startsWith "limit_"`, nil},
		{`type == "fertft" && details.failure_reason == "grant_revokd"`, []string{`W "grant_revokd": details.failure_reason is never "grant_revokd" (did you mean grant_revoked?)`}},
		{`type == "fertft" && details.failure_reason in ["grant_revoked", "invalid_token"]`, nil},

		// Contradictions.
		{`type == "fp" && not (ip in lists.empty) && not (ip in lists.bare)`, nil},
		{`type == "fp" && not (ip in lists.empty) && ip in lists.empty`, []string{`E ip in lists.empty: can never be true together with what stands before it`}},
		{`type == "fp" && user_name == "a" && user_name == "b"`, []string{`E user_name == "b": can never be true together with what stands before it`}},
		{`type == "fp" && user_name == "a" && user_name != "a"`, []string{`E user_name != "a": can never be true together with what stands before it`}},
		{`type == "fp" && not (user_name == "a" || user_name != "a")`, []string{`E user_name != "a": can never be true together with what stands before it`}},
		{`type == "fp" && user_name in ["a", "b"] && user_name == "c"`, []string{`E user_name == "c": can never be true together with what stands before it`}},
		{`type == "fp" && user_name == "a@b" && user_name endsWith "@c"`, []string{`E user_name endsWith "@c": can never be true together with what stands before it`}},
		{`type == "fp" && user_name startsWith "a" && user_name startsWith "b"`, []string{`E user_name startsWith "b": can never be true together with what stands before it`}},
		{`type == "ferrt" && details.tokenCounter > 5 && details.tokenCounter < 3`, []string{`E details.tokenCounter < 3: can never be true together with what stands before it`}},
		{`type == "ferrt" && details.tokenCounter > 5 && details.tokenCounter <= 5`, []string{`E details.tokenCounter <= 5: can never be true together with what stands before it`}},
		{`type == "ferrt" && details.tokenCounter > 5 && details.tokenCounter < 6`, nil},
		{`type == "fp" && user_id == nil`, []string{`E user_id == nil: can never be true`}},
		{`type == "fp" && 1 > 2`, []string{`E 1 > 2: can never be true`}},
		{`type == "sapi" && details.request.body.scope[*] == "a" && details.request.body.scope[*] == "b"`, nil},
		{`type == "sapi" && details.request.body.scope[*] == "a" && details.request.body.scope[*] != "a"`, nil},
		{`type == "fp" && ip in lists.empty`, nil}, // a tenant fills it
		{`type == "fp" && ip in lists.addresses && not (ip in lists.addresses)`, []string{`E ip in lists.addresses: can never be true together with what stands before it`}},

		// Branches.
		{`type == "fp" || ip == "192.0.2.1"`, []string{`W ip == "192.0.2.1": this branch holds for events of every type`}},
		{`type == "fp" && (user_name == "a" || user_name == "b")`, nil},
		{`type == "fp" && (ip == "192.0.2.1" || type == "fu")`, []string{`W type == "fu": can never be true here: this branch has no effect`}},
		{`type == "fp" || type == "fu" || type == "fp"`, []string{`W type == "fp": is true only where another branch is: it has no effect`}},
		{`type == "fp" || type == "fp" && ip == "192.0.2.1"`, []string{`W type == "fp" && ip == "192.0.2.1": is true only where another branch is: it has no effect`}},

		// Clauses that are always true.
		{`type == "fp" && user_name == "a" && user_name != ""`, []string{`W user_name != "": is always true where the rest of the condition is: it has no effect`}},
		{`type == "fp" && user_name != ""`, nil},
		{`type == "fp" && (user_name == "" || user_name != "")`, nil}, // false where it is missing
		{`type == "fp" && user_name != "" && user_name != ""`, []string{`W user_name != "": is always true where the rest of the condition is: it has no effect`}},
		{`type == "ferrt" && details.tokenCounter > 5 && details.tokenCounter > 3`, []string{`W details.tokenCounter > 3: is always true where the rest of the condition is: it has no effect`}},
		{`type == "ferrt" && details.tokenCounter > 5 && details.tokenCounter != 3`, []string{`W details.tokenCounter != 3: is always true where the rest of the condition is: it has no effect`}},
		{`type in lists.logins && type != "s"`, nil}, // a tenant may add s
		{`type == "fp" && (user_name == "a" || true)`, []string{`W user_name == "a" || true: is always true where the rest of the condition is: it has no effect`}},
		{`true`, nil},
	} {
		t.Run(tc.where, func(t *testing.T) {
			require.Equal(t, tc.want, proof(t, fmt.Sprintf("where: '%s'", tc.where)))
		})
	}
}

func TestWhatIsProvedOfAConditionOnAWindow(t *testing.T) {
	for _, tc := range []struct {
		having string
		want   []string
	}{
		{`count() > 5`, nil},
		{`count() >= 1`, []string{`E count() >= 1: is always true`}},
		{`count() > 0`, []string{`E count() > 0: is always true`}},
		{`count() >= 0 || distinct(user_name) > 5`, []string{`E count() >= 0 || distinct(user_name) > 5: is always true`}},
		{`distinct(user_name) > 0`, []string{`E distinct(user_name) > 0: is true with the first event already`}},
		{`distinct(user_name) >= params.one`, []string{`E distinct(user_name) >= params.one: is true with the first event already`}},
		{`count() >= params.one && distinct(user_name) >= params.many`, nil},
		{`count() >= params.one || distinct(user_name) >= params.many`, []string{`E count() >= params.one || distinct(user_name) >= params.many: is true with the first event already`}},
		{`count(type == "fp") >= 1 && count(type == "fu") >= 1`, nil},
		{`count(type == "fu") >= 1`, nil}, // not every event is one
		{`max(details.tokenCounter) > 5`, []string{`W details.tokenCounter: Auth0 documents no details.tokenCounter on events of type fp and fu`}},
		{`count() > 5 && count() < 3`, []string{`E count() < 3: can never be true together with what stands before it`}},
		{`count() > 5 && count() < 6`, []string{`E count() < 6: can never be true together with what stands before it`}},
		{`count() > 5 && count() < 7`, []string{`N count() < 7: judged when the window closes, not as events come`}},
		{`count() > params.many && count() < params.one`, []string{`E count() < params.one: can never be true`}},
		{`count() > 5 && count() > 3`, []string{`W count() > 3: is always true where the rest of the condition is: it has no effect`}},
		{`count() > params.many && count() > params.one`, nil}, // a tenant may change either
		{`count() < 1`, []string{`E count() < 1: can never be true`}},
		{`params.one > 1 && count() > 3 || count() > 5`, nil}, // a parameter that turns a part off
		{`count(type == "s") > 3`, []string{`E type == "s": can never be true together with what stands before it`}},
		{`count(hostname == "x") > 3`, []string{`E hostname: no event of type fp and fu has hostname`}},
		{`distinct(hostname) > 3`, []string{`E hostname: no event of type fp and fu has hostname`}},
		{`distinct(identity_user_id) > 3`, nil},
	} {
		t.Run(tc.having, func(t *testing.T) {
			var params []string
			for name, value := range map[string]string{"one": "1", "many": "9"} {
				if strings.Contains(tc.having, "params."+name) {
					params = append(params, name+": {default: "+value+"}")
				}
			}
			require.Equal(t, tc.want, proof(t, "params: {"+strings.Join(params, ", ")+"}", `where: type in ["fp", "fu"]`, "window: 1h", "having: '"+tc.having+"'"))
		})
	}
}
