package auth0

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/auth0/go-auth0/v3/management"
)

// ConnectionsPath is where the API has the connections.
const ConnectionsPath = apiPath + "/connections"

// Connection reads the connection of a name, with its options as raw JSON; scopes read:connections and, for secrets among
// the options, read:connections_options. ErrNotFound if there is none.
func (c *Client) Connection(ctx context.Context, name string) (Setting, error) {
	call := call{"read connection " + name, http.MethodGet, ConnectionsPath}
	var list struct {
		Connections []json.RawMessage `json:"connections"`
	}
	got, err := c.setting(ctx, call, &list, func(ctx context.Context) error {
		// Checkpoint paging answers with an object; two are asked for so that the page is never taken for all there is.
		_, err := c.api.Connections.List(ctx, &management.ListConnectionsQueryParameters{Name: &name, Take: management.Int(2)})
		return err
	})
	if err != nil {
		return Setting{}, err
	}
	for _, raw := range list.Connections {
		var one struct {
			Name string `json:"name"`
		}
		if json.Unmarshal(raw, &one) == nil && one.Name == name {
			return Setting{Raw: raw, At: got.At}, nil
		}
	}
	return Setting{}, &callError{domain: c.domain, doing: call.doing, method: call.method, path: call.path, kind: ErrNotFound,
		err: fmt.Errorf("the tenant has no connection of that name")}
}

// PatchConnection changes the fields given of the connection of an id, and no other; scope update:connections. The API
// replaces options as a whole, and sets a display_name that is left out to the name. op as for
// [Client.PatchAttackProtection].
func (c *Client) PatchConnection(ctx context.Context, id string, fields map[string]any, op string) (Setting, error) {
	call := call{"change connection " + id, http.MethodPatch, ConnectionsPath + "/" + id}
	if id == "" || len(fields) == 0 {
		return Setting{}, c.refuse(call, fmt.Errorf("%w: an id and fields are needed", ErrInvalid))
	}
	if err := c.checkWrite(call, fields, op); err != nil {
		return Setting{}, err
	}
	return c.setting(ctx, call, &map[string]any{}, func(ctx context.Context) error {
		_, err := c.api.Connections.Update(ctx, id, nil, onlyFields(fields), correlation(op))
		return err
	})
}
