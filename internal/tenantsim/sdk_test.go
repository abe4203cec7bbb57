package tenantsim

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/auth0/go-auth0/v3/management"
	sdk "github.com/auth0/go-auth0/v3/management/client"
	"github.com/auth0/go-auth0/v3/management/option"
	"github.com/stretchr/testify/require"
)

// TestTheOfficialClientWorksAgainstTheTenant proves the simulation against the client that the daemon uses.
func TestTheOfficialClientWorksAgainstTheTenant(t *testing.T) {
	tenant := New(Options{Start: testStart, CalmRate: -1})
	srv := httptest.NewServer(tenant.Handler())
	t.Cleanup(srv.Close)
	ctx := t.Context()
	api, err := sdk.New(srv.Listener.Addr().String(), option.WithInsecure(),
		option.WithClientCredentialsAndAudience(ctx, DefaultClientID, DefaultClientSecret, tenant.Audience()), option.WithoutRetries())
	require.NoError(t, err)

	bot, err := api.AttackProtection.BotDetection.Get(ctx)
	require.NoError(t, err)
	require.Equal(t, management.BotDetectionLevelEnumMedium, bot.BotDetectionLevel)
	correlation := http.Header{}
	correlation.Set("X-Correlation-ID", "op-7")
	updated, err := api.AttackProtection.BotDetection.Update(ctx, &management.UpdateBotDetectionSettingsRequestContent{
		BotDetectionLevel: management.BotDetectionLevelEnumHigh.Ptr(),
		Allowlist:         &management.BotDetectionAllowlist{},
	}, option.WithHTTPHeader(correlation))
	require.NoError(t, err)
	require.Equal(t, management.BotDetectionLevelEnumHigh, *updated.BotDetectionLevel)
	require.Equal(t, "high", tenant.BotDetection()["bot_detection_level"])

	rule := func(ip string) *management.NetworkACLRule {
		return &management.NetworkACLRule{
			Action: &management.NetworkACLAction{Block: management.Bool(true)},
			Match:  &management.NetworkACLMatch{Ipv4Cidrs: []management.NetworkACLMatchIpv4Cidr{ip}},
			Scope:  management.NetworkACLRuleScopeEnumAuthentication,
		}
	}
	priority := 10.0
	create := &management.CreateNetworkACLRequestContent{Description: "guard", Active: true, Priority: &priority, Rule: rule("192.0.2.0/24")}
	require.NoError(t, api.NetworkACLs.Create(ctx, create))
	var conflict *management.ConflictError
	require.ErrorAs(t, api.NetworkACLs.Create(ctx, create), &conflict)

	page, err := api.NetworkACLs.List(ctx, &management.ListNetworkACLsRequestParameters{})
	require.NoError(t, err)
	var ids []string
	for it := page.Iterator(); it.Next(ctx); {
		require.Equal(t, "guard", *it.Current().Description)
		ids = append(ids, *it.Current().ID)
	}
	require.Len(t, ids, 1)

	_, err = api.NetworkACLs.Update(ctx, ids[0], &management.UpdateNetworkACLRequestContent{Rule: rule("198.51.100.7")})
	require.NoError(t, err)
	got, err := api.NetworkACLs.Get(ctx, ids[0])
	require.NoError(t, err)
	require.Equal(t, "198.51.100.7", got.Rule.Match.Ipv4Cidrs[0])
	_, err = api.NetworkACLs.Set(ctx, ids[0], &management.SetNetworkACLRequestContent{Description: "set", Active: false, Rule: rule("192.0.2.1")})
	require.NoError(t, err)

	require.NoError(t, api.NetworkACLs.Delete(ctx, ids[0]))
	var missing *management.NotFoundError
	require.ErrorAs(t, api.NetworkACLs.Delete(ctx, ids[0]), &missing)

	throttling, err := api.AttackProtection.SuspiciousIPThrottling.Get(ctx)
	require.NoError(t, err)
	require.False(t, *throttling.Enabled)
	brute, err := api.AttackProtection.BruteForceProtection.Update(ctx, &management.UpdateBruteForceSettingsRequestContent{MaxAttempts: management.Int(3)})
	require.NoError(t, err)
	require.Equal(t, 3, *brute.MaxAttempts)
	_, err = api.AttackProtection.BreachedPasswordDetection.Get(ctx)
	require.NoError(t, err)

	logs, err := api.Logs.List(ctx, &management.ListLogsRequestParameters{Sort: management.String("date:-1")})
	require.NoError(t, err)
	require.Equal(t, "patch", at(*logs.Results[0].Details, "request.method"))
	writes := decodeEvents(t, tenant)
	require.Len(t, writes, 6)
	require.Equal(t, "op-7", at(writes[0], "references.correlation_id"))
}
