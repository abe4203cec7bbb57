package logstream

import (
	"bytes"
	"regexp"
)

// A cutter finds where a stream can be cut so that no value is. It sees the
// stream in pieces, each byte once and in order.
type cutter interface {
	// next returns the first place after i where b can be cut, or -1 when b
	// holds none; i is where the last call left off.
	next(b []byte, i int) int
	// last returns the last such place.
	last(b []byte, i int) int
	// array is 1 when the place last returned is inside an array.
	array() int
	// closed reports that what follows is not to be read.
	closed() bool
}

// lineCutter cuts after each line.
type lineCutter struct{}

func (lineCutter) next(b []byte, i int) int {
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return -1
}

func (lineCutter) last(b []byte, i int) int {
	if n := bytes.LastIndexByte(b[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return -1
}

func (lineCutter) array() int { return 0 }

func (lineCutter) closed() bool { return false }

// documentCutter cuts after each element of an array, or each object outside
// one, wherever the lines break. When an element is malformed so that its
// brackets do not close, it finds the next by its indentation.
type documentCutter struct {
	open  int  // 1 inside the outer array
	logs  bool // the outer array is the logs member of an object; the rest is ignored
	ended bool // that array has

	level    int // brackets open within the element
	inString bool
	escaped  bool // the byte before was a backslash in a string
	broken   bool // a line ended inside a string: the quotes are out of step

	column   int  // bytes since the line start
	indent   bool // nothing but white space on the line so far
	first    int  // column of the elements that start a line, -1 before the first
	newlines int  // lines ended since the element started
	oneLine  bool // an element has closed on the line it started
	atStart  bool // the current element starts its line
}

func newDocumentCutter() *documentCutter { return &documentCutter{indent: true, first: -1} }

func (c *documentCutter) array() int { return c.open }

func (c *documentCutter) closed() bool { return c.ended }

func (c *documentCutter) last(b []byte, i int) int {
	last := -1
	for i < len(b) {
		n := c.next(b, i)
		if n < 0 {
			break
		}
		last, i = n, n
	}
	return last
}

func (c *documentCutter) next(b []byte, i int) int {
	if c.ended {
		return len(b)
	}
	for ; i < len(b); i++ {
		ch := b[i]
		if c.restarts(ch) {
			c.level, c.broken = 0, false
			return i
		}
		cut := c.step(ch)
		c.track(ch)
		if cut {
			return i + 1
		}
	}
	return -1
}

// restarts reports whether ch begins the next element although the current one
// has not closed.
func (c *documentCutter) restarts(ch byte) bool {
	return ch == '{' && c.level > 0 && !c.inString && c.indent && c.column == c.first &&
		(c.broken || c.oneLine || c.first > 0)
}

// step takes one byte into account and reports whether a cut may follow it.
func (c *documentCutter) step(ch byte) bool {
	if c.inString {
		switch {
		case ch == '\n':
			c.inString, c.escaped, c.broken = false, false, true
		case c.escaped:
			c.escaped = false
		case ch == '\\':
			c.escaped = true
		case ch == '"':
			c.inString = false
		}
		return false
	}
	switch ch {
	case '"':
		c.inString = true
	case '{', '[':
		if ch == '[' && c.level == 0 && c.open == 0 {
			c.open = 1
			return true
		}
		if c.level == 0 {
			c.newlines, c.atStart = 0, c.indent
			if c.indent && c.first < 0 {
				c.first = c.column
			}
		}
		c.level++
	case '}', ']':
		if c.level == 0 {
			if ch == ']' {
				c.open = 0
				c.ended = c.logs
			}
			return true
		}
		if c.level--; c.level == 0 {
			c.oneLine = c.oneLine || c.atStart && c.newlines == 0
			c.broken = false
			return true
		}
	case '\n', ',':
		return c.level == 0
	}
	return false
}

func (c *documentCutter) track(ch byte) {
	if ch == '\n' {
		c.newlines++
		c.column, c.indent = 0, true
		return
	}
	c.column++
	c.indent = c.indent && space(ch)
}

// logsPrefix matches the start of an object up to the array in its member logs,
// with any scalar members before it.
var logsPrefix = regexp.MustCompile(`^\s*\{(?:\s*"[^"\\]*"\s*:\s*(?:-?[0-9.]+|true|false|null|"[^"\\]*")\s*,)*\s*"logs"\s*:\s*\[`)

// maxPrefix is how far the array may be from the object's start.
const maxPrefix = 4 << 10

// cutterFor tells the format from the start of a file and returns its cutter,
// and how many bytes come before the first element. whole says that head is
// all of the file.
func cutterFor(head []byte, whole bool) (c cutter, skip int) {
	start := skipSpace(head, 0)
	if start == len(head) {
		return lineCutter{}, 0
	}
	line := head[start:]
	rest := []byte(nil)
	complete := whole
	if n := bytes.IndexByte(line, '\n'); n >= 0 {
		line, rest, complete = line[:n], line[n+1:], true
	}
	if complete && wellFormed(line) {
		return lineCutter{}, 0
	}
	if m := logsPrefix.Find(head[:min(len(head), maxPrefix)]); m != nil {
		c := newDocumentCutter()
		c.open, c.logs = 1, true
		for _, ch := range m {
			c.track(ch)
		}
		return c, len(m)
	}
	if line[0] == '[' && !complete || continues(line, rest) {
		return newDocumentCutter(), 0
	}
	return lineCutter{}, 0
}

// wellFormed reports whether line is whole JSON values.
func wellFormed(line []byte) bool {
	s := scanner{b: line}
	for i := skipSpace(line, 0); i < len(line); i = skipSpace(line, i) {
		if i, _ = s.value(i, 0); i < 0 {
			return false
		}
	}
	return true
}

// continues reports whether the value that starts on line goes on in rest: its
// brackets are not closed, and what follows is no new object.
func continues(line, rest []byte) bool {
	if line[0] != '{' && line[0] != '[' || len(rest) == 0 {
		return false
	}
	c := newDocumentCutter()
	for _, ch := range line {
		c.step(ch)
	}
	if c.inString || c.level == 0 && c.open == 0 {
		return false
	}
	next := skipSpace(rest, 0)
	return line[0] == '[' || next < len(rest) && rest[next] != '{'
}
