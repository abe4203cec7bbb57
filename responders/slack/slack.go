// Package slack shows incidents to the people on call: one message per
// incident in a Slack channel, edited in place, with a thread reply for every
// transition. Without Slack, or while it does not take messages, the same text
// goes to the log (see Log and Text).
//
// What to expect of the delivery: Notify never waits for the network. The first
// report of an incident is posted at once; later ones are folded, so that the
// message shows the newest. Transitions are each sent once, in order, after the
// incident's message. What Slack has not taken is in the log. A message may
// appear twice if the process dies between posting it and saving where it is,
// or if Slack took a request whose answer was lost; none is left out.
package slack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	slackapi "github.com/slack-go/slack"
	"golang.org/x/time/rate"

	"portcullis/responders"
)

const (
	defaultDebounce = 3 * time.Second
	defaultPace     = 1200 * time.Millisecond // chat.update allows 50 a minute
	burst           = 4

	firstBackoff = time.Second
	lastBackoff  = time.Minute
	longWait     = 30 * time.Second // beyond it people read the log meanwhile

	// maxGone is how often in a row an incident is posted anew because a reply
	// found its message gone.
	maxGone = 2

	// drainTime is how long a stop waits for what is queued.
	drainTime = 5 * time.Second
)

// errStopped is returned for reports that come after Run has ended.
var errStopped = errors.New("slack has stopped; the report is in the log")

// Slack is a responders.Notifier with one queue for one channel. It is safe for
// concurrent use.
type Slack struct {
	channel string
	client  *slackapi.Client
	secrets *strings.Replacer // takes the token out of text
	store   Store
	logger  *slog.Logger
	log     *Log
	pace    *rate.Limiter

	wake    chan struct{} // holds one token while Run should look again
	running atomic.Bool
	failed  atomic.Uint64
	logged  atomic.Uint64

	mu      sync.Mutex // guards the fields below
	queue   queue
	stopped bool

	// Only Run's goroutine uses these.
	notBefore  time.Time // no request before it: Slack is down or asked us to wait
	backoff    time.Duration
	complained string // what the log last said is wrong; "" while all is well
}

var _ responders.Notifier = (*Slack)(nil)

// New checks cfg, after filling in its defaults, and makes a Slack that sends
// nothing until Run.
func New(cfg Config, opts Options) (*Slack, error) {
	cfg.Defaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if opts.HTTPClient == nil {
		// The token is in the body of each request, which a redirect would
		// carry elsewhere.
		opts.HTTPClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Debounce == 0 {
		opts.Debounce = defaultDebounce
	}
	if opts.Pace == 0 {
		opts.Pace = defaultPace
	}
	return &Slack{
		channel: cfg.Channel,
		secrets: strings.NewReplacer(cfg.Token, "<secret>"),
		// No retry in the client: only our queue knows what may be sent twice.
		client: slackapi.New(cfg.Token, slackapi.OptionAPIURL(cfg.APIURL), slackapi.OptionHTTPClient(opts.HTTPClient)),
		store:  opts.Store,
		logger: opts.Logger,
		log:    NewLog(opts.Logger),
		pace:   rate.NewLimiter(rate.Every(opts.Pace), burst),
		wake:   make(chan struct{}, 1),
		queue:  newQueue(opts.Debounce),
	}, nil
}

// Notify queues a report and returns at once. What r refers to must not be
// changed afterwards, since it is rendered when it is sent. It fails for a
// report without an incident id, and after Run has ended; then the report is in
// the log instead.
func (s *Slack) Notify(ctx context.Context, r responders.Report) error {
	if r.Incident.ID == "" {
		return errors.New("show a report in slack: it has no incident id")
	}
	r.Incident.Alerts = slices.Clone(r.Incident.Alerts)
	r.Outcomes = slices.Clone(r.Outcomes)

	s.mu.Lock()
	stopped := s.stopped
	roomy := true
	if !stopped {
		roomy = s.queue.put(r, time.Now())
	}
	s.mu.Unlock()

	if stopped {
		s.toLog(ctx, r)
		return fmt.Errorf("show incident %s: %w", r.Incident.ID, errStopped)
	}
	if !roomy {
		s.toLog(ctx, r)
	}
	select {
	case s.wake <- struct{}{}:
	default: // Run will look again anyway
	}
	return nil
}

// Stats counts since the start, but for Waiting, which is of now.
type Stats struct {
	Waiting int    // messages, replies and updates that Slack has not taken yet
	Failed  uint64 // requests that Slack refused, limited or left without an answer
	Logged  uint64 // reports that went to the log because Slack did not take them in time
}

// Stats returns how the queue stands.
func (s *Slack) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Waiting: s.queue.messages(), Failed: s.failed.Load(), Logged: s.logged.Load()}
}

// toLog shows a report in the log instead of in Slack.
func (s *Slack) toLog(ctx context.Context, r responders.Report) {
	s.logged.Add(1)
	s.log.write(ctx, r)
}

// Run sends what Notify queues until ctx ends, then for at most five seconds
// what is still queued; what Slack does not take by then goes to the log. It
// may be called once. Trouble with Slack is logged, not returned.
func (s *Slack) Run(ctx context.Context) error {
	if s.running.Swap(true) {
		return errors.New("run slack: it has already been run")
	}
	// Requests outlive ctx by drainTime: cutting one off in flight would leave
	// it unknown whether the message is there.
	sendCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		select {
		case <-ctx.Done():
		case <-sendCtx.Done():
			return
		}
		select {
		case <-time.After(drainTime):
			cancel()
		case <-sendCtx.Done():
		}
	}()

	for !s.finish(ctx, sendCtx) {
		j, wait, ok := s.pick(ctx.Err() != nil)
		if !ok {
			s.sleep(ctx, sendCtx, wait)
			continue
		}
		r, err := s.send(sendCtx, j)
		if err != nil && sendCtx.Err() != nil {
			continue // finish logs what is left
		}
		s.settle(sendCtx, j, r, err)
	}
	return nil
}

