package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/playbook"
)

// probation is how long an account is watched more closely after a case.
const probation = 14 * 24 * time.Hour

// reset sends the mail with which the user sets a new password.
type reset struct{ api API }

func (reset) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "sends the mail for a new password, to the address of before the attack", Lane: playbook.Recover, Irreversible: true,
		Scopes: []string{"read:users", "read:email_provider", "read:logs"}, Settings: map[string]string{"client_id": "the application that the user is sent to afterwards; one that they were seen to use if absent"}}
}

// changedWithin is how long before a case whose beginning is not known a change of
// the e-mail counts as the attacker's.
const changedWithin = 7 * 24 * time.Hour

// logged is how long the tenant's log may take to tell that a mail went out.
const logged = 90 * time.Second

// Happened relies on what was noted: neither the answer nor the account tells that
// a mail went out, but the log does, see [Notes].
func (reset) Happened(_ context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	if c.Facts[FactReset] == "" && !c.Last.IsZero() && c.Now.Sub(c.Last) < logged {
		return playbook.Unknown, nil
	}
	return once(c, FactReset)
}

// Notes reads from the log that our reset mail went out: a crash after the request
// leaves nothing else to tell it.
func Notes(r playbook.Run, event map[string]any) (fact, value string) {
	asked := slices.ContainsFunc(r.Steps, func(s playbook.StepRun) bool { return s.ID == "reset" && !s.Tried.IsZero() })
	name, _ := event["user_name"].(string)
	mine := event["user_id"] == r.Subject || name != "" && strings.EqualFold(name, r.Facts[FactEmail])
	if event["type"] != "scpr" || !asked || !mine {
		return "", ""
	}
	date, _ := event["date"].(string)
	return FactReset, date
}

func (r reset) Take(ctx context.Context, c *playbook.Case, op string) error {
	u, err := contained(ctx, r.api, c)
	if err != nil {
		return err
	}
	if why := r.cannot(ctx, c, u); why != "" {
		return fmt.Errorf("%w: %s", playbook.ErrImpossible, why)
	}
	err = r.api.SendResetMail(ctx, auth0.ResetMail{Email: u.Email, Connection: c.Facts[FactDatabase], ClientID: clientOf(c)}, op)
	if err != nil {
		return explained(err)
	}
	c.Facts[FactReset] = c.Now.UTC().Format(time.RFC3339)
	return nil
}

func clientOf(c *playbook.Case) string {
	return cmp.Or(c.With["client_id"], c.Facts[FactClient], c.Cause.Client)
}

// cannot says why no mail can be sent that is sure to reach the owner.
func (r reset) cannot(ctx context.Context, c *playbook.Case, u auth0.User) string {
	switch {
	case c.Facts[FactDatabase] == "":
		return "the account has no password here (" + c.Facts[FactConnects] + "): the owner recovers it at the identity provider, and a person unblocks"
	case u.Email == "":
		return "the account has no e-mail address"
	case c.Facts[FactEmail] != "" && !strings.EqualFold(u.Email, c.Facts[FactEmail]):
		return "the account's e-mail was changed during the case: a person must find out who owns it"
	case clientOf(c) == "":
		return "no application is known that the user signs in to: set client_id in the step"
	}
	since := c.Cause.Since
	if since.IsZero() {
		since = c.Begun.Add(-changedWithin)
	}
	switch changed, err := r.api.UserEvents(ctx, c.Subject, []string{"sce"}, since); {
	case err != nil:
		return "it cannot be told whether the account's e-mail was changed in the attack: " + err.Error()
	case len(changed) > 0:
		return "the account's e-mail was changed since the attack began: a person must find out who owns it"
	}
	_, enabled, err := r.api.MailProvider(ctx)
	switch {
	case err == nil && !enabled:
		return "the tenant's mail provider is switched off"
	case errors.Is(err, auth0.ErrNotFound):
		return "the tenant has no mail provider of its own; Auth0's sends few mails and only for trials"
	}
	return "" // without the scope to read it the mail is tried
}

