package networkacl

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// The levels: what becomes of a request that an entry matches.
const (
	LevelLog      = "log"      // counted, and let through
	LevelBlock    = "block"    // denied; what "" means
	LevelRedirect = "redirect" // sent elsewhere
)

// slot is one ACL of ours: different signals in one rule must all hold, entries
// of one signal are alternatives, so each kind of entry has an ACL of its own.
type slot struct {
	Level    string `json:"level"`
	Scope    string `json:"scope"`
	Signal   string `json:"signal"` // a kind of subject; networks are among the addresses
	Redirect string `json:"redirect,omitempty"`
}

// id names the slot in tags and in the store.
func (s slot) id() string {
	id := s.Level + "/" + s.Scope + "/" + s.Signal
	if s.Redirect != "" {
		sum := sha256.Sum256([]byte(s.Redirect))
		id += "/" + hex.EncodeToString(sum[:4])
	}
	return id
}

// slotOf is where a hold's entry belongs, and the entry. Without a promotion an
// entry that is to be counted first is among those that are only counted.
func slotOf(h *hold.Hold, promoted bool) (slot, string, error) {
	s, err := control.ParseSubject(h.Subject)
	if err != nil {
		return slot{}, "", err
	}
	sl := slot{Level: h.Level, Scope: h.Entry.Scope, Signal: s.Kind}
	if s.Kind == control.KindNetwork {
		sl.Signal = control.KindIP
	}
	if sl.Scope == "" {
		sl.Scope = auth0.ScopeAuthentication
	}
	switch {
	case sl.Level == "":
		sl.Level = LevelBlock
	case sl.Level == LevelRedirect:
		sl.Redirect = h.Entry.RedirectTo
	}
	if logsFirst(h) && !promoted {
		sl.Level, sl.Redirect = LevelLog, ""
	}
	return sl, s.Value, nil
}

// critical is the rank of the severity that leaves no time to count first.
const critical = 4

// logsFirst reports whether a hold's entry is to be counted before it denies.
func logsFirst(h *hold.Hold) bool {
	return h.Entry.LogFirst > 0 && h.Level != LevelLog && h.Severity < critical
}

// rule is the slot's rule on the given entries.
func (s slot) rule(entries []string) auth0.ACLRule {
	r := auth0.ACLRule{Action: s.Level, Scope: s.Scope, RedirectURI: s.Redirect}
	for _, e := range entries {
		switch s.Signal {
		case control.KindIP:
			if isV6(e) {
				r.Match.IPv6CIDRs = append(r.Match.IPv6CIDRs, e)
			} else {
				r.Match.IPv4CIDRs = append(r.Match.IPv4CIDRs, e)
			}
		case control.KindASN:
			if n, err := strconv.Atoi(e); err == nil {
				r.Match.ASNs = append(r.Match.ASNs, n)
			}
		default:
			list := s.list(&r.Match)
			*list = append(*list, e)
		}
	}
	return r
}

// list is the slot's list of texts in a match.
func (s slot) list(m *auth0.ACLMatch) *[]string {
	switch s.Signal {
	case control.KindJA3:
		return &m.JA3
	case control.KindJA4:
		return &m.JA4
	case control.KindCountry:
		return &m.Countries
	}
	return &m.UserAgents
}

