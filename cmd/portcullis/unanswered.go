package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"portcullis/detections"
	"portcullis/responders"
)

// unanswered is the changes of alerts that the responder was offered and has not
// kept yet: the latest of each alert, and that it opened. A snapshot of the engine carries them: the
// engine that is restored from it does not make them again, and a crash before
// the responder came to them would lose them.
type unanswered struct {
	mu      sync.Mutex
	next    int
	waiting map[string]waitingChange // by alert
}

type waitingChange struct {
	nth    int                // in order of arrival
	opened *detections.Change // that it opened, if that waits too and was overtaken
	detections.Change
}

// add notes a change that is offered.
func (u *unanswered) add(c detections.Change) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.waiting == nil {
		u.waiting = map[string]waitingChange{}
	}
	w, known := u.waiting[c.Alert.ID]
	if !known {
		w.nth = u.next
		u.next++
	} else if w.Transition == detections.Opened {
		opened := w.Change
		w.opened = &opened
	}
	w.Change = c
	u.waiting[c.Alert.ID] = w
}

// kept notes that the responder has kept an alert as it is in a.
func (u *unanswered) kept(a detections.Alert) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w, known := u.waiting[a.ID]
	if !known {
		return
	}
	if w.Alert.Count <= a.Count && !w.Alert.UpdatedAt.After(a.UpdatedAt) && w.Alert.Severity.Rank() <= a.Severity.Rank() &&
		(w.Alert.ResolvedAt == nil || a.ResolvedAt != nil) {
		delete(u.waiting, a.ID)
		return
	}
	w.opened = nil // it is recorded before anything of the alert is kept
	u.waiting[a.ID] = w
}

// length is how many alerts have a change that waits.
func (u *unanswered) length() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.waiting)
}

// storedAlert is an alert as stores and snapshots hold it: with its title.
type storedAlert struct {
	detections.Alert
	Title string `json:"title"`
}

func (s storedAlert) alert() detections.Alert {
	s.Alert.Title = s.Title
	return s.Alert
}

type storedChange struct {
	Transition detections.Transition `json:"transition"`
	Alert      storedAlert           `json:"alert"`
}

// encode writes the changes that wait, in order of arrival.
func (u *unanswered) encode() (changes [][]byte, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []waitingChange
	for _, w := range u.waiting {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b waitingChange) int { return cmp.Compare(a.nth, b.nth) })
	write := func(c detections.Change) {
		if err == nil {
			var data []byte
			data, err = json.Marshal(storedChange{c.Transition, storedAlert{c.Alert, c.Alert.Title}})
			changes = append(changes, data)
		}
	}
	for _, w := range all {
		if w.opened != nil {
			write(*w.opened)
		}
		write(w.Change)
	}
	return changes, err
}

func decodeChange(data []byte) (detections.Change, error) {
	var s storedChange
	if err := json.Unmarshal(data, &s); err != nil {
		return detections.Change{}, fmt.Errorf("read an unanswered alert: %w", err)
	}
	return detections.Change{Transition: s.Transition, Alert: s.Alert.alert()}, nil
}

// incidentStore is the responder's store of incidents, watched for the alerts
// that are kept in it.
type incidentStore struct {
	tenantStore
	unanswered *unanswered
}

var _ responders.Store = incidentStore{}

// Put keeps a document; that of an alert answers what waits of it.
func (s incidentStore) Put(ctx context.Context, key string, value []byte) error {
	if err := s.tenantStore.Put(ctx, key, value); err != nil {
		return err
	}
	if a, ok := alertIn(key, value); ok {
		s.unanswered.kept(a)
	}
	return nil
}

// alerts returns all alerts that are kept.
func (s incidentStore) alerts(ctx context.Context) ([]detections.Alert, error) {
	all, err := s.All(ctx)
	if err != nil {
		return nil, err
	}
	var out []detections.Alert
	for _, key := range sortedKeys(all) {
		if a, ok := alertIn(key, all[key]); ok {
			out = append(out, a)
		}
	}
	return out, nil
}

// alertIn reads an alert of the store; the other documents are the incidents.
func alertIn(key string, value []byte) (detections.Alert, bool) {
	var s storedAlert
	if !strings.Contains(key, "/") || json.Unmarshal(value, &s) != nil {
		return detections.Alert{}, false
	}
	return s.alert(), true
}
