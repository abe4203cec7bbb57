package auth0

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/auth0/go-auth0/v3/management"
	"github.com/auth0/go-auth0/v3/management/option"
)

// Factor is one authentication method of a user.
type Factor struct {
	ID string
	// Type is phone, email, totp, push-notification, webauthn-roaming, webauthn-platform, passkey, recovery-code, password, …
	Type      string
	Name      string
	Phone     string
	Email     string
	Confirmed bool
	// CreatedAt and LastUsedAt are zero if the tenant does not tell them.
	CreatedAt, LastUsedAt time.Time
	// Raw is the whole object as the tenant sent it.
	Raw json.RawMessage
}

// Enrollment is one enrollment of a user in Guardian, the tenant's own second factors.
type Enrollment struct {
	ID         string
	Type       string // push-notification, authenticator, …
	Name       string
	Phone      string
	Confirmed  bool
	EnrolledAt time.Time // zero if the tenant does not tell it
}

// FactorPasskey is the type of a passkey. A user who has one cannot lose all factors in one call, and a new password does not
// touch it.
const FactorPasskey = "passkey"

// The providers of DeleteMultifactorProvider.
const (
	ProviderDuo                 = "duo"
	ProviderGoogleAuthenticator = "google-authenticator"
)

// UnmarshalJSON reads the API's form and keeps it in Raw.
func (f *Factor) UnmarshalJSON(data []byte) error {
	var in struct {
		ID        string `json:"id"`
		Type      string `json:"type"`
		Name      string `json:"name"`
		Phone     string `json:"phone_number"`
		Email     string `json:"email"`
		Confirmed *bool  `json:"confirmed"`
		Created   stamp  `json:"created_at"`
		Used      stamp  `json:"last_auth_at"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*f = Factor{ID: in.ID, Type: in.Type, Name: in.Name, Phone: in.Phone, Email: in.Email, CreatedAt: in.Created.Time, LastUsedAt: in.Used.Time,
		Confirmed: in.Confirmed == nil || *in.Confirmed, Raw: bytes.Clone(data)} // types that need no confirmation do not tell it
	return nil
}

// UnmarshalJSON reads the API's form.
func (e *Enrollment) UnmarshalJSON(data []byte) error {
	var in struct {
		ID       string `json:"id"`
		Type     string `json:"type"`
		Name     string `json:"name"`
		Phone    string `json:"phone_number"`
		Status   string `json:"status"`
		Enrolled stamp  `json:"enrolled_at"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*e = Enrollment{ID: in.ID, Type: in.Type, Name: in.Name, Phone: in.Phone, Confirmed: in.Status == "confirmed", EnrolledAt: in.Enrolled.Time}
	return nil
}

// Factors reads all authentication methods of a user; scope read:authentication_methods.
func (c *Client) Factors(ctx context.Context, userID string) ([]Factor, error) {
	call := call{"list the authentication methods of a user", http.MethodGet, usersPath + "/" + userID + "/authentication-methods"}
	if err := checkID("user", userID); err != nil {
		return nil, c.refuse(call, err)
	}
	return listed(ctx, c, call, "authenticators", func(f Factor) string { return f.ID }, func(ctx context.Context, page int) error {
		_, err := c.api.Users.AuthenticationMethods.List(ctx, userID, &management.ListUserAuthenticationMethodsRequestParameters{
			Page: management.Int(page), PerPage: management.Int(userPage), IncludeTotals: management.Bool(true)})
		return err
	})
}

// Enrollments reads the enrollments of a user in Guardian; scope read:users.
func (c *Client) Enrollments(ctx context.Context, userID string) ([]Enrollment, error) {
	call := call{"list the enrollments of a user", http.MethodGet, usersPath + "/" + userID + "/enrollments"}
	if err := checkID("user", userID); err != nil {
		return nil, c.refuse(call, err)
	}
	body, err := c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.Users.Enrollments.Get(ctx, userID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return decodeList[Enrollment](c, call, body)
}

// DeleteFactor removes one authentication method of a user; one that is gone already is no error; scope
// delete:authentication_methods. op is as in PatchBotDetection.
func (c *Client) DeleteFactor(ctx context.Context, userID, id, op string) error {
	call := call{"delete an authentication method", http.MethodDelete, usersPath + "/" + userID + "/authentication-methods/" + id}
	wrong := checkID("user", userID)
	if wrong == nil {
		wrong = checkID("authentication method", id)
	}
	_, err := c.change(ctx, call, op, wrong, func(ctx context.Context, named option.RequestOption) error {
		return c.api.Users.AuthenticationMethods.Delete(ctx, userID, id, named)
	})
	return gone(err)
}

// DeleteFactors removes all authentication methods of a user, so that whoever signs in next enrols anew; scope
// delete:authentication_methods. ErrForbidden if there is a passkey among them. op is as in PatchBotDetection.
func (c *Client) DeleteFactors(ctx context.Context, userID, op string) error {
	call := call{"delete the authentication methods of a user", http.MethodDelete, usersPath + "/" + userID + "/authentication-methods"}
	_, err := c.change(ctx, call, op, checkID("user", userID), func(ctx context.Context, named option.RequestOption) error {
		return c.api.Users.AuthenticationMethods.DeleteAll(ctx, userID, named)
	})
	return err
}

// DeleteAuthenticators removes all authenticators of a user; scope delete:guardian_enrollments. op is as in
// PatchBotDetection.
func (c *Client) DeleteAuthenticators(ctx context.Context, userID, op string) error {
	call := call{"delete the authenticators of a user", http.MethodDelete, usersPath + "/" + userID + "/authenticators"}
	_, err := c.change(ctx, call, op, checkID("user", userID), func(ctx context.Context, named option.RequestOption) error {
		return c.api.Users.Authenticators.DeleteAll(ctx, userID, named)
	})
	return err
}

// DeleteEnrollment removes one enrollment in Guardian; one that is gone already is no error; scope
// delete:guardian_enrollments. op is as in PatchBotDetection.
func (c *Client) DeleteEnrollment(ctx context.Context, id, op string) error {
	call := call{"delete an enrollment", http.MethodDelete, apiPath + "/guardian/enrollments/" + id}
	_, err := c.change(ctx, call, op, checkID("enrollment", id), func(ctx context.Context, named option.RequestOption) error {
		return c.api.Guardian.Enrollments.Delete(ctx, id, named)
	})
	return gone(err)
}

// DeleteMultifactorProvider removes what a user has with ProviderDuo or ProviderGoogleAuthenticator; scope update:users. op
// is as in PatchBotDetection.
func (c *Client) DeleteMultifactorProvider(ctx context.Context, userID, provider, op string) error {
	call := call{"delete a multi-factor provider of a user", http.MethodDelete, usersPath + "/" + userID + "/multifactor/" + provider}
	wrong := checkID("user", userID)
	if wrong == nil && provider != ProviderDuo && provider != ProviderGoogleAuthenticator {
		wrong = fmt.Errorf("%w: %q is neither %s nor %s", ErrInvalid, provider, ProviderDuo, ProviderGoogleAuthenticator)
	}
	_, err := c.change(ctx, call, op, wrong, func(ctx context.Context, named option.RequestOption) error {
		return c.api.Users.Multifactor.DeleteProvider(ctx, userID, management.UserMultifactorProviderEnum(provider).Ptr(), named)
	})
	return err
}

// ForgetBrowsers makes every browser that a user told to remember the second factor ask for it again; scope update:users. op
// is as in PatchBotDetection.
func (c *Client) ForgetBrowsers(ctx context.Context, userID, op string) error {
	call := call{"forget the remembered browsers of a user", http.MethodPost, usersPath + "/" + userID + "/multifactor/actions/invalidate-remember-browser"}
	_, err := c.change(ctx, call, op, checkID("user", userID), func(ctx context.Context, named option.RequestOption) error {
		return c.api.Users.Multifactor.InvalidateRememberBrowser(ctx, userID, named)
	})
	return err
}
