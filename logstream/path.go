package logstream

import (
	"fmt"
	"strings"
)

// Path names a value in an event: "details.request.path". It is safe to share.
// The zero Path finds nothing.
type Path struct {
	segments []segment
	alias    string // another name of a top-level member, tried when the first finds nothing
}

type segment struct {
	name string
	each bool // every element of the array
}

// aliases are top-level members that the API and the streams name differently.
var aliases = map[string]string{
	"is_mobile": "isMobile", "isMobile": "is_mobile",
	"log_id": "_id", "_id": "log_id",
}

// ParsePath reads member names joined by dots. A name may hold any character
// but dots, brackets, quotes and white space. After a name `[*]` means every
// element of the array: the path then finds a flat list. The prefix "data." of
// the stream's envelope is dropped.
func ParsePath(s string) (Path, error) {
	rest := strings.TrimPrefix(s, "data.")
	var p Path
	for name := range strings.SplitSeq(rest, ".") {
		var seg segment
		seg.name, seg.each = strings.CutSuffix(name, "[*]")
		if seg.name == "" {
			return Path{}, fmt.Errorf("path %q: an empty name between dots", s)
		}
		if i := strings.IndexAny(seg.name, "[] \t\r\n\"'"); i >= 0 {
			return Path{}, fmt.Errorf("path %q: %q cannot stand in a name (only [*] may follow one)", s, seg.name[i])
		}
		p.segments = append(p.segments, seg)
	}
	p.alias = aliases[p.segments[0].name]
	return p, nil
}

// String returns the path as [ParsePath] reads it, without the prefix "data.".
func (p Path) String() string {
	var b strings.Builder
	for i, s := range p.segments {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s.name)
		if s.each {
			b.WriteString("[*]")
		}
	}
	return b.String()
}

// isID reports whether the path names the event's identity.
func (p Path) isID() bool {
	return len(p.segments) == 1 && !p.segments[0].each && (p.segments[0].name == "log_id" || p.segments[0].name == "_id")
}
