package playbook

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const takeBack = `
id: take-back
title: Take an account back
subject: user
budget: block_user
steps:
  - {id: block, do: block}
  - {id: revoke, do: revoke, on_failure: skip}
  - {id: reset, do: mail, deadline: 1h, on_failure: ask}
  - id: changed
    until: event.type == "scp" && event.user_id == subject && event.ip != "198.51.100.7"
    after: reset
    deadline: 24h
    on_failure: ask
  - {id: unblock, do: unblock, pause: 30s}
`

func TestARunGoesThroughItsStepsAndWaitsForWhatItSays(t *testing.T) {
	w := newWorld(t, takeBack)
	w.begin("ann")
	require.NoError(t, w.settle(time.Hour))
	require.Equal(t, "running: block=done revoke=done reset=done changed= unblock=", story(w.only()))
	require.Equal(t, []string{"block ann", "revoke ann", "mail ann"}, w.calls)

	w.now = start.Add(time.Hour)
	w.r.See(w.now, map[string]any{"type": "scp", "user_id": "bob", "ip": "203.0.113.1"})
	w.r.See(w.now, map[string]any{"type": "scp", "user_id": "ann", "ip": "198.51.100.7"})
	require.NoError(t, w.settle(time.Hour))
	require.Equal(t, StepWaits, w.only().Steps[3].State, "another's event, and the attacker's, end no wait")

	w.r.See(w.now, map[string]any{"type": "scp", "user_id": "ann", "ip": "203.0.113.1"})
	require.NoError(t, w.settle(time.Hour))
	require.Equal(t, StepDone, w.only().Steps[3].State)
	require.NotContains(t, w.calls, "unblock ann", "the pause runs")
	require.NoError(t, w.settle(2*time.Hour))
	run := w.only()
	require.Equal(t, "done: block=done revoke=done reset=done changed=done unblock=done", story(run))
	require.Equal(t, start.Add(time.Hour+30*time.Second), run.Ended)
	require.Equal(t, "us", run.Facts["by.block"])
	require.Equal(t, "203.0.113.1", run.Steps[3].Event["ip"])
}

func TestAnEventCountsBeforeItsTurnAndNotBeforeWhatItFollows(t *testing.T) {
	w := newWorld(t, strings.Replace(takeBack, "  - id: changed", "  - {id: rest, pause: 10m}\n  - id: changed", 1))
	w.begin("ann")
	scp := map[string]any{"type": "scp", "user_id": "ann", "ip": "203.0.113.1"}
	w.r.See(start.Add(-time.Minute), scp) // of a reset that was under way before ours
	require.NoError(t, w.settle(time.Minute))
	require.Nil(t, w.only().Steps[4].Event)
	w.now = start.Add(time.Minute)
	w.r.See(w.now, scp) // faster than the run
	require.NoError(t, w.settle(time.Minute))
	require.Equal(t, "running: block=done revoke=done reset=done rest= changed= unblock=", story(w.only()))
	require.NoError(t, w.boot(-1))
	require.NoError(t, w.settle(time.Hour))
	require.Equal(t, Done, w.only().State, "also after a restart")
}

func TestACrashAnywhereEndsTheSameAndNothingIsDoneTwice(t *testing.T) {
	for cut := 0; ; cut++ {
		w := newWorld(t, takeBack)
		w.hides = 20 * time.Second // effects are seen late
		crashed := false
		life := func(do func() error) {
			require.NoError(t, w.boot(map[bool]int{true: -1, false: cut}[crashed]))
			if err := do(); err != nil {
				require.Error(t, w.ctx.Err(), "only the crash fails: %v", err)
				crashed = true
				require.NoError(t, w.boot(-1))
				require.NoError(t, do())
			}
		}
		life(func() error {
			if len(w.store) == 0 {
				_, err := w.r.Start(w.ctx, Request{Playbook: "take-back", Subject: "ann", Mode: "enforce", Cause: Cause{Actor: "policy", Incident: "in_1"}})
				if err != nil {
					return err
				}
			}
			if err := w.settle(time.Hour); err != nil {
				return err
			}
			w.now = start.Add(time.Hour)
			for range 2 { // once more, as after a recovery
				w.r.See(w.now, map[string]any{"type": "scp", "user_id": "ann", "ip": "203.0.113.1"})
			}
			return w.settle(2 * time.Hour)
		})
		require.Equal(t, "done: block=done revoke=done reset=done changed=done unblock=done", story(w.only()), "cut %d", cut)
		require.Equal(t, map[string]int{"block ann": 1, "revoke ann": 1, "mail ann": 1, "unblock ann": 1}, w.effects, "cut %d", cut)
		for _, deed := range []string{"begun", "block done", "revoke done", "reset done", "changed done", "unblock done", "ended"} {
			found := false
			for id := range w.deeds {
				found = found || strings.HasSuffix(id, " "+deed)
			}
			require.True(t, found, "cut %d: no deed tells that it was %s", cut, deed)
		}
		if !crashed {
			require.Greater(t, cut, 20, "the crash had somewhere to be")
			return
		}
	}
}

