package tenantsim

import (
	"net/http"
	"slices"
	"time"
)

func (a *account) identitiesJSON() []any {
	list, _ := a.json()["identities"].([]any)
	return list
}

var linkFields = fields{"provider": isText(1, 64), "user_id": isText(1, 255), "connection_id": isText(1, 64)}

// linkIdentity makes another user an identity of this one. The other user is gone, with its metadata, its block and its
// sessions.
func (t *Tenant) linkIdentity(w write) (changed, *apiError) {
	a, problem := t.mustFind(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	if text := linkFields.check(w.body); text != "" {
		return changed{}, invalidBody("%s", text)
	}
	provider, _ := w.body["provider"].(string)
	id, _ := w.body["user_id"].(string)
	other, problem := t.mustFind(provider + "|" + id)
	if problem != nil {
		return changed{}, problem
	}
	if problem := t.link(a, other); problem != nil {
		return changed{}, problem
	}
	return changed{status: http.StatusCreated, list: a.identitiesJSON(), summary: "Link a User Account"}, nil
}

func (t *Tenant) link(a, other *account) *apiError {
	if other == a || len(other.identities) > 1 {
		return &apiError{status: http.StatusBadRequest, message: "The main identity cannot be linked, nor a user who has linked identities"}
	}
	i := other.identities[0]
	i.email = other.email
	a.identities = append(a.identities, i)
	a.updated = t.now
	t.remove(other)
	return nil
}

// unlinkIdentity makes a user of an identity: a new one, who is neither blocked nor marked, and whose password, if there is
// one, is that of before.
func (t *Tenant) unlinkIdentity(w write) (changed, *apiError) {
	a, problem := t.mustFind(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	n := slices.IndexFunc(a.identities, func(i *identity) bool { return i.provider == w.ids[1] && i.id == w.ids[2] })
	switch {
	case n < 0:
		return changed{}, notFound("The user does not have such an identity.")
	case n == 0:
		return changed{}, &apiError{status: http.StatusBadRequest, message: "The main identity of a user cannot be unlinked"}
	}
	i := a.identities[n]
	a.identities = slices.Delete(a.identities, n, n+1)
	a.updated = t.now
	t.addUser(&account{user: &user{id: i.userID(), email: i.email}, identities: []*identity{i}, created: t.now})
	return changed{status: http.StatusOK, list: a.identitiesJSON(), summary: "Unlink a User Account"}, nil
}

// addUser puts an account into the tenant; what it leaves out is as calm users have it.
func (t *Tenant) addUser(a *account) {
	u := a.user
	setDefault(&u.ip, "198.18.255.1")
	u.agent, u.app, u.country, u.account = &browsers[0], &apps[0], "DE", a
	setDefault(&u.asn, 64496)
	u.mistyped = "x" + u.email
	a.email, a.name, a.updated, a.lastIP = u.email, u.email, a.created, u.ip
	if conn := a.identities[0].conn; conn != database {
		u.conn = conn
	}
	a.browsers, a.devices = map[string]bool{}, map[string]bool{}
	t.people[u.id] = u
}

// NewUser describes a user that a test adds.
type NewUser struct {
	ID          string    // such as auth0|x, google-oauth2|7, samlp|acme|x, email|x or sms|x; required
	Email       string    // none if empty
	Unverified  bool      // of the address
	Phone       string    // none if empty
	IP          string    // where its owner comes from; 198.18.255.1 if empty
	Linked      []string  // user_ids of further identities, with the same address
	Created     time.Time // a month before Options.Start if zero
	AppMetadata map[string]any
}

// AddUser adds a user who takes no part in the calm traffic. Identities of databases have a password, see Password.
func (t *Tenant) AddUser(n NewUser) {
	t.mu.Lock()
	defer t.mu.Unlock()
	setDefault(&n.Created, t.opts.Start.Add(-30*24*time.Hour))
	a := &account{user: &user{id: n.ID, email: n.Email, ip: n.IP}, created: n.Created.UTC(), emailVerified: !n.Unverified, phoneNumber: n.Phone,
		appMetadata: cloneJSON(n.AppMetadata)}
	for _, id := range append([]string{n.ID}, n.Linked...) {
		a.identities = append(a.identities, newIdentity(id, n.Email))
	}
	t.addUser(a)
}
