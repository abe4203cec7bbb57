package tenantsim

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
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

// AddFactor enrols an authentication method, such as phone, totp, push-notification or passkey, and returns its id.
func (t *Tenant) AddFactor(user, ip, typ string) (id string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, err := t.scripted(user)
	if err != nil {
		return "", err
	}
	return t.enrol(a, a.from(ip), typ), nil
}

func (t *Tenant) enrol(a *account, from origin, typ string) string {
	device := "dev_" + hexID(t.seed())[:16]
	f := &factor{id: typ + "|" + device, typ: typ, created: t.now}
	details := map[string]any{"authenticator": map[string]any{"id": f.id, "type": typ}, "enrollment": map[string]any{"_id": device, "name": typ, "user_id": a.id}}
	description := "Guardian - Enrollment complete"
	if typ == "phone" {
		f.phone = "+1XXXXXXX" + pad(len(a.factors), 3)
		description += " (sms)"
		details["authenticator"] = map[string]any{"id": f.id, "type": "sms", "phone_number": f.phone}
	}
	a.factors = append(a.factors, f)
	t.tell(a, "gd_enrollment_complete", description, from, details)
	return f.id
}

// ChangeEmail is a user, or who took the account over, changing the e-mail address of the account.
func (t *Tenant) ChangeEmail(user, ip, email string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, err := t.scripted(user)
	if err == nil {
		t.moveEmail(a, a.from(ip), email)
	}
	return err
}

func (t *Tenant) moveEmail(a *account, from origin, email string) {
	old := a.email
	t.setEmail(a, email)
	t.tell(a, "sce", "Your email was successfully changed.", from, map[string]any{"body": map[string]any{"email": old, "newEmail": a.email}})
}

// LinkOwn is a user, or who took the account over, linking an identity to the account; it is a user of its own before, which
// is made if there is none.
func (t *Tenant) LinkOwn(user, ip, identity string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, err := t.scripted(user)
	if err != nil {
		return err
	}
	return t.linkOwn(a, a.from(ip), identity)
}

func (t *Tenant) linkOwn(a *account, from origin, id string) error {
	other := t.find(id)
	if other == nil {
		made := newIdentity(id, "")
		other = &account{user: &user{id: id}, identities: []*identity{made}, created: t.now}
		t.addUser(other)
	}
	if problem := t.link(a, other); problem != nil {
		return problem
	}
	t.tell(a, "connected_accounts_connection_succeeded", "Account linked", from, map[string]any{"identity": id})
	return nil
}

// Unlink is an administrator taking an identity, such as github|7, from a user in the dashboard.
func (t *Tenant) Unlink(user, identity string) error {
	provider, id, _ := strings.Cut(identity, "|")
	return t.HumanRequest("DELETE", userPath(user)+"/identities/"+url.PathEscape(provider)+"/"+url.PathEscape(id), nil)
}

// HumanBlocks is an administrator blocking a user in the dashboard, and HumanUnblocks the opposite.
func (t *Tenant) HumanBlocks(user string) error {
	return t.HumanPatch(userPath(user), map[string]any{"blocked": true})
}

// HumanUnblocks is an administrator lifting a block in the dashboard.
func (t *Tenant) HumanUnblocks(user string) error {
	return t.HumanPatch(userPath(user), map[string]any{"blocked": false})
}

// DeleteUser is an administrator deleting a user in the dashboard.
func (t *Tenant) DeleteUser(user string) error { return t.HumanRequest("DELETE", userPath(user), nil) }

func userPath(id string) string { return "/users/" + url.PathEscape(id) }

// RequestReset is somebody at the login page asking for a mail to set a new password. The limit on such mails does not apply.
func (t *Tenant) RequestReset(email, ip string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.askReset(email, t.opts.CustomDomain, origin{ip: ip, agent: &browsers[0]})
}

// ResetPassword is whoever has the link of a ticket or of a mail setting a new password with it. Sessions and refresh tokens
// stay, and so does an administrator's block unless Options.ResetUnblocks is set.
func (t *Tenant) ResetPassword(link, ip string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	u, err := url.Parse(link)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTicket, err)
	}
	id := u.Query().Get(ticketParameter)
	for _, p := range t.people {
		a := p.account
		if a == nil || a.ticket == nil || a.ticket.id != id || id == "" {
			continue
		}
		if !t.now.Before(a.ticket.expires) {
			t.tell(a, "fcp", "The link has expired.", a.from(ip), nil)
			return ErrTicket
		}
		a.emailVerified = a.emailVerified || a.ticket.verify
		t.setPassword(a, "password-set-"+hexID(t.seed()))
		a.blocked = a.blocked && !t.opts.ResetUnblocks
		t.tell(a, "scp", "You can now login to the application with the new password.", a.from(ip), map[string]any{"email": a.email, "title": "Password changed"})
		return nil
	}
	t.tellOf(nil, "", "fcp", "The link is not valid.", origin{ip: ip, agent: &browsers[0]}, nil)
	return ErrTicket
}

// Account is how an account is at present. Sessions and RefreshTokens are the ids of those that work, whatever the API lists.
type Account struct {
	Email                   string
	EmailVerified, Blocked  bool
	AppMetadata             map[string]any
	Identities              []string // user_ids, the primary one first
	Sessions, RefreshTokens []string
	Factors                 []string // their ids
	Grants                  int
	RememberedBrowsers      int // those that need no second factor
	KnownDevices            int // those that are not new to the risk assessment
	Ticket                  bool
}

// Account tells how an account is; false if there is none.
func (t *Tenant) Account(user string) (Account, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.find(user)
	if a == nil {
		return Account{}, false
	}
	t.expire(a)
	out := Account{Email: a.email, EmailVerified: a.emailVerified, Blocked: a.blocked, AppMetadata: cloneJSON(a.appMetadata), Grants: len(a.grants),
		RememberedBrowsers: len(a.browsers), KnownDevices: len(a.devices), Ticket: a.ticket != nil && t.now.Before(a.ticket.expires)}
	for _, i := range a.identities {
		out.Identities = append(out.Identities, i.userID())
	}
	for _, s := range a.sessions {
		out.Sessions = append(out.Sessions, s.id)
	}
	for _, r := range a.tokens {
		out.RefreshTokens = append(out.RefreshTokens, r.id)
	}
	for _, f := range a.factors {
		out.Factors = append(out.Factors, f.id)
	}
	slices.Sort(out.Factors)
	return out, true
}
