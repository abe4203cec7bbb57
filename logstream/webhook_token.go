package logstream

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// datadogKey is the header in which the Datadog stream sends its key.
const datadogKey = "DD-API-KEY"

// tokens are the digests of the accepted tokens: of equal length, so that a
// comparison takes as long for every guess.
type tokens [][sha256.Size]byte

func newTokens(secrets []string) (tokens, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no token; without one anybody could send events")
	}
	var all tokens
	for _, s := range secrets {
		if s == "" {
			return nil, errors.New("a token is empty; is the variable or file that holds it set?")
		}
		// A header can carry neither, so such a token would refuse every request.
		if strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, errors.New("a token has white space around it or control characters in it; does its file end in a newline?")
		}
		all = append(all, sha256.Sum256([]byte(s)))
	}
	return all, nil
}

// allow reports whether the headers bear a token. Every form is compared with
// every token, whichever of them fits.
func (t tokens) allow(h http.Header) bool {
	whole := h.Get("Authorization")
	bearer := ""
	switch scheme(h) {
	case "bearer", "splunk":
		_, bearer, _ = strings.Cut(whole, " ")
		bearer = strings.TrimSpace(bearer)
	}
	found := 0
	for _, candidate := range [...]string{whole, bearer, h.Get(datadogKey)} {
		digest := sha256.Sum256([]byte(candidate))
		for i := range t {
			found |= subtle.ConstantTimeCompare(digest[:], t[i][:])
		}
	}
	return found == 1
}

// meet reports whether two have a token in common.
func (t tokens) meet(other tokens) bool {
	for _, a := range t {
		if slices.Contains(other, a) {
			return true
		}
	}
	return false
}
