// Package botdetection is the control over a tenant's bot detection: how
// sensitive it is, and which logins are challenged.
package botdetection

import (
	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Name is what policies and holds call the control.
const Name = auth0.BotDetection

var policies = hold.Words("never", "when_risky", "always")

// Spec is what can be held of it.
var Spec = control.Spec{
	"bot_detection_level":             {Order: hold.Words("low", "medium", "high")},
	"challenge_password_policy":       {Order: policies},
	"challenge_passwordless_policy":   {Order: policies},
	"challenge_password_reset_policy": {Order: policies},
	"monitoring_mode_enabled":         {Order: hold.Off},
	"allowlist":                       {Order: hold.Off, List: true},
}

// Setting is where the tenant has it.
func Setting(api control.AttackProtectionAPI) control.Setting {
	return control.AttackProtection{API: api, Name: Name, Spec: Spec}
}
