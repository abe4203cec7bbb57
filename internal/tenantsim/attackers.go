package tenantsim

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// AttackKind is what an attacker does.
type AttackKind int

// The kinds of attack.
const (
	// CredentialStuffing tries many user names from few addresses; a few passwords are right.
	CredentialStuffing AttackKind = iota + 1
	// SMSBombing makes the tenant send second-factor messages to one user.
	SMSBombing
	// SuspiciousSuccess guesses at one account until brute force protection steps in (limit_wc), uses a leaked password
	// (pwd_leak), and in the last third of its time logs in to another account from the same address.
	SuspiciousSuccess
	// AccountTakeover signs in to Target, or to Users accounts, with the right password from elsewhere; makes its Moves there;
	// uses its refresh token from then on; and signs in again when that is refused. Each act counts as an attempt.
	AccountTakeover
)

func (k AttackKind) String() string {
	switch k {
	case CredentialStuffing:
		return "credential stuffing"
	case SMSBombing:
		return "SMS bombing"
	case SuspiciousSuccess:
		return "suspicious success"
	case AccountTakeover:
		return "account takeover"
	}
	return "unknown attack"
}

// Attack describes one attack. Only Kind is required.
type Attack struct {
	Kind      AttackKind
	Start     time.Time     // virtual; now if zero or past
	Duration  time.Duration // virtual; 15 minutes if zero
	Rate      float64       // attempts per virtual second; 20, 0.2 for SMSBombing, 0.5 for SuspiciousSuccess, 0.05 for AccountTakeover if zero
	IPs       []netip.Addr  // addresses it comes from; if empty, Addresses of them are chosen
	Addresses int           // 3, 1 for all but CredentialStuffing if zero; at most 500
	Users     int           // existing accounts it knows, the first calm ones; all, or one for AccountTakeover, if zero
	Target    string        // user_id of the victim, for SuspiciousSuccess the first account; chosen if empty
	Moves     []Move        // of AccountTakeover, in this order; none if empty

	KnownShare float64 // share of attempts on accounts that exist; 0.5 if zero
	ValidShare float64 // share of attempts with a right password; 0.02 if zero, none if negative
	Country    string  // of its addresses, for network ACLs; "ZZ" if empty
	ASN        int     // of its addresses, for network ACLs; 65550 if zero
}

const (
	addressesMax   = 500
	leakKnownShare = 0.5 // stolen passwords that breached password detection knows
	nameSpace      = 1_000_000
	quietShare     = 2.0 / 3 // of a SuspiciousSuccess's time goes by before the success
)

func (a *Attack) setDefaults(now time.Time) {
	single := a.Kind != CredentialStuffing
	if a.Start.Before(now) {
		a.Start = now
	}
	setDefault(&a.Duration, 15*time.Minute)
	if a.Rate <= 0 {
		a.Rate = map[AttackKind]float64{SMSBombing: 0.2, SuspiciousSuccess: 0.5, AccountTakeover: 1 / takeoverPause.Seconds()}[a.Kind]
		setDefault(&a.Rate, 20)
	}
	if a.Addresses <= 0 {
		a.Addresses = 3
		if single {
			a.Addresses = 1
		}
	}
	a.Addresses = min(a.Addresses, addressesMax)
	setDefault(&a.KnownShare, 0.5)
	setDefault(&a.ValidShare, 0.02)
	setDefault(&a.Country, "ZZ")
	setDefault(&a.ASN, 65550)
}

// attack is an Attack under way.
type attack struct {
	Attack
	end      time.Time
	rng      *rand.Rand
	tool     *agent
	ips      []string // the text of IPs
	target   *user
	victims  []*victim // of AccountTakeover
	next     int       // the victim whose turn it is
	leaked   bool      // SuspiciousSuccess has used its leaked password
	outcomes Outcomes
}

