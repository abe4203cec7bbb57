package auth0

import (
	"context"
	"errors"
	"net/http"

	"github.com/auth0/go-auth0/v3/management"
	"github.com/auth0/go-auth0/v3/management/option"
)

// UserBlock is one block of brute-force protection: this identifier cannot sign in from this address. It has nothing to do
// with an administrator's block, User.Blocked.
type UserBlock struct {
	Identifier string `json:"identifier"`
	IP         string `json:"ip"`
	Connection string `json:"connection"`
}

const userBlocksPath = apiPath + "/user-blocks"

// UserBlocks reads the blocks of brute-force protection on a user; scope read:users.
func (c *Client) UserBlocks(ctx context.Context, userID string) ([]UserBlock, error) {
	call := call{"list the brute-force blocks of a user", http.MethodGet, userBlocksPath + "/" + userID}
	return c.userBlocks(ctx, call, checkID("user", userID), func(ctx context.Context) error {
		_, err := c.api.UserBlocks.List(ctx, userID, &management.ListUserBlocksRequestParameters{})
		return err
	})
}

// UserBlocksOf is UserBlocks by what is typed at a login: an e-mail address, a user name or a phone number. It also finds
// those of identifiers that no user has.
func (c *Client) UserBlocksOf(ctx context.Context, identifier string) ([]UserBlock, error) {
	call := call{"list the brute-force blocks of an identifier", http.MethodGet, userBlocksPath}
	return c.userBlocks(ctx, call, checkID("login", identifier), func(ctx context.Context) error {
		_, err := c.api.UserBlocks.ListByIdentifier(ctx, &management.ListUserBlocksByIdentifierRequestParameters{Identifier: identifier})
		return err
	})
}

func (c *Client) userBlocks(ctx context.Context, call call, wrong error, send func(context.Context) error) ([]UserBlock, error) {
	if wrong != nil {
		return nil, c.refuse(call, wrong)
	}
	body, err := c.do(ctx, call, send)
	if err != nil {
		return nil, err
	}
	var in struct {
		Blocks *[]UserBlock `json:"blocked_for"`
	}
	if err := decodeObject(body, &in); err != nil {
		return nil, c.unreadable(call, err)
	}
	if in.Blocks == nil {
		return nil, c.unreadable(call, errors.New("it has no blocked_for"))
	}
	return *in.Blocks, nil
}

// ClearUserBlocks lifts the blocks of brute-force protection on a user, of the primary identity; an administrator's block
// stays; scope update:users. op is as in PatchBotDetection.
func (c *Client) ClearUserBlocks(ctx context.Context, userID, op string) error {
	call := call{"lift the brute-force blocks of a user", http.MethodDelete, userBlocksPath + "/" + userID}
	_, err := c.change(ctx, call, op, checkID("user", userID), func(ctx context.Context, named option.RequestOption) error {
		return c.api.UserBlocks.Delete(ctx, userID, named)
	})
	return err
}

// ClearUserBlocksOf is ClearUserBlocks by what is typed at a login. op is as in PatchBotDetection.
func (c *Client) ClearUserBlocksOf(ctx context.Context, identifier, op string) error {
	call := call{"lift the brute-force blocks of an identifier", http.MethodDelete, userBlocksPath}
	_, err := c.change(ctx, call, op, checkID("login", identifier), func(ctx context.Context, named option.RequestOption) error {
		return c.api.UserBlocks.DeleteByIdentifier(ctx, &management.DeleteUserBlocksByIdentifierRequestParameters{Identifier: identifier}, named)
	})
	return err
}
