package actions

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"portcullis/internal/auth0"
)

// The head of the code says whose it is, and by its sum whether somebody changed
// what stands below:
//
//	// portcullis:v1 action=pkce-required sha256=0c6f…
var headLine = regexp.MustCompile(`^// portcullis:v1 action=([a-z0-9-]+) sha256=([0-9a-f]{64})\n`)

const advice = `// Made by Portcullis. Do not edit it here: change the settings in the configuration and
// run portcullis actions prepare. A copy that somebody edited is never bound in an attack.
`

// Render is the code with the settings in it, as it is deployed. missing are the
// required settings that have no value; there is no code then.
//
// The settings are one JSON literal made by the encoder, which escapes what could
// end a line or a script; no text of theirs is ever pasted into code.
func (t *Template) Render(given map[string]any, facts Facts) (code string, missing []string, err error) {
	values, missing, err := t.values(given, facts)
	if err != nil || len(missing) > 0 {
		return "", missing, err
	}
	var literal bytes.Buffer
	enc := json.NewEncoder(&literal)
	enc.SetEscapeHTML(true)
	if err := enc.Encode(values); err != nil {
		return "", nil, fmt.Errorf("encode the settings of %s: %w", t.ID, err)
	}
	filled := "const settings = " + strings.TrimSpace(literal.String()) + "; // portcullis:settings"
	before, after, _ := strings.Cut(t.source, mark)
	body := advice + before + filled + after
	code = fmt.Sprintf("// portcullis:v1 action=%s sha256=%s\n%s", t.ID, sum(body), body)
	if len(code) > auth0.MaxActionCode {
		return "", nil, fmt.Errorf("the code of %s has %d bytes with its settings, %d are allowed: shorten its lists", t.ID, len(code), auth0.MaxActionCode)
	}
	return code, nil, nil
}

func sum(body string) string {
	s := sha256.Sum256([]byte(body))
	return hex.EncodeToString(s[:])
}

// madeBy reads the head of some code: which template it was made of, "" if it is
// not ours, and whether it is still as it was made.
func madeBy(code string) (template string, untouched bool) {
	m := headLine.FindStringSubmatch(code)
	if m == nil {
		return "", false
	}
	return m[1], sum(code[len(m[0]):]) == m[2]
}
