// Package mfafactors is the control over which second factors a tenant offers.
package mfafactors

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Name is what policies and holds call the control.
const Name = "mfa-factors"

// Spec is what can be held of it. A factor by phone has no stricter side: switched
// off it cannot be pumped, switched on it may be the only one that users have.
var Spec = control.Spec{
	"sms":               {Order: hold.Exclusive{}},
	"push-notification": {Order: hold.On},
	"email":             {Order: hold.On},
	"duo":               {Order: hold.On},
	"otp":               {Order: hold.On},
	"webauthn-roaming":  {Order: hold.On},
	"webauthn-platform": {Order: hold.On},
	"recovery-code":     {Order: hold.On},
}

// API is the part of the tenant's API that the control needs.
type API interface {
	MFAFactors(ctx context.Context) (auth0.Setting, error)
	SetMFAFactor(ctx context.Context, name string, enabled bool, op string) (auth0.Setting, error)
}

// Setting is where the tenant has it.
func Setting(api API) control.Setting { return setting{api} }

type setting struct{ api API }

// Read makes one object of the API's list of factors.
func (s setting) Read(ctx context.Context, _ string) (control.State, error) {
	got, err := s.api.MFAFactors(ctx)
	if err != nil {
		return control.State{}, control.Explain(err)
	}
	var list []struct {
		Name    string `json:"name"`
		Enabled bool   `json:"enabled"`
	}
	if err := json.Unmarshal(got.Raw, &list); err != nil {
		return control.State{}, fmt.Errorf("read MFA factors: %w", err)
	}
	enabled := map[string]bool{}
	for _, f := range list {
		enabled[f.Name] = f.Enabled
	}
	doc, err := json.Marshal(enabled)
	return control.State{Doc: doc, At: got.At}, err
}

// Write changes one factor after the other: the API knows no other way. What is
// switched on comes first, so that no user is left without.
func (s setting) Write(ctx context.Context, _ string, _ control.State, fields map[string]hold.Value, op string) error {
	names := slices.Sorted(maps.Keys(fields))
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(string(fields[b]), string(fields[a])) })
	for i, name := range names {
		if _, err := s.api.SetMFAFactor(ctx, name, fields[name] == hold.True, op); err != nil {
			if i > 0 {
				return err // a part is done: the next look tells which
			}
			return control.Explain(err)
		}
	}
	return nil
}

func (s setting) Told(ln control.Line) (string, json.RawMessage, bool) {
	i := strings.LastIndex(ln.Path, "/")
	if !strings.EqualFold(ln.Method, http.MethodPut) || i < 0 || !control.SamePath(ln.Path[:i], auth0.MFAFactorsPath) {
		return "", nil, false
	}
	var body struct {
		Enabled *bool `json:"enabled"`
	}
	if json.Unmarshal(ln.Request, &body) != nil || body.Enabled == nil {
		return "", json.RawMessage(`{}`), true
	}
	chosen, err := json.Marshal(map[string]bool{ln.Path[i+1:]: *body.Enabled})
	return "", chosen, err == nil
}
