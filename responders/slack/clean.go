package slack

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// longestRaw bounds the work spent on one piece of text, in bytes.
const longestRaw = 2048

// fewestDigits is the least a phone number has.
const fewestDigits = 7

// clean makes text that strangers may have chosen fit for a message: one line,
// no invisible or direction-changing characters, e-mail addresses and phone
// numbers masked, and at most limit long as Slack counts it (see size).
func clean(s string, limit int) string {
	return cut(mask(visible(s)), limit)
}

// visible keeps what a reader can see, on one line.
func visible(s string) string {
	if len(s) > longestRaw {
		s = s[:longestRaw]
		// The last word may be half an address, which no mask would know.
		if i := strings.LastIndexAny(s, " \t\n"); i > 0 {
			s = s[:i]
		}
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.In(r, unicode.Z):
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Join(strings.Fields(s), " ")
}

var (
	// The local part takes in all that is not a separator, so that a strange
	// but legal address is hidden as well; at worst a bracket goes with it.
	email = regexp.MustCompile(`("[^"]*"|[^\s|,;:]+)(?:@|%40|\x{FF20})([\pL\pN](?:[\pL\pN.-]*[\pL\pN])?)`)

	international = regexp.MustCompile(`\+ ?\(?\d(?:[ \-().]{0,2}\d){6,18}`)
	national      = regexp.MustCompile(`\(?\d(?:[ \-()/]{0,2}\d){8,17}|\d{3}\.\d{3}\.\d{4}`)

	// notPhone is what looks like a national number and is none: addresses,
	// ranges of them, dates and times.
	notPhone = regexp.MustCompile(`\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?`)
)

// mask hides what would identify a person: "jane@example.org" becomes
// "j***@example.org", "+1 555 123 4567" becomes "+1***67".
func mask(s string) string {
	// Most text holds neither, and the expressions cost more than a look.
	if strings.ContainsAny(s, "@\uFF20") || strings.Contains(s, "%40") {
		s = email.ReplaceAllStringFunc(s, maskEmail)
	}
	if countDigits(s) >= fewestDigits {
		s = international.ReplaceAllStringFunc(s, maskDigits)
		s = maskAround(s)
	}
	return s
}

func maskEmail(address string) string {
	parts := email.FindStringSubmatch(address)
	local, domain := parts[1], parts[2]
	first := strings.IndexFunc(local, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
	if first < 0 {
		return "***@" + domain
	}
	_, n := utf8.DecodeRuneInString(local[first:])
	return local[first:first+n] + "***@" + domain
}

// maskAround hides national numbers in what is left of s between the parts that
// only look like one.
func maskAround(s string) string {
	var b strings.Builder
	from := 0
	for _, at := range notPhone.FindAllStringIndex(s, -1) {
		b.WriteString(maskNational(s[from:at[0]]))
		b.WriteString(s[at[0]:at[1]])
		from = at[1]
	}
	b.WriteString(maskNational(s[from:]))
	return b.String()
}

func countDigits(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			n++
		}
	}
	return n
}

// maskNational hides numbers that stand alone: digits inside a longer word are
// part of an identifier.
func maskNational(s string) string {
	var b strings.Builder
	from := 0
	for _, at := range national.FindAllStringIndex(s, -1) {
		b.WriteString(s[from:at[0]])
		if inWord(s[:at[0]], true) || inWord(s[at[1]:], false) {
			b.WriteString(s[at[0]:at[1]])
		} else {
			b.WriteString(maskDigits(s[at[0]:at[1]]))
		}
		from = at[1]
	}
	b.WriteString(s[from:])
	return b.String()
}

// inWord tells whether a number continues into what stands before or after it.
func inWord(s string, before bool) bool {
	if s == "" {
		return false
	}
	c, _ := utf8.DecodeRuneInString(s)
	if before {
		c, _ = utf8.DecodeLastRuneInString(s)
	}
	return unicode.IsLetter(c) || unicode.IsNumber(c) || c == '_' || c == '-' || before && c == '.'
}

func maskDigits(s string) string {
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
	masked := digits[:1] + "***" + digits[len(digits)-2:]
	if strings.HasPrefix(s, "+") {
		masked = "+" + masked
	}
	return masked
}

// escape makes & < > inert, which are all the characters that start a mention,
// a link or an entity in Slack.
func escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// size is the length of s in Slack as the strictest reading of its limits has
// it: UTF-16 units, after escaping.
func size(s string) int {
	n := 0
	for _, r := range s {
		n += runeSize(r)
	}
	return n
}

func runeSize(r rune) int {
	switch r {
	case '&':
		return 5
	case '<', '>':
		return 4
	}
	return max(utf16.RuneLen(r), 1)
}

// cut shortens s to at most limit, as size counts, and shows that it did.
func cut(s string, limit int) string {
	if size(s) <= limit {
		return s
	}
	n := 1 // the ellipsis
	for i, r := range s {
		if n += runeSize(r); n > limit {
			return strings.TrimRight(s[:i], " ") + "…"
		}
	}
	return s
}
