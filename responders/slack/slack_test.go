package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/responders"
)

func TestIncidentIsPostedOnceThenUpdatedInPlace(t *testing.T) {
	f := &fakeSlack{}
	s, err := New(Config{Token: testToken, Channel: "#identity-oncall", APIURL: f.start(t)}, Options{Debounce: time.Millisecond, Pace: -1})
	require.NoError(t, err)
	r := startRun(t, s)

	first := moved(stuffing(), 41, "opened")
	first.Broadcast = true
	r.notify(t, first)
	require.Eventually(t, func() bool { return f.methods() == "post reply" }, 5*time.Second, time.Millisecond)
	r.notify(t, moved(stuffing(), 99, ""))
	require.Eventually(t, func() bool { return f.methods() == "post reply update" }, 5*time.Second, time.Millisecond)

	calls := f.seen()
	post, reply, update := calls[0].form, calls[1].form, calls[2].form
	require.Equal(t, "#identity-oncall", post.Get("channel"))
	require.JSONEq(t, `{"event_type":"portcullis_incident","event_payload":{"incident_id":"inc-1"}}`, post.Get("metadata"))
	require.Contains(t, post.Get("text"), "41 events")
	require.Contains(t, post.Get("blocks"), "41 events")

	require.Equal(t, "C042", reply.Get("channel"))
	require.Equal(t, "1763719200.000001", reply.Get("thread_ts"))
	require.Equal(t, "true", reply.Get("reply_broadcast"))
	require.Equal(t, "opened", reply.Get("text"))

	require.Equal(t, "C042", update.Get("channel"), "an update names the channel by id")
	require.Equal(t, "1763719200.000001", update.Get("ts"))
	require.Contains(t, update.Get("text"), "99 events")
	require.Contains(t, update.Get("blocks"), "99 events")
	for _, c := range calls {
		require.Equal(t, "false", c.form.Get("unfurl_links"))
		require.Equal(t, "false", c.form.Get("unfurl_media"))
		require.NotEmpty(t, c.form.Get("text"))
	}
}

func TestReplyIsBroadcastOnlyWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{}
		r := run(t, f, Options{})
		r.notify(t, moved(stuffing(), 1, "numbers doubled"))
		synctest.Wait()
		require.Equal(t, "post reply", f.methods())
		require.Empty(t, f.seen()[1].form.Get("reply_broadcast"))
	})
}

func TestHundredReportsAreFewUpdatesAndTheLastStateShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{}
		r := run(t, f, Options{})
		for i := range 100 {
			r.notify(t, moved(stuffing(), i+1, ""))
			time.Sleep(50 * time.Millisecond) // five seconds in all
		}
		time.Sleep(time.Minute)
		require.Equal(t, "post update update", f.methods())
		calls := f.seen()
		require.Contains(t, calls[0].form.Get("text"), "1 event ", "the first report is shown at once")
		require.GreaterOrEqual(t, calls[1].at.Sub(calls[0].at), 3*time.Second)
		require.Contains(t, calls[2].form.Get("blocks"), "100 events")
	})
}

func TestReportThatChangesNothingVisibleCostsNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{}
		r := run(t, f, Options{})
		for range 5 {
			r.notify(t, stuffing())
			time.Sleep(10 * time.Second)
		}
		require.Equal(t, "post", f.methods())
	})
}

func TestEveryTransitionIsRepliedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{}
		r := run(t, f, Options{})
		var want []string
		for i := range 30 {
			want = append(want, fmt.Sprintf("transition %d", i))
			r.notify(t, moved(stuffing(), i+1, want[i]))
		}
		time.Sleep(5 * time.Minute)
		require.Equal(t, want, replies(f))
		require.True(t, f.seen()[0].isRoot(), "the root comes before its replies")
	})
}

func TestRestartUpdatesTheSameMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memStore{}
		f := &fakeSlack{}
		r := run(t, f, Options{Store: store})
		r.notify(t, moved(stuffing(), 1, ""))
		synctest.Wait()
		r.stop()
		require.Equal(t, Ref{Channel: "C042", TS: "1763719200.000001"}, store.ref("inc-1"))

		r = run(t, f, Options{Store: store})
		r.notify(t, moved(stuffing(), 2, "still going"))
		synctest.Wait()
		require.Equal(t, "post update reply", f.methods())
		require.Equal(t, "1763719200.000001", f.seen()[1].form.Get("ts"))
		require.Equal(t, "1763719200.000001", f.seen()[2].form.Get("thread_ts"))
	})
}

func TestWaitingTransitionsAreBoundedAndTheRestIsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{}
		logger, log := newLogger()
		s, err := New(Config{Token: testToken, Channel: "C042"}, Options{Logger: logger, HTTPClient: &http.Client{Transport: f}})
		require.NoError(t, err)
		for range maxReplies + 5 {
			require.NoError(t, s.Notify(t.Context(), moved(stuffing(), 1, "x")))
		}
		require.Len(t, s.queue.waiting, 1)
		require.Len(t, s.queue.waiting["inc-1"].replies, maxReplies)
		require.Len(t, log.lines(t, "incident"), 5)

		startRun(t, s)
		time.Sleep(10 * time.Minute)
		got := replies(f)
		require.Len(t, got, maxReplies+1)
		require.Equal(t, "5 more transitions came while this channel was behind; they are in the log", got[maxReplies])
		require.Len(t, log.lines(t, "incident"), 5)
	})
}

func TestStopSendsWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{}
		logger, log := newLogger()
		r := run(t, f, Options{Logger: logger})
		r.notify(t, moved(stuffing(), 1, "opened"))
		synctest.Wait()
		last := moved(stuffing(), 2, "closed")
		last.State = responders.StateClosed
		r.notify(t, last)
		r.stop()
		require.Equal(t, "post reply update reply", f.methods())
		require.Contains(t, f.seen()[2].form.Get("text"), "CLOSED")
		require.Empty(t, log.lines(t, "incident"))

		err := r.Notify(t.Context(), stuffing())
		require.ErrorIs(t, err, errStopped)
		require.Len(t, log.lines(t, "incident"), 1, "a report after the end goes to the log")
	})
}

func TestUrgentNewsOvertakesMovedNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{}
		r := run(t, f, Options{})
		for i := range 20 {
			one := moved(stuffing(), 1, "")
			one.Incident.ID = fmt.Sprintf("quiet-%d", i)
			r.notify(t, one)
		}
		time.Sleep(time.Minute)
		for i := range 20 {
			one := moved(stuffing(), 2, "")
			one.Incident.ID = fmt.Sprintf("quiet-%d", i)
			r.notify(t, one)
		}
		before := time.Now()
		urgent := moved(stuffing(), 3, "opened")
		urgent.Incident.ID = "urgent"
		r.notify(t, urgent)
		time.Sleep(time.Minute)
		for _, c := range f.seen() {
			if c.form.Get("text") == "opened" {
				require.LessOrEqual(t, c.at.Sub(before), 3*time.Second)
				return
			}
		}
		t.Fatal("the transition was not sent")
	})
}

func TestRequestsKeepToThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{}
		r := run(t, f, Options{})
		for i := range 200 {
			one := stuffing()
			one.Incident.ID = fmt.Sprintf("inc-%d", i)
			r.notify(t, one)
		}
		time.Sleep(time.Minute)
		require.InDelta(t, 50, len(f.seen()), 5)
	})
}

func TestClosedIncidentIsForgottenOnceTheStoreHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, &fakeSlack{}, Options{Store: &memStore{}})
		closed := moved(stuffing(), 1, "closed")
		closed.State = responders.StateClosed
		r.notify(t, closed)
		time.Sleep(10 * time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		require.Empty(t, r.queue.roots)
		require.Empty(t, r.queue.waiting)
	})
}

