package tenantsim

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxBody = 1 << 20

// request is what the handlers need of an HTTP request; it is read before the tenant's lock is taken.
type request struct {
	method, path string
	rawQuery     string
	query        url.Values
	header       http.Header
	body         []byte
	tooLarge     bool
	host         string // the host that the caller named
	base         string // scheme and host the caller used
	ip           netip.Addr
	userAgent    string
	token        *accessToken // set once authenticated
}

// answer is a response ready to be written.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) set(key, value string) {
	if a.header == nil {
		a.header = make(http.Header)
	}
	a.header.Set(key, value)
}

// Handler returns the tenant's whole HTTP surface.
func (t *Tenant) Handler() http.Handler { return http.HandlerFunc(t.serve) }

func (t *Tenant) serve(w http.ResponseWriter, r *http.Request) {
	req, err := readRequest(w, r)
	if err != nil {
		http.Error(w, "read request: "+err.Error(), http.StatusBadRequest)
		return
	}
	f := t.takeFault(req.method, req.path)
	if f != nil && f.Latency > 0 {
		timer := time.NewTimer(f.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	if f == nil || f.AfterApply || f.onlySlow() {
		a := t.handle(req)
		if f == nil || f.onlySlow() {
			if a.status == http.StatusOK {
				// The log is read by the tenant's clock. Refusals keep the real one, in
				// which the rate limit and its reset are told.
				w.Header().Set("Date", t.Now().Format(http.TimeFormat))
			}
			a.write(w)
			return
		}
	}
	if f.Drop {
		dropConnection(w)
		return
	}
	t.faultAnswer(f, req).write(w)
}

func (a *answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if len(a.body) > 0 && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a caller that has gone needs no answer
}

func readRequest(w http.ResponseWriter, r *http.Request) (*request, error) {
	req := &request{
		method: r.Method, path: r.URL.EscapedPath(), rawQuery: r.URL.RawQuery, query: r.URL.Query(), header: r.Header,
		userAgent: r.UserAgent(), base: "http://" + r.Host, host: r.Host,
	}
	if r.TLS != nil {
		req.base = "https://" + r.Host
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		req.ip, _ = netip.ParseAddr(host)
		req.ip = req.ip.Unmap()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		req.tooLarge = true
		return req, nil
	}
	req.body = body
	return req, err
}

// handle does what the request asks for and returns its answer, without writing anything.
func (t *Tenant) handle(req *request) *answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case req.path == "/oauth/token":
		return t.serveToken(req)
	case req.path == "/dbconnections/change_password":
		return t.serveChangePassword(req)
	case strings.HasPrefix(req.path, "/api/v2/"):
		return t.serveAPI(req)
	}
	return fail(notFound("Not Found"))
}

// serveAPI passes a Management API call through the gates in front of every endpoint.
func (t *Tenant) serveAPI(req *request) *answer {
	t.stats.APICalls[req.method]++
	if t.denied("management", req.client(t)) {
		return blockPage()
	}
	now := time.Now()
	a := fail(tooManyRequests())
	if t.limiter.take(now) {
		a = t.authorised(req, now)
	} else {
		t.logRateLimit(req)
	}
	t.limiter.setHeaders(a, now)
	return a
}

func (t *Tenant) authorised(req *request, now time.Time) *answer {
	token, problem := t.checkToken(req.header.Get("Authorization"), now)
	if problem != nil {
		return fail(problem)
	}
	req.token = token
	r, problem := findRoute(req)
	if problem != nil {
		return fail(problem)
	}
	if problem := token.require(r.scope); problem != nil {
		return fail(problem)
	}
	if req.tooLarge {
		return fail(&apiError{status: http.StatusRequestEntityTooLarge, message: "Payload content length greater than maximum allowed: 1048576"})
	}
	return r.serve(t, req)
}

// client is the API caller as network ACLs see it; nothing is known of its fingerprints.
func (req *request) client(t *Tenant) *client {
	return &client{addr: req.ip, userAgent: req.userAgent, hostname: t.opts.Domain}
}

// route is one endpoint: what it answers to, the scope it asks for, and what it does.
type route struct {
	method, path string // "{id}" in the path is any one segment
	scope        string // "a+b" if it takes both
	serve        func(t *Tenant, req *request) *answer
}

