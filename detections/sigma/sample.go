package sigma

import (
	"fmt"
	"regexp/syntax"
	"strconv"
	"strings"
)

// sample is a value of a field with which a comparison holds.
type sample struct {
	value       any
	front, back bool              // other text may stand before, or after, it
	also        string            // a second field that must have the same value
	params      map[string]string // placeholders as the value has them filled
}

func (e *expr) like(s *sample) *expr {
	e.sample = s
	return e
}

// sampleOf is a text as a pattern says, as short as it may be.
func sampleOf(v literal) *sample {
	out := &sample{front: strings.HasPrefix(v.pattern, "*"), back: strings.HasSuffix(v.pattern, "*") && !strings.HasSuffix(v.pattern, `\*`)}
	var b strings.Builder
	in := []rune(v.pattern)
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case c == '\\' && i+1 < len(in):
			i++
			b.WriteRune(in[i])
		case c == '?':
			b.WriteByte('x')
		case c != '*':
			b.WriteRune(c)
		}
	}
	out.value = b.String()
	if v.exact {
		if x, err := strconv.ParseFloat(v.plain, 64); err == nil && strconv.FormatFloat(x, 'f', -1, 64) == v.plain {
			out.value = x
		} else if v.plain == "true" || v.plain == "false" {
			out.value = v.plain == "true"
		}
	}
	return out
}

// sampleOfRegex is a short text that an expression matches; nil when there is none
// within reach.
func sampleOfRegex(text string) *sample {
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil
	}
	var b strings.Builder
	if !matching(&b, re.Simplify()) {
		return nil
	}
	return &sample{value: b.String()}
}

func matching(b *strings.Builder, re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		for _, want := range "ax0 ." {
			for i := 0; i+1 < len(re.Rune); i += 2 {
				if re.Rune[i] <= want && want <= re.Rune[i+1] {
					b.WriteRune(want)
					return true
				}
			}
		}
		if len(re.Rune) == 0 {
			return false
		}
		b.WriteRune(re.Rune[0])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('x')
	case syntax.OpCapture, syntax.OpPlus:
		return matching(b, re.Sub[0])
	case syntax.OpConcat:
		for _, s := range re.Sub {
			if !matching(b, s) {
				return false
			}
		}
	case syntax.OpAlternate:
		return matching(b, re.Sub[0])
	case syntax.OpRepeat:
		for range min(re.Min, 1000) {
			if !matching(b, re.Sub[0]) {
				return false
			}
		}
	case syntax.OpNoMatch:
		return false
	}
	return true // what may be empty is, and so are anchors
}

// satisfying is a number that compares so with x.
func satisfying(sign string, x float64) float64 {
	switch sign {
	case ">", "!=":
		return x + 1
	case "<":
		return x - 1
	}
	return x
}

// wish is what an event must be like: values by path, and fields that must not be
// there.
type wish struct {
	has    map[string][]sample
	not    map[string]bool
	params map[string]string
}

// maxWishes bounds the ways of fulfilling a condition that are tried.
const maxWishes = 16

// wishes are ways to make e true, or false.
func (e *expr) wishes(want bool) []wish {
	switch {
	case e.op == "leaf" && !want:
		return []wish{{not: map[string]bool{e.field: true}}}
	case e.op == "leaf":
		if e.sample == nil {
			return nil
		}
		return []wish{{has: map[string][]sample{e.field: {*e.sample}}, params: e.sample.params}}
	case e.op == "not":
		return e.kids[0].wishes(!want)
	case (e.op == "and") == want:
		all := []wish{{}}
		for _, k := range e.kids {
			var next []wish
			for _, w := range all {
				for _, o := range k.wishes(want) {
					if len(next) < maxWishes {
						next = append(next, w.and(o))
					}
				}
			}
			all = next
		}
		return all
	}
	var any []wish
	for _, k := range e.kids {
		if any = append(any, k.wishes(want)...); len(any) > maxWishes {
			return any[:maxWishes]
		}
	}
	return any
}

func (w wish) and(o wish) wish {
	out := wish{has: map[string][]sample{}, not: map[string]bool{}, params: map[string]string{}}
	for _, of := range []wish{w, o} {
		for k, v := range of.has {
			out.has[k] = append(out.has[k], v...)
		}
		for k := range of.not {
			out.not[k] = true
		}
		for k, v := range of.params {
			out.params[k] = v
		}
	}
	return out
}

// event is an event as wished.
func (w wish) event() map[string]any {
	out := map[string]any{}
	for path, samples := range w.has {
		if path == "" {
			path = "description" // of keywords: any text
		}
		v := together(samples)
		put(out, strings.Split(path, "."), v)
		for _, s := range samples {
			if s.also != "" {
				put(out, strings.Split(s.also, "."), v)
			}
		}
	}
	return out
}

// together is one value that several comparisons hold of: a text with all of
// them, where each leaves room, else a list.
func together(samples []sample) any {
	if len(samples) == 1 {
		return samples[0].value
	}
	var begin, middle, end []string
	for _, s := range samples {
		text := fmt.Sprint(s.value)
		switch {
		case s.front && s.back:
			middle = append(middle, text)
		case s.back:
			begin = append(begin, text)
		case s.front:
			end = append(end, text)
		default:
			values := []any{}
			for _, s := range samples {
				values = append(values, s.value)
			}
			return values
		}
	}
	return strings.Join(append(append(begin, middle...), end...), " ")
}

// put sets a member at a path; a name that ends in [*] is a list of one.
func put(in map[string]any, path []string, v any) {
	name, each := strings.CutSuffix(path[0], "[*]")
	if len(path) == 1 {
		if each {
			v = []any{v}
		}
		in[name] = v
		return
	}
	inner, ok := in[name].(map[string]any)
	if list, is := in[name].([]any); is && len(list) == 1 {
		inner, ok = list[0].(map[string]any)
	}
	if !ok {
		inner = map[string]any{}
	}
	if in[name] = inner; each {
		in[name] = []any{inner}
	}
	put(inner, path[1:], v)
}
