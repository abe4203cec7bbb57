package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/responders"
)

// full is the configuration of the documentation with names of real sources.
const full = `
store: {dir: ./data}
http:  {listen: 127.0.0.1:8070, token_file: ./token}
tenants:
  - name: acme-prod
    domain: acme.eu.auth0.com
    client_id: abc
    client_secret_file: secret.txt
    base_url: http://127.0.0.1:9000
    mode: observe
    logs:
      poll: {every: 2s, start: now}
      webhook: {path: /logs/acme-prod, token_env: LOG_TOKEN}
    never_touch: {networks: [203.0.113.0/24], users: [], clients: []}
    budgets: {block_user: {hour: 20, day: 100}, network_acl_entry: {hour: 200}}
    params: {credential-stuffing-ip: {failures: 80}}
    modes: {contain-credential-stuffing: propose}
rules: {catalog: true, dirs: [], disable: [], lists: {trusted_networks: [203.0.113.0/24]}}
policies: {catalog: true, dirs: []}
slack: {bot_token_env: PORTCULLIS_TEST_BOT, app_token_env: APP, channel: "#identity-oncall", roles: {U012ABC: approve}}
notify: []
`

const minimal = "tenants:\n  - {name: a, domain: a.auth0.com, client_id: c, client_secret_env: X}\n"

func write(t *testing.T, text string, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		p := filepath.Join(dir, files[i])
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o700))
		require.NoError(t, os.WriteFile(p, []byte(files[i+1]), 0o600))
	}
	p := filepath.Join(dir, "portcullis.yaml")
	require.NoError(t, os.WriteFile(p, []byte(text), 0o600))
	return p
}

// heads are the first lines of all problems, without the folder.
func heads(t *testing.T, err error) []string {
	t.Helper()
	var ps diag.Problems
	require.ErrorAs(t, err, &ps)
	var out []string
	for _, p := range ps {
		out = append(out, strings.ReplaceAll(p.Head(), filepath.Dir(p.File)+"/", ""))
	}
	return out
}

func TestTheDocumentedConfigurationLoads(t *testing.T) {
	c, err := Load(write(t, full))
	require.NoError(t, err)
	_, err = LoadContent(c)
	require.NoError(t, err)
	tenant := c.Tenants[0]
	require.Equal(t, "acme.eu.auth0.com", tenant.Domain)
	require.Equal(t, responders.Observe, tenant.Mode)
	require.Equal(t, 2*time.Second, tenant.Logs.Poll.Every)
	require.Equal(t, Budget{Hour: 200}, tenant.Budgets["network_acl_entry"])
	require.Equal(t, 80, tenant.Params["credential-stuffing-ip"]["failures"])
	var warned []string
	for _, w := range c.Warnings {
		warned = append(warned, w.Key)
	}
	require.Equal(t, []string{"slack.app_token_env", "slack.roles", "tenants.budgets.block_user"}, warned)
}

func TestTheReferenceConfigurationLoadsStrictlyAndSaysTheDefaults(t *testing.T) {
	c, err := Load("reference.yaml")
	require.NoError(t, err)
	require.Empty(t, c.Warnings)
	_, err = LoadContent(c)
	require.NoError(t, err)
	d, err := Load(write(t, minimal))
	require.NoError(t, err)
	require.Equal(t, d.Store, c.Store)
	require.Equal(t, d.Tenants[0].Mode, c.Tenants[0].Mode)
	require.Equal(t, d.Tenants[0].Logs.Poll, c.Tenants[0].Logs.Poll)
	require.Equal(t, d.Rules.Catalog, c.Rules.Catalog)
	require.Equal(t, d.Policies.Catalog, c.Policies.Catalog)

	// Every commented key, uncommented, is a known one too.
	data, err := os.ReadFile("reference.yaml")
	require.NoError(t, err)
	for _, key := range []string{"custom_domain", "client_secret_file", "private_key_file", "base_url", "nats", "creds_file", "bot_token_env", "app_token_env", "listen", "webhook", "max_body", "rate", "deeds", "block_user"} {
		require.Contains(t, string(data), key)
	}
}

