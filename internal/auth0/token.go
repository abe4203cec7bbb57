package auth0

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// refusalHolds is how long a refusal of the credentials is answered without asking again, so that a daemon that reads logs
// every other second does not knock at the same rate with a wrong secret.
const refusalHolds = 10 * time.Second

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// tokens fetches and keeps the access token. The SDK's own source drops the reason of a failure and sends the request
// without a token; this one returns it. A fetch belongs to no request: one that is cancelled does not cancel the token
// that others wait for.
type tokens struct {
	domain, clientID string
	fetch            func(context.Context) (*oauth2.Token, error)
	secrets          *secrets
	open             context.Context // of fetches; ended by stop
	stop             context.CancelFunc

	mu           sync.Mutex // guards what follows
	token        *oauth2.Token
	running      *fetching
	refused      error
	refusedUntil time.Time
}

type fetching struct {
	done  chan struct{}
	token *oauth2.Token
	err   error
}

func newTokens(cfg Config, base string, network http.RoundTripper, secrets *secrets) (*tokens, error) {
	cc := clientcredentials.Config{
		ClientID:     cfg.ClientID,
		ClientSecret: cfg.ClientSecret,
		TokenURL:     base + "/oauth/token",
		// Trying out styles would send a wrong secret twice.
		AuthStyle: oauth2.AuthStyleInParams,
	}
	// The audience names the canonical domain wherever the request goes, with the slash at its end.
	audience := "https://" + cfg.Domain + apiPath + "/"
	var key *signer
	if len(cfg.PrivateKeyPEM) > 0 {
		var err error
		if key, err = newSigner(cfg.PrivateKeyPEM); err != nil {
			return nil, fmt.Errorf("tenant %s: private key: %w", cfg.Domain, err)
		}
	}
	httpClient := withoutRedirects(network)
	t := &tokens{domain: cfg.Domain, clientID: cfg.ClientID, secrets: secrets}
	t.open, t.stop = context.WithCancel(context.Background())
	t.fetch = func(ctx context.Context) (*oauth2.Token, error) {
		cc := cc
		cc.EndpointParams = url.Values{"audience": {audience}}
		if key != nil {
			assertion, err := key.assertion(cfg.ClientID, "https://"+cfg.Domain+"/", time.Now())
			if err != nil {
				return nil, err
			}
			secrets.add(assertion)
			cc.EndpointParams.Set("client_assertion_type", assertionType)
			cc.EndpointParams.Set("client_assertion", assertion)
		}
		return cc.Token(context.WithValue(ctx, oauth2.HTTPClient, httpClient))
	}
	return t, nil
}

// get returns a token that is valid for some seconds more, or a *tokenError, or ctx's error. With fresh it fetches one in
// any case.
func (t *tokens) get(ctx context.Context, fresh bool) (string, error) {
	t.mu.Lock()
	if !fresh && t.token.Valid() {
		defer t.mu.Unlock()
		return t.token.AccessToken, nil
	}
	if !fresh && t.refused != nil && time.Now().Before(t.refusedUntil) {
		defer t.mu.Unlock()
		return "", t.refused
	}
	f := t.running
	if f == nil {
		f = &fetching{done: make(chan struct{})}
		t.running = f
		go t.run(f)
	}
	t.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if f.err != nil {
		return "", f.err
	}
	return f.token.AccessToken, nil
}

func (t *tokens) run(f *fetching) {
	token, err := t.fetch(t.open) // the transport below bounds the time
	if err != nil {
		f.err = t.explain(err)
	} else {
		t.secrets.add(token.AccessToken)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f.token = token
	t.running, t.refused = nil, nil
	if f.err == nil {
		t.token = token
	} else if errors.Is(f.err, ErrCredentials) {
		t.token, t.refused, t.refusedUntil = nil, f.err, time.Now().Add(refusalHolds)
	}
	close(f.done)
}

// scope is what came with the token, and whether the tenant said it.
func (t *tokens) scope() (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == nil {
		return "", false
	}
	scope, told := t.token.Extra("scope").(string)
	return scope, told
}

// drop forgets token, unless it was replaced already.
func (t *tokens) drop(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != nil && t.token.AccessToken == token {
		t.token = nil
	}
}

// tokenError is a failure to fetch a token.
type tokenError struct {
	domain, detail, hint string
	kind                 error
	cause                error // nil if it might hold a secret
}

func (e *tokenError) Error() string { return "tenant " + e.domain + ": " + e.withoutTenant().Error() }

// withoutTenant is for messages that name the tenant already.
func (e *tokenError) withoutTenant() error {
	text := "fetch a token (POST /oauth/token): " + e.kind.Error() + ": " + e.detail
	if e.hint != "" {
		text += ": " + e.hint
	}
	return &tokenDetail{text: text, err: e}
}

func (e *tokenError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// tokenDetail is a tokenError in other words.
type tokenDetail struct {
	text string
	err  *tokenError
}

func (e *tokenDetail) Error() string { return e.text }
func (e *tokenDetail) Unwrap() error { return e.err }

func (t *tokens) explain(err error) error {
	out := &tokenError{domain: t.domain}
	var answered *oauth2.RetrieveError
	if !errors.As(err, &answered) || answered.Response == nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err
		}
		cause := t.secrets.cleanError(err)
		out.kind, out.cause, out.detail = ErrUnreachable, cause, cause.Error()
		out.hint = "check the tenant's domain and the network"
		return out
	}
	// Of the error itself nothing is kept: it holds the whole answer.
	status := answered.Response.StatusCode
	out.detail = fmt.Sprintf("%d %s", status, http.StatusText(status))
	for _, part := range []string{answered.ErrorCode, answered.ErrorDescription} {
		if part != "" {
			out.detail += ": " + t.secrets.clean(part)
		}
	}
	switch {
	case status == http.StatusTooManyRequests:
		out.kind = ErrRateLimited
	case status >= 500, status < 300:
		out.kind = ErrUnreachable
	case status < 400, status == http.StatusNotFound:
		out.kind, out.hint = ErrUnreachable, "no tenant answers there, check its domain"
	case status == http.StatusForbidden:
		out.kind = ErrCredentials
		out.hint = fmt.Sprintf("authorise application %s for the Management API of this tenant", t.clientID)
	default:
		out.kind = ErrCredentials
		out.hint = fmt.Sprintf("check client_id %s and its secret or key, and that the application is a machine-to-machine one", t.clientID)
	}
	return out
}
