package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/auth0/go-auth0/v3/management"
	"github.com/auth0/go-auth0/v3/management/option"
)

const logsPath = apiPath + "/logs"

// UserEvents reads the latest events of some types about a user since a time, the
// newest first, at most 100; scope read:logs. The index that is searched is some
// seconds behind, and knows nothing older than the tenant's log retention.
func (c *Client) UserEvents(ctx context.Context, userID string, types []string, since time.Time) ([]json.RawMessage, error) {
	call := call{"search the log for a user", http.MethodGet, logsPath}
	err := checkID("user", userID)
	if err == nil && (len(types) == 0 || strings.ContainsAny(userID, `"\`)) {
		err = fmt.Errorf("%w: a search needs event types, and a user without quotation marks", ErrInvalid)
	}
	if err != nil {
		return nil, c.refuse(call, err)
	}
	var out []json.RawMessage
	for _, typ := range types { // terms of a search are joined by AND
		q := fmt.Sprintf(`user_id:"%s" AND type:"%s" AND date:[%s TO *]`, userID, typ, since.UTC().Format("2006-01-02T15:04:05.000Z"))
		body, err := c.do(ctx, call, func(ctx context.Context) error {
			_, err := c.api.Logs.List(ctx, &management.ListLogsRequestParameters{PerPage: management.Int(userPage), Sort: management.String("date:-1"), IncludeTotals: management.Bool(true)},
				option.WithQueryParameters(url.Values{"q": {q}}))
			return err
		})
		if err != nil {
			return nil, err
		}
		var found struct {
			Logs *[]json.RawMessage `json:"logs"`
		}
		if err := decodeObject(body, &found); err != nil {
			return nil, c.unreadable(call, err)
		}
		if found.Logs == nil {
			return nil, c.unreadable(call, errors.New("it has no logs"))
		}
		out = append(out, *found.Logs...)
	}
	return out, nil
}