func TestOfManySubjectsAllAreBlockedBeforeAnyIsRevoked(t *testing.T) {
	w := newWorld(t, takeBack)
	for i := range 50 {
		w.begin(fmt.Sprint("user", i))
	}
	require.NoError(t, w.settle(time.Minute))
	require.Len(t, w.calls, 150)
	for i, call := range w.calls {
		want := []string{"block", "revoke", "mail"}[i/50]
		require.True(t, strings.HasPrefix(call, want+" "), "call %d is %s", i, call)
	}
}

func TestWhatFailsIsSkippedStoppedOrAsked(t *testing.T) {
	t.Run("skip", func(t *testing.T) {
		w := newWorld(t, takeBack)
		w.fails["revoke"] = fmt.Errorf("%w: not an Enterprise plan", ErrImpossible)
		w.begin("ann")
		require.NoError(t, w.settle(time.Hour))
		w.r.See(w.now, map[string]any{"type": "scp", "user_id": "ann"})
		require.NoError(t, w.settle(2*time.Hour))
		run := w.only()
		require.Equal(t, "partly: block=done revoke=skipped reset=done changed=done unblock=done", story(run))
		require.Contains(t, run.Steps[1].Note, "not an Enterprise plan")
	})
	t.Run("stop", func(t *testing.T) {
		w := newWorld(t, takeBack)
		w.fails["block"] = fmt.Errorf("503")
		w.begin("ann")
		require.NoError(t, w.settle(time.Hour))
		run := w.only()
		require.Equal(t, "stopped: block=failed revoke= reset= changed= unblock=", story(run))
		require.Equal(t, start.Add(defaultDeadline), run.Ended, "it is tried until its deadline")
		require.Greater(t, run.Steps[0].Attempts, 10)
		require.Less(t, run.Steps[0].Attempts, 40)
	})
	t.Run("ask", func(t *testing.T) {
		w := newWorld(t, takeBack)
		w.fails["mail"] = fmt.Errorf("%w: no mail provider", ErrImpossible)
		run := w.begin("ann")
		require.NoError(t, w.settle(time.Hour))
		require.Equal(t, "awaiting: block=done revoke=done reset=asks changed= unblock=", story(w.only()))
		delete(w.fails, "mail")
		got, err := w.give(Order{Run: run.ID, Answer: Approve})
		require.NoError(t, err)
		require.Equal(t, Running, got.State)
		require.NoError(t, w.settle(time.Hour))
		require.Equal(t, StepDone, w.only().Steps[2].State)
		require.NoError(t, w.settle(30*time.Hour))
		require.Equal(t, StepAsks, w.only().Steps[3].State, "the user never changed the password")
		_, err = w.give(Order{Run: run.ID, Answer: SkipStep, Reason: "spoke to her"})
		require.NoError(t, err)
		w.now = w.now.Add(time.Minute)
		require.NoError(t, w.settle(30*time.Hour))
		require.Equal(t, "partly: block=done revoke=done reset=done changed=skipped unblock=done", story(w.only()))
	})
	t.Run("gone", func(t *testing.T) {
		w := newWorld(t, takeBack)
		w.fails["revoke"] = fmt.Errorf("%w: 404", ErrGone)
		w.begin("ann")
		require.NoError(t, w.settle(time.Hour))
		require.Equal(t, Moot, w.only().State)
		require.NotContains(t, w.calls, "mail ann")
	})
	t.Run("overruled", func(t *testing.T) {
		w := newWorld(t, takeBack)
		w.fails["revoke"] = fmt.Errorf("%w: the user was unblocked", ErrOverruled)
		run := w.begin("ann")
		require.NoError(t, w.settle(time.Hour))
		require.Equal(t, Awaiting, w.only().State)
		got, err := w.give(Order{Run: run.ID, Answer: Abort})
		require.NoError(t, err)
		require.Equal(t, Aborted, got.State)
		require.Equal(t, "aborted by ada", got.Note)
	})
}

