package control

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/responders/hold"
)

// Floor is the level of a control whose protections are put back that somebody
// switched off: what no tenant should be without.
const Floor = "floor"

// Levels is what the levels of a control ask for.
type Levels struct {
	// Cells is the value that a level asks of each field, or element of a list.
	Cells map[string]map[string]hold.Value
	// OnRelease says, by field, what happens besides when it is let go.
	OnRelease map[string]string
}

// names are the levels, weakest first as far as they have an order.
func (l *Levels) names() []string { return slices.Sorted(maps.Keys(l.Cells)) }

// ReadLevels reads the levels of a control from its file in a folder of fsys,
// and checks that each names fields of spec with values they know.
func ReadLevels(fsys fs.FS, dir, name string, spec Spec) (*Levels, error) {
	file := path.Join(dir, name+".yaml")
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, fmt.Errorf("read levels of %s: %w", name, err)
	}
	src := diag.NewSource(file, data)
	docs, ps := yamldoc.Documents(src)
	if err := ps.Err(); err != nil {
		return nil, err
	}
	if len(docs) != 1 {
		return nil, fmt.Errorf("read levels of %s: %s holds %d documents, one is needed", name, file, len(docs))
	}
	var doc struct {
		Control   string                    `yaml:"control,required"`
		Levels    map[string]map[string]any `yaml:"levels,required"`
		Floor     map[string]any            `yaml:"floor"`
		OnRelease map[string]string         `yaml:"on_release"`
	}
	d := &yamldoc.Decoder{Src: src}
	d.Decode(docs[0], &doc, "")
	if doc.Control != name && doc.Control != "" {
		d.Report(docs[0], "control", "is %s in the file of %s", doc.Control, name)
	}
	out := &Levels{Cells: map[string]map[string]hold.Value{}, OnRelease: doc.OnRelease}
	for level, fields := range doc.Levels {
		if level == Floor {
			d.Report(docs[0], "levels."+level, "has a key of its own")
		}
		out.Cells[level] = spec.cells(d, docs[0], "levels."+level, fields)
	}
	if doc.Floor != nil {
		out.Cells[Floor] = spec.cells(d, docs[0], "floor", doc.Floor)
	}
	for field := range doc.OnRelease {
		if _, ok := spec[field]; !ok {
			d.Report(docs[0], "on_release."+field, "unknown field%s", diag.DidYouMean(field, slices.Sorted(maps.Keys(spec))))
		}
	}
	return out, d.Problems.Err()
}

// cells reads what one level asks of each field. Of a list of protections it names
// those that must be there, of a list of exemptions those that must not.
func (s Spec) cells(d *yamldoc.Decoder, at *yaml.Node, key string, fields map[string]any) map[string]hold.Value {
	out := map[string]hold.Value{}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		f, known := s[field]
		value := fields[field]
		list, isList := value.([]any)
		switch {
		case !known:
			d.Report(at, key+"."+field, "unknown field%s", diag.DidYouMean(field, slices.Sorted(maps.Keys(s))))
		case f.List && !isList:
			d.Report(at, key+"."+field, "must be a list")
		case f.List:
			stricter := hold.True
			if f.Order.Stricter(hold.False, hold.True) {
				stricter = hold.False
			}
			for _, e := range list {
				out[cellName(field, fmt.Sprint(e))] = stricter
			}
		case !f.Order.Knows(hold.ValueOf(value)):
			d.Report(at, key+"."+field, "%q is no value of it", fmt.Sprint(value))
		default:
			out[field] = hold.ValueOf(value)
		}
		for other, o := range s {
			if _, has := fields[other]; known && f.With != "" && o.With == f.With && !has {
				d.Report(at, key+"."+field, "is written together with %s: name both", other)
			}
		}
	}
	return out
}
