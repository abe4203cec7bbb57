// Package botdetection is the control over a tenant's bot detection: how
// sensitive it is, and which logins are challenged.
package botdetection

import (
	"context"
	"errors"
	"fmt"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Name is what policies and holds call the control.
const Name = "bot-detection"

// API is the part of the tenant's API that the control needs.
type API interface {
	BotDetection(ctx context.Context) (auth0.BotDetection, error)
	PatchBotDetection(ctx context.Context, fields map[string]any, op string) (auth0.BotDetection, error)
}

var (
	levelOrder  = hold.Order{"low", "medium", "high"}
	policyOrder = hold.Order{"never", "when_risky", "always"}
)

// Orders are the fields that holds may claim, each with its values from the
// weakest to the strictest.
var Orders = map[string]hold.Order{
	"bot_detection_level":             levelOrder,
	"challenge_password_policy":       policyOrder,
	"challenge_passwordless_policy":   policyOrder,
	"challenge_password_reset_policy": policyOrder,
}

// New makes the control. levels says what each level asks of each field.
func New(api API, levels map[string]map[string]string, store control.Store, op control.Operation) *control.Fields {
	return &control.Fields{Name: Name, Orders: Orders, Levels: levels, Setting: setting{api}, Store: store, Op: op}
}

type setting struct{ api API }

func (s setting) Read(ctx context.Context) (map[string]string, error) {
	b, err := s.api.BotDetection(ctx)
	if err != nil {
		return nil, explain(err)
	}
	fields := map[string]string{
		"bot_detection_level":             b.Level,
		"challenge_password_policy":       b.PasswordPolicy,
		"challenge_passwordless_policy":   b.PasswordlessPolicy,
		"challenge_password_reset_policy": b.PasswordResetPolicy,
	}
	for name, value := range fields {
		if value == "" {
			delete(fields, name) // the tenant does not have it
		}
	}
	return fields, nil
}

func (s setting) Write(ctx context.Context, fields map[string]string, op string) error {
	body := make(map[string]any, len(fields))
	for name, value := range fields {
		body[name] = value
	}
	_, err := s.api.PatchBotDetection(ctx, body, op)
	return explain(err)
}

// explain marks the errors that trying again does not help: 403 for a missing
// scope or plan, 404 when bot detection was never set up; and those of writes
// that did nothing.
func explain(err error) error {
	switch {
	case errors.Is(err, auth0.ErrForbidden) || errors.Is(err, auth0.ErrNotFound):
		return fmt.Errorf("%w: %w", control.ErrUnsupported, err)
	case errors.Is(err, auth0.ErrRateLimited) || errors.Is(err, auth0.ErrInvalid) || errors.Is(err, auth0.ErrReadOnly):
		return fmt.Errorf("%w: %w", control.ErrNotApplied, err)
	}
	return err
}
