package tenantsim

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

const (
	schemaVersion   = "2.146.2"
	environmentName = "prod-eu-1"
	dateLayout      = "2006-01-02T15:04:05.000Z"
)

func formatDate(t time.Time) string { return t.UTC().Format(dateLayout) }

// event is one entry of the log in compact form; it becomes JSON when it is read.
type event struct {
	logID string
	at    time.Time
	typ   string

	who   *user  // the account; nil if there is none
	typed string // user_name as typed; the account's address if empty
	ip    string
	agent *agent
	app   *app

	session uint64 // seeds the ids in details; events of one login share it
	count   int    // logins of the user, or generation of the refresh token
	risky   bool   // verdict of a pla

	fixed []byte // the whole stream data object; then only logID, at and typ count besides
}

// shape says which members an event type carries, after Auth0's schema.
type shape struct {
	description                         string
	host, client, strategy, fingerprint bool
	clientIP, audience, scope, sdk      bool
}

var shapes = map[string]shape{
	"s":               {description: "Successful login", host: true, client: true, strategy: true, fingerprint: true, sdk: true},
	"fp":              {description: "Wrong email or password.", client: true, strategy: true, fingerprint: true},
	"fu":              {description: "Wrong email or password.", client: true, strategy: true, fingerprint: true},
	"pla":             {description: "Pre-login assessment", host: true, client: true},
	"limit_wc":        {description: "Blocked account after too many failed logins from one address", host: true, client: true, fingerprint: true},
	"limit_mu":        {description: "Blocked address after too many failed logins", host: true, client: true, fingerprint: true},
	"pwd_leak":        {description: "Login with a password found in a leak", host: true, client: true, fingerprint: true},
	"gd_send_sms":     {description: "Guardian - Second factor sms sent", client: true},
	"gd_auth_succeed": {description: "Guardian - Second factor authentication success"},
	"seacft":          {description: "Authorization Code for Access Token", host: true, client: true, fingerprint: true, clientIP: true, audience: true, sdk: true},
	"sertft":          {description: "Refresh Token for Access Token", client: true, clientIP: true, audience: true, scope: true},
	"ss":              {description: "Successful signup", host: true, client: true, strategy: true, fingerprint: true},
	"sv":              {description: "Your email was verified. You can continue using the application.", client: true, strategy: true},
	"slo":             {description: "User successfully logged out", host: true, client: true},
	"f":               {description: "user is blocked", host: true, client: true, strategy: true, fingerprint: true},
	"fertft":          {description: "Unsuccessful Refresh Token exchange", host: true, client: true, clientIP: true, audience: true},
}

// appendEnvelope appends the event as a log stream delivers it.
func (t *Tenant) appendEnvelope(b []byte, ev *event) []byte {
	o := object{b: b}
	o.open("")
	o.str("log_id", ev.logID)
	if ev.fixed != nil {
		o.raw("data", streamForm(ev.fixed, ev.logID))
	} else {
		o.open("data")
		o.open("$event_schema")
		o.str("version", schemaVersion)
		o.close()
		t.appendFields(&o, ev)
		o.str("user_agent", ev.agent.raw)
		o.boolean("is_mobile", ev.agent.mobile)
		o.str("log_id", ev.logID)
		o.close()
	}
	o.close()
	return o.b
}

// appendAPI appends the event as GET /logs shows it: bare, with _id, isMobile and a normalised user agent. Every third
// event has null members where it could as well leave them out.
func (t *Tenant) appendAPI(b []byte, ev *event) []byte {
	if ev.fixed != nil {
		return append(b, apiForm(ev.fixed, ev.logID)...)
	}
	o := object{b: b}
	o.open("")
	t.appendFields(&o, ev)
	o.str("user_agent", ev.agent.normal)
	o.boolean("isMobile", ev.agent.mobile)
	o.str("log_id", ev.logID)
	o.str("_id", ev.logID)
	if ev.session%3 == 0 {
		o.null("location_info")
		o.null("organization_id")
		if !shapes[ev.typ].audience {
			o.null("audience")
		}
		if !shapes[ev.typ].scope {
			o.null("scope")
		}
	}
	o.close()
	return o.b
}

