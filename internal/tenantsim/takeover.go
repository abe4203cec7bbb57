package tenantsim

import (
	"strings"
	"time"
)

// Move is something that AccountTakeover does to stay in an account.
type Move string

// The moves.
const (
	EnrolPhone   Move = "phone"
	EnrolPasskey Move = "passkey"
	MoveEmail    Move = "email"
	LinkIdentity Move = "identity"
)

// victim is one account that an AccountTakeover is after.
type victim struct {
	who     *user
	session string // the one it holds; empty if none
	moved   int    // moves made
	passkey string // its own in the account; empty if none
}

// takeOver is one act on one victim: sign in with the stolen password, or make the next move, or use the refresh token. When
// that is refused it signs in again, as long as the stolen password is right or its passkey is there.
func (t *Tenant) takeOver(a *attack) outcome {
	v := a.victims[a.next%len(a.victims)]
	a.next++
	from := origin{a.ips[0], a.tool}
	account := t.account(v.who)
	switch r := account.token(v.session); {
	case v.session == "":
		result := t.attempt(a, try{who: v.who, valid: true, passkey: v.passkey})
		if result == hasSucceeded {
			v.session = account.sessions[len(account.sessions)-1].id
		}
		return result
	case v.moved < len(a.Moves):
		t.settleIn(v, account, from, a.Moves[v.moved])
		v.moved++
		return hasSucceeded
	case r == nil:
		t.refuseToken(account, account.app, from, a.rng.Uint64(), refusedRevoked)
	case t.exchange(account, r, from, a.rng.Uint64()) == nil:
		return hasSucceeded
	}
	v.session = ""
	return hasFailed
}

// settleIn makes one move, if the session that it needs is still there.
func (t *Tenant) settleIn(v *victim, a *account, from origin, m Move) {
	if a.deleted || a.blocked || len(a.sessions) == 0 {
		return
	}
	_, id, _ := strings.Cut(a.id, "|")
	switch m {
	case EnrolPhone:
		t.enrol(a, from, string(m))
	case EnrolPasskey:
		v.passkey = t.enrol(a, from, string(m))
	case MoveEmail:
		t.moveEmail(a, from, "owned."+id+"@mail.example")
	case LinkIdentity:
		if err := t.linkOwn(a, from, "github|owned-"+id); err != nil {
			t.opts.Logger.Warn("attacker cannot link an identity", "err", err)
		}
	}
}

// pickVictims are the accounts of an AccountTakeover.
func (t *Tenant) pickVictims(a *attack) {
	if a.Kind != AccountTakeover {
		return
	}
	if a.Target != "" || a.Users <= 0 {
		a.victims = []*victim{{who: a.target}}
		return
	}
	for _, u := range t.calm.users[:min(a.Users, len(t.calm.users))] {
		a.victims = append(a.victims, &victim{who: u})
	}
}

// takeoverPause is the time between two acts of an AccountTakeover, by default.
const takeoverPause = 20 * time.Second
