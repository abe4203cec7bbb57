package auth0

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// ResetMail is a mail with a link that sets a new password.
type ResetMail struct {
	// Email is the address of the account, and where the mail goes: there is no other choice.
	Email string
	// Connection is the name of the database that the account is in.
	Connection string
	// ClientID is the application that the user is sent to afterwards. A tenant with a post-challenge Action needs it.
	ClientID string
	// Organization is the id of one that the user is to sign in to afterwards; may be empty.
	Organization string
}

func (m ResetMail) check() error {
	if err := checkEmail(m.Email); err != nil {
		return err
	}
	if err := checkID("connection", m.Connection); err != nil {
		return err
	}
	return checkID("client", m.ClientID)
}

const resetMailPath = "/dbconnections/change_password"

// SendResetMail asks the tenant to mail a link for a new password, on the custom domain if there is one; it needs no scope and
// no token. The answer does not tell whether there is such an account, nor whether a mail went out: the log does (scpr,
// fcpr, fn). All earlier links are worthless then.
//
// Auth0 takes ten of one address at once and then one a minute. What is above is not sent: ErrRateLimited, and RetryAfter
// tells for how long. Nothing is repeated; after ErrUnknownOutcome another mail does no harm. op is as in PatchBotDetection.
func (c *Client) SendResetMail(ctx context.Context, m ResetMail, op string) error {
	call := call{"send a password-reset mail", http.MethodPost, resetMailPath}
	err := m.check()
	if err == nil {
		err = checkOp(op)
	}
	if err != nil {
		return c.refuse(call, err)
	}
	if c.readOnly.Load() { // what is not sent is not counted either
		return c.fault(call, false, ErrReadOnly)
	}
	if wait := c.mails.take(m.Email, time.Now()); wait > 0 {
		return &callError{domain: c.domain, doing: call.doing, method: call.method, path: call.path, kind: ErrRateLimited,
			err: &notSent{wait: wait, why: "Auth0 takes no more mails to this address now"}}
	}
	var got answer
	if err := c.post(withAnswer(ctx, &got), m, op); err != nil && got.status == 0 {
		err = c.fault(call, got.sent, err)
		if errors.Is(err, ErrRateLimited) {
			c.mails.refused(m.Email, time.Now())
		}
		return err
	}
	return nil
}

func (c *Client) post(ctx context.Context, m ResetMail, op string) error {
	fields := map[string]string{"client_id": m.ClientID, "email": m.Email, "connection": m.Connection}
	if m.Organization != "" {
		fields["organization"] = m.Organization
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.publicBase+resetMailPath, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Host = c.customDomain // the URL's if empty
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Correlation-ID", op)
	resp, err := c.public.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// anonymous sends requests without a token, to public endpoints.
type anonymous struct {
	next      http.RoundTripper
	userAgent string
}

func (a *anonymous) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", a.userAgent)
	if got := answerOf(req.Context()); got != nil {
		got.sent = true
	}
	return a.next.RoundTrip(req)
}

// notSent is a request that would have gone above a limit of Auth0's.
type notSent struct {
	wait time.Duration
	why  string
}

func (n *notSent) Error() string {
	return fmt.Sprintf("not sent: %s: try again in %v", n.why, n.wait.Round(time.Second))
}

// RetryAfter is how long to wait before a call that failed this way is made again, as far as it is known.
func RetryAfter(err error) (time.Duration, bool) {
	var local *notSent
	var status *StatusError
	switch {
	case errors.As(err, &local):
		return local.wait, true
	case errors.As(err, &status) && status.RetryAfter > 0:
		return status.RetryAfter, true
	}
	return 0, false
}

const (
	mailBurst = 10
	mailEvery = time.Minute
	mailsKept = 10_000 // addresses
)

// mailLimit is Auth0's limit on reset mails to one address from one host, which we are.
type mailLimit struct {
	mu   sync.Mutex
	full map[string]time.Time // when the address may have mailBurst mails at once again
}

// take counts one mail, or tells how long there is none to be had.
func (l *mailLimit) take(email string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := strings.ToLower(email)
	full := l.full[key]
	if full.Before(now) {
		full = now
	}
	full = full.Add(mailEvery)
	if over := full.Sub(now) - mailBurst*mailEvery; over > 0 {
		return over
	}
	if l.full == nil {
		l.full = make(map[string]time.Time)
	}
	l.full[key] = full
	if len(l.full) > mailsKept {
		l.forget(now)
	}
	return 0
}

// forget drops the addresses that have no count any more, or all if every one has: Auth0 still refuses then.
func (l *mailLimit) forget(now time.Time) {
	for key, full := range l.full {
		if !full.After(now) {
			delete(l.full, key)
		}
	}
	if len(l.full) > mailsKept {
		clear(l.full)
	}
}

// refused notes that Auth0 counts more mails to an address than we do, such as those of a daemon that ran before.
func (l *mailLimit) refused(email string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full == nil {
		l.full = make(map[string]time.Time)
	}
	l.full[strings.ToLower(email)] = now.Add(mailBurst * mailEvery)
}
