package detections

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// DifferenceKind says how an alert differs between two sets of rules.
type DifferenceKind string

// The kinds of difference. AlertMoved is an alert of the same tenant, rule and
// group on both sides that opened at another time, counted other events or has
// another severity.
const (
	AlertNew   DifferenceKind = "new"
	AlertGone  DifferenceKind = "gone"
	AlertMoved DifferenceKind = "moved"
)

// Difference is one alert that two sets of rules do not agree on.
type Difference struct {
	Change DifferenceKind `json:"change"`
	Before *Alert         `json:"before"` // nil for a new one
	After  *Alert         `json:"after"`  // nil for one that is gone
}

// at is the alert that the difference is listed by.
func (d Difference) at() *Alert { return cmp.Or(d.After, d.Before) }

// Differences compares the alerts of two runs over the same events, in order of
// time. Alerts of one group are paired when they are the same, then when their
// episodes overlap, and what is left in order of time.
func Differences(before, after []Alert) []Difference {
	old, now := byGroup(before), byGroup(after)
	keys := maps.Clone(now)
	maps.Copy(keys, old)
	var out []Difference
	for key := range keys {
		out = append(out, differencesOf(old[key], now[key])...)
	}
	slices.SortFunc(out, func(a, b Difference) int {
		x, y := a.at(), b.at()
		return cmp.Or(x.OpenedAt.Compare(y.OpenedAt), cmp.Compare(groupKey(x), groupKey(y)), cmp.Compare(a.Change, b.Change), cmp.Compare(x.ID, y.ID))
	})
	return out
}

func differencesOf(old, now []*Alert) (out []Difference) {
	for _, match := range []func(a, b *Alert) bool{sameAlert, overlapping, func(a, b *Alert) bool { return true }} {
		old = slices.DeleteFunc(old, func(a *Alert) bool {
			i := slices.IndexFunc(now, func(b *Alert) bool { return match(a, b) })
			if i < 0 {
				return false
			}
			if !sameAlert(a, now[i]) {
				out = append(out, Difference{AlertMoved, a, now[i]})
			}
			now = slices.Delete(now, i, i+1)
			return true
		})
	}
	for _, a := range old {
		out = append(out, Difference{AlertGone, a, nil})
	}
	for _, a := range now {
		out = append(out, Difference{AlertNew, nil, a})
	}
	return out
}

func sameAlert(a, b *Alert) bool {
	return a.OpenedAt.Equal(b.OpenedAt) && a.Count == b.Count && a.Severity == b.Severity
}

func overlapping(a, b *Alert) bool {
	return !a.OpenedAt.After(episodeEnd(b)) && !b.OpenedAt.After(episodeEnd(a))
}

func episodeEnd(a *Alert) time.Time {
	if a.ResolvedAt != nil {
		return *a.ResolvedAt
	}
	return a.UpdatedAt
}

func byGroup(alerts []Alert) map[string][]*Alert {
	out := map[string][]*Alert{}
	for i := range alerts {
		key := groupKey(&alerts[i])
		out[key] = append(out[key], &alerts[i])
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b *Alert) int { return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.ID, b.ID)) })
	}
	return out
}

func groupKey(a *Alert) string {
	key := a.Tenant + "\x00" + a.Rule
	for _, k := range slices.Sorted(maps.Keys(a.Group)) {
		key += "\x00" + k + "\x00" + a.Group[k]
	}
	return key
}
