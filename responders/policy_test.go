package responders

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/responders/control"
	"portcullis/responders/control/botdetection"
	"portcullis/responders/control/networkacl"
)

func checkers() map[string]Checker {
	return map[string]Checker{
		botdetection.Name: &control.Fields{Name: botdetection.Name, Spec: botdetection.Spec, Levels: levels},
		networkacl.Name:   networkacl.New(nil, nil, nil, "", networkacl.Options{}),
	}
}

func TestProblemsInPoliciesAreShownWhereTheyAre(t *testing.T) {
	for name, tt := range map[string]struct{ policy, want string }{
		"an unknown name in a condition": {
			"id: p\nwhen: alert.rul == \"x\"\ndo:\n  - {hold: bot-detection, level: elevated, for: 1h}\n",
			"p.yaml:2:13: p.when: type responders.policyAlert has no field rul\n 2 | when: alert.rul == \"x\"\n                 ^^^"},
		"an unknown control": {
			"id: p\nwhen: true\ndo:\n  - hold: bot-detecton\n    for: 1h\n",
			"p.yaml:4:11: p.do[0].hold: unknown control bot-detecton (did you mean bot-detection?)\n 4 |   - hold: bot-detecton\n               ^^^^^^^^^^^^\n hint: controls: bot-detection, network-acl"},
		"an unknown level": {
			"id: p\nwhen: true\ndo:\n  - hold: bot-detection\n    level: extreme\n    for: 1h\n",
			"p.yaml:5:12: p.do[0]: bot-detection has no level \"extreme\": one of elevated, floor, maximum\n 5 |     level: extreme\n                ^^^^^^^"},
		"an unknown mode": {
			"id: p\nmode: dare\nwhen: true\ndo:\n  - {hold: bot-detection, level: elevated, for: 1h}\n",
			"p.yaml:2:7: p.mode: unknown mode dare: one of observe, propose, enforce\n 2 | mode: dare\n           ^^^^"},
		"a longest time below the usual one": {
			"id: p\nwhen: true\ndo:\n  - {hold: bot-detection, level: elevated, for: 1h, at_most: 5m}\n",
			"p.yaml:4:62: p.do[0].at_most: is shorter than for\n 4 |   - {hold: bot-detection, level: elevated, for: 1h, at_most: 5m}\n                                                                  ^^"},
		"an unknown key": {
			"id: p\nwhen: true\nlatte: act\ndo:\n  - {hold: bot-detection, level: elevated, for: 1h}\n",
			"p.yaml:3:1: p: unknown key latte (did you mean late?)"},
		"no subject where one is needed": {
			"id: p\nwhen: true\ndo:\n  - hold: network-acl\n    for: 1h\n",
			"p.yaml:4:11: p.do[0]: network-acl needs a subject: whom to match"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadPolicies([]detections.File{{Name: "p.yaml", Data: []byte(tt.policy)}}, checkers())
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestAPolicyWithAProblemDoesNotTakeTheOthersAlong(t *testing.T) {
	policies, err := LoadPolicies([]detections.File{{Name: "p.yaml", Data: []byte(
		"id: a\nwhen: true\ndo:\n  - {hold: bot-detection, level: elevated, for: 1h}\n---\nid: b\nwhen: 5\ndo: []\n---\nid: a\nwhen: true\ndo: []\n")}}, checkers())
	require.ErrorContains(t, err, "p.yaml:7:")
	require.ErrorContains(t, err, "the id a is already used in p.yaml")
	require.Len(t, policies, 1)
	require.Equal(t, 24*time.Hour, policies[0].Do[0].AtMost)
}

func TestAnErrorInOneConditionIsToldAndTouchesNoOtherPolicy(t *testing.T) {
	policies, err := LoadPolicies([]detections.File{{Name: "p.yaml", Data: []byte(
		"id: bad\nwhen: alert.entities.ip[3] == \"x\"\ndo:\n  - {hold: bot-detection, level: elevated, for: 1h}\n---\n" +
			"id: good\nwhen: true\ndo:\n  - {hold: bot-detection, level: elevated, for: 1h}\n  - {hold: network-acl, subject: alert.entities.ip, for: 1h}\n")}}, checkers())
	require.NoError(t, err)
	a := WouldDo(Tenant{Name: "acme", Mode: Enforce}, policies, checkers(), alert(0, 41, "198.51.100.7", "::ffff:198.51.100.7"), detections.Incident{ID: "in_1"})
	require.Len(t, a.Responses, 3, "one address written twice is one subject")
	require.Contains(t, a.Responses[0].Reason, "policy bad could not be evaluated")
	require.Equal(t, "refused", a.Responses[0].Outcome)
}

func TestTheMoreCarefulModeCounts(t *testing.T) {
	require.Equal(t, Observe, Careful(Observe, Enforce))
	require.Equal(t, Propose, Careful(Enforce, Propose))
	require.Equal(t, Enforce, Careful(Enforce, ""))
	require.Equal(t, Propose, Careful("", Propose))
}
