package logstream

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// plainStringEnd is what stringEnd does, one byte after another.
func plainStringEnd(b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return -1
}

func TestStringsEndAtTheFirstQuoteThatIsNotEscaped(t *testing.T) {
	const letters = `a\"`
	for n := range 9 { // every string of up to eight such letters
		for number, all := 0, pow(len(letters), n); number < all; number++ {
			text := make([]byte, 0, n)
			for rest := number; len(text) < n; rest /= len(letters) {
				text = append(text, letters[rest%len(letters)])
			}
			for _, pad := range []int{0, 3, 7, 12} { // wherever the words of eight begin
				b := []byte(`"` + strings.Repeat("x", pad) + string(text))
				require.Equal(t, plainStringEnd(b, 1), stringEnd(b, 1), "%q", b)
				b = append(b, `" and "more" after it`...)
				require.Equal(t, plainStringEnd(b, 1), stringEnd(b, 1), "%q", b)
			}
		}
	}
}

func pow(base, n int) int {
	out := 1
	for range n {
		out *= base
	}
	return out
}
