package hold

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var words = Words("low", "medium", "high")

const low, medium, high Value = `"low"`, `"medium"`, `"high"`

func TestValuesHaveOneForm(t *testing.T) {
	for raw, want := range map[string]Value{
		`{"b": 1.0, "a":[ "x" ,true]}`: `{"a":["x",true],"b":1}`, ` "a\u0062" `: `"ab"`, `864000.000`: "864000", `1e3`: "1000", `0.5`: "0.5", `"<&>"`: `"<&>"`,
	} {
		got, err := Canonical([]byte(raw))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := Canonical([]byte(`{} {}`))
	require.Error(t, err)
	require.Equal(t, Value("864000"), ValueOf(864000))
	require.Equal(t, Value("864000"), ValueOf(864000.0))
	require.Equal(t, "high", high.String())
	require.Equal(t, "nothing", Value("").String())
	require.Equal(t, "[]", Value("[]").String())
}

func TestLatticesKnowWhatIsStricter(t *testing.T) {
	for name, tt := range map[string]struct {
		l            Lattice
		weak, strict Value
	}{
		"words": {words, low, high}, "fewer attempts": {Least{}, "100", "9"}, "a longer wait": {Most{}, "9", "100"},
		"a switch on": {On, False, True}, "an exemption gone": {Off, True, False},
		"a list as a whole": {Ordinal{"[]", `["confidence-score"]`, `["all-applications"]`}, "[]", `["all-applications"]`},
	} {
		t.Run(name, func(t *testing.T) {
			require.True(t, tt.l.Stricter(tt.strict, tt.weak))
			require.False(t, tt.l.Stricter(tt.weak, tt.strict))
			require.False(t, tt.l.Stricter(tt.strict, tt.strict))
			require.True(t, tt.l.Knows(tt.strict))
			for _, odd := range []Value{`"odd"`, "null", ""} {
				require.False(t, tt.l.Knows(odd))
				require.False(t, tt.l.Stricter(odd, tt.weak) || tt.l.Stricter(tt.strict, odd))
			}
		})
	}
	require.False(t, Exclusive{}.Stricter("1", "2"))
}

func TestAPlaceInAListIsHeldAmongWhatIsThere(t *testing.T) {
	list := []string{"a", "b", "c"}
	require.Equal(t, []string{"x", "a", "b", "c"}, Insert(list, "x", 0))
	require.Equal(t, []string{"a", "b", "c", "x"}, Insert(list, "x", -1))
	require.Equal(t, []string{"a", "b", "x", "c"}, Insert(list, "x", -2))
	require.Equal(t, []string{"a", "b", "c", "x"}, Insert(list, "x", 9))
	require.Equal(t, []string{"x", "a", "b", "c"}, Insert(list, "x", -9))
	require.Equal(t, list, Insert(list, "b", 0), "where it is it stays")
	require.Equal(t, []string{"a", "c"}, Remove(list, "b"))
	require.Equal(t, []string{"a", "b", "c"}, list)
}

func held(base, applied Value) *Cell {
	return &Cell{Base: Choice{Value: base, At: at(0), Found: true}, Applied: applied, SeenAt: at(10),
		Claims: map[string]Stand{"a": {high, at(5)}, "b": {medium, at(5)}}}
}

var both = []Claim{{Hold: "a", Value: high}, {Hold: "b", Value: medium}}

func desired(t *testing.T, c *Cell) Value {
	t.Helper()
	v, _ := c.Desired(words, both, "", at(20))
	return v
}

func TestALookTellsWhoWasThere(t *testing.T) {
	open := func(v Value) func(*Cell) {
		return func(c *Cell) { c.Intend(Op{ID: "op", Value: v, At: at(11), Claims: []string{"a"}}) }
	}
	for name, tt := range map[string]struct {
		base, applied, observed Value
		before                  func(*Cell)
		finding                 Finding
		wantBase, want          Value
	}{
		"our own value is nobody else's":                    {low, high, high, nil, Unchanged, low, high},
		"a stricter value is a human's and overrules none":  {low, medium, high, nil, Tightened, high, high},
		"a weaker value overrules the claims it is under":   {low, high, medium, nil, Loosened, medium, medium},
		"the weakest overrules all":                         {low, high, low, nil, Loosened, low, low},
		"an intent that landed is ours":                     {low, medium, high, open(high), Landed, low, high},
		"a weaker value wins over an intent that is open":   {low, medium, low, open(high), Loosened, low, low},
		"a value outside the order is not fought":           {low, high, `"odd"`, nil, Foreign, `"odd"`, `"odd"`},
		"a value seen before the log told of it is theirs":  {low, high, low, nil, Loosened, low, low},
		"an intent that has not landed leaves all as it is": {low, medium, medium, open(high), Unchanged, low, high},
	} {
		t.Run(name, func(t *testing.T) {
			c := held(tt.base, tt.applied)
			if tt.before != nil {
				tt.before(c)
			}
			require.Equal(t, tt.finding, c.Look(words, tt.observed, at(12), both))
			require.Equal(t, tt.wantBase, c.Base.Value)
			require.Equal(t, tt.want, desired(t, c))
			require.Equal(t, Unchanged, c.Look(words, tt.observed, at(12), both), "looking twice learns nothing more")
			require.Equal(t, tt.want, desired(t, c))
		})
	}
	c := &Cell{}
	require.Equal(t, FirstSight, c.Look(words, medium, at(1), nil))
	require.Equal(t, Choice{Value: medium, At: at(1), Found: true}, c.Base)
}

func TestAClaimThatComesAfterAHumanLoweredCounts(t *testing.T) {
	c := held(low, high)
	claims := append(slices.Clone(both), Claim{Hold: "new", Value: medium})
	require.Equal(t, Loosened, c.Look(words, low, at(12), claims))
	v, _ := c.Desired(words, claims, "", at(12))
	require.Equal(t, medium, v)
}

func TestTheLogTellsWhatNoValueShows(t *testing.T) {
	told := func(v Value, m int) Told { return Told{Value: v, At: at(m), By: "eve", Client: "c"} }
	t.Run("who sets the very value that is held keeps it", func(t *testing.T) {
		c := held(low, high)
		require.Equal(t, Tightened, c.Hear(words, told(high, 12)))
		v, _ := c.Desired(words, nil, "", at(20))
		require.Equal(t, high, v)
	})
	t.Run("who puts the old value back after a write that seems lost is not fought", func(t *testing.T) {
		c := held(low, low)
		c.Claims = map[string]Stand{"a": {Value: high}, "b": {Value: medium}}
		c.Intend(Op{ID: "op", Value: high, At: at(11), Claims: []string{"a", "b"}})
		require.Equal(t, Unchanged, c.Look(words, low, at(14), both))
		require.Equal(t, high, desired(t, c), "as if it had never landed")
		c.Hear(words, told(low, 13))
		c.Hear(words, Told{Value: high, At: at(12), Whose: Ours, Op: "op"})
		require.Equal(t, low, desired(t, c))
	})
	t.Run("an older line changes nothing", func(t *testing.T) {
		c := held(low, high)
		c.Hear(words, told(medium, 12))
		require.Equal(t, Unchanged, c.Hear(words, told(high, 11)))
		require.Equal(t, medium, c.Base.Value)
	})
	t.Run("another instance of ours is never a human", func(t *testing.T) {
		c := held(low, medium)
		require.Equal(t, Tightened, c.Look(words, high, at(12), both))
		c.Hear(words, Told{Value: high, At: at(11), Whose: Twins})
		require.Equal(t, low, c.Base.Value)
		c = held(low, medium)
		c.Hear(words, Told{Value: high, At: at(11), Whose: Twins})
		require.Equal(t, Landed, c.Look(words, high, at(12), both))
		require.Equal(t, low, c.Base.Value)
	})
	t.Run("a line that comes twice or late makes no difference", func(t *testing.T) {
		lines := []Told{told(medium, 11), {Value: high, At: at(12), Whose: Ours, Op: "op"}, told(high, 13), told(low, 14), told(medium, 15)}
		rng := rand.New(rand.NewPCG(3, 3))
		for range 500 {
			c := held(low, medium)
			c.Intend(Op{ID: "op", Value: high, At: at(11), Claims: []string{"a"}})
			many := append(slices.Clone(lines), lines[rng.IntN(len(lines))], lines[rng.IntN(len(lines))])
			rng.Shuffle(len(many), func(i, j int) { many[i], many[j] = many[j], many[i] })
			for _, ln := range many {
				c.Hear(words, ln)
			}
			require.Equal(t, medium, c.Base.Value)
			require.Equal(t, medium, desired(t, c))
		}
	})
}

func TestWhoLowersThreeTimesWhatIsHeldIsNotFought(t *testing.T) {
	c := held(low, high)
	for i := range 3 {
		key := fmt.Sprint("hold", i)
		claims := []Claim{{Hold: key, Value: high}}
		now := at(20 + 10*i)
		c.Look(words, low, now, claims)
		v, _ := c.Desired(words, claims, "", now)
		require.Equal(t, high, v, "round %d", i)
		c.Intend(Op{ID: key, Value: high, At: now, Claims: []string{key}})
		c.Done(now)
		told := Told{Value: low, At: now.Add(5 * time.Minute), By: "Terraform", Client: "terraform"}
		c.Hear(words, told)
		c.Hear(words, told)
		require.Len(t, c.Fights, i+1)
	}
	claims := []Claim{{Hold: "fourth", Value: high}}
	c.Look(words, low, at(60), claims)
	v, _ := c.Desired(words, claims, "", at(60))
	require.Equal(t, low, v)
	v, _ = c.Desired(words, claims, "", at(60).Add(25*time.Hour))
	require.Equal(t, high, v, "a day later holds count again")
}

func TestALimitBoundsHoldsAndNeverAHuman(t *testing.T) {
	for _, tt := range []struct{ base, limit, want Value }{{low, medium, medium}, {low, low, low}, {high, medium, high}, {low, high, high}, {low, "", high}} {
		v, _ := held(tt.base, tt.base).Desired(words, both, tt.limit, at(20))
		require.Equal(t, tt.want, v)
	}
}

func TestWithoutAnOrderTheGravestThenTheOldestHasItsWay(t *testing.T) {
	c := &Cell{Base: Choice{Value: `"a"`}}
	claims := []Claim{{"x", `"b"`, 2, at(2)}, {"y", `"c"`, 3, at(3)}, {"z", `"d"`, 3, at(1)}, {"w", `"d"`, 0, at(0)}}
	v, waiting := c.Desired(Exclusive{}, claims, "", at(5))
	require.Equal(t, Value(`"d"`), v)
	require.Equal(t, []string{"y", "x"}, waiting)
}

func TestHoldsAreOrderIndependentAndNeverWeaken(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		c := &Cell{Base: Choice{Value: words[rng.IntN(3)], At: at(10)}, Claims: map[string]Stand{"1": {low, at(rng.IntN(20))}}}
		var claims []Claim
		for i := range rng.IntN(5) {
			claims = append(claims, Claim{Hold: string(rune('0' + i)), Value: words[rng.IntN(3)]})
		}
		want, _ := c.Desired(words, claims, "", at(20))
		twice, _ := c.Desired(words, append(slices.Clone(claims), claims...), "", at(20))
		require.Equal(t, want, twice, "the same claims twice")
		rng.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
		again, _ := c.Desired(words, claims, "", at(20))
		require.Equal(t, want, again)
		more, _ := c.Desired(words, append(claims, Claim{Hold: "new", Value: words[rng.IntN(3)]}), "", at(20))
		require.False(t, words.Stricter(want, more), "a hold more never weakens")
		require.False(t, words.Stricter(c.Base.Value, want), "never weaker than a human chose")
	}
}

func TestLettingGoAsksFirstWhereItMust(t *testing.T) {
	c := held(low, high)
	require.Empty(t, c.Question(words, high, low, Doubt{}, "", false))
	require.Empty(t, c.Question(words, low, high, Doubt{Reason: "a gap"}, medium, true), "tightening is never asked")
	require.Contains(t, c.Question(words, high, low, Doubt{Reason: "a gap"}, "", false), "a gap: a change")
	require.Empty(t, c.Question(words, high, low, Doubt{}, medium, false), "as it was found")
	require.Contains(t, c.Question(words, high, low, Doubt{}, medium, true), "under the floor of medium")
	c.Base = Choice{Value: low, At: at(0), By: "eve", Told: true}
	require.Equal(t, "it would be low again, which is under the floor of medium: set on 2 March 09:00 UTC by eve",
		c.Question(words, high, low, Doubt{}, medium, false))
	require.Empty(t, c.Question(words, high, medium, Doubt{}, medium, false))
}
