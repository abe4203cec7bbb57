package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/responders"
)

// Load reads the daemon's file. The error is a [diag.Problems] when the file
// could be read: it holds every problem at once. Secrets are not read yet.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(path, data)
}

func parse(path string, data []byte) (*Config, error) {
	src := diag.NewSource(path, data)
	docs, problems := yamldoc.Documents(src)
	if len(problems) > 0 {
		return nil, problems.Err()
	}
	if len(docs) != 1 {
		return nil, diag.Problems{src.Problem(0, 0, 0, "", "holds %d documents, one is needed", len(docs)).WithHint("begin with tenants:")}
	}
	c := defaults()
	c.src, c.node, c.dir = src, docs[0], filepath.Dir(path)
	d := &yamldoc.Decoder{Src: src}
	d.Decode(docs[0], c, "")
	if tenants := child(docs[0], "tenants"); tenants != nil && tenants.Kind == yaml.SequenceNode {
		for i := range min(len(c.Tenants), len(tenants.Content)) {
			c.Tenants[i].node = yamldoc.Resolve(tenants.Content[i])
		}
	}
	c.check(d)
	return c, d.Problems.Err()
}

// child finds the value of a key; nil if absent.
func child(m *yaml.Node, key string) *yaml.Node {
	if m = yamldoc.Resolve(m); m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return yamldoc.Resolve(m.Content[i+1])
		}
	}
	return nil
}

// at finds the node of a path of keys, or the deepest one on the way.
func at(n *yaml.Node, keys ...string) *yaml.Node {
	for _, k := range keys {
		c := child(n, k)
		if c == nil {
			return n
		}
		n = c
	}
	return n
}

// path makes a path of the file relative to the file's own folder.
func (c *Config) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}

// StoreDir is the folder of the embedded store.
func (c *Config) StoreDir() string { return c.path(c.Store.Dir) }

// CredsFile is the file with credentials for the store's cluster.
func (c *Config) CredsFile() string { return c.path(c.Store.CredsFile) }