var routes = withUsers([]route{
	{"GET", "/logs", "read:logs", (*Tenant).serveLogs},
	{"GET", "/logs/{id}", "read:logs", (*Tenant).serveLog},
	{"GET", "/log-streams", "read:log_streams", (*Tenant).serveLogStreams},
	{"GET", "/log-streams/{id}", "read:log_streams", (*Tenant).serveLogStream},
	{"GET", "/attack-protection/{id}", "read:attack_protection", (*Tenant).serveSettings},
	{"PATCH", "/attack-protection/{id}", "update:attack_protection", (*Tenant).serveChange},
	{"GET", "/network-acls", "read:network_acls", (*Tenant).serveACLs},
	{"POST", "/network-acls", "create:network_acls", (*Tenant).serveChange},
	{"GET", "/network-acls/{id}", "read:network_acls", (*Tenant).serveACL},
	{"PUT", "/network-acls/{id}", "update:network_acls", (*Tenant).serveChange},
	{"PATCH", "/network-acls/{id}", "update:network_acls", (*Tenant).serveChange},
	{"DELETE", "/network-acls/{id}", "delete:network_acls", (*Tenant).serveChange},
	{"GET", "/guardian/factors", "read:guardian_factors", (*Tenant).serveFactors},
	{"PUT", "/guardian/factors/{id}", "update:guardian_factors", (*Tenant).serveChange},
	{"GET", "/guardian/policies", "read:mfa_policies", (*Tenant).servePolicies},
	{"PUT", "/guardian/policies", "update:mfa_policies", (*Tenant).serveSetPolicies},
	{"GET", "/connections", "read:connections", (*Tenant).serveConnections},
	{"PATCH", "/connections/{id}", "update:connections", (*Tenant).serveChange},
	{"GET", "/actions/actions", "read:actions", (*Tenant).serveActions},
	{"POST", "/actions/actions", "create:actions", (*Tenant).serveChange},
	{"GET", "/actions/actions/{id}", "read:actions", (*Tenant).serveAction},
	{"PATCH", "/actions/actions/{id}", "update:actions", (*Tenant).serveChange},
	{"DELETE", "/actions/actions/{id}", "delete:actions", (*Tenant).serveChange},
	{"POST", "/actions/actions/{id}/deploy", "create:actions", (*Tenant).serveChange},
	{"GET", "/actions/actions/{id}/versions", "read:actions", (*Tenant).serveActionVersions},
	{"GET", "/actions/triggers", "read:actions", (*Tenant).serveTriggers},
	{"GET", "/actions/triggers/{id}/bindings", "read:actions", (*Tenant).serveBindings},
	{"PATCH", "/actions/triggers/{id}/bindings", "update:actions", (*Tenant).serveChange},
})

// withUsers adds the endpoints for users.
func withUsers(list []route) []route {
	list = append(list, userReads...)
	for _, r := range userRoutes {
		list = append(list, route{r.method, r.path, r.scope, (*Tenant).serveChange})
	}
	return list
}

func findRoute(req *request) (*route, *apiError) {
	for i := range routes {
		if routes[i].method == req.method && routes[i].matches(strings.TrimPrefix(req.path, "/api/v2")) {
			return &routes[i], nil
		}
	}
	return nil, notFound("Not Found")
}

func (r *route) matches(path string) bool {
	pattern, parts := strings.Split(r.path, "/"), strings.Split(path, "/")
	return len(pattern) == len(parts) && !slices.ContainsFunc(parts[1:], func(s string) bool { return s == "" }) &&
		slices.EqualFunc(pattern, parts, func(p, s string) bool { return p == "{id}" || p == s })
}

// splitPath cuts "/api/v2/network-acls/acl_1" into "/network-acls" and "acl_1".
func splitPath(path string) (collection, id string) {
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(path, "/api/v2"), "/"), "/")
	collection = "/" + parts[0]
	return collection, strings.Join(parts[1:], "/")
}

