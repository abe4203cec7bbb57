package auth0

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// The actions of a network ACL.
const (
	ActionBlock    = "block"
	ActionAllow    = "allow"
	ActionLog      = "log"
	ActionRedirect = "redirect"
)

// The scopes of a network ACL.
const (
	ScopeAuthentication = "authentication"              // everything but the Management API
	ScopeManagement     = "management"                  // /api/v2 and /scim: it can lock this program out
	ScopeTenant         = "tenant"                      // both
	ScopeRegistration   = "dynamic_client_registration" // /oidc/register
)

// ACLRule is what a network ACL does to whom. Match and NotMatch must both hold.
type ACLRule struct {
	// Action is block, allow, log or redirect; "" if the tenant sent one that is none of them (it is in Extra then).
	Action string
	// LogOnly means that a match is counted, the action is not carried out, and evaluation goes on.
	LogOnly bool
	// RedirectURI goes with redirect.
	RedirectURI string
	// Scope is one of the Scope constants.
	Scope string
	// Match holds for requests with one of the values of each signal, NotMatch for those without.
	Match, NotMatch ACLMatch
	// Extra has the members of the rule that this type does not know, as the tenant sent them; they are sent back.
	Extra map[string]json.RawMessage
}

// ACLMatch has the signals of one side of a rule. Values of one signal are alternatives, different signals must all hold,
// save that IPv4 and IPv6 are one. Each has at most 20 values.
type ACLMatch struct {
	IPv4CIDRs, IPv6CIDRs                     []string // addresses or networks
	ConnectingIPv4CIDRs, ConnectingIPv6CIDRs []string // the peer's, behind a proxy
	ASNs                                     []int
	Countries                                []string // ISO 3166-1, two letters
	Subdivisions                             []string // ISO 3166-2, such as US-NY
	JA3, JA4                                 []string
	UserAgents                               []string
	Hostnames                                []string // TLS SNI
	Auth0Managed                             []string // lists that Auth0 keeps, such as auth0.tor
	// Extra has the signals that this type does not know, as the tenant sent them; they are sent back.
	Extra map[string]json.RawMessage
}

// maxEntries is how many values a signal may have.
const maxEntries = 20

// Empty tells whether the rule names nobody.
func (r ACLRule) Empty() bool { return r.Match.Empty() && r.NotMatch.Empty() }

func (r ACLRule) check() error {
	switch r.Action {
	case ActionBlock, ActionAllow, ActionLog:
	case ActionRedirect:
		if r.RedirectURI == "" {
			return fmt.Errorf("%w: a redirect needs its URI", ErrInvalid)
		}
	case "":
		if len(r.Extra["action"]) == 0 {
			return fmt.Errorf("%w: the rule has no action", ErrInvalid)
		}
	default:
		return fmt.Errorf("%w: no action is called %q", ErrInvalid, r.Action)
	}
	if r.Scope == "" {
		return fmt.Errorf("%w: the rule has no scope", ErrInvalid)
	}
	for _, m := range []ACLMatch{r.Match, r.NotMatch} {
		for name, list := range m.strings() {
			if len(*list) > maxEntries {
				return fmt.Errorf("%w: %s has %d entries, at most %d are allowed", ErrInvalid, name, len(*list), maxEntries)
			}
		}
		if len(m.ASNs) > maxEntries {
			return fmt.Errorf("%w: asns has %d entries, at most %d are allowed", ErrInvalid, len(m.ASNs), maxEntries)
		}
	}
	return nil
}

type aclAction struct {
	Block       bool   `json:"block,omitempty"`
	Allow       bool   `json:"allow,omitempty"`
	Log         bool   `json:"log,omitempty"`
	Redirect    bool   `json:"redirect,omitempty"`
	RedirectURI string `json:"redirect_uri,omitempty"`
}

