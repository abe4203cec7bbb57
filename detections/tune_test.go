package detections_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

func TestTuningFindsTheValueThatKeepsTheBudget(t *testing.T) {
	// Each day one burst: of 5, 10, … 70 failures.
	var events []map[string]any
	for day := range 14 {
		for _, ev := range burst(5*(day+1), day*86400, "fp") {
			ev["user_id"] = "auth0|" + ev["user_name"].(string)
			events = append(events, ev)
		}
	}
	s := study(t, explained, events...)
	x, err := s.Tune(t.Context(), "stuffing", "failures", 2)
	require.NoError(t, err)
	require.InDelta(t, 13, x.Days, 0.1)
	require.NotNil(t, x.Choice)
	require.LessOrEqual(t, x.Choice.PerWeek, 2.0)
	require.Equal(t, 3, x.Choice.Alerts, "three alerts in thirteen days are within two a week, four are not")
	require.GreaterOrEqual(t, x.Choice.Value, 55.0)
	require.Less(t, x.Choice.Value, 60.0, "the nearest to what is in force, as near as the second pass looks")
	require.Equal(t, 4, x.Choice.Users)
	require.Equal(t, 1, x.Choice.Addresses)
	for i := 1; i < len(x.Trials); i++ {
		require.Less(t, x.Trials[i-1].Value, x.Trials[i].Value)
		require.GreaterOrEqual(t, x.Trials[i-1].Alerts, x.Trials[i].Alerts)
	}

	_, err = s.Tune(t.Context(), "stuffing", "failure", 2)
	require.ErrorContains(t, err, "did you mean failures?")
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(explained)}}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"failures"}, set.Rule("stuffing").NumericParams())
}
