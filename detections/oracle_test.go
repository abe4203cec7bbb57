package detections_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/logstream"
)

// The oracle is the definition of what the engine computes: it sorts the events
// and works out every window anew.

// sample is an event as the oracle sees it.
type sample struct {
	id    string
	t     int64 // ms
	kind  string
	group string
	name  string
	score int
}

// clause is a part of a condition, as text and as Go.
type clause struct {
	text  string
	rises bool
	holds func(window []sample) bool
}

func countOf(w []sample, kind string) (n int) {
	for _, s := range w {
		if kind == "" || s.kind == kind {
			n++
		}
	}
	return n
}

func distinctNames(w []sample) int {
	seen := map[string]bool{}
	for _, s := range w {
		if s.name != "" {
			seen[s.name] = true
		}
	}
	return len(seen)
}

// scores returns the scores there are; a negative one is missing.
func scores(w []sample) (out []int) {
	for _, s := range w {
		if s.score >= 0 {
			out = append(out, s.score)
		}
	}
	return out
}

func sum(xs []int) (n int) {
	for _, x := range xs {
		n += x
	}
	return n
}

func randomClause(rng *rand.Rand) clause {
	n := rng.IntN(6) + 1
	switch rng.IntN(10) {
	case 0:
		return clause{fmt.Sprintf("count() > %d", n), true, func(w []sample) bool { return len(w) > n }}
	case 1:
		return clause{fmt.Sprintf(`%d <= count(type == "s")`, n/2+1), true, func(w []sample) bool { return countOf(w, "s") >= n/2+1 }}
	case 2:
		return clause{fmt.Sprintf("distinct(user_name) >= %d", n), true, func(w []sample) bool { return distinctNames(w) >= n }}
	case 3:
		return clause{"max(details.score) > 7", true, func(w []sample) bool { x := scores(w); return len(x) > 0 && slices.Max(x) > 7 }}
	case 4:
		return clause{"min(details.score) < 2", true, func(w []sample) bool { x := scores(w); return len(x) > 0 && slices.Min(x) < 2 }}
	case 5:
		return clause{fmt.Sprintf("count() + distinct(user_name) >= %d", 2*n), true, func(w []sample) bool { return len(w)+distinctNames(w) >= 2*n }}
	case 6:
		return clause{`count(type == "s") == 0`, false, func(w []sample) bool { return countOf(w, "s") == 0 }}
	case 7:
		return clause{"avg(details.score) > 5", false, func(w []sample) bool { x := scores(w); return len(x) > 0 && sum(x) > 5*len(x) }}
	case 8:
		return clause{fmt.Sprintf("sum(details.score) >= %d", 4*n), false, func(w []sample) bool { return sum(scores(w)) >= 4*n }}
	}
	return clause{`not (count(type == "s") * 3 > count())`, false, func(w []sample) bool { return countOf(w, "s")*3 <= len(w) }}
}

func randomCondition(rng *rand.Rand) clause {
	c := randomClause(rng)
	for range rng.IntN(3) {
		a, b := c, randomClause(rng)
		if rng.IntN(3) == 0 {
			c = clause{"(" + a.text + " || " + b.text + ")", a.rises && b.rises, func(w []sample) bool { return a.holds(w) || b.holds(w) }}
		} else {
			c = clause{"(" + a.text + " && " + b.text + ")", a.rises && b.rises, func(w []sample) bool { return a.holds(w) && b.holds(w) }}
		}
	}
	return c
}

// story is what the oracle says of an alert.
type story struct {
	Group                   string
	Opened, Last, Resolved  int64
	Count                   int
	First, Latest           string
	Distinct, Good, Highest string
}

