package sigma_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/detections/sigma"
)

// catalogDir is where the rules that Auth0 publishes lie, if they are there.
const catalogDir = "../../../shared/data/auth0-catalog"

// verdicts are what becomes of each published file: "loaded", or the codes for
// which its rules are disabled, then the warnings that matter.
var verdicts = map[string]struct{ verdict, warnings string }{
	"attack_protection_features_turned_off.yml":                     {"wrong-list", ""},
	"bot_detection_turned_off.yml":                                  {"loaded", ""},
	"breached_password_detection_settings_manipulated.yml":          {"loaded", ""},
	"brute_force_critical_settings_manipulated.yml":                 {"loaded", ""},
	"client_with_overpermissive_granted_scopes.yml":                 {"placeholder unhashable-value", ""},
	"credential_stuffing_signals.yml":                               {"loaded", "noise"},
	"cross_origin_authentication_enabled.yml":                       {"loaded", ""},
	"grant_mgn_api_scopes.yml":                                      {"placeholder", ""},
	"insecure_grants_enabled_for_applications.yml":                  {"loaded", ""},
	"liquidjs_xss_vulnerability.yml":                                {"regex-dialect", "key-typo"},
	"logins_from_suspicious_tls_fingerprints.yml":                   {"loaded", "base-only"},
	"logins_or_signups_from_suspicious_ips.yml":                     {"base-disabled null-list", "old-tags"},
	"many_failed_authorization_requests.yml":                        {"loaded", "base-only"},
	"many_unverified_accounts_created.yml":                          {"loaded", "old-tags premature"},
	"mfa_donwgrade_risk_assessment_disabled.yml":                    {"loaded", ""},
	"mfa_downgrade_detect_disable_factors.yml":                      {"loaded", ""},
	"mfa_downgrade_disable_mfa_policies.yml":                        {"inverted", ""},
	"multiple_phone_numbers_are_registered_as_mfa.yml":              {"loaded", "base-only"},
	"rapid_creation_of_clients_with_dynamic_registration.yml":       {"loaded", "base-only"},
	"refresh_token_from_multiple_user_agent.yml":                    {"vacuous", ""},
	"refresh_token_from_too_many_locations.yml":                     {"vacuous", ""},
	"refresh_token_reuse.yml":                                       {"vacuous", "stray-key"},
	"risk_for_mfa_push_fatigue.yml":                                 {"loaded", "base-only"},
	"risk_of_copying_client_credentials.yml":                        {"placeholder", ""},
	"risk_of_copying_the_most_powerful_token.yml":                   {"placeholder", ""},
	"risk_of_signup_fraud_by_disposable_domains.yml":                {"vacuous", ""},
	"risk_of_signup_fraud_by_volume.yml":                            {"vacuous", "stray-key"},
	"risk_of_tenant_takeover.yml":                                   {"contradiction", ""},
	"same_guardian_app_is_registered_for_mfa_in_multiple_users.yml": {"loaded", "base-only"},
	"sms_bombarding.yml":                                            {"loaded", "base-only"},
	"suspicious_ip_throttling_critical_settings_manipulated.yml":    {"or-broadening", ""},
	"unrecognized_ip_in_allowlist.yml":                              {"dead-field", ""},
	"use_of_auth0_tenant_name_url.yml":                              {"placeholder", "partial-field"},
}

func published(t *testing.T) []detections.File {
	t.Helper()
	paths, _ := filepath.Glob(catalogDir + "/*.yml")
	if len(paths) == 0 {
		t.Skip("the published rules are not in " + catalogDir)
	}
	var files []detections.File
	for _, p := range paths {
		data, err := os.ReadFile(p)
		require.NoError(t, err)
		files = append(files, detections.File{Name: filepath.Base(p), Data: data})
	}
	return files
}

func TestThePublishedRulesAreLoadedOrDisabledForARightReason(t *testing.T) {
	files := published(t)
	result := sigma.Load(files, sigma.Options{})
	codes, warnings, native := map[string][]string{}, map[string][]string{}, map[string]int{}
	for _, d := range result.Documents {
		file := ""
		for _, f := range d.Disabled {
			file = f.File
			codes[file] = append(codes[file], f.Code)
			require.Positive(t, f.Line, "%s has a place", f.Code)
		}
		for _, w := range d.Warnings {
			if !slices.Contains([]string{"prefix", "missing-meta", "brace-suffix"}, w.Code) {
				warnings[w.File] = append(warnings[w.File], w.Code)
			}
		}
		if len(d.Native.Data) > 0 {
			file, _, _ = strings.Cut(d.Native.Name, "#")
			native[file]++
		}
	}
	unique := func(s []string) string { return strings.Join(slices.Compact(slices.Sorted(slices.Values(s))), " ") }
	for _, f := range files {
		want, ok := verdicts[f.Name]
		require.True(t, ok, "%s: %q %q %d", f.Name, unique(codes[f.Name]), unique(warnings[f.Name]), native[f.Name])
		got := unique(codes[f.Name])
		if got == "" && native[f.Name] > 0 {
			got = "loaded"
		}
		require.Equal(t, want.verdict, got, f.Name)
		require.Equal(t, want.warnings, unique(warnings[f.Name]), f.Name)
	}
	require.Len(t, verdicts, len(files))
	_, err := detections.Load(result.Files(), nil)
	require.NoError(t, err, "all that loads, loads together")
}
