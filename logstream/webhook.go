package logstream

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The timeouts that the [http.Server] around a [Webhook] must have, lest a
// client that sends slowly keeps one of MaxWaiting places for ever. A write
// timeout, if any, must be longer than Deliver may take.
const (
	WebhookReadHeaderTimeout = 10 * time.Second
	WebhookReadTimeout       = 60 * time.Second
	WebhookIdleTimeout       = 120 * time.Second
)

// WebhookOptions configures a [Webhook]; the zero value of every field works.
type WebhookOptions struct {
	MaxBody    int64 // bytes of a body as sent, compressed or not; 8 MiB if 0
	MaxDecoded int64 // bytes of a gzip body once decompressed; 64 MiB if 0

	// MaxWaiting is how many requests may be read or wait for Deliver at once;
	// 16 if 0. It bounds memory: each takes at most about twice its decoded body.
	MaxWaiting int

	Rate  rate.Limit // requests a second; no limit if 0
	Burst int        // requests at once within Rate; Rate rounded up if 0

	Reject func(Reject)     // told of what cannot be decoded, from several goroutines; nil drops it
	Logger *slog.Logger     // discards if nil
	Now    func() time.Time // for Rate; time.Now if nil
}

// WebhookStats counts since the start. Accepted and the refusals are requests.
type WebhookStats struct {
	Accepted uint64 // answered with a 200
	Events   uint64 // events in these
	Rejects  uint64 // parts of these, or whole bodies, that could not be decoded

	Method  uint64 // 405: not a POST
	Token   uint64 // 401: no token, or a wrong one
	Size    uint64 // 413: too large, as sent or decompressed
	Rate    uint64 // 429: more often than Rate
	Busy    uint64 // 503: MaxWaiting requests before it
	Decode  uint64 // 400, 415: nothing readable in it
	Failed  uint64 // 503: not delivered
	Aborted uint64 // broke off, or took too long to send
}

// Webhook takes events from Auth0's log streams: the custom webhook in all of
// its formats, and the bodies of the Splunk and Datadog streams, told by their
// shape and plain or gzip. It answers
//
//   - 200 once deliver returned nil for every event of the body. Parts that are
//     no event are rejects and no reason to refuse the rest, as Auth0 would send
//     it again for ever;
//   - 400 when nothing in the body is readable, or its compression is damaged;
//   - 401 to a wrong token, before the body is read; 405 to all but POST; 413 and
//     415 to a body too large or compressed otherwise than by gzip;
//   - 429, and 503 when too many requests wait or deliver fails, with Retry-After.
//
// It is an [http.Handler] for one tenant; the Webhook timeouts above say what
// its server needs. The Splunk and Datadog streams post to paths of their own:
// see [Shared].
type Webhook struct {
	source  string
	tokens  tokens
	deliver Deliver
	opts    WebhookOptions
	log     *slog.Logger
	limit   *rate.Limiter // nil without one
	places  chan struct{}
	buffers sync.Pool // of *bytes.Buffer
	count   counters

	mu     sync.Mutex           // guards what follows
	warned map[string]time.Time // when each kind of trouble was last logged
	told   map[uint64]struct{}  // unreadable bodies already reported
}

var _ http.Handler = (*Webhook)(nil)

