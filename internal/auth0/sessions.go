package auth0

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/auth0/go-auth0/v3/management"
	"github.com/auth0/go-auth0/v3/management/option"
)

// Session is one session of a user at the tenant. Reading and ending sessions and refresh tokens is part of some plans only:
// ErrForbidden on the others.
type Session struct {
	ID, UserID                                                    string
	CreatedAt, AuthenticatedAt, LastInteractedAt, ExpiresAt, Idle time.Time // Idle: when it expires unused
	Device                                                        Device
	// Clients are the ids of the applications that it was used with.
	Clients []string
	// Raw is the whole object as the tenant sent it.
	Raw json.RawMessage
}

// RefreshToken is one refresh token of a user; its value is told to nobody.
type RefreshToken struct {
	ID, UserID, ClientID string
	// SessionID is the session that it is bound to; empty if there is none, or none any more.
	SessionID                                   string
	CreatedAt, LastExchangedAt, ExpiresAt, Idle time.Time // Idle: when it expires unused
	Rotating                                    bool
	Device                                      Device
	// Audiences are the APIs that it gives access to.
	Audiences []string
	// Raw is the whole object as the tenant sent it.
	Raw json.RawMessage
}

// Device is where a session or a refresh token was made, and where it was used last.
type Device struct {
	InitialIP        string `json:"initial_ip"`
	InitialASN       string `json:"initial_asn"`
	InitialUserAgent string `json:"initial_user_agent"`
	LastIP           string `json:"last_ip"`
	LastASN          string `json:"last_asn"`
	LastUserAgent    string `json:"last_user_agent"`
}

const (
	cursorPage     = 100
	maxCursorPages = 100 // ends a listing that never ends
	maxRevokedIDs  = 100
)

