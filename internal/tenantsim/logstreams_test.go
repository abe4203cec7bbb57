package tenantsim

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLogStreamsAreListedAsTheAPIDoes(t *testing.T) {
	s := newSite(t, Options{})
	require.Equal(t, "[]", s.call("GET", "/log-streams", "").body)
	s.SetLogStreams(
		LogStream{Name: "plain", Type: "http", Sink: map[string]any{"httpEndpoint": "https://x.example/logs"}},
		LogStream{ID: "lst_x", Name: "odd", Type: "splunk", Status: "suspended", Categories: []string{"other"}, PIIMethod: "hash", PIIFields: []string{"email"}, Priority: true},
	)
	list := s.call("GET", "/log-streams", "").list(t)
	require.Len(t, list, 2)
	require.Equal(t, "active", list[0]["status"])
	require.Equal(t, map[string]any{"httpEndpoint": "https://x.example/logs"}, list[0]["sink"])
	require.NotContains(t, list[0], "pii_config")
	require.Equal(t, list[1], s.call("GET", "/log-streams/lst_x", "").json(t))
	require.Equal(t, map[string]any{"log_fields": []any{"email"}, "method": "hash", "algorithm": "xxhash"}, list[1]["pii_config"])
	require.Equal(t, []any{map[string]any{"type": "category", "name": "other"}}, list[1]["filters"])
	require.Equal(t, true, list[1]["isPriority"])
	require.Equal(t, 404, s.call("GET", "/log-streams/none", "").status)
	require.Equal(t, 404, s.call("POST", "/log-streams", "{}").status)

	narrow := newSite(t, Options{Scopes: []string{"read:logs"}})
	got := narrow.call("GET", "/log-streams", "")
	require.Equal(t, 403, got.status)
	require.Contains(t, got.body, "read:log_streams")
}
