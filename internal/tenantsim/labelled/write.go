package labelled

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// app is a client of the tenant.
type app struct{ id, name string }

var (
	webApp   = &app{"web0000000000000000000000000000", "Storefront"}
	phoneApp = &app{"app0000000000000000000000000000", "Storefront App"}
	dash     = &app{"dash000000000000000000000000000", "auth0.com"}
	pipeline = &app{"cicd000000000000000000000000000", "Deployment"}
)

const (
	connection = "Username-Password-Authentication"
	customHost = "login.storefront.example"
)

// entry is an event before it is written.
type entry struct {
	at      time.Time
	typ     string
	text    string // description
	who     *person
	name    string // as typed, instead of the person's
	from    place
	app     *app   // webApp if nil
	details string // members of details, without braces
}

// carries says which members a type has, after Auth0's schemas: h hostname, c
// client, k connection, x fingerprint, p client_ip, a audience and scope.
var carries = map[string]string{
	"s": "hckx", "fp": "ckx", "fu": "ckx", "f": "hckx", "ss": "hckx", "fs": "ckx", "sv": "ck", "svr": "ck", "seacft": "phckxa", "sertft": "pcka",
	"ferrt": "phckxa", "fertft": "phcka", "slo": "hck", "ssa": "hc", "fsa": "hca", "pla": "hck", "limit_wc": "hckx", "limit_mu": "hckx",
	"pwd_leak": "hckx", "signup_pwd_leak": "hckx", "scpr": "ck", "scp": "ck", "sce": "ck", "cs": "ck", "gd_send_sms": "ck", "gd_auth_failed": "ck",
	"gd_otp_rate_limit_exceed": "ck", "seccft": "phcxa", "sapi": "c", "mgmt_api_read": "c", "srrt": "hck", "cls": "ck",
}

// writer writes the events of one day, story or attack.
type writer struct {
	story   string
	hostile bool
	stream  uint64 // tells the log_ids of writers apart
	seq     uint64
	failed  map[string]int // failures by address, and by address and name
	out     []Event
}

func newWriter(stream uint64, story string, hostile bool) *writer {
	return &writer{stream: stream, story: story, hostile: hostile, failed: map[string]int{}}
}

// log writes one event.
func (w *writer) log(e entry) {
	w.seq++
	at := e.at.UTC().Truncate(time.Millisecond)
	stamp := at.Format("20060102150405") + fmt.Sprintf("%03d", at.Nanosecond()/1_000_000)
	id := "900" + stamp + fmt.Sprintf("%016d%020d", w.stream, w.seq)
	has := carries[e.typ]
	b := make([]byte, 0, 640)
	b = append(b, `{"log_id":"`...)
	b = append(b, id...)
	b = append(b, `","date":"`...)
	b = at.AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, '"')
	add := func(key, value string) {
		b = append(b, ',', '"')
		b = append(b, key...)
		b = append(b, `":`...)
		b = strconv.AppendQuote(b, value)
	}
	add("type", e.typ)
	add("description", e.text)
	add("ip", e.from.ip)
	name, user := e.name, ""
	if e.who != nil {
		user = e.who.id
		if name == "" {
			name = e.who.email
		}
	}
	add("user_id", user)
	add("user_name", name)
	add("user_agent", e.from.agent.name)
	b = fmt.Appendf(b, `,"isMobile":%t`, e.from.agent.mobile)
	client := e.app
	if client == nil {
		client = webApp
	}
	for _, c := range has {
		switch c {
		case 'h':
			add("hostname", customHost)
		case 'c':
			add("client_id", client.id)
			add("client_name", client.name)
		case 'k':
			add("connection", connection)
			add("strategy", "auth0")
			add("strategy_type", "database")
		case 'x':
			if e.from.agent.ja4 != "" {
				b = fmt.Appendf(b, `,"security_context":{"ja4":%q}`, e.from.agent.ja4)
			}
		case 'p':
			add("client_ip", e.from.ip)
		case 'a':
			add("audience", "https://api.storefront.example/")
			add("scope", "openid profile offline_access")
		}
	}
	if c := e.from.at; c != nil {
		b = fmt.Appendf(b, `,"location_info":{"country_code":%q,"city_name":%q,"latitude":%.2f,"longitude":%.2f}`, c.code, c.city, c.lat, c.lon)
	}
	b = append(b, `,"tenant_name":"storefront","environment_name":"prod-eu-1","details":{`...)
	b = append(b, e.details...)
	b = append(b, '}', '}')
	w.out = append(w.out, Event{At: at, ID: id, Raw: b, Type: e.typ, IP: e.from.ip, UserID: user, Story: w.story, Hostile: w.hostile})
}

// fail writes a login that failed, and what Auth0's own protection says of it. A
// nil person is a name that does not exist.
func (w *writer) fail(at time.Time, p *person, name string, from place) {
	typ := "fp"
	if p == nil {
		typ = "fu"
	}
	w.log(entry{at: at, typ: typ, text: "Wrong email or password.", who: p, name: name, from: from, details: `"error":{"message":"Wrong email or password."}`})
	if p != nil {
		key := from.ip + " " + p.id
		if w.failed[key]++; w.failed[key] >= 10 && w.failed[key]%10 == 0 {
			w.log(entry{at: at.Add(40 * time.Millisecond), typ: "limit_wc", text: "Blocked account after too many failed logins from one address", who: p, from: from})
		}
	}
	if w.failed[from.ip]++; w.failed[from.ip] >= 100 && w.failed[from.ip]%100 == 0 {
		w.log(entry{at: at.Add(60 * time.Millisecond), typ: "limit_mu", text: "Blocked address after too many failed logins", who: p, name: name, from: from, details: `"flow":"login"`})
	}
}

