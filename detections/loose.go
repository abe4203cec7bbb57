package detections

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// looseHelpers compare as other rule languages do: without regard to case, numbers
// and switches as texts, any element of a list. They are true or false, also of
// something missing, so that not of them is true where they are not.
var looseHelpers = []helper{
	{Function: Function{"like", "like(value, patterns)", "whether the value, or any element of it, is as a pattern or one of a list of them says, without regard to case: * is any text, ? one character, \\ takes the meaning from the next *, ? or \\; false when it is missing, never unknown",
		`not like(user_agent, ["*curl*", "python-?equests*"])`},
		args: []argument{{kind: AnyKind}, {kind: AnyKind}}, result: BoolKind, total: true,
		call: func(a []datum) (datum, error) { return truthOf(alike(&a[0], &a[1], true)), nil }},
	{Function: Function{"like_cased", "like_cased(value, patterns)", "like() with regard to case", `like_cased(user_agent, "*Mozilla*")`},
		args: []argument{{kind: AnyKind}, {kind: AnyKind}}, result: BoolKind, total: true,
		call: func(a []datum) (datum, error) { return truthOf(alike(&a[0], &a[1], false)), nil }},
	{Function: Function{"exists", "exists(value)", "whether the value is there; never unknown", `not exists(details.familyId)`},
		args: []argument{{kind: AnyKind}}, result: BoolKind, total: true,
		call: func(a []datum) (datum, error) { return truthOf(a[0].kind != noValue), nil }},
	{Function: Function{"texts", "texts(value)", "the list of what the value holds, numbers and switches as texts: itself, or the elements of a list; nothing when it is missing", `any(texts(details.code), # matches "^4")`},
		args: []argument{{kind: AnyKind}}, result: ListKind, total: true,
		call: func(a []datum) (datum, error) { return listOf(&a[0], false), nil }},
	{Function: Function{"words", "words(value)", "texts() with all that members of mappings hold", `like(words(details), "*passkey*")`},
		args: []argument{{kind: AnyKind}}, result: ListKind, total: true,
		call: func(a []datum) (datum, error) { return listOf(&a[0], true), nil }},
	{Function: Function{"numbers", "numbers(value)", "the list of the numbers in the value, also those written as texts", `any(numbers(details.code), # >= 400)`},
		args: []argument{{kind: AnyKind}}, result: ListKind, total: true, call: numbersIn},
	{Function: Function{"literal", "literal(text)", "the pattern for like() that means just this text", `like(details.email, literal(user_name))`},
		args: []argument{{kind: TextKind | NumberKind | BoolKind}}, result: TextKind,
		call: func(a []datum) (datum, error) {
			s, _ := textOf(a[0].keep())
			return datumOf(literalOf.Replace(s)), nil
		}},
	{Function: Function{"minute", "minute(date, [zone])", "the minute of the hour", `minute(date) < 5`}, args: []argument{aTextArg, aZone}, result: NumberKind,
		call: inZone(func(t time.Time) datum { return datumOf(t.Minute()) })},
	{Function: Function{"day", "day(date, [zone])", "the day of the month", `day(date) == 1`}, args: []argument{aTextArg, aZone}, result: NumberKind,
		call: inZone(func(t time.Time) datum { return datumOf(t.Day()) })},
	{Function: Function{"week", "week(date, [zone])", "the week of the year, as ISO 8601 counts", `week(date) == 52`}, args: []argument{aTextArg, aZone}, result: NumberKind,
		call: inZone(func(t time.Time) datum { _, w := t.ISOWeek(); return datumOf(w) })},
	{Function: Function{"month", "month(date, [zone])", "the month, 1 to 12", `month(date) == 12`}, args: []argument{aTextArg, aZone}, result: NumberKind,
		call: inZone(func(t time.Time) datum { return datumOf(int(t.Month())) })},
	{Function: Function{"year", "year(date, [zone])", "the year", `year(date) == 2026`}, args: []argument{aTextArg, aZone}, result: NumberKind,
		call: inZone(func(t time.Time) datum { return datumOf(t.Year()) })},
}

var literalOf = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`)

// textOf is a scalar as a text; false of anything else.
func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	}
	if x, ok := number(v); ok {
		return strconv.FormatFloat(x, 'f', -1, 64), true
	}
	return "", false
}

// scalars visits v, or what a list holds, and with deep what mappings hold.
func scalars(v any, deep bool, visit func(any) (done bool)) bool {
	switch v := v.(type) {
	case nil:
		return false
	case []any:
		for _, e := range v {
			if scalars(e, deep, visit) {
				return true
			}
		}
		return false
	case map[string]any:
		for _, k := range keys(v) {
			if deep && scalars(v[k], deep, visit) {
				return true
			}
		}
		return false
	}
	return visit(v)
}

func listOf(d *datum, deep bool) datum {
	out := []any{}
	scalars(d.keep(), deep, func(v any) bool {
		if s, ok := textOf(v); ok {
			out = append(out, s)
		}
		return false
	})
	return datum{kind: collectionValue, boxed: out}
}

func numbersIn(a []datum) (datum, error) {
	out := []any{}
	scalars(a[0].keep(), false, func(v any) bool {
		if x, ok := number(v); ok {
			out = append(out, x)
		} else if s, ok := v.(string); ok {
			if x, err := strconv.ParseFloat(s, 64); err == nil {
				out = append(out, x)
			}
		}
		return false
	})
	return datum{kind: collectionValue, boxed: out}, nil
}

func alike(value, patterns *datum, fold bool) bool {
	if value.kind == textValue && patterns.kind == textValue {
		return likeText(value.text, patterns.text, fold)
	}
	if value.kind == noValue || patterns.kind == noValue {
		return false
	}
	of := patterns.keep()
	return scalars(value.keep(), false, func(v any) bool {
		s, ok := textOf(v)
		return ok && scalars(of, false, func(p any) bool {
			pattern, ok := textOf(p)
			return ok && likeText(s, pattern, fold)
		})
	})
}

// likeText matches in time that grows with len(s) * len(pattern) at worst: only
// the last * is ever tried again.
func likeText(s, pattern string, fold bool) bool {
	star, from := -1, 0
	i, p := 0, 0
	for i < len(s) {
		c, size := utf8.DecodeRuneInString(s[i:])
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p, i
			p++
			continue
		}
		if p < len(pattern) {
			want, wild, width := patternRune(pattern[p:])
			if wild || want == c || fold && sameLetter(want, c) {
				p += width
				i += size
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, size = utf8.DecodeRuneInString(s[from:])
		from += size
		i, p = from, star+1
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// patternRune is what a pattern begins with, other than *.
func patternRune(pattern string) (want rune, wild bool, width int) {
	switch {
	case pattern[0] == '?':
		return 0, true, 1
	case pattern[0] == '\\' && len(pattern) > 1 && strings.IndexByte(`*?\`, pattern[1]) >= 0:
		return rune(pattern[1]), false, 2
	}
	want, width = utf8.DecodeRuneInString(pattern)
	return want, false, width
}

// sameLetter compares by Unicode's simple folding.
func sameLetter(a, b rune) bool {
	for r := unicode.SimpleFold(a); r != a; r = unicode.SimpleFold(r) {
		if r == b {
			return true
		}
	}
	return false
}