// MarshalJSON writes the API's form, in which no list is empty.
func (r ACLRule) MarshalJSON() ([]byte, error) {
	out := map[string]any{}
	for name, raw := range r.Extra {
		out[name] = raw
	}
	if r.Action != "" {
		out["action"] = aclAction{
			Block:       r.Action == ActionBlock,
			Allow:       r.Action == ActionAllow,
			Redirect:    r.Action == ActionRedirect,
			Log:         r.Action == ActionLog || r.LogOnly,
			RedirectURI: r.RedirectURI,
		}
	}
	out["scope"] = r.Scope
	if !r.Match.Empty() {
		out["match"] = r.Match
	}
	if !r.NotMatch.Empty() {
		out["not_match"] = r.NotMatch
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads the API's form.
func (r *ACLRule) UnmarshalJSON(data []byte) error {
	var in struct {
		Action   json.RawMessage `json:"action"`
		Scope    string          `json:"scope"`
		Match    ACLMatch        `json:"match"`
		NotMatch ACLMatch        `json:"not_match"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	extra, err := unknown(data, "action", "scope", "match", "not_match")
	if err != nil {
		return err
	}
	*r = ACLRule{Scope: in.Scope, Match: in.Match, NotMatch: in.NotMatch, Extra: extra}
	if len(in.Action) == 0 {
		return nil
	}
	return r.setAction(in.Action)
}

func (r *ACLRule) setAction(raw json.RawMessage) error {
	var action aclAction
	if err := json.Unmarshal(raw, &action); err != nil {
		return fmt.Errorf("action: %w", err)
	}
	other, err := unknown(raw, "block", "allow", "log", "redirect", "redirect_uri")
	if err != nil {
		return err
	}
	switch {
	case len(other) > 0:
		// An action of a later API is kept whole rather than in part.
		if r.Extra == nil {
			r.Extra = map[string]json.RawMessage{}
		}
		r.Extra["action"] = bytes.Clone(raw)
		return nil
	case action.Block:
		r.Action = ActionBlock
	case action.Allow:
		r.Action = ActionAllow
	case action.Redirect:
		r.Action, r.RedirectURI = ActionRedirect, action.RedirectURI
	case action.Log:
		r.Action = ActionLog
	}
	r.LogOnly = action.Log && r.Action != ActionLog
	return nil
}

// Empty tells whether there is no signal.
func (m ACLMatch) Empty() bool {
	for _, list := range m.strings() {
		if len(*list) > 0 {
			return false
		}
	}
	return len(m.ASNs) == 0 && len(sendable(m.Extra)) == 0
}

// strings maps the API's names to the lists of text.
func (m *ACLMatch) strings() map[string]*[]string {
	return map[string]*[]string{
		"ipv4_cidrs":            &m.IPv4CIDRs,
		"ipv6_cidrs":            &m.IPv6CIDRs,
		"connecting_ipv4_cidrs": &m.ConnectingIPv4CIDRs,
		"connecting_ipv6_cidrs": &m.ConnectingIPv6CIDRs,
		"geo_country_codes":     &m.Countries,
		"geo_subdivision_codes": &m.Subdivisions,
		"ja3_fingerprints":      &m.JA3,
		"ja4_fingerprints":      &m.JA4,
		"user_agents":           &m.UserAgents,
		"hostnames":             &m.Hostnames,
		"auth0_managed":         &m.Auth0Managed,
	}
}

// MarshalJSON writes the API's form, in which no list is empty.
func (m ACLMatch) MarshalJSON() ([]byte, error) {
	out := map[string]any{}
	for name, raw := range sendable(m.Extra) {
		out[name] = raw
	}
	for name, list := range m.strings() {
		if len(*list) > 0 {
			out[name] = *list
		}
	}
	if len(m.ASNs) > 0 {
		out["asns"] = m.ASNs
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads the API's form.
func (m *ACLMatch) UnmarshalJSON(data []byte) error {
	*m = ACLMatch{}
	lists := map[string]any{"asns": &m.ASNs}
	for name, list := range m.strings() {
		lists[name] = list
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	for name, raw := range all {
		list, known := lists[name]
		if !known {
			continue
		}
		if err := json.Unmarshal(raw, list); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		delete(all, name)
	}
	if len(all) > 0 {
		m.Extra = all
	}
	return nil
}

// unknown returns the members of an object that have none of the known names, nil if there are none.
func unknown(data []byte, known ...string) (map[string]json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for _, name := range known {
		delete(all, name)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// sendable leaves out what the API refuses: empty lists and null.
func sendable(extra map[string]json.RawMessage) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for name, raw := range extra {
		if text := string(bytes.Join(bytes.Fields(raw), nil)); text != "[]" && text != "null" && text != "" {
			out[name] = raw
		}
	}
	return out
}
