package actions

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/responders/hold"
)

// want is a template without code that stands at a place.
func want(id, place string, rank int) *Want {
	p, err := ParsePlace(place)
	if err != nil {
		panic(err)
	}
	return &Want{Template: &Template{ID: id, Trigger: "post-login", Rank: rank}, Place: p}
}

func names(flow []link) []string {
	out := []string{}
	for _, l := range flow {
		if l.want != nil {
			out = append(out, l.want.ID)
		} else {
			out = append(out, l.name)
		}
	}
	return out
}

func TestWhereOursGoIntoAFlow(t *testing.T) {
	a, b, y, z := want("a", "first", 1), want("b", "first", 2), want("y", "last", 1), want("z", "last", 2)
	all := map[string]*Want{"a": a, "b": b, "y": y, "z": z, "m": want("m", "before mfa", 5), "n": want("n", "after mfa", 5)}
	for name, tt := range map[string]struct {
		flow, bind, want []string
	}{
		"an empty flow":                    {nil, []string{"z", "b", "y", "a"}, []string{"a", "b", "y", "z"}},
		"around what is there":             {[]string{"1", "2"}, []string{"b", "z", "y", "a"}, []string{"a", "b", "1", "2", "y", "z"}},
		"between ours that are there":      {[]string{"b", "1", "y"}, []string{"a", "z"}, []string{"a", "b", "1", "y", "z"}},
		"behind a lower rank":              {[]string{"a", "1", "z"}, []string{"b", "y"}, []string{"a", "b", "1", "y", "z"}},
		"ours that a human moved stay":     {[]string{"1", "a", "2", "z", "3"}, []string{"b", "y"}, []string{"b", "1", "a", "2", "z", "3", "y"}},
		"what is bound is not moved":       {[]string{"1", "a"}, []string{"a"}, []string{"1", "a"}},
		"before and after another":         {[]string{"1", "mfa", "2"}, []string{"m", "n"}, []string{"1", "m", "mfa", "n", "2"}},
		"before one that is not there":     {[]string{"1", "2"}, []string{"m"}, []string{"m", "1", "2"}},
		"after one that is not there":      {[]string{"1", "2"}, []string{"n"}, []string{"1", "2", "n"}},
		"at the start, before a named one": {[]string{"mfa"}, []string{"m", "a"}, []string{"a", "m", "mfa"}},
	} {
		t.Run(name, func(t *testing.T) {
			var flow []link
			for _, n := range tt.flow {
				flow = append(flow, link{name: n, display: n, want: all[n]})
			}
			fields := map[string]hold.Value{}
			var mine []*Want
			for _, n := range tt.bind {
				fields[n], mine = bound, append(mine, all[n])
			}
			require.Equal(t, tt.want, names(rebuilt(flow, mine, fields)))
		})
	}
}

func TestOthersAreNeitherMovedNorLostWhateverIsBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	places := []string{"first", "last", "before t3", "after t1", "after gone"}
	for range 20_000 {
		var mine []*Want
		for i := range 1 + rng.IntN(5) {
			mine = append(mine, want(fmt.Sprint("o", i), places[rng.IntN(len(places))], rng.IntN(3)))
		}
		var flow []link
		for i := range rng.IntN(6) {
			flow = append(flow, link{name: fmt.Sprint("t", i), display: fmt.Sprint("t", i)})
		}
		rng.Shuffle(len(flow), func(i, j int) { flow[i], flow[j] = flow[j], flow[i] })
		for _, w := range mine { // some are there already, anywhere
			if rng.IntN(3) == 0 {
				flow = slices.Insert(flow, rng.IntN(len(flow)+1), link{name: w.Name(), display: w.Name(), want: w})
			}
		}
		fields := map[string]hold.Value{}
		for _, w := range mine {
			fields[w.ID] = []hold.Value{bound, unbound, ""}[rng.IntN(3)]
		}
		asked := slices.DeleteFunc(slices.Clone(mine), func(w *Want) bool { return fields[w.ID] == "" })
		after := rebuilt(flow, asked, fields)

		stays := func(l link) bool { return l.want == nil || fields[l.want.ID] != unbound }
		kept := slices.DeleteFunc(slices.Clone(flow), func(l link) bool { return !stays(l) })
		still := slices.DeleteFunc(slices.Clone(after), func(l link) bool { return !slices.Contains(kept, l) })
		require.Equal(t, names(kept), names(still), "what was there keeps its order")
		for _, w := range asked {
			require.Equal(t, fields[w.ID] == bound, has(after, w))
		}
		// Taking out what was put in is the way back.
		back := map[string]hold.Value{}
		for _, l := range after {
			if l.want != nil && !has(flow, l.want) {
				back[l.want.ID] = unbound
			}
		}
		require.Equal(t, names(kept), names(rebuilt(after, asked, back)))
	}
}

func TestPlacesAreRead(t *testing.T) {
	for text, want := range map[string]Place{
		"first": {At: First}, "last": {At: Last}, "before My check": {"before", "My check"}, "after  x ": {"after", "x"},
	} {
		got, err := ParsePlace(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "middle", "before", "first of all", "third"} {
		_, err := ParsePlace(text)
		require.ErrorContains(t, err, "write first, last, before NAME or after NAME", text)
	}
}