// entries lists what an ACL of the slot names, sorted, in the form we write.
func (s slot) entries(acl *auth0.NetworkACL) []string {
	if acl == nil {
		return nil
	}
	var out []string
	switch m := acl.Rule.Match; s.Signal {
	case control.KindIP:
		for _, e := range slices.Concat(m.IPv4CIDRs, m.IPv6CIDRs) {
			out = append(out, canonical(e))
		}
	case control.KindASN:
		for _, n := range m.ASNs {
			out = append(out, strconv.Itoa(n))
		}
	default:
		out = slices.Clone(*s.list(&m))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// isShape reports whether an ACL is still of the kind that the slot writes.
func (s slot) isShape(a *auth0.NetworkACL) bool {
	rest := a.Rule.Match
	switch s.Signal {
	case control.KindIP:
		rest.IPv4CIDRs, rest.IPv6CIDRs = nil, nil
	case control.KindASN:
		rest.ASNs = nil
	default:
		*s.list(&rest) = nil
	}
	return a.Rule.Action == s.Level && a.Rule.Scope == s.Scope && a.Rule.RedirectURI == s.Redirect && len(a.Rule.Extra) == 0 &&
		rest.Empty() && a.Rule.NotMatch.Empty()
}

// slotFound reads which slot an ACL is, from its rule; false when it is none.
func slotFound(a *auth0.NetworkACL) (slot, bool) {
	for _, signal := range []string{control.KindIP, control.KindJA3, control.KindJA4, control.KindASN, control.KindCountry, control.KindUserAgent} {
		s := slot{Level: a.Rule.Action, Scope: a.Rule.Scope, Signal: signal, Redirect: a.Rule.RedirectURI}
		if s.isShape(a) && len(s.entries(a)) > 0 {
			return s, true
		}
	}
	return slot{}, false
}

// subject is an entry as people read it.
func (s slot) subject(entry string) string {
	if s.Signal == control.KindIP {
		return entry
	}
	return control.Subject{Kind: s.Signal, Value: entry}.String()
}

// done says what an entry of the slot does to whom it matches.
func (s slot) done() string {
	switch s.Level {
	case LevelLog:
		return "counted"
	case LevelRedirect:
		return "redirected"
	}
	return "denied"
}

// isOff reports whether an ACL of our shape does nothing.
func isOff(a *auth0.NetworkACL) bool { return !a.Active || a.Rule.LogOnly }

// covers reports whether one of the entries names what another does.
func (s slot) covers(entries []string, entry string) bool {
	if slices.Contains(entries, entry) {
		return true
	}
	if s.Signal != control.KindIP {
		return false
	}
	p, err := control.ParseNetwork(entry)
	return err == nil && slices.ContainsFunc(entries, func(e string) bool {
		q, err := control.ParseNetwork(e)
		return err == nil && contains(q, p)
	})
}

// contains reports whether all of p is in q.
func contains(q, p netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }

// canonical writes an address the one way that comparisons need; a /32 is its
// address.
func canonical(s string) string {
	p, err := control.ParseNetwork(s)
	switch {
	case err != nil:
		return s
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

func isV6(s string) bool { return strings.Contains(s, ":") }

// Check reports why a hold makes no sense.
func (c *Control) Check(level, subject string) error {
	if level != "" && level != LevelLog && level != LevelBlock && level != LevelRedirect {
		return fmt.Errorf("%s has no level %q: one of %s, %s (the default), %s", Name, level, LevelLog, LevelBlock, LevelRedirect)
	}
	if subject == "" {
		return fmt.Errorf("%s needs a subject: whom to match", Name)
	}
	if _, err := control.ParseSubject(subject); err != nil {
		return fmt.Errorf("%s cannot match: %w", Name, err)
	}
	return nil
}

// Ranks reports whether a level does more than a weaker one.
func (c *Control) Ranks(weaker, level string) bool { return weaker == LevelLog && level != LevelLog }

// CheckEntry reports why an entry at a level makes no sense.
func (c *Control) CheckEntry(level string, e hold.Entry) error {
	switch e.Scope {
	case "", auth0.ScopeAuthentication, auth0.ScopeManagement, auth0.ScopeTenant, auth0.ScopeRegistration:
	default:
		return fmt.Errorf("%s has no scope %q: one of %s (the default), %s, %s, %s", Name, e.Scope,
			auth0.ScopeAuthentication, auth0.ScopeRegistration, auth0.ScopeManagement, auth0.ScopeTenant)
	}
	if level == LevelRedirect {
		u, err := url.Parse(e.RedirectTo)
		if err != nil || u.Scheme != "https" || u.Host == "" || len(e.RedirectTo) > maxRedirect {
			return fmt.Errorf("level %s needs redirect_to, an https address of at most %d characters", LevelRedirect, maxRedirect)
		}
	}
	if level == LevelLog && e.LogFirst > 0 {
		return fmt.Errorf("level %s only counts: it takes no log_first", LevelLog)
	}
	return nil
}

const maxRedirect = 2000
