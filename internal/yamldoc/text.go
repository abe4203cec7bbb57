package yamldoc

import (
	"unicode"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
)

// Text is a string value that remembers where in the file it stands, so that a
// place inside it can be shown. The zero value is an absent key.
type Text struct {
	Value string
	Node  *yaml.Node // nil when absent
}

// Given reports whether the key was present.
func (t Text) Given() bool { return t.Node != nil }

// DecodeNode reads a scalar of any type as its text.
func (t *Text) DecodeNode(d *Decoder, n *yaml.Node, key string) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.Report(n, key, "must be an expression, found %s", describe(n))
		return
	}
	t.Value, t.Node = n.Value, n
}

// ReportAt adds a problem at characters [from, to) of the text, counted from 0.
func (d *Decoder) ReportAt(t Text, from, to int, key, format string, args ...any) {
	line, col := d.place(t, from)
	length := max(1, to-from)
	d.Problems = append(d.Problems, d.Src.Problem(line, col, length, key, format, args...))
}

// place finds the file position of a character of a scalar's text. It walks the
// source and the text together: what YAML folds, indents or escapes is white
// space or a known escape, and all other characters stand in the same order.
func (d *Decoder) place(t Text, offset int) (line, col int) {
	n := t.Node
	if n == nil {
		return 0, 0
	}
	c := d.cursorAt(n)
	if c == nil {
		return n.Line, n.Column
	}
	for i, r := range []rune(t.Value) {
		blank := unicode.IsSpace(r)
		if !blank && !c.skipBlank() {
			return n.Line, n.Column
		}
		if i == offset {
			break
		}
		if !blank || c.onBlank() || c.escape > 0 && c.at() == '\\' {
			c.next()
		}
	}
	return c.line, c.col + 1
}

// cursor is a place in the source of a scalar.
type cursor struct {
	src    *diag.Source
	line   int // 1-based
	col    int // 0-based
	text   []rune
	quote  rune // the scalar's quote, 0 if none
	escape int  // 1 where a backslash escapes
}

// cursorAt stands before the first character of a scalar's text; nil when the
// source does not show it.
func (d *Decoder) cursorAt(n *yaml.Node) *cursor {
	c := &cursor{src: d.Src}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		c.goTo(n.Line+1, 0) // after the line with its | or >
		return c
	}
	c.goTo(n.Line, n.Column-1)
	for c.at() == '&' || c.at() == '!' { // an anchor or a tag
		for c.col < len(c.text) && !c.onBlank() {
			c.col++
		}
		if !c.skipBlank() {
			return nil
		}
	}
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		c.quote = c.at()
		if c.quote == '"' {
			c.escape = 1
		}
		c.col++
	}
	return c
}

func (c *cursor) goTo(line, col int) {
	c.line, c.col, c.text = line, col, []rune(c.src.Line(line))
}

// at is the character under the cursor, 0 at the end of a line.
func (c *cursor) at() rune {
	if c.col < 0 || c.col >= len(c.text) {
		return 0
	}
	return c.text[c.col]
}

func (c *cursor) onBlank() bool { return unicode.IsSpace(c.at()) }

// skipBlank moves over white space and line ends; false at the end of the file.
func (c *cursor) skipBlank() bool {
	for {
		switch {
		case c.col >= len(c.text) || c.escape > 0 && c.at() == '\\' && c.col == len(c.text)-1:
			if c.line >= c.src.Lines() {
				return false
			}
			c.goTo(c.line+1, 0)
		case c.onBlank():
			c.col++
		default:
			return true
		}
	}
}

// next moves over one character of the text, as it is written.
func (c *cursor) next() {
	switch r := c.at(); {
	case r == '\'' && c.quote == '\'':
		c.col += 2
	case r == '\\' && c.escape > 0 && c.col+1 < len(c.text):
		switch c.text[c.col+1] {
		case 'x':
			c.col += 4
		case 'u':
			c.col += 6
		case 'U':
			c.col += 10
		default:
			c.col += 2
		}
	default:
		c.col++
	}
}
