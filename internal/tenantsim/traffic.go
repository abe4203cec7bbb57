package tenantsim

import (
	"math/rand/v2"
	"strings"
	"time"
)

// Habits of calm users, as shares of their visits.
const (
	signupShare   = 0.01
	assessedShare = 0.10 // log a pla
	mfaShare      = 0.08
	wrongShare    = 0.06 // mistype the password once or twice
	unknownShare  = 0.01 // mistype their name
	exchangeShare = 0.70
	refreshShare  = 0.40
	logoutShare   = 0.15

	smsPause        = 15 * time.Minute // no second message to one user before that
	summaryInterval = 10 * time.Minute
)

// calmTraffic is the users of a quiet day.
type calmTraffic struct {
	users   []*user
	rng     *rand.Rand
	signups int
}

func (t *Tenant) startCalmTraffic() {
	t.calm = calmTraffic{users: makeUsers(t.opts.Users, t.opts.Seed), rng: newRand(t.opts.Seed, streamCalm)}
	t.people = make(map[string]*user, len(t.calm.users))
	for _, u := range t.calm.users {
		t.people[u.id] = u
	}
	if t.opts.CalmRate <= 0 {
		return
	}
	var arrive func()
	next := func() { t.after(gap(t.calm.rng, t.opts.CalmRate), arrive) }
	arrive = func() {
		t.visit()
		next()
	}
	next()
}

// gap is the time to the next arrival of a Poisson process with rate a second.
func gap(rng *rand.Rand, rate float64) time.Duration {
	return time.Duration(rng.ExpFloat64() / rate * float64(time.Second))
}

// between is a duration from low to high.
func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Float64()*float64(high-low))
}

// visit is one calm user coming to log in or to sign up. All that chance decides about it is drawn before the
// defences are asked, so that they do not change the visits that follow.
func (t *Tenant) visit() {
	c := &t.calm
	u := c.users[c.rng.IntN(len(c.users))]
	kind, habit := c.rng.Float64(), newHabits(c.rng)
	signup := kind < signupShare
	if signup {
		u = t.newcomer()
	}
	if t.denied("authentication", u.client(t)) {
		t.stats.CalmDenied++
		return
	}
	if habit.assessed {
		t.emitFor(u, "pla", habit.session, 0)
	}
	switch left := kind - signupShare; {
	case signup:
		t.people[u.id] = u
		t.emitFor(u, "ss", habit.session, 0)
		t.after(habit.pause, func() {
			t.account(u).emailVerified = true
			t.emitFor(u, "sv", habit.session, 0)
		})
		t.login(u, habit)
	case left < wrongShare:
		t.calmFailure(u, "fp", "", habit)
		if left < wrongShare/4 {
			t.after(habit.pause/2, func() { t.calmFailure(u, "fp", "", habit) })
		}
		t.after(habit.pause, func() { t.login(u, habit) })
	case left < wrongShare+unknownShare:
		t.calmFailure(u, "fu", u.mistyped, habit)
		t.after(habit.pause, func() { t.login(u, habit) })
	case left < wrongShare+unknownShare+mfaShare && t.now.Sub(u.lastSMS) >= smsPause:
		u.lastSMS = t.now
		t.emitFor(u, "gd_send_sms", habit.session, 0)
		t.after(habit.pause, func() {
			t.emitFor(u, "gd_auth_succeed", habit.session, 0)
			t.login(u, habit)
		})
	default:
		t.login(u, habit)
	}
}

// habits are what chance decides about one visit.
type habits struct {
	session                              uint64
	assessed, exchange, refresh, logout  bool
	pause, exchangeIn, refreshIn, leaves time.Duration
}

func newHabits(rng *rand.Rand) habits {
	return habits{
		session:    rng.Uint64(),
		assessed:   rng.Float64() < assessedShare,
		exchange:   rng.Float64() < exchangeShare,
		refresh:    rng.Float64() < refreshShare,
		logout:     rng.Float64() < logoutShare,
		pause:      between(rng, 8*time.Second, 60*time.Second),
		exchangeIn: between(rng, 200*time.Millisecond, 1500*time.Millisecond),
		refreshIn:  between(rng, 10*time.Minute, time.Hour),
		leaves:     between(rng, 5*time.Minute, 45*time.Minute),
	}
}

