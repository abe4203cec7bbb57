package logstream

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const testID = "90020260105101530123000000000000001223372036854775001"

// payloads are the inner objects of the published event shapes.
var payloads = map[string]string{
	"fp": `{"$event_schema":{"version":"2.146.2"},"date":"2026-01-05T10:15:30.123Z","type":"fp","description":"Wrong email or password.",
 "connection":"Username-Password-Authentication","client_id":"cl1","ip":"198.51.100.7","is_mobile":false,
 "details":{"error":{"message":"Wrong email or password."}},"user_id":"auth0|u1","user_name":"a@example.com",
 "security_context":{"ja3":"x","ja4":"t13d1516h2_x"},"log_id":"` + testID + `","tenant_name":"t1"}`,
	"pla": `{"type":"pla","ip":"198.51.100.7","client_id":"cl1","hostname":"login.example.com","log_id":"` + testID + `",
 "details":{"requiresVerification":true,"ipOnAllowlist":false,"session_id":"s1"}}`,
	"gd_enrollment_complete": `{"type":"gd_enrollment_complete","description":"Guardian - Enrollment complete (sms)","user_id":"auth0|u1","ip":"198.51.100.7","log_id":"` + testID + `",
 "details":{"authenticator":{"id":"recovery|x","type":"sms","phone_number":"+1XXXXXXX123"}}}`,
	"sapi": `{"type":"sapi","description":"Update a client","client_id":"dash","log_id":"` + testID + `",
 "details":{"request":{"method":"patch","path":"/api/v2/clients/cl1","query":{},"body":{"grant_types":["password"]},
  "auth":{"strategy":"jwt","credentials":{"jti":"j1","scopes":["update:clients","read:clients"]}}},
  "response":{"statusCode":200,"body":{"client_id":"cl1","grant_types":["password"],"client_secret":"*****","cross_origin_authentication":false}}},
 "references":{"correlation_id":"guard-42"}}`,
}

// wrappings are the envelopes an event travels in.
var wrappings = map[string]string{
	"bare":        `%s`,
	"webhook":     `{"log_id":"` + testID + `","data":%s}`,
	"EventBridge": `{"version":"0","id":"b1","detail-type":"Auth0 log","source":"aws.partner/auth0.com/x","time":"2026-01-05T10:15:31Z","detail":{"log_id":"` + testID + `","data":%s}}`,
	"Event Grid":  `{"id":"g1","topic":"/x","eventType":"Auth0 log","subject":"fp","eventTime":"2026-01-05T10:15:31Z","data":{"log_id":"` + testID + `","data":%s}}`,
	"CloudEvents": `{"specversion":"1.0","type":"com.auth0.log","id":"c1","source":"urn:x","data":{"log_id":"` + testID + `","data":%s}}`,
}

func decode(t *testing.T, s string) Event {
	t.Helper()
	e, err := Decode([]byte(s))
	require.NoError(t, err)
	return e
}

func path(t *testing.T, s string) Path {
	t.Helper()
	p, err := ParsePath(s)
	require.NoError(t, err)
	return p
}

func TestEveryEnvelopeGivesTheSameEvent(t *testing.T) {
	paths := []string{
		"type", "ip", "client_id", "is_mobile", "isMobile", "log_id", "_id", "security_context.ja4", "details.error.message",
		"details.requiresVerification", "details.authenticator.phone_number", "details.request.path", "details.response.statusCode",
		"details.response.body.grant_types", "details.request.auth.credentials.scopes[*]", "references.correlation_id", "details", "absent",
	}
	for kind, payload := range payloads {
		want := decode(t, payload)
		require.Equal(t, kind, want.Type)
		require.Equal(t, testID, want.ID)
		require.Equal(t, time.Date(2026, 1, 5, 10, 15, 30, 123e6, time.UTC), want.Time)
		for envelope, format := range wrappings {
			t.Run(kind+" in "+envelope, func(t *testing.T) {
				got := decode(t, fmt.Sprintf(format, payload))
				require.Equal(t, want.ID, got.ID)
				require.Equal(t, want.Type, got.Type)
				require.Equal(t, want.Time, got.Time)
				require.Equal(t, want.Clock, got.Clock)
				require.Equal(t, payload, string(got.Raw()))
				clone := got.Clone()
				for _, s := range paths {
					require.Equal(t, want.Lookup(path(t, s)), got.Lookup(path(t, s)), s)
					require.Equal(t, want.Lookup(path(t, s)), clone.Lookup(path(t, s)), "clone: %s", s)
				}
			})
		}
	}
}

