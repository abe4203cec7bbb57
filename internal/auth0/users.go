package auth0

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/auth0/go-auth0/v3/management"
	"github.com/auth0/go-auth0/v3/management/option"
)

// User is one account of the tenant. A time that the tenant did not send is zero.
type User struct {
	// ID is the user_id, such as auth0|64f…: that of the primary identity.
	ID            string
	Email         string
	EmailVerified bool
	Phone         string
	Username      string
	Name          string
	// Blocked is an administrator's block; those of brute-force protection are UserBlocks.
	Blocked bool
	// AppMetadata has the values of app_metadata by their first-level names.
	AppMetadata map[string]json.RawMessage
	// Identities are the accounts that sign in as this user, the primary one first.
	Identities []Identity
	// CreatedAt, UpdatedAt, LastLogin and LastPasswordReset are the tenant's. LastLogin moves with refused logins too.
	CreatedAt, UpdatedAt, LastLogin, LastPasswordReset time.Time
	LastIP                                             string
	LoginsCount                                        int
	// Raw is the whole object as the tenant sent it, without the tokens of identity providers.
	Raw json.RawMessage
}

// Identity is one account that signs in as a user.
type Identity struct {
	Provider   string // auth0, google-oauth2, samlp, email, sms, …
	Connection string
	UserID     string // without the provider
	Social     bool
	Email      string // in the profile of a linked identity, if it has one
}

// DatabaseProvider is the provider of identities with a password that the tenant keeps.
const DatabaseProvider = "auth0"

const (
	usersPath     = apiPath + "/users"
	maxID         = 512
	userPage      = 100
	maxUsersFound = 1000 // Auth0's limit on one search
)

// UnmarshalJSON reads the API's form and keeps it in Raw.
func (u *User) UnmarshalJSON(data []byte) error {
	var in struct {
		ID            string                     `json:"user_id"`
		Email         string                     `json:"email"`
		EmailVerified looseBool                  `json:"email_verified"`
		Phone         string                     `json:"phone_number"`
		Username      string                     `json:"username"`
		Name          string                     `json:"name"`
		Blocked       bool                       `json:"blocked"`
		AppMetadata   map[string]json.RawMessage `json:"app_metadata"`
		Identities    []Identity                 `json:"identities"`
		Created       stamp                      `json:"created_at"`
		Updated       stamp                      `json:"updated_at"`
		LastLogin     stamp                      `json:"last_login"`
		Reset         stamp                      `json:"last_password_reset"`
		LastIP        string                     `json:"last_ip"`
		Logins        int                        `json:"logins_count"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.ID == "" {
		return errors.New("a user has no user_id")
	}
	raw, err := withoutTokens(data)
	if err != nil {
		return err
	}
	*u = User{
		ID: in.ID, Email: in.Email, EmailVerified: bool(in.EmailVerified), Phone: in.Phone, Username: in.Username, Name: in.Name,
		Blocked: in.Blocked, AppMetadata: in.AppMetadata, Identities: in.Identities, LastIP: in.LastIP, LoginsCount: in.Logins,
		CreatedAt: in.Created.Time, UpdatedAt: in.Updated.Time, LastLogin: in.LastLogin.Time, LastPasswordReset: in.Reset.Time, Raw: raw,
	}
	return nil
}

// UnmarshalJSON reads the API's form. Ids of some providers come as numbers.
func (i *Identity) UnmarshalJSON(data []byte) error {
	var in struct {
		Provider   string          `json:"provider"`
		Connection string          `json:"connection"`
		UserID     json.RawMessage `json:"user_id"`
		Social     bool            `json:"isSocial"`
		Profile    struct {
			Email string `json:"email"`
		} `json:"profileData"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*i = Identity{Provider: in.Provider, Connection: in.Connection, UserID: strings.Trim(string(in.UserID), `"`), Social: in.Social, Email: in.Profile.Email}
	var text string
	if json.Unmarshal(in.UserID, &text) == nil {
		i.UserID = text
	}
	return nil
}

// withoutTokens takes the tokens of identity providers, which an application with read:user_idp_tokens sees, out of a user.
func withoutTokens(data []byte) (json.RawMessage, error) {
	if !bytes.Contains(data, []byte(`_token"`)) {
		return bytes.Clone(data), nil
	}
	var members map[string]json.RawMessage
	var identities []map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(orNull(members["identities"]), &identities); err != nil {
		return nil, err
	}
	for _, identity := range identities {
		for _, secret := range []string{"access_token", "access_token_secret", "refresh_token"} {
			delete(identity, secret)
		}
	}
	var err error
	if members["identities"], err = json.Marshal(identities); err != nil {
		return nil, err
	}
	return json.Marshal(members)
}

// User reads one user; scope read:users. ErrNotFound if there is none.
func (c *Client) User(ctx context.Context, id string) (User, error) {
	call := call{"read a user", http.MethodGet, usersPath + "/" + id}
	if err := checkID("user", id); err != nil {
		return User{}, c.refuse(call, err)
	}
	body, err := c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.Users.Get(ctx, id, &management.GetUserRequestParameters{})
		return err
	})
	if err != nil {
		return User{}, err
	}
	return c.decodeUser(call, body)
}

