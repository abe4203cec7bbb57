package tenantsim

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// What people and attackers do to one account, at once and by script. Each call is one act at the present virtual time, with
// the events that the log shows of it; what fails returns one of these errors.
var (
	ErrNoUser        = errors.New("no such user")
	ErrUserBlocked   = errors.New("the user is blocked")
	ErrWrongPassword = errors.New("wrong password")
	ErrBruteForce    = errors.New("too many failed logins from this address")
	ErrRevoked       = errors.New("the session or the refresh token is not valid")
	ErrTicket        = errors.New("the link is not valid: used, expired, or another was made after it")
)

// newIdentity reads a user_id.
func newIdentity(userID, email string) *identity {
	provider, id, _ := strings.Cut(userID, "|")
	i := &identity{provider: provider, id: id, conn: connectionOf(provider, id), email: email}
	if provider == "auth0" {
		i.password = "calm-password-of-" + id
	}
	return i
}

// account finds who a script is about.
func (t *Tenant) scripted(user string) (*account, error) {
	if a := t.find(user); a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("%s: %w", user, ErrNoUser)
}

// from is where a script's person comes from: the owner's own browser at the owner's own address, a foreign one elsewhere.
func (a *account) from(ip string) origin {
	if ip == a.ip {
		return origin{ip: ip, agent: a.agent}
	}
	return origin{ip: ip, agent: &tools[len(tools)-1]}
}

// Users returns the user_ids of the first n calm users.
func (t *Tenant) Users(n int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []string
	for _, u := range t.calm.users[:min(n, len(t.calm.users))] {
		ids = append(ids, u.id)
	}
	return ids
}

// Password is the present password of a user; empty if there is no such user, or none with a password.
func (t *Tenant) Password(user string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.find(user); a != nil && a.database() != nil {
		return a.database().password
	}
	return ""
}

// Login signs a user in with all that it takes, and returns the id of the session. A refresh token comes with it, see Refresh.
func (t *Tenant) Login(user, ip string) (session string, err error) {
	finish, err := t.BeginLogin(user, ip)
	if err != nil {
		return "", err
	}
	return finish()
}

// LoginWith is Login by somebody who knows a password, which may not be the right one any more.
func (t *Tenant) LoginWith(user, ip, password string) (session string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, err := t.scripted(user)
	if err != nil {
		return "", err
	}
	if err := t.admit(a, a.from(ip), password); err != nil {
		return "", err
	}
	return t.enter(a, a.from(ip)), nil
}

// LoginByPasskey signs in with a passkey, which AddFactor returned the id of, and no password; ErrWrongPassword if it is not
// there any more.
func (t *Tenant) LoginByPasskey(user, ip, id string) (session string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, err := t.scripted(user)
	if err != nil {
		return "", err
	}
	password := "" // is not asked for
	if i := a.database(); i != nil && a.has(id) && strings.HasPrefix(id, "passkey|") {
		password = i.password
	}
	if err := t.admit(a, a.from(ip), password); err != nil {
		return "", err
	}
	return t.enter(a, a.from(ip)), nil
}

// BeginLogin is the first half of Login: everything about the user was checked, and nothing is made before finish is called.
// A block or a revocation in between does not stop the login, as with Auth0, but a user who is gone does.
func (t *Tenant) BeginLogin(user, ip string) (finish func() (session string, err error), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, err := t.scripted(user)
	if err != nil {
		return nil, err
	}
	password := ""
	if i := a.database(); i != nil {
		password = i.password
	}
	if err := t.admit(a, a.from(ip), password); err != nil {
		return nil, err
	}
	return func() (string, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if a.deleted {
			return "", fmt.Errorf("%s: %w", user, ErrNoUser)
		}
		return t.enter(a, a.from(ip)), nil
	}, nil
}

// admit checks a login; what refuses it is in the log.
func (t *Tenant) admit(a *account, from origin, password string) error {
	addr, _ := netip.ParseAddr(from.ip)
	ev := event{who: a.user, ip: from.ip, agent: from.agent, app: a.app, session: t.seed()}
	db := a.database()
	switch {
	case t.defences.locked(a.user, addr, t.now):
		ev.typ = "limit_wc"
		t.emit(ev)
		return ErrBruteForce
	case db != nil && db.password != password:
		t.defences.failed(a.user, addr, t.now)
		ev.typ = "fp"
		t.emit(ev)
		return ErrWrongPassword
	case a.blocked:
		t.refuseBlocked(a, from, ev.session)
		return ErrUserBlocked
	}
	return nil
}

// refuseBlocked logs a login of a blocked user. The counters of the user move all the same.
func (t *Tenant) refuseBlocked(a *account, from origin, seed uint64) {
	a.logins++
	a.lastLogin, a.lastIP = t.now, from.ip
	t.emit(event{typ: "f", who: a.user, ip: from.ip, agent: from.agent, app: a.app, session: seed, count: a.logins})
}

// enter is a login that got through.
func (t *Tenant) enter(a *account, from origin) string {
	seed := t.seed()
	addr, _ := netip.ParseAddr(from.ip)
	a.logins++
	t.defences.succeeded(a.user, addr)
	s := t.signIn(a, from, a.app, seed)
	ev := event{typ: "s", who: a.user, ip: from.ip, agent: from.agent, app: a.app, session: seed, count: a.logins}
	t.emit(ev)
	ev.typ, ev.count = "seacft", 0
	t.emit(ev)
	return s.id
}

// seed is for ids of what scripts do; the calm traffic draws from elsewhere.
func (t *Tenant) seed() uint64 { return t.ids.Uint64() }

// Refresh exchanges the refresh token that came with a session. It works without the session, too.
func (t *Tenant) Refresh(session, ip string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, _, r := t.ownerOf("rt_" + session)
	if r == nil {
		if a, r := t.revoked(session); r != nil {
			t.refuseToken(a, r.app, a.from(ip), t.seed(), refusedRevoked)
		}
		return ErrRevoked
	}
	return t.exchange(a, r, a.from(ip), t.seed())
}

// refuseToken logs the use of a refresh token that gives nothing.
func (t *Tenant) refuseToken(a *account, app *app, from origin, seed uint64, why int) {
	t.emit(event{typ: "fertft", who: a.user, ip: from.ip, agent: from.agent, app: app, session: seed, count: why})
}

// exchange uses a refresh token.
func (t *Tenant) exchange(a *account, r *refreshToken, from origin, seed uint64) error {
	if a.blocked {
		t.refuseToken(a, r.app, from, seed, refusedBlocked)
		return ErrUserBlocked
	}
	r.last, r.used = from, t.now
	a.refreshes++
	t.emit(event{typ: "sertft", who: a.user, ip: from.ip, agent: from.agent, app: r.app, session: seed, count: a.refreshes})
	return nil
}

// FailLogins types n wrong passwords. The brute-force protection of the tenant steps in where it is set to.
func (t *Tenant) FailLogins(user, ip string, n int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, err := t.scripted(user)
	if err != nil {
		return err
	}
	for range n {
		_ = t.admit(a, a.from(ip), "not "+user) // it fails, which is what is wanted
	}
	return nil
}
