// Package auth0 is one tenant's Management API: typed calls with a token of their own, a share of the tenant's quota,
// correlation ids, and a transport that refuses every write in observe mode.
//
// What a call answers is decoded from its raw JSON, which the results keep: a setting written back from a typed copy would
// lose the members that the type does not know. Every error is one of this package's kinds, see [ErrCredentials] and its
// neighbours, names the tenant and the request, and holds no secret and no token.
package auth0

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/auth0/go-auth0/v3/management/client"
	"github.com/auth0/go-auth0/v3/management/option"
)

// Config names a tenant and the application that acts in it. Domain, ClientID, and one of ClientSecret and PrivateKeyPEM
// are required.
type Config struct {
	// Domain is the canonical domain, such as acme.eu.auth0.com, also where the tenant has a custom domain.
	Domain string
	// CustomDomain is the domain that the tenant's users see, if it has one. Links in tickets and mails lead to it. Requests
	// to the Management API go to Domain all the same: it always answers, whatever happens to a certificate or a proxy.
	CustomDomain string
	// BaseURL is where a simulated tenant listens, such as http://127.0.0.1:9000; https://Domain if empty.
	BaseURL string
	// ClientID is the id of a machine-to-machine application that is authorised for the Management API.
	ClientID string
	// ClientSecret is its secret.
	ClientSecret string
	// PrivateKeyPEM is used instead of the secret (private_key_jwt): an RSA or an EC key (P-256, P-384) in PEM.
	PrivateKeyPEM []byte
}

// Options configures a Client; the zero value of every field works.
type Options struct {
	// ReadOnly refuses every method but GET and HEAD before anything reaches the wire; see SetReadOnly.
	ReadOnly bool
	// Fence says why nothing may be written now, nil when it may. It is asked right before each request that writes
	// reaches the wire, also a repeated one, and must be quick. Nothing is refused if nil.
	Fence func() error
	// HTTP gives the transport, and the time that one request may take (15s if it has none). Its redirect policy
	// and cookies are not used. A transport of our own if nil.
	HTTP *http.Client
	// Logger is told of repeated requests and waits for quota; discards if nil.
	Logger *slog.Logger
	// QuotaShare is the share of the tenant's rate limit that writes may use, above 0 and at most 1; 0.5 if zero.
	QuotaShare float64
	// Instance is the id of this installation; it is sent in the User-Agent.
	Instance string
}

const (
	requestTimeout = 15 * time.Second
	defaultShare   = 0.5
	apiPath        = "/api/v2"
)

// Client talks to one tenant. Its methods may be called from several goroutines.
type Client struct {
	domain       string
	customDomain string // empty if there is none
	base         string
	publicBase   string // where the tenant's users are served
	logger       *slog.Logger
	readOnly     atomic.Bool
	secrets      *secrets
	tokens       *tokens
	quota        *quota
	api          *client.Management
	raw          *http.Client
	public       *http.Client // without a token and outside the Management API's quota
	mails        mailLimit
	backoff      time.Duration // before the first repetition of a GET; doubles with each
}

// New returns a client. It checks cfg and reaches for no network: see Check.
func New(cfg Config, opts Options) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if opts.QuotaShare < 0 || opts.QuotaShare > 1 {
		return nil, fmt.Errorf("tenant %s: quota share %v is not between 0 and 1", cfg.Domain, opts.QuotaShare)
	}
	if opts.QuotaShare == 0 {
		opts.QuotaShare = defaultShare
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Domain = strings.ToLower(cfg.Domain)
	base := "https://" + cfg.Domain
	if u, err := url.Parse(cfg.BaseURL); err == nil && u.Host != "" {
		base = origin(u)
	}
	c := &Client{
		domain:       cfg.Domain,
		customDomain: strings.ToLower(cfg.CustomDomain),
		base:         base,
		publicBase:   base,
		logger:       opts.Logger.With("tenant_domain", cfg.Domain),
		secrets:      newSecrets(cfg.ClientSecret),
		backoff:      500 * time.Millisecond,
	}
	// The domain that serves the request is the one in the mail. A simulated tenant tells it by the Host header.
	if c.customDomain != "" && cfg.BaseURL == "" {
		c.publicBase = "https://" + c.customDomain
	}
	c.readOnly.Store(opts.ReadOnly)
	if err := c.build(cfg, opts); err != nil {
		return nil, err
	}
	return c, nil
}