func TestDecodeIsLenient(t *testing.T) {
	for name, c := range map[string]struct {
		in, id, typ string
		clock       TimeBasis
	}{
		"a number as type":  {`{"log_id":"a","type":7}`, "a", "7", Unknown},
		"an object as type": {`{"log_id":"a","type":{}}`, "a", "", Unknown},
		"a null type":       {`{"log_id":"a","type":null}`, "a", "", Unknown},
		"a long number as log_id keeps its digits":   {`{"log_id":` + testID + `,"type":"f"}`, testID, "f", FromLogID},
		"_id stands in for log_id":                   {`{"_id":"b","type":"f"}`, "b", "f", Unknown},
		"log_id wins over _id":                       {`{"_id":"b","log_id":"a","type":"f"}`, "a", "f", Unknown},
		"an empty log_id is none":                    {`{"log_id":"","_id":"b"}`, "b", "", Unknown},
		"the envelope's log_id stands in":            {`{"log_id":"e","data":{"type":"f"}}`, "e", "f", Unknown},
		"the nearest envelope's log_id stands in":    {`{"id":"x","detail-type":"y","detail":{"log_id":"e","data":{"type":"f"}}}`, "e", "f", Unknown},
		"the bus's id stands in last":                {`{"id":"x","detail-type":"y","detail":{"type":"f"}}`, "x", "f", Unknown},
		"an unreadable date falls back on the id":    {`{"log_id":"` + testID + `","date":"yesterday"}`, testID, "", FromLogID},
		"a numeric date falls back on the id":        {`{"log_id":"` + testID + `","date":17}`, testID, "", FromLogID},
		"a date off the calendar falls back":         {`{"log_id":"` + testID + `","date":"2026-02-30T10:15:30.123Z"}`, testID, "", FromLogID},
		"no date and no stamp leave the time open":   {`{"log_id":"5f3"}`, "5f3", "", Unknown},
		"an offset date is read":                     {`{"log_id":"a","date":"2026-01-05T12:15:30+02:00"}`, "a", "", FromDate},
		"a date without a zone is read":              {`{"log_id":"a","date":"2026-01-05T10:15:30"}`, "a", "", FromDate},
		"data that is no object leaves a bare event": {`{"log_id":"a","data":"x","type":"f"}`, "a", "f", Unknown},
		"a bare event with a member data stays bare": {`{"log_id":"a","type":"f","date":"2026-01-05T10:15:30Z","data":{"type":"g"}}`, "a", "f", FromDate},
		"the first of two members counts":            {`{"log_id":"a","type":"f","type":"s","log_id":"b"}`, "a", "f", Unknown},
		"escaped names are names":                    {`{"log\u005fid":"a","ty\u0070e":"f","type":"s"}`, "a", "f", Unknown},
		"white space anywhere":                       {" \n{ \"log_id\" :\t\"a\" , \"type\" : \"f\" , \"details\" : { } , \"x\" : [ ] }\r\n", "a", "f", Unknown},
		"a byte order mark":                          {"\ufeff" + `{"log_id":"a"}`, "a", "", Unknown},
		"invalid UTF-8 is replaced":                  {"{\"log_id\":\"a\xff\",\"type\":\"f\"}", "a\uFFFD", "f", Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			e := decode(t, c.in)
			require.Equal(t, c.id, e.ID)
			require.Equal(t, c.typ, e.Type)
			require.Equal(t, c.clock, e.Clock)
			require.Equal(t, c.clock == Unknown, e.Time.IsZero())
		})
	}
}

func TestAnEventWithoutAnyIDIsKnownByItsPayload(t *testing.T) {
	a, b, c := decode(t, `{"type":"f"}`), decode(t, `{"data":{"type":"f"}}`), decode(t, `{"type":"s"}`)
	require.Equal(t, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(`{"type":"f"}`))), a.ID)
	require.Equal(t, a.ID, b.ID)
	require.NotEqual(t, a.ID, c.ID)
	require.Nil(t, a.Lookup(path(t, "log_id")))
}

func TestYear9999IsPassedThrough(t *testing.T) {
	e := decode(t, `{"log_id":"a","date":"9999-12-31T23:59:59.999Z"}`)
	require.Equal(t, 9999, e.Time.Year())
	require.Equal(t, FromDate, e.Clock)
}

