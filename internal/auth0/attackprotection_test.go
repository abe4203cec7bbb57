package auth0

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBotDetectionIsReadWithWhatWeDoNotKnow(t *testing.T) {
	f := newFakeTenant(t, replies(200, botDetectionBody))
	got, err := newClient(t, f, Options{}).AttackProtection(t.Context(), BotDetection)
	require.NoError(t, err)
	require.Equal(t, botDetectionBody, string(got.Raw))
	require.Equal(t, "/api/v2/attack-protection/bot-detection", f.requests("/api")[0].path)
}

func TestOnlyTheFieldsGivenGoOnTheWire(t *testing.T) {
	for name, test := range map[string]struct {
		fields map[string]any
		want   string
	}{
		"one":                {map[string]any{"bot_detection_level": "high"}, `{"bot_detection_level":"high"}`},
		"false":              {map[string]any{"monitoring_mode_enabled": false}, `{"monitoring_mode_enabled":false}`},
		"an empty list":      {map[string]any{"allowlist": []string{}}, `{"allowlist":[]}`},
		"null":               {map[string]any{"challenge_password_policy": nil}, `{"challenge_password_policy":null}`},
		"one of a later API": {map[string]any{"new_field": json.RawMessage(`{"a":1.50}`)}, `{"new_field":{"a":1.50}}`},
		"several at once":    {map[string]any{"allowlist": []string{"192.0.2.1"}, "bot_detection_level": "low"}, `{"allowlist":["192.0.2.1"],"bot_detection_level":"low"}`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTenant(t, replies(200, botDetectionBody))
			got, err := newClient(t, f, Options{}).PatchAttackProtection(t.Context(), BotDetection, test.fields, "op-7")
			require.NoError(t, err)
			require.Equal(t, botDetectionBody, string(got.Raw))
			sent := f.requests("/api")
			require.Len(t, sent, 1)
			require.Equal(t, "PATCH", sent[0].method)
			require.Equal(t, test.want, sent[0].body)
			require.Equal(t, "op-7", sent[0].header.Get("X-Correlation-Id"))
			require.Equal(t, "application/json", sent[0].header.Get("Content-Type"))
		})
	}
}

func TestAPatchOfNothingIsRefused(t *testing.T) {
	f := newFakeTenant(t, nil)
	c := newClient(t, f, Options{})
	_, err := c.PatchAttackProtection(t.Context(), BotDetection, nil, "op")
	require.ErrorIs(t, err, ErrInvalid)
	_, err = c.PatchAttackProtection(t.Context(), BotDetection, map[string]any{"x": func() {}}, "op")
	require.ErrorIs(t, err, ErrInvalid)
	require.Empty(t, f.requests("/"))
}

func TestOtherSettingsGoToTheirPlaces(t *testing.T) {
	ctx := t.Context()
	for name, test := range map[string]struct {
		answer string
		call   func(*Client) (Setting, error)
		want   string // method, path and body
	}{
		"throttling": {`{"stage":{}}`, func(c *Client) (Setting, error) {
			return c.PatchAttackProtection(ctx, SuspiciousIP, map[string]any{"stage": map[string]any{"pre-custom-token-exchange": map[string]any{"rate": 5}}}, "op")
		}, `PATCH /api/v2/attack-protection/suspicious-ip-throttling {"stage":{"pre-custom-token-exchange":{"rate":5}}}`},
		"brute force": {`{}`, func(c *Client) (Setting, error) {
			return c.PatchAttackProtection(ctx, BruteForceProtection, map[string]any{"shields": []string{}}, "op")
		}, `PATCH /api/v2/attack-protection/brute-force-protection {"shields":[]}`},
		"breached passwords": {`{}`, func(c *Client) (Setting, error) {
			return c.PatchAttackProtection(ctx, BreachedPasswords, map[string]any{"method": "enhanced"}, "op")
		}, `PATCH /api/v2/attack-protection/breached-password-detection {"method":"enhanced"}`},
		"the MFA policy": {`["all-applications"]`, func(c *Client) (Setting, error) { return c.SetMFAPolicy(ctx, []string{"all-applications"}, "op") },
			`PUT /api/v2/guardian/policies ["all-applications"]`},
		"no MFA policy": {`[]`, func(c *Client) (Setting, error) { return c.SetMFAPolicy(ctx, nil, "op") }, `PUT /api/v2/guardian/policies []`},
		"an MFA factor": {`{"enabled":false}`, func(c *Client) (Setting, error) { return c.SetMFAFactor(ctx, "sms", false, "op") },
			`PUT /api/v2/guardian/factors/sms {"enabled":false}`},
		"a connection": {`{"id":"con_1"}`, func(c *Client) (Setting, error) {
			return c.PatchConnection(ctx, "con_1", map[string]any{"options": json.RawMessage(`{"disable_signup":true}`)}, "op")
		}, `PATCH /api/v2/connections/con_1 {"options":{"disable_signup":true}}`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTenant(t, replies(200, test.answer))
			got, err := test.call(newClient(t, f, Options{}))
			require.NoError(t, err)
			require.Equal(t, test.answer, string(got.Raw))
			sent := f.requests("/api")
			require.Len(t, sent, 1)
			require.Equal(t, test.want, sent[0].method+" "+sent[0].path+" "+sent[0].body)
			require.Equal(t, "op", sent[0].header.Get("X-Correlation-Id"))
		})
	}
}

func TestAConnectionIsFoundByItsName(t *testing.T) {
	f := newFakeTenant(t, replies(200, `{"connections":[{"id":"con_1","name":"users","options":{"x":1.50}}]}`))
	c := newClient(t, f, Options{})
	got, err := c.Connection(t.Context(), "users")
	require.NoError(t, err)
	require.Equal(t, `{"id":"con_1","name":"users","options":{"x":1.50}}`, string(got.Raw))
	require.WithinDuration(t, time.Now(), got.At, 5*time.Second, "the tenant's own clock")
	_, err = c.Connection(t.Context(), "other")
	require.ErrorIs(t, err, ErrNotFound)
}
