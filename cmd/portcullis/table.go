package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// column is one column of a table: its heading, and what may happen to it where
// the terminal is too narrow.
type column struct {
	head string
	fit  fit
}

type fit int

const (
	whole   fit = iota // never touched
	cutting            // cut as far as it must be
	spare              // the same, and left out before others are cut to a stump
)

// table prints rows in columns. On a terminal it takes no more than the width of
// that, by cutting and leaving out what may be; anywhere else nothing is lost.
type table struct {
	w       io.Writer
	width   int // of the terminal; 0 when it is none
	indent  string
	columns []column
	rows    [][]string
}

const (
	columnGap  = 2
	cutReadily = 14 // columns are cut to so many before one is left out
	cutAtMost  = 6
)

// newTable makes a table; without any heading none is printed.
func newTable(w io.Writer, columns ...column) *table {
	return &table{w: w, width: terminalWidth(w), columns: columns}
}

// row adds a row: a cell for each column.
func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table.
func (t *table) print() error {
	rows := t.rows
	heads := make([]string, len(t.columns))
	for i, c := range t.columns {
		heads[i] = c.head
	}
	if strings.Join(heads, "") != "" {
		rows = append([][]string{heads}, rows...)
	}
	widths := t.widths(rows)
	var b strings.Builder
	for _, cells := range rows {
		line := t.indent
		for i, width := range widths {
			if width < 0 {
				continue
			}
			cell := cells[i]
			if cellWidth(cell) > width {
				cell = cutCell(cell, width)
			}
			line += cell + strings.Repeat(" ", width-cellWidth(cell)+columnGap)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(t.w, b.String())
	return err
}

// widths is the width of each column; -1 for one that is left out.
func (t *table) widths(rows [][]string) []int {
	natural := make([]int, len(t.columns))
	for _, cells := range rows {
		for i, cell := range cells {
			natural[i] = max(natural[i], cellWidth(cell))
		}
	}
	if t.width <= 0 {
		return natural
	}
	for least := cutReadily; ; {
		if widths, fits := t.squeeze(natural, least); fits || least == cutAtMost {
			return widths
		}
		last := -1
		for i, c := range t.columns {
			if c.fit == spare && natural[i] >= 0 {
				last = i
			}
		}
		if last < 0 {
			least = cutAtMost
			continue
		}
		natural[last] = -1
	}
}

// squeeze takes from the widest column that may be cut until all fit.
func (t *table) squeeze(natural []int, least int) (widths []int, fits bool) {
	widths = append(widths, natural...)
	total := cellWidth(t.indent) - columnGap
	for _, w := range widths {
		if w >= 0 {
			total += w + columnGap
		}
	}
	for ; total > t.width; total-- {
		widest := -1
		for i, c := range t.columns {
			if c.fit != whole && widths[i] > max(least, cellWidth(c.head)) && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return widths, false
		}
		widths[widest]--
	}
	return widths, true
}

// cells tells how many cells of a terminal a text takes, whatever the locale.
var cells = &runewidth.Condition{}

func cellWidth(s string) int { return cells.StringWidth(s) }

func cutCell(s string, width int) string { return cells.Truncate(s, width, "…") }

// terminalWidth is how many cells a line of a terminal has; 0 for anything else.
func terminalWidth(w io.Writer) int {
	switch w := w.(type) {
	case interface{ columns() int }:
		return w.columns()
	case *os.File:
		if width, _, err := term.GetSize(int(w.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// wrap breaks a line between words where it is wider than a terminal; what
// follows is set in a little more than the line.
func wrap(line string, width int) string {
	if width <= 0 || cellWidth(line) <= width {
		return line
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))] + "    "
	var out strings.Builder
	at, begun := 0, false
	for _, word := range strings.SplitAfter(line, " ") {
		bare := strings.TrimRight(word, " ")
		if begun && at+cellWidth(bare) > width && bare != "" {
			out.WriteString("\n" + indent)
			at = cellWidth(indent)
		}
		out.WriteString(word)
		at += cellWidth(word)
		begun = begun || bare != ""
	}
	lines := strings.Split(out.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// lines prints until the first error, and breaks lines that a terminal would.
type lines struct {
	w     io.Writer
	width int
	err   error
}

func newLines(w io.Writer) *lines { return &lines{w: w, width: terminalWidth(w)} }

func (l *lines) print(format string, args ...any) {
	if l.err != nil {
		return
	}
	text := strings.Split(fmt.Sprintf(format, args...), "\n")
	for i := range text {
		text[i] = wrap(text[i], l.width)
	}
	_, l.err = io.WriteString(l.w, strings.Join(text, "\n")+"\n")
}

func (l *lines) table(t *table) {
	if l.err == nil {
		l.err = t.print()
	}
}
