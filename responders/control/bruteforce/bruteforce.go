// Package bruteforce is the control over brute-force protection: after how many
// failures an account is blocked for an address.
package bruteforce

import (
	"portcullis/internal/auth0"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Name is what policies and holds call the control.
const Name = auth0.BruteForceProtection

// Spec is what can be held of it. The modes have no order: counting by account alone
// stops many addresses, and lets anybody lock a victim out.
var Spec = control.Spec{
	"enabled":      {Order: hold.On},
	"shields":      {Order: hold.On, List: true},
	"allowlist":    {Order: hold.Off, List: true},
	"mode":         {Order: hold.Exclusive{}},
	"max_attempts": {Order: hold.Least{}},
}

// Setting is where the tenant has it.
func Setting(api control.AttackProtectionAPI) control.Setting {
	return control.AttackProtection{API: api, Name: Name, Spec: Spec}
}
