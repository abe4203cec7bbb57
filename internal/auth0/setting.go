package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/auth0/go-auth0/v3/management/option"
)

// Setting is one object of the tenant as it sent it.
type Setting struct {
	// Raw is the whole object: a typed copy would lose the members that its type does not know.
	Raw json.RawMessage
	// At is when the tenant answered, by the tenant's own clock, to the second below.
	At time.Time
}

// setting makes a request and returns the object that answers it. into is what the object must decode into, to tell an
// answer that is none of the API's.
func (c *Client) setting(ctx context.Context, call call, into any, send func(context.Context) error) (Setting, error) {
	got, err := c.answer(ctx, call, send)
	if err != nil {
		return Setting{}, err
	}
	if err := decodeObject(got.body, into); err != nil {
		return Setting{}, c.unreadable(call, err)
	}
	return Setting{Raw: got.body, At: got.at}, nil
}

// checkWrite refuses a write that cannot be sent or recognised.
func (c *Client) checkWrite(call call, body any, op string) error {
	if err := checkOp(op); err != nil {
		return c.refuse(call, err)
	}
	if _, err := json.Marshal(body); err != nil {
		return c.refuse(call, err)
	}
	return nil
}

// onlyFields sends exactly the fields given. Without a request the body properties are the whole body; a typed request
// would drop empty lists and refuse to carry a field that it does not declare.
func onlyFields(fields map[string]any) option.RequestOption { return option.WithBodyProperties(fields) }

// unreadable is a 2xx answer that is not what the API sends. A write may have been applied all the same.
func (c *Client) unreadable(call call, err error) error {
	kind := ErrUnreachable
	if call.write() {
		kind = ErrUnknownOutcome
	}
	return &callError{domain: c.domain, doing: call.doing, method: call.method, path: call.path, kind: kind,
		err: fmt.Errorf("the answer cannot be read: %w", c.secrets.cleanError(err))}
}

func decodeObject(body []byte, into any) error {
	if len(body) == 0 {
		return errors.New("it is empty")
	}
	return json.Unmarshal(body, into)
}

// answeredAt is the tenant's clock as an answer tells it, or else this machine's.
func answeredAt(h http.Header) time.Time {
	return serverTime(h, time.Now()).UTC().Truncate(time.Second)
}