func TestWhatIsNoObjectIsAnError(t *testing.T) {
	for _, s := range []string{
		``, ` `, `null`, `7`, `"x"`, `[]`, `[{"log_id":"a"}]`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{"a":tru}`, `{"a":01}`, `{"a":1.}`,
		`{"a":-}`, `{"a":1e}`, `{"a":"x}`, `{"a":[1,]}`, `{"a":[1 2]}`, `{"a":1}}`, `{"a":1}x`, `{"a":1}{"b":2}`, `{"logs":[]}`, `{"a":NaN}`, `{"a" 1}`, `{"data":{"a":}}`,
	} {
		_, err := Decode([]byte(s))
		require.Error(t, err, s)
		require.Contains(t, err.Error(), "decode an event: ")
	}
}

func TestNestingIsBounded(t *testing.T) {
	deep := func(n int) string {
		return `{"log_id":"a","x":` + strings.Repeat(`[`, n) + strings.Repeat(`]`, n) + `}`
	}
	e := decode(t, deep(maxDepth-1))
	require.NotNil(t, e.Lookup(path(t, "x")))
	_, err := Decode([]byte(deep(maxDepth)))
	require.ErrorContains(t, err, "nesting deeper than 256")
	_, err = Decode([]byte(strings.Repeat(`{"a":`, 5_000_000)))
	require.Error(t, err)
	_, err = Decode([]byte(strings.Repeat(`{"data":`, 1000)))
	require.Error(t, err)
}

func TestLookup(t *testing.T) {
	e := decode(t, `{"_id":"i1","isMobile":true,"s":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud800x\q\u12","n":-1.5e2,"big":1e999,"small":-1e999,"t":true,"f":false,"z":null,
		"o":{"a-b":{"c":"d"},"z":null,"dup":1,"dup":2},"l":[1,"x",null,[2,[3]],{"k":"v"}],"e":[],"bad":"a`+"\xff"+`b",
		"p":[{"n":"a","t":["x","y"]},{"n":null},{"m":1},{"n":"b","t":"z"},7],"audience":"one","c\u0061f\u00e9":{"\u006b":1},"ctl":"a`+"\x01"+`b"}`)
	for p, want := range map[string]any{
		"s": "a\"\\/\b\f\n\r\té😀\uFFFDx\\q\\u12", "n": -150.0, "big": math.MaxFloat64, "small": -math.MaxFloat64, "t": true, "f": false, "z": nil,
		"o.a-b.c": "d", "o.z": nil, "o.z.x": nil, "o.dup": 1.0, "o.absent": nil, "s.x": nil, "l.x": nil,
		"o":    map[string]any{"a-b": map[string]any{"c": "d"}, "z": nil, "dup": 1.0},
		"l":    []any{1.0, "x", nil, []any{2.0, []any{3.0}}, map[string]any{"k": "v"}},
		"l[*]": []any{1.0, "x", 2.0, 3.0, map[string]any{"k": "v"}}, "e": []any{}, "e[*]": []any{}, "absent[*]": nil, "z[*]": nil,
		"bad": "a\uFFFDb", "p[*].n": []any{"a", "b"}, "p[*].t": []any{"x", "y", "z"}, "p[*].t[*]": []any{"x", "y", "z"}, "p[*].absent": []any{},
		"p.n": nil, "audience[*]": []any{"one"}, "café.k": 1.0, "ctl": "a\x01b",
		"is_mobile": true, "isMobile": true, "data.is_mobile": true, "log_id": "i1", "_id": "i1", "data.log_id": "i1",
	} {
		require.Equal(t, want, e.Lookup(path(t, p)), p)
	}
	require.Nil(t, e.Lookup(Path{}))
	require.Nil(t, (&Event{}).Lookup(path(t, "type")))
	require.Empty(t, (&Event{}).Raw())

	s, ok := e.LookupString(path(t, "o.a-b.c"))
	require.True(t, ok)
	require.Equal(t, "d", s)
	for _, p := range []string{"n", "t", "z", "o", "l", "l[*]", "audience[*]", "absent", "o.absent"} {
		_, ok := e.LookupString(path(t, p))
		require.False(t, ok, p)
	}
	b, ok := e.LookupBytes(path(t, "bad"))
	require.True(t, ok)
	require.Equal(t, "a\uFFFDb", string(b))
}

func TestLogIDIsFoundWhenOnlyTheEnvelopeHasIt(t *testing.T) {
	e := decode(t, `{"log_id":"outer","data":{"type":"f"}}`)
	require.Equal(t, "outer", e.Lookup(path(t, "log_id")))
	s, ok := e.LookupString(path(t, "_id"))
	require.True(t, ok)
	require.Equal(t, "outer", s)
}

func TestACloneOutlivesItsBuffer(t *testing.T) {
	b := []byte(fmt.Sprintf(wrappings["EventBridge"], payloads["fp"]))
	e, err := Decode(b)
	require.NoError(t, err)
	c := e.Clone()
	for i := range b {
		b[i] = '#'
	}
	require.Equal(t, payloads["fp"], string(c.Raw()))
	require.Equal(t, "fp", c.Lookup(path(t, "type")))
	require.Equal(t, "t13d1516h2_x", c.Lookup(path(t, "security_context.ja4")))
	require.Equal(t, c, c.Clone())
}

func TestParsePath(t *testing.T) {
	for in, want := range map[string]string{
		"type": "type", "data.type": "type", "data": "data", "data.data.x": "data.x", "details.response.body.stage.pre-login": "details.response.body.stage.pre-login",
		"details.prompts[*].name": "details.prompts[*].name", "a[*].b[*]": "a[*].b[*]", "$event_schema.version": "$event_schema.version",
	} {
		p := path(t, in)
		require.Equal(t, want, p.String())
		require.Equal(t, want, path(t, "data."+p.String()).String())
	}
	for _, in := range []string{"", "data.", ".", "a.", ".a", "a..b", "a[0]", "a[*", "a[*]x", "[*]", "a b", "a[*][*]", `a"`} {
		_, err := ParsePath(in)
		require.Error(t, err, in)
		require.ErrorContains(t, err, "path ")
	}
}

func TestLogIDTime(t *testing.T) {
	e := Event{ID: testID}
	got, ok := e.LogIDTime()
	require.True(t, ok)
	require.Equal(t, time.Date(2026, 1, 5, 10, 15, 30, 123e6, time.UTC), got)
	for _, id := range []string{"", "900", "90020260105101530", "90020261305101530123", "90020260230101530123", "9002026010510153012x", "80020260105101530123", "90020260105251530123"} {
		_, ok := (&Event{ID: id}).LogIDTime()
		require.False(t, ok, id)
	}
}

func TestCursorAtSortsBeforeTheEventsOfItsSecond(t *testing.T) {
	at := time.Date(2026, 1, 5, 11, 15, 30, 999e6, time.FixedZone("", 3600))
	c := CursorAt(at)
	require.Equal(t, "90020260105101530"+strings.Repeat("0", 39), c)
	require.Less(t, c, testID)
	got, ok := logIDTime(c)
	require.True(t, ok)
	require.Equal(t, at.Truncate(time.Second).UTC(), got)
	require.Len(t, CursorAt(time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)), 56)
}

