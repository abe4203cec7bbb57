package tenantsim

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAConnectionsOptionsAreReplacedAsAWhole(t *testing.T) {
	tenant := New(Options{CalmRate: -1})
	require.NoError(t, tenant.HumanPatch("/connections/con_SimDatabase00001", map[string]any{"options": map[string]any{"disable_signup": true}}))
	c := tenant.Connection(DefaultConnection)
	require.Equal(t, map[string]any{"disable_signup": true}, c["options"], "what is left out is gone")
	require.Equal(t, DefaultConnection, c["display_name"], "and so is the display name")
	require.ErrorContains(t, tenant.HumanPatch("/connections/con_none", map[string]any{"options": map[string]any{}}), "404")
	require.ErrorContains(t, tenant.HumanPatch("/connections/con_SimDatabase00001", map[string]any{"name": "x"}), "additional properties")
}

func TestMFAIsAListAndSwitches(t *testing.T) {
	tenant := New(Options{CalmRate: -1})
	require.NoError(t, tenant.HumanMFAPolicy("all-applications"))
	require.ErrorContains(t, tenant.HumanMFAPolicy("sometimes"), "no enum match")
	require.NoError(t, tenant.HumanRequest("PUT", "/guardian/factors/sms", map[string]any{"enabled": false}))
	require.ErrorContains(t, tenant.HumanRequest("PUT", "/guardian/factors/sms", map[string]any{}), "enabled is required")
	require.ErrorContains(t, tenant.HumanRequest("PUT", "/guardian/factors/carrier-pigeon", map[string]any{"enabled": true}), "404")
	policies, factors := tenant.MFA()
	require.Equal(t, []string{"all-applications"}, policies)
	require.Equal(t, []string{"otp", "recovery-code"}, factors)

	var last struct {
		Data struct {
			Details struct {
				Request  struct{ Path string }
				Response struct{ Body json.RawMessage }
			}
		}
	}
	id := tenant.Inject(map[string]any{"type": "s"})
	require.NotEmpty(t, id)
	require.NoError(t, json.Unmarshal(tenant.Envelope(tenant.log.events[0].logID), &last))
	require.Equal(t, "/api/v2/guardian/policies", last.Data.Details.Request.Path)
	require.JSONEq(t, `["all-applications"]`, string(last.Data.Details.Response.Body))
}
