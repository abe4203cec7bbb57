// Package mfapolicy is the control over when users are asked for a second factor.
package mfapolicy

import (
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
const Name = "mfa-policy"

// field is the one field of it: the API has a bare list.
const field = "policies"

// Spec is what can be held of it: never, when a login is risky, always.
var Spec = control.Spec{field: {Order: hold.Ordinal{`[]`, `["confidence-score"]`, `["all-applications"]`}}}

// API is the part of the tenant's API that the control needs.
type API interface {
	MFAPolicy(ctx context.Context) (auth0.Setting, error)
	SetMFAPolicy(ctx context.Context, policies []string, op string) (auth0.Setting, error)
}

// Setting is where the tenant has it.
func Setting(api API) control.Setting { return setting{api} }

type setting struct{ api API }

func wrap(list json.RawMessage) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{%q:%s}`, field, list))
}

func (s setting) Read(ctx context.Context, _ string) (control.State, error) {
	got, err := s.api.MFAPolicy(ctx)
	if err != nil {
		return control.State{}, control.Explain(err)
	}
	return control.State{Doc: wrap(got.Raw), At: got.At}, nil
}

func (s setting) Write(ctx context.Context, _ string, _ control.State, fields map[string]hold.Value, op string) error {
	var policies []string
	if err := json.Unmarshal(fields[field].Raw(), &policies); err != nil {
		return fmt.Errorf("%w: the MFA policy %s is no list of names", control.ErrNotApplied, fields[field])
	}
	_, err := s.api.SetMFAPolicy(ctx, policies, op)
	return control.Explain(err)
}

func (s setting) Told(ln control.Line) (string, json.RawMessage, bool) {
	if !strings.EqualFold(ln.Method, http.MethodPut) || !control.SamePath(ln.Path, auth0.MFAPolicyPath) {
		return "", nil, false
	}
	var list []any
	body := ln.Response
	if json.Unmarshal(body, &list) != nil {
		body = ln.Request
	}
	if json.Unmarshal(body, &list) != nil {
		return "", json.RawMessage(`{}`), true
	}
	return "", wrap(body), true
}
