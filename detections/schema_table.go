package detections

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

//go:generate go run ../internal/schemagen -schema ../../shared/data/auth0-logs-schema.json -out schema_table.txt

// schemaTable says what Auth0 documents of each event type. A numbered line is a
// member: its name, ? when it may be absent, and what it holds; any other line is a
// type, its stream-filter category and the numbers of its members. What a
// value holds is letters: t text, n number, b true or false, l list, m mapping,
// * anything. A text may name its values, t(a|b); a list its elements, l[t];
// a mapping its members, m{a:t,b?:n}, with m+{…} when it may have others.
//
//go:embed schema_table.txt
var schemaTable string

// shape is what a value can be.
type shape struct {
	kind    FieldKind
	enum    []string           // the values of a text; nil when they are not listed
	members map[string]shapeOf // of a mapping; nil when they are not listed
	open    bool               // a mapping may have members that are not listed
	items   *shape             // of a list; nil when nothing is said
}

// shapeOf is a member of a mapping.
type shapeOf struct {
	*shape
	always bool
}

// eventType is what is known of one type of event. Its members are nil when no
// schema is published.
type eventType struct {
	category string
	members  map[string]shapeOf
}

var eventTypes = sync.OnceValue(func() map[string]eventType {
	types, err := readSchema(schemaTable)
	if err != nil {
		panic("the embedded table of event types: " + err.Error()) // a test reads it
	}
	return types
})

func readSchema(table string) (map[string]eventType, error) {
	types := map[string]eventType{}
	type member struct {
		name string
		shapeOf
	}
	var members []member
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] == "#" {
			continue
		}
		if words[0] == strconv.Itoa(len(members)) {
			p := shapeReader{rest: words[1]}
			name, m := p.member()
			if p.failed || p.rest != "" {
				return nil, fmt.Errorf("member %s is not readable at %q", words[0], p.rest)
			}
			members = append(members, member{name, m})
			continue
		}
		t := eventType{}
		if words[1] != "-" {
			t.category = words[1]
		}
		if len(words) > 2 {
			t.members = map[string]shapeOf{}
		}
		for _, w := range words[2:] {
			i, err := strconv.Atoi(w)
			if err != nil || i < 0 || i >= len(members) {
				return nil, fmt.Errorf("type %s has no member %s", words[0], w)
			}
			t.members[members[i].name] = members[i].shapeOf
		}
		if t.members != nil {
			beyondSchema(t.members)
		}
		types[words[0]] = t
	}
	return types, nil
}

// beyondSchema adds what the table leaves out, the type itself, and what events
// carry though their schema does not name it: where the API places an address,
// and details.
func beyondSchema(members map[string]shapeOf) {
	members["type"] = shapeOf{shape: &shape{kind: TextKind}, always: true}
	if _, ok := members["ip"]; ok {
		members["location_info"] = shapeOf{shape: locationInfo}
	}
	if _, ok := members["details"]; !ok {
		members["details"] = shapeOf{shape: &shape{kind: MappingKind, open: true}}
	}
}

var locationInfo = func() *shape {
	p := shapeReader{rest: "m+{city_name?:t,continent_code?:t,country_code3?:t,country_code?:t,country_name?:t,latitude?:n,longitude?:n,time_zone?:t}"}
	return p.shape()
}()

// shapeReader reads shapes as schemaTable has them.
type shapeReader struct {
	rest   string
	failed bool
}

func (p *shapeReader) accept(c string) bool {
	rest, ok := strings.CutPrefix(p.rest, c)
	p.rest = rest
	return ok
}

func (p *shapeReader) until(stops string) string {
	i := strings.IndexAny(p.rest, stops)
	if i < 0 {
		p.failed = true
		return ""
	}
	word := p.rest[:i]
	p.rest = p.rest[i:]
	return word
}

func (p *shapeReader) member() (string, shapeOf) {
	name := p.until("?:")
	always := !p.accept("?")
	if !p.accept(":") {
		p.failed = true
	}
	return name, shapeOf{p.shape(), always}
}

var kindLetters = map[byte]FieldKind{'t': TextKind, 'n': NumberKind, 'b': BoolKind, 'l': ListKind, 'm': MappingKind, '*': AnyKind}

func (p *shapeReader) shape() *shape {
	s := &shape{}
	for p.rest != "" && kindLetters[p.rest[0]] != 0 {
		k := kindLetters[p.rest[0]]
		p.rest = p.rest[1:]
		s.kind |= k
		switch k {
		case TextKind:
			if p.accept("(") {
				s.enum = strings.Split(p.until(")"), "|")
				p.accept(")")
			}
		case ListKind:
			if p.accept("[") {
				s.items = p.shape()
				p.failed = p.failed || !p.accept("]")
			}
		case MappingKind, AnyKind:
			s.open = p.accept("+") || !strings.HasPrefix(p.rest, "{")
			if p.accept("{") {
				s.members = p.mapping()
			}
		}
		if p.failed {
			break
		}
	}
	p.failed = p.failed || s.kind == 0
	return s
}

// mapping reads members up to the closing brace.
func (p *shapeReader) mapping() map[string]shapeOf {
	out := map[string]shapeOf{}
	for !p.failed {
		name, m := p.member()
		out[name] = m
		if p.accept("}") {
			break
		}
		p.failed = p.failed || !p.accept(",")
	}
	return out
}

// allTypes are the names of the known types, sorted.
var allTypes = sync.OnceValue(func() []string { return keys(eventTypes()) })
