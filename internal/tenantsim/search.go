package tenantsim

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
)

// searchQuery is a conjunction of terms: the part of Auth0's Lucene subset that is simulated. Everything else is
// answered with 400 rather than guessed at.
type searchQuery []searchTerm

type searchTerm struct {
	field          string
	value          string // exact, whole field, case-sensitive
	ranged         bool
	least, most    string // "*" is open
	openAt, openTo bool   // bound excluded
}

var termForm = regexp.MustCompile(`^([a-z_][A-Za-z0-9_.-]*):(?:"([^"]*)"|([\[{])\s*(\S+)\s+TO\s+(\S+?)\s*([\]}])|([^\s"\[\]{}()*?:]+))(?:\s+AND\s+|$)`)

var searchFields = map[string]bool{
	"client_id": true, "client_name": true, "connection": true, "connection_id": true, "date": true, "description": true, "hostname": true,
	"ip": true, "log_id": true, "organization_id": true, "strategy": true, "strategy_type": true, "type": true, "user_agent": true,
	"user_id": true, "user_name": true,
}

func parseSearch(q string) (searchQuery, *apiError) {
	return parseSearchIn(q, func(field string) bool { return searchFields[field] })
}

// parseSearchIn reads a query over the fields that known tells.
func parseSearchIn(q string, known func(field string) bool) (searchQuery, *apiError) {
	var query searchQuery
	for rest := strings.TrimSpace(q); rest != ""; {
		m := termForm.FindStringSubmatch(rest)
		if m == nil || strings.HasSuffix(m[0], " ") && len(m[0]) == len(rest) {
			return nil, badSearch("cannot parse the query at " + rest)
		}
		if !known(m[1]) {
			return nil, badSearch("field " + m[1] + " cannot be searched")
		}
		query = append(query, searchTerm{
			field: m[1], value: m[2] + m[7], ranged: m[3] != "", least: strings.Trim(m[4], `"`), most: strings.Trim(m[5], `"`),
			openAt: m[3] == "{", openTo: m[6] == "}",
		})
		rest = rest[len(m[0]):]
	}
	return query, nil
}

func badSearch(what string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "invalid_query_string", message: "Invalid search query: " + what}
}

func (q searchQuery) matches(t *Tenant, ev *event) bool {
	var members map[string]any
	for _, term := range q {
		var value string
		switch term.field { // the common ones without rendering the event
		case "type":
			value = ev.typ
		case "log_id":
			value = ev.logID
		case "date":
			value = formatDate(ev.at)
		default:
			if members == nil && json.Unmarshal(t.appendAPI(nil, ev), &members) != nil {
				return false
			}
			value, _ = members[term.field].(string)
		}
		if !term.matches(value) {
			return false
		}
	}
	return true
}

// matches compares text; dates compare as text because all have one layout, and a day is a prefix of its instants.
func (s searchTerm) matches(value string) bool {
	if !s.ranged {
		return value == s.value
	}
	if value == "" {
		return false
	}
	if s.least != "*" && (value < s.least || s.openAt && strings.HasPrefix(value, s.least)) {
		return false
	}
	return s.most == "*" || value < s.most || !s.openTo && strings.HasPrefix(value, s.most)
}
