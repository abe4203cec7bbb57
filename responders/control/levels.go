package control

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/responders/hold"
)

// ReadLevels reads the levels of a control from its file in a folder of fsys,
// and checks that each names fields of orders with values they know.
func ReadLevels(fsys fs.FS, dir, name string, orders map[string]hold.Order) (map[string]map[string]string, error) {
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
		Control string                       `yaml:"control,required"`
		Levels  map[string]map[string]string `yaml:"levels,required"`
	}
	d := &yamldoc.Decoder{Src: src}
	d.Decode(docs[0], &doc, "")
	for _, level := range slices.Sorted(maps.Keys(doc.Levels)) {
		for _, field := range slices.Sorted(maps.Keys(doc.Levels[level])) {
			key, value := "levels."+level+"."+field, doc.Levels[level][field]
			if order, ok := orders[field]; !ok {
				d.Report(docs[0], key, "unknown field%s", diag.DidYouMean(field, slices.Sorted(maps.Keys(orders))))
			} else if !slices.Contains(order, value) {
				d.Report(docs[0], key, "%q is not one of %s", value, strings.Join(order, ", "))
			}
		}
	}
	return doc.Levels, d.Problems.Err()
}
