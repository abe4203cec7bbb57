package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/responders/control"
)

func TestLimitsAreCheckedAgainstTheControls(t *testing.T) {
	load := func(limits string) (*Config, error) {
		file := filepath.Join(t.TempDir(), "p.yaml")
		require.NoError(t, os.WriteFile(file, []byte("tenants:\n  - name: acme\n    domain: acme.eu.auth0.com\n    client_id: c\n    client_secret_env: S\n    limits: "+limits+"\n"), 0o600))
		c, err := Load(file)
		if err != nil {
			return nil, err
		}
		_, err = LoadContent(c)
		return c, err
	}
	c, err := load("[{control: bot-detection, level: elevated, until: 2026-12-01T08:00:00Z, actor: ada}]")
	require.NoError(t, err)
	require.Equal(t, []control.Limit{{Level: "elevated", Until: time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC), Actor: "ada"}}, c.Tenants[0].LimitsOf("bot-detection"))
	require.Empty(t, c.Tenants[0].LimitsOf("mfa-policy"))
	for limits, want := range map[string]string{
		"[{control: bot-detektion, level: elevated, until: 2026-12-01T08:00:00Z, actor: ada}]": "no control with levels is called bot-detektion (did you mean bot-detection?)",
		"[{control: bot-detection, level: extreme, until: 2026-12-01T08:00:00Z, actor: ada}]":  `bot-detection has no level "extreme": one of elevated, floor, guarded, maximum`,
		"[{control: bot-detection, level: elevated, until: tomorrow, actor: ada}]":             `"tomorrow" is not a time`,
		"[{control: bot-detection, level: elevated, until: 2026-12-01T08:00:00Z}]":             "actor",
	} {
		_, err := load(limits)
		require.ErrorContains(t, err, want)
	}
}
