package actions

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"

	"portcullis/internal/diag"
)

// Facts are what settings are filled with when nobody gives them a value.
type Facts struct {
	List   func(name string) []string // nil where there is no such list
	Domain string                     // the tenant's canonical domain
}

// Wrong is a setting that is not as its template wants it.
type Wrong struct {
	Setting string
	Msg     string
}

// CheckSettings reports what is wrong with given values, whatever the facts. A
// required setting that is not given is no problem until the Action is prepared.
func (t *Template) CheckSettings(given map[string]any) []Wrong {
	var out []Wrong
	for _, name := range slices.Sorted(maps.Keys(given)) {
		s, known := t.Settings[name]
		if !known {
			names := slices.Sorted(maps.Keys(t.Settings))
			out = append(out, Wrong{name, fmt.Sprintf("%s has no setting %s%s; settings: %s", t.ID, name, diag.DidYouMean(name, names), strings.Join(names, ", "))})
			continue
		}
		if _, err := s.value(given[name]); err != nil {
			out = append(out, Wrong{name, err.Error()})
		}
	}
	return out
}

// values are all settings, from what is given, the facts and the defaults, and
// the names of required ones that have none.
func (t *Template) values(given map[string]any, facts Facts) (values map[string]any, missing []string, err error) {
	if wrong := t.CheckSettings(given); len(wrong) > 0 {
		return nil, nil, fmt.Errorf("setting %s of %s: %s", wrong[0].Setting, t.ID, wrong[0].Msg)
	}
	values = map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(t.Settings)) {
		s := t.Settings[name]
		raw, ok := given[name]
		if !ok {
			raw, ok = s.absent(facts)
		}
		if !ok {
			missing = append(missing, name)
			continue
		}
		v, err := s.value(raw)
		if err != nil {
			return nil, nil, fmt.Errorf("setting %s of %s: %w", name, t.ID, err)
		}
		values[name] = v
	}
	return values, missing, nil
}

// absent is the value of a setting that nobody gave; false if it has none.
func (s *Setting) absent(facts Facts) (any, bool) {
	switch {
	case s.List != "" && facts.List != nil:
		entries := facts.List(s.List)
		return anys(entries), len(entries) > 0
	case s.Tenant != "":
		return facts.Domain, facts.Domain != ""
	case s.Default != nil:
		var v any
		err := s.Default.Decode(&v)
		return v, err == nil
	}
	return nil, false
}

func anys(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

var settingTypes = []string{"bool", "number", "text", "choice", "texts", "networks", "hashes"}

// check says what is wrong with a setting's own description, or "".
func (s *Setting) check() string {
	switch {
	case !slices.Contains(settingTypes, s.Type):
		return fmt.Sprintf("type %s is not one of %s", s.Type, strings.Join(settingTypes, ", "))
	case s.Tenant != "" && s.Tenant != "domain":
		return "tenant must be domain"
	case s.Required == (s.Default != nil):
		return "exactly one of default and required is needed"
	case s.Default == nil:
		return ""
	}
	v, ok := s.absent(Facts{})
	if !ok {
		return "the default cannot be read"
	}
	if _, err := s.value(v); err != nil {
		return "the default: " + err.Error()
	}
	return ""
}

// value checks a value and turns it into what the code gets.
func (s *Setting) value(v any) (any, error) {
	switch s.Type {
	case "bool":
		if b, ok := v.(bool); ok {
			return b, nil
		}
		return nil, fmt.Errorf("must be true or false, found %v", v)
	case "number":
		return s.number(v)
	case "text":
		if text, ok := v.(string); ok && text != "" {
			return text, nil
		}
		return nil, fmt.Errorf("must be text, found %v", v)
	case "choice":
		if text, ok := v.(string); ok && slices.Contains(s.Choices, text) {
			return text, nil
		}
		return nil, fmt.Errorf("must be one of %s, found %v", strings.Join(s.Choices, ", "), v)
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("must be a list, found %v", v)
	}
	texts := []string{}
	for _, e := range list {
		text, ok := e.(string)
		if !ok || text == "" {
			return nil, fmt.Errorf("must be a list of texts, found %v in it", e)
		}
		texts = append(texts, text)
	}
	switch s.Type {
	case "networks":
		return networks(texts)
	case "hashes":
		return hashes(texts), nil
	}
	return texts, nil
}

func (s *Setting) number(v any) (any, error) {
	var n float64
	switch v := v.(type) {
	case int:
		n = float64(v)
	case float64:
		n = v
	default:
		return nil, fmt.Errorf("must be a number, found %v", v)
	}
	if math.IsNaN(n) || n < s.Min || n > s.Max {
		return nil, fmt.Errorf("must be between %v and %v, found %v", s.Min, s.Max, v)
	}
	return n, nil
}

// networks are written as ADDRESS/BITS, without host bits and without the form
// that IPv4 has inside IPv6.
func networks(texts []string) (any, error) {
	if len(texts) == 0 {
		return nil, fmt.Errorf("must name at least one network")
	}
	out := []string{}
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, addrErr := netip.ParseAddr(text)
			if addrErr != nil || a.Zone() != "" {
				return nil, fmt.Errorf("must be networks such as 203.0.113.0/24, found %s", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if a := p.Addr(); a.Is4In6() {
			if p.Bits() < 96 {
				return nil, fmt.Errorf("must be networks such as 203.0.113.0/24, found %s", text)
			}
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		out = append(out, p.Masked().String())
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// hashes are the first six characters of each text's SHA-256 in base64url, each
// with a space behind it. Thousands fit into one Action so; a text that is not among
// 9,000 is taken for one of them once in seven million.
func hashes(texts []string) any {
	out := []string{}
	for _, text := range texts {
		sum := sha256.Sum256([]byte(strings.ToLower(text)))
		out = append(out, base64.RawURLEncoding.EncodeToString(sum[:])[:6]+" ")
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "")
}
