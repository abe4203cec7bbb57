package tenantsim

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// accessToken is one token given out; it looks like a JWT but is known by its text.
type accessToken struct {
	jti     string
	expires time.Time // real
	scopes  []string
	used    bool // sapi shows the scopes of a token only the first time
}

func (a *accessToken) require(scope string) *apiError {
	for _, needed := range strings.Split(scope, "+") {
		if !slices.Contains(a.scopes, needed) {
			return insufficientScope(scope)
		}
	}
	return nil
}

func insufficientScope(scope string) *apiError {
	which := "any"
	if strings.Contains(scope, "+") {
		which, scope = "all", strings.ReplaceAll(scope, "+", ", ")
	}
	return &apiError{status: http.StatusForbidden, code: "insufficient_scope", message: "Insufficient scope, expected " + which + " of: " + scope}
}

func unauthorised(message string) *apiError {
	return &apiError{status: http.StatusUnauthorized, message: message}
}

// serveToken answers POST /oauth/token.
func (t *Tenant) serveToken(req *request) *answer {
	t.stats.TokenCalls++
	if t.denied("authentication", req.client(t)) {
		return blockPage()
	}
	if req.method != http.MethodPost {
		return fail(notFound("Not Found"))
	}
	form, problem := tokenForm(req)
	if problem != "" {
		return oauthError(http.StatusBadRequest, "invalid_request", problem)
	}
	switch grant := form["grant_type"]; grant {
	case "client_credentials":
	case "":
		return oauthError(http.StatusBadRequest, "invalid_request", "Missing required parameter: grant_type")
	default:
		return oauthError(http.StatusForbidden, "unsupported_grant_type", "Unsupported grant type: "+grant)
	}
	if form["client_id"] != t.opts.ClientID || subtle.ConstantTimeCompare([]byte(form["client_secret"]), []byte(t.opts.ClientSecret)) != 1 {
		return oauthError(http.StatusUnauthorized, "access_denied", "Unauthorized")
	}
	switch form["audience"] {
	case t.Audience():
		return t.issueToken()
	case "":
		return oauthError(http.StatusForbidden, "access_denied", "No audience parameter was provided, and no default audience has been configured")
	}
	return oauthError(http.StatusForbidden, "access_denied", "Service not found: "+form["audience"])
}

// tokenForm reads the parameters from a form or JSON body; HTTP Basic gives the credentials the body does not.
func tokenForm(req *request) (map[string]string, string) {
	form := make(map[string]string)
	kind, _, _ := mime.ParseMediaType(req.header.Get("Content-Type"))
	switch {
	case req.tooLarge:
		return nil, "Request body is too large"
	case kind == "application/json":
		var m map[string]any
		if err := json.Unmarshal(req.body, &m); err != nil {
			return nil, "Invalid JSON body"
		}
		for k, v := range m {
			if s, ok := v.(string); ok {
				form[k] = s
			}
		}
	default:
		values, err := url.ParseQuery(string(req.body))
		if err != nil {
			return nil, "Invalid form body"
		}
		for k := range values {
			form[k] = values.Get(k)
		}
	}
	if id, secret, ok := (&http.Request{Header: req.header}).BasicAuth(); ok && form["client_secret"] == "" {
		form["client_id"], form["client_secret"] = unescape(id), unescape(secret)
	}
	return form, ""
}

// unescape undoes the form encoding that RFC 6749 asks for in Basic credentials.
func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

func (t *Tenant) issueToken() *answer {
	now := time.Now()
	for text, tok := range t.tokens {
		if now.After(tok.expires) {
			delete(t.tokens, text)
		}
	}
	tok := &accessToken{jti: hexID(t.ids.Uint64(), t.ids.Uint64()), expires: now.Add(t.opts.TokenLifetime), scopes: t.opts.Scopes}
	scope := strings.Join(tok.scopes, " ")
	text := tokenText(map[string]any{
		"iss": "https://" + t.opts.Domain + "/", "sub": t.opts.ClientID + "@clients", "aud": t.Audience(), "azp": t.opts.ClientID,
		"iat": now.Unix(), "exp": tok.expires.Unix(), "scope": scope, "gty": "client-credentials", "jti": tok.jti,
	})
	t.tokens[text] = tok
	a := reply(http.StatusOK, map[string]any{
		"access_token": text, "token_type": "Bearer", "expires_in": int(t.opts.TokenLifetime.Seconds()), "scope": scope,
	})
	a.set("Cache-Control", "no-store")
	return a
}

// tokenText is header.claims.signature; the signature is random, as only the tenant itself checks tokens.
func tokenText(claims map[string]any) string {
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	signature := make([]byte, 32)
	_, _ = rand.Read(signature) // crypto/rand never fails
	return part(map[string]string{"alg": "RS256", "typ": "JWT", "kid": "simulated"}) + "." + part(claims) + "." +
		base64.RawURLEncoding.EncodeToString(signature)
}

func (t *Tenant) checkToken(header string, now time.Time) (*accessToken, *apiError) {
	scheme, text, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || text == "" {
		return nil, unauthorised("Missing authentication")
	}
	tok, known := t.tokens[text]
	switch {
	case !known:
		return nil, unauthorised("Invalid token")
	case now.After(tok.expires):
		return nil, unauthorised("Expired token received for JSON Web Token validation")
	}
	return tok, nil
}

// RevokeTokens makes every token given out so far unknown, as rotating the signing keys would.
func (t *Tenant) RevokeTokens() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.tokens)
}

func oauthError(status int, code, description string) *answer {
	return reply(status, map[string]string{"error": code, "error_description": description})
}
