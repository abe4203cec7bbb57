package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/auth0/go-auth0/v3/management/option"
)

// BotDetection is the tenant's bot detection setting. A member that the tenant did not send is empty.
type BotDetection struct {
	// Level is the sensitivity: low, medium, high.
	Level string `json:"bot_detection_level"`
	// PasswordPolicy, PasswordlessPolicy and PasswordResetPolicy tell when a flow shows a challenge: never,
	// when_risky, always.
	PasswordPolicy      string `json:"challenge_password_policy"`
	PasswordlessPolicy  string `json:"challenge_passwordless_policy"`
	PasswordResetPolicy string `json:"challenge_password_reset_policy"`
	// Allowlist has the addresses and networks that are never challenged, at most 100.
	Allowlist []string `json:"allowlist"`
	// Monitoring means that bots are logged and nobody is challenged.
	Monitoring bool `json:"monitoring_mode_enabled"`
	// Raw is the whole object as the tenant sent it.
	Raw json.RawMessage `json:"-"`
}

const botDetectionPath = apiPath + "/attack-protection/bot-detection"

// BotDetection reads the setting; scope read:attack_protection. ErrForbidden if the plan has none, ErrNotFound if it was
// never set up.
func (c *Client) BotDetection(ctx context.Context) (BotDetection, error) {
	call := call{"read bot detection", http.MethodGet, botDetectionPath}
	body, err := c.do(ctx, call, func(ctx context.Context) error {
		_, err := c.api.AttackProtection.BotDetection.Get(ctx)
		return err
	})
	if err != nil {
		return BotDetection{}, err
	}
	return c.decodeBotDetection(call, body)
}

// PatchBotDetection changes the fields given, named and valued as in the API (such as bot_detection_level: "high"; nil is
// null), and no other, and returns the setting after it; scope update:attack_protection. op is the correlation id, 1 to
// 64 printable characters, by which the tenant's log names this write. After ErrUnknownOutcome read the setting.
func (c *Client) PatchBotDetection(ctx context.Context, fields map[string]any, op string) (BotDetection, error) {
	call := call{"change bot detection", http.MethodPatch, botDetectionPath}
	if len(fields) == 0 {
		return BotDetection{}, c.refuse(call, fmt.Errorf("%w: no fields are given", ErrInvalid))
	}
	if err := checkOp(op); err != nil {
		return BotDetection{}, c.refuse(call, err)
	}
	if _, err := json.Marshal(fields); err != nil {
		return BotDetection{}, c.refuse(call, err)
	}
	body, err := c.do(ctx, call, func(ctx context.Context) error {
		// Without a request the body properties are the whole body: exactly the fields given. The typed request
		// would drop empty lists and refuse to carry a field that it does not declare.
		_, err := c.api.AttackProtection.BotDetection.Update(ctx, nil, option.WithBodyProperties(fields), correlation(op))
		return err
	})
	if err != nil {
		return BotDetection{}, err
	}
	return c.decodeBotDetection(call, body)
}

func (c *Client) decodeBotDetection(call call, body []byte) (BotDetection, error) {
	out := BotDetection{Raw: body}
	if err := decodeObject(body, &out); err != nil {
		return BotDetection{}, c.unreadable(call, err)
	}
	return out, nil
}

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
