package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"portcullis/internal/auth0"
	"portcullis/responders/hold"
)

// AttackProtectionAPI is the part of the tenant's API that [AttackProtection]
// needs.
type AttackProtectionAPI interface {
	AttackProtection(ctx context.Context, name string) (auth0.Setting, error)
	PatchAttackProtection(ctx context.Context, name string, fields map[string]any, op string) (auth0.Setting, error)
}

// AttackProtection is one of the settings of attack protection, as a [Setting].
type AttackProtection struct {
	API  AttackProtectionAPI
	Name string // in the API's path
	Spec Spec
}

var _ Setting = AttackProtection{}

// Read reads the whole object.
func (a AttackProtection) Read(ctx context.Context, _ string) (State, error) {
	s, err := a.API.AttackProtection(ctx, a.Name)
	return State{Doc: s.Raw, At: s.At}, Explain(err)
}

// Write sends the fields alone: the API merges objects, and replaces lists.
func (a AttackProtection) Write(ctx context.Context, _ string, _ State, fields map[string]hold.Value, op string) error {
	_, err := a.API.PatchAttackProtection(ctx, a.Name, Object(fields), op)
	return Explain(err)
}

// Told recognises a change by method and path.
func (a AttackProtection) Told(ln Line) (string, json.RawMessage, bool) {
	if !strings.EqualFold(ln.Method, http.MethodPatch) || !SamePath(ln.Path, auth0.AttackProtectionPath(a.Name)) {
		return "", nil, false
	}
	return "", a.Spec.Chosen(ln), true
}

// SamePath compares a path of the log with one of the API: the log may leave out
// /api, and have a slash at the end.
func SamePath(logged, path string) bool {
	return strings.TrimPrefix(strings.TrimSuffix(logged, "/"), "/api") == strings.TrimPrefix(path, "/api")
}

// Explain marks the errors of the API that trying again does not help: 403 for a
// missing scope or plan, 404 for what was never set up; and those of writes that did
// nothing.
func Explain(err error) error {
	switch {
	case errors.Is(err, auth0.ErrForbidden) || errors.Is(err, auth0.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	case errors.Is(err, auth0.ErrRateLimited) || errors.Is(err, auth0.ErrInvalid) || errors.Is(err, auth0.ErrReadOnly):
		return fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	return err
}
