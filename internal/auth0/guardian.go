package auth0

import (
	"context"
	"net/http"

	"github.com/auth0/go-auth0/v3/management"
)

// Where the API has the settings of multi-factor authentication.
const (
	MFAPolicyPath     = apiPath + "/guardian/policies"
	MFAFactorsPath    = apiPath + "/guardian/factors"
	PhoneMessagesPath = MFAFactorsPath + "/phone/message-types"
)

// MFAPolicy reads when a second factor is asked for: a list that is empty for never, or holds confidence-score or
// all-applications; scope read:mfa_policies.
func (c *Client) MFAPolicy(ctx context.Context) (Setting, error) {
	return c.setting(ctx, call{"read the MFA policy", http.MethodGet, MFAPolicyPath}, &[]any{}, func(ctx context.Context) error {
		_, err := c.api.Guardian.Policies.List(ctx)
		return err
	})
}

// SetMFAPolicy replaces the policy; scope update:mfa_policies. op as for [Client.PatchAttackProtection].
func (c *Client) SetMFAPolicy(ctx context.Context, policies []string, op string) (Setting, error) {
	call := call{"change the MFA policy", http.MethodPut, MFAPolicyPath}
	if err := c.checkWrite(call, policies, op); err != nil {
		return Setting{}, err
	}
	body := make(management.SetGuardianPoliciesRequestContent, 0, len(policies)) // never nil: the SDK would send nothing
	for _, p := range policies {
		body = append(body, management.MfaPolicyEnum(p))
	}
	return c.setting(ctx, call, &[]any{}, func(ctx context.Context) error {
		_, err := c.api.Guardian.Policies.Set(ctx, body, correlation(op))
		return err
	})
}

// MFAFactors reads which factors are enabled: a list of objects with name and enabled; scope read:guardian_factors.
func (c *Client) MFAFactors(ctx context.Context) (Setting, error) {
	return c.setting(ctx, call{"read MFA factors", http.MethodGet, MFAFactorsPath}, &[]map[string]any{}, func(ctx context.Context) error {
		_, err := c.api.Guardian.Factors.List(ctx)
		return err
	})
}

// SetMFAFactor enables or disables one factor; scope update:guardian_factors. op as for [Client.PatchAttackProtection].
func (c *Client) SetMFAFactor(ctx context.Context, name string, enabled bool, op string) (Setting, error) {
	call := call{"change MFA factor " + name, http.MethodPut, MFAFactorsPath + "/" + name}
	if err := c.checkWrite(call, enabled, op); err != nil {
		return Setting{}, err
	}
	return c.setting(ctx, call, &map[string]any{}, func(ctx context.Context) error {
		factor := management.GuardianFactorNameEnum(name)
		_, err := c.api.Guardian.Factors.Set(ctx, &factor, &management.SetGuardianFactorRequestContent{Enabled: enabled}, correlation(op))
		return err
	})
}
