package config

import (
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/responders"
)

func TestWhatSomebodySwitchedOffIsProposedToBePutBack(t *testing.T) {
	content, err := LoadContent(nil)
	require.NoError(t, err)
	for _, tt := range []struct{ rule, path, control string }{
		{"bot-detection-off", "", "bot-detection"},
		{"attack-protection-off", "/v2/attack-protection/brute-force-protection", "brute-force-protection"},
		{"attack-protection-off", "/v2/attack-protection/suspicious-ip-throttling", "suspicious-ip-throttling"},
		{"attack-protection-off", "/v2/attack-protection/breached-password-detection", "breached-password-detection"},
		{"brute-force-protection-weakened", "", "brute-force-protection"},
		{"suspicious-ip-throttling-weakened", "", "suspicious-ip-throttling"},
		{"mfa-policy-emptied", "", "mfa-policy"},
	} {
		require.NotNil(t, content.Rules.Rule(tt.rule), tt.rule)
		a := detections.Alert{ID: "al_1", Rule: tt.rule, Severity: detections.High, Group: map[string]string{"path": tt.path}}
		a = responders.WouldDo(responders.Tenant{Name: "acme", Mode: responders.Enforce}, content.Policies, content.Checkers(), a, detections.Incident{ID: "in_1"})
		require.Len(t, a.Responses, 1, tt)
		require.Equal(t, tt.control, a.Responses[0].Control)
		require.Equal(t, "floor", a.Responses[0].Level)
		require.Equal(t, "propose", a.Responses[0].Mode, "a person decides")
	}
}
