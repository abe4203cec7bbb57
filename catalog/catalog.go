// Package catalog is the content that ships inside the binary: rules, the
// policies that answer them, the levels of each control, and lists.
package catalog

import "embed"

// FS holds the folders rules, policies, controls and lists.
//
//go:embed rules policies controls lists
var FS embed.FS