func TestTokenIsInNoErrorAndNoLog(t *testing.T) {
	cfg := Config{Token: testToken, Channel: "#x", APIURL: "ftp://example.org"}
	_, err := New(cfg, Options{})
	require.Error(t, err)
	raw, jsonErr := json.Marshal(cfg)
	require.NoError(t, jsonErr)
	shown := err.Error() + string(raw) + fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, cfg)

	synctest.Test(t, func(t *testing.T) {
		next := 0
		answers := []answer{{err: errors.New("proxy saw " + testToken)}, {status: 500}, {code: "bad " + testToken}, {body: testToken}}
		f := &fakeSlack{answer: func(call) answer { next++; return answers[next%len(answers)] }}
		logger, log := newLogger()
		logger.Info("start", "slack", cfg)
		r := run(t, f, Options{Logger: logger})
		for i := range 10 {
			r.notify(t, moved(stuffing(), i, "x"))
			time.Sleep(2 * time.Minute)
		}
		r.stop()
		require.Contains(t, log.String(), "<secret>")
		shown += log.String() + fmt.Sprintf("%v %+v", r.Slack, r.Slack)
	})
	require.False(t, strings.Contains(shown, testToken), "the token is shown")
}

func TestConfigProblemsAreReportedTogether(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  Config
		want []string
	}{
		"nothing set":           {Config{}, []string{"token is empty", "channel is empty"}},
		"the other token":       {Config{Token: "xapp-1", Channel: "C1"}, []string{"app-level token"}},
		"two words as token":    {Config{Token: "xoxb 1", Channel: "C1"}, []string{"blanks"}},
		"clear text to afar":    {Config{Token: "xoxb-1", Channel: "C1", APIURL: "http://example.org/api"}, []string{"not https"}},
		"not an URL":            {Config{Token: "xoxb-1", Channel: "C1", APIURL: "slack"}, []string{"not a plain URL"}},
		"all well":              {Config{Token: "xoxb-1\n", Channel: " C1 "}, nil},
		"clear text to oneself": {Config{Token: "xoxb-1", Channel: "C1", APIURL: "http://127.0.0.1:9/api"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.cfg, Options{})
			if tc.want == nil {
				require.NoError(t, err)
				return
			}
			for _, w := range tc.want {
				require.ErrorContains(t, err, w)
			}
		})
	}
}

func TestMisuseIsAnError(t *testing.T) {
	s, err := New(Config{Token: testToken, Channel: "C1"}, Options{})
	require.NoError(t, err)
	require.ErrorContains(t, s.Notify(t.Context(), responders.Report{}), "no incident id")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, s.Run(ctx))
	require.ErrorContains(t, s.Run(ctx), "already been run")
}

func TestLogWritesTransitionsOnly(t *testing.T) {
	logger, log := newLogger()
	l := NewLog(logger)
	require.NoError(t, l.Notify(t.Context(), moved(stuffing(), 1, "opened")))
	require.NoError(t, l.Notify(t.Context(), moved(stuffing(), 2, "")))
	lines := log.lines(t, "incident")
	require.Len(t, lines, 1)
	require.Equal(t, "inc-1", lines[0]["incident"])
	require.Equal(t, "CONTAINING", lines[0]["state"])
	require.Equal(t, "high", lines[0]["severity"])
	require.Equal(t, "opened", lines[0]["transition"])
	require.Equal(t, Text(stuffing()), strings.Replace(lines[0]["text"].(string), "1 event ", "4,212 events ", 1))
	require.NoError(t, NewLog(nil).Notify(t.Context(), moved(stuffing(), 1, "opened")))
}

// replies are the transitions sent, with each attempt.
func replies(f *fakeSlack) []string {
	var texts []string
	for _, c := range f.seen() {
		if !c.isRoot() {
			texts = append(texts, c.form.Get("text"))
		}
	}
	return texts
}
