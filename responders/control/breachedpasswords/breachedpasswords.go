// Package breachedpasswords is the control over breached-password detection: what
// happens to a login, a sign-up or a new password with a password that was leaked.
package breachedpasswords

import (
	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Name is what policies and holds call the control.
const Name = auth0.BreachedPasswords

// Spec is what can be held of it. Whether a stage that is left out keeps its shields
// is documented for throttling alone, so both stages are always written.
var Spec = control.Spec{
	"enabled": {Order: hold.On},
	"shields": {Order: hold.On, List: true},
	"method":  {Order: hold.Words("standard", "enhanced")},

	"stage.pre-user-registration.shields": {Order: hold.On, List: true, With: "stages"},
	"stage.pre-change-password.shields":   {Order: hold.On, List: true, With: "stages"},
}

// Setting is where the tenant has it.
func Setting(api control.AttackProtectionAPI) control.Setting {
	return control.AttackProtection{API: api, Name: Name, Spec: Spec}
}
