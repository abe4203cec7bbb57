package auth0

import (
	"context"
	"fmt"
	"net/http"

	"github.com/auth0/go-auth0/v3/management/client"
)

// The settings of attack protection, by their name in the API's path.
const (
	BotDetection         = "bot-detection"
	SuspiciousIP         = "suspicious-ip-throttling"
	BruteForceProtection = "brute-force-protection"
	BreachedPasswords    = "breached-password-detection"
)

// attackProtection is how the SDK reads and changes each of them.
var attackProtection = map[string]struct {
	get   func(context.Context, *client.Management) error
	patch func(context.Context, *client.Management, map[string]any, string) error
}{
	BotDetection: {
		func(ctx context.Context, m *client.Management) error {
			_, err := m.AttackProtection.BotDetection.Get(ctx)
			return err
		},
		func(ctx context.Context, m *client.Management, f map[string]any, op string) error {
			_, err := m.AttackProtection.BotDetection.Update(ctx, nil, onlyFields(f), correlation(op))
			return err
		},
	},
	SuspiciousIP: {
		func(ctx context.Context, m *client.Management) error {
			_, err := m.AttackProtection.SuspiciousIPThrottling.Get(ctx)
			return err
		},
		func(ctx context.Context, m *client.Management, f map[string]any, op string) error {
			_, err := m.AttackProtection.SuspiciousIPThrottling.Update(ctx, nil, onlyFields(f), correlation(op))
			return err
		},
	},
	BruteForceProtection: {
		func(ctx context.Context, m *client.Management) error {
			_, err := m.AttackProtection.BruteForceProtection.Get(ctx)
			return err
		},
		func(ctx context.Context, m *client.Management, f map[string]any, op string) error {
			_, err := m.AttackProtection.BruteForceProtection.Update(ctx, nil, onlyFields(f), correlation(op))
			return err
		},
	},
	BreachedPasswords: {
		func(ctx context.Context, m *client.Management) error {
			_, err := m.AttackProtection.BreachedPasswordDetection.Get(ctx)
			return err
		},
		func(ctx context.Context, m *client.Management, f map[string]any, op string) error {
			_, err := m.AttackProtection.BreachedPasswordDetection.Update(ctx, nil, onlyFields(f), correlation(op))
			return err
		},
	},
}

// AttackProtectionPath is where the API has a setting of attack protection.
func AttackProtectionPath(name string) string { return apiPath + "/attack-protection/" + name }

// AttackProtection reads a setting of attack protection; scope read:attack_protection. ErrForbidden if the plan has none,
// ErrNotFound if it was never set up.
func (c *Client) AttackProtection(ctx context.Context, name string) (Setting, error) {
	call := call{"read " + name, http.MethodGet, AttackProtectionPath(name)}
	api, ok := attackProtection[name]
	if !ok {
		return Setting{}, c.refuse(call, fmt.Errorf("%w: there is no such setting", ErrInvalid))
	}
	return c.setting(ctx, call, &map[string]any{}, func(ctx context.Context) error { return api.get(ctx, c.api) })
}

// PatchAttackProtection changes the fields given, named and valued as in the API (such as bot_detection_level: "high"; nil
// is null), and no other, and returns the setting after it; scope update:attack_protection. The API merges objects and
// replaces lists. op is the correlation id, 1 to 64 printable characters, by which the tenant's log names this write.
// After ErrUnknownOutcome read the setting.
func (c *Client) PatchAttackProtection(ctx context.Context, name string, fields map[string]any, op string) (Setting, error) {
	call := call{"change " + name, http.MethodPatch, AttackProtectionPath(name)}
	api, ok := attackProtection[name]
	if !ok {
		return Setting{}, c.refuse(call, fmt.Errorf("%w: there is no such setting", ErrInvalid))
	}
	if len(fields) == 0 {
		return Setting{}, c.refuse(call, fmt.Errorf("%w: no fields are given", ErrInvalid))
	}
	if err := c.checkWrite(call, fields, op); err != nil {
		return Setting{}, err
	}
	return c.setting(ctx, call, &map[string]any{}, func(ctx context.Context) error { return api.patch(ctx, c.api, fields, op) })
}
