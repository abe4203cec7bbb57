package sigma

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf16"
)

// pattern is a text with wildcards: wild marks * and ? among its runes.
type pattern struct {
	runes []rune
	wild  []bool
}

// parsePattern reads a Sigma string: \ takes the meaning from the next *, ? or
// \, and is itself anywhere else.
func parsePattern(s string) pattern {
	var p pattern
	in := []rune(s)
	for i := 0; i < len(in); i++ {
		c := in[i]
		switch {
		case c == '\\' && i+1 < len(in) && (in[i+1] == '*' || in[i+1] == '?' || in[i+1] == '\\'):
			i++
			p.add(in[i], false)
		default:
			p.add(c, c == '*' || c == '?')
		}
	}
	return p
}

func plainPattern(s string) pattern {
	var p pattern
	for _, c := range s {
		p.add(c, false)
	}
	return p
}

func (p *pattern) add(c rune, wild bool) {
	p.runes = append(p.runes, c)
	p.wild = append(p.wild, wild)
}

func (p pattern) exact() bool {
	for _, w := range p.wild {
		if w {
			return false
		}
	}
	return true
}

// within puts * before or after, unless one is there.
func (p pattern) within(before, after bool) pattern {
	var out pattern
	n := len(p.runes)
	if before && (n == 0 || !p.wild[0] || p.runes[0] != '*') {
		out.add('*', true)
	}
	for i, c := range p.runes {
		out.add(c, p.wild[i])
	}
	if after && (n == 0 || !p.wild[n-1] || p.runes[n-1] != '*') {
		out.add('*', true)
	}
	return out
}

// like is p as like() reads it.
func (p pattern) like() string {
	var b strings.Builder
	for i, c := range p.runes {
		if !p.wild[i] && (c == '*' || c == '?' || c == '\\') {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

func (p pattern) literal() literal {
	return literal{pattern: p.like(), plain: string(p.runes), exact: p.exact()}
}

// dashes are what windash takes for one another.
var dashes = []rune{'-', '/', '–', '—', '―'}

// windash is p with each dash at the beginning of a word as every kind of dash.
// All of them change together.
func (p pattern) windash() []pattern {
	at := []int{}
	for i, c := range p.runes {
		starts := i == 0 || p.wild[i-1] || p.runes[i-1] == ' '
		if !p.wild[i] && starts && (c == '-' || c == '/') && i+1 < len(p.runes) {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return []pattern{p}
	}
	out := []pattern{p}
	for _, d := range dashes {
		q := pattern{append([]rune{}, p.runes...), p.wild}
		for _, i := range at {
			q.runes[i] = d
		}
		if string(q.runes) != string(p.runes) {
			out = append(out, q)
		}
	}
	return out
}

// utf16Text is s in an encoding of two bytes, each byte one character.
func utf16Text(s string, order binary.ByteOrder, mark bool) string {
	units := utf16.Encode([]rune(s))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	out := make([]byte, 2*len(units))
	for i, u := range units {
		order.PutUint16(out[2*i:], u)
	}
	return string(out)
}

// base64Offsets are the encodings of s at each of the three places that it can
// have in an encoded text, without the characters that its neighbours decide.
func base64Offsets(s string) []string {
	var out []string
	for i, from := range []int{0, 2, 3} {
		enc := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", i) + s))
		end := len(enc)
		switch (len(s) + i) % 3 {
		case 1:
			end -= 3
		case 2:
			end -= 2
		}
		if from < end {
			out = append(out, enc[from:end])
		}
	}
	return out
}

func quote(s string) string { return strconv.Quote(s) }

func quotes(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = quote(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}
