package logstream

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const token = "whk-0123456789abcdef"

// intakeServer is a webhook behind a real server and what came out of it.
type intakeServer struct {
	*Webhook
	url string

	mu      sync.Mutex // guards what follows
	events  []Event
	batches int
	rejects []Reject
}

func serveWebhook(t *testing.T, opts WebhookOptions, deliver Deliver) *intakeServer {
	t.Helper()
	return serveWebhookWithin(t, 10*time.Second, opts, deliver)
}

// serveWebhookWithin gives the server a read timeout.
func serveWebhookWithin(t *testing.T, timeout time.Duration, opts WebhookOptions, deliver Deliver) *intakeServer {
	t.Helper()
	s := &intakeServer{}
	opts.Reject = func(r Reject) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rejects = append(s.rejects, r)
	}
	if deliver == nil {
		deliver = func(_ context.Context, b Batch) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.batches++
			for _, e := range b.Events {
				s.events = append(s.events, e.Clone())
			}
			return nil
		}
	}
	w, err := NewWebhook("webhook acme", []string{"old-token", token}, deliver, opts)
	require.NoError(t, err)
	s.Webhook = w
	srv := httptest.NewUnstartedServer(w)
	srv.Config.ReadTimeout = timeout
	srv.Start()
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

type answered struct {
	code   int
	body   string
	header http.Header
}

// post sends a body with the token, unless headers say otherwise.
func (s *intakeServer) post(t *testing.T, body io.Reader, headers ...string) answered {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+"/logs/acme", body)
	require.NoError(t, err)
	req.Header.Set("Authorization", token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answered{resp.StatusCode, string(b), resp.Header}
}

func (s *intakeServer) ids() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		ids = append(ids, e.ID)
	}
	return ids
}

func compressed(t testing.TB, s string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, s)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return &b
}

func stream(n int) string {
	return fmt.Sprintf(`{"log_id":%q,"data":{"type":"fp","log_id":%[1]q}}`, id(n))
}

// bodies are two events each, ids 1 and 2, in every shape a stream sends.
var bodies = map[string]string{
	"JSON lines":                       stream(1) + "\n" + stream(2) + "\n",
	"JSON lines with CRLF":             stream(1) + "\r\n\r\n" + stream(2),
	"array":                            "[" + stream(1) + "," + stream(2) + "]",
	"object with logs":                 `{"logs":[` + stream(1) + "," + stream(2) + "]}",
	"bare events":                      entries(1, 3),
	"a byte order mark":                "\ufeff" + stream(1) + stream(2),
	"Splunk":                           `{"event":` + stream(1) + `,"time":1767608130.123,"sourcetype":"auth0","host":"acme"}{"time":1,"event":` + stream(2) + `}`,
	"Splunk with events as strings":    `{"event":` + quoted(stream(1)) + `}{"event":` + quoted(stream(2)) + `}`,
	"Datadog with messages as objects": `[{"ddsource":"auth0","ddtags":"a:b","message":` + stream(1) + `},{"ddsource":"auth0","message":` + stream(2) + `}]`,
	"Datadog with messages as strings": `[{"ddsource":"auth0","message":` + quoted(stream(1)) + `},{"message":` + quoted(stream(2)) + `}]`,
	"Datadog with the envelope inline": `[{"ddsource":"auth0","hostname":"acme","service":"auth0",` + stream(1)[1:] + `,{"ddsource":"auth0",` + stream(2)[1:] + `]`,
	"Datadog with the event inline":    `[{"ddsource":"auth0","message":"Wrong password","type":"fp","log_id":"` + id(1) + `"},{"type":"fp","log_id":"` + id(2) + `","ddtags":""}]`,
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

func TestWebhookTakesEveryShapePlainAndCompressed(t *testing.T) {
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			s := serveWebhook(t, WebhookOptions{}, nil)
			for how, post := range map[string]func() answered{
				"plain":                       func() answered { return s.post(t, strings.NewReader(body)) },
				"of unknown length":           func() answered { return s.post(t, io.MultiReader(strings.NewReader(body))) },
				"gzip":                        func() answered { return s.post(t, compressed(t, body), "Content-Encoding", "gzip") },
				"gzip without the header":     func() answered { return s.post(t, compressed(t, body)) },
				"the gzip header but no gzip": func() answered { return s.post(t, strings.NewReader(body), "Content-Encoding", "GZIP") },
			} {
				s.events = nil
				a := post()
				require.Equal(t, 200, a.code, how)
				require.Equal(t, []string{id(1), id(2)}, s.ids(), how)
				for _, e := range s.events {
					require.NotContains(t, string(e.Raw()), "ddsource\":\"auth0\",\"message\":{", how)
					if !strings.HasPrefix(name, "bare") {
						require.Equal(t, "fp", e.Type, how)
					}
				}
				switch {
				case strings.HasPrefix(name, "Splunk"):
					require.JSONEq(t, `{"text":"Success","code":0}`, a.body)
				case strings.HasPrefix(name, "Datadog with messages"):
					require.JSONEq(t, `{}`, a.body)
				default:
					require.Empty(t, a.body)
				}
			}
			require.Empty(t, s.rejects)
			require.Equal(t, WebhookStats{Accepted: 5, Events: 10}, s.Stats())
		})
	}
}

