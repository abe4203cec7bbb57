package tenantsim

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	ticketLife      = 432000 * time.Second
	resetMailLife   = 24 * time.Hour
	mailBurst       = 10 // reset mails of one address and e-mail, in real time
	mailRefill      = 1.0 / 60
	resetAnswer     = "We've just sent you an email to reset your password."
	resetPath       = "/lo/reset"
	mailsRemember   = 10_000
	ticketParameter = "ticket"
)

// ticket is a link that sets a new password. An account has one at most: each new one, whether of a mail or not, makes the
// one before worthless.
type ticket struct {
	id      string
	expires time.Time
	verify  bool // its use proves the address
}

// Mail is one mail that the tenant sent.
type Mail struct {
	To     string
	Kind   string // reset or verification
	Link   string
	UserID string
	At     time.Time // virtual
}

// linkTo is a link on the domain that users know if the request named it, and else on the canonical one.
func (t *Tenant) linkTo(host, path, id string) string {
	setDefault(&host, t.opts.Domain)
	return "https://" + host + path + "?" + ticketParameter + "=" + id + "#"
}

func (t *Tenant) newTicket(a *account, life time.Duration, verify bool) *ticket {
	a.ticket = &ticket{id: hexID(t.ids.Uint64(), t.ids.Uint64()), expires: t.now.Add(life), verify: verify}
	return a.ticket
}

var ticketFields = fields{
	"user_id": isText(1, 300), "connection_id": isText(1, 64), "email": isText(3, 255), "client_id": isText(1, 64), "result_url": isText(1, 2000),
	"ttl_sec": integer(0, 1<<31), "mark_email_as_verified": isBool, "includeEmailInRedirect": isBool, "organization_id": isText(1, 64),
}

func (t *Tenant) createTicket(w write) (changed, *apiError) {
	if text := ticketFields.check(w.body); text != "" {
		return changed{}, invalidBody("%s", text)
	}
	a, problem := t.ticketFor(w.body)
	if problem != nil {
		return changed{}, problem
	}
	if _, both := w.body["result_url"]; both && w.body["client_id"] != nil {
		return changed{}, invalidBody("client_id and result_url cannot be given together")
	}
	life := ticketLife
	if sec, ok := w.body["ttl_sec"].(float64); ok && sec > 0 { // zero is the default
		life = time.Duration(sec) * time.Second
	}
	made := t.newTicket(a, life, w.body["mark_email_as_verified"] == true)
	return changed{status: http.StatusCreated, resource: map[string]any{"ticket": t.linkTo(w.host, resetPath, made.id)},
		logged: map[string]any{"ticket": "*****"}, summary: "Create a password change ticket"}, nil
}

// ticketFor finds whose ticket it is to be: a user_id, or a connection_id and an e-mail address.
func (t *Tenant) ticketFor(body map[string]any) (*account, *apiError) {
	id, byID := body["user_id"].(string)
	conn, byConn := body["connection_id"].(string)
	email, byEmail := body["email"].(string)
	if byID == (byConn && byEmail) || byID && (byConn || byEmail) {
		return nil, invalidBody("either user_id or connection_id with email is needed")
	}
	a := t.find(id)
	if byConn && conn == connectionID {
		a = t.databaseUser(email)
	}
	switch {
	case a == nil:
		return nil, &apiError{status: http.StatusNotFound, code: "inexistent_user", message: "The user does not exist."}
	case a.identities[0].conn.kind != "database":
		return nil, &apiError{status: http.StatusBadRequest, code: "operation_not_supported", message: "The user does not belong to a database connection"}
	}
	return a, nil
}

// databaseUser is the user of the database with an e-mail address, or nil.
func (t *Tenant) databaseUser(email string) *account {
	for _, a := range t.withEmail(func(has string) bool { return strings.EqualFold(has, email) }) {
		if a.database() != nil {
			return a
		}
	}
	return nil
}

