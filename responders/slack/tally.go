package slack

import (
	"cmp"
	"slices"
	"time"

	"portcullis/detections"
)

// listCap is where detections.Entities stop listing, so that a full list means
// "at least"; maxDistinct is where we stop counting, to bound the work.
const (
	listCap     = 200
	maxDistinct = 100_000
)

// ruleSum is what the alerts of one rule add up to.
type ruleSum struct {
	title  string
	rank   int
	events int
	groups int
	first  []map[string]string // the first maxGroups of them
}

// sumRules adds up the alerts by rule, the gravest and then the busiest first.
func sumRules(alerts []detections.Alert) []*ruleSum {
	byRule := map[string]*ruleSum{}
	var sums []*ruleSum
	for _, a := range alerts {
		s := byRule[a.Rule]
		if s == nil {
			s = &ruleSum{title: clean(cmp.Or(a.Title, a.Rule, "unnamed rule"), wordSize)}
			byRule[a.Rule] = s
			sums = append(sums, s)
		}
		s.rank = max(s.rank, a.Severity.Rank())
		s.events += a.Count
		s.groups++
		if len(s.first) < maxGroups {
			s.first = append(s.first, a.Group)
		}
	}
	slices.SortStableFunc(sums, func(a, b *ruleSum) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(b.events, a.events))
	})
	return sums
}

func userIDs(e detections.Entities) []string { return e.UserID }

func ips(e detections.Entities) []string { return e.IP }

// tally is a number of distinct values.
type tally struct {
	n       int
	atLeast bool // some were not listed
}

func (t tally) String() string {
	if t.atLeast {
		return "at least " + number(t.n)
	}
	return number(t.n)
}

// distinct counts values over all alerts.
func distinct(alerts []detections.Alert, list func(detections.Entities) []string) tally {
	seen, full := map[string]struct{}{}, false
	for _, a := range alerts {
		values := list(a.Entities)
		full = full || len(values) >= listCap
		for _, v := range values {
			seen[v] = struct{}{}
		}
		if len(seen) >= maxDistinct {
			full = true
			break
		}
	}
	return tally{n: len(seen), atLeast: full}
}

func countLate(alerts []detections.Alert) int {
	n := 0
	for _, a := range alerts {
		if a.Late {
			n++
		}
	}
	return n
}

// lifetime is when an incident was first and last seen.
func lifetime(inc detections.Incident) (started, last time.Time) {
	started, last = inc.OpenedAt, inc.OpenedAt
	for _, a := range inc.Alerts {
		if !a.OpenedAt.IsZero() && (started.IsZero() || a.OpenedAt.Before(started)) {
			started = a.OpenedAt
		}
		if a.UpdatedAt.After(last) {
			last = a.UpdatedAt
		}
	}
	if len(inc.Alerts) == 0 && inc.UpdatedAt.After(last) {
		last = inc.UpdatedAt
	}
	return started, last
}
