// Package sigma turns Sigma v2 rules, correlations and filters into rules of
// package detections, so that one engine runs both. What cannot be turned
// without a guess is disabled, with a code that stays the same, a place and a
// reason. docs/sigma.md lists the codes, and what the specification leaves open.
package sigma

import (
	"slices"

	"gopkg.in/yaml.v3"

	"portcullis/detections"
	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// Options say what rules may count on; the zero value works.
type Options struct {
	// Params are values for placeholders, by rule id and parameter. A rule loads
	// when each of its placeholders has one; the values themselves are given to
	// the engine, per tenant.
	Params map[string]map[string]any
	// Keep writes rules that a person is to go on with: tests stand in each, as a
	// beginning, which were run and pass; and a placeholder that has no value does
	// not disable a rule, but is a parameter that a tenant must set.
	Keep bool
}

// Kind is what a document holds.
type Kind string

// The kinds of documents.
const (
	KindRule        Kind = "rule"
	KindCorrelation Kind = "correlation"
	KindFilter      Kind = "filter"
)

// Finding is something to know of a document, at its place. Code is stable.
type Finding struct {
	Code string
	diag.Problem
}

// Document is one Sigma document and what became of it.
type Document struct {
	ID       string // the rule's own, or made of its file and title
	Title    string
	Kind     Kind
	Params   []string        // the placeholders, which a tenant must set before the rule tells anything
	Used     bool            // a base rule that only a correlation reads, or a filter: no rule of its own
	Native   detections.File // the rule in our language, with comments; empty when disabled or used
	Disabled []Finding       // why it is disabled; empty when it is not
	Warnings []Finding       // what to know although it loads
}

// Result is what files held, in their order.
type Result struct {
	Documents []Document
}

// Files are the native rules of all documents that load.
func (r Result) Files() []detections.File {
	var out []detections.File
	for _, d := range r.Documents {
		if len(d.Native.Data) > 0 {
			out = append(out, d.Native)
		}
	}
	return out
}

// Is reports whether a file holds Sigma: a document with detection, correlation
// or filter, or an action of the older collections.
func Is(f detections.File) bool {
	docs, _ := yamldoc.Documents(diag.NewSource(f.Name, f.Data))
	return slices.ContainsFunc(docs, func(n *yaml.Node) bool {
		for _, key := range []string{"detection", "correlation", "filter", "action"} {
			if value(n, key) != nil {
				return true
			}
		}
		return false
	})
}

// value is what a key of a mapping holds; nil when it is not there.
func value(n *yaml.Node, key string) *yaml.Node {
	if n = yamldoc.Resolve(n); n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return yamldoc.Resolve(n.Content[i+1])
		}
	}
	return nil
}