// finish tells whether Run is done, and if so stops the intake and logs what is
// left, in one step, so that no report falls between.
func (s *Slack) finish(ctx, sendCtx context.Context) bool {
	if ctx.Err() == nil {
		return false
	}
	s.mu.Lock()
	if len(s.queue.waiting) > 0 && sendCtx.Err() == nil {
		s.mu.Unlock()
		return false
	}
	s.stopped = true
	var left []responders.Report
	for id := range s.queue.waiting {
		left = append(left, s.queue.unlogged(id)...)
	}
	incidents := len(s.queue.waiting)
	clear(s.queue.waiting)
	s.mu.Unlock()

	if incidents > 0 {
		s.logger.Warn("stopped before slack took everything; the rest is in the log", "incidents", incidents)
	}
	for _, r := range left {
		s.toLog(ctx, r)
	}
	return true
}

// pick returns what to send now, or false and how long to wait; below zero means
// until something is queued.
func (s *Slack) pick(hurry bool) (job, time.Duration, bool) {
	now := time.Now()
	s.mu.Lock()
	j, again, ok := s.queue.next(now, hurry)
	s.mu.Unlock()
	switch {
	case !ok && again.IsZero():
		return job{}, -1, false
	case s.notBefore.After(now) && (ok || s.notBefore.After(again)):
		return job{}, s.notBefore.Sub(now), false
	case !ok:
		return job{}, again.Sub(now), false
	}
	token := s.pace.ReserveN(now, 1)
	if wait := token.DelayFrom(now); wait > 0 {
		token.CancelAt(now)
		return job{}, wait, false
	}
	return j, 0, true
}

// sleep waits for d, or without limit if it is below zero, and wakes early for
// a new report and for the stop.
func (s *Slack) sleep(ctx, sendCtx context.Context, d time.Duration) {
	var elapsed <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		elapsed = t.C
	}
	stop := ctx.Done()
	if ctx.Err() != nil {
		stop = sendCtx.Done()
	}
	select {
	case <-elapsed:
	case <-s.wake:
	case <-stop:
	}
}

// settle notes how j went: done, to be tried again, or given up.
func (s *Slack) settle(ctx context.Context, j job, r root, err error) {
	now := time.Now()
	s.mu.Lock()
	kept := s.queue.root(j.id)
	r.logged = kept.logged && err != nil
	*kept = r
	var lost []responders.Report
	var limited *slackapi.RateLimitedError
	switch {
	case err == nil:
		if j.reply != nil {
			kept.gone = 0
		}
		s.queue.sent(j, now)
		if r.saved && j.report.State == responders.StateClosed {
			s.queue.forget(j.id)
		}
	case errors.As(err, &limited):
		wait := max(limited.RetryAfter, time.Second)
		s.notBefore = now.Add(wait)
		if wait > longWait {
			lost = s.queue.unlogged(j.id)
		}
	case isGone(err) && r.gone < maxGone:
		kept.gone++
		s.queue.repost(j.id, now)
	case isTransient(err):
		s.backoff = min(max(2*s.backoff, firstBackoff), lastBackoff)
		s.notBefore = now.Add(s.backoff)
		lost = s.queue.unlogged(j.id)
	default:
		lost = s.queue.unlogged(j.id)
		s.giveUp(j, err, now)
	}
	s.mu.Unlock()

	if err != nil {
		s.failed.Add(1)
	}
	s.complain(j, limited, err)
	for _, l := range lost {
		s.toLog(ctx, l)
	}
}

// giveUp drops what Slack refuses for good, after unlogged has told the log.
// The next report of the incident is tried again. It needs s.mu.
func (s *Slack) giveUp(j job, err error, now time.Time) {
	if code(err) == editsOff {
		s.queue.sent(j, now) // the thread still takes replies
		return
	}
	s.queue.drop(j.id)
	if refusesChannel(err) {
		s.queue.repost(j.id, now)
	}
}

// complain logs trouble once when it starts or changes, and once that it is over.
func (s *Slack) complain(j job, limited *slackapi.RateLimitedError, err error) {
	if err == nil {
		s.backoff = 0
		if s.complained != "" {
			s.complained = ""
			s.logger.Info("slack takes messages again", "channel", s.channel)
		}
		return
	}
	switch {
	case limited != nil:
		s.logger.Warn("slack asked to wait", "channel", s.channel, "retry_after", limited.RetryAfter)
	case isGone(err):
		s.logger.Info("the slack message of an incident is gone; posting a new one", "incident", j.id)
	case isTransient(err):
		if s.complained != "unreachable" {
			s.complained = "unreachable"
			s.logger.Warn("slack cannot be reached; retrying, reports are in the log meanwhile", "channel", s.channel, "err", s.scrub(err))
		}
	default:
		s.backoff = 0 // it answers
		if what := s.secrets.Replace("refused: " + code(err)); s.complained != what {
			s.complained = what
			s.logger.Error("slack refuses messages; reports are in the log meanwhile", "channel", s.channel, "err", s.scrub(err), "hint", hint(err))
		}
	}
}
