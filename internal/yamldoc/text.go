package yamldoc

import (
	"strings"

	"gopkg.in/yaml.v3"
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

// place finds the file position of a character of a scalar's text.
func (d *Decoder) place(t Text, offset int) (line, col int) {
	n := t.Node
	if n == nil {
		return 0, 0
	}
	runes := []rune(t.Value)
	before := string(runes[:min(max(offset, 0), len(runes))])
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		// The text of a block starts on the line after its | and keeps its lines.
		row := strings.Count(before, "\n")
		line = n.Line + 1 + row
		return line, indent(d.Src.Line(line)) + len([]rune(before[strings.LastIndex(before, "\n")+1:])) + 1
	case n.Style&yaml.FoldedStyle != 0:
		return d.folded(n.Line+1, 0, before)
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return n.Line, n.Column + 1 + len([]rune(before))
	default:
		return d.folded(n.Line, n.Column-1, before)
	}
}

// folded walks source lines whose breaks were folded into single spaces.
func (d *Decoder) folded(line, start int, before string) (int, int) {
	left := len([]rune(before))
	for {
		runes := []rune(d.Src.Line(line))
		if start == 0 {
			start = indent(string(runes))
		}
		if start > len(runes) {
			return line, 1
		}
		text := strings.TrimRight(string(runes[start:]), " \t")
		if n := len([]rune(text)); left <= n || line >= len(d.Src.Data) {
			return line, start + left + 1
		} else {
			left -= n + 1
		}
		line, start = line+1, 0
	}
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