// serveChangePassword answers POST /dbconnections/change_password, which needs no token.
func (t *Tenant) serveChangePassword(req *request) *answer {
	if t.denied("authentication", req.client(t)) {
		return blockPage()
	}
	if req.method != http.MethodPost {
		return fail(notFound("Not Found"))
	}
	form, problem := resetForm(req)
	if problem != nil {
		return fail(problem)
	}
	key := req.ip.String() + " " + strings.ToLower(form["email"])
	if !t.mailAllowed(key, time.Now()) {
		return fail(tooManyRequests())
	}
	known := slices.ContainsFunc(apps, func(a app) bool { return a.id == form["client_id"] })
	switch {
	case form["email"] == "" || form["connection"] == "":
		return fail(&apiError{status: http.StatusBadRequest, message: "email and connection are required"})
	case !known:
		return fail(&apiError{status: http.StatusBadRequest, message: "Unknown client: " + form["client_id"]})
	case form["connection"] != connectionName:
		return fail(&apiError{status: http.StatusBadRequest, message: "The connection does not exist"})
	}
	host := ""
	if req.host == t.opts.CustomDomain {
		host = req.host
	}
	t.askReset(form["email"], host, origin{ip: req.ip.String(), agent: &agent{raw: req.userAgent, normal: otherAgent}})
	return &answer{status: http.StatusOK, body: []byte(resetAnswer), header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}}
}

// askReset mails a link. Whoever asks is told nothing of what became of it: the log is.
func (t *Tenant) askReset(email, host string, from origin) {
	a := t.databaseUser(email)
	if a == nil {
		t.tellOf(nil, email, "fcpr", "User does not exist", from, nil)
		return
	}
	made := t.newTicket(a, resetMailLife, true)
	t.tell(a, "scpr", "Change password request", from, map[string]any{"body": map[string]any{"email": email, "connection": connectionName, "tenant": t.name}})
	t.mail(a, "reset", "change_password", t.linkTo(host, resetPath, made.id))
}

// mail sends, or, without a mail provider, does not; the log tells which.
func (t *Tenant) mail(a *account, kind, template, link string) {
	if t.opts.NoMailProvider {
		t.tell(a, "fn", "Notification not sent: no email provider is configured", origin{},
			map[string]any{"email_type": template, "to": a.email, "error": "no email provider is configured"})
		return
	}
	t.mails = append(t.mails, Mail{To: a.email, Kind: kind, Link: link, UserID: a.id, At: t.now})
	if n := len(t.mails) - mailsRemember; n > 0 {
		t.mails = slices.Delete(t.mails, 0, n)
	}
}

func (t *Tenant) mailAllowed(key string, now time.Time) bool {
	b := t.mailLimits[key]
	if b == nil {
		if t.mailLimits == nil {
			t.mailLimits = map[string]*bucket{}
		}
		made := newBucket(mailBurst, mailRefill)
		b, t.mailLimits[key] = &made, &made
	}
	return b.take(now)
}

func resetForm(req *request) (map[string]string, *apiError) {
	form := map[string]string{}
	if kind, _, _ := mime.ParseMediaType(req.header.Get("Content-Type")); kind == "application/json" {
		var m map[string]any
		if err := json.Unmarshal(req.body, &m); err != nil {
			return nil, invalidBody("invalid JSON: %v", err)
		}
		for k, v := range m {
			if s, ok := v.(string); ok {
				form[k] = s
			}
		}
		return form, nil
	}
	values, err := url.ParseQuery(string(req.body))
	if err != nil {
		return nil, invalidBody("invalid form")
	}
	for k := range values {
		form[k] = values.Get(k)
	}
	return form, nil
}

var verificationFields = fields{"user_id": isText(1, 300), "client_id": isText(1, 64), "organization_id": isText(1, 64)}

func (t *Tenant) mailVerification(w write) (changed, *apiError) {
	if text := verificationFields.check(w.body); text != "" {
		return changed{}, invalidBody("%s", text)
	}
	id, _ := w.body["user_id"].(string)
	a, problem := t.mustFind(id)
	if problem != nil {
		return changed{}, problem
	}
	job := map[string]any{"id": "job_" + hexID(t.ids.Uint64()), "type": "verification_email", "status": "pending", "created_at": formatDate(t.now)}
	link := t.linkTo(w.host, "/u/email-verification", hexID(t.ids.Uint64(), t.ids.Uint64()))
	return changed{status: http.StatusCreated, resource: job, summary: "Send an email address verification email", after: func() {
		t.tell(a, "svr", "Verification email request", origin{}, nil)
		t.mail(a, "verification", "verify_email", link)
	}}, nil
}

func (t *Tenant) serveMailProvider(*request) *answer {
	if t.opts.NoMailProvider {
		return fail(&apiError{status: http.StatusNotFound, code: "inexistent_email_provider", message: "There is not a configured email provider"})
	}
	return reply(http.StatusOK, map[string]any{"name": "smtp", "enabled": true})
}

// Mails returns what the tenant mailed, oldest first.
func (t *Tenant) Mails() []Mail {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.mails)
}
