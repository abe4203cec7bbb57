package actions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Place is where in a flow an Action of ours is inserted.
type Place struct {
	At    string // first, last, before or after
	Other string // for before and after: the name of the Action that is meant
}

// ParsePlace reads first, last, before NAME or after NAME.
func ParsePlace(s string) (Place, error) {
	word, other, _ := strings.Cut(strings.TrimSpace(s), " ")
	p := Place{word, strings.TrimSpace(other)}
	switch {
	case (word == First || word == Last) && p.Other == "", (word == "before" || word == "after") && p.Other != "":
		return p, nil
	}
	return p, fmt.Errorf("%q is no place: write first, last, before NAME or after NAME", s)
}

// end is the end of the flow that the place belongs to when there is no other
// Action that it goes by.
func (p Place) end() string {
	switch p.At {
	case "before":
		return First
	case "after":
		return Last
	}
	return p.At
}

// link is one Action of a flow. Those of others are moved by nothing.
type link struct {
	name    string // the Action's
	display string // as the flow shows it
	want    *Want  // the template that it is of; nil for one of others
}

// insert puts an Action of ours into a flow and moves nothing else. Of ours at one
// end, the lower rank comes first.
func insert(flow []link, w *Want) []link {
	return slices.Insert(slices.Clone(flow), spot(flow, w), link{name: w.Name(), display: w.Name(), want: w})
}

// spot is the index at which an Action of ours is inserted.
func spot(flow []link, w *Want) int {
	if w.Place.Other != "" {
		i := slices.IndexFunc(flow, func(l link) bool { return l.display == w.Place.Other || l.name == w.Place.Other })
		switch {
		case i >= 0 && w.Place.At == "before":
			return i
		case i >= 0:
			return i + 1
		}
	}
	before := func(l link) bool { return l.want != nil && l.want.Place.end() == w.Place.end() && rank(l.want, w) < 0 }
	if w.Place.end() == First {
		i := 0
		for i < len(flow) && before(flow[i]) {
			i++
		}
		return i
	}
	i := len(flow)
	for i > 0 && flow[i-1].want != nil && flow[i-1].want.Place.end() == Last && !before(flow[i-1]) {
		i--
	}
	return i
}

// rank orders ours among themselves.
func rank(a, b *Want) int {
	return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.ID, b.ID))
}