// login is a success and what follows from it, unless the user is blocked or gone.
func (t *Tenant) login(u *user, h habits) {
	a, from := t.account(u), origin{ip: u.ip, agent: u.agent}
	switch {
	case a.deleted:
		t.calmFailure(u, "fu", u.email, h)
		return
	case a.blocked:
		t.refuseBlocked(a, from, h.session)
		return
	}
	t.stats.CalmLogins++
	u.logins++
	t.defences.succeeded(u, u.addr)
	t.signIn(a, from, u.app, h.session)
	t.emitFor(u, "s", h.session, u.logins)
	if h.exchange {
		t.after(h.exchangeIn, func() { t.emitFor(u, "seacft", h.session, 0) })
	}
	if h.refresh {
		t.after(h.refreshIn, func() { t.calmRefresh(a, from, h.session) })
	}
	if h.logout {
		t.after(h.leaves, func() {
			id := hexID(h.session)
			a.dropSessions(func(s *session) bool { return s.id == id })
			t.emitFor(u, "slo", h.session, 0)
		})
	}
}

// calmRefresh is an application renewing the access of a login.
func (t *Tenant) calmRefresh(a *account, from origin, seed uint64) {
	switch r := a.token(hexID(seed)); {
	case a.deleted:
	case r == nil:
		t.refuseToken(a, a.app, from, seed, refusedRevoked)
	default:
		_ = t.exchange(a, r, from, seed) // what refuses it is in the log
	}
}

func (t *Tenant) calmFailure(u *user, typ, typed string, h habits) {
	ev := event{typ: typ, who: u, ip: u.ip, agent: u.agent, app: u.app, session: h.session}
	if typed != "" {
		ev.who, ev.typed = nil, typed
	} else {
		t.defences.failed(u, u.addr, t.now)
	}
	t.emit(ev)
}

func (t *Tenant) emitFor(u *user, typ string, session uint64, count int) {
	t.emit(event{typ: typ, who: u, ip: u.ip, agent: u.agent, app: u.app, session: session, count: count})
}

// newcomer is a user who was not there before, on an address of their own, with
// a name and a mail provider as people have them.
func (t *Tenant) newcomer() *user {
	c := &t.calm
	c.signups++
	n := len(c.users) + c.signups
	u := newUser(n, n, c.rng)
	name, provider := personName(n), mailProviders[n%len(mailProviders)]
	u.email, u.mistyped = name+"@"+provider, name+"@"+provider+"m"
	a := t.account(u)
	a.created, a.updated, a.emailVerified = t.now, t.now, false
	return u
}

var mailProviders = []string{"gmail.com", "outlook.com", "icloud.com", "gmx.net", "yahoo.com", "proton.me"}

// personName is a name for the n-th person: syllables that repeat after 27,000 people.
func personName(n int) string {
	syllables := strings.Fields("an ber cla dor el fri gus hen il jo kat lu mar nor ot pau qui ro sven ta ul vik wen xa yor zel bri chi dan eva")
	var b strings.Builder
	for range 3 {
		b.WriteString(syllables[n%len(syllables)])
		n /= len(syllables)
	}
	return b.String()
}

func (u *user) client(t *Tenant) *client {
	return &client{addr: u.addr, ja3: u.agent.ja3, ja4: u.agent.ja4, userAgent: u.agent.raw, hostname: t.opts.CustomDomain,
		country: u.country, asn: u.asn}
}

// startACLSummaries logs what the network ACLs did, every ten minutes while there are any.
func (t *Tenant) startACLSummaries() {
	var summarise func()
	next := func() { t.after(summaryInterval, summarise) }
	summarise = func() {
		t.summariseACLs()
		next()
	}
	next()
}

func (t *Tenant) summariseACLs() {
	if len(t.acls) == 0 {
		return
	}
	stats := make([]any, 0, len(t.acls))
	for _, a := range t.acls {
		stats = append(stats, map[string]any{
			"acl_id": a.id, "action": a.compiled.action, "description": a.description, "priority": a.priority,
			"match":               map[string]any{"successes": a.matched},
			"total_request_count": map[string]any{"successes": a.seen},
		})
		a.matched, a.seen = 0, 0
	}
	ev := t.plainEvent("acls_summary", "Summary of network ACL matches")
	ev["details"] = map[string]any{
		"start_time": formatDate(t.now.Add(-summaryInterval)), "end_time": formatDate(t.now), "stats": stats,
	}
	t.emitMap(t.now, ev)
}
