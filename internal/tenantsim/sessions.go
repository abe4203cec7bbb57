package tenantsim

import (
	"slices"
	"time"
)

const (
	sessionLife   = 7 * 24 * time.Hour
	sessionIdle   = 3 * 24 * time.Hour
	tokenLife     = 30 * 24 * time.Hour
	tokensKept    = 200 // of one user, and as many sessions; Auth0 prunes the oldest tokens of a user and application
	deadKept      = 20
	revokePage    = 50
	revokePageMax = 100
)

// origin is where somebody comes from.
type origin struct {
	ip    string
	agent *agent
}

// session is one session at the tenant.
type session struct {
	id      string
	seq     uint64
	made    origin
	last    origin
	app     *app
	created time.Time
	used    time.Time
	ending  *ending
}

// refreshToken is what an application got with a session.
type refreshToken struct {
	id, session string
	seq         uint64
	made, last  origin
	app         *app
	created     time.Time
	used        time.Time
	ending      *ending
}

// ending is a revocation that was accepted and has not happened yet: sessions and tokens stay listed and work on until the
// lists of their user were read so often, or its time has come.
type ending struct{ reads int }

// signIn makes the session and the refresh token of a login that got through.
func (t *Tenant) signIn(a *account, from origin, app *app, seed uint64) *session {
	a.lastLogin, a.lastIP = t.now, from.ip
	t.sessionSeq++
	s := &session{id: hexID(seed), seq: t.sessionSeq, made: from, last: from, app: app, created: t.now, used: t.now}
	a.sessions = append(a.sessions, s)
	a.tokens = append(a.tokens, &refreshToken{id: "rt_" + s.id, session: s.id, seq: t.sessionSeq, made: from, last: from, app: app, created: t.now, used: t.now})
	a.sessions = slices.Delete(a.sessions, 0, max(0, len(a.sessions)-tokensKept))
	a.tokens = slices.Delete(a.tokens, 0, max(0, len(a.tokens)-tokensKept))
	a.allow(app)
	a.devices[from.ip] = true
	a.browsers[from.ip+" "+from.agent.raw] = true
	return s
}

// expire forgets what is too old.
func (t *Tenant) expire(a *account) {
	a.sessions = slices.DeleteFunc(a.sessions, func(s *session) bool {
		return t.now.Sub(s.created) > sessionLife || t.now.Sub(s.used) > sessionIdle
	})
	a.tokens = slices.DeleteFunc(a.tokens, func(r *refreshToken) bool { return t.now.Sub(r.created) > tokenLife })
}

// endSessions accepts the end of some sessions, and endTokens of some tokens.
func (t *Tenant) endSessions(a *account, which func(*session) bool) {
	for _, s := range a.sessions {
		if which(s) && s.ending == nil {
			s.ending = &ending{reads: t.opts.RevokeReads}
			t.after(t.opts.RevokeLag, func() { a.dropSessions(func(o *session) bool { return o == s }) })
		}
	}
}

func (t *Tenant) endTokens(a *account, which func(*refreshToken) bool) {
	for _, r := range a.tokens {
		if which(r) && r.ending == nil {
			r.ending = &ending{reads: t.opts.RevokeReads}
			t.after(t.opts.RevokeLag, func() { a.dropTokens(func(o *refreshToken) bool { return o == r }) })
		}
	}
}

func (a *account) dropSessions(which func(*session) bool) {
	a.sessions = slices.DeleteFunc(a.sessions, which)
}

func (a *account) dropTokens(which func(*refreshToken) bool) {
	a.tokens = slices.DeleteFunc(a.tokens, func(r *refreshToken) bool {
		if which(r) {
			a.dead = append(a.dead[max(0, len(a.dead)-deadKept):], r)
			return true
		}
		return false
	})
}

// revoked is the owner of a refresh token that works no more, or nil.
func (t *Tenant) revoked(session string) (*account, *refreshToken) {
	for _, u := range t.people {
		if u.account == nil {
			continue
		}
		for _, r := range u.account.dead {
			if r.session == session {
				return u.account, r
			}
		}
	}
	return nil, nil
}

// over counts one read of a list, and reports whether the thing is gone now.
func (e *ending) over() bool {
	if e == nil {
		return false
	}
	e.reads--
	return e.reads < 0
}

func (a *account) token(session string) *refreshToken {
	for _, r := range a.tokens {
		if r.session == session {
			return r
		}
	}
	return nil
}

// ownerOf finds whose session or refresh token it is.
func (t *Tenant) ownerOf(id string) (*account, *session, *refreshToken) {
	for _, u := range t.people {
		if u.account == nil {
			continue
		}
		for _, s := range u.account.sessions {
			if s.id == id {
				return u.account, s, nil
			}
		}
		for _, r := range u.account.tokens {
			if r.id == id {
				return u.account, nil, r
			}
		}
	}
	return nil, nil, nil
}

func deviceJSON(made, last origin) map[string]any {
	return map[string]any{"initial_ip": made.ip, "initial_asn": "64496", "initial_user_agent": made.agent.raw,
		"last_ip": last.ip, "last_asn": "64496", "last_user_agent": last.agent.raw}
}

func (s *session) json(user string) map[string]any {
	return map[string]any{
		"id": s.id, "user_id": user, "created_at": formatDate(s.created), "updated_at": formatDate(s.used), "authenticated_at": formatDate(s.created),
		"last_interacted_at": formatDate(s.used), "idle_expires_at": formatDate(s.used.Add(sessionIdle)), "expires_at": formatDate(s.created.Add(sessionLife)),
		"device": deviceJSON(s.made, s.last), "clients": []any{map[string]any{"client_id": s.app.id}},
		"authentication": map[string]any{"methods": []any{map[string]any{"name": "pwd", "timestamp": formatDate(s.created), "type": "primary"}}},
		"cookie":         map[string]any{"mode": "persistent"},
	}
}

func (r *refreshToken) json(user string) map[string]any {
	return map[string]any{
		"id": r.id, "user_id": user, "client_id": r.app.id, "session_id": r.session, "rotating": true, "created_at": formatDate(r.created),
		"last_exchanged_at": formatDate(r.used), "idle_expires_at": nil, "expires_at": formatDate(r.created.Add(tokenLife)),
		"device": deviceJSON(r.made, r.last), "resource_servers": []any{map[string]any{"audience": r.app.audience, "scopes": "openid profile email offline_access"}},
	}
}
