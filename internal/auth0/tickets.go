package auth0

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/auth0/go-auth0/v3/management"
	"github.com/auth0/go-auth0/v3/management/option"
)

// Ticket is a link that changes a password. Whoever has it has the account: it prints as <ticket>, and URL gives it out.
type Ticket struct{ url string }

// URL is the link.
func (t Ticket) URL() string { return t.url }

// String hides the link.
func (Ticket) String() string { return "<ticket>" }

// GoString hides the link.
func (Ticket) GoString() string { return "<ticket>" }

// MarshalText hides the link.
func (Ticket) MarshalText() ([]byte, error) { return []byte("<ticket>"), nil }

// PasswordTicket is what a ticket is to be.
type PasswordTicket struct {
	// UserID is whose password it changes.
	UserID string
	// ClientID is the application that the user is sent to afterwards, and whose Actions run.
	ClientID string
	// ResultURL is where the user is sent to afterwards; not together with ClientID.
	ResultURL string
	// TTL is how long the ticket works, in whole seconds. Auth0's own default of five days is too long for an account
	// that somebody else had: it must be given, and is at most a day.
	TTL time.Duration
	// MarkEmailAsVerified counts the use of the ticket as a proof that the mailbox is the user's.
	MarkEmailAsVerified bool
}

const maxTicketTTL = 24 * time.Hour

func (t PasswordTicket) check() error {
	switch {
	case t.TTL < time.Second || t.TTL > maxTicketTTL:
		return fmt.Errorf("%w: a ticket works for a second to a day, not for %v", ErrInvalid, t.TTL)
	case t.ClientID != "" && t.ResultURL != "":
		return fmt.Errorf("%w: a ticket leads either to an application or to a URL", ErrInvalid)
	}
	return checkID("user", t.UserID)
}

// CreatePasswordTicket makes a link with which a user of a database sets a new password, on the custom domain if there is one;
// scope create:user_tickets. It sends no mail, and makes all earlier tickets and reset mails of the user worthless. ErrInvalid
// if the user has no password here, ErrNotFound if there is no such user. op is as in PatchBotDetection.
func (c *Client) CreatePasswordTicket(ctx context.Context, t PasswordTicket, op string) (Ticket, error) {
	call := call{"create a password-change ticket", http.MethodPost, apiPath + "/tickets/password-change"}
	request := &management.ChangePasswordTicketRequestContent{UserID: &t.UserID, TTLSec: management.Int(int(t.TTL / time.Second))}
	if t.ClientID != "" {
		request.ClientID = &t.ClientID
	}
	if t.ResultURL != "" {
		request.ResultURL = &t.ResultURL
	}
	if t.MarkEmailAsVerified {
		request.MarkEmailAsVerified = &t.MarkEmailAsVerified
	}
	body, err := c.change(ctx, call, op, t.check(), func(ctx context.Context, named option.RequestOption) error {
		_, err := c.api.Tickets.ChangePassword(ctx, request, named, c.onCustomDomain())
		return err
	})
	if err != nil {
		return Ticket{}, err
	}
	var in struct {
		URL string `json:"ticket"`
	}
	if err := decodeObject(body, &in); err != nil {
		return Ticket{}, c.unreadable(call, err)
	}
	if in.URL == "" {
		return Ticket{}, c.unreadable(call, errors.New("it has no ticket"))
	}
	return Ticket{url: in.URL}, nil
}

// SendVerificationMail asks that a user be mailed a link that proves the e-mail address; scope update:users. It returns the
// id of the job; that it succeeds does not mean that a mail was sent. clientID, which may be empty, is the application that
// the mail is about. op is as in PatchBotDetection.
func (c *Client) SendVerificationMail(ctx context.Context, userID, clientID, op string) (jobID string, err error) {
	call := call{"send a verification mail", http.MethodPost, apiPath + "/jobs/verification-email"}
	request := &management.CreateVerificationEmailRequestContent{UserID: userID}
	if clientID != "" {
		request.ClientID = &clientID
	}
	body, err := c.change(ctx, call, op, checkID("user", userID), func(ctx context.Context, named option.RequestOption) error {
		_, err := c.api.Jobs.VerificationEmail.Create(ctx, request, named, c.onCustomDomain())
		return err
	})
	if err != nil {
		return "", err
	}
	var in struct {
		ID string `json:"id"`
	}
	if err := decodeObject(body, &in); err != nil {
		return "", c.unreadable(call, err)
	}
	return in.ID, nil
}

// onCustomDomain asks that links lead to the domain that users know.
func (c *Client) onCustomDomain() option.RequestOption {
	h := http.Header{}
	if c.customDomain != "" {
		h.Set("Auth0-Custom-Domain", c.customDomain)
	}
	return option.WithHTTPHeader(h)
}

// MailProvider tells which service sends the tenant's mails and whether it is switched on; scope read:email_provider.
// ErrNotFound if none is set up: Auth0's own, for trials, sends then, and little.
func (c *Client) MailProvider(ctx context.Context) (name string, enabled bool, err error) {
	call := call{"read the mail provider", http.MethodGet, apiPath + "/emails/provider"}
	body, err := c.do(ctx, call, func(ctx context.Context) error {
		// Without its credentials, which the daemon has no use for.
		_, err := c.api.Emails.Provider.Get(ctx, &management.GetEmailProviderRequestParameters{
			Fields: management.String("name,enabled"), IncludeFields: management.Bool(true)})
		return err
	})
	if err != nil {
		return "", false, err
	}
	var in struct {
		Name    string `json:"name"`
		Enabled *bool  `json:"enabled"`
	}
	if err := decodeObject(body, &in); err != nil {
		return "", false, c.unreadable(call, err)
	}
	return in.Name, in.Enabled == nil || *in.Enabled, nil
}