// Attack schedules an attack, or starts it at once.
func (t *Tenant) Attack(spec Attack) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.attacks)
	spec.setDefaults(t.now)
	a := &attack{Attack: spec, end: spec.Start.Add(spec.Duration), rng: newRand(t.opts.Seed, streamAttack+uint64(n)), tool: &tools[n%len(tools)]}
	if len(a.IPs) == 0 {
		a.IPs = attackerAddresses(n, a.Addresses)
	}
	for _, ip := range a.IPs {
		a.ips = append(a.ips, ip.String())
	}
	a.target = t.pickTarget(a)
	t.pickVictims(a)
	t.attacks = append(t.attacks, a)
	t.opts.Logger.Info("attack scheduled", "kind", a.Kind.String(), "start", a.Start, "end", a.end, "addresses", len(a.IPs))

	do := map[AttackKind]func(*attack) outcome{
		CredentialStuffing: t.stuff, SMSBombing: t.bomb, SuspiciousSuccess: t.sneak, AccountTakeover: t.takeOver,
	}[a.Kind]
	if do == nil {
		t.opts.Logger.Error("attack of unknown kind does nothing", "kind", int(a.Kind))
		return
	}
	var step func()
	step = func() {
		if !t.now.Before(a.end) {
			return
		}
		a.outcomes.count(do(a))
		t.after(gap(a.rng, a.Rate), step)
	}
	t.at(a.Start, step)
}

// attackerAddresses are count addresses of the documentation networks, other ones for each attack while they last.
func attackerAddresses(attack, count int) []netip.Addr {
	const perNetwork = 254
	networks := [][3]byte{{198, 51, 100}, {192, 0, 2}}
	addrs := make([]netip.Addr, count)
	for i := range addrs {
		k := (attack*16 + i + 6) % (perNetwork * len(networks))
		n := networks[k/perNetwork]
		addrs[i] = netip.AddrFrom4([4]byte{n[0], n[1], n[2], byte(k%perNetwork + 1)})
	}
	return addrs
}

func (t *Tenant) pickTarget(a *attack) *user {
	if u := t.people[a.Target]; u != nil {
		return u
	}
	u := t.calm.users[a.rng.IntN(len(t.calm.users))]
	if a.Target != "" {
		named := *u
		named.id, named.email, named.enrolment = a.Target, "named.target@people.example", "sms|dev_named"
		return &named
	}
	return u
}

// outcome is how an attempt ended.
type outcome int

const (
	wasDenied outcome = iota
	wasThrottled
	wasChallenged
	hasFailed
	hasSucceeded
)

func (o *Outcomes) count(result outcome) {
	o.Attempts++
	switch result {
	case wasDenied:
		o.Denied++
	case wasThrottled:
		o.Throttled++
	case wasChallenged:
		o.Challenged++
	case hasFailed:
		o.Failed++
	case hasSucceeded:
		o.Succeeded++
	}
}

// try is one login attempt of an attack.
type try struct {
	who    *user  // nil: the name does not exist
	typed  string // the name, if it does not exist
	valid  bool   // the password is right
	leaked bool   // the password is right and breached password detection knows it

	passkey string // a factor that serves where the password is right no more; none if empty
}

// stuff tries one pair of a leaked list.
func (t *Tenant) stuff(a *attack) outcome {
	known, valid, leaked := a.rng.Float64() < a.KnownShare, a.rng.Float64() < a.ValidShare, a.rng.Float64() < leakKnownShare
	if !known && !valid {
		return t.attempt(a, try{typed: "leaked" + pad(a.rng.IntN(nameSpace), 6) + "@mail.example"})
	}
	users := t.calm.users
	if a.Users > 0 {
		users = users[:min(a.Users, len(users))]
	}
	return t.attempt(a, try{who: users[a.rng.IntN(len(users))], valid: valid, leaked: valid && leaked})
}

// sneak guesses, then succeeds.
func (t *Tenant) sneak(a *attack) outcome {
	if t.now.Sub(a.Start) >= time.Duration(float64(a.Duration)*quietShare) {
		return t.attempt(a, try{who: t.otherUser(a.target), valid: true})
	}
	leaked := !a.leaked
	a.leaked = true
	return t.attempt(a, try{who: a.target, leaked: leaked})
}