func TestEveryProblemComesAtOnceWithItsPlace(t *testing.T) {
	_, err := Load(write(t, `stor: {}
store: {dir: ./data, nats: "nats://h", creds_fil: x}
tenants:
  - name: Acme Prod
    domain: https://acme.auth0.com
    client_id: 5
    client_secret_env: A
    client_secret_file: b
    base_url: https://acme.auth0.com
    mode: enforced
    logs: {poll: {every: often, start: yesterday}}
    never_touch: {networks: [203.0.113.0/33, office], user: []}
    budgets: {block_usr: {hour: 1}, network_acl_entry: {hour: -1}}
    modes: {credential-attack: prpose}
  - {name: two, domain: two.auth0.com, client_id: c}
  - {name: two, domain: two.auth0.com, client_id: c, private_key_file: k}
rules: {lists: {trusted_networks: [203.0.113.0/99]}}
slack: {channel: "#x"}
`))
	require.Equal(t, []string{
		"portcullis.yaml:1:1: unknown key stor (did you mean store?)",
		"portcullis.yaml:2:28: store: give dir or nats, not both",
		"portcullis.yaml:2:40: store: unknown key creds_fil (did you mean creds_file?)",
		`portcullis.yaml:4:11: tenants.name: "Acme Prod" must be lower-case words joined by hyphens`,
		`portcullis.yaml:5:13: tenants.domain: "https://acme.auth0.com" is not a host name`,
		"portcullis.yaml:6:16: tenants[0].client_id: must be text, found the number 5",
		"portcullis.yaml:8:25: tenants: client_secret_env and client_secret_file are both given, one is needed",
		"portcullis.yaml:9:15: tenants.base_url: leads to acme.auth0.com: it is only for a simulation on this machine",
		"portcullis.yaml:10:11: tenants.mode: unknown mode enforced (did you mean enforce?)",
		`portcullis.yaml:11:26: tenants[0].logs.poll.every: "often" is not a length of time`,
		`portcullis.yaml:11:40: tenants.logs.poll.start: "yesterday" is no place to start`,
		`portcullis.yaml:12:30: tenants.never_touch.networks: "203.0.113.0/33" is neither an address nor a network`,
		`portcullis.yaml:12:46: tenants.never_touch.networks: "office" is neither an address nor a network`,
		"portcullis.yaml:12:55: tenants[0].never_touch: unknown key user (did you mean users?)",
		"portcullis.yaml:13:26: tenants.budgets.block_usr: unknown kind block_usr (did you mean block_user?)",
		"portcullis.yaml:13:56: tenants.budgets.network_acl_entry: a budget cannot be negative",
		"portcullis.yaml:14:32: tenants.modes.credential-attack: unknown mode prpose (did you mean propose?)",
		"portcullis.yaml:15:5: tenants: one of client_secret_env, client_secret_file, private_key_file is missing",
		"portcullis.yaml:16:12: tenants.name: the name two is given twice",
		"portcullis.yaml:16:25: tenants.domain: two.auth0.com is already given to tenant two on line 15",
		`portcullis.yaml:17:36: rules.lists.trusted_networks: "203.0.113.0/99" is not a network`,
		"portcullis.yaml:18:8: slack: one of bot_token_env, bot_token_file is missing",
	}, heads(t, err))
}

