package main

import "fmt"

// members are the optional members that a type of event carries.
type members uint16

const (
	host        members = 1 << iota // hostname
	client                          // client_id; client_name is on nearly all
	connection                      // connection, connection_id
	peer                            // client_ip
	person                          // user_id, user_name
	strategy                        // strategy, strategy_type
	fingerprint                     // security_context
	audience
	scope
	sdk       // auth0_client
	reference // references
)

// shape is what events of one type look like, and how frequent they are.
type shape struct {
	code        string
	share       int // of total
	description string
	has         members
	unknown     bool // the name is nobody's
	details     func(b []byte, e *event) []byte
}

const login = host | client | connection | person | strategy | fingerprint

// traffic is that of a tenant with applications that renew their tokens,
// a few machines, and second factors for some users.
var traffic = []*shape{
	{"sertft", 2900, "Successful Refresh Token exchange", client | connection | peer | person | audience | scope | sdk, false, refreshed},
	{"seacft", 1700, "Authorization Code for Access Token", host | client | connection | peer | person | fingerprint | audience | sdk | reference, false, exchanged},
	{"s", 1250, "Successful login", login | sdk, false, loggedIn},
	{"ssa", 900, "Successful silent authentication", host | client | person | sdk, false, silent},
	{"pla", 700, "Pre-login assessment", host | client | connection, false, assessed},
	{"seccft", 600, "Client Credentials for Access Token", host | client | peer | fingerprint | audience | scope, false, machine},
	{"slo", 380, "User successfully logged out", host | client | connection | person, false, loggedOut},
	{"fp", 320, "Wrong email or password.", client | connection | person | strategy | fingerprint, false, refused},
	{"fsa", 200, "Login required", host | client | audience | scope | sdk, false, silentRefused},
	{"fu", 120, "Wrong email or password.", client | connection | person | strategy | fingerprint, true, refused},
	{"gd_start_auth", 160, "Guardian - Second factor authentication started", connection | person, false, factor},
	{"gd_auth_succeed", 150, "Guardian - Second factor authentication succeeded", person, false, factor},
	{"gd_send_pn", 90, "Guardian - Second factor notification sent", person, false, factor},
	{"gd_send_sms", 60, "Guardian - Second factor sms sent", client | connection | person, false, factor},
	{"gd_auth_failed", 15, "Guardian - Second factor authentication failed", client | connection | person, false, factor},
	{"gd_enrollment_complete", 15, "Guardian - Enrollment complete (sms)", person, false, factor},
	{"f", 80, `Callback URL mismatch. https://app.example.com/old is not in the list of \"Allowed Callback URLs\"`, login | sdk, false, failed},
	{"sapi", 110, "Update a User", client, false, managed},
	{"mgmt_api_read", 20, "Get client by ID", client, false, secretRead},
	{"fertft", 80, "Unknown or invalid refresh token.", host | client | connection | peer | person | audience | scope, false, renewalRefused},
	{"feacft", 25, "Invalid authorization code", host | client | connection | peer | person | fingerprint, false, renewalRefused},
	{"ss", 50, "Successful signup", login, false, signedUp},
	{"sv", 40, "Your email was verified. You can continue using the application.", client | connection | person | strategy, false, verified},
	{"scpr", 18, "Change password request succeeded", client | connection | person | strategy, false, mailed},
	{"scp", 11, "Your password has been changed", client | connection | person | strategy, false, mailed},
	{"limit_wc", 3, "Too many failed logins into one account from one address", login &^ strategy, false, limited},
	{"pwd_leak", 2, "Login with a password found in a leak", login &^ strategy, false, limited},
	{"ferrt", 1, "Unsuccessful Refresh Token exchange, reused refresh token detected", host | client | connection | peer | person | fingerprint | audience, false, reused},
}

// total is the sum of all shares.
const total = 10_000

var shapes, byShare = index(traffic)

// index returns the shapes by code, and each as often as its share.
func index(traffic []*shape) (byCode map[string]*shape, byShare []*shape) {
	byCode = map[string]*shape{}
	for _, s := range traffic {
		byCode[s.code] = s
		for range s.share {
			byShare = append(byShare, s)
		}
	}
	return byCode, byShare
}

// flip is a digit of 0 or 1 that an event's session decides.
func (e *event) flip(n uint) uint64 { return e.session >> n & 1 }

