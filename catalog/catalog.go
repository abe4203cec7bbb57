// Package catalog is the content that ships inside the binary: rules, the
// policies that answer them, the levels of each control, playbooks, Actions, and
// lists.
package catalog

import "embed"

// FS holds the folders rules, policies, controls, playbooks, actions and lists.
//
//go:embed rules policies controls playbooks lists actions/*.js actions/*.yaml
var FS embed.FS