func TestOtherFilesAreRefusedKindly(t *testing.T) {
	for text, want := range map[string]string{
		"": "portcullis.yaml: holds 0 documents, one is needed", minimal + "---\n" + minimal: "portcullis.yaml: holds 2 documents, one is needed",
		"tenants: []\n": "portcullis.yaml:1:10: tenants: name at least one tenant", "tenants: x\n": `portcullis.yaml:1:10: tenants: must be a list, found the text "x"`,
		"{}\n": "portcullis.yaml:1:1: key tenants is missing", "- x\n": "portcullis.yaml:1:1: must be a mapping of keys to values, found a list",
	} {
		_, err := Load(write(t, text))
		require.Equal(t, []string{want}, heads(t, err), text)
	}
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestBaseURLsLeadOnlyToThisMachine(t *testing.T) {
	for url, ok := range map[string]bool{
		"http://127.0.0.1:9000": true, "http://[::1]:9000": true, "http://localhost:9000": true, "https://127.0.0.9": true,
		"http://127.0.0.1:9000/": true, "http://127.0.0.1:70000": false, "http://127.0.0.1:0": false, "http://127.0.0.1/api": false, "http://127.0.0.1?": false,
		"http://127.0.0.1/?a=b": false, "http://127.0.0.1#": false, "http://u:p@127.0.0.1": false, "http://:9000": false,
		"http://10.0.0.1": false, "http://127.0.0.1.evil.example": false, "http://localhost.evil.example": false, "http://user@evil.example": false,
		"http://127.0.0.1@evil.example": false, "ftp://127.0.0.1": false, "127.0.0.1:9000": false, "http://0.0.0.0": false, "http://": false,
	} {
		_, err := Load(write(t, strings.Replace(minimal, "client_id", "base_url: '"+url+"', client_id", 1)))
		require.Equal(t, ok, err == nil, "%s: %v", url, err)
	}
}

func TestSecretsAreReadFromTheirSourceAndNeverShown(t *testing.T) {
	const text = "hunter2-do-not-show"
	t.Setenv("PORTCULLIS_TEST_BOT", " "+text+"\n")
	c, err := Load(write(t, full, "secret.txt", text+"\n"))
	require.NoError(t, err)
	client, err := c.ClientSecret(&c.Tenants[0])
	require.NoError(t, err, "a path relative to the file's folder")
	bot, err := c.BotToken()
	require.NoError(t, err)
	require.Equal(t, text, client.Reveal())
	require.Equal(t, text, bot.Reveal())

	type holder struct {
		Config *Config
		Secret Secret
		Many   []Secret
		hidden *Secret
	}
	h := holder{c, client, []Secret{bot}, &bot}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, h, client, &client)
		fmt.Fprintf(&out, verb, *c)
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		for _, v := range []any{h.Secret, h.Many, map[string]Secret{"a": bot}, struct{ S *Secret }{&bot}} {
			b, err := marshal(v)
			require.NoError(t, err)
			require.Contains(t, string(b), "secret")
			out.Write(b)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "config", c, "whole", *c, "secret", client, "pointer", &client, "many", h.Many, "holder", h)
	}
	require.NotContains(t, out.String(), text)
	require.NotContains(t, out.String(), fmt.Sprintf("%x", text))
	require.Contains(t, out.String(), "<secret>")
}

func TestASecretThatIsNotThereIsNamed(t *testing.T) {
	c, err := Load(write(t, full, "secret.txt", " \n"))
	require.NoError(t, err)
	_, err = c.ClientSecret(&c.Tenants[0])
	require.ErrorContains(t, err, "client secret of tenant acme-prod: the file")
	require.ErrorContains(t, err, "is empty")
	require.NoError(t, os.Unsetenv("PORTCULLIS_TEST_BOT"))
	_, err = c.BotToken()
	require.EqualError(t, err, "slack bot token: the environment variable PORTCULLIS_TEST_BOT is not set")
	c.Tenants[0].SecretFile = "gone"
	_, err = c.ClientSecret(&c.Tenants[0])
	require.ErrorIs(t, err, os.ErrNotExist)
	c.Tenants[0].SecretFile, c.Tenants[0].KeyFile = "", "gone.pem"
	_, err = c.PrivateKey(&c.Tenants[0])
	require.ErrorContains(t, err, "private key of tenant acme-prod")
}

func TestContentIsReadFromTheFoldersThatTheFileNames(t *testing.T) {
	const good = "id: mine\ntitle: T\nseverity: low\nwhere: type == \"s\" && ip in lists.office\n"
	p := write(t, minimal+"rules: {catalog: false, dirs: [rules], lists: {office: [10.0.0.0/8]}}\n", "rules/deep/a.yaml", good, "rules/b.yml", strings.Replace(good, "mine", "other", 1), "rules/readme.txt", "no rule")
	c, err := Load(p)
	require.NoError(t, err)
	l, err := LoadContent(c)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"mine", "other"}, l.Rules.IDs(), "the catalog is off, the folder is found from the file's own")
	require.Equal(t, filepath.Join(filepath.Dir(p), "rules", "deep", "a.yaml"), l.Rules.Rule("mine").File())
	require.True(t, l.Lists["office"].Contains("10.1.2.3"))
}

