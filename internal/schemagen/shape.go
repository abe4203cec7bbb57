package main

import (
	"encoding/json"
	"slices"
	"strings"
)

// schema is the part of JSON Schema that the published document uses.
type schema struct {
	Type                 words
	Properties           map[string]*schema
	Required             []string
	Items                *schema
	Enum                 []string
	AllOf, AnyOf         []*schema
	AdditionalProperties json.RawMessage
}

// words is one word or several.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		*w = make(words, 1)
		return json.Unmarshal(b, &(*w)[0])
	}
	return json.Unmarshal(b, (*[]string)(w))
}

// shape is what a value can be.
type shape struct {
	kinds   string // letters of the table, sorted
	null    bool
	enum    []string          // of a text, when it must be one of these
	members map[string]*field // of a mapping; nil when nothing is said of them
	open    bool              // a mapping may have other members
	items   *shape
}

type field struct {
	shape    *shape
	required bool
}

var letters = map[string]string{"string": "t", "number": "n", "integer": "n", "boolean": "b", "array": "l", "object": "m"}

func (s *schema) shape() *shape {
	out := &shape{}
	for _, t := range s.Type {
		if t == "null" {
			out.null = true
		} else {
			out.addKind(letters[t])
		}
	}
	out.enum = slices.Clone(s.Enum)
	if s.Items != nil {
		out.items = s.Items.shape()
	}
	if slices.Contains(s.Type, "object") {
		out.open = len(s.Properties) == 0 || len(s.AdditionalProperties) > 0
		if len(s.Properties) > 0 {
			out.members = map[string]*field{}
			for name, p := range s.Properties {
				out.members[name] = &field{shape: p.shape(), required: slices.Contains(s.Required, name)}
			}
		}
	}
	for _, part := range s.AllOf {
		out.narrow(part.shape())
	}
	for i, part := range s.AnyOf {
		if i == 0 && out.kinds == "" {
			null := out.null
			*out = *part.shape()
			out.null = out.null || null
		} else {
			out.widen(part.shape())
		}
	}
	return out
}

func (s *shape) addKind(letter string) {
	if !strings.Contains(s.kinds, letter) {
		k := []byte(s.kinds + letter)
		slices.Sort(k)
		s.kinds = string(k)
	}
}

// narrow takes in a further demand on the same value.
func (s *shape) narrow(o *shape) {
	if s.kinds == "" {
		*s = *o
		return
	}
	if s.members == nil {
		s.members, s.open = o.members, o.open
	}
	if s.enum == nil {
		s.enum = o.enum
	}
}

// widen takes in an alternative.
func (s *shape) widen(o *shape) {
	if strings.Contains(s.kinds, "t") && strings.Contains(o.kinds, "t") {
		if s.enum == nil || o.enum == nil {
			s.enum = nil
		} else {
			s.enum = append(s.enum, o.enum...)
		}
	} else if s.enum == nil {
		s.enum = o.enum
	}
	wasMapping, isMapping := strings.Contains(s.kinds, "m"), strings.Contains(o.kinds, "m")
	for _, k := range o.kinds {
		s.addKind(string(k))
	}
	s.null = s.null || o.null
	s.open = s.open || o.open
	if s.items == nil {
		s.items = o.items
	} else if o.items != nil {
		s.items.widen(o.items)
	}
	if !isMapping {
		return
	}
	merged := map[string]*field{}
	for _, from := range []*shape{s, o} {
		for name, f := range from.members {
			if was := merged[name]; was != nil {
				was.shape.widen(f.shape)
				was.required = was.required && f.required
			} else {
				inBoth := !wasMapping || s.members[name] != nil && o.members[name] != nil
				merged[name] = &field{shape: f.shape, required: f.required && inBoth}
			}
		}
	}
	if s.members = merged; len(merged) == 0 {
		s.members = nil
	}
}

// membersWithout writes the members of a mapping, sorted, without some.
func (s *shape) membersWithout(without ...string) []string {
	var out []string
	for name, f := range s.members {
		if slices.Contains(without, name) {
			continue
		}
		text := name
		if !f.required || f.shape.null {
			text += "?"
		}
		out = append(out, text+":"+f.shape.String())
	}
	slices.Sort(out)
	return out
}

// String writes a shape as the table has it.
func (s *shape) String() string {
	if s.kinds == "" {
		return "*"
	}
	var b strings.Builder
	for _, k := range s.kinds {
		b.WriteRune(k)
		switch {
		case k == 't' && len(s.enum) > 0:
			slices.Sort(s.enum)
			b.WriteString("(" + strings.Join(slices.Compact(s.enum), "|") + ")")
		case k == 'm' && s.members != nil:
			if s.open {
				b.WriteByte('+')
			}
			b.WriteString("{" + strings.Join(s.membersWithout(), ",") + "}")
		case k == 'l' && s.items != nil && s.items.String() != "*":
			b.WriteString("[" + s.items.String() + "]")
		}
	}
	return b.String()
}
