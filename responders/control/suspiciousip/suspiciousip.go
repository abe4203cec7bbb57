// Package suspiciousip is the control over suspicious-IP throttling: how many
// failed logins and sign-ups an address has, and how slowly it gets them back.
package suspiciousip

import (
	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Name is what policies and holds call the control.
const Name = auth0.SuspiciousIP

// Spec is what can be held of it. A rate is the milliseconds until one attempt comes
// back: the greater, the stricter. Whether a stage keeps a number that is left out is
// not documented, so both are always written.
var Spec = control.Spec{
	"enabled":   {Order: hold.On},
	"shields":   {Order: hold.On, List: true},
	"allowlist": {Order: hold.Off, List: true},

	"stage.pre-login.max_attempts":                 {Order: hold.Least{}, With: "pre-login"},
	"stage.pre-login.rate":                         {Order: hold.Most{}, With: "pre-login"},
	"stage.pre-user-registration.max_attempts":     {Order: hold.Least{}, With: "pre-user-registration"},
	"stage.pre-user-registration.rate":             {Order: hold.Most{}, With: "pre-user-registration"},
	"stage.pre-custom-token-exchange.max_attempts": {Order: hold.Least{}, With: "pre-custom-token-exchange"},
	"stage.pre-custom-token-exchange.rate":         {Order: hold.Most{}, With: "pre-custom-token-exchange"},
}

// Setting is where the tenant has it.
func Setting(api control.AttackProtectionAPI) control.Setting {
	return control.AttackProtection{API: api, Name: Name, Spec: Spec}
}
