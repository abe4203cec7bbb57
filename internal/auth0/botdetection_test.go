package auth0

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBotDetectionIsReadWithWhatWeDoNotKnow(t *testing.T) {
	f := newFakeTenant(t, replies(200, botDetectionBody))
	got, err := newClient(t, f, Options{}).BotDetection(t.Context())
	require.NoError(t, err)
	require.Equal(t, BotDetection{
		Level: "medium", PasswordPolicy: "when_risky", PasswordlessPolicy: "never", PasswordResetPolicy: "always",
		Allowlist: []string{"192.0.2.1"}, Monitoring: true, Raw: json.RawMessage(botDetectionBody),
	}, got)
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
			got, err := newClient(t, f, Options{}).PatchBotDetection(t.Context(), test.fields, "op-7")
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
	_, err := c.PatchBotDetection(t.Context(), nil, "op")
	require.ErrorIs(t, err, ErrInvalid)
	_, err = c.PatchBotDetection(t.Context(), map[string]any{"x": func() {}}, "op")
	require.ErrorIs(t, err, ErrInvalid)
	require.Empty(t, f.requests("/"))
}
