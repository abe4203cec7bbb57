package account

import (
	"context"
	"fmt"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/playbook"
)

// evidence keeps what later steps need and destroy.
type evidence struct{ api API }

func (evidence) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "keeps the account's e-mail, connections and factors as they are", Lane: playbook.Verify,
		Scopes:   []string{"read:users", "read:authentication_methods"},
		Settings: map[string]string{"token_lifetime": "the longest lifetime of an access token of the tenant's APIs; 24h if absent, Auth0's default"}}
}

func (evidence) Happened(_ context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	if c.Facts[FactEvidence] != "" {
		return playbook.Yes, nil
	}
	return playbook.No, nil
}

func (e evidence) Take(ctx context.Context, c *playbook.Case, _ string) error {
	lifetime := 24 * time.Hour
	if text := c.With["token_lifetime"]; text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return fmt.Errorf("%w: token_lifetime %q is not a length of time such as 24h", playbook.ErrImpossible, text)
		}
		lifetime = d
	}
	u, err := e.api.User(ctx, c.Subject)
	if err != nil {
		return explained(err)
	}
	c.Facts[FactEmail] = u.Email
	var all []string
	for _, i := range u.Identities {
		all = append(all, i.Connection)
		if i.Provider == auth0.DatabaseProvider && c.Facts[FactDatabase] == "" {
			c.Facts[FactDatabase] = i.Connection
		}
	}
	c.Facts[FactConnects] = list(all...)
	c.Facts[FactClient] = e.client(ctx, c.Subject)
	c.Facts[FactAttackers] = list(c.Cause.IPs...)
	c.Facts[FactRemains] = c.Now.Add(lifetime).UTC().Format(time.RFC3339)
	if found, err := e.api.Factors(ctx, c.Subject); err == nil { // without the scope containment goes on
		var added []string
		for _, f := range found {
			if !c.Cause.Since.IsZero() && !f.CreatedAt.Before(c.Cause.Since) {
				added = append(added, f.ID)
			}
		}
		c.Facts[FactAdded] = list(added...)
	}
	c.Facts[FactEvidence] = c.Now.UTC().Format(time.RFC3339)
	return nil
}

// client is an application that the user signed in to: the reset mail leads there.
// "" where none can be seen.
func (e evidence) client(ctx context.Context, user string) string {
	if sessions, err := e.api.Sessions(ctx, user); err == nil {
		for _, s := range sessions {
			if len(s.Clients) > 0 {
				return s.Clients[0]
			}
		}
	}
	if tokens, err := e.api.RefreshTokens(ctx, user); err == nil && len(tokens) > 0 {
		return tokens[0].ClientID
	}
	return ""
}

func (evidence) Plan(_ context.Context, c *playbook.Case) (playbook.Plan, error) {
	return playbook.Plan{Calls: []string{"GET /users/" + c.Subject, "GET /users/" + c.Subject + "/authentication-methods"}}, nil
}

// block blocks a user and marks the case, in one call.
type block struct{ api API }

func (block) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "blocks the user and marks the case, in one call", Lane: playbook.Contain,
		Scopes: []string{"read:users", "update:users"}}
}

func (b block) Happened(ctx context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	u, err := b.api.User(ctx, c.Subject)
	if err != nil {
		return playbook.No, explained(err)
	}
	switch {
	case !u.Blocked:
		return playbook.No, nil
	case markerOf(u).own(c):
		c.Facts[FactBlockedBy] = ByUs
	default:
		c.Facts[FactBlockedBy] = BySomebody
	}
	return playbook.Yes, nil
}

func (b block) Take(ctx context.Context, c *playbook.Case, op string) error {
	yes := true
	_, err := b.api.UpdateUser(ctx, c.Subject, Marker{Case: c.Run, BlockedAt: c.Now.UTC(), Addresses: c.Cause.IPs}.patch(&yes), op)
	return explained(err)
}

func (b block) Plan(ctx context.Context, c *playbook.Case) (playbook.Plan, error) {
	u, err := b.api.User(ctx, c.Subject)
	if err != nil {
		return playbook.Plan{}, explained(err)
	}
	if u.Blocked {
		return playbook.Plan{Guards: []string{"the user is blocked already, by somebody else: nothing is changed, and we will never unblock them"}}, nil
	}
	return playbook.Plan{Calls: []string{"PATCH /users/" + c.Subject + ` {"blocked":true,"app_metadata":{"portcullis":{…}}}`}}, nil
}

// revoke ends sessions and refresh tokens, and looks until they are gone.
type revoke struct{ api API }

func (revoke) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "ends all sessions and refresh tokens, and looks until they are gone", Lane: playbook.Contain, Irreversible: true,
		Scopes: []string{"read:users", "read:sessions", "read:refresh_tokens", "delete:sessions", "delete:refresh_tokens"}}
}

func (r revoke) Happened(ctx context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	left, err := accessOf(ctx, r.api, c.Subject)
	switch {
	case err != nil:
		return playbook.No, err
	case left.empty():
		return playbook.Yes, nil
	case !c.Last.IsZero() && c.Now.Sub(c.Last) < settling:
		return playbook.Unknown, nil
	}
	return playbook.No, nil
}

func (r revoke) Take(ctx context.Context, c *playbook.Case, op string) error {
	if _, err := contained(ctx, r.api, c); err != nil {
		return err
	}
	return explained(r.api.RevokeAccess(ctx, c.Subject, auth0.AccessRevocation{}, op))
}

func (r revoke) Plan(ctx context.Context, c *playbook.Case) (playbook.Plan, error) {
	left, err := accessOf(ctx, r.api, c.Subject)
	if err != nil {
		return playbook.Plan{Cannot: err.Error()}, nil
	}
	return playbook.Plan{Calls: []string{"POST /users/" + c.Subject + "/revoke-access"},
		Guards: []string{fmt.Sprintf("%d sessions and %d refresh tokens are listed now", left.sessions, left.tokens)}}, nil
}

// grants takes back what the user allowed to applications, and the credentials of
// devices: all that can be done without the Enterprise plan.
type grants struct{ api API }

func (grants) Kind() playbook.Kind {
	return playbook.Kind{Subject: playbook.OfUser, Doc: "takes back grants to applications and credentials of devices", Lane: playbook.Contain, Irreversible: true,
		Scopes: []string{"read:grants", "delete:grants", "read:device_credentials", "delete:device_credentials"}}
}

func (g grants) Happened(ctx context.Context, c *playbook.Case, _ time.Time) (playbook.Verdict, error) {
	given, err := g.api.Grants(ctx, c.Subject)
	if err != nil {
		return playbook.No, explained(err)
	}
	devices, err := g.api.DeviceCredentials(ctx, c.Subject)
	if err != nil {
		return playbook.No, explained(err)
	}
	if len(given)+len(devices) == 0 {
		return playbook.Yes, nil
	}
	return playbook.No, nil
}

func (g grants) Take(ctx context.Context, c *playbook.Case, op string) error {
	if err := g.api.DeleteGrants(ctx, c.Subject, op); err != nil {
		return explained(err)
	}
	devices, err := g.api.DeviceCredentials(ctx, c.Subject)
	if err != nil {
		return explained(err)
	}
	for _, d := range devices {
		if err := g.api.DeleteDeviceCredential(ctx, d.ID, op); err != nil {
			return explained(err)
		}
	}
	return nil
}

func (grants) Plan(_ context.Context, c *playbook.Case) (playbook.Plan, error) {
	return playbook.Plan{Calls: []string{"DELETE /grants?user_id=" + c.Subject, "DELETE /device-credentials/{each}"}}, nil
}
