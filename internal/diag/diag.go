// Package diag holds problems found in files that people write: each names its
// place as file:line:col, says what is wrong, and shows the line with a caret.
package diag

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Source is the text of one file, kept to show the lines that problems name.
type Source struct {
	Name  string // as the user wrote it, for instance rules/sms.yaml
	Data  []byte
	lines []string
}

// NewSource wraps the content of a file.
func NewSource(name string, data []byte) *Source {
	return &Source{Name: name, Data: data, lines: strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")}
}

// Line returns the text of a 1-based line, without its line end.
func (s *Source) Line(n int) string {
	if s == nil || n < 1 || n > len(s.lines) {
		return ""
	}
	return strings.TrimRight(s.lines[n-1], "\r")
}

// Lines is the number of lines.
func (s *Source) Lines() int { return len(s.lines) }

// Problem is one thing wrong at one place.
type Problem struct {
	File string
	Line int    // 1-based; 0 when the whole file is meant
	Col  int    // 1-based, in characters; 0 when the whole line is meant
	Len  int    // characters to underline; 1 if zero
	Key  string // dotted path of the key, for instance brute-force.having
	Msg  string
	Hint string // what to do, optional

	text string // the source line
}

// Problem makes a problem at a place of this file.
func (s *Source) Problem(line, col, length int, key, format string, args ...any) Problem {
	return Problem{File: s.Name, Line: line, Col: col, Len: length, Key: key, Msg: fmt.Sprintf(format, args...), text: s.Line(line)}
}

// WithHint returns p with a hint for the reader.
func (p Problem) WithHint(format string, args ...any) Problem {
	p.Hint = fmt.Sprintf(format, args...)
	return p
}

// Head is the first line of a problem: place, key and message. What would
// steer a terminal or turn the order of its letters is escaped.
func (p Problem) Head() string {
	var b strings.Builder
	b.WriteString(escape(p.File))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Col > 0 {
			fmt.Fprintf(&b, ":%d", p.Col)
		}
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(escape(p.Key) + ": ")
	}
	b.WriteString(escape(p.Msg))
	return b.String()
}

// maxShown bounds the part of a source line that is printed, in characters.
const maxShown = 160

// String is the problem as people see it: the head, the source line, a caret
// below, and the hint.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Head())
	if line := expandTabs(p.text); p.Line > 0 && strings.TrimSpace(line) != "" {
		gutter := fmt.Sprintf(" %d | ", p.Line)
		// Count the caret's place in the line as printed.
		before := string([]rune(p.text)[:min(max(p.Col-1, 0), utf8.RuneCountInString(p.text))])
		indent := utf8.RuneCountInString(expandTabs(before))
		shown := []rune(line)
		start := 0
		if len(shown) > maxShown {
			start = max(0, min(indent-maxShown/2, len(shown)-maxShown))
			shown = shown[start:min(len(shown), start+maxShown)]
		}
		fmt.Fprintf(&b, "\n%s%s", gutter, printable(string(shown)))
		if p.Col > 0 {
			carets := min(max(p.Len, 1), max(len(shown)-(indent-start), 1))
			fmt.Fprintf(&b, "\n%s%s%s", strings.Repeat(" ", utf8.RuneCountInString(gutter)), strings.Repeat(" ", indent-start), strings.Repeat("^", carets))
		}
	}
	if p.Hint != "" {
		b.WriteString("\n hint: " + escape(p.Hint))
	}
	return b.String()
}

func expandTabs(s string) string { return strings.ReplaceAll(s, "\t", "    ") }

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if steers(r) || r == utf8.RuneError {
			return '·'
		}
		return r
	}, s)
}

// steers reports whether r is a control character, a line or paragraph
// separator, or a mark that changes the direction of the text around it.
func steers(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}

// escape writes out what steers, and bytes that are no UTF-8.
func escape(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, steers) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case steers(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// Problems are all the problems of one load. It is an error when not empty.
type Problems []Problem

// Error joins every problem, each on lines of its own.
func (ps Problems) Error() string {
	parts := make([]string, len(ps))
	for i, p := range ps {
		parts[i] = p.String()
	}
	return strings.Join(parts, "\n")
}

// Err is ps as an error, sorted by place; nil when there are none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	ps.Sort()
	return ps
}

// Sort orders problems by file, line and column.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
}

// Nearest is the known word most like word, or "" when none is close: at most
// a third of its letters differ.
func Nearest(word string, known []string) string {
	if len(word) < 2 {
		return ""
	}
	best, dist := "", max(1, len(word)/3)+1
	for _, k := range known {
		if len(word) > 2*len(k)+2 {
			continue // and no stranger's long word costs much
		}
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < dist {
			best, dist = k, d
		}
	}
	return best
}

// DidYouMean is " (did you mean X?)", or "" when no known word is close.
func DidYouMean(word string, known []string) string {
	if n := Nearest(word, known); n != "" {
		return " (did you mean " + n + "?)"
	}
	return ""
}

// distance is the number of letters to insert, delete, replace or swap with a
// neighbour to turn a into b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
