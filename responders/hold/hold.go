// Package hold is the algebra of tightening: a hold is a claim, with a time to
// live, that a control be at least so strict. The effective value of a field is
// the strictest of the last value a human chose and all active holds. The
// package is pure: it knows no clock, no network and no store.
package hold

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// State is where a hold is in its life.
type State string

// The states of a hold.
const (
	Proposed         State = "proposed"           // observe mode: what would be held
	AwaitingApproval State = "awaiting_approval"  // propose mode: a person is asked
	Active           State = "active"             // asked of the control
	Releasing        State = "releasing"          // over, and the setting is not yet confirmed back
	Released         State = "released"           // over, and nothing of it is left in the tenant
	Unreleased       State = "expired_unreleased" // over, and the setting could not be put back: a person is needed
	Overruled        State = "overruled"          // a human chose a weaker value meanwhile; not fought
	PendingCapacity  State = "pending_capacity"   // the control has no room for it
	Failed           State = "failed"             // the tenant refuses it for good: plan, scope
)

// Ended reports whether a hold in this state is past, whatever comes.
func (s State) Ended() bool { return s == Released || s == Failed }

// Letting reports whether the hold is over and its setting not yet confirmed back.
func (h *Hold) Letting() bool { return h.State == Releasing || h.State == Unreleased }

// Cause says what a hold answers.
type Cause struct {
	Rule     string `json:"rule"`
	Policy   string `json:"policy"`
	Incident string `json:"incident"`
	Alert    string `json:"alert"`
}

// Hold is one claim on one control of one tenant.
type Hold struct {
	ID      string `json:"id"`
	Tenant  string `json:"tenant"`
	Control string `json:"control"`
	Level   string `json:"level,omitempty"`   // for a control with levels
	Subject string `json:"subject,omitempty"` // for a control of entries: what is denied, such as an address
	Entry   Entry  `json:"entry,omitzero"`    // and how
	Cause   Cause  `json:"cause"`
	Reason  string `json:"reason"`
	Mode    string `json:"mode"`
	State   State  `json:"state"`
	Note    string `json:"note,omitempty"`    // why the state is what it is
	Trouble string `json:"trouble,omitempty"` // why the tenant is not brought to it yet
	Kept    string `json:"kept,omitempty"`    // why it lives on past its end
	Asks    string `json:"asks,omitempty"`    // why a person must say yes before it is released
	// Let is the person who said that it may be released in spite of what it asks.
	Let      string `json:"let,omitempty"`
	Severity int    `json:"severity,omitempty"` // of what asked for it: 0 is info, 4 is critical

	Ladder    *Ladder       `json:"ladder,omitempty"`    // for a hold that climbs; Level is that of its present rung
	Rung      int           `json:"rung,omitempty"`      // where it stands
	Peak      int           `json:"peak,omitempty"`      // the highest it stood on; above Rung in its probation
	RungSince time.Time     `json:"rung_since,omitzero"` // when it came to where it stands
	Began     time.Time     `json:"began,omitzero"`      // the first evidence of the attack
	MinDwell  time.Duration `json:"min_dwell,omitempty"` // it is in force for so long at least
	Spread    time.Duration `json:"spread,omitempty"`    // its share of jitter, in every length of time
	Factor    float64       `json:"factor,omitempty"`    // how much longer it stays for having let go too early, at FactorAt
	FactorAt  time.Time     `json:"factor_at,omitzero"`
	// Confirmed tells that the tenant was seen to be as strict as it asks.
	Confirmed bool          `json:"confirmed,omitempty"`
	Created   time.Time     `json:"created"`
	Expires   time.Time     `json:"expires"`           // when it ends unless renewed
	TTL       time.Duration `json:"ttl"`               // time to live after the latest evidence
	MaxTTL    time.Duration `json:"max_ttl"`           // it ends so long after Created at the latest
	Evidence  time.Time     `json:"evidence,omitzero"` // the latest that asked for it
	Renewals  int           `json:"renewals"`
	From      string        `json:"from,omitempty"` // the setting before, for people
	To        string        `json:"to,omitempty"`   // the setting asked for, for people
	Ended     time.Time     `json:"ended,omitzero"` // when it was released
	Approved  *Approval     `json:"approved,omitempty"`
	// Refused is when a person denied it or ended it by hand; for a while it is not
	// asked for again.
	Refused time.Time `json:"refused,omitzero"`
	// Short tells that it only waits for an approval because its budget is used up.
	Short bool `json:"short,omitempty"`
}

// Approval is one person's yes to one plan.
type Approval struct {
	Actor  string    `json:"actor"`
	Reason string    `json:"reason,omitempty"`
	Plan   string    `json:"plan"` // the hash of what was approved
	At     time.Time `json:"at"`
}

// ID names the hold of a control at a level, on a subject, for a cause. The same
// detection of the same incident renews a hold instead of adding one.
func ID(tenant, control, level, subject string, c Cause) string {
	sum := sha256.Sum256([]byte(tenant + "\x00" + control + "\x00" + level + "\x00" + subject + "\x00" + c.Policy + "\x00" + c.Incident))
	return "hd_" + hex.EncodeToString(sum[:6])
}

// Key names this life of the hold: a hold that ended and is asked for anew has
// the same ID and another key, so that what overruled the one before does not
// bind it.
func (h *Hold) Key() string {
	return h.ID + "@" + strconv.FormatInt(h.Created.UnixMilli(), 10)
}

// LastEnd is the latest time that the hold may live to; the zero time when it
// has no bound.
func (h *Hold) LastEnd() time.Time {
	if h.MaxTTL <= 0 {
		return time.Time{}
	}
	return h.Created.Add(h.MaxTTL)
}

// Until is t, or the hold's last end if that comes before.
func (h *Hold) Until(t time.Time) time.Time {
	if last := h.LastEnd(); !last.IsZero() && t.After(last) {
		return last
	}
	return t
}

// Renew lets the hold live on after evidence at time t, never beyond its MaxTTL
// and never shorter than it already does, and climb where its ladder says so. It
// reports whether the end or the level moved.
func (h *Hold) Renew(t time.Time) bool {
	if t.After(h.Evidence) {
		h.Evidence = t
	}
	climbed := h.climb(t)
	end := h.end(t)
	if !end.After(h.Expires) {
		return climbed
	}
	h.Expires = end
	h.Renewals++
	return true
}

// InForce reports whether the hold counts towards a field's value.
func (h *Hold) InForce(now time.Time) bool {
	switch h.State {
	case Active, PendingCapacity, Overruled:
		return now.Before(h.Expires)
	}
	return false
}