func TestWebhookToleratesWhatStrangersWrite(t *testing.T) {
	for name, body := range map[string]string{
		"invalid UTF-8":        "{\"log_id\":\"1\",\"data\":{\"type\":\"f\",\"user_name\":\"\xff\xfe\",\"log_id\":\"1\"}}",
		"nulls everywhere":     `{"log_id":"1","data":{"type":"f","date":null,"ip":null,"user_name":null,"details":null,"security_context":null}}`,
		"a member twice":       `{"log_id":"1","log_id":"2","data":{"type":"f","type":"s"},"data":{"type":"x"}}`,
		"control characters":   "{\"log_id\":\"1\",\"data\":{\"type\":\"f\",\"user_name\":\"a\x00b\"}}",
		"an event of null ids": `{"log_id":"1","data":{"type":"f","log_id":null,"_id":null}}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := serveWebhook(t, WebhookOptions{}, nil)
			require.Equal(t, 200, s.post(t, strings.NewReader(body)).code)
			require.Equal(t, []string{"1"}, s.ids())
			require.Equal(t, "f", s.events[0].Type)
			require.Empty(t, s.rejects)
		})
	}
}

func TestWebhookKeepsTheGoodHalfOfABatch(t *testing.T) {
	long := `{"log_id":"x","a":}` + strings.Repeat(" ", 10) + `"` + strings.Repeat("y", 8000)
	for name, c := range map[string]struct {
		body   string
		ids    int
		bad    []string
		reason string
	}{
		"lines":                         {stream(1) + "\n{\"log_id\":\"x\",\"data\":{\n" + stream(2) + "\n17\n", 2, []string{"{\"log_id\":\"x\",\"data\":{", "17"}, "webhook acme:2: "},
		"an array with null":            {"[" + stream(1) + `,null,"word",` + stream(2) + "]", 2, []string{"null", `"word"`}, "webhook acme:1: not a JSON object"},
		"an array that breaks off":      {"[" + stream(1) + "," + stream(2) + ",", 2, []string{""}, "the array is not closed"},
		"a Splunk item of plain text":   {`{"event":` + stream(1) + `}{"event":"hello","time":1}{"event":null}`, 1, []string{`{"event":"hello","time":1}`, `{"event":null}`}, "a Splunk item whose event is not a log event"},
		"a Datadog message of text":     {`[{"ddsource":"x","message":"hello"},{"message":` + stream(1) + `}]`, 1, []string{`{"ddsource":"x","message":"hello"}`}, "a Datadog entry whose message is not a log event"},
		"a Datadog message that breaks": {`[{"ddsource":"x","message":"{\"log_id\":"},{"message":` + stream(1) + `}]`, 1, []string{`{"ddsource":"x","message":"{\"log_id\":"}`}, "ends too early"},
		"a long one is cut":             {stream(1) + "\n" + long, 1, []string{`{"log_id":"x","a":}`, long[29:][:4<<10]}, "webhook acme:2: not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveWebhook(t, WebhookOptions{}, nil)
			require.Equal(t, 200, s.post(t, strings.NewReader(c.body)).code)
			require.Len(t, s.ids(), c.ids)
			var raws []string
			for _, r := range s.rejects {
				raws = append(raws, string(r.Raw))
				require.GreaterOrEqual(t, r.Size, int64(len(r.Raw)))
			}
			require.Equal(t, c.bad, raws)
			require.Contains(t, s.rejects[0].String(), c.reason)
			require.Equal(t, WebhookStats{Accepted: 1, Events: uint64(c.ids), Rejects: uint64(len(c.bad))}, s.Stats())
		})
	}
}

