// Package account has the measures of playbooks on a user's account and on a
// client: block, revoke, reset, unblock, and what goes with them.
package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/playbook"
)

// API is what the measures ask of a tenant; [auth0.Client] is one.
type API interface {
	User(ctx context.Context, id string) (auth0.User, error)
	UpdateUser(ctx context.Context, id string, patch auth0.UserPatch, op string) (auth0.User, error)
	DeleteUser(ctx context.Context, id, op string) error
	Sessions(ctx context.Context, userID string) ([]auth0.Session, error)
	RefreshTokens(ctx context.Context, userID string) ([]auth0.RefreshToken, error)
	RevokeAccess(ctx context.Context, userID string, which auth0.AccessRevocation, op string) error
	Grants(ctx context.Context, userID string) ([]auth0.Grant, error)
	DeleteGrants(ctx context.Context, userID, op string) error
	DeviceCredentials(ctx context.Context, userID string) ([]auth0.DeviceCredential, error)
	DeleteDeviceCredential(ctx context.Context, id, op string) error
	ForgetBrowsers(ctx context.Context, userID, op string) error
	ClearRisk(ctx context.Context, userID, connection, op string) error
	Factors(ctx context.Context, userID string) ([]auth0.Factor, error)
	DeleteFactor(ctx context.Context, userID, id, op string) error
	UserBlocks(ctx context.Context, userID string) ([]auth0.UserBlock, error)
	ClearUserBlocks(ctx context.Context, userID, op string) error
	SendResetMail(ctx context.Context, m auth0.ResetMail, op string) error
	MailProvider(ctx context.Context) (name string, enabled bool, err error)
	RotateClientSecret(ctx context.Context, clientID, op string) error
	UserEvents(ctx context.Context, userID string, types []string, since time.Time) ([]json.RawMessage, error)
}

var _ API = (*auth0.Client)(nil)

// Measures are all of them, by name, on one tenant.
func Measures(api API) map[string]playbook.Measure {
	all := map[string]playbook.Measure{
		"keep-evidence":        evidence{api},
		"block-user":           block{api},
		"revoke-access":        revoke{api},
		"revoke-grants":        grants{api},
		"forget-browsers":      forget{api},
		"clear-risk":           risk{api},
		"clear-brute-force":    bruteForce{api},
		"remove-added-factors": factors{api},
		"send-reset":           reset{api},
		"mark-reset":           mark{api},
		"unblock-user":         unblock{api},
		"delete-user":          remove{api},
		"rotate-client-secret": rotate{api},
	}
	for name, m := range all {
		all[name] = laned{m}
	}
	return all
}

// settling is how long what was revoked may still be listed before it is revoked
// again: Auth0 answers 202 and does it later.
const settling = 20 * time.Second

// The facts that measures leave for later ones and for people.
const (
	FactEvidence  = "evidence"       // when it was kept
	FactEmail     = "email"          // the address that the account had before the attack, or now if that is not known
	FactDatabase  = "database"       // the connection with the password; "" without one
	FactConnects  = "connections"    // of all identities
	FactBlockedBy = "blocked_by"     // us, or somebody else
	FactAdded     = "added_factors"  // ids of factors that came since the attack began
	FactClient    = "client"         // an application that the user signed in to
	FactReset     = "reset_sent"     // when
	FactAttackers = "attack_ips"     // addresses of the incident
	FactRemains   = "residual_until" // until when access tokens issued before may still be good
	factForgotten = "browsers_forgotten"
	factRisk      = "risk_cleared"
	factRotated   = "secret_rotated"
)

// Who blocked a user.
const (
	ByUs       = "us"
	BySomebody = "somebody else"
)

// markerKey is the member of app_metadata that names our case. The Action that
// unblocks after a reset reads it, see catalog/actions.
const markerKey = "portcullis"

// Marker is what stands in a user's app_metadata while a case is open, and after.
type Marker struct {
	Case        string    `json:"case"`
	BlockedAt   time.Time `json:"blocked_at,omitzero"`
	ResetAt     time.Time `json:"reset_at,omitzero"`
	UnblockedAt time.Time `json:"unblocked_at,omitzero"`
	Probation   time.Time `json:"probation_until,omitzero"`
	Addresses   []string  `json:"addresses,omitempty"` // of the incident
}

// markerOf reads the marker of a user; the zero Marker where there is none, or
// none of ours.
func markerOf(u auth0.User) Marker {
	var m Marker
	if json.Unmarshal(u.AppMetadata[markerKey], &m) != nil {
		return Marker{}
	}
	return m
}

// own reports whether the marker is of this case.
func (m Marker) own(c *playbook.Case) bool { return m.Case != "" && m.Case == c.Run }

// patch writes a marker, whole: Auth0 merges app_metadata at its first level only.
func (m Marker) patch(blocked *bool) auth0.UserPatch {
	return auth0.UserPatch{Blocked: blocked, AppMetadata: map[string]any{markerKey: m}}
}

// explained gives an error of the API the meaning that a run acts on.
func explained(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, auth0.ErrNotFound):
		return fmt.Errorf("%w: %w", playbook.ErrGone, err)
	case errors.Is(err, auth0.ErrForbidden), errors.Is(err, auth0.ErrInvalid), errors.Is(err, auth0.ErrCredentials), errors.Is(err, auth0.ErrReadOnly):
		return fmt.Errorf("%w: %w", playbook.ErrImpossible, err)
	case errors.Is(err, auth0.ErrRateLimited), errors.Is(err, auth0.ErrUnreachable):
		return fmt.Errorf("%w: %w", playbook.ErrNotTaken, err)
	}
	return err
}

// contained reads the user and reports whether our block still stands. One whom a
// human blocked before is contained as well. It fails with [playbook.ErrOverruled]
// when somebody took our block away.
func contained(ctx context.Context, api API, c *playbook.Case) (auth0.User, error) {
	u, err := api.User(ctx, c.Subject)
	if err != nil {
		return u, explained(err)
	}
	if c.Facts[FactBlockedBy] == ByUs && !u.Blocked && c.Approved == "" {
		return u, fmt.Errorf("%w: our block is gone: somebody unblocked the user, or set a password by the API, which takes it away", playbook.ErrOverruled)
	}
	return u, nil
}

func (r revokeList) empty() bool { return r.sessions == 0 && r.tokens == 0 }

// revokeList is what of a user's access is listed.
type revokeList struct{ sessions, tokens int }

func accessOf(ctx context.Context, api API, user string) (revokeList, error) {
	sessions, err := api.Sessions(ctx, user)
	if err != nil {
		return revokeList{}, explained(err)
	}
	tokens, err := api.RefreshTokens(ctx, user)
	return revokeList{len(sessions), len(tokens)}, explained(err)
}

func list(values ...string) string {
	slices.Sort(values)
	return strings.Join(slices.Compact(values), " ")
}

// Fields splits a fact that holds several values.
func Fields(fact string) []string { return strings.Fields(fact) }