// serveChange decodes the body of a write and applies it for the token's client.
func (t *Tenant) serveChange(req *request) *answer {
	var body map[string]any
	if req.method != http.MethodDelete && (len(req.body) > 0 || !takesNoBody(req.path)) {
		var problem *apiError
		if body, problem = decodeObject(req.body); problem != nil {
			return fail(problem)
		}
	}
	host, problem := t.linkHost(req)
	if problem != nil {
		return fail(problem)
	}
	res, problem := t.change(req.method, req.path, write{query: req.query, body: body, host: host})
	if problem != nil {
		return fail(problem)
	}
	t.logChange(t.apiWriter(req), req.method, req.path, body, res)
	switch {
	case res.silent || res.resource == nil && res.list == nil:
		return &answer{status: res.status}
	case res.list != nil:
		return reply(res.status, res.list)
	}
	return reply(res.status, res.resource)
}

// takesNoBody are the writes that are sent without one.
func takesNoBody(path string) bool {
	return slices.ContainsFunc([]string{"/deploy", "/revoke", "/invalidate-remember-browser", "/rotate-secret"}, func(end string) bool {
		return strings.HasSuffix(path, end)
	}) && !strings.HasSuffix(path, "/refresh-tokens/revoke")
}

// linkHost is the custom domain that a call names for the links it makes, if it names one.
func (t *Tenant) linkHost(req *request) (string, *apiError) {
	host := req.header.Get("Auth0-Custom-Domain")
	if host != "" && host != t.opts.CustomDomain {
		return "", &apiError{status: http.StatusBadRequest, code: "invalid_custom_domain", message: "The custom domain " + host + " is not one of the tenant"}
	}
	return host, nil
}

func (t *Tenant) serveSettings(req *request) *answer {
	_, name := splitPath(req.path)
	settings, problem := t.getSettings(name)
	if problem != nil {
		return fail(problem)
	}
	return reply(http.StatusOK, settings)
}

func (t *Tenant) serveACLs(req *request) *answer {
	if problem := t.aclPlan(); problem != nil {
		return fail(problem)
	}
	page, problem := offsetPage(req.query)
	if problem != nil {
		return fail(problem)
	}
	list := []map[string]any{}
	for i := page.start(); i < min(page.start()+page.size, len(t.acls)); i++ {
		list = append(list, t.acls[i].json())
	}
	if !page.totals {
		return reply(http.StatusOK, list)
	}
	return reply(http.StatusOK, map[string]any{"network_acls": list, "start": page.start(), "limit": page.size, "total": len(t.acls)})
}

func (t *Tenant) serveACL(req *request) *answer {
	if problem := t.aclPlan(); problem != nil {
		return fail(problem)
	}
	_, id := splitPath(req.path)
	acl, problem := t.findACL(id)
	if problem != nil {
		return fail(problem)
	}
	full := acl.json()
	full["tenant_id"] = t.name
	full["deleted_at"] = nil
	return reply(http.StatusOK, full)
}

// aclPlan refuses network ACLs on a plan without them.
func (t *Tenant) aclPlan() *apiError {
	if t.opts.ACLLimit > 0 {
		return nil
	}
	return &apiError{status: http.StatusForbidden, message: "Network ACLs are not part of the tenant's subscription"}
}

// pageQuery is offset paging.
type pageQuery struct {
	number, size int
	totals       bool
}

func (p pageQuery) start() int { return p.number * p.size }

func offsetPage(q url.Values) (p pageQuery, problem *apiError) {
	if p.number, problem = queryInt(q, "page", 0, 1<<31-1); problem != nil {
		return p, problem
	}
	if p.size, problem = queryInt(q, "per_page", 50, 100); problem != nil {
		return p, problem
	}
	p.totals, problem = queryBool(q, "include_totals", false)
	return p, problem
}

func queryInt(q url.Values, name string, absent, most int) (int, *apiError) {
	if !q.Has(name) {
		return absent, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	switch {
	case err != nil || n < 0:
		return 0, invalidQuery("%q is not a number from 0 on property %s", q.Get(name), name)
	case n > most:
		return 0, invalidQuery("value %d is greater than maximum %d on property %s", n, most, name)
	}
	return n, nil
}

func queryBool(q url.Values, name string, absent bool) (bool, *apiError) {
	switch {
	case !q.Has(name):
		return absent, nil
	case q.Get(name) == "true":
		return true, nil
	case q.Get(name) == "false":
		return false, nil
	}
	return false, invalidQuery("%q is not a boolean on property %s", q.Get(name), name)
}
