package detections

import (
	"slices"
	"strings"
)

// FieldKind is a set of kinds of values, those that a field can hold.
type FieldKind uint8

// The kinds of values in events. A missing value and null have none.
const (
	TextKind FieldKind = 1 << iota
	NumberKind
	BoolKind
	ListKind
	MappingKind

	AnyKind = TextKind | NumberKind | BoolKind | ListKind | MappingKind
)

var kindNames = []string{"text", "number", "true or false", "list", "mapping"}

// String names the kinds, for instance "text or list".
func (k FieldKind) String() string {
	if k == AnyKind {
		return "anything"
	}
	var names []string
	for i, name := range kindNames {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, " or ")
}

// Presence says how surely a field is there. Events leave out even what Auth0's
// schemas require, so nothing may rest on Always but a wording.
type Presence int8

// How surely a field is there.
const (
	Never     Presence = iota // on no event of the types
	Unlisted                  // its parent lists other members for each of the types
	Sometimes                 // on some of the types, or not on each event; also where nothing is documented
	Always                    // documented as required on each of the types
)

// KnownType reports whether Auth0 documents an event type. Tenants meet others.
func KnownType(name string) bool {
	_, ok := eventTypes()[name]
	return ok
}

// TypeCategory is the category under which a log stream's filter puts an event
// type, for instance auth.login.fail; "" when it is not documented.
func TypeCategory(name string) string { return eventTypes()[name].category }

// EventTypes lists the documented event types, sorted.
func EventTypes() []string { return slices.Clone(allTypes()) }

// TypesWith lists the event types that can have a field, by its dotted path,
// sorted. Types without a published schema are left out.
func TypesWith(path string) []string {
	var out []string
	for _, name := range allTypes() {
		if p, has := FieldOf([]string{name}, path); has >= Sometimes && p != 0 && eventTypes()[name].members != nil {
			out = append(out, name)
		}
	}
	return out
}

// FieldOf tells what a field of events of these types can hold and how surely it
// is there; nil means any type. On types that are unknown, or known without a
// schema, any field may be.
func FieldOf(types []string, path string) (FieldKind, Presence) {
	f := lookUp(types, path)
	return f.kind, f.presence
}

// spellings are members that the API spells in another way than the schemas.
var spellings = map[string]string{"isMobile": "is_mobile", "_id": "log_id"}

// schemaField is what is known of one field on some types.
type schemaField struct {
	kind     FieldKind
	presence Presence
	enum     []string  // the texts it can hold; nil when they are not listed
	missing  []string  // the types that never have it
	stop     string    // the shortest part of its path that has no value where it has none
	through  FieldKind // what stands at stop's parent, when that is no mapping
	siblings []string  // what the parent of stop lists instead
}

// lookUp gathers what is known of a field on each of the types.
func lookUp(types []string, path string) schemaField {
	segments := strings.Split(strings.TrimPrefix(path, "data."), ".")
	if to, ok := spellings[segments[0]]; ok {
		segments[0] = to
	}
	anyType := types == nil
	if anyType {
		types = slices.DeleteFunc(slices.Clone(allTypes()), func(name string) bool { return eventTypes()[name].members == nil })
	}
	var out schemaField
	first, always, enumerated, unlisted := true, !anyType, true, false
	for _, name := range types {
		t := eventTypes()[name]
		one := schemaField{kind: AnyKind, presence: Sometimes}
		if t.members != nil {
			one = find(&shape{kind: MappingKind, members: t.members}, segments)
		}
		switch {
		case one.presence < Sometimes:
			out.missing = append(out.missing, name)
			unlisted = unlisted || one.presence == Unlisted
			always = false
			if first {
				out.stop, out.through = one.stop, one.through
				first = false
			}
			for _, s := range one.siblings {
				if !slices.Contains(out.siblings, s) {
					out.siblings = append(out.siblings, s)
				}
			}
			continue
		case one.presence == Sometimes:
			always = false
		}
		out.kind |= one.kind
		enumerated = enumerated && one.enum != nil
		for _, v := range one.enum {
			if !slices.Contains(out.enum, v) {
				out.enum = append(out.enum, v)
			}
		}
	}
	slices.Sort(out.siblings)
	slices.Sort(out.enum)
	switch {
	case len(out.missing) == len(types) && len(types) > 0:
		out.presence = Never
		if unlisted {
			out.presence = Unlisted
		}
	case always && len(types) > 0:
		out.presence = Always
	default:
		out.presence = Sometimes
	}
	if len(types) == 0 {
		out.kind = AnyKind
	}
	if !enumerated || anyType {
		out.enum = nil
	}
	return out
}

// find walks a path into a shape.
func find(s *shape, segments []string) schemaField {
	always := true
	each := false
	for i, segment := range segments {
		name, isEach := strings.CutSuffix(segment, "[*]")
		absent := func(presence Presence) schemaField {
			return schemaField{presence: presence, stop: strings.Join(segments[:i+1], ".")}
		}
		if s.kind&MappingKind == 0 {
			out := absent(Never)
			out.through = s.kind
			return out
		}
		m, ok := s.members[name]
		switch {
		case !ok && (s.open || s.members == nil || s.kind != MappingKind):
			return schemaField{kind: AnyKind, presence: Sometimes}
		case !ok:
			out := absent(Never)
			if i > 0 {
				out.presence = Unlisted
			}
			out.siblings = keys(s.members)
			return out
		}
		always = always && m.always
		s = m.shape
		if isEach {
			each = true
			if s.kind&ListKind == 0 {
				out := absent(Never)
				out.through = s.kind
				return out
			}
			if s = s.items; s == nil {
				return schemaField{kind: AnyKind, presence: Sometimes}
			}
		}
	}
	out := schemaField{kind: s.kind, enum: s.enum, presence: Sometimes}
	if each {
		out.kind, out.enum = ListKind, nil
	}
	if always && !each {
		out.presence = Always
	}
	if s.kind != TextKind {
		out.enum = nil
	}
	return out
}
