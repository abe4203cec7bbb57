package detections_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

func TestTheEventTypesThatARuleNeedsFollowFromItsConditions(t *testing.T) {
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(`
{id: any, title: Any, severity: low, where: ip == "192.0.2.1"}
---
{id: fails, title: Fails, severity: low, where: 'type in ["fp", "fu"]', group_by: [ip], publish: {list: bad, value: ip, ttl: 1h}}
---
{id: after-fails, title: A success after fails, severity: low, where: type == "s" && ip in lists.bad}
---
{id: steps, title: Steps, severity: low, within: 1h, steps: [{name: one, where: type == "ss"}, {name: two, where: type == "sapi"}]}
---
{id: half, title: Half, severity: low, within: 1h, after: type == "ss", expect: user_id == "x"}
---
{id: of-fails, title: Of fails, severity: low, on: signals, where: 'rule in ["fails", "steps"]', window: 1h, having: count() > 1}
---
{id: of-any, title: Of any, severity: low, on: signals, where: rule == "any", window: 1h, having: count() > 1}
`)}}, nil)
	require.NoError(t, err)
	needs := map[string][]string{}
	for _, r := range set.Rules {
		needs[r.ID] = set.LogTypes(r)
	}
	require.Equal(t, map[string][]string{
		"any": nil, "fails": {"fp", "fu"}, "after-fails": {"fp", "fu", "s"}, "steps": {"sapi", "ss"}, "half": nil,
		"of-fails": {"fp", "fu", "sapi", "ss"}, "of-any": nil,
	}, needs)
	require.Equal(t, []string{"auth.login.fail", "auth.login.success"}, set.StreamCategories(set.Rule("after-fails")))
	require.Empty(t, set.StreamCategories(set.Rule("any")))
}