func TestModesAndRailsDecideWhetherARunBegins(t *testing.T) {
	w := newWorld(t, takeBack)
	start := func(subject, mode string) (Run, error) {
		return w.r.Start(w.ctx, Request{Playbook: "take-back", Subject: subject, Mode: mode, Cause: Cause{Actor: "ada"}})
	}
	run, err := start("observed", "observe")
	require.NoError(t, err)
	require.Equal(t, Proposed, run.State)
	run, err = start("asked", "propose")
	require.NoError(t, err)
	require.NoError(t, w.settle(time.Hour))
	require.Empty(t, w.calls)
	_, err = w.give(Order{Run: run.ID, Answer: Approve, Plan: "another"})
	require.ErrorIs(t, err, ErrRefused)
	_, err = w.give(Order{Run: run.ID, Answer: SkipStep})
	require.ErrorIs(t, err, ErrRefused)
	_, err = w.give(Order{Run: run.ID, Answer: Approve, Plan: run.Hash()})
	require.NoError(t, err)
	require.Equal(t, []string{"block asked", "revoke asked", "mail asked"}, w.calls)
	_, err = w.give(Order{Run: run.ID, Answer: Approve, Plan: run.Hash()})
	require.ErrorContains(t, err, "asks nothing")

	w.forbidden["root"] = "root is on the never-touch list"
	_, err = start("root", "enforce")
	require.ErrorContains(t, err, "never-touch")
	_, err = start("asked", "enforce")
	require.ErrorContains(t, err, "is open already")
	_, err = start("", "enforce")
	require.ErrorIs(t, err, ErrRefused)
	w.room = 0
	run, err = start("many", "enforce")
	require.NoError(t, err)
	require.Equal(t, Awaiting, run.State)
	require.Equal(t, "budget used up: block_user", run.Note)

	_, err = w.r.Start(w.ctx, Request{Playbook: "none", Subject: "x", Mode: "enforce", Cause: Cause{Actor: "ada"}})
	require.ErrorContains(t, err, "no playbook is called none")
	_, err = w.r.Start(w.ctx, Request{Playbook: "take-back", Subject: "x", Mode: "enforce"})
	require.ErrorContains(t, err, "who asks")
}

func TestTheSameIncidentBeginsARunOnce(t *testing.T) {
	w := newWorld(t, takeBack)
	q := Request{Playbook: "take-back", Subject: "ann", Mode: "enforce", Cause: Cause{Actor: "policy p", Incident: "in_1"}}
	first, err := w.r.Start(w.ctx, q)
	require.NoError(t, err)
	again, err := w.r.Start(w.ctx, q)
	require.NoError(t, err)
	require.Equal(t, first.ID, again.ID)
	require.NoError(t, w.settle(time.Hour))
	_, err = w.give(Order{Run: first.ID, Answer: Abort})
	require.NoError(t, err)
	again, err = w.r.Start(w.ctx, q)
	require.NoError(t, err)
	require.Equal(t, Aborted, again.State, "also when it is over")
}

func TestUnderAFreezeARunWaits(t *testing.T) {
	w := newWorld(t, takeBack)
	w.stopped = "frozen by ada"
	w.begin("ann")
	require.NoError(t, w.settle(5*time.Minute))
	require.Empty(t, w.calls)
	require.Equal(t, "waits: frozen by ada", w.only().Steps[0].Note)
	w.stopped = ""
	require.NoError(t, w.settle(10*time.Minute))
	require.Equal(t, []string{"block ann", "revoke ann", "mail ann"}, w.calls)
}

