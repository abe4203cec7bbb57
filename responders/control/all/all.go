// Package all lists the controls over fields of a tenant's settings.
package all

import (
	"errors"
	"io/fs"

	"portcullis/internal/auth0"
	"portcullis/internal/diag"
	"portcullis/responders/control"
	"portcullis/responders/control/botdetection"
	"portcullis/responders/control/breachedpasswords"
	"portcullis/responders/control/bruteforce"
	"portcullis/responders/control/mfafactors"
	"portcullis/responders/control/mfapolicy"
	"portcullis/responders/control/signup"
	"portcullis/responders/control/suspiciousip"
)

var kinds = []struct {
	name    string
	spec    control.Spec
	subject string
	setting func(*auth0.Client) control.Setting
}{
	{botdetection.Name, botdetection.Spec, "", func(c *auth0.Client) control.Setting { return botdetection.Setting(c) }},
	{suspiciousip.Name, suspiciousip.Spec, "", func(c *auth0.Client) control.Setting { return suspiciousip.Setting(c) }},
	{bruteforce.Name, bruteforce.Spec, "", func(c *auth0.Client) control.Setting { return bruteforce.Setting(c) }},
	{breachedpasswords.Name, breachedpasswords.Spec, "", func(c *auth0.Client) control.Setting { return breachedpasswords.Setting(c) }},
	{mfapolicy.Name, mfapolicy.Spec, "", func(c *auth0.Client) control.Setting { return mfapolicy.Setting(c) }},
	{mfafactors.Name, mfafactors.Spec, "", func(c *auth0.Client) control.Setting { return mfafactors.Setting(c) }},
	{signup.Name, signup.Spec, signup.Subject, func(c *auth0.Client) control.Setting { return signup.Setting(c) }},
}

// Levels are the levels of each control, by its name.
type Levels map[string]*control.Levels

// ReadLevels reads the levels of every control from a folder of fsys. The error has
// every problem.
func ReadLevels(fsys fs.FS, dir string) (Levels, error) {
	out := Levels{}
	var problems diag.Problems
	for _, k := range kinds {
		levels, err := control.ReadLevels(fsys, dir, k.name, k.spec)
		var ps diag.Problems
		switch {
		case errors.As(err, &ps):
			problems = append(problems, ps...)
		case err != nil:
			return nil, err
		}
		out[k.name] = levels
	}
	return out, problems.Err()
}

// New makes every control over fields, by its name. Without a client they can check
// levels alone.
func New(client *auth0.Client, levels Levels, store control.Store, op control.Operation) map[string]*control.Fields {
	out := map[string]*control.Fields{}
	for _, k := range kinds {
		out[k.name] = &control.Fields{Name: k.name, Spec: k.spec, Subject: k.subject, Levels: levels[k.name], Setting: k.setting(client), Store: store, Op: op}
	}
	return out
}