// otherUser is the calm user after u.
func (t *Tenant) otherUser(u *user) *user {
	for i, candidate := range t.calm.users {
		if candidate == u {
			return t.calm.users[(i+1)%len(t.calm.users)]
		}
	}
	return t.calm.users[0]
}

// origin picks the address an attempt comes from.
func (a *attack) origin(t *Tenant) (string, *client) {
	i := a.rng.IntN(len(a.IPs))
	return a.ips[i], &client{addr: a.IPs[i], ja3: a.tool.ja3, ja4: a.tool.ja4, userAgent: a.tool.raw, hostname: t.opts.CustomDomain,
		country: a.Country, asn: a.ASN}
}

// attempt takes a login attempt through the defences, in the order the package documentation gives.
func (t *Tenant) attempt(a *attack, try try) outcome {
	d := &t.defences
	ip, c := a.origin(t)
	ev := event{who: try.who, typed: try.typed, ip: ip, agent: a.tool, app: &apps[0], session: a.rng.Uint64()}
	log := func(typ string) {
		e := ev
		e.typ = typ
		t.emit(e)
	}
	verdict := d.judgeBot(a.rng, d.passwordPolicy, c.addr, t.opts.NoBotDetection)
	if t.denied("authentication", c) {
		return wasDenied
	}
	if d.throttled(c.addr, t.now) {
		if due(d.muSeen, c.addr, t.now) {
			log("limit_mu")
		}
		if d.throttling.block {
			return wasThrottled
		}
	}
	if t.assess(ev, verdict) {
		return wasChallenged
	}
	account := t.attacked(a, &try, &ev)
	if d.locked(try.who, c.addr, t.now) {
		log("limit_wc")
		if d.bruteForce.block {
			return wasThrottled
		}
	}
	if try.leaked && d.breached {
		if due(d.leakSeen, c.addr, t.now) {
			log("pwd_leak")
		}
		if d.breachedBlock {
			return wasThrottled
		}
	}
	switch {
	case try.valid && account.blocked:
		t.refuseBlocked(account, origin{ip, a.tool}, ev.session)
	case try.valid:
		d.succeeded(try.who, c.addr)
		try.who.logins++
		ev.count = try.who.logins
		t.signIn(account, origin{ip, a.tool}, ev.app, ev.session)
		log("s")
		return hasSucceeded
	case try.who != nil:
		d.failed(try.who, c.addr, t.now)
		log("fp")
	default:
		d.failed(nil, c.addr, t.now)
		log("fu")
	}
	return hasFailed
}

// attacked is the account of a try, and makes of the try what became of the account since the password was stolen.
func (t *Tenant) attacked(a *attack, try *try, ev *event) *account {
	if try.who == nil {
		return nil
	}
	account := t.account(try.who)
	switch {
	case account.deleted:
		ev.typed = account.email
		try.who, try.valid, ev.who = nil, false, nil
	case account.passwordSet.After(a.Start) && !account.has(try.passkey):
		try.valid = false
	}
	return account
}

// assess logs what bot detection made of an attempt, if there is something to log, and reports whether it was stopped.
func (t *Tenant) assess(ev event, v verdict) (stopped bool) {
	if !v.risky {
		return false
	}
	ev.typ, ev.risky, ev.count = "pla", true, 0
	if v.allowlisted {
		ev.count = 1
	}
	t.emit(ev)
	return v.stopped
}

// bomb asks for one more message to the victim.
func (t *Tenant) bomb(a *attack) outcome {
	ip, c := a.origin(t)
	ev := event{who: a.target, ip: ip, agent: a.tool, app: &apps[0], session: a.rng.Uint64()}
	verdict := t.defences.judgeBot(a.rng, t.defences.passwordlessPolicy, c.addr, t.opts.NoBotDetection)
	if t.denied("authentication", c) {
		return wasDenied
	}
	if t.assess(ev, verdict) {
		return wasChallenged
	}
	ev.typ = "gd_send_sms"
	t.emit(ev)
	return hasSucceeded
}