// NewWebhook returns a handler that takes requests bearing one of the tokens:
// as the whole Authorization header, after "Bearer " or "Splunk " in it, or as
// DD-API-KEY. Several let one be replaced without a pause. source names it in
// rejects. deliver is called from several goroutines at once, with at most 4096
// events, and more than once for a larger body: when a later call fails the
// body is sent again. NewWebhook returns an error when there is no token, or
// one that no request could bear.
func NewWebhook(source string, secrets []string, deliver Deliver, opts WebhookOptions) (*Webhook, error) {
	known, err := newTokens(secrets)
	if err != nil {
		return nil, fmt.Errorf("webhook %s: %w", source, err)
	}
	if opts.MaxBody <= 0 {
		opts.MaxBody = 8 << 20
	}
	if opts.MaxDecoded <= 0 {
		opts.MaxDecoded = 64 << 20
	}
	if opts.MaxWaiting <= 0 {
		opts.MaxWaiting = 16
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Webhook{
		source: source, tokens: known, deliver: deliver, opts: opts, log: opts.Logger,
		places:  make(chan struct{}, opts.MaxWaiting),
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
		warned:  map[string]time.Time{}, told: map[uint64]struct{}{},
	}
	if opts.Rate > 0 {
		burst := opts.Burst
		if burst <= 0 {
			burst = int(min(max(opts.Rate+0.999, 1), 1e9))
		}
		w.limit = rate.NewLimiter(opts.Rate, burst)
	}
	return w, nil
}

// Stats returns the counts so far.
func (w *Webhook) Stats() WebhookStats { return w.count.read() }

// Waiting is how many requests are being read or wait for Deliver.
func (w *Webhook) Waiting() int { return len(w.places) }

// An outcome is what a request is answered with.
type outcome struct {
	code  int
	text  string
	json  bool
	retry time.Duration // 0 without a Retry-After
	close bool          // answer before the body is in, and end the connection
}

// ServeHTTP answers one request.
func (w *Webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.guarded(rw, r).write(rw)
}

func (a outcome) write(rw http.ResponseWriter) {
	h := rw.Header()
	switch {
	case a.json:
		h.Set("Content-Type", "application/json")
	case a.text != "":
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	if a.retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((a.retry+time.Second-1)/time.Second), 10))
	}
	if a.close {
		h.Set("Connection", "close")
	}
	rw.WriteHeader(a.code)
	_, _ = rw.Write([]byte(a.text)) // a client that is gone sends the body again
}

// guarded is handle with a panic turned into a 503: what caused it may pass,
// and the events are still with Auth0.
func (w *Webhook) guarded(rw http.ResponseWriter, r *http.Request) (a outcome) {
	defer func() {
		if v := recover(); v != nil {
			w.count.failed.Add(1)
			w.log.Error("webhook request ended in a panic", "source", w.source, "err", oneLine(fmt.Sprint(v)), "stack", string(debug.Stack()))
			a = outcome{code: http.StatusServiceUnavailable, text: "not delivered\n", retry: retryFailed}
		}
	}()
	return w.handle(rw, r)
}

const (
	retryBusy   = time.Second
	retryFailed = 5 * time.Second
)

func onlyPost(rw http.ResponseWriter) outcome {
	rw.Header().Set("Allow", http.MethodPost)
	return outcome{code: http.StatusMethodNotAllowed, text: "only POST\n", close: true}
}

func unauthorized(rw http.ResponseWriter) outcome {
	rw.Header().Set("WWW-Authenticate", "Bearer")
	return outcome{code: http.StatusUnauthorized, text: "unauthorized\n", close: true}
}

func (w *Webhook) handle(rw http.ResponseWriter, r *http.Request) outcome {
	if r.Method != http.MethodPost {
		w.count.method.Add(1)
		return onlyPost(rw)
	}
	if !w.tokens.allow(r.Header) {
		w.count.token.Add(1)
		w.warn("token", "webhook request refused, its token is unknown", "remote", r.RemoteAddr)
		return unauthorized(rw)
	}
	if wait := w.throttle(); wait > 0 {
		w.count.rate.Add(1)
		w.warn("rate", "webhook requests come faster than allowed", "rate", float64(w.opts.Rate))
		return outcome{code: http.StatusTooManyRequests, text: "too many requests\n", retry: wait}
	}
	if r.ContentLength > w.opts.MaxBody {
		return w.tooLarge(fmt.Sprintf("the body is larger than %d bytes", w.opts.MaxBody))
	}
	select {
	case w.places <- struct{}{}:
		defer func() { <-w.places }()
	default:
		w.count.busy.Add(1)
		w.warn("busy", "webhook is busy, the sender is asked to wait", "waiting", w.opts.MaxWaiting)
		return outcome{code: http.StatusServiceUnavailable, text: "busy\n", retry: retryBusy}
	}

	buf := w.buffers.Get().(*bytes.Buffer)
	buf.Reset()
	if err := w.read(rw, r, buf); err != nil {
		w.keep(buf)
		return w.unread(r, err)
	}
	a := w.take(r, buf.Bytes())
	w.keep(buf) // not after a panic: deliver may still hold the events
	return a
}

// keep puts a buffer by for the next request, unless it grew for a rare one.
func (w *Webhook) keep(buf *bytes.Buffer) {
	if buf.Cap() <= 1<<20 {
		w.buffers.Put(buf)
	}
}

