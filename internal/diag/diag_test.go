package diag

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestTheCaretStandsBelowThePlace(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		col, len   int
		want       string
	}{
		{"plain", "key: value", 6, 5, "f:1:6: k: wrong\n 1 | key: value\n          ^^^^^"},
		{"after a tab", "\tkey: value", 7, 5, "f:1:7: k: wrong\n 1 |     key: value\n              ^^^^^"},
		{"after letters of more bytes", "ä: 日本 x", 7, 1, "f:1:7: k: wrong\n 1 | ä: 日本 x\n           ^"},
		{"longer than the line", "ab", 1, 50, "f:1:1: k: wrong\n 1 | ab\n     ^^"},
		{"behind the line", "ab", 9, 1, "f:1:9: k: wrong\n 1 | ab\n       ^"},
		{"no column", "ab", 0, 0, "f:1: k: wrong\n 1 | ab"},
		{"control characters", "a\x1b[31mb", 1, 1, "f:1:1: k: wrong\n 1 | a·[31mb\n     ^"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := NewSource("f", []byte(tc.line)).Problem(1, tc.col, tc.len, "k", "wrong")
			require.Equal(t, tc.want, p.String())
		})
	}
}

func TestAWideLineIsShownAroundThePlace(t *testing.T) {
	line := strings.Repeat("x", 5000) + "HERE" + strings.Repeat("y", 5000)
	shown := strings.Split(NewSource("f", []byte(line)).Problem(1, 5001, 4, "", "wrong").String(), "\n")
	require.LessOrEqual(t, utf8.RuneCountInString(shown[1]), maxShown+10)
	at := strings.Index(shown[2], "^")
	require.Equal(t, "HERE", shown[1][at:at+4])
}

func TestProblemsComeInOrderOfPlace(t *testing.T) {
	b, a := NewSource("b", []byte("x\ny")), NewSource("a", []byte("x\ny"))
	ps := Problems{b.Problem(1, 1, 1, "", "3"), a.Problem(2, 1, 1, "", "2").WithHint("do %s", "that"), a.Problem(1, 2, 1, "", "1")}
	require.EqualError(t, ps.Err(), "a:1:2: 1\n 1 | x\n      ^\na:2:1: 2\n 2 | y\n     ^\n hint: do that\nb:1:1: 3\n 1 | x\n     ^")
	require.NoError(t, Problems(nil).Err())
}

func TestTheNearestKnownWordIsProposed(t *testing.T) {
	known := []string{"ip", "user_id", "user_name", "type"}
	for word, want := range map[string]string{"ipp": "ip", "usre_id": "user_id", "TYPE": "type", "tpye": "type", "completely": "", "": "", "x": "", "user_nam": "user_name"} {
		require.Equal(t, want, Nearest(word, known), word)
	}
	require.Empty(t, DidYouMean(strings.Repeat("a", 1<<20), known))
}

func TestNothingInAHeadSteersTheTerminal(t *testing.T) {
	p := NewSource("a\x1b[2J\n.yaml", []byte("x\u202ey\u0085")).Problem(1, 1, 1, "k\u202e", "wrong \x07\u2066\xff é").WithHint("do\x1b")
	require.Equal(t, `a\x1b[2J\n.yaml:1:1: k\u202e: wrong \a\u2066\xff é`, p.Head())
	require.Equal(t, p.Head()+"\n 1 | x·y·\n     ^\n hint: do\\x1b", p.String())
}