// build stacks the transports, outermost first: read-only guard, fail-fast, quota, token, fence, time limit, network.
func (c *Client) build(cfg Config, opts Options) error {
	network := limitTime(opts.HTTP)
	tokens, err := newTokens(cfg, c.base, network, c.secrets)
	if err != nil {
		return err
	}
	c.tokens = tokens
	var out http.RoundTripper = network
	if opts.Fence != nil {
		out = &fence{allowed: opts.Fence, next: out}
	}
	var shared http.RoundTripper = &bearer{
		next:      out,
		tokens:    tokens,
		base:      c.base,
		userAgent: userAgent(opts.Instance),
	}
	c.quota = &quota{next: shared, share: opts.QuotaShare, logger: c.logger}
	shared = c.quota

	c.api = client.NewWithOptions(
		option.WithBaseURL(c.base+apiPath),
		option.WithHTTPClient(withoutRedirects(&guard{readOnly: &c.readOnly, next: &failFast{next: shared, secrets: c.secrets}})),
		option.WithoutRetries(),
	)
	// Raw callers look at the status themselves: fail-fast is there for the SDK, which would sleep on it.
	c.raw = withoutRedirects(&guard{readOnly: &c.readOnly, next: shared})
	c.public = withoutRedirects(&guard{readOnly: &c.readOnly,
		next: &failFast{next: &anonymous{next: out, userAgent: userAgent(opts.Instance)}, secrets: c.secrets}})
	return nil
}

func withoutRedirects(rt http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: rt,
		// The API never redirects; following one could take a write or a token somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

var (
	domainName   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
	instanceName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)
)

func (cfg Config) check() error {
	if !domainName.MatchString(cfg.Domain) {
		return fmt.Errorf("tenant domain %q: a host name is needed, such as acme.eu.auth0.com, without https:// and path", cfg.Domain)
	}
	if cfg.CustomDomain != "" && !domainName.MatchString(cfg.CustomDomain) {
		return fmt.Errorf("tenant %s: custom domain %q: a host name is needed, without https:// and path", cfg.Domain, cfg.CustomDomain)
	}
	if cfg.ClientID == "" {
		return fmt.Errorf("tenant %s: the client id is missing", cfg.Domain)
	}
	if (cfg.ClientSecret == "") == (len(cfg.PrivateKeyPEM) == 0) {
		return fmt.Errorf("tenant %s: exactly one of client secret and private key is needed", cfg.Domain)
	}
	if cfg.BaseURL == "" {
		return nil
	}
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("tenant %s: the base URL is only for a simulated tenant and has the form http://127.0.0.1:9000", cfg.Domain)
	}
	return nil
}

func userAgent(instance string) string {
	if instance = instanceName.ReplaceAllString(instance, "-"); instance != "" {
		return "portcullis (" + instance + ")"
	}
	return "portcullis"
}

// HTTPClient is for requests that this package has no method for, such as reading logs: it adds the token, keeps to the
// quota, refuses writes in observe mode, and refuses every host but the tenant's. It answers every status as a response,
// 429 and 5xx too, and repeats none but a 401, once, with a new token.
func (c *Client) HTTPClient() *http.Client { return c.raw }

// BaseURL is the tenant's scheme and host without a slash at the end; the API is at BaseURL()+"/api/v2".
func (c *Client) BaseURL() string { return c.base }

// SetReadOnly turns observe mode on or off, for requests that begin after it.
func (c *Client) SetReadOnly(on bool) { c.readOnly.Store(on) }

// Close cuts short what outlives the requests that caused it, the fetch of a token. No request may be under way or follow.
func (c *Client) Close() { c.tokens.stop() }

// Check fetches a token now, whether or not there is one. A refusal is ErrCredentials and says what to do; no answer, or
// one that is not of a tenant, is ErrUnreachable.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.tokens.get(ctx, true)
	var refused *tokenError
	if err != nil && !errors.As(err, &refused) {
		return fmt.Errorf("tenant %s: fetch a token: %w", c.domain, err)
	}
	return err
}

// Scopes are what the tenant granted with the token, fetched now if there is none; false if it does not say. Errors are as
// Check's.
func (c *Client) Scopes(ctx context.Context) ([]string, bool, error) {
	if _, err := c.tokens.get(ctx, false); err != nil {
		var refused *tokenError
		if !errors.As(err, &refused) {
			err = fmt.Errorf("tenant %s: fetch a token: %w", c.domain, err)
		}
		return nil, false, err
	}
	scope, told := c.tokens.scope()
	return strings.Fields(scope), told, nil
}
