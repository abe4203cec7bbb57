// Package signup is the control over whether people can sign up with a database
// connection.
package signup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Name is what policies and holds call the control.
const Name = "connection-signup"

// Subject is what a hold's subject is.
const Subject = "connection"

// field is the one field of it.
const field = "options.disable_signup"

// Spec is what can be held of it.
var Spec = control.Spec{field: {Order: hold.On, Absent: hold.False}}

// API is the part of the tenant's API that the control needs.
type API interface {
	Connection(ctx context.Context, name string) (auth0.Setting, error)
	PatchConnection(ctx context.Context, id string, fields map[string]any, op string) (auth0.Setting, error)
}

// Setting is where the tenant has it.
func Setting(api API) control.Setting { return setting{api} }

type setting struct{ api API }

// connection is the part of a connection that is looked at.
type connection struct {
	ID          string                     `json:"id"`
	Name        string                     `json:"name"`
	Strategy    string                     `json:"strategy"`
	DisplayName json.RawMessage            `json:"display_name"`
	Options     map[string]json.RawMessage `json:"options"`
}

func (s setting) Read(ctx context.Context, name string) (control.State, error) {
	got, err := s.api.Connection(ctx, name)
	if err != nil {
		return control.State{}, control.Explain(err)
	}
	var c connection
	if err := json.Unmarshal(got.Raw, &c); err != nil {
		return control.State{}, fmt.Errorf("read connection %s: %w", name, err)
	}
	return control.State{Doc: got.Raw, At: got.At}, c.refuse()
}

// refuse says why a connection cannot be written: its options are replaced as a
// whole, and what we cannot read we would destroy.
func (c *connection) refuse() error {
	switch {
	case c.Strategy != "auth0":
		return fmt.Errorf("%w: people sign up with database connections alone, and %s is of the kind %s", control.ErrUnsupported, c.Name, c.Strategy)
	case len(c.Options) == 0:
		return fmt.Errorf("%w: the options of connection %s are not shown: grant the scope read:connections_options, since they are written as a whole", control.ErrUnsupported, c.Name)
	}
	for name, v := range c.Options {
		if bytes.Contains(v, []byte(`"*****"`)) || name == "configuration" && len(v) > len(`{}`) && string(v) != "null" {
			return fmt.Errorf("%w: connection %s has secrets among its options (%s), which are written as a whole: they would be lost", control.ErrUnsupported, c.Name, name)
		}
	}
	return nil
}

// Write sends all options as they were just read, but for the one, and the display
// name, which the API would otherwise replace by the name.
func (s setting) Write(ctx context.Context, _ string, was control.State, fields map[string]hold.Value, op string) error {
	var c connection
	if err := json.Unmarshal(was.Doc, &c); err != nil {
		return fmt.Errorf("write connection: %w", err)
	}
	c.Options["disable_signup"] = fields[field].Raw()
	body := map[string]any{"options": c.Options}
	if len(c.DisplayName) > 0 && string(c.DisplayName) != "null" {
		body["display_name"] = c.DisplayName
	}
	_, err := s.api.PatchConnection(ctx, c.ID, body, op)
	return control.Explain(err)
}

// Told reads what a write to a connection says of sign-up: with options it says it
// always, since they are replaced as a whole.
func (s setting) Told(ln control.Line) (string, json.RawMessage, bool) {
	i := strings.LastIndex(ln.Path, "/")
	if !strings.EqualFold(ln.Method, http.MethodPatch) || i < 0 || !control.SamePath(ln.Path[:i], auth0.ConnectionsPath) {
		return "", nil, false
	}
	var request, response connection
	if json.Unmarshal(ln.Request, &request) != nil || json.Unmarshal(ln.Response, &response) != nil || response.Name == "" || request.Options == nil {
		return "", nil, false
	}
	closed := request.Options["disable_signup"]
	if string(closed) != string(hold.True) {
		closed = json.RawMessage(hold.False)
	}
	chosen, err := json.Marshal(control.Object(map[string]hold.Value{field: hold.Value(closed)}))
	return response.Name, chosen, err == nil
}
