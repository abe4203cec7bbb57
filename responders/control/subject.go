package control

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Subject is whom a hold is about. Its text is the value, behind the kind and a
// colon for all but addresses and networks: 198.51.100.7, asn:64500.
type Subject struct {
	Kind  string // one of the Kind constants
	Value string // in its one form
}

// The kinds of subjects, as policies name them in match.
const (
	KindIP        = "ip"         // one address, v4 or v6
	KindNetwork   = "network"    // several addresses: 198.51.100.0/24
	KindJA3       = "ja3"        // fingerprint of a TLS client
	KindJA4       = "ja4"        // the newer one
	KindASN       = "asn"        // number of an autonomous system
	KindCountry   = "country"    // two letters of ISO 3166-1
	KindUserAgent = "user_agent" // the header's whole text
)

// samples has a subject of each kind, to try what is asked of one that is only
// known when an alert comes.
var samples = map[string]string{
	KindIP: "198.51.100.1", KindNetwork: "198.51.100.0/24", KindJA3: "e7d705a3286e19ea42f587b344ee6865",
	KindJA4: "t13d1516h2_8daaf6152771_b186095e22b6", KindASN: "64500", KindCountry: "AQ", KindUserAgent: "curl/8.5.0",
}

// SubjectKinds are the kinds that match may name.
func SubjectKinds() []string {
	return []string{KindIP, KindNetwork, KindJA3, KindJA4, KindASN, KindCountry, KindUserAgent}
}

// SampleSubject is some subject of a kind; false when there is no such kind.
func SampleSubject(kind string) (Subject, bool) {
	s, err := NewSubject(kind, samples[kind])
	return s, err == nil
}

const maxUserAgent = 512

var (
	ja3 = regexp.MustCompile(`^[0-9a-f]{32}$`)
	ja4 = regexp.MustCompile(`^[a-z0-9]{10}_[0-9a-f]{12}_[0-9a-f]{12}$`)
)

// NewSubject reads a value of a kind. An IPv4 address or network written as IPv6
// is the one it stands for. The error says what a value of the kind looks like.
func NewSubject(kind, value string) (Subject, error) {
	value = strings.TrimSpace(value)
	s := Subject{Kind: kind, Value: value}
	lower := strings.ToLower(value)
	switch kind {
	case KindIP, KindNetwork:
		p, err := ParseNetwork(value)
		if err != nil {
			return s, err
		}
		if kind == KindIP && !p.IsSingleIP() {
			return s, fmt.Errorf("%s is a network, one address is needed", p)
		}
		return prefixSubject(p), nil
	case KindJA3:
		if s.Value = lower; !ja3.MatchString(lower) {
			return s, fmt.Errorf("%q is no JA3 fingerprint of 32 hexadecimal digits", value)
		}
	case KindJA4:
		if s.Value = lower; !ja4.MatchString(lower) {
			return s, fmt.Errorf("%q is no JA4 fingerprint like %s", value, samples[KindJA4])
		}
	case KindASN:
		n, err := strconv.ParseUint(strings.TrimPrefix(lower, "as"), 10, 32)
		if err != nil || n == 0 {
			return s, fmt.Errorf("%q is no number of an autonomous system like 64500", value)
		}
		s.Value = strconv.FormatUint(n, 10)
	case KindCountry:
		if s.Value = strings.ToUpper(value); len(value) != 2 || strings.Trim(s.Value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return s, fmt.Errorf("%q is no country of two letters like AQ", value)
		}
	case KindUserAgent:
		if n := utf8.RuneCountInString(value); n == 0 || n > maxUserAgent || strings.ContainsFunc(value, unicode.IsControl) {
			return s, fmt.Errorf("a user agent has 1 to %d characters and none that controls, found %q", maxUserAgent, value)
		}
	default:
		return s, fmt.Errorf("no subject is of the kind %q: one of %s", kind, strings.Join(SubjectKinds(), ", "))
	}
	return s, nil
}

// ParseSubject reads a subject from its text.
func ParseSubject(text string) (Subject, error) {
	if kind, value, ok := strings.Cut(text, ":"); ok && samples[kind] != "" && kind != KindIP && kind != KindNetwork {
		return NewSubject(kind, value)
	}
	p, err := ParseNetwork(text)
	if err != nil {
		return Subject{}, err
	}
	return prefixSubject(p), nil
}

func prefixSubject(p netip.Prefix) Subject {
	if p.IsSingleIP() {
		return Subject{KindIP, p.Addr().String()}
	}
	return Subject{KindNetwork, p.String()}
}

// String is the subject's text, which [ParseSubject] reads.
func (s Subject) String() string {
	if s.Kind == KindIP || s.Kind == KindNetwork {
		return s.Value
	}
	return s.Kind + ":" + s.Value
}

// Prefix is the addresses of an address or a network; false for another kind.
func (s Subject) Prefix() (netip.Prefix, bool) {
	if s.Kind != KindIP && s.Kind != KindNetwork {
		return netip.Prefix{}, false
	}
	p, err := ParseNetwork(s.Value)
	return p, err == nil
}

// ParseNetwork reads an address or CIDR. An IPv4 network written as IPv6 is the
// IPv4 network it stands for.
func ParseNetwork(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network like 203.0.113.0/24", s)
		}
		a = a.WithZone("")
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%q covers all of IPv4", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
