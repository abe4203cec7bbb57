package responders

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"portcullis/detections"
	"portcullis/responders/hold"
)

// savedIncident is an incident as it is kept across restarts. Its alerts are
// kept one by one: a campaign may have thousands, and each update changes one.
type savedIncident struct {
	detections.Incident
	Outcomes []Outcome `json:"outcomes"`
	Told     State     `json:"told"`
}

type savedAlert struct {
	detections.Alert
	Title string   `json:"title"`
	Asked []string `json:"asked"`
}

func alertKey(incident, alert string) string { return incident + "/" + alert }

// load reads what was known before a restart.
func (r *Responder) load(ctx context.Context) error {
	b, err := loadBudgets(ctx, r.opts.Limits, r.opts.Budgets)
	if err != nil {
		return err
	}
	r.budgets = b
	if r.chosen, err = ReadSwitch(ctx, r.opts.Budgets); err != nil {
		return err
	}
	if err := r.loadLines(ctx); err != nil {
		return err
	}
	all, err := r.opts.Holds.All(ctx)
	if err != nil {
		return fmt.Errorf("load holds: %w", err)
	}
	for key, data := range all {
		var h hold.Hold
		if err := json.Unmarshal(data, &h); err != nil {
			return fmt.Errorf("load hold %s: %w", key, err)
		}
		r.holds[h.ID] = &h
	}
	all, err = r.opts.Incidents.All(ctx)
	if err != nil {
		return fmt.Errorf("load incidents: %w", err)
	}
	return r.loadIncidents(ctx, all)
}

// loadIncidents puts incidents back, with their alerts.
func (r *Responder) loadIncidents(ctx context.Context, docs map[string][]byte) error {
	incidents, homes := map[string]savedIncident{}, map[string]string{}
	for key, data := range docs {
		if strings.Contains(key, "/") {
			continue
		}
		var saved savedIncident
		if err := json.Unmarshal(data, &saved); err != nil {
			return fmt.Errorf("load incident %s: %w", key, err)
		}
		incidents[key] = saved
		for _, id := range saved.Merged {
			homes[id] = key
		}
	}
	for id, home := range homes {
		if gone, kept := incidents[id]; kept && gone.MergedInto == "" {
			gone.MergedInto, gone.ResolvedAt = home, &gone.UpdatedAt
			r.unmarked = append(r.unmarked, gone.Incident)
		}
	}
	alerts := map[string][]detections.Alert{}
	for key, data := range docs {
		incident, id, isAlert := strings.Cut(key, "/")
		if !isAlert {
			continue
		}
		if home := homes[incident]; home != "" {
			// A crash cut short how it was taken over.
			if _, done := docs[alertKey(home, id)]; done {
				if err := r.opts.Incidents.Delete(ctx, key); err != nil {
					return fmt.Errorf("load alert %s: %w", key, err)
				}
				continue
			}
			if err := r.moveDoc(ctx, key, alertKey(home, id), data); err != nil {
				return err
			}
			incident = home
		}
		var a savedAlert
		if err := json.Unmarshal(data, &a); err != nil {
			return fmt.Errorf("load alert %s: %w", key, err)
		}
		a.Alert.Title = a.Title
		alerts[incident] = append(alerts[incident], a.Alert)
		r.behind[a.ID] = a.Asked
	}
	for key, saved := range incidents {
		// An incident whose first alert was not saved is one that nobody was told of.
		if len(alerts[key]) == 0 {
			continue
		}
		saved.Alerts = alerts[key]
		sortAlerts(saved.Alerts)
		r.incidents.Restore(saved.Incident)
		r.told[saved.ID] = saved.Told
		r.outcomes[saved.ID] = saved.Outcomes
		r.refused[saved.ID] = map[string]bool{}
		for _, o := range saved.Outcomes {
			r.refused[saved.ID][refusalKey(o.HoldID, o.Reason)] = true
		}
	}
	return nil
}

func (r *Responder) saveHold(ctx context.Context, h *hold.Hold) error {
	if err := put(ctx, r.opts.Holds, h.ID, h); err != nil {
		return fmt.Errorf("save hold %s: %w", h.ID, err)
	}
	r.moved = true
	return nil
}

// saveIncident keeps an incident without its alerts.
func (r *Responder) saveIncident(ctx context.Context, in detections.Incident) error {
	in.Alerts = nil
	if err := put(ctx, r.opts.Incidents, in.ID, savedIncident{Incident: in, Outcomes: r.outcomes[in.ID], Told: r.told[in.ID]}); err != nil {
		return fmt.Errorf("save incident %s: %w", in.ID, err)
	}
	return nil
}

// saveAlert keeps one alert. It comes after everything that was done because of
// it: after a crash an alert that is not known is answered again.
func (r *Responder) saveAlert(ctx context.Context, incident string, a detections.Alert) error {
	if err := put(ctx, r.opts.Incidents, alertKey(incident, a.ID), savedAlert{Alert: a, Title: a.Title, Asked: r.behind[a.ID]}); err != nil {
		return fmt.Errorf("save alert %s: %w", a.ID, err)
	}
	return nil
}

func put(ctx context.Context, s Store, key string, doc any) error {
	data, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return s.Put(ctx, key, data)
}

const (
	// endedKept is how long holds and incidents are remembered after their end.
	endedKept = 7 * 24 * time.Hour
	// silentKept is how long an incident is remembered whose alerts never resolve,
	// for instance because their rule was taken out.
	silentKept = 30 * 24 * time.Hour
)

// forget drops holds and incidents that ended long ago.
func (r *Responder) forget(ctx context.Context, now time.Time) error {
	for id, h := range r.holds {
		if !h.State.Ended() || now.Sub(h.Ended) <= endedKept {
			continue
		}
		if err := r.opts.Holds.Delete(ctx, id); err != nil {
			return fmt.Errorf("forget hold %s: %w", id, err)
		}
		delete(r.holds, id)
	}
	if now.Before(r.forgetAt) {
		return nil // incidents may be large, and none is forgotten to the minute
	}
	r.forgetAt = now.Add(10 * time.Minute)
	for _, in := range r.incidents.All() {
		over := in.ResolvedAt != nil && now.Sub(*in.ResolvedAt) > endedKept || now.Sub(in.UpdatedAt) > silentKept
		if !over || r.hasHold(in.ID) {
			continue
		}
		for _, a := range in.Alerts {
			if err := r.opts.Incidents.Delete(ctx, alertKey(in.ID, a.ID)); err != nil {
				return fmt.Errorf("forget alert %s: %w", a.ID, err)
			}
			delete(r.behind, a.ID)
		}
		for _, id := range append(in.Merged, in.ID) {
			if err := r.opts.Incidents.Delete(ctx, id); err != nil {
				return fmt.Errorf("forget incident %s: %w", id, err)
			}
		}
		r.incidents.Forget(in.ID)
		delete(r.told, in.ID)
		delete(r.outcomes, in.ID)
		delete(r.refused, in.ID)
	}
	return nil
}
