package config

import (
	"fmt"
	"maps"
	"strings"

	"portcullis/detections"
	"portcullis/detections/sigma"
	"portcullis/internal/diag"
)

// translate puts native rules in the place of the Sigma files among files. What
// is disabled is told by the documents. A placeholder counts as filled when some
// tenant fills it; the rule is silent for the others.
func (c *Config) translate(files []detections.File) ([]detections.File, []sigma.Document) {
	var native, foreign []detections.File
	for _, f := range files {
		if sigma.Is(f) {
			foreign = append(foreign, f)
		} else {
			native = append(native, f)
		}
	}
	if len(foreign) == 0 {
		return files, nil
	}
	params := map[string]map[string]any{}
	for i := range c.Tenants {
		for id, of := range c.Tenants[i].Params {
			if params[id] == nil {
				params[id] = map[string]any{}
			}
			maps.Copy(params[id], of)
		}
	}
	result := sigma.Load(foreign, sigma.Options{Params: params})
	return append(native, result.Files()...), result.Documents
}

// sigmaWarnings are the reasons why Sigma documents are disabled.
func sigmaWarnings(documents []sigma.Document) diag.Problems {
	var out diag.Problems
	for _, d := range documents {
		for _, f := range d.Disabled {
			p := f.Problem
			p.Msg = "the Sigma " + string(d.Kind) + " is disabled: " + p.Msg
			out = append(out, p)
		}
	}
	return out
}

// sigmaParams says why what a tenant sets for a Sigma rule does not do: some
// placeholders are missing, or the rule is disabled whatever is set. "" for a rule
// that is complete, and for one that is not Sigma.
func sigmaParams(documents []sigma.Document, id string, set map[string]any) string {
	for _, d := range documents {
		if d.ID != id {
			continue
		}
		var missing []string
		for _, name := range d.Params {
			if _, ok := set[name]; !ok {
				missing = append(missing, name)
			}
		}
		switch {
		case len(missing) > 0:
			return fmt.Sprintf("the rule tells this tenant nothing until it sets %s too", strings.Join(missing, ", "))
		case len(d.Disabled) > 0:
			f := d.Disabled[0]
			return fmt.Sprintf("the rule is disabled (%s, at %s:%d): %s", f.Code, f.File, f.Line, f.Msg)
		case d.Used:
			return "the rule is only read by others: set the values for those"
		}
	}
	return ""
}
