package sigma

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// conditionError is what is wrong with a condition.
type conditionError struct{ code, msg, hint string }

var conditionToken = regexp.MustCompile(`\s*(?:([A-Za-z0-9_*.-]+)|([()]))`)

const maxDepth = 100

// parseCondition reads a condition over named searches, in their order.
func parseCondition(text string, names []string, searches map[string]*expr) (*expr, *conditionError) {
	p := &conditionParser{names: names, searches: searches}
	if strings.Contains(text, "|") {
		return nil, &conditionError{"old-aggregation", "aggregations after | are no longer part of Sigma", "write a correlation: event_count, value_count, temporal, …"}
	}
	rest := text
	for strings.TrimSpace(rest) != "" {
		loc := conditionToken.FindStringSubmatchIndex(rest)
		if loc == nil || loc[0] != 0 {
			return nil, &conditionError{"condition", fmt.Sprintf("cannot read %q", strings.TrimSpace(rest)), "names are letters, digits, _ and -"}
		}
		p.tokens = append(p.tokens, strings.TrimSpace(rest[:loc[1]]))
		rest = rest[loc[1]:]
	}
	e := p.or()
	if p.err == nil && p.at < len(p.tokens) {
		p.unexpected()
	}
	return e, p.err
}

type conditionParser struct {
	tokens   []string
	at       int
	depth    int
	names    []string
	searches map[string]*expr
	err      *conditionError
}

func (p *conditionParser) peek() string {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return ""
}

func (p *conditionParser) fail(code, hint, format string, args ...any) *expr {
	if p.err == nil {
		p.err = &conditionError{code, fmt.Sprintf(format, args...), hint}
	}
	return &expr{op: "or"}
}

func (p *conditionParser) unexpected() *expr {
	switch t := p.peek(); {
	case t == "":
		return p.fail("condition", "", "the condition ends too early")
	case t == "AND" || t == "OR" || t == "NOT":
		return p.fail("condition", "write it in small letters: "+strings.ToLower(t), "unexpected %s", t)
	default:
		return p.fail("condition", "join names by and, or, not", "unexpected %s", t)
	}
}

func (p *conditionParser) or() *expr  { return p.chain("or", p.and) }
func (p *conditionParser) and() *expr { return p.chain("and", p.unary) }

func (p *conditionParser) chain(op string, next func() *expr) *expr {
	kids := []*expr{next()}
	for p.err == nil && p.peek() == op {
		p.at++
		kids = append(kids, next())
	}
	return join(op, kids...)
}

func (p *conditionParser) unary() *expr {
	if p.depth++; p.depth > maxDepth {
		return p.fail("condition", "", "is nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	t := p.peek()
	switch t {
	case "not":
		p.at++
		return not(p.unary())
	case "(":
		p.at++
		e := p.or()
		if p.err == nil && p.peek() != ")" {
			return p.fail("condition", "", "a ) is missing")
		}
		p.at++
		return e
	case "", ")", "and", "or", "AND", "OR", "NOT", "of", "them":
		return p.unexpected()
	}
	if p.at+1 < len(p.tokens) && p.tokens[p.at+1] == "of" {
		return p.quantity(t)
	}
	p.at++
	e, ok := p.searches[t]
	if !ok {
		return p.fail("condition", "searches: "+strings.Join(p.names, ", "), "no search is called %s", t)
	}
	return e
}

// quantity reads "1 of x*".
func (p *conditionParser) quantity(of string) *expr {
	op := "or"
	switch of {
	case "1", "any":
	case "all":
		op = "and"
	default:
		return p.fail("condition", "write 1 of, any of or all of", "%s of is not part of Sigma", of)
	}
	p.at += 2
	what := p.peek()
	p.at++
	var kids []*expr
	for _, name := range p.names {
		if what == "them" && !strings.HasPrefix(name, "_") || what != "them" && globbed(what, name) {
			kids = append(kids, p.searches[name])
		}
	}
	if len(kids) == 0 {
		return p.fail("condition", "searches: "+strings.Join(p.names, ", "), "no search is called %s", what)
	}
	return join(op, kids...)
}

// globbed matches a name with a pattern in which * is any text.
func globbed(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

var reserved = []string{"condition", "timeframe"}

func isReserved(name string) bool { return slices.Contains(reserved, name) }