func (r reset) Plan(ctx context.Context, c *playbook.Case) (playbook.Plan, error) {
	u, err := r.api.User(ctx, c.Subject)
	if err != nil {
		return playbook.Plan{}, explained(err)
	}
	now := *c
	now.Facts = map[string]string{}
	if err := evidence(r).Take(ctx, &now, ""); err != nil {
		return playbook.Plan{}, err
	}
	return playbook.Plan{Calls: []string{"POST /dbconnections/change_password"}, Cannot: r.cannot(ctx, &now, u)}, nil
}

// mark notes in the account that our reset was sent: from then on a password
// change by the owner ends the case.
type mark struct{ api API }

func (mark) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "notes in the account that our reset was sent, for the Action that unblocks", Lane: playbook.Recover,
		Scopes: []string{"read:users", "update:users"}}
}

func (m mark) Happened(ctx context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	u, err := m.api.User(ctx, c.Subject)
	if err != nil {
		return playbook.No, explained(err)
	}
	if marker := markerOf(u); marker.own(c) && !marker.ResetAt.IsZero() {
		return playbook.Yes, nil
	}
	return playbook.No, nil
}

func (m mark) Take(ctx context.Context, c *playbook.Case, op string) error {
	u, err := contained(ctx, m.api, c)
	if err != nil {
		return err
	}
	marker := markerOf(u)
	if !marker.own(c) {
		return fmt.Errorf("%w: the account carries no marker of this case", playbook.ErrOverruled)
	}
	marker.ResetAt = c.Now.UTC()
	_, err = m.api.UpdateUser(ctx, c.Subject, marker.patch(nil), op)
	return explained(err)
}

func (mark) Plan(_ context.Context, c *playbook.Case) (playbook.Plan, error) {
	return playbook.Plan{Calls: []string{"PATCH /users/" + c.Subject + ` {"app_metadata":{"portcullis":{…}}}`}}, nil
}

// unblock lets a user in again whom we blocked, under guards.
type unblock struct{ api API }

func (unblock) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "lets a user in again whom we blocked: never one whom somebody else did", Lane: playbook.Recover,
		Scopes: []string{"read:users", "update:users", "read:sessions", "read:refresh_tokens"}}
}

func (b unblock) Happened(ctx context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	u, err := b.api.User(ctx, c.Subject)
	if err != nil {
		return playbook.No, explained(err)
	}
	marker := markerOf(u)
	switch {
	case c.Facts[FactBlockedBy] != ByUs:
		return playbook.No, fmt.Errorf("%w: the user was not blocked by us: a person decides", playbook.ErrImpossible)
	case !u.Blocked && marker.own(c) && !marker.UnblockedAt.IsZero():
		return playbook.Yes, nil // by us, or by the Action that is faster
	case !marker.own(c):
		return playbook.No, fmt.Errorf("%w: the account carries another marker than this case's", playbook.ErrOverruled)
	case !u.Blocked:
		return playbook.Yes, nil // somebody did, and that is what we were about to do
	}
	return playbook.No, nil
}

func (b unblock) Take(ctx context.Context, c *playbook.Case, op string) error {
	if why, err := b.guard(ctx, c); err != nil || why != "" {
		if err == nil {
			err = fmt.Errorf("%w: %s", playbook.ErrImpossible, why)
		}
		return err
	}
	no := false
	marker := Marker{Case: c.Run, UnblockedAt: c.Now.UTC(), Probation: c.Now.Add(probation).UTC()}
	_, err := b.api.UpdateUser(ctx, c.Subject, marker.patch(&no), op)
	return explained(err)
}