func TestKnownFieldsAreACopy(t *testing.T) {
	f := KnownFields()
	require.IsIncreasing(t, f)
	require.Contains(t, f, "security_context")
	f[0] = "x"
	require.NotEqual(t, "x", KnownFields()[0])
}

type result struct {
	ids  []string
	errs []string
}

func decodeAll(b string) (r result) {
	DecodeAll([]byte(b), func(e Event, err error) bool {
		if err != nil {
			r.errs = append(r.errs, err.Error())
		} else {
			r.ids = append(r.ids, e.ID)
		}
		return true
	})
	return r
}

func TestDecodeAllReadsEveryBody(t *testing.T) {
	a, b, c := `{"log_id":"a","type":"f"}`, `{"log_id":"b","data":{"type":"s"}}`, `{"_id":"c","x":{"y":[1,{"z":"}"}]}}`
	for name, body := range map[string]string{
		"an array":              "[" + a + "," + b + "," + c + "]",
		"a pretty array":        "[\n  " + a + ",\n  " + b + ",\n  " + c + "\n]\n",
		"a logs object":         `{"logs":[` + a + "," + b + "," + c + `]}`,
		"logs among others":     `{"start":0,"total":3,"logs":[` + a + "," + b + "," + c + `],"x":1}`,
		"JSON lines":            a + "\n" + b + "\r\n\n" + c,
		"concatenated objects":  a + b + c,
		"arrays on lines":       "[" + a + "]\n[" + b + "," + c + "]\n",
		"logs objects on lines": `{"logs":[` + a + "]}\n" + `{"logs":[` + b + "," + c + "]}\n",
		"pretty objects":        strings.ReplaceAll(a+"\n"+b+"\n"+c, ",", ",\n  "),
		"a text sequence":       "\x1e" + a + "\n\x1e" + b + "\n\x1e" + c + "\n",
		"a byte order mark":     "\ufeff[" + a + "," + b + "," + c + "]",
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, result{ids: []string{"a", "b", "c"}}, decodeAll(body))
		})
	}
	for _, empty := range []string{"", " \n", "[]", `{"logs":[]}`, "[ ]\n"} {
		require.Equal(t, result{}, decodeAll(empty), empty)
	}
}

