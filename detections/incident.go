package detections

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Incident is alerts of one campaign against one tenant that belong together.
type Incident struct {
	ID         string     `json:"id"`
	Tenant     string     `json:"tenant"`
	Campaign   string     `json:"campaign"`
	Title      string     `json:"title"`    // of its most severe alert
	Severity   Severity   `json:"severity"` // the highest of its alerts so far
	OpenedAt   time.Time  `json:"opened_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	ResolvedAt *time.Time `json:"resolved_at"`           // when its last alert resolved; nil while one is open
	Alerts     []Alert    `json:"alerts"`                // in order of arrival
	Edges      []Edge     `json:"edges,omitempty"`       // why they belong together, at most maxEdges
	Merged     []string   `json:"merged,omitempty"`      // ids of incidents that turned out to be the same
	MergedInto string     `json:"merged_into,omitempty"` // the one that this turned out to be; it is over then
}

const (
	// foldWithin is how far apart two alerts may be and still belong together: how
	// long after an incident resolved another alert still joins it.
	foldWithin = 30 * time.Minute
	// maxEdges bounds the edges that an incident keeps. One alert in a wave joins
	// much as the next does.
	maxEdges = 200
)

// Incidents folds the alerts of one tenant into incidents. The zero value is
// ready.
//
// An alert joins the incidents of its campaign that are open, or were until
// [foldWithin] before, and hold an alert that shares a value with it; if there are
// several they become one. Which alerts end up together does not depend on the
// order in which they come, as long as they lie within the fold time.
type Incidents struct {
	byID    map[string]*Incident
	byAlert map[string]*Incident
	homes   map[string]string // of merged incidents: where their alerts are now
	links   linkIndex
}

// Restore puts back an incident from before a restart.
func (is *Incidents) Restore(in Incident) {
	is.put(&in)
	for _, id := range in.Merged {
		is.homes[id] = in.ID
	}
	for i := range in.Alerts {
		is.links.note(&in.Alerts[i], linksOf(&in.Alerts[i]), is)
	}
}

func (is *Incidents) put(in *Incident) {
	if is.byID == nil {
		is.byID, is.byAlert, is.homes = map[string]*Incident{}, map[string]*Incident{}, map[string]string{}
	}
	is.byID[in.ID] = in
	for _, a := range in.Alerts {
		is.byAlert[a.ID] = in
	}
}

// Forget drops an incident that is long over.
func (is *Incidents) Forget(id string) {
	in := is.byID[id]
	if in == nil {
		return
	}
	delete(is.byID, id)
	for i := range in.Alerts {
		delete(is.byAlert, in.Alerts[i].ID)
		is.links.drop(&in.Alerts[i])
	}
	for _, m := range in.Merged {
		delete(is.homes, m)
	}
}

// Holding returns the incident that an alert was folded into.
func (is *Incidents) Holding(alertID string) (Incident, bool) {
	if in := is.byAlert[alertID]; in != nil {
		return in.copy(), true
	}
	return Incident{}, false
}

// Home is the id of the incident that the one named was merged into; its own id
// if it was not.
func (is *Incidents) Home(id string) string {
	if home, merged := is.homes[id]; merged {
		return home
	}
	return id
}

func (in *Incident) find(alertID string) int {
	return slices.IndexFunc(in.Alerts, func(a Alert) bool { return a.ID == alertID })
}

// Apply folds a change in and returns the incident it belongs to, as it is
// then. merged are the incidents that the change showed to be the same one: they
// are over, as they were, with MergedInto set. rose tells that the incident is
// new or became more severe. Applying the same change again changes nothing.
func (is *Incidents) Apply(c Change) (in Incident, merged []Incident, rose bool) {
	a := c.Alert
	cur := is.byAlert[a.ID]
	links := linksOf(&a)
	known := -1
	if cur != nil {
		known = cur.find(a.ID)
		links = without(links, linksOf(&cur.Alerts[known]))
	}
	found := is.links.find(&a, links, cur, is)
	all := make([]*Incident, 0, len(found)+1)
	if cur != nil {
		all = append(all, cur)
	}
	for _, f := range found {
		all = append(all, f.in)
	}
	into := oldest(all)
	if into == nil {
		into = newIncident(&a)
		is.put(into)
	}
	before := into.Severity
	for _, other := range all {
		if other != into {
			gone := is.merge(into, other)
			if gone.ResolvedAt == nil {
				gone.ResolvedAt = &a.UpdatedAt
			}
			merged = append(merged, gone)
		}
	}
	for _, f := range found {
		into.addEdge(f.edge)
	}
	if known = into.find(a.ID); known >= 0 {
		a.Responses = into.Alerts[known].Responses
		into.Alerts[known] = a
	} else {
		into.Alerts = append(into.Alerts, a)
		is.byAlert[a.ID] = into
	}
	is.links.note(&a, links, is)
	into.raise(a.Severity, a.Title)
	into.spanned(&a)
	return into.copy(), merged, into.Severity != before
}

func newIncident(a *Alert) *Incident {
	sum := sha256.Sum256([]byte(a.Tenant + "\x00" + a.Campaign + "\x00" + a.ID))
	return &Incident{ID: "in_" + hex.EncodeToString(sum[:6]), Tenant: a.Tenant, Campaign: a.Campaign, OpenedAt: a.OpenedAt}
}

// oldest is the incident that opened first: people know it longest, so its id
// stays. It is nil when there are none.
func oldest(all []*Incident) *Incident {
	if len(all) == 0 {
		return nil
	}
	return slices.MinFunc(all, compareIncidents)
}

func compareIncidents(a, b *Incident) int {
	if c := a.OpenedAt.Compare(b.OpenedAt); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// merge moves all that other holds into in, and returns what other was.
func (is *Incidents) merge(in, other *Incident) Incident {
	gone := other.copy()
	gone.MergedInto = in.ID
	delete(is.byID, other.ID)
	in.Merged = append(append(in.Merged, other.ID), other.Merged...)
	for _, id := range in.Merged {
		is.homes[id] = in.ID
	}
	for _, a := range other.Alerts {
		is.byAlert[a.ID] = in
	}
	in.Alerts = append(in.Alerts, other.Alerts...)
	for _, e := range other.Edges {
		in.addEdge(e)
	}
	in.raise(other.Severity, other.Title)
	if other.UpdatedAt.After(in.UpdatedAt) {
		in.UpdatedAt = other.UpdatedAt
	}
	return gone
}

func (in *Incident) raise(s Severity, title string) {
	if in.Severity.Rank() < s.Rank() {
		in.Severity, in.Title = s, title
	}
}

// spanned brings the times of an incident up to date with an alert of it.
func (in *Incident) spanned(a *Alert) {
	if a.OpenedAt.Before(in.OpenedAt) {
		in.OpenedAt = a.OpenedAt
	}
	if a.UpdatedAt.After(in.UpdatedAt) {
		in.UpdatedAt = a.UpdatedAt
	}
	in.ResolvedAt = nil
	var last time.Time
	for i := range in.Alerts {
		end := in.Alerts[i].ResolvedAt
		if end == nil {
			return
		}
		if end.After(last) {
			last = *end
		}
	}
	in.ResolvedAt = &last
}

// near reports whether an alert is close enough in time to belong to the
// incident.
func (in *Incident) near(a *Alert) bool {
	return (in.ResolvedAt == nil || !a.OpenedAt.After(in.ResolvedAt.Add(foldWithin))) &&
		(a.ResolvedAt == nil || !in.OpenedAt.After(a.ResolvedAt.Add(foldWithin)))
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

// All returns the incidents in order of opening, without those that were merged
// into another.
func (is *Incidents) All() []Incident {
	out := make([]Incident, 0, len(is.byID))
	for _, in := range is.byID {
		out = append(out, in.copy())
	}
	slices.SortFunc(out, func(a, b Incident) int { return compareIncidents(&a, &b) })
	return out
}

func (in *Incident) copy() Incident {
	out := *in
	out.Alerts, out.Edges, out.Merged = slices.Clone(in.Alerts), slices.Clone(in.Edges), slices.Clone(in.Merged)
	return out
}
