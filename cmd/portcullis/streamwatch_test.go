package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
	"portcullis/logstream"
)

func TestTheTenantsOwnLogStreamIsJudged(t *testing.T) {
	t.Parallel()
	sim := quietSim("acme")
	g := startGuard(t, t.TempDir(), daemonOptions{streamEvery: 10 * time.Millisecond}, guardTenant{name: "acme", sim: sim})
	ours := tenantsim.LogStream{Name: "to portcullis", Type: "http", Sink: map[string]any{
		"httpEndpoint": "https://logs.example/in/logs/acme", "httpAuthorization": "hook-acme"}}
	other := tenantsim.LogStream{Name: "another", Type: "http", Status: "suspended", Sink: map[string]any{"httpEndpoint": "https://other.example/"}}
	for _, c := range []struct {
		name    string
		change  func(*tenantsim.LogStream)
		verdict logstream.Verdict
		reason  string
	}{
		{"active", func(*tenantsim.LogStream) {}, logstream.Clear, ""},
		{"paused", func(s *tenantsim.LogStream) { s.Status = "paused" }, logstream.Blind, `the log stream is paused ("to portcullis"); set it active`},
		{"suspended", func(s *tenantsim.LogStream) { s.Status = "suspended" }, logstream.Blind, `the log stream is suspended ("to portcullis")`},
		{"filtered", func(s *tenantsim.LogStream) { s.Categories = []string{"auth.login.fail"} }, logstream.Degraded, "its filters leave out actions, auth.login.notification"},
		{"masked", func(s *tenantsim.LogStream) { s.PIIMethod, s.PIIFields = "mask", []string{"email"} }, logstream.Degraded, "pii_config masks email"},
		{"hashed", func(s *tenantsim.LogStream) { s.PIIMethod, s.PIIFields = "hash", []string{"username"} }, logstream.Degraded, "pii_config hashes username"},
		{"prioritised", func(s *tenantsim.LogStream) { s.Priority = true }, logstream.Degraded, "it is a prioritised stream"},
		{"active again", func(*tenantsim.LogStream) {}, logstream.Clear, ""},
	} {
		s := ours
		c.change(&s)
		sim.SetLogStreams(other, s)
		g.eventually(c.name, func() bool {
			h := g.source("acme", "webhook")
			return h.Verdict == c.verdict && strings.Contains(strings.Join(h.Reasons, "; "), c.reason)
		})
	}
	sim.SetLogStreams(other)
	g.eventually("a note that none is known", func() bool {
		return strings.Contains(g.source("acme", "webhook").Note, "no log stream of the tenant is known to send to /logs/acme")
	})
	require.Zero(t, sim.Stats().Writes)
	require.NotContains(t, g.log.String(), "hook-acme")
}

func TestALogStreamThatMayNotBeSeenIsSaidOnceAndChangesNothing(t *testing.T) {
	t.Parallel()
	scopes := slices.DeleteFunc(tenantsim.AllScopes(), func(s string) bool { return s == "read:log_streams" })
	sim := tenantsim.New(tenantsim.Options{Domain: "acme.eu.auth0.com", Speed: -1, CalmRate: -1, RateBurst: -1, Scopes: scopes})
	sim.SetLogStreams(tenantsim.LogStream{Type: "http", Status: "paused", Sink: map[string]any{"httpEndpoint": "https://logs.example/logs/acme"}})
	g := startGuard(t, t.TempDir(), daemonOptions{streamEvery: 5 * time.Millisecond}, guardTenant{name: "acme", sim: sim})
	require.Equal(t, 200, g.events("acme", 1, 1))
	g.eventually("it is asked again and again", func() bool { return sim.Stats().APICalls["GET"] > 5 })
	h := g.source("acme", "webhook")
	require.Equal(t, logstream.Clear, h.Verdict, h.Reasons)
	require.Contains(t, h.Note, "grant the application read:log_streams")
	require.Equal(t, 1, strings.Count(g.log.String(), "log stream not seen"))
}
