package control

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"portcullis/responders/hold"
)

// Field is one value of a setting that holds may claim.
type Field struct {
	Order hold.Lattice
	// List tells that the field is a list, of which each element is held for itself;
	// Order is then that of its being there: [hold.On] for protections, [hold.Off]
	// for exemptions.
	List bool
	// With names the fields that are written together: the tenant takes all of them
	// or none, so a level must name all of them.
	With string
	// Absent is the value of a field that the tenant leaves out; "" for one that the
	// tenant then does not have.
	Absent hold.Value
}

// Spec is what can be held of a setting: its fields by their dotted path in the
// object.
type Spec map[string]Field

// cellName is the name of what is held for itself: a field, or an element of a list.
func cellName(path, element string) string { return path + "[" + element + "]" }

// field finds the field that a cell belongs to, and its element if it is a list.
func (s Spec) field(cell string) (path, element string, f Field, ok bool) {
	if f, ok = s[cell]; ok {
		return cell, "", f, true
	}
	path, element, isElement := strings.Cut(cell, "[")
	f, ok = s[path]
	return path, strings.TrimSuffix(element, "]"), f, ok && isElement && f.List
}

// values are the present values of cells: of every field, and of the elements of
// lists that are named among cells or in the list.
func (s Spec) values(doc json.RawMessage, cells []string) map[string]hold.Value {
	out := map[string]hold.Value{}
	root := decode(doc)
	for path, f := range s {
		v, present := at(root, path)
		if !f.List {
			switch {
			case present:
				out[path] = hold.ValueOf(v)
			case f.Absent != "":
				out[path] = f.Absent
			}
			continue
		}
		list, isList := v.([]any)
		if !isList && f.Absent == "" {
			continue // the tenant does not have it
		}
		for _, e := range list {
			if name, ok := e.(string); ok {
				out[cellName(path, name)] = hold.True
			}
		}
		for _, cell := range cells {
			if of, _, _, ok := s.field(cell); ok && of == path && out[cell] == "" {
				out[cell] = hold.False
			}
		}
	}
	return out
}

// fields turns changes of cells into values of fields, as they are written: a list
// is what was observed, without what is to go and with what is to come at its end.
func (s Spec) fields(doc json.RawMessage, changes map[string]hold.Value) map[string]hold.Value {
	out := map[string]hold.Value{}
	root := decode(doc)
	lists := map[string][]any{}
	for _, cell := range slices.Sorted(maps.Keys(changes)) {
		path, element, f, _ := s.field(cell)
		if !f.List {
			out[path] = changes[cell]
			continue
		}
		list, begun := lists[path]
		if !begun {
			v, _ := at(root, path)
			observed, _ := v.([]any)
			list = slices.Clone(observed)
		}
		list = slices.DeleteFunc(list, func(e any) bool { return e == any(element) })
		if changes[cell] == hold.True {
			list = append(list, element)
		}
		lists[path] = list
	}
	for path, list := range lists {
		if list == nil {
			list = []any{}
		}
		out[path] = hold.ValueOf(list)
	}
	for path := range maps.Clone(out) {
		group := s[path].With
		for other, f := range s {
			if _, has := out[other]; !has && group != "" && f.With == group {
				if v, present := at(root, other); present {
					out[other] = hold.ValueOf(v)
				}
			}
		}
	}
	return out
}

// Object puts values of fields into an object by their dotted paths.
func Object(fields map[string]hold.Value) map[string]any {
	root := map[string]any{}
	for path, v := range fields {
		m := root
		keys := strings.Split(path, ".")
		for _, k := range keys[:len(keys)-1] {
			next, ok := m[k].(map[string]any)
			if !ok {
				next = map[string]any{}
				m[k] = next
			}
			m = next
		}
		m[keys[len(keys)-1]] = v.Raw()
	}
	return root
}

func decode(doc json.RawMessage) any {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	return v
}

// at follows a dotted path into a decoded object. null is no value.
func at(v any, path string) (any, bool) {
	for _, k := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[k]; !ok {
			return nil, false
		}
	}
	return v, v != nil
}
