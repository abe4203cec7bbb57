package auth0

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"time"

	"github.com/auth0/go-auth0/v3/management/option"
)

const (
	// repetitions is how often a request is sent again at most.
	repetitions = 3
	// maxRetryWait bounds the wait before one of them.
	maxRetryWait = 30 * time.Second
	maxOp        = 64
)

// call is one request to the API, in the words of error messages.
type call struct {
	doing, method, path string
}

func (c call) write() bool { return isWrite(c.method) }

// do has send make the request, by the SDK, and returns the raw body of a 2xx answer. Reads are repeated after 429, 5xx and
// failures of the network; writes after 429 alone, which is never applied.
func (c *Client) do(ctx context.Context, call call, send func(context.Context) error) ([]byte, error) {
	got, err := c.answer(ctx, call, send)
	return got.body, err
}

// answer is do with all that the answer tells.
func (c *Client) answer(ctx context.Context, call call, send func(context.Context) error) (answer, error) {
	for attempt := 0; ; attempt++ {
		var got answer
		err := ctx.Err()
		if err == nil {
			err = send(withAnswer(ctx, &got))
		}
		// What the SDK makes of a good answer is not asked for: a value that its types do not know is none of our errors.
		if got.status != 0 {
			return got, nil
		}
		if err == nil {
			err = errors.New("no answer")
		}
		err = c.fault(call, got.sent, err)
		wait, again := c.again(call, attempt, err)
		if !again || ctx.Err() != nil {
			return answer{}, err
		}
		c.logger.Warn("request is repeated", "method", call.method, "path", call.path, "wait", wait, "err", err)
		if ended := sleep(ctx, wait); ended != nil {
			return answer{}, &interrupted{err: err, ended: ended}
		}
	}
}

// again tells whether to repeat a request that failed, and after how long.
func (c *Client) again(call call, attempt int, err error) (time.Duration, bool) {
	limited := errors.Is(err, ErrRateLimited)
	var local *notSent
	if attempt >= repetitions || errors.As(err, &local) || !limited && (call.write() || !errors.Is(err, ErrUnreachable)) {
		return 0, false
	}
	wait := c.backoff << attempt
	var status *StatusError
	if errors.As(err, &status) {
		if status.StatusCode < 400 {
			return 0, false // a redirection stays one
		}
		wait = max(wait, status.RetryAfter)
	}
	wait += rand.N(wait/10 + 1) // many tenants' clients must not come back at one instant
	return min(wait, maxRetryWait), true
}

// interrupted is a request that failed and would have been repeated, had its context not ended.
type interrupted struct{ err, ended error }

func (e *interrupted) Error() string   { return e.err.Error() + ": not repeated: " + e.ended.Error() }
func (e *interrupted) Unwrap() []error { return []error{e.err, e.ended} }

var opID = regexp.MustCompile(`^[!-~]+$`)

// checkOp makes sure that a write can be recognised in the tenant's log. Auth0 would cut a longer id.
func checkOp(op string) error {
	if op == "" || len(op) > maxOp || !opID.MatchString(op) {
		return fmt.Errorf("%w: the operation id %q has not 1 to %d printable characters without spaces", ErrInvalid, op, maxOp)
	}
	return nil
}

// refuse is for requests that are wrong before they are sent.
func (c *Client) refuse(call call, err error) error {
	return &callError{domain: c.domain, doing: call.doing, method: call.method, path: call.path, kind: ErrInvalid, err: err}
}

// change makes a write, unless wrong says what is the matter with what it is to carry. op names it in the tenant's log.
func (c *Client) change(ctx context.Context, call call, op string, wrong error, send func(context.Context, option.RequestOption) error) ([]byte, error) {
	if wrong == nil {
		wrong = checkOp(op)
	}
	if wrong != nil {
		return nil, c.refuse(call, wrong)
	}
	return c.do(ctx, call, func(ctx context.Context) error { return send(ctx, correlation(op)) })
}

// gone is for deletions: what is not there need not be deleted.
func gone(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func correlation(op string) option.RequestOption {
	h := http.Header{}
	h.Set("X-Correlation-ID", op)
	return option.WithHTTPHeader(h)
}
