package detections_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

// Events that come behind the watermark, for the kinds that are more than counts.
func TestLateEventsOfEveryKindRaiseTheirAlertAndSaySo(t *testing.T) {
	type event struct {
		second int
		fields map[string]any
	}
	for name, tc := range map[string]struct {
		rule   string
		inTime []event
		late   []event
		want   int // alerts, all of them late
	}{
		"a step that was missing": {
			rule:   "where: ip != \"\"\nsteps: [{name: a, where: type == \"fp\"}, {name: b, where: type == \"s\"}]\nwithin: 10m",
			inTime: []event{{60, map[string]any{"type": "s", "ip": "i"}}, {600, map[string]any{"type": "x", "ip": "i"}}},
			late:   []event{{30, map[string]any{"type": "fp", "ip": "i"}}}, want: 1,
		},
		"what nothing followed": {
			rule:   "group_by: [user_id]\nafter: type == \"ss\"\nexpect: type == \"sv\"\nwithin: 2m",
			inTime: []event{{900, map[string]any{"type": "sv", "user_id": "other"}}},
			late:   []event{{700, map[string]any{"type": "ss", "user_id": "u"}}}, want: 1,
		},
		"what was expected and came late": {
			rule:   "group_by: [user_id]\nafter: type == \"ss\"\nexpect: type == \"sv\"\nwithin: 30m",
			inTime: []event{{0, map[string]any{"type": "ss", "user_id": "u"}}, {900, map[string]any{"type": "sv", "user_id": "other"}}},
			late:   []event{{300, map[string]any{"type": "sv", "user_id": "u"}}}, want: 0,
		},
		"a value that is new": {
			rule:   "where: type == \"s\"\nvalue: user_agent\nper: [user_id]\nlearn: 1m",
			inTime: []event{{0, map[string]any{"type": "s", "user_id": "u", "user_agent": "a"}}, {900, map[string]any{"type": "s", "user_id": "u", "user_agent": "a"}}},
			late:   []event{{500, map[string]any{"type": "s", "user_id": "u", "user_agent": "b"}}}, want: 1,
		},
		"a value that is known by now": {
			rule:   "where: type == \"s\"\nvalue: user_agent\nper: [user_id]\nlearn: 20m",
			inTime: []event{{0, map[string]any{"type": "s", "user_id": "u", "user_agent": "a"}}, {900, map[string]any{"type": "s", "user_id": "u", "user_agent": "b"}}},
			late:   []event{{500, map[string]any{"type": "s", "user_id": "u", "user_agent": "b"}}}, want: 0,
		},
		"a change that was changed back since": {
			rule:   "where: type == \"sapi\"\nvalue: details.on\nwhen: now == false",
			inTime: []event{{0, map[string]any{"type": "sapi", "details": map[string]any{"on": true}}}, {600, map[string]any{"type": "sapi", "details": map[string]any{"on": true}}}, {900, map[string]any{"type": "sapi", "details": map[string]any{"on": true}}}},
			late:   []event{{500, map[string]any{"type": "sapi", "details": map[string]any{"on": false}}}}, want: 0,
		},
		"a change that still holds": {
			rule:   "where: type == \"sapi\"\nvalue: details.on\nwhen: now == false",
			inTime: []event{{0, map[string]any{"type": "sapi", "details": map[string]any{"on": true}}}, {900, map[string]any{"type": "other"}}, {901, map[string]any{"type": "sapi", "details": map[string]any{}}}},
			late:   []event{{500, map[string]any{"type": "sapi", "details": map[string]any{"on": false}}}}, want: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte("id: r\ntitle: R\nseverity: low\n" + tc.rule + "\n")}}, nil)
			require.NoError(t, err)
			var opened []detections.Alert
			e, err := detections.NewEngine("acme", set, detections.Options{Ahead: true, OnChange: func(c detections.Change) {
				if c.Transition == detections.Opened {
					opened = append(opened, c.Alert)
				}
			}})
			require.NoError(t, err)
			for _, ev := range append(tc.inTime, tc.late...) {
				ingest(t, e, ev.fields, ev.second)
			}
			e.Settle()
			require.Len(t, opened, tc.want)
			for _, a := range opened {
				require.True(t, a.Late)
			}
			e.Finish()
			require.Len(t, opened, tc.want)
			require.Empty(t, e.Stats().RuleErrors)
		})
	}
}