// UnmarshalJSON reads the API's form and keeps it in Raw.
func (s *Session) UnmarshalJSON(data []byte) error {
	var in struct {
		ID            string `json:"id"`
		UserID        string `json:"user_id"`
		Created       stamp  `json:"created_at"`
		Authenticated stamp  `json:"authenticated_at"`
		Interacted    stamp  `json:"last_interacted_at"`
		Expires       stamp  `json:"expires_at"`
		Idle          stamp  `json:"idle_expires_at"`
		Device        Device `json:"device"`
		Clients       []struct {
			ID string `json:"client_id"`
		} `json:"clients"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*s = Session{ID: in.ID, UserID: in.UserID, CreatedAt: in.Created.Time, AuthenticatedAt: in.Authenticated.Time, LastInteractedAt: in.Interacted.Time,
		ExpiresAt: in.Expires.Time, Idle: in.Idle.Time, Device: in.Device, Raw: bytes.Clone(data)}
	for _, c := range in.Clients {
		s.Clients = append(s.Clients, c.ID)
	}
	return nil
}

// UnmarshalJSON reads the API's form and keeps it in Raw.
func (r *RefreshToken) UnmarshalJSON(data []byte) error {
	var in struct {
		ID        string `json:"id"`
		UserID    string `json:"user_id"`
		ClientID  string `json:"client_id"`
		SessionID string `json:"session_id"`
		Created   stamp  `json:"created_at"`
		Exchanged stamp  `json:"last_exchanged_at"`
		Expires   stamp  `json:"expires_at"`
		Idle      stamp  `json:"idle_expires_at"`
		Rotating  bool   `json:"rotating"`
		Device    Device `json:"device"`
		APIs      []struct {
			Audience string `json:"audience"`
		} `json:"resource_servers"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*r = RefreshToken{ID: in.ID, UserID: in.UserID, ClientID: in.ClientID, SessionID: in.SessionID, CreatedAt: in.Created.Time,
		LastExchangedAt: in.Exchanged.Time, ExpiresAt: in.Expires.Time, Idle: in.Idle.Time, Rotating: in.Rotating, Device: in.Device, Raw: bytes.Clone(data)}
	for _, api := range in.APIs {
		r.Audiences = append(r.Audiences, api.Audience)
	}
	return nil
}

// Sessions reads all sessions of a user; scope read:sessions. What was revoked may be listed for some time.
func (c *Client) Sessions(ctx context.Context, userID string) ([]Session, error) {
	call := call{"list the sessions of a user", http.MethodGet, usersPath + "/" + userID + "/sessions"}
	if err := checkID("user", userID); err != nil {
		return nil, c.refuse(call, err)
	}
	return cursored[Session](ctx, c, call, "sessions", func(ctx context.Context, from *string) error {
		_, err := c.api.Users.Sessions.List(ctx, userID, &management.ListUserSessionsRequestParameters{From: from, Take: management.Int(cursorPage)})
		return err
	})
}

// RefreshTokens reads all refresh tokens of a user; scope read:refresh_tokens. What was revoked may be listed for some time.
func (c *Client) RefreshTokens(ctx context.Context, userID string) ([]RefreshToken, error) {
	call := call{"list the refresh tokens of a user", http.MethodGet, usersPath + "/" + userID + "/refresh-tokens"}
	if err := checkID("user", userID); err != nil {
		return nil, c.refuse(call, err)
	}
	return cursored[RefreshToken](ctx, c, call, "tokens", func(ctx context.Context, from *string) error {
		_, err := c.api.Users.RefreshToken.List(ctx, userID, &management.ListRefreshTokensRequestParameters{From: from, Take: management.Int(cursorPage)})
		return err
	})
}

// cursored reads all pages of a list that stands under a key beside the cursor of the next page.
func cursored[T any](ctx context.Context, c *Client, call call, key string, fetch func(ctx context.Context, from *string) error) ([]T, error) {
	var all []T
	var from *string
	for range maxCursorPages {
		body, err := c.do(ctx, call, func(ctx context.Context) error { return fetch(ctx, from) })
		if err != nil {
			return nil, err
		}
		var members map[string]json.RawMessage
		if err := decodeObject(body, &members); err != nil {
			return nil, c.unreadable(call, err)
		}
		var list *[]T
		if err := json.Unmarshal(orNull(members[key]), &list); err != nil {
			return nil, c.unreadable(call, err)
		}
		if list == nil {
			return nil, c.unreadable(call, errors.New("it has no "+key))
		}
		all = append(all, *list...)
		var next string
		if err := json.Unmarshal(orNull(members["next"]), &next); err != nil {
			return nil, c.unreadable(call, err)
		}
		if next == "" {
			return all, nil
		}
		from = &next
	}
	return nil, c.unreadable(call, fmt.Errorf("it goes on after %d pages", maxCursorPages))
}

// RefreshToken reads one refresh token; scope read:refresh_tokens. ErrNotFound if it is revoked, or there is none.
func (c *Client) RefreshToken(ctx context.Context, id string) (RefreshToken, error) {
	call := call{"read a refresh token", http.MethodGet, apiPath + "/refresh-tokens/" + id}
	if err := checkID("refresh token", id); err != nil {
		return RefreshToken{}, c.refuse(call, err)
	}
	body, err := c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.RefreshTokens.Get(ctx, id)
		return err
	})
	if err != nil {
		return RefreshToken{}, err
	}
	var out RefreshToken
	if err := decodeObject(body, &out); err != nil {
		return RefreshToken{}, c.unreadable(call, err)
	}
	return out, nil
}

// AccessRevocation narrows RevokeAccess down; the zero value is all of a user's access.
type AccessRevocation struct {
	// SessionID is the one session to end; all if empty.
	SessionID string
	// KeepRefreshTokens ends sessions alone.
	KeepRefreshTokens bool
}

// RevokeAccess ends sessions of a user, and the refresh tokens with them, in one call; scopes delete:sessions and
// delete:refresh_tokens. That it succeeds means that Auth0 accepted it: list them until they are gone, and once more later,
// as a login under way makes a new session. Access tokens stay valid until they expire. op is as in PatchBotDetection.
func (c *Client) RevokeAccess(ctx context.Context, userID string, which AccessRevocation, op string) error {
	call := call{"revoke the access of a user", http.MethodPost, usersPath + "/" + userID + "/revoke-access"}
	request := &management.RevokeUserAccessRequestContent{}
	if which.SessionID != "" {
		request.SessionID = &which.SessionID
	}
	if which.KeepRefreshTokens {
		request.PreserveRefreshTokens = &which.KeepRefreshTokens
	}
	_, err := c.change(ctx, call, op, checkID("user", userID), func(ctx context.Context, named option.RequestOption) error {
		return c.api.Users.RevokeAccess(ctx, userID, request, named)
	})
	return err
}

// DeleteSessions ends all sessions of a user and leaves the refresh tokens; scope delete:sessions. It is eventual, see
// RevokeAccess. op is as in PatchBotDetection.
func (c *Client) DeleteSessions(ctx context.Context, userID, op string) error {
	call := call{"delete the sessions of a user", http.MethodDelete, usersPath + "/" + userID + "/sessions"}
	_, err := c.change(ctx, call, op, checkID("user", userID), func(ctx context.Context, named option.RequestOption) error {
		return c.api.Users.Sessions.Delete(ctx, userID, named)
	})
	return err
}

