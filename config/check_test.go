package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goodRule = "id: mine\ntitle: T\nseverity: low\nwhere: type == \"s\"\n"

func TestAMissingPathHidesNoOtherProblem(t *testing.T) {
	dir := filepath.Dir(write(t, minimal, "bad.yaml", "id: bad\ntitle: T\nseverity: low\nwhere: ipp == \"x\"\n"))
	_, err := Check("", []string{filepath.Join(dir, "bad.yaml"), filepath.Join(dir, "absent.yaml")})
	got := heads(t, err)
	require.Len(t, got, 2)
	require.Contains(t, got[0], "absent.yaml: read ")
	require.Equal(t, "bad.yaml:4:8: bad.where: unknown name ipp (did you mean ip?)", got[1])
}

func TestAnIDInTwoFilesOfAFolderIsFound(t *testing.T) {
	const policy = "id: p\nwhen: true\ndo:\n  - {hold: bot-detection, level: elevated, for: 1h}\n"
	dir := filepath.Dir(write(t, minimal, "rules/a.yaml", goodRule, "rules/b.yaml", goodRule, "policies/a.yaml", policy, "policies/b.yaml", policy))
	found, err := Check("", []string{dir, filepath.Join(dir, "rules", "a.yaml")})
	got := heads(t, err)
	require.Len(t, got, 2, "a file that is named twice is read once")
	require.Contains(t, got[0], "p: the id p is already used in ")
	require.Contains(t, got[1], "b.yaml:1:5: mine.id: the id is already used at ")
	require.Equal(t, [3]int{1, 1, 1}, [3]int{found.Rules, found.Policies, found.Configs})
}

func TestAConfigurationGivenAsAPathIsCheckedWithItsContent(t *testing.T) {
	p := write(t, strings.Replace(minimal, "client_id: c", "client_id: 5, params: {mine: {n: 1}}", 1)+"rules: {dirs: [rules], disable: [gone], lists: {office: [10.0.0.0/8]}}\n",
		"rules/a.yaml", strings.Replace(goodRule, `type == "s"`, "ip in lists.office", 1))
	_, err := Check("", []string{p})
	_, same := Check(p, nil)
	require.Equal(t, same, err)
	require.Len(t, heads(t, err), 3)
	_, err = Check("", []string{filepath.Dir(p)})
	require.Equal(t, same, err, "rules beside the only configuration may name its lists")
}

func TestWhatCanNeverWorkIsRefused(t *testing.T) {
	for change, want := range map[string]string{
		`store: {dir: ""}`:                                          "portcullis.yaml:3:14: store.dir: is empty",
		"logs: {poll: {every: 100ms}}":                              "portcullis.yaml:2:71: tenants.logs.poll.every: 100ms is too often",
		"logs: {poll: {every: 500ms}}":                              "",
		"logs: {webhook: {path: /a, token_env: T, max_body: 1KB}}":  "portcullis.yaml:2:101: tenants.logs.webhook.max_body: 1KB is not between 64KiB and 64MiB",
		"logs: {webhook: {path: /a, token_env: T, max_body: 5}}":    "portcullis.yaml:2:101: tenants[0].logs.webhook.max_body: must be a size with its unit, found the number 5",
		"logs: {webhook: {path: /a, token_env: T, max_body: 1MiB}}": "",
		"logs: {webhook: {path: /a, token_env: T, rate: 0}}":        "portcullis.yaml:2:97: tenants.logs.webhook.rate: 0 requests a second is not between 0.1 and a million",
		"logs: {webhook: {path: /a, token_env: T, rate: 2e6}}":      "portcullis.yaml:2:97: tenants.logs.webhook.rate: 2e+06 requests a second is not between 0.1 and a million",
		"logs: {webhook: {path: /a, token_env: T, rate: 0.5}}":      "",
		"store: {retention: {events: {size: 1MB}}}":                 "portcullis.yaml:3:36: store.retention.events.size: 1MB is less than a few messages take",
		"store: {retention: {deeds: {size: lots}}}":                 `portcullis.yaml:3:35: store.retention.deeds.size: "lots" is not a size`,
		"store: {retention: {findings: {age: 2 years}}}":            `portcullis.yaml:3:37: store.retention.findings.age: "2 years" is not a length of time`,
		"store: {retention: {events: {age: 40d, size: 20GB}}}":      "",
		"custom_domain: 127.0.0.1":                                  `portcullis.yaml:2:65: tenants.custom_domain: "127.0.0.1" is an address, not a host name`,
		`custom_domain: "::1"`:                                      `portcullis.yaml:2:65: tenants.custom_domain: "::1" is an address, not a host name`,
		"custom_domain: A.auth0.com":                                "",
		"base_url: http://me:hunter2@127.0.0.1:9000":                "portcullis.yaml:2:60: tenants.base_url: must not hold a user name or a password",
		"base_url: http://me:hunter2@127.0.0.1:90000":               "portcullis.yaml:2:60: tenants.base_url: must not hold a user name or a password",
		"base_url: http://127.0.0.1:70000":                          "portcullis.yaml:2:60: tenants.base_url: 70000 is no port: they go from 1 to 65535",
		"base_url: http://127.0.0.1/api":                            "portcullis.yaml:2:60: tenants.base_url: has the path /api: only a host and a port belong here",
		"base_url: 'http://127.0.0.1/?a=b'":                         "portcullis.yaml:2:60: tenants.base_url: must not hold a query or a fragment",
	} {
		text := strings.Replace(minimal, "client_id: c,", "client_id: c, "+change+",", 1)
		if strings.HasPrefix(change, "store") {
			text = minimal + change + "\n"
		}
		if strings.Contains(change, "webhook") {
			text += "http: {listen: 127.0.0.1:0}\n"
		}
		_, err := Load(write(t, text))
		if want == "" {
			require.NoError(t, err, change)
			continue
		}
		require.Error(t, err, change)
		require.Equal(t, []string{want}, heads(t, err), change)
		require.Contains(t, err.Error(), "hint: ", change)
	}
}

