package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ruleCounts are the sizes of the generated rule sets.
var ruleCounts = []int{33, 1000, 10_000}

// general are conditions that many events must be tested for: no constant of
// theirs narrows them beyond the type.
var general = []struct{ types, where, group, having string }{
	{`["f", "fp", "fu"]`, `not is_private(ip)`, "ip", "count() > 60 && distinct(user_name) > 20"},
	{`["fp"]`, `domain(user_name) != "example.com"`, "user_name", "count() > 30"},
	{`["s", "ss"]`, `location_info.country_code != "CH"`, "user_id", "distinct(location_info.country_code) > 3"},
	{`["gd_send_sms", "gd_auth_failed"]`, `user_id != ""`, "user_id", "count() > 12"},
	{`["ferrt", "fertft"]`, `client_id != ""`, "client_id", "count() > 400"},
	{`["sapi"]`, `details.request.method in ["delete", "patch"]`, "client_id", "count() > 500"},
	{`["limit_wc", "limit_mu", "limit_sul", "pwd_leak"]`, `ip != ""`, "ip", "count() > 5"},
	{`["scp", "scpr", "sv"]`, `user_agent contains "curl"`, "ip", "count() > 5"},
	{`["pla"]`, `details.requiresVerification == true`, "ip", "count() > 20"},
	{`["seacft", "feacft"]`, `user_agent matches "(?i)headless|python"`, "ip", "count() > 20"},
}

// specific are conditions on one application, customer, path or indicator.
var specific = []struct{ types, where, group, having string }{
	{`["fp", "fu"]`, `client_id == "client%06d"`, "ip", "count() > 25"},
	{`["s"]`, `connection == "customer-%d" && location_info.country_code != "US"`, "user_id", "count() > 3"},
	{`["fp", "f"]`, `hostname == "login%d.example.com"`, "ip", "count() > 25 && distinct(user_name) > 9"},
	{`["sapi", "mgmt_api_read"]`, `details.request.path == "/api/v2/resource-servers/%d" && details.response.statusCode == 200`, "client_id", "count() > 2"},
	{`["s", "seacft"]`, `security_context.ja4 == "t13d%06d_8daaf6152771"`, "user_id", "count() > 1"},
	{`["s", "fp", "sertft"]`, `user_id == "auth0|%024d"`, "user_id", "distinct(ip) > 5"},
	{`["fertft", "sertft"]`, `organization_id in ["org_%d", "org_x"] && not is_private(ip)`, "ip", "count() > 90"},
	{`["slo", "scp"]`, `tenant_name == "tenant-%d"`, "user_id", "count() > 10"},
}

// open are conditions on an indicator that no index helps with.
var open = []struct{ types, where, group, having string }{
	{`["s", "fp", "seacft"]`, `user_agent contains "scanner-%d"`, "ip", "count() > 1"},
	{`["ss", "fu", "slo"]`, `user_name endsWith "@customer-%d.example"`, "ip", "count() > 20"},
}

// writeRules writes n rules into a folder below dir and returns it: 33 general
// ones, then specific ones, and one in a hundred that is open.
func writeRules(dir string, n int) (string, error) {
	folder := filepath.Join(dir, fmt.Sprintf("rules-%d", n))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("make the folder for rules: %w", err)
	}
	var out strings.Builder
	for i := range n {
		kind := general[i%len(general)]
		if i >= 33 {
			kind = specific[i%len(specific)]
			if i%100 == 0 {
				kind = open[i/100%len(open)]
			}
			kind.where = fmt.Sprintf(kind.where, i)
		}
		fmt.Fprintf(&out, "---\nid: bench-%d\ntitle: Rule %d of the measurement\nseverity: low\nwhere: >-\n  type in %s && %s\ngroup_by: [%s]\nwindow: %dm\nhaving: %s\n",
			i, i, kind.types, kind.where, kind.group, 10+i%50, kind.having)
	}
	if err := os.WriteFile(filepath.Join(folder, "rules.yaml"), []byte(out.String()), 0o644); err != nil {
		return "", fmt.Errorf("write rules: %w", err)
	}
	return folder, nil
}
