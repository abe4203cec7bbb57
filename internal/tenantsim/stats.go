package tenantsim

import (
	"maps"
	"time"
)

// Stats counts what has happened since construction. For each attack and in total,
// Attempts = Denied + Throttled + Challenged + Failed + Succeeded.
type Stats struct {
	Outcomes               // all attacks together
	Attacks  []AttackStats // in the order Attack was called

	CalmLogins   int            // logins by calm users that went through
	CalmDenied   int            // those a network ACL turned away: the collateral of a defence
	Events       int            // events that happened, indexed or not
	EventsByType map[string]int // the same by type
	TokenCalls   int            // requests to /oauth/token
	APICalls     map[string]int // requests to /api/v2 by method, refused ones included
	Writes       int            // successful changes through the API or by administrators
}

// Outcomes counts how attempts of an attack ended. For SMS bombing a message sent is a success.
type Outcomes struct {
	Attempts   int
	Denied     int // turned away by a network ACL, without an event
	Throttled  int // by suspicious IP throttling, brute force protection or breached password detection
	Challenged int // stopped by bot detection
	Failed     int // wrong password or unknown user
	Succeeded  int
}

// AttackStats are the outcomes of one attack.
type AttackStats struct {
	Kind       AttackKind
	Start, End time.Time // virtual
	Outcomes
}

func newStats() Stats {
	return Stats{EventsByType: make(map[string]int), APICalls: make(map[string]int)}
}

func (o *Outcomes) add(other Outcomes) {
	o.Attempts += other.Attempts
	o.Denied += other.Denied
	o.Throttled += other.Throttled
	o.Challenged += other.Challenged
	o.Failed += other.Failed
	o.Succeeded += other.Succeeded
}

// Stats returns a copy of the present counts.
func (t *Tenant) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.EventsByType = maps.Clone(s.EventsByType)
	s.APICalls = maps.Clone(s.APICalls)
	for _, a := range t.attacks {
		s.Attacks = append(s.Attacks, AttackStats{Kind: a.Kind, Start: a.Start, End: a.end, Outcomes: a.outcomes})
		s.Outcomes.add(a.outcomes)
	}
	return s
}