var (
	tenantName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	hostName   = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)+$`)
	logID      = regexp.MustCompile(`^[0-9]{20,60}$`)
)

func (c *Config) check(d *yamldoc.Decoder) {
	if n := child(c.node, "tenants"); n != nil && n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		d.Report(n, "tenants", "name at least one tenant")
	}
	if dir := child(child(c.node, "store"), "dir"); dir != nil && dir.Kind == yaml.ScalarNode && dir.Tag == "!!str" && strings.TrimSpace(dir.Value) == "" {
		d.Report(dir, "store.dir", "is empty").Hint = "name a folder, for instance ./data, or remove the key"
	}
	if c.Store.NATS != "" && child(child(c.node, "store"), "dir") != nil {
		d.Report(at(c.node, "store", "nats"), "store", "give dir or nats, not both")
	}
	if c.Store.CredsFile != "" && c.Store.NATS == "" {
		d.Report(at(c.node, "store", "creds_file"), "store.creds_file", "has no effect without nats")
	}
	c.Store.Retention.check(d, c)
	names, paths, tokens := map[string]bool{}, map[string]string{}, map[string]string{}
	places := map[string]int{} // index of the tenant at each domain and server
	for i := range c.Tenants {
		t := &c.Tenants[i]
		if t.node == nil {
			continue
		}
		if names[t.Name] {
			d.Report(at(t.node, "name"), "tenants.name", "the name %s is given twice", t.Name)
		}
		names[t.Name] = true
		t.check(d)
		c.checkPlaces(d, i, places)
		if w := t.Logs.Webhook; w != nil {
			n := at(t.node, "logs", "webhook", "path")
			if c.HTTP == nil {
				d.Report(n, "tenants.logs.webhook", "needs a listener").Hint = "add for instance http: {listen: 127.0.0.1:8070}"
			}
			if first, dup := paths[w.Path]; dup && w.Path != "" {
				d.Report(n, "tenants.logs.webhook.path", "%s is already the path of tenant %s", w.Path, first)
			}
			paths[w.Path] = t.Name
			c.checkToken(d, t, tokens)
		}
	}
	if c.Slack != nil {
		n := at(c.node, "slack")
		oneOf(d, n, "slack", map[string]string{"bot_token_env": c.Slack.BotTokenEnv, "bot_token_file": c.Slack.BotTokenFile})
		if c.Slack.BaseURL != "" {
			loopbackURL(d, at(n, "base_url"), "slack.base_url", c.Slack.BaseURL)
		}
	}
	for name, entries := range c.Rules.Lists {
		for i, e := range entries {
			n := at(c.node, "rules", "lists", name)
			if n.Kind == yaml.SequenceNode && i < len(n.Content) {
				n = n.Content[i]
			}
			if looksLikeNetwork(e) {
				if _, err := netip.ParsePrefix(e); err != nil {
					d.Report(n, "rules.lists."+name, "%q is not a network", e).Hint = "write 203.0.113.0/24 or 2001:db8::/32"
				}
			}
		}
	}
	if c.Digest != "" {
		if _, err := cron.ParseStandard(c.Digest); err != nil {
			d.Report(at(c.node, "digest"), "digest", "%q is no schedule: %s", c.Digest, err).Hint = `write the five fields of cron, for instance "0 8 * * *" for eight every morning`
		}
	}
	c.warn()
}

// checkPlaces refuses a tenant that is already another's: two writers on one
// tenant would take each other's changes for a person's.
func (c *Config) checkPlaces(d *yamldoc.Decoder, i int, places map[string]int) {
	t := &c.Tenants[i]
	for _, p := range []struct{ key, value, place string }{
		{"domain", t.Domain, strings.ToLower(t.Domain)},
		{"custom_domain", t.CustomDomain, strings.ToLower(t.CustomDomain)},
		{"base_url", t.BaseURL, server(t.BaseURL)},
	} {
		if p.place == "" {
			continue
		}
		first, taken := places[p.place]
		switch {
		case !taken:
			places[p.place] = i
		case first != i:
			n := at(t.node, p.key)
			d.Report(n, "tenants."+p.key, "%s is already given to tenant %s on line %d", p.value, c.Tenants[first].Name, c.Tenants[first].node.Line).
				Hint = "protect a tenant once: put both blocks into one"
		}
	}
}

// checkToken refuses a webhook token that is another tenant's as well: on the
// paths that webhooks share the token alone tells whose events come. Tokens that
// are the same text in two places show when they are read.
func (c *Config) checkToken(d *yamldoc.Decoder, t *Tenant, tokens map[string]string) {
	w := t.Logs.Webhook
	for _, k := range []struct{ key, value, place string }{{"token_env", w.TokenEnv, "$" + w.TokenEnv}, {"token_file", w.TokenFile, filepath.Clean(c.path(w.TokenFile))}} {
		if k.value == "" {
			continue
		}
		if first, taken := tokens[k.place]; taken {
			d.Report(at(t.node, "logs", "webhook", k.key), "tenants.logs.webhook."+k.key, "%s is already the token of tenant %s", k.value, first).
				Hint = "give each tenant a token of its own"
		}
		tokens[k.place] = t.Name
	}
}

// server is the host and port of a base URL, to compare; "" when it is none.
func server(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return "//" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

var network = regexp.MustCompile(`^[0-9a-fA-F:.]+/[0-9]+$`)

func looksLikeNetwork(s string) bool { return network.MatchString(s) }

func (t *Tenant) check(d *yamldoc.Decoder) {
	report := func(key, format string, args ...any) *diag.Problem {
		return d.Report(at(t.node, strings.Split(key, ".")...), "tenants."+key, format, args...)
	}
	if t.Name != "" && !tenantName.MatchString(t.Name) {
		report("name", "%q must be lower-case words joined by hyphens", t.Name)
	}
	for key, v := range map[string]string{"domain": t.Domain, "custom_domain": t.CustomDomain} {
		if _, err := netip.ParseAddr(v); err == nil {
			report(key, "%q is an address, not a host name", v).Hint = "write the tenant's domain, for instance acme.eu.auth0.com"
		} else if v != "" && !hostName.MatchString(v) {
			report(key, "%q is not a host name", v).Hint = "write it without https:// and without a path, for instance acme.eu.auth0.com"
		}
	}
	oneOf(d, t.node, "tenants", map[string]string{"client_secret_file": t.SecretFile, "client_secret_env": t.SecretEnv, "private_key_file": t.KeyFile})
	if t.BaseURL != "" {
		n := at(t.node, "base_url")
		if u := loopbackURL(d, n, "tenants.base_url", t.BaseURL); u != nil && u.Path != "" && u.Path != "/" {
			d.Report(n, "tenants.base_url", "has the path %s: only a host and a port belong here", u.Path).Hint = "write for instance http://127.0.0.1:9000"
		}
	}
	if t.Mode == "" {
		t.Mode = responders.Observe
	}
	if !t.Mode.Known() {
		report("mode", "unknown mode %s%s", t.Mode, diag.DidYouMean(string(t.Mode), modeNames)).Hint = "one of " + strings.Join(modeNames, ", ")
	}
	for policy, m := range t.Modes {
		if !m.Known() {
			report("modes."+policy, "unknown mode %s%s", m, diag.DidYouMean(string(m), modeNames)).Hint = "one of " + strings.Join(modeNames, ", ")
		}
	}
	t.checkLogs(d, report)
	for i, n := range t.NeverTouch.Networks {
		if _, err := responders.NewNeverTouch([]string{n}, nil, nil); err != nil {
			list := at(t.node, "never_touch", "networks")
			if list.Kind == yaml.SequenceNode && i < len(list.Content) {
				list = list.Content[i]
			}
			d.Report(list, "tenants.never_touch.networks", "%q is neither an address nor a network", n).Hint = "write 203.0.113.7 or 203.0.113.0/24"
		}
	}
	if list := child(t.node, "limits"); list != nil && list.Kind == yaml.SequenceNode {
		for i := range min(len(t.Limits), len(list.Content)) {
			t.Limits[i].check(d, yamldoc.Resolve(list.Content[i]))
		}
	}
	for kind, b := range t.Budgets {
		if !slices.Contains(budgetKinds, kind) {
			report("budgets."+kind, "unknown kind %s%s", kind, diag.DidYouMean(kind, budgetKinds)).Hint = "one of " + strings.Join(budgetKinds, ", ")
		}
		if b.Hour < 0 || b.Day < 0 {
			report("budgets."+kind, "a budget cannot be negative")
		}
	}
}

var webhookPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// checkLogs checks where events come from: poll, unless only a webhook is named.
func (t *Tenant) checkLogs(d *yamldoc.Decoder, report func(key, format string, args ...any) *diag.Problem) {
	if w := t.Logs.Webhook; w != nil {
		oneOf(d, at(t.node, "logs", "webhook"), "tenants.logs.webhook", map[string]string{"token_env": w.TokenEnv, "token_file": w.TokenFile})
		if w.Path != "" && !webhookPath.MatchString(w.Path) {
			report("logs.webhook.path", "%q is not a path", w.Path).Hint = "write for instance /logs/" + t.Name
		}
		w.checkLimits(at(t.node, "logs", "webhook"), report)
	}
	if t.Logs.Poll == nil && t.Logs.Webhook == nil {
		t.Logs.Poll = &Poll{}
	}
	p := t.Logs.Poll
	if p == nil {
		return
	}
	if p.Every == 0 {
		p.Every = DefaultPollEvery
	}
	if p.Every < minPollEvery {
		report("logs.poll.every", "%s is too often", p.Every).Hint = "Auth0 asks for 2s or more between requests: write every: 2s"
	}
	if p.Start == "" {
		p.Start = "now"
	}
	if s := p.Start; s != "now" && s != "beginning" && !logID.MatchString(s) {
		if _, err := time.Parse(time.RFC3339, s); err != nil {
			report("logs.poll.start", "%q is no place to start", s).Hint = "now, beginning, a time like 2026-01-05T10:00:00Z, or a log_id"
		}
	}
}

// checkLimits checks what a webhook takes, and fills in the defaults.
func (w *Webhook) checkLimits(n *yaml.Node, report func(key, format string, args ...any) *diag.Problem) {
	switch {
	case child(n, "max_body") == nil:
		w.MaxBody = DefaultMaxBody
	case w.MaxBody == 0: // it is no size, which was reported
	case w.MaxBody < leastMaxBody, w.MaxBody > mostMaxBody:
		report("logs.webhook.max_body", "%s is not between %s and %s", w.MaxBody, leastMaxBody, mostMaxBody).Hint = "leave it out for " + DefaultMaxBody.String()
	}
	switch given := child(n, "rate"); {
	case given == nil:
		w.Rate = DefaultWebhookRate
	case w.Rate == 0 && given.Value != "0": // it is no number, which was reported
	case w.Rate < 0.1 || w.Rate > 1e6:
		report("logs.webhook.rate", "%v requests a second is not between 0.1 and a million", w.Rate).Hint = fmt.Sprintf("leave it out for %d", DefaultWebhookRate)
	}
}

var (
	modeNames   = []string{string(responders.Observe), string(responders.Propose), string(responders.Enforce)}
	budgetKinds = []string{"block_user", responders.KindNetworkACLEntry, responders.KindSettingChange}
)

// oneOf reports unless exactly one of the keys has a value.
func oneOf(d *yamldoc.Decoder, n *yaml.Node, key string, values map[string]string) {
	var names, given []string
	for k, v := range values {
		names = append(names, k)
		if v != "" {
			given = append(given, k)
		}
	}
	slices.Sort(names)
	slices.Sort(given)
	switch len(given) {
	case 0:
		d.Report(n, key, "one of %s is missing", strings.Join(names, ", "))
	case 1:
	default:
		d.Report(at(n, given[1]), key, "%s are both given, one is needed", strings.Join(given, " and "))
	}
}

// loopbackURL refuses a base URL that leads anywhere but to this machine: it
// would send credentials to a host that is not the tenant. It returns nil when
// it reported something.
func loopbackURL(d *yamldoc.Decoder, n *yaml.Node, key, raw string) *url.URL {
	bad := func(format string, args ...any) *url.URL {
		d.Report(n, key, format, args...).Hint = "write for instance http://127.0.0.1:9000"
		return nil
	}
	u, err := url.Parse(raw)
	switch {
	case strings.Contains(raw, "@"): // not shown: it may hold a password
		return bad("must not hold a user name or a password")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return bad("%q is not a URL", raw)
	case strings.ContainsAny(raw, "?#"):
		return bad("must not hold a query or a fragment")
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) {
		return bad("%s is no port: they go from 1 to 65535", u.Port())
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		d.Report(n, key, "leads to %s: it is only for a simulation on this machine", host).Hint = "remove it; the real one is found by itself"
		return nil
	}
	return u
}

// playbooks are the names that modes may hold beside policies. This version
// runs none, so a mode for one restrains nothing that could happen.
var playbooks = []string{"account-takeover"}

// warn notes what the file asks for and this version does not do, or should not be
// done unawares.
func (c *Config) warn() {
	add := func(n *yaml.Node, key, format string, args ...any) {
		if n != nil {
			c.Warnings = append(c.Warnings, c.src.Problem(n.Line, n.Column, 1, key, format, args...))
		}
	}
	if r := c.Store.Retention.Deeds; r.Age > 0 || r.Size > 0 {
		add(at(c.node, "store", "retention", "deeds"), "store.retention.deeds", "what was done longer ago can no longer be shown or proved: leave it out to keep all deeds")
	}
	if len(c.Notify) > 0 {
		add(child(c.node, "notify"), "notify", "this version notifies Slack and the log only: the key is read and not used")
	}
	if c.Slack != nil {
		add(child(child(c.node, "slack"), "app_token_env"), "slack.app_token_env", "this version takes no clicks from Slack: the key is read and not used")
		add(child(child(c.node, "slack"), "roles"), "slack.roles", "this version takes no clicks from Slack: the key is read and not used")
	}
	for i := range c.Tenants {
		t := &c.Tenants[i]
		for _, p := range playbooks {
			add(child(child(t.node, "modes"), p), "tenants.modes."+p, "this version runs no playbooks: the key is read and not used")
		}
		add(child(child(t.node, "budgets"), "block_user"), "tenants.budgets.block_user", "this version blocks no users: the key is read and not used")
	}
}