const trusting = `"riskAssessment":{"confidence":"%s","version":"1","assessments":{` +
	`"ImpossibleTravel":{"code":"minimal_travel_from_last_login","confidence":"high"},` +
	`"NewDevice":{"code":"%s","confidence":"%s","details":{"device":"known","useragent":"known"}},` +
	`"UntrustedIP":{"code":"not_found_on_deny_list","confidence":"high"}}}`

func loggedIn(b []byte, e *event) []byte {
	began := e.at.UnixMilli() - 4000
	return fmt.Appendf(b, `{"prompts":[{"name":"prompt-authenticate","initiatedAt":%d,"completedAt":%d,"connection":"Username-Password-Authentication",`+
		`"connection_id":"con_Zr4Tq8Lm2Wx6Yb1N","strategy":"auth0","identity":"%024x","stats":{"loginsCount":%d},"requiredCaptcha":false,"session_id":"%032x"}],`+
		`"initiatedAt":%d,"completedAt":%d,"elapsedTime":%d,"session_id":"%032x","stats":{"loginsCount":%d},`+trusting+`}`,
		began, began+20, identity(e.user), e.session%900, e.session, began, e.at.UnixMilli(), e.session%4000, e.session, e.session%900, "high", "match", "high")
}

func signedUp(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"prompts":[],"session_id":"%032x","body":{"tenant":"acme-prod","client_id":"%s","connection":"Username-Password-Authentication",`+
		`"email":"user%06d@mail.example","password":"*****","request_language":"en-GB","user_metadata":{"plan":"free","newsletter":false},"email_verified":false,`+
		`"transaction":{"id":"txn_%016x","locale":"en","protocol":"oidc-basic-profile","prompt":[],"acr_values":[],"redirect_uri":"https://app.example.com/callback"}}}`,
		e.session, apps[e.app].id, e.user, e.session)
}

func refused(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"error":{"message":"Wrong email or password."},"transaction_id":"txn_%016x%016x","consoleOut":[],"session_id":"%032x",`+trusting+`}`,
		e.session, e.session>>7, e.session, "medium", "no_match", "low")
}

func failed(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"error":{"message":"Callback URL mismatch.","oauthError":"unauthorized_client","type":"callback-url-mismatch","uri":"",`+
		`"payload":{"message":"Callback URL mismatch","code":"unauthorized_client","status":"403","name":"CallbackMismatchError","authorized":["https://app.example.com/callback"],`+
		`"attempt":1,"clientID":"%s"}},"qs":{"response_type":"code","scope":"openid profile email","state":"%016x","nonce":"%016x"},"session_id":"%032x"}`,
		apps[e.app].id, e.session, e.session>>3, e.session)
}

func exchanged(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"code":"*************************************%03x","access_token_jti":"%016x%016x","requested_client_id":"%s",`+
		`"refresh_token":{"access":"offline","session_id":"%032x"},"actions":{"executions":["%040x","%040x"]}}`,
		e.session&0xfff, e.session, e.session>>5, apps[e.app].id, e.session, e.session>>1, e.session>>2)
}

func refreshed(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"familyId":"%024x","tokenCounter":%d,"access_token_jti":"%016x%016x","policy_used":"mrrt","requested_audience":"https://api.example.com/",`+
		`"requested_scope":"openid profile email offline_access","refresh_token":{"access":"offline","session_id":"%032x"}}`,
		identity(e.user), e.session%60, e.session, e.session>>9, e.session)
}

func renewalRefused(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"failure_reason":"invalid_token","policy_used":"refresh_token_user_grant","refresh_token":{"access":"offline","session_id":"%032x"},`+
		`"actions":{"executions":["%040x"]}}`, e.session, e.session>>4)
}

func reused(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"familyId":"%024x","tokenCounter":%d,"latestCounter":%d}`, identity(e.user), e.session%40, e.session%40+2)
}

func silent(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"initiatedAt":%d,"completedAt":%d,"elapsedTime":%d,"session_id":"%032x","prompts":[{"name":"session","session":true,"session_id":"%032x",`+
		`"stats":{"loginsCount":%d},"requiredCaptcha":false}],"actions":{"executions":["%040x"]}}`,
		e.at.UnixMilli()-40, e.at.UnixMilli(), e.session%90, e.session, e.session, e.session%900, e.session>>4)
}

