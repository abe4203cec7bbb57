package lint

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/catalog"
	"portcullis/internal/diag"
)

// found is a report in short: rule@line:col, warnings with a question mark.
func found(r Report) []string {
	out := []string{}
	for _, p := range r.Problems {
		out = append(out, fmt.Sprintf("%s@%d:%d", p.Key, p.Line, p.Col))
	}
	for _, p := range r.Warnings {
		out = append(out, fmt.Sprintf("%s?@%d:%d", p.Key, p.Line, p.Col))
	}
	return out
}

// lintBody lints a handler with the given lines, which begin on line 2.
func lintBody(body string) []string {
	return found(Check(diag.NewSource("a.js", []byte("exports.onExecutePostLogin = async (event, api) => {\n"+body+"\n};\n"))))
}

func TestTheShippedActionsKeepToTheGuidelines(t *testing.T) {
	files, err := fs.Glob(catalog.FS, "actions/*.js")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		data, err := fs.ReadFile(catalog.FS, name)
		require.NoError(t, err)
		r := Check(diag.NewSource(name, data))
		require.Empty(t, r.Problems, name)
		require.Empty(t, r.Warnings, name)
	}
}

func TestWhatIsFoundInAHandler(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		want []string
	}{
		"nothing": {`if (event.client.client_id !== "a") return;` + "\n" + `api.access.deny("no");`, nil},

		"a throw":                   {`if (event.x) throw new Error("no");`, []string{"throw@2:14"}},
		"a throw that is caught":    {`try { throw 1; } catch { return; }`, nil},
		"a throw out of a catch":    {`try { f(); } catch (e) { throw e; }`, []string{"throw@2:26"}},
		"a throw with only finally": {`try { throw 1; } finally { f(); }`, []string{"throw@2:7"}},
		"a throw in a callback":     {`try { [1].map((x) => { throw x; }); } catch {}`, []string{"throw@2:24"}},

		"loose comparisons":                      {`if (event.a == 1 || event.b != 2) return;`, []string{"equality?@2:5", "equality?@2:21"}},
		"columns count characters and not bytes": {`const s = "äöü"; if (s == 1) return;`, []string{"equality?@2:22"}},

		"else behind a return":         {"if (event.a) {\n return;\n} else {\n f();\n}", []string{"guard?@4:8"}},
		"else if is no deeper":         {"if (a) f(); else if (b) f(); else if (c) f(); else f();", nil},
		"three levels":                 {"if (a) { if (b) { if (c) f(); } g(); }\nh();", []string{"guard?@2:19"}},
		"everything in a condition":    {"if (a) {\n f();\n g();\n h();\n i();\n}", []string{"guard?@2:1"}},
		"a short condition at the end": {"if (a) f();", nil},

		"a request without a timeout":       {`try { await fetch("https://a.example"); } catch {}`, []string{"timeout@2:13"}},
		"a request with one":                {`try { await fetch("https://a.example", { signal: AbortSignal.timeout(5000) }); } catch {}`, nil},
		"a request with a long one":         {`try { await fetch(u, { signal: AbortSignal.timeout(10 * 1000) }); } catch {}`, []string{"timeout@2:32"}},
		"a request with a named one":        {`const ms = 3 * 1000; const o = { signal: AbortSignal.timeout(ms) }; try { await fetch(u, o); } catch {}`, nil},
		"a request with a spread":           {`const o = { signal: AbortSignal.timeout(1) }; try { await fetch(u, { ...o, method: "POST" }); } catch {}`, nil},
		"a request whose options are given": {`try { await fetch(u, event.x); } catch {}`, nil},
		"a signal from elsewhere":           {`try { await fetch(u, { signal: c.signal }); } catch {}`, []string{"timeout?@2:32"}},
		"a signal with a timer":             {`const c = new AbortController(); setTimeout(() => c.abort(), 5000); try { await fetch(u, { signal: c.signal }); } catch {}`, nil},
		"axios without":                     {`const axios = require("axios"); try { await axios.get(u); } catch {}`, []string{"timeout@2:45"}},
		"axios with":                        {`const axios = require("axios"); try { await axios.post(u, {}, { timeout: 2000 }); } catch {}`, nil},
		"axios with data alone":             {`const axios = require("axios"); try { await axios.post(u, { timeout: 2000 }); } catch {}`, []string{"timeout@2:45"}},
		"axios called with too much":        {`const axios = require("axios").default; try { await axios({ url: u, timeout: 30000 }); } catch {}`, []string{"timeout@2:78"}},
		"https without":                     {`const { get } = require("node:https"); try { get("https://a.example", () => {}); } catch {}`, []string{"timeout@2:46"}},
		"https with":                        {`const https = require("https"); try { https.request({ host: u, timeout: 900 }); } catch {}`, nil},
		"got in parts":                      {`const got = require("got"); try { await got.post(u, { timeout: { request: 12000 } }); } catch {}`, []string{"timeout@2:64"}},
		"a method of something else":        {`const x = { get() {} }; x.get(u);`, nil},

		"a request that nobody catches":     {`await fetch(u, { signal: AbortSignal.timeout(1) });`, []string{"failure?@2:7"}},
		"a request with a catch of its own": {`await fetch(u, { signal: AbortSignal.timeout(1) }).catch(() => undefined);`, nil},
		"requests in a loop":                {`for (const u of us) { try { await fetch(u, { signal: AbortSignal.timeout(1) }); } catch {} }`, []string{"loop?@2:35"}},

		"the whole event":             {`console.log(event);`, []string{"personal-data@2:13"}},
		"the whole user as JSON":      {"console.log(`u ${JSON.stringify(event.user)}`);", []string{"personal-data@2:13"}},
		"an address":                  {`console.error("from " + event.request.ip);`, []string{"personal-data@2:15"}},
		"through a name":              {`const who = event.user; console.log("x", who.email);`, []string{"personal-data@2:42"}},
		"through a pattern":           {`const { user: { email }, request: { ip: from } } = event; console.log(email); console.log(from);`, []string{"personal-data@2:71", "personal-data@2:91"}},
		"through a text":              {"const line = `login of ${event.user?.name}`; console.log(line);", []string{"personal-data@2:58"}},
		"with a default":              {`const user = event.user || {}; console.log(user.phone_number.trim());`, []string{"personal-data@2:44"}},
		"a computed member":           {`console.log(event.user[field]);`, []string{"personal-data@2:13"}},
		"a member in brackets":        {`console.log(event["user"]["email"]);`, []string{"personal-data@2:13"}},
		"in an object":                {`console.log({ id: 1, ip: event.request.ip });`, []string{"personal-data@2:13"}},
		"the user_id":                 {`console.log("user", event.user.user_id, event.client.client_id, event.request.geoip.countryCode);`, nil},
		"a comparison":                {`console.log("own", event.user.email === "a", event.user.email ? 1 : 2, event.user.email.length);`, nil},
		"what a function makes of it": {`console.log(hash(event.user.email));`, nil},
		"a secret in the log":         {`console.log(event.secrets.KEY);`, []string{"secret@2:13"}},
		"a log line in a loop":        {`for (;;) console.log("x");`, []string{"loop?@2:10"}},
		"much log":                    {`console.log("` + strings.Repeat("x", 200) + `"); console.log("` + strings.Repeat("y", 60) + `");`, []string{"log?@2:218"}},

		"a token":                 {`const t = "eyJhbGciOiJI.eyJzdWIiOiIx.sig";`, []string{"secret@2:11"}},
		"a key of a payment API":  {`pay("sk_live_abcdefgh12345678");`, []string{"secret@2:5"}},
		"a private key":           {"const k = `-----BEGIN RSA PRIVATE KEY-----\nMII`;", []string{"secret@2:13"}},
		"a header":                {`f({ headers: { authorization: "Bearer abcdef123456" } });`, []string{"secret@2:31"}},
		"a password in a URL":     {`f("postgres://me:hunter22@db.example/x");`, []string{"secret@2:3"}},
		"a named secret":          {`const client_secret = "aB3dE5gH7jK9";`, []string{"secret@2:23"}},
		"a named fallback":        {`const apiKey = event.secrets.KEY || "aB3dE5gH7jK9";`, []string{"secret@2:37"}},
		"a member that is one":    {`f({ clientSecret: "aB3dE5gH7jK9" }); o.password = "hunter2hunter2";`, []string{"secret@2:19", "secret@2:51"}},
		"names of secrets":        {`f({ secret: "CLIENT_SECRET", password: "password", api_key: "https://docs.example/key1" });`, nil},
		"a secret from its place": {`f({ client_secret: event.secrets.CLIENT_SECRET });`, nil},

		"last_ip": {`if (event.user.last_ip === event.request.ip) return;`, []string{"last-ip?@2:5"}},

		"a comment with a reason":    {"// portcullis: allow equality null and undefined are both meant\nif (event.a == null) return;", nil},
		"a comment without a reason": {"// portcullis: allow equality\nif (event.a == null) return;", []string{"equality?@3:5"}},
		"a comment on another rule":  {"if (event.a == null) return; // portcullis: allow throw for now", []string{"equality?@2:5"}},
	} {
		t.Run(name, func(t *testing.T) {
			want := tt.want
			if want == nil {
				want = []string{}
			}
			require.Equal(t, want, lintBody(tt.body))
		})
	}
}