// appendFields appends the members that both forms share.
func (t *Tenant) appendFields(o *object, ev *event) {
	s := shapes[ev.typ]
	o.str("date", formatDate(ev.at))
	o.str("type", ev.typ)
	o.str("description", s.description)
	conn := ev.connection()
	if s.client {
		o.str("connection", conn.name)
		o.str("connection_id", conn.id)
		o.str("client_id", ev.app.id)
		o.str("client_name", ev.app.name)
	}
	o.str("ip", ev.ip)
	if s.clientIP {
		o.str("client_ip", ev.ip)
	}
	if s.host {
		o.str("hostname", t.opts.CustomDomain)
	}
	o.str("user_id", ev.userID())
	o.str("user_name", ev.userName())
	if s.strategy {
		o.str("strategy", conn.strategy)
		o.str("strategy_type", conn.kind)
	}
	if s.audience {
		t.appendAudience(o, ev)
	}
	if s.scope {
		o.str("scope", "openid profile email offline_access")
	}
	if s.sdk {
		o.open("auth0_client")
		o.str("name", ev.app.sdk)
		o.str("version", ev.app.sdkV)
		o.close()
	}
	if s.fingerprint {
		o.open("security_context")
		o.str("ja3", ev.agent.ja3)
		o.str("ja4", ev.agent.ja4)
		o.close()
	}
	o.str("tenant_name", t.name)
	o.str("environment_name", environmentName)
	o.open("details")
	t.appendDetails(o, ev)
	o.close()
}

// appendAudience writes a string for most applications and a list for some, as tenants do.
func (t *Tenant) appendAudience(o *object, ev *event) {
	if !ev.app.audiences {
		o.str("audience", ev.app.audience)
		return
	}
	o.list("audience", ev.app.audience, "https://"+t.opts.Domain+"/userinfo")
}

// connection is where the user signs in.
func (ev *event) connection() *connection {
	if ev.who == nil || ev.who.conn == nil {
		return database
	}
	return ev.who.conn
}

func (ev *event) userID() string {
	if ev.who == nil {
		return ""
	}
	return ev.who.id
}

func (ev *event) userName() string {
	if ev.typed != "" || ev.who == nil {
		return ev.typed
	}
	return ev.who.email
}

func (t *Tenant) appendDetails(o *object, ev *event) {
	session := hexID(ev.session)
	switch ev.typ {
	case "s":
		t.appendLoginDetails(o, ev, session)
	case "fp", "fu":
		o.open("error")
		o.str("message", "Wrong email or password.")
		o.close()
		o.str("transaction_id", "txn_"+session)
	case "pla":
		o.boolean("requiresVerification", ev.risky)
		o.boolean("ipOnAllowlist", ev.count > 0)
		o.str("session_id", session)
	case "gd_send_sms", "gd_auth_succeed":
		appendFactorDetails(o, ev, t.name, session)
	case "seacft":
		o.str("code", "*************"+session[:3])
		o.str("access_token_jti", "at_"+session)
		o.open("refresh_token")
		o.str("access", "offline")
		o.str("session_id", session)
		o.close()
	case "sertft":
		o.str("familyId", "fam_"+hexID(familySeed(ev.who)))
		o.number("tokenCounter", ev.count)
		o.str("access_token_jti", "at_"+hexID(ev.session+uint64(ev.count)))
		o.str("policy_used", "refresh_token_user_grant")
		o.open("refresh_token")
		o.str("access", "offline")
		o.str("session_id", session)
		o.close()
	case "ss":
		t.appendSignupDetails(o, ev)
	case "sv":
		t.appendVerificationDetails(o, ev, session)
	case "slo":
		o.str("session_id", session)
		o.str("return_to", "https://www.storefront.example/")
		o.list("allowed_logout_url", "https://www.storefront.example/", "https://account.example/")
	case "limit_mu":
		o.str("flow", "login")
	case "f":
		o.open("error")
		o.str("message", "user is blocked")
		o.str("oauthError", "unauthorized")
		o.str("type", "oauth-authorization")
		o.close()
		o.open("stats")
		o.number("loginsCount", ev.count)
		o.close()
		o.str("session_id", session)
	case "fertft":
		if ev.count == refusedRevoked {
			o.str("failure_reason", "grant_revoked")
		}
		o.str("policy_used", "refresh_token_user_grant")
		o.open("refresh_token")
		o.str("access", "offline")
		o.str("session_id", session)
		o.close()
	}
}

