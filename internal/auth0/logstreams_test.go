package auth0

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const logStreamsBody = `[
 {"id":"lst_1","name":"portcullis","type":"http","status":"paused","isPriority":false,
  "sink":{"httpEndpoint":"https://logs.example/in/logs/acme","httpContentFormat":"JSONLINES","httpAuthorization":"whk-do-not-show"},
  "filters":[{"type":"category","name":"auth.login.fail"},{"type":"later","name":"x"}],
  "pii_config":{"log_fields":["email","username"],"method":"hash","algorithm":"xxhash"}},
 {"id":"lst_2","name":"another","type":"of-a-later-api","status":"active","sink":{"x":1},"filters":null,"pii_config":null}]`

func TestLogStreamsAreReadWithoutTheirCredentials(t *testing.T) {
	f := newFakeTenant(t, replies(200, logStreamsBody))
	got, err := newClient(t, f, Options{ReadOnly: true}).LogStreams(t.Context())
	require.NoError(t, err)
	require.Equal(t, []LogStream{
		{ID: "lst_1", Name: "portcullis", Type: "http", Status: "paused", Endpoint: "https://logs.example/in/logs/acme",
			Categories: []string{"auth.login.fail"}, PIIMethod: "hash", PIIFields: []string{"email", "username"}},
		{ID: "lst_2", Name: "another", Type: "of-a-later-api", Status: "active"},
	}, got)
	require.NotContains(t, fmt.Sprintf("%+v", got), "whk-do-not-show")
	require.Equal(t, "/api/v2/log-streams", f.requests("/api")[0].path)
	require.Equal(t, "GET", f.requests("/api")[0].method)
}

func TestLogStreamsThatAreNoneAreAnError(t *testing.T) {
	for _, body := range []string{"", "{}", `"x"`, `[{"filters":7}]`, "[7]"} {
		_, err := newClient(t, newFakeTenant(t, replies(200, body)), Options{}).LogStreams(t.Context())
		require.ErrorIs(t, err, ErrUnreachable, body)
		require.ErrorContains(t, err, "list log streams", body)
	}
	_, err := newClient(t, newFakeTenant(t, replies(403, `{"message":"Insufficient scope, expected any of: read:log_streams"}`)), Options{}).LogStreams(t.Context())
	require.ErrorIs(t, err, ErrForbidden)
	require.ErrorContains(t, err, "grant scope read:log_streams")
}

func TestLogStreamsAreNotAskedForWhileTheQuotaRunsLow(t *testing.T) {
	remaining := 24
	f := newFakeTenant(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Ratelimit-Limit", "50")
		w.Header().Set("X-Ratelimit-Remaining", strconv.Itoa(remaining))
		w.Header().Set("X-Ratelimit-Reset", strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
		reply(w, 200, "[]")
	})
	c := newClient(t, f, Options{})
	for range 3 {
		_, err := c.LogStreams(t.Context())
		if err != nil {
			require.ErrorIs(t, err, ErrRateLimited)
			require.ErrorContains(t, err, "less than half")
		}
	}
	require.Len(t, f.requests("/api"), 1, "until an answer told how little is left")
	remaining = 25
	resp, err := c.HTTPClient().Get(c.BaseURL() + "/api/v2/logs")
	require.NoError(t, err)
	resp.Body.Close()
	_, err = c.LogStreams(t.Context())
	require.NoError(t, err)
}

func TestWhatALogStreamLacks(t *testing.T) {
	all := append([]string{}, streamCategories...)
	without := func(name string) []string {
		return strings.Fields(strings.ReplaceAll(" "+strings.Join(all, " ")+" ", " "+name+" ", " "))
	}
	for name, c := range map[string]struct {
		stream LogStream
		want   string
	}{
		"no filter":          {LogStream{}, ""},
		"every category":     {LogStream{Categories: all}, ""},
		"one left out":       {LogStream{Categories: without("other")}, "its filters leave out other"},
		"masked":             {LogStream{PIIMethod: "mask", PIIFields: []string{"email", "username"}}, "pii_config masks email, username"},
		"hashed":             {LogStream{PIIMethod: "hash", PIIFields: []string{"email"}}, "pii_config hashes email"},
		"by a later method":  {LogStream{PIIMethod: "burn", PIIFields: []string{"email"}}, "pii_config changes (burn) email"},
		"prioritised":        {LogStream{Prioritised: true}, "it is a prioritised stream, which carries a few event types only"},
		"several things":     {LogStream{Prioritised: true, PIIMethod: "mask", PIIFields: []string{"phone"}}, "it is a prioritised stream, which carries a few event types only; pii_config masks phone"},
		"unknown categories": {LogStream{Categories: append([]string{"later.success"}, all...)}, ""},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, c.stream.Lacks()) })
	}
}

func TestWhichLogStreamIsOurs(t *testing.T) {
	at := func(id, status, endpoint string) LogStream {
		return LogStream{ID: id, Type: "http", Status: status, Endpoint: endpoint}
	}
	priority := at("priority", StreamActive, "https://x.example/logs/acme")
	priority.Prioritised = true
	for name, c := range map[string]struct {
		list []LogStream
		want string
	}{
		"none":                                   {nil, ""},
		"the one that ends with the path":        {[]LogStream{at("a", "active", "https://x.example/logs/other"), at("b", "active", "https://x.example/in/logs/acme")}, "b"},
		"also when it is paused":                 {[]LogStream{at("a", "active", "https://x.example/logs/other"), at("b", "paused", "https://x.example/logs/acme/")}, "b"},
		"of two the one that is active":          {[]LogStream{at("a", "paused", "https://x.example/logs/acme"), at("b", "active", "https://x.example/logs/acme")}, "b"},
		"a full one beside a prioritised one":    {[]LogStream{priority, at("b", "active", "https://x.example/logs/acme?x=1")}, "b"},
		"the only active one":                    {[]LogStream{at("a", "active", "https://x.example/"), at("b", "paused", "https://x.example/y")}, "a"},
		"not one of several":                     {[]LogStream{at("a", "active", "https://x.example/"), at("b", "active", "https://x.example/y")}, ""},
		"not one that only looks like the path":  {[]LogStream{at("a", "active", "https://x.example/blogs/acme"), at("b", "active", "https://x.example/?/logs/acme")}, ""},
		"the only Splunk stream, without http":   {[]LogStream{{ID: "s", Type: "splunk", Status: StreamActive}}, "s"},
		"not a stream of another kind":           {[]LogStream{{ID: "e", Type: "eventbridge", Status: StreamActive}}, ""},
		"an endpoint that is no URL is no match": {[]LogStream{at("a", "paused", "https://x.example/%zz/logs/acme")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := StreamTo(c.list, "/logs/acme")
			require.Equal(t, c.want != "", ok)
			require.Equal(t, c.want, got.ID)
		})
	}
}

func FuzzLogStreams(f *testing.F) {
	f.Add([]byte(logStreamsBody))
	f.Add([]byte("[]"))
	f.Add([]byte(`[null,{"sink":null,"filters":[null]}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := decodeLogStreams(body)
		if (err == nil) != (list != nil) {
			t.Fatalf("%v with %v", list, err)
		}
		for _, s := range list {
			_ = s.Lacks()
		}
		if s, ok := StreamTo(list, "/logs/acme"); ok && s.Type != "http" && s.Type != "splunk" {
			t.Fatalf("%+v", s)
		}
	})
}
