package detections

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"portcullis/logstream"
)

// Rules on signals read the alerts of other rules as events: when an alert opens,
// at the time it opened. They see it when the watermark has passed, so that all
// alerts of a time are known, whatever the order in which events came.

// signalFields are the members of a signal that expressions may name. ip, user_id
// and client_id are those of an alert that has just one.
var signalFields = []string{
	"rule", "title", "severity", "campaign", "tenant", "group", "count", "late", "entities", "evidence",
	"ip", "user_id", "client_id", "log_id", "date", "type",
}

// signal is an alert that opened, as an event.
type signal struct {
	t    int64
	rule string
	ev   logstream.Event
}

// emit makes a signal of an episode that opened, if any rule reads signals. It
// says what the events up to the watermark say, which is the same in any order;
// its id differs from the one that the alert was told under where that was told
// ahead and then found to have opened earlier.
func (e *Engine) emit(w *watch, ep *episode) {
	if !e.readsSignals || e.swallowsOf(w.rule, w.values, ep.lastTrue) != nil {
		return
	}
	told := ep.alert(w.rule.compiled, e.tenant, w, &e.eval)
	a := &told
	a.ID = w.alertID(a)
	doc := struct {
		Alert
		Group    map[string]any `json:"group"`
		LogID    string         `json:"log_id"`
		Date     string         `json:"date"`
		Type     string         `json:"type"`
		Title    string         `json:"title"`
		IP       string         `json:"ip,omitempty"`
		UserID   string         `json:"user_id,omitempty"`
		ClientID string         `json:"client_id,omitempty"`
		// Of no use to a rule, and long.
		EventIDs  *struct{} `json:"event_ids,omitempty"`
		Responses *struct{} `json:"responses,omitempty"`
	}{Alert: *a, Group: nested(a.Group), LogID: a.ID, Date: a.OpenedAt.Format("2006-01-02T15:04:05.000Z"), Type: "signal", Title: a.Title,
		IP: single(a.Entities.IP), UserID: single(a.Entities.UserID), ClientID: single(a.Entities.ClientID)}
	raw, err := json.Marshal(doc)
	if err != nil {
		e.log.Error("alert not told to rules on signals", "alert", a.ID, "err", err)
		return
	}
	ev, err := logstream.Decode(raw)
	if err != nil {
		e.log.Error("alert not told to rules on signals", "alert", a.ID, "err", err)
		return
	}
	e.signals = append(e.signals, signal{a.OpenedAt.UnixMilli(), a.Rule, ev})
}

// nested is a group whose keys can be named in expressions: what is grouped by
// details.familyId is group.details.familyId.
func nested(group map[string]string) map[string]any {
	out := make(map[string]any, len(group))
	for _, key := range keys(group) {
		if strings.Contains(key, "(") { // a function: no path names it
			out[key] = group[key]
			continue
		}
		at := out
		parts := strings.Split(key, ".")
		for _, p := range parts[:len(parts)-1] {
			inner, ok := at[p].(map[string]any)
			if !ok {
				inner = map[string]any{}
				at[p] = inner
			}
			at = inner
		}
		at[parts[len(parts)-1]] = group[key]
	}
	return out
}

func single(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	return ""
}

// hearSignals gives a rule on signals those that it may read.
func (e *Engine) hearSignals(r *ruleState, signals []signal, wm int64) {
	for i := range signals {
		s := &signals[i]
		if r.sources != nil && !slices.Contains(r.sources, s.rule) {
			continue
		}
		behind := int64(0)
		if s.t <= e.heard {
			behind = wm
		}
		if e.probe != nil && e.probe.rule == r {
			e.probe.see(e, &s.ev, s.t, behind != 0)
		}
		e.judge(r, &s.ev, s.t, behind)
	}
}

// takeSignals returns the signals since the last call, in order of time.
func (e *Engine) takeSignals() []signal {
	out := e.signals
	e.signals = nil
	slices.SortFunc(out, func(a, b signal) int { return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(a.ev.ID, b.ev.ID)) })
	return out
}