func (t *Tenant) appendLoginDetails(o *object, ev *event, session string) {
	const elapsed = 2400
	done := ev.at.UnixMilli()
	o.openList("prompts")
	o.open("")
	o.str("name", "prompt-authenticate")
	o.number("completedAt", int(done-40))
	conn := ev.connection()
	o.str("connection", conn.name)
	o.str("connection_id", conn.id)
	o.str("strategy", conn.strategy)
	_, identity, _ := strings.Cut(ev.userID(), "|")
	o.str("identity", identity)
	o.open("stats")
	o.number("loginsCount", ev.count)
	o.close()
	o.number("elapsedTime", elapsed-200)
	o.close()
	o.open("")
	o.str("name", "login")
	o.str("flow", "login")
	o.number("initiatedAt", int(done-elapsed))
	o.number("completedAt", int(done-20))
	o.str("user_id", ev.userID())
	o.str("user_name", ev.userName())
	o.number("elapsedTime", elapsed-20)
	o.close()
	o.closeList()
	o.number("initiatedAt", int(done-elapsed))
	o.number("completedAt", int(done))
	o.number("elapsedTime", elapsed)
	o.str("session_id", session)
	o.open("stats")
	o.number("loginsCount", ev.count)
	o.close()
	o.str("transaction_id", "txn_"+session)
}

func appendFactorDetails(o *object, ev *event, tenant, session string) {
	id := ev.who.enrolment
	o.open("authenticator")
	o.str("id", id)
	o.str("type", "sms")
	o.str("phone_number", ev.who.phone)
	o.close()
	o.open("enrollment")
	o.str("_id", id[len("sms|"):])
	o.str("name", "sms")
	o.str("phone_number", ev.who.phone)
	o.str("tenant", tenant)
	o.str("user_id", ev.who.id)
	o.close()
	o.str("session_id", session)
	o.boolean("first_factor", false)
}

func (t *Tenant) appendSignupDetails(o *object, ev *event) {
	o.open("body")
	o.str("client_id", ev.app.id)
	o.str("connection", ev.app.connection)
	o.str("email", ev.userName())
	o.boolean("email_verified", false)
	o.str("password", "*****")
	o.str("tenant", t.name)
	o.str("user_id", ev.userID())
	o.str("ip", ev.ip)
	o.str("request_language", "en-GB,en;q=0.9")
	o.close()
}

func (t *Tenant) appendVerificationDetails(o *object, ev *event, session string) {
	o.str("title", "Email verified")
	o.str("email", ev.userName())
	o.open("query")
	o.str("client_id", ev.app.id)
	o.str("connection", ev.app.connection)
	o.str("email", ev.userName())
	o.str("idp_user_id", ev.userID()[len("auth0|"):])
	o.boolean("includeEmailInRedirect", false)
	o.str("resultUrl", "")
	o.str("tenant", t.name)
	o.str("user_id", ev.userID())
	o.close()
	o.open("body")
	o.str("tenant", t.name)
	o.str("ticket", "****"+session[:4])
	o.close()
}

func familySeed(u *user) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(u.id) {
		h = (h ^ uint64(u.id[i])) * 1099511628211
	}
	return h
}

// apiForm turns a stream data object into the API's form.
func apiForm(data []byte, id string) []byte {
	return reform(data, func(m map[string]any) {
		m["_id"], m["log_id"] = id, id
		if v, ok := m["is_mobile"]; ok {
			m["isMobile"] = v
			delete(m, "is_mobile")
		}
		if raw, ok := m["user_agent"].(string); ok {
			m["user_agent"] = normalAgent(raw)
		}
		delete(m, "$event_schema")
	})
}

// streamForm undoes what an injected event may have taken from the API's form.
func streamForm(data []byte, id string) []byte {
	return reform(data, func(m map[string]any) {
		m["log_id"] = id
		delete(m, "_id")
		if v, ok := m["isMobile"]; ok {
			m["is_mobile"] = v
			delete(m, "isMobile")
		}
	})
}

func reform(data []byte, change func(map[string]any)) []byte {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return data
	}
	change(m)
	out, err := json.Marshal(m)
	if err != nil {
		return data
	}
	return out
}
