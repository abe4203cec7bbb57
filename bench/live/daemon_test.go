package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func serve(t *testing.T, h http.HandlerFunc) *daemon {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return &daemon{url: srv.URL, http: srv.Client()}
}

func TestAPostIsSentAgainWhenTheDaemonIsBusy(t *testing.T) {
	answers := []int{http.StatusServiceUnavailable, http.StatusServiceUnavailable, http.StatusOK}
	d := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Equal(t, "events", string(body))
		require.Equal(t, "Bearer "+token, r.Header.Get("Authorization"))
		require.Equal(t, path, r.URL.Path)
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(answers[0])
		answers = answers[1:]
	})
	require.NoError(t, d.post(t.Context(), []byte("events")))
	require.Empty(t, answers)
	require.EqualValues(t, 2, d.refused.Load())
}

func TestAPostThatIsRefusedIsAnError(t *testing.T) {
	d := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "wrong token", http.StatusUnauthorized) })
	require.ErrorContains(t, d.post(t.Context(), nil), "401 Unauthorized: wrong token")
	d = serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	require.ErrorContains(t, d.post(t.Context(), nil), "503", "it does not say when to come again")
}

func TestEventsMustBeTakenInInTime(t *testing.T) {
	late := 0
	d := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "portcullis_intake_events_total{source=\"webhook\",tenant=\"live\"} 7\nportcullis_engine_late_events_total{tenant=\"live\"} %d\n", late)
	})
	m, err := d.settled(t.Context(), 7)
	require.NoError(t, err)
	require.Len(t, m, 2)
	late = 1
	_, err = d.settled(t.Context(), 7)
	require.ErrorContains(t, err, "engine_late_events_total is 1")
}

func TestTheDaemonsLogIsReadToItsEnd(t *testing.T) {
	d := &daemon{lines: make(chan line, 4)}
	address := make(chan string, 1)
	d.scan(strings.NewReader(`{"msg":"listening","address":"127.0.0.1:8070"}`+"\nno JSON\n"+`{"msg":"recovered","events_replayed":12}`+"\n"), address)
	require.Equal(t, "127.0.0.1:8070", <-address)
	require.Equal(t, "listening", (<-d.lines).Msg)
	l := <-d.lines
	require.Equal(t, 12, l.Events)
	require.False(t, l.read.IsZero())
	_, more := <-d.lines
	require.False(t, more)
}
