package hold

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRenewing(t *testing.T) {
	h := Hold{ID: "hd_1", State: Active, Created: t0, Expires: t0.Add(30 * time.Minute), TTL: 30 * time.Minute, MaxTTL: time.Hour}
	require.True(t, h.Renew(t0.Add(10*time.Minute)))
	require.Equal(t, t0.Add(40*time.Minute), h.Expires)
	require.False(t, h.Renew(t0.Add(5*time.Minute)), "older evidence never shortens")
	require.Equal(t, t0.Add(10*time.Minute), h.Evidence)
	require.True(t, h.Renew(t0.Add(50*time.Minute)))
	require.Equal(t, t0.Add(time.Hour), h.Expires, "never beyond its longest time to live")
	require.False(t, h.Renew(t0.Add(2*time.Hour)))
	require.Equal(t, 2, h.Renewals)
}

func TestOnlyHoldsThatRunAreInForce(t *testing.T) {
	for state, want := range map[State]bool{
		Proposed: false, AwaitingApproval: false, Active: true, Releasing: false, Released: false, Overruled: true, PendingCapacity: true, Failed: false,
	} {
		h := Hold{State: state, Expires: t0}
		require.Equal(t, want, h.InForce(t0.Add(-1)), state)
		require.False(t, h.InForce(t0), state)
	}
}

func TestAHoldKeepsItsIDAndBeginsANewLife(t *testing.T) {
	c := Cause{Rule: "r", Policy: "p", Incident: "in_1", Alert: "al_1"}
	id := ID("acme", "bot-detection", "elevated", "", c)
	c.Alert, c.Rule = "al_2", "s"
	require.Equal(t, id, ID("acme", "bot-detection", "elevated", "", c), "another alert of the incident renews it")
	c.Incident = "in_2"
	require.NotEqual(t, id, ID("acme", "bot-detection", "elevated", "", c))
	t0 := time.Now()
	require.NotEqual(t, (&Hold{ID: id, Created: t0}).Key(), (&Hold{ID: id, Created: t0.Add(time.Second)}).Key())
}
