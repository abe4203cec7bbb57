package logstream

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// cutOff answers with the beginning of a body, after which the connection is reset.
func cutOff(body string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(strings.NewReader(body), failing{syscall.ECONNRESET}))}, nil
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestPollTakesEveryEventOnceThroughEveryFault(t *testing.T) {
	reset := func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET }
	for name, faults := range map[string][]func(*http.Request) (*http.Response, error){
		"a 401":                                {give(401, `{"message":"Expired token"}`)},
		"a 403":                                {give(403, `{"message":"Insufficient scope"}`), give(403, "")},
		"a 404":                                {give(404, "")},
		"a 429 that says when":                 {give(429, "", "Retry-After", "3"), give(429, "", "X-RateLimit-Remaining", "0", "Retry-After", "1")},
		"a 429 that says nothing":              {give(429, ""), give(429, `{"errorCode":"too_many_requests"}`)},
		"a burst of 500s":                      {give(500, ""), give(502, "<html>"), give(503, ""), give(504, ""), give(500, "{}")},
		"a connection reset":                   {reset, reset, reset},
		"a connection reset within the answer": {cutOff(entries(3, 5)[:40]), cutOff(""), cutOff(entries(3, 5))},
		"no answer in time": {func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}},
		"all of them": {give(401, ""), reset, give(500, ""), cutOff("["), give(429, ""), give(403, ""), reset, give(503, "")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &memoryCursor{cursor: id(0)}
				answers := append([]func(*http.Request) (*http.Response, error){give(200, entries(1, 3))}, faults...)
				answers = append(answers, give(200, entries(3, 5)), give(200, entries(5, 6)), give(200, "[]"))
				s := script(t, store, PollOptions{Take: 2, Overlap: -1}, 10*time.Minute, answers...)
				require.NoError(t, s.err)
				var got []string
				for _, b := range s.batches {
					for _, e := range b.Events {
						got = append(got, e.ID)
					}
				}
				require.Equal(t, []string{id(1), id(2), id(3), id(4), id(5)}, got)
				require.Equal(t, []string{id(2), id(4), id(5)}, store.saved)
				require.Empty(t, s.rejects)
				require.True(t, s.status[len(s.status)-1].OK, "and it is said that it works again")
				require.False(t, s.status[len(s.status)-2].OK)
			})
		})
	}
}

func TestPollMovesNoCursorPastAPageThatDidNotArriveWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryCursor{cursor: id(0)}
		s := script(t, store, PollOptions{Take: 2}, time.Minute, cutOff(entries(1, 3)))
		require.NoError(t, s.err)
		require.Empty(t, s.batches)
		require.Equal(t, id(0), store.cursor)
		require.Contains(t, s.status[0].Reason, "connection reset by peer")
	})
}