func TestASubjectThatBecomesProtectedIsLeftAlone(t *testing.T) {
	w := newWorld(t, strings.Replace(takeBack, "{id: revoke, do: revoke", "{id: revoke, pause: 1m, do: revoke", 1))
	w.begin("ann")
	require.NoError(t, w.settle(0))
	w.forbidden["ann"] = "ann is on the never-touch list"
	require.NoError(t, w.settle(time.Hour))
	require.Equal(t, []string{"block ann"}, w.calls)
}

func TestAStepIsLeftOutWhereItsConditionDoesNotHold(t *testing.T) {
	w := newWorld(t, `
id: take-back
title: T
subject: user
steps:
  - {id: block, do: block}
  - {id: revoke, do: revoke, when: 'facts["by.block"] == "nobody"'}
  - {id: mail, do: mail, when: 'facts["by.block"] == "us"', approve: true}
`)
	run := w.begin("ann")
	require.NoError(t, w.settle(time.Hour))
	require.Equal(t, "awaiting: block=done revoke=skipped mail=asks", story(w.only()))
	_, err := w.give(Order{Run: run.ID, Answer: Approve})
	require.NoError(t, err)
	require.Equal(t, "done: block=done revoke=skipped mail=done", story(w.only()))
	w.now = w.now.Add(forgetAfter + time.Hour)
	require.NoError(t, w.r.Forget(w.ctx))
	require.Empty(t, w.r.Runs())
	require.Empty(t, w.store)
}

func TestProblemsInPlaybooksAreShownWhereTheyAre(t *testing.T) {
	w := newWorld(t, takeBack)
	for text, want := range map[string]string{
		"id: a\ntitle: A\nsubject: tree\nsteps: [{id: x, do: block}]":                                                                   "must be one of user, client, tenant",
		"id: a\ntitle: A\nsubject: user\nsteps: []":                                                                                     "at least one step",
		"id: a\ntitle: A\nsubject: user\nsteps: [{id: x}]":                                                                              "a step needs do, until or pause",
		"id: a\ntitle: A\nsubject: user\nsteps: [{id: x, do: blok}]":                                                                    "unknown measure blok (did you mean block?)",
		"id: a\ntitle: A\nsubject: client\nsteps: [{id: x, do: block}]":                                                                 "is for a user",
		"id: a\ntitle: A\nsubject: user\nsteps: [{id: x, do: block, with: {too: y}}]":                                                   "has no setting too (did you mean to?)",
		"id: a\ntitle: A\nsubject: user\nsteps: [{id: x, do: block}, {id: x, do: block}]":                                               "two steps are called x",
		"id: a\ntitle: A\nsubject: user\nsteps: [{id: x, do: block, on_failure: retry}]":                                                "must be skip, stop or ask",
		"id: a\ntitle: A\nsubject: user\nsteps: [{id: x, until: event.type == }]":                                                       "unexpected token",
		"id: a\ntitle: A\nsubject: user\nsteps: [{id: x, do: block, when: fact.x == \"\"}]":                                             "unknown name fact",
		"id: a\ntitle: A\nsubject: user\nsteps: [{id: x, until: 'event.type == \"scp\"', after: y}]":                                    "no earlier step is called y",
		"id: a\ntitle: A\nsubject: user\nsteps: [{id: x, do: block, until: 'true'}]":                                                    "not both",
		"id: a\ntitle: A\nsubject: user\nsteps: [{id: x, pause: 1m, deadline: 9000h}]":                                                  "is longer than",
		"id: a\ntitle: A\nsubject: user\nsteps: [{id: x, do: block}]\n---\nid: a\ntitle: B\nsubject: user\nsteps: [{id: x, do: block}]": "already used",
	} {
		_, err := Load([]File{{Name: "p.yaml", Data: []byte(text)}}, kindsOf(w.measures()))
		require.ErrorContains(t, err, want, text)
	}
}