func oracle(events []sample, c clause, window, quiet int64) (out []story) {
	groups := map[string][]sample{}
	for _, s := range events {
		groups[s.group] = append(groups[s.group], s)
	}
	for name, es := range groups {
		slices.SortFunc(es, func(a, b sample) int {
			if a.t != b.t {
				return int(a.t - b.t)
			}
			return strings.Compare(a.id, b.id)
		})
		var members []sample
		var opened, last int64
		open, since := false, int64(math.MinInt64)
		closeBefore := func(t int64) {
			if open && t > last+quiet {
				highest := "<nil>"
				if x := scores(members); len(x) > 0 {
					highest = fmt.Sprint(slices.Max(x))
				}
				out = append(out, story{name, opened, last, last + quiet, len(members), members[0].id, members[len(members)-1].id,
					fmt.Sprint(distinctNames(members)), fmt.Sprint(countOf(members, "s")), highest})
				open, since = false, last // what it was made of is used up
				if !c.rises {
					since--
				}
			}
		}
		judge := func(w []sample, at int64) {
			if c.holds(w) {
				if !open {
					open, opened, members = true, at, slices.Clone(w)
				}
				last = at
			}
		}
		if c.rises {
			for i, e := range es {
				closeBefore(e.t)
				if open {
					members = append(members, e)
				}
				from := i
				for from > 0 && es[from-1].t > e.t-window && es[from-1].t > since {
					from--
				}
				judge(es[from:i+1], e.t)
			}
		} else {
			seen := 0
			for i, e := range es {
				if i > 0 && es[i-1].t == e.t {
					continue
				}
				end := e.t + window
				closeBefore(end)
				if e.t <= since {
					continue
				}
				to := i
				for to < len(es) && es[to].t < end {
					to++
				}
				if open {
					members = append(members, es[max(seen, i):max(to, seen)]...)
				}
				seen = max(seen, to)
				judge(es[i:to], end)
			}
		}
		closeBefore(1 << 62)
	}
	slices.SortFunc(out, func(a, b story) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return out
}

var oracleBase = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (s sample) event(t *testing.T) logstream.Event {
	t.Helper()
	fields := map[string]any{"log_id": s.id, "date": time.UnixMilli(s.t).UTC().Format("2006-01-02T15:04:05.000Z"), "type": s.kind, "ip": s.group}
	if s.name != "" {
		fields["user_name"] = s.name
	}
	if s.score >= 0 {
		fields["details"] = map[string]any{"score": s.score}
	}
	raw, err := json.Marshal(fields)
	require.NoError(t, err)
	ev, err := logstream.Decode(raw)
	require.NoError(t, err)
	return ev
}

func TestTheEngineAgreesWithAnOracleThatWorksOutEveryWindowAnew(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 200
	}
	sliding, closing := 0, 0
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		c := randomCondition(rng)
		window, quiet := int64(rng.IntN(60)+1), int64(rng.IntN(60)+1)
		rule := fmt.Sprintf("id: r\ntitle: R\nseverity: low\nwhere: ip != \"\"\ngroup_by: [ip]\nwindow: %ds\nquiet: %ds\nhaving: %s\n"+
			"evidence: {distinct: distinct(user_name), good: count(type == \"s\"), highest: max(details.score)}\n", window, quiet, c.text)
		set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(rule)}}, nil)
		require.NoError(t, err, rule)

		// Whole seconds, so that events often share one and often lie exactly a
		// window or a quiet time apart.
		var samples []sample
		clock := int64(0)
		for i := range 120 {
			clock += int64([]int{0, 0, 1, 1, 2, 3, 5, rng.IntN(90)}[rng.IntN(8)])
			samples = append(samples, sample{fmt.Sprintf("id%03d", rng.IntN(1000)*1000+i), oracleBase.UnixMilli() + clock*1000,
				[]string{"fp", "fp", "s"}[rng.IntN(3)], fmt.Sprintf("g%d", rng.IntN(2)), []string{"", "a", "b", "c", "d", "e"}[rng.IntN(6)], rng.IntN(12) - 2})
		}
		want := oracle(samples, c, window*1000, quiet*1000)
		if c.rises {
			sliding += len(want)
		} else {
			closing += len(want)
		}
		for _, ahead := range []bool{false, true} {
			got, opened := feed(t, rng, set, samples, ahead)
			require.Equal(t, want, got, "seed %d, ahead %v\n%s", seed, ahead, rule)
			require.Equal(t, len(want), opened, "seed %d, ahead %v: opened twice or never\n%s", seed, ahead, rule)
		}
	}
	require.Greater(t, sliding, rounds, "too calm to prove anything")
	require.Greater(t, closing, rounds, "too calm to prove anything")
}

// feed gives the samples to an engine out of order, some of them twice, with the
// clock advanced in between.
func feed(t *testing.T, rng *rand.Rand, set *detections.RuleSet, samples []sample, ahead bool) (out []story, opened int) {
	t.Helper()
	type arrival struct {
		sample
		at int64
	}
	var arrivals []arrival
	for _, s := range samples {
		for range 1 + rng.IntN(20)/19 {
			arrivals = append(arrivals, arrival{s, s.t + int64(rng.IntN(110_000))})
		}
	}
	if rng.IntN(2) == 0 {
		slices.SortStableFunc(arrivals, func(a, b arrival) int { return int(a.at - b.at) })
	}
	ids := map[string]bool{}
	e, err := detections.NewEngine("acme", set, detections.Options{Ahead: ahead, OnChange: func(c detections.Change) {
		a := c.Alert
		switch c.Transition {
		case detections.Opened:
			require.False(t, ids[a.ID], "two alerts of one id")
			ids[a.ID] = true
			opened++
		case detections.Updated:
			require.True(t, ids[a.ID], "an alert that never opened was updated")
		case detections.Resolved:
			require.True(t, ids[a.ID], "an alert that never opened resolved")
			require.False(t, a.Late)
			out = append(out, story{a.Group["ip"], a.OpenedAt.UnixMilli(), a.UpdatedAt.UnixMilli(), a.ResolvedAt.UnixMilli(), a.Count, a.EventIDs[0], a.EventIDs[len(a.EventIDs)-1],
				fmt.Sprint(a.Evidence["distinct"]), fmt.Sprint(a.Evidence["good"]), fmt.Sprint(a.Evidence["highest"])})
		}
	}})
	require.NoError(t, err)
	for _, a := range arrivals {
		if rng.IntN(10) == 0 {
			e.Advance(time.UnixMilli(a.t))
		}
		ev := a.event(t)
		e.Ingest(&ev)
	}
	require.Zero(t, e.Stats().Late)
	require.Empty(t, e.Stats().RuleErrors)
	e.Finish()
	require.Empty(t, e.OpenAlerts())
	slices.SortFunc(out, func(a, b story) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return out, opened
}
