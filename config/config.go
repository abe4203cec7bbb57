// Package config loads the daemon's file and all the content it names: rules,
// policies, lists and levels. The daemon, check, test and replay share it.
package config

import (
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/responders"
)

// Config is the daemon's file.
type Config struct {
	Store     Store         `yaml:"store"`
	HTTP      *HTTP         `yaml:"http"`
	Tenants   []Tenant      `yaml:"tenants,required"`
	Rules     Rules         `yaml:"rules"`
	Policies  Content       `yaml:"policies"`
	Playbooks Content       `yaml:"playbooks"`
	Slack     *Slack        `yaml:"slack"`
	Notify    []*yaml.Node  `yaml:"notify"`
	Digest    string        `yaml:"digest"` // when the log is told how things stand, in the five fields of cron; never if absent
	Warnings  diag.Problems `yaml:"-"`      // keys that this version reads and does not use
	dir       string        // of the file: relative paths start here
	src       *diag.Source
	node      *yaml.Node
}

// Store says where state is kept.
type Store struct {
	Dir       string    `yaml:"dir"`        // folder of the embedded store
	NATS      string    `yaml:"nats"`       // URL of a cluster instead
	CredsFile string    `yaml:"creds_file"` // credentials for the cluster
	Retention Retention `yaml:"retention"`
}

// HTTP is the one listener: health, metrics, and webhook intake.
type HTTP struct {
	Listen      string `yaml:"listen,required"`
	TokenFile   string `yaml:"token_file"`    // for all but health and intake
	CertFile    string `yaml:"tls_cert_file"` // TLS, with tls_key_file
	KeyFile     string `yaml:"tls_key_file"`
	BehindProxy bool   `yaml:"behind_proxy"` // plain HTTP beyond loopback: a proxy terminates TLS
}

// Tenant is one Auth0 tenant to protect.
type Tenant struct {
	Name         string                     `yaml:"name,required"`
	Domain       string                     `yaml:"domain,required"`
	CustomDomain string                     `yaml:"custom_domain"`
	ClientID     string                     `yaml:"client_id,required"`
	SecretFile   string                     `yaml:"client_secret_file"`
	SecretEnv    string                     `yaml:"client_secret_env"`
	KeyFile      string                     `yaml:"private_key_file"`
	BaseURL      string                     `yaml:"base_url"` // only for a simulated tenant
	Mode         responders.Mode            `yaml:"mode"`
	Logs         Logs                       `yaml:"logs"`
	NeverTouch   NeverTouch                 `yaml:"never_touch"`
	Budgets      map[string]Budget          `yaml:"budgets"`
	Params       map[string]map[string]any  `yaml:"params"`
	Modes        map[string]responders.Mode `yaml:"modes"`   // by policy
	Actions      map[string]Action          `yaml:"actions"` // by template
	Limits       []Limit                    `yaml:"limits"`  // on what holds may ask

	node *yaml.Node
}

// Action is what a tenant chooses for one of our Actions.
type Action struct {
	Settings map[string]any          `yaml:"settings"`
	Position string                  `yaml:"position"` // first | last | before NAME | after NAME; the template's if absent
	Secrets  map[string]SecretSource `yaml:"secrets"`
}

// SecretSource is where a secret is read from: exactly one of both.
type SecretSource struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

// Logs says how a tenant's events arrive.
type Logs struct {
	Poll    *Poll    `yaml:"poll"`
	Webhook *Webhook `yaml:"webhook"`
}

// Poll reads the log by asking for it.
type Poll struct {
	Every     time.Duration `yaml:"every"`     // 2s if absent
	Start     string        `yaml:"start"`     // now | beginning | a time | a log_id
	Retention time.Duration `yaml:"retention"` // how long the plan keeps logs, to tell gaps; unknown if absent
}

// Webhook takes what a log stream of the tenant sends.
type Webhook struct {
	Path      string       `yaml:"path,required"`
	TokenEnv  string       `yaml:"token_env"`
	TokenFile string       `yaml:"token_file"`
	MaxBody   yamldoc.Size `yaml:"max_body"` // of a request as it is sent; DefaultMaxBody if absent
	Rate      float64      `yaml:"rate"`     // requests a second; DefaultWebhookRate if absent
}

// NeverTouch lists what no response may hit.
type NeverTouch struct {
	Networks []string `yaml:"networks"`
	Users    []string `yaml:"users"`
	Clients  []string `yaml:"clients"`
}

// Budget bounds attempts of one kind.
type Budget struct {
	Hour int `yaml:"hour"`
	Day  int `yaml:"day"`
}

// Content is where rules, policies or playbooks come from.
type Content struct {
	Catalog bool     `yaml:"catalog"` // the shipped ones; true if absent
	Dirs    []string `yaml:"dirs"`
}

// Rules says which rules run.
type Rules struct {
	Catalog    bool                `yaml:"catalog"`
	Dirs       []string            `yaml:"dirs"`
	Disable    []string            `yaml:"disable"`    // ids
	Exceptions *yaml.Node          `yaml:"exceptions"` // a list of [detections.Exception]
	Lists      map[string][]string `yaml:"lists"`      // added to the shipped lists of the same name
	Lateness   time.Duration       `yaml:"lateness"`   // how late an event may arrive and still be in time; 2m if absent
}

// Slack is the channel that incidents are shown in.
type Slack struct {
	BotTokenEnv  string            `yaml:"bot_token_env"`
	BotTokenFile string            `yaml:"bot_token_file"`
	AppTokenEnv  string            `yaml:"app_token_env"`
	Channel      string            `yaml:"channel,required"`
	Roles        map[string]string `yaml:"roles"`
	BaseURL      string            `yaml:"base_url"` // only for a test server
}

// What a webhook takes by default: Auth0's bodies have some hundred kilobytes at
// most, and a stream posts a few of them a second in an attack.
const (
	DefaultMaxBody     yamldoc.Size = 8 << 20
	DefaultWebhookRate              = 1000
)

// What a file may let a webhook take: a body must hold one event, and is in
// memory while it is taken in.
const (
	leastMaxBody yamldoc.Size = 64 << 10
	mostMaxBody  yamldoc.Size = 64 << 20
)

// DefaultPollEvery is how long poll waits after the newest page.
const DefaultPollEvery = 2 * time.Second

// minPollEvery is the least wait that a file may set. Auth0 asks for no less
// than two seconds.
const minPollEvery = 500 * time.Millisecond

func defaults() *Config {
	return &Config{
		Store:    Store{Dir: "./data", Retention: defaultRetention},
		Rules:    Rules{Catalog: true},
		Policies: Content{Catalog: true}, Playbooks: Content{Catalog: true},
	}
}
