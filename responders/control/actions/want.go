package actions

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"portcullis/internal/auth0"
)

// Choice is what a tenant's configuration says of one template.
type Choice struct {
	Settings map[string]any
	Place    string            // "" for the template's own
	Secrets  map[string]string // by name; "" for one that is there and was not read
}

// Want is a template as one tenant is to have it.
type Want struct {
	*Template
	Place   Place
	Code    string            // with its settings; "" when something is missing
	Missing []string          // settings and secrets that have no value
	Secrets map[string]string // by name; "" until somebody reads it
}

// Fill makes of the templates what a tenant is to have, sorted by id.
func Fill(templates []*Template, choices map[string]Choice, facts Facts) ([]*Want, error) {
	var out []*Want
	for _, t := range templates {
		c := choices[t.ID]
		w := &Want{Template: t, Secrets: map[string]string{}}
		var err error
		if w.Place, err = ParsePlace(orElse(c.Place, t.Position)); err != nil {
			return nil, fmt.Errorf("place of %s: %w", t.ID, err)
		}
		if w.Code, w.Missing, err = t.Render(c.Settings, facts); err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(t.Secrets)) {
			if _, given := c.Secrets[name]; !given {
				w.Missing, w.Code = append(w.Missing, "secret "+name), ""
			}
			w.Secrets[name] = c.Secrets[name]
		}
		out = append(out, w)
	}
	return out, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Condition is how a tenant has a template.
type Condition string

// The conditions.
const (
	Absent     Condition = "absent"     // there is no Action of its name
	Foreign    Condition = "foreign"    // the Action of its name is not ours
	Edited     Condition = "edited"     // it is ours, and somebody changed the code
	Undeployed Condition = "undeployed" // it is ours, and no version of it is in force
	Outdated   Condition = "outdated"   // what is in force is ours, and not what it would be today, or the draft is something else
	Prepared   Condition = "prepared"   // what is in force is what it is to be
)

// Bindable reports whether a hold may bind it.
func (c Condition) Bindable() bool { return c == Prepared || c == Outdated }

// condition compares what is to be with what the tenant has; a is nil when there
// is no Action of the name.
func (w *Want) condition(a *auth0.Action) Condition {
	if a == nil {
		return Absent
	}
	drafted, draftUntouched := madeBy(a.Code)
	if a.Trigger != w.Trigger || a.Deployed == nil && drafted != w.ID {
		return Foreign
	}
	if a.Deployed == nil {
		if !draftUntouched {
			return Edited
		}
		return Undeployed
	}
	deployed, untouched := madeBy(a.Deployed.Code)
	switch {
	case deployed != w.ID:
		return Foreign
	case !untouched:
		return Edited
	case a.Deployed.Code != w.Code || a.Code != w.Code || !slices.Equal(slices.Sorted(slices.Values(a.Secrets)), slices.Sorted(maps.Keys(w.Secrets))):
		return Outdated
	}
	return Prepared
}

// edited reports whether writing an Action anew would lose what somebody wrote,
// in its draft or in what is in force.
func (w *Want) edited(a *auth0.Action) bool {
	if a == nil {
		return false
	}
	_, draft := madeBy(a.Code)
	inForce := true
	if a.Deployed != nil {
		_, inForce = madeBy(a.Deployed.Code)
	}
	return !draft || !inForce
}

// refusal is why a hold cannot bind it, with what to do; "" when it can.
func (w *Want) refusal(c Condition) string {
	switch c {
	case Absent:
		return fmt.Sprintf("the Action %s is not prepared: run portcullis actions prepare %s", w.Name(), w.ID)
	case Undeployed:
		return fmt.Sprintf("the Action %s is there and not deployed: run portcullis actions prepare %s", w.Name(), w.ID)
	case Edited:
		return fmt.Sprintf("somebody edited the Action %s: look at portcullis actions diff %s, then prepare it anew with --force", w.Name(), w.ID)
	case Foreign:
		return fmt.Sprintf("the Action %s was not made by us, or for another trigger: rename it, then run portcullis actions prepare %s", w.Name(), w.ID)
	}
	return ""
}

// byName finds an Action; nil when there is none.
func byName(all []auth0.Action, name string) *auth0.Action {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

// triggersOf are the triggers that templates are for, sorted.
func triggersOf(wants []*Want) []string {
	var out []string
	for _, w := range wants {
		out = append(out, w.Trigger)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// linksOf tells which links of a flow are ours.
func linksOf(flow auth0.Flow, wants []*Want) []link {
	out := make([]link, 0, len(flow.Bindings))
	for _, b := range flow.Bindings {
		l := link{name: b.ActionName, display: b.DisplayName}
		if id, ours := strings.CutPrefix(b.ActionName, NamePrefix); ours {
			for _, w := range wants {
				if w.ID == id {
					l.want = w
				}
			}
		}
		out = append(out, l)
	}
	return out
}