func (c *Client) decodeUser(call call, body []byte) (User, error) {
	var u User
	if err := decodeObject(body, &u); err != nil {
		return User{}, c.unreadable(call, err)
	}
	return u, nil
}

// UsersByEmail reads the users who have exactly this e-mail address: the match is case-sensitive, and addresses of databases
// are kept in lower case. There may be several, or none; scope read:users.
func (c *Client) UsersByEmail(ctx context.Context, email string) ([]User, error) {
	call := call{"find users by e-mail", http.MethodGet, apiPath + "/users-by-email"}
	if err := checkEmail(email); err != nil {
		return nil, c.refuse(call, err)
	}
	body, err := c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.Users.ListUsersByEmail(ctx, &management.ListUsersByEmailRequestParameters{Email: email})
		return err
	})
	if err != nil {
		return nil, err
	}
	return decodeList[User](c, call, body)
}

// SearchUsers reads the users that a query in Auth0's search syntax (version 3) finds, at most the first 1000, and how many
// there are; scope read:users. The index is eventually consistent: read a user that is to be acted on.
func (c *Client) SearchUsers(ctx context.Context, q string) (users []User, total int, err error) {
	call := call{"search users", http.MethodGet, usersPath}
	if strings.TrimSpace(q) == "" {
		return nil, 0, c.refuse(call, fmt.Errorf("%w: the query is empty", ErrInvalid))
	}
	seen := map[string]bool{}
	for page := range maxUsersFound / userPage {
		body, err := c.do(ctx, call, func(ctx context.Context) error {
			_, err := c.api.Users.List(ctx, &management.ListUsersRequestParameters{Q: &q, SearchEngine: management.SearchEngineVersionsEnumV3.Ptr(),
				Page: management.Int(page), PerPage: management.Int(userPage), IncludeTotals: management.Bool(true)})
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		var in struct {
			Users *[]User `json:"users"`
			Total int     `json:"total"`
		}
		if err := decodeObject(body, &in); err != nil {
			return nil, 0, c.unreadable(call, err)
		}
		if in.Users == nil {
			return nil, 0, c.unreadable(call, errors.New("it has no users"))
		}
		total = in.Total
		for _, u := range *in.Users {
			if !seen[u.ID] {
				seen[u.ID] = true
				users = append(users, u)
			}
		}
		if len(*in.Users) == 0 || len(users) >= total {
			break
		}
	}
	return users, total, nil
}

// UserPatch is what to change of a user; what is nil stays. Passwords cannot be set: that would lift an administrator's
// block, and the new password would have to be told to somebody.
type UserPatch struct {
	Blocked *bool
	// AppMetadata is merged into what there is at the first level alone: nil removes a name, an object replaces one.
	AppMetadata map[string]any
	// Email, EmailVerified and Phone: Auth0 takes one of them in a call. An address that is set is not verified,
	// and no mail asks the user to verify it.
	Email         *string
	EmailVerified *bool
	Phone         *string
}

func (p UserPatch) fields() map[string]any {
	fields := map[string]any{}
	if p.Blocked != nil {
		fields["blocked"] = *p.Blocked
	}
	if p.AppMetadata != nil {
		fields["app_metadata"] = p.AppMetadata
	}
	if p.Email != nil {
		fields["email"], fields["verify_email"] = *p.Email, false
	}
	if p.EmailVerified != nil {
		fields["email_verified"] = *p.EmailVerified
	}
	if p.Phone != nil {
		fields["phone_number"] = *p.Phone
	}
	return fields
}

func (p UserPatch) check() error {
	single := 0
	for _, given := range []bool{p.Email != nil, p.EmailVerified != nil, p.Phone != nil} {
		if given {
			single++
		}
	}
	fields := p.fields()
	switch {
	case len(fields) == 0:
		return fmt.Errorf("%w: nothing is to be changed", ErrInvalid)
	case single > 1:
		return fmt.Errorf("%w: only one of e-mail, its verification and phone can be changed in one call", ErrInvalid)
	case p.Email != nil:
		return checkEmail(*p.Email)
	}
	if _, err := json.Marshal(fields); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// UpdateUser changes a user, all of the patch in one call, and returns the user after it; scope update:users. A block stops
// logins and refreshes from then on, and leaves sessions, refresh tokens and access tokens where they are. ErrNotFound if
// there is no such user; after ErrUnknownOutcome read the user. op is as in PatchBotDetection.
func (c *Client) UpdateUser(ctx context.Context, id string, patch UserPatch, op string) (User, error) {
	call := call{"update a user", http.MethodPatch, usersPath + "/" + id}
	wrong := checkID("user", id)
	if wrong == nil {
		wrong = patch.check()
	}
	body, err := c.change(ctx, call, op, wrong, func(ctx context.Context, named option.RequestOption) error {
		_, err := c.api.Users.Update(ctx, id, nil, option.WithBodyProperties(patch.fields()), named)
		return err
	})
	if err != nil {
		return User{}, err
	}
	return c.decodeUser(call, body)
}

// DeleteUser deletes a user for good, with all linked identities; one who is gone already is no error; scope delete:users.
// op is as in PatchBotDetection.
func (c *Client) DeleteUser(ctx context.Context, id, op string) error {
	call := call{"delete a user", http.MethodDelete, usersPath + "/" + id}
	_, err := c.change(ctx, call, op, checkID("user", id), func(ctx context.Context, named option.RequestOption) error {
		return c.api.Users.Delete(ctx, id, named)
	})
	return gone(err)
}

// ClearRisk makes the tenant forget which devices it knows of a user in a connection, so that the next login from one of
// them counts as from a new device; scope update:users. op is as in PatchBotDetection.
func (c *Client) ClearRisk(ctx context.Context, userID, connection, op string) error {
	call := call{"clear the risk state of a user", http.MethodPost, usersPath + "/" + userID + "/risk-assessments/clear"}
	wrong := checkID("user", userID)
	if wrong == nil {
		wrong = checkID("connection", connection)
	}
	_, err := c.change(ctx, call, op, wrong, func(ctx context.Context, named option.RequestOption) error {
		return c.api.Users.RiskAssessments.Clear(ctx, userID, &management.ClearAssessorsRequestContent{Connection: connection,
			Assessors: []management.AssessorsTypeEnum{management.AssessorsTypeEnum("new-device")}}, named)
	})
	return err
}

// decodeList reads an answer that is a bare list.
func decodeList[T any](c *Client, call call, body []byte) ([]T, error) {
	var list *[]T
	if err := decodeObject(body, &list); err != nil {
		return nil, c.unreadable(call, err)
	}
	if list == nil {
		return nil, c.unreadable(call, errors.New("it is no list"))
	}
	return *list, nil
}

// checkID refuses what cannot be an id. An empty one would turn a call for one user into a call for another thing.
func checkID(what, id string) error {
	switch {
	case strings.Trim(id, ".") == "":
		return fmt.Errorf("%w: %q is not the id of a %s", ErrInvalid, id, what)
	case len(id) > maxID || strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("%w: the id of a %s has at most %d characters and no control characters", ErrInvalid, what, maxID)
	}
	return nil
}

func checkEmail(email string) error {
	if err := checkID("mailbox", email); err != nil || !strings.Contains(email, "@") || strings.ContainsFunc(email, unicode.IsSpace) {
		return fmt.Errorf("%w: this is no e-mail address", ErrInvalid)
	}
	return nil
}

// stamp is a time that may be missing, or, in some of the API's objects, something else than a time.
type stamp struct{ time.Time }

func (s *stamp) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		s.Time, _ = time.Parse(time.RFC3339, text)
	}
	return nil
}

// looseBool is a boolean that some connections send as a text.
type looseBool bool

func (b *looseBool) UnmarshalJSON(data []byte) error {
	*b = looseBool(strings.Trim(string(data), `"`) == "true")
	return nil
}
