package sigma

import (
	"regexp"
	"strings"

	"portcullis/logstream"
)

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// fieldName turns a Sigma field into the dotted path of an event's field, without
// the envelope data. and with {} as our [*]; a {} at the end says nothing, since a
// list is always looked into.
func fieldName(name string) (path string, prefixed, braces bool) {
	path, prefixed = strings.CutPrefix(name, "data.")
	braces = strings.Contains(path, "{}")
	path = strings.TrimSuffix(path, "{}")
	return strings.ReplaceAll(path, "{}", "[*]"), prefixed, braces
}

// spelled writes a path as our language does; false when it cannot.
func spelled(path string) (string, bool) {
	var b strings.Builder
	for i, part := range strings.Split(path, ".") {
		name, each := strings.CutSuffix(part, "[*]")
		switch {
		case plainName.MatchString(name):
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(part)
		case i == 0 || each || name == "" || strings.ContainsAny(name, "[]"):
			return "", false
		default:
			b.WriteString("[" + quote(name) + "]")
		}
	}
	_, err := logstream.ParsePath(path)
	return b.String(), err == nil
}

// isKnown reports whether events can have a member of the path's first name.
func isKnown(path string) bool {
	root, _, _ := strings.Cut(path, ".")
	root, _, _ = strings.Cut(root, "[")
	for _, f := range logstream.KnownFields() {
		if f == root {
			return true
		}
	}
	return false
}
