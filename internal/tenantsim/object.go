package tenantsim

import (
	"encoding/json"
	"strconv"
)

// object appends JSON without reflection: events are read by the ten thousand.
type object struct {
	b     []byte
	inner bool // the next member needs a comma
}

func (o *object) key(k string) {
	if o.inner {
		o.b = append(o.b, ',')
	}
	o.inner = true
	if k != "" {
		o.b = append(o.b, '"')
		o.b = append(o.b, k...)
		o.b = append(o.b, '"', ':')
	}
}

func (o *object) open(k string) {
	o.key(k)
	o.b = append(o.b, '{')
	o.inner = false
}

func (o *object) close() { o.b, o.inner = append(o.b, '}'), true }

func (o *object) openList(k string) {
	o.key(k)
	o.b = append(o.b, '[')
	o.inner = false
}

func (o *object) closeList() { o.b, o.inner = append(o.b, ']'), true }

func (o *object) str(k, v string) {
	o.key(k)
	o.b = appendJSONString(o.b, v)
}

func (o *object) list(k string, vs ...string) {
	o.openList(k)
	for _, v := range vs {
		o.str("", v)
	}
	o.closeList()
}

func (o *object) number(k string, v int) {
	o.key(k)
	o.b = strconv.AppendInt(o.b, int64(v), 10)
}

func (o *object) boolean(k string, v bool) {
	o.key(k)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) null(k string) { o.raw(k, []byte("null")) }

func (o *object) raw(k string, v []byte) {
	o.key(k)
	o.b = append(o.b, v...)
}

func appendJSONString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
