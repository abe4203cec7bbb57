package detections

import (
	"maps"
	"slices"
	"time"
)

// entry is what a rule keeps of one event. Entries are ordered by time, then by
// id, so that the order of arrival leaves no trace.
type entry struct {
	t      int64 // event time, Unix milliseconds
	id     string
	vals   []any  // the value for each aggregate of the rule, then what the kind of rule keeps
	mask   uint16 // of its marks, those that it bears
	entity [4]string
	behind int64 // the watermark when it arrived late; 0 when it was in time
}

func (a *entry) isLate() bool { return a.behind != 0 }

func (a *entry) compare(b *entry) int {
	switch {
	case a.t < b.t:
		return -1
	case a.t > b.t:
		return 1
	case a.id < b.id:
		return -1
	case a.id > b.id:
		return 1
	}
	return 0
}

// episode is one stretch in which a rule holds for a group: what becomes an
// alert. Evidence is folded over all its events, from the first one of the
// window in which it opened.
type episode struct {
	opened   int64
	lastTrue int64 // when the condition held last
	late     bool
	// lateUntil is the highest watermark at which one of its entries arrived
	// late; 0 when all came in time.
	lateUntil int64
	count     int
	first     []string // ids
	last      []string // ids of the latest, a ring
	next      int      // where the ring goes on
	entities  [4]map[string]struct{}
	evidence  []accumulator // one for each aggregate of the rule
	was, now  any           // of a state
	publishes bool
	fresh     []publication // values of new events, for a list that the rule fills
}

// maxIDs bounds each of the first and the latest ids, maxEntities each kind of
// entity.
const (
	maxIDs      = 100
	maxEntities = 200
)

func newEpisode(c *compiled, at int64) *episode {
	ep := &episode{opened: at, lastTrue: at, publishes: c.Publish != nil, evidence: make([]accumulator, len(c.aggs))}
	for i, a := range c.aggs {
		ep.evidence[i] = aggregateFuncs[a.fn].make()
	}
	return ep
}

// absorb adds an event to the episode.
func (ep *episode) absorb(e *entry) {
	ep.count++
	ep.lateUntil = max(ep.lateUntil, e.behind)
	if len(ep.first) < maxIDs {
		ep.first = append(ep.first, e.id)
	} else if len(ep.last) < maxIDs {
		ep.last = append(ep.last, e.id)
	} else {
		ep.last[ep.next] = e.id
		ep.next = (ep.next + 1) % maxIDs
	}
	for i, v := range e.entity {
		if v == "" || len(ep.entities[i]) >= maxEntities {
			continue
		}
		if ep.entities[i] == nil {
			ep.entities[i] = map[string]struct{}{}
		}
		ep.entities[i][v] = struct{}{}
	}
	for i, acc := range ep.evidence {
		acc.add(e.vals[i])
	}
	if ep.publishes {
		ep.fresh = append(ep.fresh, publication{e.t, e.vals[len(e.vals)-1]})
	}
}

func (ep *episode) clone() *episode {
	out := *ep
	out.first, out.last = slices.Clone(ep.first), slices.Clone(ep.last)
	for i := range out.entities {
		out.entities[i] = maps.Clone(ep.entities[i])
	}
	out.fresh = slices.Clone(ep.fresh)
	out.evidence = make([]accumulator, len(ep.evidence))
	for i, acc := range ep.evidence {
		out.evidence[i] = cloneAccumulator(acc)
	}
	return &out
}

// alert writes the episode as an alert of the group. ID and resolution are the
// caller's.
func (ep *episode) alert(c *compiled, tenant string, group map[string]string, v *evaluator) Alert {
	a := Alert{
		Rule: c.ID, Tenant: tenant, Severity: c.Severity, Campaign: c.Campaign, Group: group, Title: c.Title,
		OpenedAt: msTime(ep.opened), UpdatedAt: msTime(ep.lastTrue), Late: ep.late, Count: ep.count,
		Evidence: map[string]any{}, Responses: []Response{},
	}
	a.EventIDs = append(append(slices.Clone(ep.first), ep.last[ep.next:]...), ep.last[:ep.next]...)
	for i, to := range []*[]string{&a.Entities.IP, &a.Entities.UserID, &a.Entities.ClientID, &a.Entities.JA4} {
		*to = slices.Sorted(maps.Keys(ep.entities[i]))
		if *to == nil {
			*to = []string{}
		}
	}
	clear(v.agg)
	for i, acc := range ep.evidence {
		v.agg[c.aggs[i].name] = acc.value()
	}
	if c.kind == State {
		v.agg["was"], v.agg["now"] = ep.was, ep.now
	}
	for _, e := range c.evidence {
		if val, err := e.prog.run(&v.vm, v.agg); err == nil {
			a.Evidence[e.name] = val
		} else {
			v.fail(c, err)
		}
	}
	return a
}

func msTime(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func cloneAccumulator(acc accumulator) accumulator {
	switch a := acc.(type) {
	case *counter:
		out := *a
		return &out
	case *distinct:
		return &distinct{seen: maps.Clone(a.seen)}
	case *valueList:
		return &valueList{seen: maps.Clone(a.seen), list: slices.Clone(a.list)}
	case *extreme:
		out := *a
		return &out
	case *mean:
		out := *a
		return &out
	case *edge:
		out := *a
		return &out
	}
	panic("detections: unknown accumulator")
}
