package slack

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRateLimitIsRespectedAndOrderKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limited := false
		f := &fakeSlack{}
		f.answer = func(c call) answer {
			if !limited && c.form.Get("text") == "two" {
				limited = true
				return answer{status: 429, retryAfter: "7"}
			}
			return answer{}
		}
		r := run(t, f, Options{})
		for _, tr := range []string{"one", "two", "three"} {
			r.notify(t, moved(stuffing(), 1, tr))
		}
		other := moved(stuffing(), 5, "another incident")
		other.Incident.ID = "inc-2"
		r.notify(t, other)
		time.Sleep(time.Minute)

		require.Equal(t, []string{"one", "two", "two", "three", "another incident"}, replies(f))
		var twos []call
		for i, c := range f.seen() {
			if c.form.Get("text") == "two" {
				twos = append(twos, c)
				if len(twos) == 1 {
					require.GreaterOrEqual(t, f.seen()[i+1].at.Sub(c.at), 7*time.Second, "nothing at all is sent while Slack asks to wait")
				}
			}
		}
		require.Equal(t, 7*time.Second, twos[1].at.Sub(twos[0].at))
	})
}

func TestRateLimitedFirstPostIsPostedOnceAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{}
		f.answer = func(call) answer {
			if f.methods() == "post" {
				return answer{status: 429, retryAfter: "120"}
			}
			return answer{}
		}
		logger, log := newLogger()
		r := run(t, f, Options{Logger: logger})
		r.notify(t, moved(stuffing(), 1, "opened"))
		time.Sleep(5 * time.Minute)
		require.Equal(t, "post post reply", f.methods())
		require.Len(t, log.lines(t, "incident"), 1, "people read the log while Slack asks for a long wait")
	})
}

func TestStoreThatFailsCostsNoMessage(t *testing.T) {
	for name, store := range map[string]*memStore{
		"on load": {failLoad: true},
		"on save": {failSave: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeSlack{}
				logger, log := newLogger()
				r := run(t, f, Options{Store: store, Logger: logger})
				r.notify(t, moved(stuffing(), 1, "opened"))
				time.Sleep(10 * time.Second)
				r.notify(t, moved(stuffing(), 2, ""))
				time.Sleep(10 * time.Second)
				require.Equal(t, "post reply update", f.methods())
				require.Contains(t, log.String(), "disk on fire")
			})
		})
	}
}

func TestSaveIsTriedAgainWithTheNextUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memStore{failSave: true}
		r := run(t, &fakeSlack{}, Options{Store: store})
		r.notify(t, moved(stuffing(), 1, ""))
		time.Sleep(10 * time.Second)
		store.mu.Lock()
		store.failSave = false
		store.mu.Unlock()
		r.notify(t, moved(stuffing(), 2, ""))
		time.Sleep(10 * time.Second)
		require.Equal(t, "1763719200.000001", store.ref("inc-1").TS)
	})
}

func TestDeletedMessageIsPostedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{}
		f.answer = func(c call) answer {
			if c.form.Get("ts") == "1763719200.000001" {
				return answer{code: "message_not_found"}
			}
			return answer{}
		}
		store := &memStore{}
		r := run(t, f, Options{Store: store})
		r.notify(t, moved(stuffing(), 1, ""))
		time.Sleep(10 * time.Second)
		r.notify(t, moved(stuffing(), 2, "rising"))
		time.Sleep(10 * time.Second)
		require.Equal(t, "post update post reply", f.methods())
		require.Equal(t, "1763719200.000002", f.seen()[3].form.Get("thread_ts"))
		require.Equal(t, "1763719200.000002", store.ref("inc-1").TS)
	})
}

func TestReplyThatFindsNoMessageNeverFloodsTheChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{}
		f.answer = func(c call) answer {
			if !c.isRoot() {
				return answer{code: "thread_not_found"}
			}
			return answer{}
		}
		logger, log := newLogger()
		r := run(t, f, Options{Logger: logger})
		r.notify(t, moved(stuffing(), 1, "opened"))
		time.Sleep(time.Hour)
		require.Equal(t, "post reply post reply post reply", f.methods())
		require.Len(t, log.lines(t, "incident"), 1)
	})
}

func TestRefusedReportGoesToTheLogAndLaterOnesAreStillTried(t *testing.T) {
	for _, code := range []string{"is_archived", "channel_not_found", "not_in_channel", "invalid_auth", "something_new"} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var healed atomic.Bool
				f := &fakeSlack{answer: func(call) answer {
					if healed.Load() {
						return answer{}
					}
					return answer{code: code}
				}}
				logger, log := newLogger()
				r := run(t, f, Options{Logger: logger})
				r.notify(t, moved(stuffing(), 1, "opened"))
				time.Sleep(10 * time.Second)
				r.notify(t, moved(stuffing(), 2, "rising"))
				time.Sleep(10 * time.Second)
				r.notify(t, moved(stuffing(), 3, ""))
				time.Sleep(10 * time.Second)

				complaints := log.lines(t, "slack refuses messages; reports are in the log meanwhile")
				require.Len(t, complaints, 1, "the error is logged once")
				require.Equal(t, "ERROR", complaints[0]["level"])
				require.NotEmpty(t, complaints[0]["hint"])
				require.Contains(t, complaints[0]["err"], code)
				told := log.lines(t, "incident")
				require.Len(t, told, 2, "each transition, and no moved number")
				require.Equal(t, "opened", told[0]["transition"])
				require.Equal(t, "rising", told[1]["transition"])
				require.Contains(t, told[1]["text"], "SEV2 Credential stuffing - CONTAINING - tenant acme-prod")
				require.Equal(t, "post post post", f.methods())

				healed.Store(true)
				r.notify(t, moved(stuffing(), 4, "calmer"))
				time.Sleep(10 * time.Second)
				require.Equal(t, "post post post post reply", f.methods())
				require.Len(t, log.lines(t, "incident"), 2)
			})
		})
	}
}

