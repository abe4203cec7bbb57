package tenantsim

import (
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Defaults of a simulated tenant. The credentials are what the daemon presents to /oauth/token.
const (
	DefaultDomain       = "sim.eu.auth0.com"
	DefaultCustomDomain = "login.sim.example"
	DefaultClientID     = "simulatedDaemonClient000000000001"
	DefaultClientSecret = "simulated-client-secret-not-for-real-use"
)

// AllScopes are the scopes of the Management API that the simulated endpoints ask for.
func AllScopes() []string {
	return []string{
		"read:logs", "read:log_streams", "read:attack_protection", "update:attack_protection",
		"read:network_acls", "create:network_acls", "update:network_acls", "delete:network_acls",
		"read:guardian_factors", "update:guardian_factors", "read:mfa_policies", "update:mfa_policies",
		"read:connections", "update:connections", optionsScope,
		"read:actions", "create:actions", "update:actions", "delete:actions",
		"read:users", "update:users", "delete:users", "read:sessions", "delete:sessions", "read:refresh_tokens", "delete:refresh_tokens",
		"read:authentication_methods", "delete:authentication_methods", "delete:guardian_enrollments", "create:user_tickets", "read:email_provider",
		"read:grants", "delete:grants", "read:device_credentials", "delete:device_credentials", "update:client_keys",
	}
}

// Options configures a Tenant; the zero value of every field works.
type Options struct {
	Domain       string   // canonical tenant domain: issuer, audience, tenant name; DefaultDomain if empty
	CustomDomain string   // host name that users log in at (the events' hostname); DefaultCustomDomain if empty
	ClientID     string   // credentials accepted by /oauth/token; DefaultClientID if empty
	ClientSecret string   // DefaultClientSecret if empty
	Scopes       []string // granted to its tokens; AllScopes if nil

	Start    time.Time // virtual time at construction; the present if zero
	Speed    float64   // virtual seconds per real second under Run; 1 if zero; negative: only Advance moves the clock
	Seed     uint64    // same seed and same virtual time reached: same traffic
	Users    int       // calm users; 2000 if zero, at most 100,000
	CalmRate float64   // calm logins per virtual second; 1 if zero, none if negative

	ACLLimit               int  // network ACLs allowed by the plan; 10 if zero; negative: a plan without them (403)
	NoBotDetection         bool // a plan without bot detection (403)
	SuspiciousIPThrottling bool // suspicious IP throttling starts enabled; see the package documentation

	NoSessionManagement bool // a plan that cannot list and end sessions and refresh tokens (403)
	NoTokenRevocation   bool // a tenant without POST /refresh-tokens/revoke, which is in early access (403)
	NoMailProvider      bool // nothing sends mails: calls that mail succeed all the same, and the log tells (fn)
	ResetUnblocks       bool // a new password by link lifts an administrator's block, which is not known of Auth0

	RevokeLag   time.Duration // virtual: from an accepted revocation until it happens; 5s if zero
	RevokeReads int           // reads of a user's list that still show what was revoked before it happens at once; 1 if zero

	ActionReads int // reads of an Action until its build, and as many until its deployment, is done; 2 if zero

	RateBurst  float64 // Management API bucket size in requests; 50 if zero; negative: no limit
	RateRefill float64 // requests given back per real second; 16 if zero

	TokenLifetime time.Duration // real; 24h if zero
	IndexLag      time.Duration // virtual: typical time until an event can be read; some take up to five times as long
	Retention     time.Duration // virtual age at which events are gone; 30 days if zero
	MaxEvents     int           // most events kept, oldest dropped first; 1,000,000 if zero

	Logger *slog.Logger // discards if nil
}

func (o *Options) setDefaults() {
	setDefault(&o.Domain, DefaultDomain)
	setDefault(&o.CustomDomain, DefaultCustomDomain)
	setDefault(&o.ClientID, DefaultClientID)
	setDefault(&o.ClientSecret, DefaultClientSecret)
	if o.Scopes == nil {
		o.Scopes = AllScopes()
	}
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	o.Start = o.Start.UTC().Truncate(time.Millisecond)
	setDefault(&o.Speed, 1)
	setDefault(&o.Users, 2000)
	o.Users = min(max(o.Users, 1), maxUsers)
	setDefault(&o.CalmRate, 1)
	setDefault(&o.ACLLimit, 10)
	setDefault(&o.RevokeLag, 5*time.Second)
	setDefault(&o.RevokeReads, 1)
	setDefault(&o.ActionReads, defaultBuildTime)
	setDefault(&o.RateBurst, 50)
	setDefault(&o.RateRefill, 16)
	setDefault(&o.TokenLifetime, 24*time.Hour)
	setDefault(&o.Retention, 30*24*time.Hour)
	setDefault(&o.MaxEvents, 1_000_000)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Tenant is one simulated tenant. All methods are safe for concurrent use.
type Tenant struct {
	opts Options
	name string // tenant_name: the first label of the domain

	mu        sync.Mutex // guards everything below
	now       time.Time
	running   bool
	agenda    agenda
	log       eventLog
	lastWrite time.Time // date of the latest sapi event; they never share one

	calm     calmTraffic
	attacks  []*attack
	defences defences

	tokens      map[string]*accessToken
	limiter     bucket
	faults      []*Fault
	settings    map[string]map[string]any // by endpoint name under /attack-protection
	acls        []*networkACL             // in order of creation
	guardian    guardian
	connections []map[string]any
	actions     []*action             // in order of creation
	bindings    map[string][]*binding // by trigger, in order of execution
	streams     []LogStream
	people      map[string]*user   // all users by user_id
	sessionSeq  uint64             // of the latest session
	mails       []Mail             // oldest first
	mailLimits  map[string]*bucket // of reset mails, by address and e-mail
	secrets     map[string]string  // of applications, since their rotation
	ranked      []*networkACL      // active ones by ascending priority
	ids         *rand.Rand         // ids of ACLs, tokens and the like
	stats       Stats

	failBuilds, failDeploys int // still to come

	limitLogged time.Time // virtual time of the latest api_limit event
}

// New returns a tenant at Options.Start. It starts nothing: call Run or Advance.
func New(opts Options) *Tenant {
	opts.setDefaults()
	name, _, _ := strings.Cut(opts.Domain, ".")
	t := &Tenant{
		opts:     opts,
		name:     name,
		now:      opts.Start,
		tokens:   make(map[string]*accessToken),
		bindings: make(map[string][]*binding),
		guardian: newGuardian(), connections: initialConnections(),
		settings: initialSettings(opts.SuspiciousIPThrottling),
		ids:      newRand(opts.Seed, streamIDs),
		stats:    newStats(),
	}
	t.limiter = newBucket(opts.RateBurst, opts.RateRefill)
	t.log = eventLog{lag: opts.IndexLag, retention: opts.Retention, limit: opts.MaxEvents, rng: newRand(opts.Seed, streamLag)}
	t.defences.configure(t.settings)
	t.startCalmTraffic()
	t.startACLSummaries()
	return t
}

// Domain returns the tenant's canonical domain.
func (t *Tenant) Domain() string { return t.opts.Domain }

// Audience returns the audience a token for the Management API must be asked for.
func (t *Tenant) Audience() string { return "https://" + t.opts.Domain + "/api/v2/" }

// Random streams: one per kind of actor, so that none disturbs another. Attack n uses streamAttack+n.
const (
	streamIDs uint64 = iota + 1
	streamLag
	streamUsers
	streamCalm
	streamAttack uint64 = 1000
)

func newRand(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream*0x9e3779b97f4a7c15))
}