func TestWebhookRefusesABodyOfWhichNothingIsReadable(t *testing.T) {
	broken := compressed(t, strings.Repeat(stream(1), 50)).Bytes()
	for name, c := range map[string]struct {
		body     string
		encoding string
		code     int
		reason   string
	}{
		"text":                   {"hello", "", 400, "not JSON"},
		"nothing":                {"", "", 400, "the body is empty"},
		"white space":            {" \r\n", "", 400, "the body is empty"},
		"numbers":                {"[1,2]", "", 400, "not a JSON object"},
		"NULs":                   {"\x00\x00\x00", "", 400, "not JSON"},
		"gzip that breaks off":   {string(broken[:len(broken)-9]), "gzip", 400, "gzip: unexpected EOF"},
		"gzip that is damaged":   {string(broken[:len(broken)-8]) + "12345678", "gzip", 400, "gzip: "},
		"a compression not ours": {stream(1), "br", 415, `Content-Encoding "br" is not supported`},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveWebhook(t, WebhookOptions{}, nil)
			for range 3 {
				require.Equal(t, c.code, s.post(t, strings.NewReader(c.body), "Content-Encoding", c.encoding).code)
			}
			require.Empty(t, s.ids())
			require.NotEmpty(t, s.rejects)
			require.ErrorContains(t, s.rejects[0].Reason, c.reason)
			require.LessOrEqual(t, len(s.rejects), 2, "the sender's tries are one body")
			if c.code == 400 {
				require.True(t, strings.HasPrefix(c.body, string(s.rejects[0].Raw)) || strings.Contains(c.body, string(s.rejects[0].Raw)))
			}
			stats := s.Stats()
			require.Equal(t, uint64(3), stats.Decode)
			require.Zero(t, stats.Accepted)
		})
	}
}

func TestWebhookTakesAnEmptyList(t *testing.T) {
	for _, body := range []string{"[]", `{"logs":[]}`} {
		s := serveWebhook(t, WebhookOptions{}, nil)
		require.Equal(t, 200, s.post(t, strings.NewReader(body)).code)
		require.Zero(t, s.batches)
		require.Equal(t, WebhookStats{Accepted: 1}, s.Stats())
	}
}

func TestWebhookTokens(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		code    int
	}{
		"as it is":                   {[]string{"Authorization", token}, 200},
		"Bearer":                     {[]string{"Authorization", "Bearer " + token}, 200},
		"bearer in lower case":       {[]string{"Authorization", "bearer  " + token}, 200},
		"Splunk":                     {[]string{"Authorization", "Splunk " + token}, 200},
		"Datadog":                    {[]string{"Authorization", "", "DD-API-KEY", token}, 200},
		"Datadog beside another":     {[]string{"Authorization", "nonsense", "DD-API-KEY", token}, 200},
		"the other token":            {[]string{"Authorization", "old-token"}, 200},
		"none":                       {[]string{"Authorization", ""}, 401},
		"another":                    {[]string{"Authorization", "whk-0123456789abcdeF"}, 401},
		"a beginning":                {[]string{"Authorization", token[:10]}, 401},
		"more":                       {[]string{"Authorization", token + "0"}, 401},
		"a scheme alone":             {[]string{"Authorization", "Bearer "}, 401},
		"another scheme":             {[]string{"Authorization", "Basic " + token}, 401},
		"two tokens":                 {[]string{"Authorization", "old-token " + token}, 401},
		"a digest is not the token":  {[]string{"Authorization", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}, 401},
		"an empty key and no header": {[]string{"Authorization", "", "DD-API-KEY", ""}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveWebhook(t, WebhookOptions{}, nil)
			a := s.post(t, strings.NewReader(stream(1)), c.headers...)
			require.Equal(t, c.code, a.code)
			if c.code == 401 {
				require.Equal(t, "unauthorized\n", a.body)
				require.Empty(t, s.ids())
				require.Equal(t, WebhookStats{Token: 1}, s.Stats())
			}
		})
	}
}

