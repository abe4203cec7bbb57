package detections

import (
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
	fold   *fold  // nil for one event
	entity [entityKinds]string
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
	entities  entitySets
	evidence  []accumulator // one for each aggregate of the rule
	was, now  any           // of a state
	publishes bool
	fresh     []publication // values of new events, for a list that the rule fills
}

// maxIDs bounds each of the first and the latest ids.
const maxIDs = 100

func newEpisode(c *compiled, at int64) *episode {
	ep := &episode{opened: at, lastTrue: at, publishes: c.Publish != nil, evidence: make([]accumulator, len(c.aggs))}
	for i, a := range c.aggs {
		ep.evidence[i] = newAccumulator(a.fn)
	}
	return ep
}

// absorb adds an event to the episode.
func (ep *episode) absorb(e *entry) {
	ep.count += e.count()
	ep.lateUntil = max(ep.lateUntil, e.behind)
	if e.fold != nil {
		ep.keepID(e.fold.first)
	}
	ep.keepID(e.id)
	e.eachEntity(ep.entities.add)
	for i, acc := range ep.evidence {
		e.addTo(acc, i)
		if d, ok := acc.(*distinct); ok {
			d.settle(maxExact)
		}
	}
	if ep.publishes {
		values := valueList{seen: map[any]bool{}}
		e.addPublished(&values)
		for _, v := range values.list {
			ep.fresh = append(ep.fresh, publication{e.t, v})
		}
	}
}

// keepID keeps the first and the latest ids.
func (ep *episode) keepID(id string) {
	switch {
	case len(ep.first) < maxIDs:
		ep.first = append(ep.first, id)
	case len(ep.last) < maxIDs:
		ep.last = append(ep.last, id)
	default:
		ep.last[ep.next] = id
		ep.next = (ep.next + 1) % maxIDs
	}
}

func (ep *episode) clone() *episode {
	out := *ep
	out.first, out.last = slices.Clone(ep.first), slices.Clone(ep.last)
	out.entities = ep.entities.clone()
	out.fresh = slices.Clone(ep.fresh)
	out.evidence = make([]accumulator, len(ep.evidence))
	for i, acc := range ep.evidence {
		out.evidence[i] = acc.clone()
	}
	return &out
}

// alert writes the episode as an alert of the group. ID and resolution are the
// caller's.
func (ep *episode) alert(c *compiled, tenant string, w *watch, v *evaluator) Alert {
	a := Alert{
		Rule: c.ID, Tenant: tenant, Severity: c.Severity, Campaign: c.Campaign, Group: w.values, Title: c.Title,
		Fold: c.Fold.shown(), FoldNetwork: c.FoldNetwork,
		OpenedAt: msTime(ep.opened), UpdatedAt: msTime(ep.lastTrue), Late: ep.late, Count: ep.count,
		Entities: ep.entities.list(), Evidence: map[string]any{}, Responses: []Response{}, Notes: ep.notes(c, w.group.lost),
	}
	a.EventIDs = append(append(slices.Clone(ep.first), ep.last[ep.next:]...), ep.last[:ep.next]...)
	ep.setEvidence(c, v)
	a.Severity = c.severity(v)
	if c.kind == State {
		v.agg.set("was", ep.was)
		v.agg.set("now", ep.now)
	}
	for _, e := range c.evidence {
		if val, err := e.prog.value(v.agg); err == nil {
			a.Evidence[e.name] = val
		} else {
			v.fail(c, err)
		}
	}
	return a
}

func msTime(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
