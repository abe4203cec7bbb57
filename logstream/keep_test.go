package logstream

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCursorFileRemembers(t *testing.T) {
	p := filepath.Join(t.TempDir(), "cursor")
	c := NewCursorFile(p)
	got, err := c.LoadCursor(t.Context())
	require.NoError(t, err)
	require.Empty(t, got)
	for _, cursor := range []string{testID, id(2)} {
		require.NoError(t, c.SaveCursor(t.Context(), cursor))
		got, err = NewCursorFile(p).LoadCursor(t.Context())
		require.NoError(t, err)
		require.Equal(t, cursor, got)
	}
	info, err := os.Stat(p)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	left, err := os.ReadDir(filepath.Dir(p))
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestCursorFileNamesItselfWhenMalformed(t *testing.T) {
	for _, content := range []string{"", "\n", "{\"cursor\":1}", "a b", "\x00\x00", strings.Repeat("9", 200)} {
		p := write(t, "cursor", []byte(content))
		_, err := NewCursorFile(p).LoadCursor(t.Context())
		require.ErrorContains(t, err, "cursor file "+p, content)
	}
	require.Error(t, NewCursorFile(filepath.Join(t.TempDir(), "absent", "cursor")).SaveCursor(t.Context(), testID))
}

func letters(t *testing.T, p string) (all []map[string]any) {
	t.Helper()
	f, err := os.Open(p)
	require.NoError(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if s.Text() == "" {
			continue
		}
		var l map[string]any
		if json.Unmarshal(s.Bytes(), &l) == nil {
			all = append(all, l)
		}
	}
	return all
}

func TestDeadLetterKeepsEveryReject(t *testing.T) {
	p := filepath.Join(t.TempDir(), "dead.jsonl")
	d, err := OpenDeadLetter(p)
	require.NoError(t, err)
	require.NoError(t, d.Write(Reject{Source: "a.jsonl", Line: 3, Offset: 17, Reason: errNotObject, Raw: []byte("se<ven\n"), Size: 7}))
	require.NoError(t, d.Write(Reject{Source: "b", Reason: errEmpty, Raw: []byte{0xff, 0xfe}, Size: 9000}))
	require.Equal(t, int64(2), d.Count())
	require.NoError(t, d.Close())
	info, err := os.Stat(p)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	// A crash in the middle of a line costs that line alone.
	f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"at":"20`)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	d, err = OpenDeadLetter(p)
	require.NoError(t, err)
	require.NoError(t, d.Write(Reject{Source: "c"}))
	require.NoError(t, d.Close())

	all := letters(t, p)
	require.Len(t, all, 3)
	require.Equal(t, "a.jsonl", all[0]["source"])
	require.Equal(t, 3.0, all[0]["line"])
	require.Equal(t, 17.0, all[0]["offset"])
	require.Equal(t, "not a JSON object", all[0]["reason"])
	require.Equal(t, "se<ven\n", all[0]["raw"])
	require.NotEmpty(t, all[0]["at"])
	require.Equal(t, "//4=", all[1]["raw_base64"])
	require.NotContains(t, all[1], "raw")
	require.Equal(t, 9000.0, all[1]["size"])
	require.Equal(t, "c", all[2]["source"])
}

func TestAFullDeadLetterSaysSoOnceAndCounts(t *testing.T) {
	p := filepath.Join(t.TempDir(), "dead.jsonl")
	d, err := OpenDeadLetter(p)
	require.NoError(t, err)
	d.max = 1000
	full := 0
	for range 50 {
		if err := d.Write(Reject{Source: "x", Reason: errEmpty, Raw: []byte("y")}); err != nil {
			require.ErrorIs(t, err, ErrDeadLetterFull)
			full++
		}
	}
	require.Equal(t, 1, full)
	require.Equal(t, int64(50), d.Count())
	require.NoError(t, d.Close())
	data, err := os.ReadFile(p)
	require.NoError(t, err)
	require.Equal(t, int64(50), d.Lost()+int64(strings.Count(string(data), "\n")))
	info, err := os.Stat(p)
	require.NoError(t, err)
	require.LessOrEqual(t, info.Size(), int64(1000))
	require.Greater(t, info.Size(), int64(500))
	require.Error(t, d.Close())
}

func TestDedupeKnowsTheLastHalfOfItsBoundAndNoMoreThanTheBound(t *testing.T) {
	const n = 4_000
	d := NewDedupe(n)
	for i := range 4 * n {
		require.False(t, d.Seen(id(i)))
		require.True(t, d.Seen(id(i)))
		require.LessOrEqual(t, d.Len(), n)
		if i%1000 == 0 && i > n/2 {
			require.True(t, d.Seen(id(i-n/2+1)))
		}
	}
	require.False(t, d.Seen(id(0)), "forgotten long ago")
}

func TestDedupeSurvivesARestart(t *testing.T) {
	d := NewDedupe(1000)
	for i := range 900 {
		d.Seen(id(i))
	}
	e, small := NewDedupe(1000), NewDedupe(10)
	for part := range d.Capture().Parts() {
		require.NoError(t, e.Restore(part))
		require.NoError(t, small.Restore(part))
		for _, bad := range [][]byte{nil, part[1:], part[:len(part)-1], append([]byte{youngPart - 1}, part[1:]...)} {
			require.Error(t, e.Restore(bad))
		}
	}
	require.Equal(t, d.Len(), e.Len())
	for i := 400; i < 900; i++ {
		require.True(t, e.Has(id(i)))
	}
	require.False(t, e.Seen(id(900)))
	require.LessOrEqual(t, small.Len(), 10)
	require.Positive(t, small.Len())
}

// A capture is read while ids come, generations change and it is captured again.
func TestACaptureHoldsWhatWasRememberedAtItsInstant(t *testing.T) {
	const n = 5 * orderBlock
	d := NewDedupe(n)
	for i := range 3 * n { // through several generations
		d.Seen(id(i))
		if i%(n/2) != n/4 {
			continue
		}
		before := d.Len()
		c := d.Capture()
		for k := range n {
			d.Seen(id(1_000_000_000 + i*n + k)) // the generations change meanwhile
		}
		got := NewDedupe(n)
		for part := range c.Parts() {
			require.NoError(t, got.Restore(part))
		}
		require.Equal(t, before, got.Len())
		for k := max(0, i-n/4); k <= i; k++ {
			require.True(t, got.Has(id(k)))
		}
		require.False(t, got.Has(id(1_000_000_000+i*n)))
		d = got
	}
}

func TestTheHashIsFixedAndSpreadsLogIDs(t *testing.T) {
	require.Equal(t, uint64(0xbc391655318214b9), hash64(testID), "saved hashes would be lost")
	require.NotEqual(t, hash64("x"), hash64("x\x00"))
	const n = 1 << 16
	seen := make(map[uint64]struct{}, n)
	var buckets [1 << 6]int
	for i := range n {
		h := hash64(fmt.Sprintf("90020260105101530%03d%036d", i%1000, i))
		seen[h] = struct{}{}
		buckets[h%uint64(len(buckets))]++
	}
	require.Len(t, seen, n)
	for _, b := range buckets { // 1024 expected, standard deviation 32
		require.InDelta(t, 1024, b, 6*32)
	}
}
