package auth0

import (
	"context"
	"fmt"
	"net/http"

	"github.com/auth0/go-auth0/v3/management"
	"github.com/auth0/go-auth0/v3/management/option"
)

// LinkIdentity makes the user that is provider|identityID an identity of another user: who signs in with it is that one, and
// the user that it was is gone. It returns the identities after it; scope update:users. op is as in PatchBotDetection.
func (c *Client) LinkIdentity(ctx context.Context, userID, provider, identityID, op string) ([]Identity, error) {
	call := call{"link an identity", http.MethodPost, usersPath + "/" + userID + "/identities"}
	body, err := c.change(ctx, call, op, checkIdentity(userID, provider, identityID), func(ctx context.Context, named option.RequestOption) error {
		_, err := c.api.Users.Identities.Link(ctx, userID, nil, option.WithBodyProperties(map[string]any{"provider": provider, "user_id": identityID}), named)
		return err
	})
	if err != nil {
		return nil, err
	}
	return decodeList[Identity](c, call, body)
}

// UnlinkIdentity takes an identity from a user. Who signs in with it from then on is a user of their own, provider|identityID,
// who is new, and so neither blocked nor marked. It returns the identities that are left; scope update:users. ErrNotFound if
// the user has no such identity. op is as in PatchBotDetection.
func (c *Client) UnlinkIdentity(ctx context.Context, userID, provider, identityID, op string) ([]Identity, error) {
	call := call{"unlink an identity", http.MethodDelete, usersPath + "/" + userID + "/identities/" + provider + "/" + identityID}
	body, err := c.change(ctx, call, op, checkIdentity(userID, provider, identityID), func(ctx context.Context, named option.RequestOption) error {
		_, err := c.api.Users.Identities.Delete(ctx, userID, management.UserIdentityProviderEnum(provider).Ptr(), identityID, named)
		return err
	})
	if err != nil {
		return nil, err
	}
	return decodeList[Identity](c, call, body)
}

func checkIdentity(userID, provider, identityID string) error {
	if err := checkID("user", userID); err != nil {
		return err
	}
	if err := checkID("provider", provider); err != nil {
		return err
	}
	if err := checkID("identity", identityID); err != nil {
		return err
	}
	if provider+"|"+identityID == userID {
		return fmt.Errorf("%w: %s is the user's own primary identity", ErrInvalid, userID)
	}
	return nil
}