func TestATenantIsGivenOnce(t *testing.T) {
	const second = "  - {name: b, domain: b.auth0.com, client_id: c, client_secret_env: X, base_url: 'http://localhost:9000/'}\n"
	first := strings.Replace(minimal, "client_id", "base_url: 'http://localhost:9001', client_id", 1)
	_, err := Load(write(t, first+second))
	require.NoError(t, err)
	_, err = Load(write(t, strings.Replace(first, "9001", "9000", 1)+second))
	require.Equal(t, []string{"portcullis.yaml:3:82: tenants.base_url: http://localhost:9000/ is already given to tenant a on line 2"}, heads(t, err))
	_, err = Load(write(t, first+strings.Replace(second, "b.auth0", "A.Auth0", 1)))
	require.Equal(t, []string{"portcullis.yaml:3:23: tenants.domain: A.Auth0.com is already given to tenant a on line 2"}, heads(t, err))
}

func TestASecretIsOneLineWithoutAByteOrderMark(t *testing.T) {
	p := write(t, full, "secret.txt", "\ufeffhunter2\r\n")
	c, err := Load(p)
	require.NoError(t, err)
	s, err := c.ClientSecret(&c.Tenants[0])
	require.NoError(t, err)
	require.Equal(t, "hunter2", s.Reveal())
	for _, text := range []string{"hunter2\nhunter3\n", "hunter2\rhunter3"} {
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(p), "secret.txt"), []byte(text), 0o600))
		_, err = c.ClientSecret(&c.Tenants[0])
		require.ErrorContains(t, err, "holds more than one line: put the secret alone on one line")
		require.NotContains(t, err.Error(), "hunter")
	}
}

func TestEventsAreKeptAsLongAsTheLongestRuleLooksBack(t *testing.T) {
	const month = "id: month\ntitle: Many in a month\nseverity: low\nwhere: type == \"fp\"\nwindow: 40d\nhaving: count() > 5\n"
	const usual = "id: usual\ntitle: More than is usual\nseverity: low\nwhere: type == \"fp\"\nwindow: 1d\nhaving: count() > 2 * baseline(count(), 50d).mean\n"
	check := func(rule, more string) error {
		p := write(t, minimal+"rules: {catalog: false, dirs: [rules]}\n"+more, "rules/a.yaml", rule)
		c, err := Load(p)
		require.NoError(t, err)
		_, err = LoadContent(c)
		_, checked := Check(p, nil)
		require.Equal(t, err, checked, "check says what the daemon says")
		return err
	}
	const kept = "store: {retention: {events: {age: %s}}}\n"
	require.NoError(t, check(goodRule, ""))
	err := check(month, "")
	require.Equal(t, []string{"portcullis.yaml:1:1: store.retention.events.age: events are kept for 31d, and rule month looks back over 40d"}, heads(t, err))
	require.ErrorContains(t, err, "hint: keep them for at least 41d, or disable the rule")
	require.Equal(t, []string{"portcullis.yaml:4:35: store.retention.events.age: events are kept for 40d, and rule month looks back over 40d"}, heads(t, check(month, fmt.Sprintf(kept, "40d"))), "and late events count")
	require.NoError(t, check(month, fmt.Sprintf(kept, "41d")))
	require.ErrorContains(t, check(usual, fmt.Sprintf(kept, "41d")), "rule usual looks back over 52d")
	require.NoError(t, check(usual, fmt.Sprintf(kept, "53d")))
}

func TestADeedThatGoesIsWarnedOf(t *testing.T) {
	for _, bound := range []string{"age: 400d", "size: 1GB"} {
		c, err := Load(write(t, minimal+"store: {retention: {deeds: {"+bound+"}}}\n"))
		require.NoError(t, err)
		require.Len(t, c.Warnings, 1)
		require.Equal(t, "store.retention.deeds", c.Warnings[0].Key)
	}
}