func TestProblemsOfContentNameTheUsersFiles(t *testing.T) {
	c, err := Load(write(t, `tenants:
  - name: a
    domain: a.auth0.com
    client_id: c
    client_secret_env: X
    params:
      credential-stuffing-ip: {failures: 1}
      credential-stufing-ip: {failures: 50}
      sms-bombarding-user: {message: 5}
    modes: {contain-credential-stufing: propose}
rules:
  dirs: [rules, gone]
  disable: [sms-bombarding-usr]
`, "rules/bad.yaml", "id: bad\ntitle: T\nseverity: low\nwhere: ipp == \"x\"\n"))
	require.NoError(t, err)
	_, err = LoadContent(c)
	got := strings.Join(heads(t, err), "\n")
	for _, want := range []string{
		"bad.yaml:4:8: bad.where: unknown name ipp (did you mean ip?)", "gone: read ", "no such file or directory",
		"portcullis.yaml:13:13: rules.disable: no rule is called sms-bombarding-usr (did you mean sms-bombarding-user?)",
		"portcullis.yaml:7:42: tenants.params.credential-stuffing-ip: parameter failures of rule credential-stuffing-ip: 1 is under the least value, 5",
		"portcullis.yaml:8:30: tenants.params: no rule is called credential-stufing-ip (did you mean credential-stuffing-ip?)",
		"portcullis.yaml:9:38: tenants.params.sms-bombarding-user: rule sms-bombarding-user has no parameter message (did you mean messages?)",
		"portcullis.yaml:10:41: tenants.modes: no policy is called contain-credential-stufing (did you mean contain-credential-stuffing?)",
	} {
		require.Contains(t, got, want)
	}
}

func TestADisabledRuleIsGone(t *testing.T) {
	c, err := Load(write(t, minimal+"rules: {disable: [sms-bombarding-user]}\n"))
	require.NoError(t, err)
	l, err := LoadContent(c)
	require.NoError(t, err)
	require.Nil(t, l.Rules.Rule("sms-bombarding-user"))
	require.NotNil(t, l.Rules.Rule("credential-stuffing-ip"))
}

func TestADigestNeedsASchedule(t *testing.T) {
	const head = "tenants:\n  - {name: a, domain: a.eu.auth0.com, client_id: x, client_secret_env: S}\n"
	_, err := parse("c.yaml", []byte(head+"digest: every morning\n"))
	require.ErrorContains(t, err, "c.yaml:3:9: digest: \"every morning\" is no schedule")
	_, err = parse("c.yaml", []byte(head+"digest: \"0 8 * * *\"\n"))
	require.NoError(t, err)
}

func TestAWebhookTokenBelongsToOneTenant(t *testing.T) {
	tenant := func(name, token string) string {
		return fmt.Sprintf("  - {name: %s, domain: %[1]s.eu.auth0.com, client_id: x, client_secret_env: X, logs: {webhook: {path: /logs/%[1]s, %s}}}\n", name, token)
	}
	for _, c := range []struct{ first, second, want string }{
		{"token_env: A", "token_env: B", ""},
		{"token_env: A", "token_file: A", ""},
		{"token_env: A", "token_env: A", "tenants.logs.webhook.token_env: A is already the token of tenant one"},
		{"token_file: a/b", "token_file: ./a/b", "tenants.logs.webhook.token_file: ./a/b is already the token of tenant one"},
	} {
		_, err := Load(write(t, "http: {listen: 127.0.0.1:0}\ntenants:\n"+tenant("one", c.first)+tenant("two", c.second)))
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.Len(t, heads(t, err), 1)
		require.Contains(t, heads(t, err)[0], c.want)
	}
}

func TestTheClientsOfTenantsAreTheDaemonsOwn(t *testing.T) {
	c, err := Load(write(t, minimal+"rules: {lists: {own_clients: [another]}}\n"))
	require.NoError(t, err)
	l, err := LoadContent(c)
	require.NoError(t, err)
	require.Contains(t, l.Lists["own_clients"].Entries(), c.Tenants[0].ClientID)
	require.Contains(t, l.Lists["own_clients"].Entries(), "another")
}
