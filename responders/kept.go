package responders

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"portcullis/detections"
)

// KeptIncident is an incident as the store holds it.
type KeptIncident struct {
	detections.Incident
	State    State     `json:"state"`    // what people were told last
	Outcomes []Outcome `json:"outcomes"` // what was done and not done
}

// ReadIncidents reads the documents of an incident store without changing
// anything: the incidents with their alerts, in order of opening. Those that were
// merged into another are among them, without alerts.
func ReadIncidents(docs map[string][]byte) ([]KeptIncident, error) {
	var out []KeptIncident
	homes := map[string]string{}
	for key, data := range docs {
		if strings.Contains(key, "/") {
			continue
		}
		var saved savedIncident
		if err := json.Unmarshal(data, &saved); err != nil {
			return nil, fmt.Errorf("read incident %s: %w", key, err)
		}
		out = append(out, KeptIncident{saved.Incident, saved.Told, saved.Outcomes})
		for _, id := range saved.Merged {
			homes[id] = key
		}
	}
	alerts := map[string]map[string]detections.Alert{}
	for key, data := range docs {
		incident, id, isAlert := strings.Cut(key, "/")
		if !isAlert {
			continue
		}
		var a savedAlert
		if err := json.Unmarshal(data, &a); err != nil {
			return nil, fmt.Errorf("read alert %s: %w", key, err)
		}
		a.Alert.Title = a.Title
		home := cmp.Or(homes[incident], incident)
		if alerts[home] == nil {
			alerts[home] = map[string]detections.Alert{}
		}
		if _, moved := alerts[home][id]; !moved || home == incident {
			alerts[home][id] = a.Alert // where a crash left it in two places, the one that took it over
		}
	}
	for i := range out {
		in := &out[i]
		for _, a := range alerts[in.ID] {
			in.Alerts = append(in.Alerts, a)
		}
		sortAlerts(in.Alerts)
	}
	// One whose first alert was not saved is one that nobody was told of.
	out = slices.DeleteFunc(out, func(in KeptIncident) bool { return len(in.Alerts) == 0 && in.MergedInto == "" && homes[in.ID] == "" })
	for i := range out {
		if out[i].MergedInto == "" {
			out[i].MergedInto = homes[out[i].ID]
		}
	}
	slices.SortFunc(out, func(a, b KeptIncident) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}