// unread answers a request whose body could not be read.
func (w *Webhook) unread(r *http.Request, err error) outcome {
	var large *tooLargeError
	var bad *unreadableError
	switch {
	case errors.As(err, &large):
		return w.tooLarge(large.Error())
	case errors.As(err, &bad):
		w.count.decode.Add(1)
		w.rejectBody(bad.head, []Reject{{Reason: err, Raw: bad.head, Size: bad.size}}, 1)
		return outcome{code: bad.code, text: "body not readable: " + err.Error() + "\n", close: true}
	}
	w.count.aborted.Add(1)
	w.warn("aborted", "webhook request broke off", "remote", r.RemoteAddr, "err", oneLine(err.Error()))
	return outcome{code: http.StatusRequestTimeout, text: "the body did not arrive\n", close: true}
}

func (w *Webhook) tooLarge(why string) outcome {
	w.count.size.Add(1)
	w.warn("size", "webhook body refused, it is too large", "err", why)
	return outcome{code: http.StatusRequestEntityTooLarge, text: why + "\n", close: true}
}

// take decodes a body, delivers its events and answers.
func (w *Webhook) take(r *http.Request, body []byte) outcome {
	in := &intake{w: w, ctx: r.Context()}
	in.decode(body)
	switch {
	case in.err != nil:
		if r.Context().Err() != nil {
			w.count.aborted.Add(1)
		} else {
			w.count.failed.Add(1)
			w.warn("failed", "webhook events not delivered, the sender is asked to try again", "err", in.err)
		}
		return outcome{code: http.StatusServiceUnavailable, text: "not delivered\n", retry: retryFailed}
	case in.events == 0 && in.bad > 0:
		w.count.decode.Add(1)
		w.rejectBody(body, in.rejects, in.bad)
		return outcome{code: http.StatusBadRequest, text: "nothing in the body is an event: " + oneLine(in.rejects[0].Reason.Error()) + "\n"}
	}
	w.count.accepted.Add(1)
	w.count.events.Add(uint64(in.events))
	w.report(in.rejects, in.bad)
	switch {
	case in.shape == splunkShape || scheme(r.Header) == "splunk":
		return outcome{code: http.StatusOK, text: `{"text":"Success","code":0}`, json: true}
	case in.shape == datadogShape || r.Header.Get(datadogKey) != "":
		return outcome{code: http.StatusOK, text: "{}", json: true}
	}
	return outcome{code: http.StatusOK}
}

// rejectBody reports a body that was refused, once: the sender tries again and
// would fill the dead letters with copies.
func (w *Webhook) rejectBody(body []byte, rejects []Reject, bad int) {
	h := hash64(string(body)) ^ hash64(rejects[0].Reason.Error())
	w.mu.Lock()
	_, told := w.told[h]
	if len(w.told) >= 1000 {
		clear(w.told)
	}
	w.told[h] = struct{}{}
	w.mu.Unlock()
	if told {
		w.count.rejects.Add(uint64(bad))
		return
	}
	w.report(rejects, bad)
}

// report tells of rejects; bad is how many there were, some perhaps not kept.
func (w *Webhook) report(rejects []Reject, bad int) {
	w.count.rejects.Add(uint64(bad))
	if w.opts.Reject == nil {
		return
	}
	for _, r := range rejects {
		r.Source = w.source
		w.opts.Reject(r)
	}
	if more := bad - len(rejects); more > 0 {
		w.opts.Reject(Reject{Source: w.source, Reason: fmt.Errorf("%d more parts of the same body are not events", more)})
	}
}

// throttle returns how long the sender has to wait, 0 when it may go on.
func (w *Webhook) throttle() time.Duration {
	if w.limit == nil {
		return 0
	}
	now := w.opts.Now()
	res := w.limit.ReserveN(now, 1)
	wait := res.DelayFrom(now)
	if wait > 0 {
		res.CancelAt(now)
	}
	return wait
}

// warn logs each kind of trouble at most once a minute: strangers cause it.
func (w *Webhook) warn(kind, message string, attrs ...any) {
	now := time.Now()
	w.mu.Lock()
	last, known := w.warned[kind]
	quiet := known && now.Sub(last) < time.Minute
	if !quiet {
		w.warned[kind] = now
	}
	w.mu.Unlock()
	if !quiet {
		w.log.Warn(message, append([]any{"source", w.source}, attrs...)...)
	}
}

// scheme returns the first word of the Authorization header in lower case.
func scheme(h http.Header) string {
	s, _, ok := strings.Cut(h.Get("Authorization"), " ")
	if !ok {
		return ""
	}
	return strings.ToLower(s)
}
