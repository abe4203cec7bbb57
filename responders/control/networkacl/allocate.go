package networkacl

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// The allocator decides which entries are worth the little room there is. It is
// pure: the same demands give the same grants.

const (
	// beats is by how much more a newcomer must be worth than what is in force, so
	// that two of like worth do not take turns.
	beats = 1.25
	// halfLife is how long it takes until the volume of an attack counts half.
	halfLife = 30 * time.Minute
)

// candidate asks for an entry.
type candidate struct {
	Value string
	Score float64
}

// demand is what is asked of one slot.
type demand struct {
	slot    slot
	fixed   []string    // entries that stay whatever comes: others added them
	present []string    // entries in force
	exists  bool        // the slot has an ACL
	wants   []candidate // several may name one value
}

// grant is what a slot gets.
type grant struct {
	entries []string // all of the ACL's, sorted; none: no ACL
	score   float64
	why     string // why it has no ACL though something is asked of it
}

// score is what denying somebody is worth: severity × recent volume × confidence
// × (1 - collateral). collateral is the share of healthy logins among what the
// entry would match, 0 to 1.
func score(h *hold.Hold, collateral float64, now time.Time) float64 {
	confidence := h.Entry.Confidence
	if confidence == 0 {
		confidence = 1
	}
	seen := h.Evidence
	if seen.IsZero() {
		seen = h.Created
	}
	age := max(0, now.Sub(seen))
	recent := float64(max(1, h.Entry.Volume)) * math.Pow(0.5, float64(age)/float64(halfLife))
	return float64(h.Severity+1) * recent * confidence * (1 - min(max(collateral, 0), 1))
}

// allocate shares acls network ACLs among the demands, which are sorted by slot.
// single says that the plan has one ACL at all, which then is for addresses.
// joins tells whether a network may stand for its members; present says that it
// does already.
func allocate(demands []demand, acls int, single bool, joins func(network netip.Prefix, members []string, present bool) bool) map[string]grant {
	grants := map[string]grant{}
	type contender struct {
		demand
		grant
	}
	var contenders []contender
	for _, d := range demands {
		g := choose(d, joins)
		switch {
		case len(d.fixed) > 0:
			acls-- // it is not ours to give up
			grants[d.slot.id()] = g
		case len(g.entries) == 0:
			grants[d.slot.id()] = g
		case single && d.slot.Signal != control.KindIP:
			grants[d.slot.id()] = grant{why: "the tenant's plan has one network ACL, and it is for addresses"}
		default:
			contenders = append(contenders, contender{d, g})
		}
	}
	slices.SortStableFunc(contenders, func(a, b contender) int {
		weight := func(c contender) float64 {
			if c.exists {
				return c.score * beats
			}
			return c.score
		}
		return cmp.Compare(weight(b), weight(a))
	})
	for _, c := range contenders {
		if acls <= 0 {
			grants[c.slot.id()] = grant{why: "the tenant has no room for another network ACL"}
			continue
		}
		acls--
		grants[c.slot.id()] = c.grant
	}
	return grants
}

// choose picks the entries of one slot.
func choose(d demand, joins func(netip.Prefix, []string, bool) bool) grant {
	best := map[string]float64{}
	for _, w := range d.wants {
		if was, ok := best[w.Value]; !ok || w.Score > was {
			best[w.Value] = w.Score
		}
	}
	g := grant{entries: slices.Clone(d.fixed)}
	for _, family := range families(d.slot) {
		room := maxEntries
		for _, f := range d.fixed {
			if family(f) {
				room--
			}
		}
		var wants []candidate
		for value, score := range best {
			if family(value) && !d.slot.covers(d.fixed, value) {
				wants = append(wants, candidate{value, score})
			}
		}
		slices.SortFunc(wants, compareCandidates)
		if d.slot.Signal == control.KindIP {
			wants = aggregate(wants, d.present, room, joins)
		}
		for _, w := range rank(wants, d.present, room) {
			g.entries, g.score = append(g.entries, w.Value), g.score+w.Score
		}
	}
	slices.Sort(g.entries)
	return g
}

// families are the lists that a slot's entries fall into: each has its own bound.
func families(s slot) []func(string) bool {
	if s.Signal != control.KindIP {
		return []func(string) bool{func(string) bool { return true }}
	}
	return []func(string) bool{func(e string) bool { return !isV6(e) }, isV6}
}

// compareCandidates puts what is worth most first.
func compareCandidates(a, b candidate) int {
	if c := cmp.Compare(b.Score, a.Score); c != 0 {
		return c
	}
	return cmp.Compare(a.Value, b.Value)
}

// rank picks as many as there is room for: those in force, unless a newcomer is
// worth clearly more.
func rank(wants []candidate, present []string, room int) []candidate {
	var in, out []candidate
	for _, w := range wants {
		if slices.Contains(present, w.Value) && len(in) < room {
			in = append(in, w)
		} else {
			out = append(out, w)
		}
	}
	for _, w := range out { // the best first
		if len(in) < room {
			in = append(in, w)
			slices.SortFunc(in, compareCandidates)
			continue
		}
		if last := len(in) - 1; last >= 0 && w.Score > beats*in[last].Score {
			in[last] = w
			slices.SortFunc(in, compareCandidates)
		}
	}
	return in
}

// whyWaits says why a value that was asked for is not among the entries.
func whyWaits(s slot) string {
	if s.Signal == control.KindIP {
		return fmt.Sprintf("the network ACL is full: %d addresses of each family", maxEntries)
	}
	return fmt.Sprintf("the network ACL is full: %d entries", maxEntries)
}
