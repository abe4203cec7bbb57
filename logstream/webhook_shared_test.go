package logstream

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var quiet = slog.New(slog.DiscardHandler)

func TestSharedPathsTellTenantsByTheirTokens(t *testing.T) {
	taken := map[string]int{}
	hook := func(name string, tokens ...string) *Webhook {
		w, err := NewWebhook(name, tokens, func(_ context.Context, b Batch) error {
			taken[name] += len(b.Events)
			return nil
		}, WebhookOptions{})
		require.NoError(t, err)
		return w
	}
	s, err := NewShared(quiet, hook("/logs/a", "token-of-a"), hook("/logs/b", "token-of-b", "older-of-b"))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		headers []string
		code    int
		owner   string
	}{
		"Splunk of one":          {[]string{"Authorization", "Splunk token-of-a"}, 200, "/logs/a"},
		"Splunk of the other":    {[]string{"Authorization", "Splunk token-of-b"}, 200, "/logs/b"},
		"Datadog":                {[]string{"DD-API-KEY", "older-of-b"}, 200, "/logs/b"},
		"nobody's":               {[]string{"Authorization", "Splunk token-of-c"}, 401, ""},
		"none":                   {nil, 401, ""},
		"one's and nobody's":     {[]string{"Authorization", "Splunk token-of-c", "DD-API-KEY", "token-of-a"}, 200, "/logs/a"},
		"two tenants' at a time": {[]string{"Authorization", "Splunk token-of-b", "DD-API-KEY", "token-of-a"}, 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			clear(taken)
			before := s.Refused()
			r := httptest.NewRequest(http.MethodPost, SharedPaths[0], strings.NewReader(bodies["Splunk"]))
			for i := 0; i < len(c.headers); i += 2 {
				r.Header.Set(c.headers[i], c.headers[i+1])
			}
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, r)
			require.Equal(t, c.code, rec.Code)
			if c.owner == "" {
				require.Empty(t, taken)
				require.Equal(t, before+1, s.Refused())
				require.Equal(t, "close", rec.Header().Get("Connection"), "answered before the body")
				return
			}
			require.Equal(t, map[string]int{c.owner: 2}, taken)
			require.Equal(t, `{"text":"Success","code":0}`, rec.Body.String())
			require.Equal(t, before, s.Refused())
		})
	}
	rec, refused := httptest.NewRecorder(), s.Refused()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, SharedPaths[0], nil))
	require.Equal(t, 405, rec.Code)
	require.Equal(t, refused+1, s.Refused(), "no answer is without a count")
}

func TestATokenOfTwoWebhooksIsRefused(t *testing.T) {
	deliver := func(context.Context, Batch) error { return nil }
	a, err := NewWebhook("/logs/a", []string{"token-one", "token-two"}, deliver, WebhookOptions{})
	require.NoError(t, err)
	b, err := NewWebhook("/logs/b", []string{"token-three", "token-two"}, deliver, WebhookOptions{})
	require.NoError(t, err)
	_, err = NewShared(quiet, a, b)
	require.ErrorContains(t, err, "webhooks /logs/a and /logs/b take the same token")
	require.NotContains(t, err.Error(), "token-two")
	_, err = NewShared(quiet)
	require.Error(t, err)
}
