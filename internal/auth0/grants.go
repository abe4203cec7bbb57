package auth0

import (
	"context"
	"net/http"

	"github.com/auth0/go-auth0/v3/management"
	"github.com/auth0/go-auth0/v3/management/option"
)

// Grant is what a user allowed an application to do.
type Grant struct {
	ID       string   `json:"id"`
	ClientID string   `json:"clientID"`
	UserID   string   `json:"user_id"`
	Audience string   `json:"audience"`
	Scopes   []string `json:"scope"`
}

// DeviceCredential is what a device of a user holds, such as a refresh token.
type DeviceCredential struct {
	ID         string `json:"id"`
	Type       string `json:"type"` // refresh_token, rotating_refresh_token, public_key
	DeviceName string `json:"device_name"`
	DeviceID   string `json:"device_id"`
	UserID     string `json:"user_id"`
	ClientID   string `json:"client_id"`
}

// Grants reads what a user allowed to applications; scope read:grants.
func (c *Client) Grants(ctx context.Context, userID string) ([]Grant, error) {
	call := call{"list the grants of a user", http.MethodGet, apiPath + "/grants"}
	if err := checkID("user", userID); err != nil {
		return nil, c.refuse(call, err)
	}
	return listed(ctx, c, call, "grants", func(g Grant) string { return g.ID }, func(ctx context.Context, page int) error {
		_, err := c.api.UserGrants.List(ctx, &management.ListUserGrantsRequestParameters{UserID: &userID,
			Page: management.Int(page), PerPage: management.Int(userPage), IncludeTotals: management.Bool(true)})
		return err
	})
}

// DeleteGrants takes back all that a user allowed to applications; scope delete:grants. op is as in PatchBotDetection.
func (c *Client) DeleteGrants(ctx context.Context, userID, op string) error {
	call := call{"delete the grants of a user", http.MethodDelete, apiPath + "/grants"}
	_, err := c.change(ctx, call, op, checkID("user", userID), func(ctx context.Context, named option.RequestOption) error {
		return c.api.UserGrants.DeleteByUserID(ctx, &management.DeleteUserGrantByUserIDRequestParameters{UserID: userID}, named)
	})
	return err
}

// DeleteGrant takes back one grant; one that is gone already is no error; scope delete:grants. op is as in
// PatchBotDetection.
func (c *Client) DeleteGrant(ctx context.Context, id, op string) error {
	call := call{"delete a grant", http.MethodDelete, apiPath + "/grants/" + id}
	_, err := c.change(ctx, call, op, checkID("grant", id), func(ctx context.Context, named option.RequestOption) error {
		return c.api.UserGrants.Delete(ctx, id, named)
	})
	return gone(err)
}

// DeviceCredentials reads what devices of a user hold; scope read:device_credentials.
func (c *Client) DeviceCredentials(ctx context.Context, userID string) ([]DeviceCredential, error) {
	call := call{"list the device credentials of a user", http.MethodGet, apiPath + "/device-credentials"}
	if err := checkID("user", userID); err != nil {
		return nil, c.refuse(call, err)
	}
	return listed(ctx, c, call, "device_credentials", func(d DeviceCredential) string { return d.ID }, func(ctx context.Context, page int) error {
		_, err := c.api.DeviceCredentials.List(ctx, &management.ListDeviceCredentialsRequestParameters{UserID: &userID,
			Page: management.Int(page), PerPage: management.Int(userPage), IncludeTotals: management.Bool(true)})
		return err
	})
}

// DeleteDeviceCredential makes what one device holds worthless; one that is gone already is no error; scope
// delete:device_credentials. op is as in PatchBotDetection.
func (c *Client) DeleteDeviceCredential(ctx context.Context, id, op string) error {
	call := call{"delete a device credential", http.MethodDelete, apiPath + "/device-credentials/" + id}
	_, err := c.change(ctx, call, op, checkID("device credential", id), func(ctx context.Context, named option.RequestOption) error {
		return c.api.DeviceCredentials.Delete(ctx, id, named)
	})
	return gone(err)
}

// RotateClientSecret gives an application a new secret; the old one is refused from then on, and so is the application until
// somebody gives it the new one, which this daemon does not keep: a person reads it in the dashboard. Scope
// update:client_keys. After ErrUnknownOutcome a second call does no harm that the first did not. op is as in PatchBotDetection.
func (c *Client) RotateClientSecret(ctx context.Context, clientID, op string) error {
	call := call{"rotate the secret of an application", http.MethodPost, apiPath + "/clients/" + clientID + "/rotate-secret"}
	_, err := c.change(ctx, call, op, checkID("client", clientID), func(ctx context.Context, named option.RequestOption) error {
		_, err := c.api.Clients.RotateSecret(ctx, clientID, named)
		return err
	})
	return err
}