func silentRefused(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"error":{"message":"Login required","oauthError":"login_required","type":"oauth-authorization"},"qs":{"response_type":"code",`+
		`"prompt":"none","response_mode":"web_message","state":"%016x","nonce":"%016x"},"body":{}}`, e.session, e.session>>3)
}

func machine(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"access_token_jti":"%016x%016x","actions":{"executions":["%040x"]}}`, e.session, e.session>>9, e.session>>4)
}

func assessed(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"requiresVerification":%t,"requiresVerificationForSignupFlow":%t,"ipOnAllowlist":false,"session_id":"%032x",`+
		`"transaction_id":"txn_%016x"}`, e.risky, e.risky, e.session, e.session>>5)
}

func loggedOut(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"session_id":"%032x","return_to":"https://app.example.com/bye","initiated_by":"user","allowed_logout_url":["https://app.example.com/bye","https://www.example.com/"]}`,
		e.session)
}

func factor(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"authenticator":{"id":"sms|dev_%016x","type":"sms","phone_number":"+1XXXXXXX%03d"},"enrollment":{"_id":"%024x","identifier":"dev_%016x","name":"Phone",`+
		`"phone_number":"+1XXXXXXX%03d","tenant":"acme-prod","user_id":"auth0|%024x"},"device_id":"v0:%016x-%016x","session_id":"%032x","remember_browser":%t,`+
		`"request":{"auth":{"scopes":[],"strategy":"jwt"},"body":{"code":"*****"},"ip":"100.64.0.1","method":"POST","path":"/api/start-flow","query":"","userAgent":"guardian/2"},"response":{"statusCode":200,"body":{"state":"pending"}}}`,
		identity(e.user)>>9, e.user%1000, identity(e.user), identity(e.user)>>9, e.user%1000, identity(e.user), e.session, e.session>>3, e.session, e.flip(7) == 1)
}

func managed(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"request":{"method":"patch","path":"/api/v2/users/auth0%%7C%024x","query":{},"body":{"user_metadata":{"last_seen":"%s","theme":"dark"}},"channel":"api",`+
		`"ip":"100.64.0.1","userAgent":"backend/3.2","auth":{"strategy":"jwt","user":{},"credentials":{"jti":"%032x","scopes":["read:users","update:users"]}}},`+
		`"response":{"statusCode":200,"body":{"user_id":"auth0|%024x","email":"user%06d@mail.example","email_verified":true,"user_metadata":{"theme":"dark"},"logins_count":%d}}}`,
		identity(e.user), e.at.Format("2006-01-02"), e.session, identity(e.user), e.user, e.session%900)
}

func mailed(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"body":{"client_id":"%s","connection":"Username-Password-Authentication","email":"user%06d@mail.example","tenant":"acme-prod","ttl_sec":"432000",`+
		`"verify":true,"requiredCaptcha":false},"query":{"client_id":"%s","ticket":"*****"},"title":"Your account","email":"user%06d@mail.example","transaction_id":"txn_%016x"}`,
		apps[e.app].id, e.user, apps[e.app].id, e.user, e.session)
}

func verified(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"title":"Your email was verified. You can continue using the application.","email":"user%06d@mail.example","query":{"email":"user%06d@mail.example",`+
		`"user_id":"auth0|%024x","idp_user_id":"%024x","connection":"Username-Password-Authentication","tenant":"acme-prod","ticket":"*****","resultUrl":"https://app.example.com/",`+
		`"client_id":"%s","includeEmailInRedirect":false}}`, e.user, e.user, identity(e.user), identity(e.user), apps[e.app].id)
}

func secretRead(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"accessedSecrets":["client_secret"],"request":{"method":"get","path":"/api/v2/clients/%s","query":{},"body":{},"channel":"api","ip":"100.64.0.1",`+
		`"userAgent":"backend/3.2","auth":{"strategy":"jwt","user":{"email":"robot@acme.example","name":"Robot","user_id":"auth0|robot"},"credentials":{"jti":"%032x","scopes":["read:clients","read:client_keys"]}}},`+
		`"response":{"statusCode":200,"body":{"client_id":"%s","name":"%s","client_secret":"*****","grant_types":["authorization_code","refresh_token"]}}}`,
		apps[e.app].id, e.session, apps[e.app].id, apps[e.app].name)
}

func limited(b []byte, e *event) []byte {
	return fmt.Appendf(b, `{"flow":"login","session_id":"%032x"}`, e.session)
}
