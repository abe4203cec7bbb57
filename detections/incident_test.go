package detections_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

func change(tr detections.Transition, id string, sev detections.Severity, opened time.Duration, resolved ...time.Duration) detections.Change {
	a := detections.Alert{ID: id, Rule: "r", Tenant: "acme", Campaign: "c", Severity: sev, Title: "T " + id, OpenedAt: oracleBase.Add(opened), UpdatedAt: oracleBase.Add(opened)}
	for _, d := range resolved {
		at := oracleBase.Add(d)
		a.ResolvedAt = &at
	}
	return detections.Change{Transition: tr, Alert: a}
}

func TestAlertsOfACampaignFoldIntoOneIncident(t *testing.T) {
	var is detections.Incidents
	first, _, rose := is.Apply(change(detections.Opened, "a", detections.Low, 0))
	require.True(t, rose, "it is new")
	again, _, rose := is.Apply(change(detections.Opened, "a", detections.Low, 0))
	require.False(t, rose)
	require.Equal(t, first, again, "the same change again changes nothing")

	is.SetResponses(first.ID, "a", []detections.Response{{Kind: "hold"}})
	in, _, rose := is.Apply(change(detections.Updated, "a", detections.Low, 0))
	require.False(t, rose)
	require.Len(t, in.Alerts[0].Responses, 1, "an update keeps what was done")

	in, _, rose = is.Apply(change(detections.Opened, "b", detections.High, time.Minute))
	require.True(t, rose, "it became more severe")
	require.Equal(t, first.ID, in.ID)
	require.Equal(t, "T b", in.Title)
	_, _, rose = is.Apply(change(detections.Opened, "c", detections.Medium, 2*time.Minute))
	require.False(t, rose)

	for _, id := range []string{"a", "b", "c"} {
		require.Nil(t, in.ResolvedAt)
		in, _, _ = is.Apply(change(detections.Resolved, id, detections.Low, 0, 10*time.Minute))
	}
	require.Equal(t, oracleBase.Add(10*time.Minute), *in.ResolvedAt)
	require.Equal(t, detections.High, in.Severity)

	in, _, _ = is.Apply(change(detections.Opened, "d", detections.Low, 40*time.Minute))
	require.Equal(t, first.ID, in.ID, "thirty minutes after: the same campaign goes on")
	require.Nil(t, in.ResolvedAt)
	is.Apply(change(detections.Resolved, "d", detections.Low, 40*time.Minute, 50*time.Minute))
	in, _, rose = is.Apply(change(detections.Opened, "e", detections.Low, 80*time.Minute+time.Millisecond))
	require.NotEqual(t, first.ID, in.ID)
	require.True(t, rose)
	require.Len(t, is.All(), 2)

	held, ok := is.Holding("d")
	require.True(t, ok)
	var restored detections.Incidents
	restored.Restore(held)
	after, _, rose := restored.Apply(change(detections.Resolved, "d", detections.Low, 40*time.Minute, 50*time.Minute))
	require.False(t, rose)
	require.Equal(t, held, after, "after a restart too")
	restored.Forget(held.ID)
	_, ok = restored.Holding("d")
	require.False(t, ok)
	require.Zero(t, restored.SetResponses(held.ID, "d", nil))
}