func TestWhatIsFoundInAFile(t *testing.T) {
	for name, tt := range map[string]struct {
		code string
		want []string
	}{
		"no handler":              {"const x = 1;", []string{"handler?@0:0"}},
		"a misspelt handler":      {"exports.executePostLogin = async () => {};", []string{"handler?@0:0"}},
		"a handler by name":       {"async function main(e) { console.log(e.user); }\nexports.onExecutePostLogin = main;", []string{"personal-data@1:38"}},
		"module.exports":          {"module.exports = { onExecutePostLogin: async (e, api) => { throw 1; } };", []string{"throw@1:60"}},
		"two handlers":            {"exports.onExecutePostLogin = async () => {};\nexports.onContinuePostLogin = async (ev) => { console.log(ev.user.name); };", []string{"personal-data@2:59"}},
		"a message is denied so":  {`exports.onExecuteSendPhoneMessage = async (event) => { throw new Error("too many"); };`, []string{}},
		"a mark at the beginning": {"\ufeffexports.onExecutePostLogin = async () => { throw 1; };", []string{"throw@1:44"}},
		"lines that end in CR LF": {"exports.onExecutePostLogin = async () => {\r\n  throw 1;\r\n};", []string{"throw@2:3"}},
		"a module of ECMAScript":  {"import axios from \"axios\";\nexport const x = 1;", []string{"syntax@1:1"}},
		"no JavaScript":           {"exports.onExecutePostLogin = async (event => {", []string{"syntax@1:47"}},
		"an empty file":           {"", []string{"handler?@0:0"}},
		"an asynchronous trigger": {"exports.onExecutePostUserRegistration = async () => { await fetch(u, { signal: AbortSignal.timeout(1) }); };", []string{}},
		"newer syntax":            {"exports.onExecutePostLogin = async (e) => { for await (const x of y) { a ??= x?.b; } await import(\"x\"); };", []string{}},
		"too much code":           {"exports.onExecutePostLogin = async () => {};//" + strings.Repeat("x", maxCode), []string{"size@0:0"}},
		"far too much code":       {strings.Repeat("(", maxParsed+1), []string{"size@0:0"}},
		"a map that is elsewhere": {"exports.onExecutePostLogin = async () => {};\n//# sourceMappingURL=/etc/hostname", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, found(Check(diag.NewSource("a.js", []byte(tt.code)))))
		})
	}
}

func TestEachFindingSaysWhatToDo(t *testing.T) {
	r := Check(diag.NewSource("a.js", []byte("exports.onExecutePostLogin = async (event) => {\n\tif (event.a == 1) throw 1;\n};")))
	require.Equal(t, "a.js:2:20: throw: a throw fails the whole flow, for every user that gets here\n"+
		" 2 |     if (event.a == 1) throw 1;\n"+
		"                           ^^^^^^^\n"+
		" hint: return early, or refuse with api.access.deny(...)", r.Problems[0].String())
	require.NotEmpty(t, r.Warnings[0].Hint)
}

func FuzzCheck(f *testing.F) {
	files, err := fs.Glob(catalog.FS, "actions/*.js")
	require.NoError(f, err)
	for _, name := range files {
		data, err := fs.ReadFile(catalog.FS, name)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte("const {a:{b}} = event; for await (const [x] of y) console.log(...a, {b}, `${x}`);"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4000 {
			return
		}
		r := Check(diag.NewSource("a.js", data))
		for _, p := range append(r.Problems, r.Warnings...) {
			require.NotEmpty(t, p.Key)
			require.LessOrEqual(t, p.Line, strings.Count(string(data), "\n")+1)
		}
	})
}