// DeleteRefreshTokens revokes all refresh tokens of a user and leaves the sessions; scope delete:refresh_tokens. It is
// eventual, see RevokeAccess. op is as in PatchBotDetection.
func (c *Client) DeleteRefreshTokens(ctx context.Context, userID, op string) error {
	call := call{"delete the refresh tokens of a user", http.MethodDelete, usersPath + "/" + userID + "/refresh-tokens"}
	_, err := c.change(ctx, call, op, checkID("user", userID), func(ctx context.Context, named option.RequestOption) error {
		return c.api.Users.RefreshToken.Delete(ctx, userID, named)
	})
	return err
}

// DeleteSession ends one session and leaves its refresh tokens; one that is gone already is no error; scope
// delete:sessions. It is eventual, see RevokeAccess. op is as in PatchBotDetection.
func (c *Client) DeleteSession(ctx context.Context, id, op string) error {
	call := call{"delete a session", http.MethodDelete, apiPath + "/sessions/" + id}
	_, err := c.change(ctx, call, op, checkID("session", id), func(ctx context.Context, named option.RequestOption) error {
		return c.api.Sessions.Delete(ctx, id, named)
	})
	return gone(err)
}

// RevokeSession ends one session and the refresh tokens that are bound to it; one that is gone already is no error; scopes
// delete:sessions and delete:refresh_tokens. It is eventual, see RevokeAccess. op is as in PatchBotDetection.
func (c *Client) RevokeSession(ctx context.Context, id, op string) error {
	call := call{"revoke a session", http.MethodPost, apiPath + "/sessions/" + id + "/revoke"}
	_, err := c.change(ctx, call, op, checkID("session", id), func(ctx context.Context, named option.RequestOption) error {
		return c.api.Sessions.Revoke(ctx, id, named)
	})
	return gone(err)
}

// DeleteRefreshToken revokes one refresh token; one that is gone already is no error; scope delete:refresh_tokens. It is
// eventual, see RevokeAccess. op is as in PatchBotDetection.
func (c *Client) DeleteRefreshToken(ctx context.Context, id, op string) error {
	call := call{"delete a refresh token", http.MethodDelete, apiPath + "/refresh-tokens/" + id}
	_, err := c.change(ctx, call, op, checkID("refresh token", id), func(ctx context.Context, named option.RequestOption) error {
		return c.api.RefreshTokens.Delete(ctx, id, named)
	})
	return gone(err)
}

// TokenSelection says which refresh tokens to revoke: IDs, at most 100 and nothing else; or those of a user, narrowed down by
// an application, and that by an API.
type TokenSelection struct {
	IDs                        []string
	UserID, ClientID, Audience string
}

func (s TokenSelection) check() error {
	switch {
	case len(s.IDs) > maxRevokedIDs:
		return fmt.Errorf("%w: %d refresh tokens are more than the %d of one call", ErrInvalid, len(s.IDs), maxRevokedIDs)
	case len(s.IDs) > 0 && (s.UserID != "" || s.ClientID != "" || s.Audience != ""):
		return fmt.Errorf("%w: refresh tokens are named either by their ids or by their user", ErrInvalid)
	case len(s.IDs) > 0:
		return nil
	case s.Audience != "" && s.ClientID == "":
		return fmt.Errorf("%w: an audience narrows down an application", ErrInvalid)
	}
	return checkID("user", s.UserID)
}

// RevokeRefreshTokens revokes refresh tokens; scope delete:refresh_tokens. It is eventual, see RevokeAccess. ErrForbidden if
// the tenant has not this call, which is in early access; ErrInvalid for tokens of online access. op is as in PatchBotDetection.
func (c *Client) RevokeRefreshTokens(ctx context.Context, which TokenSelection, op string) error {
	call := call{"revoke refresh tokens", http.MethodPost, apiPath + "/refresh-tokens/revoke"}
	request := &management.RevokeRefreshTokensRequestContent{IDs: which.IDs}
	for value, into := range map[*string]**string{&which.UserID: &request.UserID, &which.ClientID: &request.ClientID, &which.Audience: &request.Audience} {
		if *value != "" {
			*into = value
		}
	}
	_, err := c.change(ctx, call, op, which.check(), func(ctx context.Context, named option.RequestOption) error {
		return c.api.RefreshTokens.Revoke(ctx, request, named)
	})
	return err
}