func TestUpdateRefusedByItsChannelLeadsTheNextReportToTheConfiguredOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{answer: func(c call) answer {
			if c.form.Get("channel") == "C-OLD" {
				return answer{code: "is_archived"}
			}
			return answer{}
		}}
		logger, log := newLogger()
		store := &memStore{refs: map[string]Ref{"inc-1": {Channel: "C-OLD", TS: "1.1"}}}
		r := run(t, f, Options{Logger: logger, Store: store})
		r.notify(t, moved(stuffing(), 1, ""))
		time.Sleep(10 * time.Second)
		require.Len(t, log.lines(t, "incident"), 1)
		r.notify(t, moved(stuffing(), 2, ""))
		time.Sleep(10 * time.Second)
		require.Equal(t, "update post", f.methods())
		require.Equal(t, "C042", store.ref("inc-1").Channel)
	})
}

func TestWorkspaceWithoutEditingStillGetsTransitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{answer: func(c call) answer {
			if c.method == "chat.update" {
				return answer{code: "edit_window_closed"}
			}
			return answer{}
		}}
		r := run(t, f, Options{})
		r.notify(t, moved(stuffing(), 1, "opened"))
		time.Sleep(10 * time.Second)
		r.notify(t, moved(stuffing(), 2, "rising"))
		time.Sleep(time.Minute)
		require.Equal(t, "post reply update reply", f.methods())
	})
}

func TestSlackDownIsRetriedAndTheLogTellsMeanwhile(t *testing.T) {
	for name, down := range map[string]answer{
		"connection refused": {err: errors.New("connection refused")},
		"server error":       {status: 503},
		"busy":               {code: "service_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var up atomic.Bool
				f := &fakeSlack{answer: func(call) answer {
					if up.Load() {
						return answer{}
					}
					return down
				}}
				logger, log := newLogger()
				r := run(t, f, Options{Logger: logger})
				r.notify(t, moved(stuffing(), 1, "opened"))
				time.Sleep(time.Minute)
				require.LessOrEqual(t, len(f.seen()), 7, "attempts become rarer")
				require.Len(t, log.lines(t, "incident"), 1)
				r.notify(t, moved(stuffing(), 2, "rising"))
				time.Sleep(10 * time.Minute)
				require.Len(t, log.lines(t, "incident"), 2)
				require.Len(t, log.lines(t, "slack cannot be reached; retrying, reports are in the log meanwhile"), 1)
				stats := r.Stats()
				require.Equal(t, 3, stats.Waiting, "the message and two replies")
				require.EqualValues(t, 2, stats.Logged)
				require.EqualValues(t, len(f.seen()), stats.Failed)

				up.Store(true)
				time.Sleep(2 * time.Minute)
				require.Equal(t, []string{"opened", "rising"}, replies(f), "nothing that waited is lost")
				require.Len(t, log.lines(t, "incident"), 2)
				require.Len(t, log.lines(t, "slack takes messages again"), 1)
				require.Zero(t, r.Stats().Waiting)
			})
		})
	}
}

func TestUnreadableAnswerIsNotPostedAgainAndAgain(t *testing.T) {
	for name, body := range map[string]string{
		"html":        "<html>sign in</html>",
		"wrong types": `{"ok":true,"channel":5}`,
		"no id":       `{"ok":true}`,
		"no error":    `{"ok":false}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeSlack{answer: func(call) answer { return answer{body: body} }}
				logger, log := newLogger()
				r := run(t, f, Options{Logger: logger})
				r.notify(t, moved(stuffing(), 1, "opened"))
				time.Sleep(time.Hour)
				require.Equal(t, "post", f.methods())
				require.Len(t, log.lines(t, "incident"), 1)
			})
		})
	}
}

func TestNotifyReturnsAtOnceThoughSlackHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{answer: func(call) answer { return answer{hang: true} }}
		logger, log := newLogger()
		r := run(t, f, Options{Logger: logger})
		start := time.Now()
		for i := range 1000 {
			r.notify(t, moved(stuffing(), i, "x"))
		}
		require.Zero(t, time.Since(start), "Notify waits for nothing")
		time.Sleep(20 * time.Second)
		require.NotEmpty(t, log.lines(t, "incident"), "a request that hangs is given up")

		stopping := time.Now()
		r.stop()
		require.LessOrEqual(t, time.Since(stopping), drainTime)
		require.Len(t, log.lines(t, "incident"), 1000, "each transition is told, those without room as well")
	})
}
