package tenantsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// apiError is an answer of the Management API that is not a success.
type apiError struct {
	status     int
	code       string // errorCode; none if empty
	message    string
	retryAfter string
}

func (e *apiError) Error() string { return fmt.Sprintf("%d: %s", e.status, e.message) }

func (e *apiError) body() []byte {
	o := object{}
	o.open("")
	o.number("statusCode", e.status)
	o.str("error", http.StatusText(e.status))
	o.str("message", e.message)
	if e.code != "" {
		o.str("errorCode", e.code)
	}
	o.close()
	return o.b
}

func invalidBody(format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "invalid_body", message: "Payload validation error: " + fmt.Sprintf(format, args...)}
}

// check says what is wrong with a value, or "".
type check func(v any) string

type fields map[string]check

func (f fields) check(v any) string {
	m, ok := v.(map[string]any)
	if !ok {
		return "expected type object"
	}
	for _, name := range sortedKeys(m) {
		c, known := f[name]
		if !known {
			return "additional properties not allowed: " + name
		}
		if problem := c(m[name]); problem != "" {
			return fmt.Sprintf("%s on property %s", problem, name)
		}
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func isBool(v any) string {
	if _, ok := v.(bool); !ok {
		return "expected type boolean"
	}
	return ""
}

func oneOf(allowed ...string) check {
	return func(v any) string {
		s, ok := v.(string)
		if !ok {
			return "expected type string"
		}
		if !slices.Contains(allowed, s) {
			return fmt.Sprintf("no enum match for %q (one of %s)", s, strings.Join(allowed, ", "))
		}
		return ""
	}
}

func someOf(allowed ...string) check {
	member := oneOf(allowed...)
	return listOf(math.MaxInt, func(v any) string { return member(v) })
}

func integer(least, most float64) check {
	return func(v any) string {
		n, ok := v.(float64)
		switch {
		case !ok || n != math.Trunc(n):
			return "expected type integer"
		case n < least:
			return fmt.Sprintf("value %g is less than minimum %g", n, least)
		case n > most:
			return fmt.Sprintf("value %g is greater than maximum %g", n, most)
		}
		return ""
	}
}

func listOf(most int, member check) check {
	return func(v any) string {
		list, ok := v.([]any)
		if !ok {
			return "expected type array"
		}
		if len(list) > most {
			return fmt.Sprintf("array is too long (%d), maximum %d", len(list), most)
		}
		for _, item := range list {
			if problem := member(item); problem != "" {
				return problem
			}
		}
		return ""
	}
}

func isNetwork(v any) string {
	s, ok := v.(string)
	if !ok {
		return "expected type string"
	}
	if _, err := parseNetwork(s); err != nil {
		return fmt.Sprintf("%q is neither an address nor a CIDR block", s)
	}
	return ""
}

// parseNetwork reads an address or a CIDR block; an address is a block of one.
func parseNetwork(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// decodeObject reads a JSON object and nothing after it.
func decodeObject(body []byte) (map[string]any, *apiError) {
	dec := json.NewDecoder(bytes.NewReader(body))
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, invalidBody("invalid JSON: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, invalidBody("invalid JSON: data after the object")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalidBody("expected type object")
	}
	return m, nil
}

// cloneJSON returns a deep copy of decoded JSON.
func cloneJSON[T any](v T) T {
	c, _ := cloneAny(v).(T)
	return c
}

func cloneAny(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = cloneAny(x)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, x := range v {
			l[i] = cloneAny(x)
		}
		return l
	}
	return v
}

// asJSON turns Go values that a caller built by hand into what the decoder would have made of them.
func asJSON(body map[string]any) (map[string]any, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	m, problem := decodeObject(raw)
	if problem != nil {
		return nil, problem
	}
	return m, nil
}