func TestNewWebhookRefusesTokensThatCannotWork(t *testing.T) {
	for name, tokens := range map[string][]string{
		"none": nil, "an empty one": {token, ""}, "a newline": {"secret-one\n"}, "spaces": {" secret-one"}, "a control character": {"secret\x01one"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewWebhook("acme", tokens, func(context.Context, Batch) error { return nil }, WebhookOptions{})
			require.ErrorContains(t, err, "webhook acme: ")
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// raw opens a connection and sends the beginning of a request.
func (s *intakeServer) raw(t *testing.T, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	_, err = io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n"))
	require.NoError(t, err)
	return c
}

func status(t *testing.T, c net.Conn) int {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	resp.Body.Close()
	return resp.StatusCode
}

func TestWebhookAnswersBeforeTheBodyWhenItWillNotReadIt(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		code    int
	}{
		"a wrong token": {"POST / HTTP/1.1\nHost: x\nAuthorization: no\nContent-Length: 1000\n\n", 401},
		"too long":      {"POST / HTTP/1.1\nHost: x\nAuthorization: " + token + "\nContent-Length: 9000000\n\n", 413},
		"not a POST":    {"PUT / HTTP/1.1\nHost: x\nAuthorization: " + token + "\nContent-Length: 1000\n\n", 405},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveWebhook(t, WebhookOptions{}, nil)
			began := time.Now()
			require.Equal(t, c.code, status(t, s.raw(t, c.request)))
			require.Less(t, time.Since(began), 5*time.Second, "before the server's read timeout")
		})
	}
}

func TestWebhookTakesPostOnly(t *testing.T) {
	s := serveWebhook(t, WebhookOptions{}, nil)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
		req, err := http.NewRequest(method, s.url, nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 405, resp.StatusCode)
		require.Equal(t, "POST", resp.Header.Get("Allow"))
	}
	require.Equal(t, WebhookStats{Method: 6}, s.Stats())
}

func TestWebhookRefusesLargeBodies(t *testing.T) {
	bomb := compressed(t, strings.Repeat(" ", 4<<20)).String()
	nested := compressed(t, stream(1)+strings.Repeat(" ", 4<<20)).String()
	for name, c := range map[string]struct {
		body io.Reader
		code int
	}{
		"longer than it may be":     {strings.NewReader(stream(1) + strings.Repeat(" ", 64<<10)), 413},
		"of unknown length":         {io.MultiReader(strings.NewReader(stream(1)), io.LimitReader(endless(' '), 64<<10)), 413},
		"a bomb":                    {strings.NewReader(bomb), 413},
		"a bomb behind an event":    {strings.NewReader(nested), 413},
		"a bomb of unknown length":  {io.MultiReader(strings.NewReader(bomb)), 413},
		"as long as it may be":      {strings.NewReader(stream(1) + strings.Repeat(" ", 64<<10-len(stream(1)))), 200},
		"gzip of the allowed size":  {compressed(t, stream(1)+strings.Repeat(" ", 1<<20-len(stream(1)))), 200},
		"gzip one byte beyond that": {compressed(t, stream(1)+strings.Repeat(" ", 1<<20+1-len(stream(1)))), 413},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveWebhook(t, WebhookOptions{MaxBody: 64 << 10, MaxDecoded: 1 << 20}, nil)
			require.Equal(t, c.code, s.post(t, c.body).code)
			if c.code == 413 {
				require.Empty(t, s.ids())
				require.Equal(t, WebhookStats{Size: 1}, s.Stats())
			}
		})
	}
}

