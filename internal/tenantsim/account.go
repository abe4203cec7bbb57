package tenantsim

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// connection is where identities sign in.
type connection struct{ id, name, strategy, kind string }

var (
	database    = &connection{connectionID, connectionName, "auth0", "database"}
	connections = map[string]*connection{ // by provider
		"auth0":         database,
		"google-oauth2": {"con_SimGoogle0000001", "google-oauth2", "google-oauth2", "social"},
		"github":        {"con_SimGithub0000001", "github", "github", "social"},
		"email":         {"con_SimEmail00000001", "email", "email", "passwordless"},
		"sms":           {"con_SimSms0000000001", "sms", "sms", "passwordless"},
	}
)

// connectionOf is where an identity signs in. Providers that are not known are enterprise ones, whose ids begin with the
// name of the connection: samlp|acme|jane.
func connectionOf(provider, id string) *connection {
	if c := connections[provider]; c != nil {
		return c
	}
	name, _, _ := strings.Cut(id, "|")
	return &connection{"con_Sim_" + name, name, provider, "enterprise"}
}

// identity is one way to sign in to an account.
type identity struct {
	provider, id string
	conn         *connection
	email        string
	password     string // of databases
}

func (i *identity) userID() string { return i.provider + "|" + i.id }

// account is what the tenant keeps of a user beyond what calm traffic needs.
type account struct {
	*user
	email                        string // the present one; user.email stands in events of before
	emailVerified, phoneVerified bool
	phoneNumber, username, name  string
	blocked, wasBlocked, deleted bool
	appMetadata, userMetadata    map[string]any
	identities                   []*identity // primary first
	created, updated             time.Time
	lastLogin, passwordSet       time.Time // zero if never
	lastIP                       string

	sessions []*session
	tokens   []*refreshToken
	dead     []*refreshToken // revoked ones that somebody may still try, oldest first
	factors  []*factor
	grants   []*grant
	browsers map[string]bool // remembered ones, by address and agent
	devices  map[string]bool // those that the new-device assessor knows
	ticket   *ticket         // the latest: the only one that works
}

// account returns what is kept of u, which it makes when it is first asked for.
func (t *Tenant) account(u *user) *account {
	if u.account == nil {
		a := &account{user: u, email: u.email, emailVerified: true, name: u.email, created: t.opts.Start.Add(-30 * 24 * time.Hour), lastIP: u.ip,
			browsers: map[string]bool{}, devices: map[string]bool{u.ip: true}}
		a.updated = a.created
		a.identities = []*identity{newIdentity(u.id, u.email)}
		if u.enrolment != "" {
			a.factors = []*factor{{id: u.enrolment, typ: "phone", phone: u.phone, created: a.created}}
		}
		u.account = a
	}
	return u.account
}

// find returns the account of a user_id, or nil.
func (t *Tenant) find(id string) *account {
	if u := t.people[id]; u != nil {
		return t.account(u)
	}
	return nil
}

func (t *Tenant) mustFind(id string) (*account, *apiError) {
	if a := t.find(id); a != nil {
		return a, nil
	}
	return nil, &apiError{status: 404, code: "inexistent_user", message: "The user does not exist."}
}

// everybody returns all accounts, by user_id.
func (t *Tenant) everybody() []*account {
	list := make([]*account, 0, len(t.people))
	for _, id := range slices.Sorted(maps.Keys(t.people)) {
		list = append(list, t.account(t.people[id]))
	}
	return list
}

// withEmail returns the accounts whose address is, by user_id.
func (t *Tenant) withEmail(is func(email string) bool) []*account {
	var list []*account
	for _, u := range t.people {
		email := u.email
		if u.account != nil {
			email = u.account.email
		}
		if is(email) {
			list = append(list, t.account(u))
		}
	}
	slices.SortFunc(list, func(a, b *account) int { return strings.Compare(a.id, b.id) })
	return list
}

// database is the first identity with a password, or nil.
func (a *account) database() *identity {
	for _, i := range a.identities {
		if i.provider == "auth0" {
			return i
		}
	}
	return nil
}

func (a *account) json() map[string]any {
	out := map[string]any{
		"user_id": a.id, "email": a.email, "email_verified": a.emailVerified, "name": a.name, "nickname": strings.Split(a.email, "@")[0],
		"created_at": formatDate(a.created), "updated_at": formatDate(a.updated), "last_ip": a.lastIP, "logins_count": a.logins,
	}
	identities := []any{}
	for i, id := range a.identities {
		one := map[string]any{"connection": id.conn.name, "provider": id.provider, "user_id": id.id, "isSocial": id.conn.kind == "social"}
		if i > 0 {
			one["profileData"] = map[string]any{"email": id.email, "email_verified": true}
		}
		identities = append(identities, one)
	}
	out["identities"] = identities
	if a.wasBlocked { // a user who never was has no such member
		out["blocked"] = a.blocked
	}
	for name, text := range map[string]string{"phone_number": a.phoneNumber, "username": a.username} {
		if text != "" {
			out[name] = text
		}
	}
	if a.phoneNumber != "" {
		out["phone_verified"] = a.phoneVerified
	}
	for name, m := range map[string]map[string]any{"app_metadata": a.appMetadata, "user_metadata": a.userMetadata} {
		if len(m) > 0 {
			out[name] = cloneJSON(m)
		}
	}
	for name, at := range map[string]time.Time{"last_login": a.lastLogin, "last_password_reset": a.passwordSet} {
		if !at.IsZero() {
			out[name] = formatDate(at)
		}
	}
	return out
}

// setPassword gives a database identity a new password, which ends the tickets and the brute-force blocks.
func (t *Tenant) setPassword(a *account, password string) {
	a.database().password = password
	a.passwordSet, a.updated, a.ticket = t.now, t.now, nil
	t.defences.forgive(a.user)
}

// remove takes an account out of the tenant.
func (t *Tenant) remove(a *account) {
	a.deleted = true
	a.sessions, a.tokens, a.ticket = nil, nil, nil
	delete(t.people, a.id)
}