// succeed writes a login and the tokens that it yields.
func (w *writer) succeed(at time.Time, p *person, from place, client *app) {
	session := fmt.Sprintf("%x", w.stream*1_000_003+w.seq)
	w.log(entry{at: at, typ: "s", text: "Successful login", who: p, from: from, app: client, details: `"session_id":"` + session + `","stats":{"loginsCount":7}`})
	w.log(entry{at: at.Add(700 * time.Millisecond), typ: "seacft", text: "Authorization Code for Access Token", who: p, from: from, app: client,
		details: `"refresh_token":{"access":"offline","session_id":"` + session + `"}`})
}

// refresh writes the exchange of a refresh token of a person's family.
func (w *writer) refresh(at time.Time, p *person, from place, counter int) {
	w.log(entry{at: at, typ: "sertft", text: "Refresh Token for Access Token", who: p, from: from, app: phoneApp,
		details: fmt.Sprintf(`"familyId":"fam_%d","tokenCounter":%d,"policy_used":"refresh_token_user_grant"`, p.n, counter)})
}

// reuse writes a refresh token that was presented twice.
func (w *writer) reuse(at time.Time, p *person, from place, counter int) {
	w.log(entry{at: at, typ: "ferrt", text: "Unsuccessful Refresh Token exchange, reused refresh token detected", who: p, from: from, app: phoneApp,
		details: fmt.Sprintf(`"familyId":"fam_%d","tokenCounter":%d,"latestCounter":%d`, p.n, counter, counter+1)})
}

// signUp writes a new account; verified ones follow the mail after a while.
func (w *writer) signUp(at time.Time, p *person, from place, verified time.Duration) {
	w.log(entry{at: at, typ: "ss", text: "Successful signup", who: p, from: from,
		details: fmt.Sprintf(`"body":{"client_id":%q,"connection":%q,"email":%q,"email_verified":false,"password":"*****"}`, webApp.id, connection, p.email)})
	if verified > 0 {
		w.log(entry{at: at.Add(verified), typ: "sv", text: "Your email was verified. You can continue using the application.", who: p, from: from})
	}
}

// factor writes one event of a second factor.
func (w *writer) factor(at time.Time, typ string, p *person, from place) {
	details := fmt.Sprintf(`"authenticator":{"id":"%s|%d","type":%q,"phone_number":%q},"enrollment":{"_id":"dev_%d","user_id":%q}`, p.factor, p.n, p.factor, masked(p.number), p.n, p.id)
	if typ == "gd_enrollment_complete" && p.factor == "push" {
		details = fmt.Sprintf(`"authenticator":{"id":"push|%d","type":"push"},"enrollment":{"_id":"dev_%d","identifier":"device-%d","user_id":%q}`, p.n, p.n, p.n, p.id)
	}
	w.log(entry{at: at, typ: typ, text: factorTexts[typ], who: p, from: from, details: details})
}

var factorTexts = map[string]string{
	"gd_send_sms": "Guardian - Second factor sms sent", "gd_send_pn": "Guardian - Second factor notification sent",
	"gd_auth_succeed": "Guardian - Second factor authentication success", "gd_auth_rejected": "Guardian - Second factor authentication rejected",
	"gd_auth_failed": "Guardian - Second factor authentication failed", "gd_enrollment_complete": "Guardian - Enrollment complete (sms)",
	"gd_recovery_failed": "Guardian - Recovery failed", "gd_recovery_succeed": "Guardian - Recovery success", "gd_unenroll": "Guardian - Unenroll device account",
	"gd_start_auth": "Guardian - Second factor started",
}

// masked is a telephone number as logs show it.
func masked(number string) string { return number[:2] + "XXXXXXX" + number[len(number)-3:] }

// call is one write to the Management API.
type call struct {
	method, path, text string
	body, answer       string // JSON; {} if empty
	client             *app   // the dashboard if nil
	read               string // a secret that it returned, of mgmt_api_read
}

// manage writes a call by an administrator, or by a client if who is nil.
func (w *writer) manage(at time.Time, who *person, from place, c call) {
	channel, user, client := "https://manage.auth0.com/", "{}", dash
	if who != nil {
		user = fmt.Sprintf(`{"email":%q,"name":%q,"user_id":%q}`, who.email, who.email, who.id)
	}
	if c.client != nil {
		channel, client = "api", c.client
	}
	body, answer := c.body, c.answer
	if body == "" {
		body = "{}"
	}
	if answer == "" {
		answer = body
	}
	typ, secrets := "sapi", ""
	if c.read != "" {
		typ, secrets = "mgmt_api_read", fmt.Sprintf(`,"accessedSecrets":[%q]`, c.read)
	}
	w.log(entry{at: at, typ: typ, text: c.text, who: who, from: from, app: client, details: fmt.Sprintf(
		`"request":{"method":%q,"path":%q,"query":{},"body":%s,"ip":%q,"userAgent":%q,"channel":%q,"auth":{"strategy":"jwt","user":%s,"credentials":{"jti":"j%d"}}},"response":{"statusCode":200,"body":%s}%s`,
		strings.ToLower(c.method), c.path, body, from.ip, from.agent.name, channel, user, w.stream, answer, secrets)})
}