func TestWebhookAcceptsNothingThatWasNotDelivered(t *testing.T) {
	for name, deliver := range map[string]Deliver{
		"an error":                     func(context.Context, Batch) error { return errors.New("disk full") },
		"a panic":                      func(context.Context, Batch) error { panic("boom") },
		"an error in the second batch": failSecond(),
	} {
		t.Run(name, func(t *testing.T) {
			s := serveWebhook(t, WebhookOptions{MaxWaiting: 1}, deliver)
			body := strings.Repeat(stream(1)+"\n", maxBatch+1) + "{bad"
			for range 3 {
				a := s.post(t, strings.NewReader(body))
				require.Equal(t, 503, a.code)
				require.Equal(t, "5", a.header.Get("Retry-After"))
				require.NotContains(t, a.body, "disk")
			}
			require.Equal(t, WebhookStats{Failed: 3}, s.Stats())
			require.Empty(t, s.rejects, "they come again with the events")
		})
	}
}

func failSecond() Deliver {
	var calls atomic.Int64
	return func(context.Context, Batch) error {
		if calls.Add(1)%2 == 0 {
			return errors.New("disk full")
		}
		return nil
	}
}

func TestWebhookSurvivesARejectThatPanics(t *testing.T) {
	w, err := NewWebhook("acme", []string{token}, func(context.Context, Batch) error { return nil }, WebhookOptions{Reject: func(Reject) { panic("boom") }})
	require.NoError(t, err)
	srv := httptest.NewServer(w)
	defer srv.Close()
	s := &intakeServer{Webhook: w, url: srv.URL}
	require.Equal(t, 503, s.post(t, strings.NewReader("17")).code)
	require.Equal(t, 200, s.post(t, strings.NewReader(stream(1))).code)
}

func TestWebhookDeliversLargeBodiesInBatches(t *testing.T) {
	var b strings.Builder
	for i := range 2*maxBatch + 7 {
		b.WriteString(stream(i))
	}
	s := serveWebhook(t, WebhookOptions{}, nil)
	require.Equal(t, 200, s.post(t, compressed(t, b.String())).code)
	require.Equal(t, 3, s.batches)
	ids := s.ids()
	require.Len(t, ids, 2*maxBatch+7)
	for i, got := range ids {
		require.Equal(t, id(i), got)
	}
}

func TestWebhookKeepsABoundedNumberOfRejects(t *testing.T) {
	s := serveWebhook(t, WebhookOptions{}, nil)
	require.Equal(t, 200, s.post(t, strings.NewReader(stream(1)+strings.Repeat(",7", 5000))).code)
	require.Len(t, s.rejects, maxRejects+1)
	require.ErrorContains(t, s.rejects[maxRejects].Reason, "4000 more parts of the same body")
	require.Equal(t, uint64(5000), s.Stats().Rejects)
}

func TestWebhookLimitsTheRate(t *testing.T) {
	var now atomic.Int64
	s := serveWebhook(t, WebhookOptions{Rate: 0.25, Burst: 2, Now: func() time.Time { return time.Unix(now.Load(), 0) }}, nil)
	for i, want := range []int{200, 200, 429, 429} {
		require.Equal(t, want, s.post(t, strings.NewReader(stream(i))).code)
	}
	require.Equal(t, "4", s.post(t, strings.NewReader(stream(1))).header.Get("Retry-After"))
	require.Equal(t, 401, s.post(t, strings.NewReader(stream(1)), "Authorization", "no").code, "a stranger does not use it up")
	now.Add(4)
	require.Equal(t, 200, s.post(t, strings.NewReader(stream(1))).code)
	require.Equal(t, WebhookStats{Accepted: 3, Events: 3, Rate: 3, Token: 1}, s.Stats())
}