func TestDecodeAllKeepsTheNeighboursOfABadMember(t *testing.T) {
	a, b := `{"log_id":"a","type":"f"}`, `{"log_id":"b","type":"s"}`
	for name, bad := range map[string]string{
		"a number": `7`, "a string with brackets": `"x,]{"`, "null": `null`, "an array": `[{"log_id":"x"}]`, "a broken array": `[1,,2]`, "a word": `oops`,
		"no value": `{"a":}`, "two commas": `{"a":1,,"b":2}`, "a bad number": `{"a":01}`, "an unclosed string": `{"a":"x}`, "an unclosed object": `{"a":{"b":1`,
		"a single quote": `{'a':1}`, "too deep": `{"a":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "}",
	} {
		for format, body := range map[string]string{
			"JSON lines":        a + "\n" + bad + "\n" + b + "\n",
			"an array on lines": "[\n" + a + ",\n" + bad + ",\n" + b + "\n]",
			"an array":          "[" + a + "," + bad + "," + b + "]",
			"a logs object":     `{"logs":[` + a + "," + bad + "," + b + "]}",
		} {
			if strings.Contains(name, "unclosed") && (format == "a logs object" || format == "an array") {
				continue // the quotes or brackets are out of step for good; see below
			}
			if strings.Contains(name, "array") && format == "JSON lines" {
				continue // an array on a line holds events
			}
			t.Run(name+" in "+format, func(t *testing.T) {
				r := decodeAll(body)
				require.Equal(t, []string{"a", "b"}, r.ids)
				require.Len(t, r.errs, 1, "%q", r.errs)
			})
		}
	}
}

func TestDecodeAllFindsTheNextEventInAnArrayOnOneLine(t *testing.T) {
	r := decodeAll(`[{"log_id":"a"},{"a":"x},{"y":{"z":1}},{"log_id":"b"},{"log_id":"c"}]`)
	require.Equal(t, []string{"a", "b", "c"}, r.ids)
	require.Len(t, r.errs, 1)
}

func TestDecodeAllTellsWhereAndWhat(t *testing.T) {
	body := "{\"log_id\":\"a\"}\n\n  {\"log_id\":}\n[{\"log_id\":\"b\"}"
	var errs []*DecodeError
	DecodeAll([]byte(body), func(_ Event, err error) bool {
		var d *DecodeError
		if err != nil {
			require.ErrorAs(t, err, &d)
			errs = append(errs, d)
		}
		return true
	})
	require.Len(t, errs, 2)
	require.Equal(t, 3, errs[0].Line)
	require.Equal(t, int64(18), errs[0].Offset)
	require.Equal(t, `{"log_id":}`, string(errs[0].Raw))
	require.EqualError(t, errs[0], `line 3: not JSON: '}' where a value belongs at byte 11`)
	require.EqualError(t, errs[1], "line 4: the array is not closed: the JSON ends too early")
}

func TestDecodeAllStopsWhenToldTo(t *testing.T) {
	for _, body := range []string{`[{"log_id":"a"},{"log_id":"b"}`, `{"logs":[{"log_id":"a"},{"log_id":"b"}]}`, "7\n8"} {
		n := 0
		DecodeAll([]byte(body), func(Event, error) bool { n++; return false })
		require.Equal(t, 1, n, body)
	}
}

func TestTheScannerAgreesWithTheStandardLibrary(t *testing.T) {
	// Strings of every length and with quotes at every place test the eight-byte steps.
	for n := range 40 {
		for at := range n + 1 {
			s := strings.Repeat("x", at) + `\"\\` + strings.Repeat("y", n-at)
			in := `{"` + s + `":"` + s + `","log_id":"a"}`
			require.True(t, json.Valid([]byte(in)))
			e := decode(t, in)
			want := strings.Repeat("x", at) + `"\` + strings.Repeat("y", n-at)
			require.Equal(t, want, string(unescape([]byte(s))))
			require.Equal(t, "a", e.ID)
		}
	}
}

func TestAHostileBodyTakesLinearTime(t *testing.T) {
	for _, part := range []string{`{"a":"},{"log_id":"`, "[[[,", "{", `{"a":[`, `"`, `\`, "[", "{\n"} {
		start := time.Now()
		decodeAll("[" + strings.Repeat(part, (1<<20)/len(part)))
		require.Less(t, time.Since(start), 20*time.Second, part) // a quadratic one takes minutes
	}
}