// guard says what speaks against letting the user in; "" when nothing does. A
// person who approved the step has judged what an event would have shown.
func (b unblock) guard(ctx context.Context, c *playbook.Case) (string, error) {
	if c.Approved == "" {
		if c.Facts[FactReset] == "" {
			return "no reset of ours was sent", nil
		}
		if c.Event == nil {
			return "nobody has set a new password since", nil
		}
		ip, _ := c.Event["ip"].(string)
		if ip == "" || slices.Contains(Fields(c.Facts[FactAttackers]), ip) {
			return "the new password was set from an address of the attack, or from none that is known", nil
		}
	}
	left, err := accessOf(ctx, b.api, c.Subject)
	switch {
	case errors.Is(err, playbook.ErrImpossible):
		return "", nil // the plan cannot tell; the step before said so
	case err != nil:
		return "", err
	case !left.empty():
		return fmt.Sprintf("%d sessions and %d refresh tokens are still there", left.sessions, left.tokens), nil
	}
	return "", nil
}

func (b unblock) Plan(ctx context.Context, c *playbook.Case) (playbook.Plan, error) {
	u, err := b.api.User(ctx, c.Subject)
	if err != nil {
		return playbook.Plan{}, explained(err)
	}
	plan := playbook.Plan{Calls: []string{"PATCH /users/" + c.Subject + ` {"blocked":false,"app_metadata":{"portcullis":{…}}}`},
		Guards: []string{"our marker of this case", "a new password after our reset, not from an address of the attack", "no session and no refresh token left"}}
	if u.Blocked {
		plan = playbook.Plan{Cannot: "the user is blocked by somebody else now, and will not be unblocked by us"}
	}
	return plan, nil
}

// remove deletes an account that a fraudster made.
type remove struct{ api API }

func (remove) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "deletes an account that was made since the attack began, for good", Lane: playbook.Recover,
		Irreversible: true, Approval: true, Scopes: []string{"read:users", "delete:users"}}
}

func (r remove) Happened(ctx context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	_, err := r.api.User(ctx, c.Subject)
	switch {
	case errors.Is(err, auth0.ErrNotFound):
		return playbook.Yes, nil
	case err != nil:
		return playbook.No, explained(err)
	}
	return playbook.No, nil
}

func (r remove) Take(ctx context.Context, c *playbook.Case, op string) error {
	u, err := r.api.User(ctx, c.Subject)
	if err != nil {
		return explained(err)
	}
	if c.Cause.Since.IsZero() || u.CreatedAt.Before(c.Cause.Since) {
		return fmt.Errorf("%w: the account was made before the attack, or it is not known when that began: it is not deleted", playbook.ErrImpossible)
	}
	return explained(r.api.DeleteUser(ctx, c.Subject, op))
}

func (remove) Plan(_ context.Context, c *playbook.Case) (playbook.Plan, error) {
	return playbook.Plan{Calls: []string{"DELETE /users/" + c.Subject}, Guards: []string{"the account was made since the attack began; a person approves"}}, nil
}

// rotate gives a client a new secret.
type rotate struct{ api API }

func (rotate) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfClient, Doc: "gives a client a new secret; who has the old one is out, its owner too", Lane: playbook.Contain,
		Irreversible: true, Approval: true, Scopes: []string{"update:client_keys"}}
}

func (rotate) Happened(_ context.Context, c *playbook.Case, since time.Time) (playbook.Verdict, error) {
	if c.Facts[factRotated] != "" {
		return playbook.Yes, nil
	}
	if !since.IsZero() {
		return playbook.No, fmt.Errorf("%w: it cannot be told whether the secret was rotated: look at the client in the dashboard, then abort, or approve to rotate it again",
			playbook.ErrOverruled)
	}
	return playbook.No, nil
}

func (r rotate) Take(ctx context.Context, c *playbook.Case, op string) error {
	if err := r.api.RotateClientSecret(ctx, c.Subject, op); err != nil {
		return explained(err)
	}
	c.Facts[factRotated] = c.Now.UTC().Format(time.RFC3339)
	return nil
}

func (rotate) Plan(_ context.Context, c *playbook.Case) (playbook.Plan, error) {
	return playbook.Plan{Calls: []string{"POST /clients/" + c.Subject + "/rotate-secret"}, Guards: []string{"a person approves"}}, nil
}
