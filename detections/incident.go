package detections

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Incident is the alerts of one campaign against one tenant, folded together.
type Incident struct {
	ID         string     `json:"id"`
	Tenant     string     `json:"tenant"`
	Campaign   string     `json:"campaign"`
	Title      string     `json:"title"`    // of its most severe alert
	Severity   Severity   `json:"severity"` // the highest of its alerts so far
	OpenedAt   time.Time  `json:"opened_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	ResolvedAt *time.Time `json:"resolved_at"` // when its last alert resolved; nil while one is open
	Alerts     []Alert    `json:"alerts"`      // in order of opening
}

// reopenWithin is how long after an incident resolved another alert of its
// campaign still belongs to it.
const reopenWithin = 30 * time.Minute

// Incidents folds alerts into incidents. The zero value is ready.
type Incidents struct {
	byID    map[string]*Incident
	byAlert map[string]*Incident
	latest  map[string]*Incident // by campaign
}

// Restore puts back an incident from before a restart. The latest of a campaign
// goes on.
func (is *Incidents) Restore(in Incident) { is.put(&in) }

func (is *Incidents) put(in *Incident) {
	if is.latest == nil {
		is.byID, is.byAlert, is.latest = map[string]*Incident{}, map[string]*Incident{}, map[string]*Incident{}
	}
	is.byID[in.ID] = in
	for _, a := range in.Alerts {
		is.byAlert[a.ID] = in
	}
	if was := is.latest[in.Campaign]; was == nil || was.OpenedAt.Before(in.OpenedAt) {
		is.latest[in.Campaign] = in
	}
}

// Forget drops an incident that is long over.
func (is *Incidents) Forget(id string) {
	if in := is.byID[id]; in != nil {
		delete(is.byID, id)
		for _, a := range in.Alerts {
			delete(is.byAlert, a.ID)
		}
		if is.latest[in.Campaign] == in {
			delete(is.latest, in.Campaign)
		}
	}
}

// Holding returns the incident that an alert was folded into.
func (is *Incidents) Holding(alertID string) (Incident, bool) {
	if in := is.byAlert[alertID]; in != nil {
		return in.copy(), true
	}
	return Incident{}, false
}

func (in *Incident) find(alertID string) int {
	return slices.IndexFunc(in.Alerts, func(a Alert) bool { return a.ID == alertID })
}

// Apply folds a change in and returns the incident it belongs to, as it is
// then. rose tells that the incident is new or became more severe. Applying the
// same change again changes nothing.
func (is *Incidents) Apply(c Change) (in Incident, rose bool) {
	a := c.Alert
	cur, known := is.latest[a.Campaign], -1
	if old := is.byAlert[a.ID]; old != nil {
		cur, known = old, old.find(a.ID)
	}
	if known < 0 && (cur == nil || cur.ResolvedAt != nil && a.OpenedAt.After(cur.ResolvedAt.Add(reopenWithin))) {
		sum := sha256.Sum256([]byte(a.Tenant + "\x00" + a.Campaign + "\x00" + a.ID))
		cur = &Incident{ID: "in_" + hex.EncodeToString(sum[:6]), Tenant: a.Tenant, Campaign: a.Campaign, OpenedAt: a.OpenedAt}
		is.put(cur)
	}
	if known >= 0 {
		a.Responses = cur.Alerts[known].Responses
		cur.Alerts[known] = a
	} else {
		cur.Alerts = append(cur.Alerts, a)
		is.byAlert[a.ID] = cur
	}
	if cur.Severity.Rank() < a.Severity.Rank() {
		cur.Severity, cur.Title, rose = a.Severity, a.Title, true
	}
	if a.OpenedAt.Before(cur.OpenedAt) {
		cur.OpenedAt = a.OpenedAt
	}
	if a.UpdatedAt.After(cur.UpdatedAt) {
		cur.UpdatedAt = a.UpdatedAt
	}
	cur.ResolvedAt = nil
	var last time.Time
	for _, b := range cur.Alerts {
		if b.ResolvedAt == nil {
			return cur.copy(), rose
		}
		if b.ResolvedAt.After(last) {
			last = *b.ResolvedAt
		}
	}
	cur.ResolvedAt = &last
	return cur.copy(), rose
}

// SetResponses notes on an alert what was done about it, and returns the
// incident as it is then; the zero Incident when it is unknown.
func (is *Incidents) SetResponses(incident, alertID string, rs []Response) Incident {
	cur := is.byID[incident]
	if cur == nil {
		return Incident{}
	}
	if i := cur.find(alertID); i >= 0 {
		cur.Alerts[i].Responses = rs
	}
	return cur.copy()
}

// All returns the incidents in order of opening.
func (is *Incidents) All() []Incident {
	out := make([]Incident, 0, len(is.byID))
	for _, in := range is.byID {
		out = append(out, in.copy())
	}
	slices.SortFunc(out, func(a, b Incident) int {
		if c := a.OpenedAt.Compare(b.OpenedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

func (in *Incident) copy() Incident {
	out := *in
	out.Alerts = slices.Clone(in.Alerts)
	return out
}
