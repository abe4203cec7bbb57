package detections_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

func TestAParameterOfOneTenantChangesItsAlertsOnly(t *testing.T) {
	rule := "id: r\ntitle: R\nseverity: low\nparams: {n: {default: 3, min: 1}}\nwhere: type == \"fp\"\ngroup_by: [ip]\nwindow: 10m\nhaving: count() >= params.n\n"
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(rule)}}, nil)
	require.NoError(t, err)
	opened := map[string]int{}
	for tenant, params := range map[string]map[string]map[string]any{"plain": nil, "strict": {"r": {"n": 2}}, "calm": {"r": {"n": 9}}} {
		e, err := detections.NewEngine(tenant, set, detections.Options{Params: params, OnChange: func(c detections.Change) {
			if c.Transition == detections.Opened {
				opened[c.Alert.Tenant] = c.Alert.OpenedAt.Minute()
			}
		}})
		require.NoError(t, err)
		for i := range 5 {
			e.Ingest(failure(t, i, "192.0.2.1", "a"))
		}
		e.Finish()
	}
	require.Equal(t, map[string]int{"plain": 2, "strict": 1}, opened)
}
