package tenantsim

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

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