func TestWebhookPushesBackWhenDeliverBlocks(t *testing.T) {
	const requests, waiting = 100, 8
	release, entered := make(chan struct{}), make(chan struct{}, requests)
	s := serveWebhook(t, WebhookOptions{MaxWaiting: waiting}, func(context.Context, Batch) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	open := sync.OnceFunc(func() { close(release) })
	t.Cleanup(open)                                // before the server's, which waits for its requests
	body := stream(1) + strings.Repeat(" ", 1<<20) // 100 at once would be 100 MiB
	codes := make(chan answered, requests)
	post := func() {
		var a answered
		defer func() { codes <- a }() // also when post gave up
		a = s.post(t, strings.NewReader(body))
	}
	for range waiting {
		go post()
	}
	for range waiting {
		<-entered
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range requests - waiting {
		go post()
	}
	for range requests - waiting {
		a := <-codes
		require.Equal(t, 503, a.code)
		require.Equal(t, "1", a.header.Get("Retry-After"))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(30<<20))
	open()
	for range waiting {
		require.Equal(t, 200, (<-codes).code)
	}
	require.Equal(t, WebhookStats{Accepted: waiting, Events: waiting, Busy: requests - waiting}, s.Stats())
	require.Equal(t, 200, s.post(t, strings.NewReader(body)).code, "its places are free again")
}

func TestWebhookIsRidOfSlowClients(t *testing.T) {
	s := serveWebhookWithin(t, time.Second, WebhookOptions{MaxWaiting: 1}, nil)
	c := s.raw(t, "POST / HTTP/1.1\nHost: x\nAuthorization: "+token+"\nContent-Length: 1000\n\n{\"log_id\":\"1\"}")
	require.Eventually(t, func() bool { return len(s.places) == 1 }, 5*time.Second, time.Millisecond)
	require.Equal(t, 503, s.post(t, strings.NewReader(stream(1))).code, "its one place is taken")
	require.Equal(t, 408, status(t, c))
	http.DefaultClient.CloseIdleConnections() // a kept one may run into the server's short timeout
	require.Equal(t, 200, s.post(t, strings.NewReader(stream(2))).code)
	require.Equal(t, []string{id(2)}, s.ids())
	require.Equal(t, WebhookStats{Accepted: 1, Events: 1, Busy: 1, Aborted: 1}, s.Stats())
}

func TestWebhookTakesNothingFromAClientThatLeaves(t *testing.T) {
	for name, head := range map[string]string{
		"in the middle of a body":    "Content-Length: 1000\n\n" + stream(1) + "\n" + stream(2),
		"in the middle of a chunk":   "Transfer-Encoding: chunked\n\nfff\n" + stream(1),
		"in the middle of gzip":      "Content-Length: 1000\nContent-Encoding: gzip\n\n\x1f\x8b\x08\x00\x00",
		"after the two magic bytes":  "Content-Length: 1000\n\n\x1f\x8b",
		"before the first byte came": "Content-Length: 1000\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := serveWebhook(t, WebhookOptions{}, nil)
			c := s.raw(t, "POST / HTTP/1.1\nHost: x\nAuthorization: "+token+"\n"+head)
			require.NoError(t, c.Close())
			require.Eventually(t, func() bool { return s.Stats().Aborted == 1 }, 5*time.Second, time.Millisecond)
			require.Equal(t, WebhookStats{Aborted: 1}, s.Stats())
			require.Empty(t, s.ids())
			require.Empty(t, s.rejects)
			require.Empty(t, s.places)
		})
	}
}

func FuzzWebhookBody(f *testing.F) {
	seeds(f)
	for _, body := range bodies {
		f.Add([]byte(body))
		f.Add(compressed(f, body).Bytes())
	}
	f.Add([]byte(`{"event":"{\"event\":{}}"}{"event":[{}]}{"message":"{"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		run := func(body []byte) (code, events, rejects int) {
			w, err := NewWebhook("fuzz", []string{token}, func(_ context.Context, batch Batch) error {
				for _, e := range batch.Events {
					probe(t, e)
				}
				events += len(batch.Events)
				return nil
			}, WebhookOptions{MaxDecoded: 1 << 20, Reject: func(r Reject) {
				if r.Reason == nil || len(r.Raw) > rawKept || r.Source != "fuzz" || r.Line < 0 || r.Offset < 0 {
					t.Fatalf("%+v", r)
				}
				rejects++
			}})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			r.Header.Set("Authorization", token)
			rec := httptest.NewRecorder()
			w.ServeHTTP(rec, r)
			switch {
			case rec.Code == 200:
			case rec.Code == 400 && events == 0 && rejects > 0:
			case rec.Code == 413 && events == 0:
			default:
				t.Fatalf("answered %d with %d events and %d rejects: %s", rec.Code, events, rejects, rec.Body)
			}
			return rec.Code, events, rejects
		}
		code, events, _ := run(b)
		if bytes.HasPrefix(b, gzipMagic) {
			return
		}
		if again, same, _ := run(compressed(t, string(b)).Bytes()); again != code || same != events {
			t.Fatalf("plain %d with %d events, compressed %d with %d", code, events, again, same)
		}
	})
}
