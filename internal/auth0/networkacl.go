package auth0

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"unicode/utf8"

	"github.com/auth0/go-auth0/v3/management"
	"github.com/auth0/go-auth0/v3/management/option"
)

// NetworkACL is one access control list of the tenant. Lists are evaluated by ascending priority, and the first that
// matches decides.
type NetworkACL struct {
	// ID is the tenant's; empty before the ACL is made.
	ID string
	// Description is 1 to 255 characters, the only place for a mark of one's own.
	Description string
	// Active ACLs are evaluated.
	Active bool
	// Priority is 0 to 100 and unique in the tenant.
	Priority int
	// Rule is what it does to whom.
	Rule ACLRule
	// Raw is the whole object as the tenant sent it; it is not sent back.
	Raw json.RawMessage
}

const (
	aclsPath = apiPath + "/network-acls"
	aclPage  = 100
	// maxACLPages ends a listing that never ends. Auth0 allows ten ACLs.
	maxACLPages    = 50
	maxPriority    = 100
	maxDescription = 255
)

// UnmarshalJSON reads the API's form and keeps it in Raw.
func (a *NetworkACL) UnmarshalJSON(data []byte) error {
	var in struct {
		ID          string  `json:"id"`
		Description string  `json:"description"`
		Active      bool    `json:"active"`
		Priority    float64 `json:"priority"`
		Rule        ACLRule `json:"rule"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*a = NetworkACL{
		ID:          in.ID,
		Description: in.Description,
		Active:      in.Active,
		Priority:    int(math.Round(min(max(in.Priority, 0), maxPriority))),
		Rule:        in.Rule,
		Raw:         bytes.Clone(data),
	}
	return nil
}

// MarshalJSON writes the API's form, without Raw.
func (a NetworkACL) MarshalJSON() ([]byte, error) {
	fields := a.fields()
	if a.ID != "" {
		fields["id"] = a.ID
	}
	return json.Marshal(fields)
}

func (a NetworkACL) fields() map[string]any {
	return map[string]any{"description": a.Description, "active": a.Active, "priority": a.Priority, "rule": a.Rule}
}

func (a NetworkACL) check() error {
	if n := utf8.RuneCountInString(a.Description); n < 1 || n > maxDescription {
		return fmt.Errorf("%w: the description has %d characters, 1 to %d are allowed", ErrInvalid, n, maxDescription)
	}
	if a.Priority < 0 || a.Priority > maxPriority {
		return fmt.Errorf("%w: priority %d is not between 0 and %d", ErrInvalid, a.Priority, maxPriority)
	}
	return a.Rule.check()
}

// NetworkACLs reads all ACLs of the tenant; scope read:network_acls. ErrForbidden if the plan has none.
func (c *Client) NetworkACLs(ctx context.Context) ([]NetworkACL, error) {
	call := call{"list network ACLs", http.MethodGet, aclsPath}
	var all []NetworkACL
	seen := map[string]bool{}
	for page := range maxACLPages {
		body, err := c.do(ctx, call, func(ctx context.Context) error {
			_, err := c.api.NetworkACLs.List(ctx, &management.ListNetworkACLsRequestParameters{
				Page:          management.Int(page),
				PerPage:       management.Int(aclPage),
				IncludeTotals: management.Bool(true),
			})
			return err
		})
		if err != nil {
			return nil, err
		}
		list, total, err := decodeACLs(body)
		if err != nil {
			return nil, c.unreadable(call, err)
		}
		added := 0
		for _, acl := range list {
			// One that moved to another page while we read is listed twice.
			if !seen[acl.ID] {
				seen[acl.ID] = true
				all = append(all, acl)
				added++
			}
		}
		if added == 0 || len(all) >= total {
			return all, nil
		}
	}
	return nil, c.unreadable(call, fmt.Errorf("it goes on after %d pages", maxACLPages))
}

// decodeACLs reads one page in either of the forms that the API has: an object with a total, or an array.
func decodeACLs(body []byte) (list []NetworkACL, total int, err error) {
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '[' {
		if err := json.Unmarshal(trimmed, &list); err != nil {
			return nil, 0, err
		}
		if len(list) < aclPage {
			return list, 0, nil
		}
		return list, math.MaxInt, nil
	}
	var page struct {
		ACLs  *[]NetworkACL `json:"network_acls"`
		Total int           `json:"total"`
	}
	if err := decodeObject(body, &page); err != nil {
		return nil, 0, err
	}
	if page.ACLs == nil {
		return nil, 0, errors.New("it has no network_acls")
	}
	return *page.ACLs, page.Total, nil
}

// CreateNetworkACL makes an ACL; scope create:network_acls. The API promises no id in its answer: list the ACLs and look for
// the description, also after ErrUnknownOutcome and before any second attempt. ErrConflict if the priority is taken or
// the plan's limit reached. op is as in PatchBotDetection.
func (c *Client) CreateNetworkACL(ctx context.Context, acl NetworkACL, op string) error {
	call := call{"create a network ACL", http.MethodPost, aclsPath}
	if err := acl.check(); err != nil {
		return c.refuse(call, err)
	}
	if acl.Rule.Empty() {
		return c.refuse(call, fmt.Errorf("%w: the rule names nobody", ErrInvalid))
	}
	if err := checkOp(op); err != nil {
		return c.refuse(call, err)
	}
	_, err := c.do(ctx, call, func(ctx context.Context) error {
		// As in PatchBotDetection, and because the typed rule would drop signals that it does not know.
		return c.api.NetworkACLs.Create(ctx, nil, option.WithBodyProperties(acl.fields()), correlation(op))
	})
	return err
}

// UpdateNetworkACL sets description, active, priority and the whole rule of an ACL; scope update:network_acls. An inactive
// ACL whose rule names nobody keeps the rule that it has: the API allows no empty lists. ErrNotFound if it is gone,
// ErrConflict if the priority is taken. op is as in PatchBotDetection.
func (c *Client) UpdateNetworkACL(ctx context.Context, id string, acl NetworkACL, op string) error {
	call := call{"update a network ACL", http.MethodPatch, aclsPath + "/" + id}
	if err := checkACLID(id); err != nil {
		return c.refuse(call, err)
	}
	fields := acl.fields()
	if acl.Rule.Empty() {
		if acl.Active {
			return c.refuse(call, fmt.Errorf("%w: the rule names nobody", ErrInvalid))
		}
		delete(fields, "rule")
		acl.Rule = ACLRule{Action: ActionBlock, Scope: ScopeAuthentication} // of no further account
	}
	if err := acl.check(); err != nil {
		return c.refuse(call, err)
	}
	if err := checkOp(op); err != nil {
		return c.refuse(call, err)
	}
	_, err := c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.NetworkACLs.Update(ctx, id, nil, option.WithBodyProperties(fields), correlation(op))
		return err
	})
	return err
}

// DeleteNetworkACL removes an ACL; one that is gone already is no error; scope delete:network_acls. op is as in
// PatchBotDetection.
func (c *Client) DeleteNetworkACL(ctx context.Context, id, op string) error {
	call := call{"delete a network ACL", http.MethodDelete, aclsPath + "/" + id}
	if err := checkACLID(id); err != nil {
		return c.refuse(call, err)
	}
	if err := checkOp(op); err != nil {
		return c.refuse(call, err)
	}
	_, err := c.do(ctx, call, func(ctx context.Context) error {
		return c.api.NetworkACLs.Delete(ctx, id, correlation(op))
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

var aclID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkACLID(id string) error {
	if !aclID.MatchString(id) {
		return fmt.Errorf("%w: %q is not the id of a network ACL", ErrInvalid, id)
	}
	return nil
}
