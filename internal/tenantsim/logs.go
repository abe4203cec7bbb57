package tenantsim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	logsPageDefault = 50
	logsPageMax     = 100
	searchDepth     = 1000 // results a search query can page through
)

// cursorForm is a log id, or a cursor made up from a time: 900, a time stamp, and more digits.
var cursorForm = regexp.MustCompile(`^900\d{14}\d{30,45}$`)

// serveLogs answers GET /logs: checkpoint mode when there is a cursor, search mode otherwise.
func (t *Tenant) serveLogs(req *request) *answer {
	if req.query.Has("from") {
		return t.serveCheckpoint(req)
	}
	if req.query.Has("take") {
		return fail(invalidQuery("take needs from"))
	}
	return t.serveSearch(req)
}

// serveCheckpoint answers the entries after a log id, whatever other parameters say. The Link header names the next
// page; at the end it repeats the request, to be asked again later.
func (t *Tenant) serveCheckpoint(req *request) *answer {
	from := req.query.Get("from")
	if _, known := t.log.find(from); !known && !validCursor(from) {
		return fail(invalidQuery("%q is not a log id on property from", from))
	}
	take, problem := queryInt(req.query, "take", logsPageDefault, logsPageMax)
	if problem != nil {
		return fail(problem)
	}
	if take == 0 {
		return fail(invalidQuery("value 0 is less than minimum 1 on property take"))
	}
	page := t.log.newerThan(from, take)
	next := from
	if len(page) > 0 {
		next = page[len(page)-1].logID
	}
	a := &answer{status: http.StatusOK, body: t.appendList(nil, page)}
	a.set("Link", "<"+req.base+"/api/v2/logs?from="+url.QueryEscape(next)+"&take="+strconv.Itoa(take)+`>; rel="next"`)
	return a
}

func validCursor(from string) bool {
	if !cursorForm.MatchString(from) {
		return false
	}
	_, err := time.Parse("20060102150405", from[3:17])
	return err == nil
}

func (t *Tenant) appendList(b []byte, list []*event) []byte {
	b = append(b, '[')
	for i, ev := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = t.appendAPI(b, ev)
	}
	return append(b, ']')
}

// serveLog answers GET /logs/{id}.
func (t *Tenant) serveLog(req *request) *answer {
	_, id := splitPath(req.path)
	i, found := t.log.find(id)
	if !found {
		return fail(notFound("The log event was not found"))
	}
	return &answer{status: http.StatusOK, body: t.appendAPI(nil, t.log.events[i])}
}

// Parameters of search mode, as the API's description has them.
var (
	searchable  = `((date)|(connection)|(client_id)|(client_name)|(ip)|(user_id)|(user_name)|(description)|(user_agent)|(type)|(details)|(strategy)|(strategy_type))`
	sortForm    = regexp.MustCompile(`^` + searchable + `:(1|-1)$`)
	fieldsForm  = regexp.MustCompile(`^` + searchable + `(,` + searchable + `)*$`)
	searchNames = []string{"q", "page", "per_page", "sort", "fields", "include_fields", "include_totals"}
)

// serveSearch answers search mode. It sorts by date only, newest first unless told otherwise.
func (t *Tenant) serveSearch(req *request) *answer {
	for name := range req.query {
		if !slices.Contains(searchNames, name) {
			return fail(invalidQuery("additional properties not allowed: %s", name))
		}
	}
	page, problem := offsetPage(req.query)
	if problem != nil {
		return fail(problem)
	}
	if page.start()+page.size > searchDepth && page.start() > 0 {
		return fail(&apiError{status: http.StatusBadRequest, code: "invalid_paging",
			message: "You can only page through the first 1000 records"})
	}
	oldestFirst, problem := searchOrder(req.query)
	if problem != nil {
		return fail(problem)
	}
	q, problem := parseSearch(req.query.Get("q"))
	if problem != nil {
		return fail(problem)
	}
	keep, problem := projection(req.query)
	if problem != nil {
		return fail(problem)
	}
	hits := t.search(q, oldestFirst)
	hits = hits[min(page.start(), len(hits)):min(page.start()+page.size, len(hits))]
	body := t.appendList(nil, hits)
	if keep != nil {
		body = project(body, keep)
	}
	if page.totals {
		o := object{}
		o.open("")
		o.number("start", page.start())
		o.number("limit", page.size)
		o.number("length", len(hits))
		o.number("total", len(hits)) // as useless as Auth0's
		o.raw("logs", body)
		o.close()
		body = o.b
	}
	return &answer{status: http.StatusOK, body: body}
}

func searchOrder(q url.Values) (oldestFirst bool, problem *apiError) {
	order := q.Get("sort")
	switch {
	case !q.Has("sort") || order == "date:-1":
		return false, nil
	case order == "date:1":
		return true, nil
	case sortForm.MatchString(order):
		return false, invalidQuery("sort %q is not simulated, only date:1 and date:-1", order)
	}
	return false, invalidQuery("string does not match pattern on property sort")
}

// search returns the matching events by date; those of one date by log id.
func (t *Tenant) search(q searchQuery, oldestFirst bool) []*event {
	var hits []*event
	for _, ev := range t.log.events {
		if q.matches(t, ev) {
			hits = append(hits, ev)
		}
	}
	slices.SortStableFunc(hits, func(a, b *event) int {
		c := a.at.Compare(b.at)
		if c == 0 {
			c = strings.Compare(a.logID, b.logID)
		}
		if oldestFirst {
			return c
		}
		return -c
	})
	return hits
}

// projection says which members to keep; nil keeps all.
func projection(q url.Values) (keep func(name string) bool, problem *apiError) {
	include, problem := queryBool(q, "include_fields", true)
	if problem != nil || !q.Has("fields") {
		return nil, problem
	}
	if !fieldsForm.MatchString(q.Get("fields")) {
		return nil, invalidQuery("string does not match pattern on property fields")
	}
	names := strings.Split(q.Get("fields"), ",")
	return func(name string) bool { return slices.Contains(names, name) == include }, nil
}

func project(body []byte, keep func(name string) bool) []byte {
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return body
	}
	for _, m := range list {
		for name := range m {
			if !keep(name) {
				delete(m, name)
			}
		}
	}
	out, err := json.Marshal(list)
	if err != nil {
		return body
	}
	return out
}
