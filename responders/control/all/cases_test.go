package all

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// The failure cases by their numbers, as docs/responses.md lists them. Those that
// need a whole responder are in responders/cases_test.go.

func level(b *bench) any { return b.setting(bot, "bot_detection_level") }

func lower(b *bench, v string) { b.human(bot, map[string]any{"bot_detection_level": v}) }

func TestCase01ACrashBetweenIntentAndRequestIsComputedAnew(t *testing.T) {
	for name, ends := range map[string]bool{"the hold goes on": false, "the hold is over by then": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			h := b.hold(bot, "elevated", time.Hour)
			b.Fail(tenantsim.Fault{Method: "PATCH", Drop: true}) // it never arrives
			_, err := b.try(bot)
			require.Error(t, err)
			b.restart()
			if ends {
				b.after(2 * time.Hour)
				b.run(bot)
				require.Equal(t, hold.Released, h.State)
				require.Equal(t, "medium", level(b))
				require.Len(t, b.writes, 1, "then there is nothing to do")
				return
			}
			b.run(bot)
			require.Equal(t, "high", level(b))
			b.quiet(bot)
		})
	}
}

func TestCase02ACrashBetweenRequestAndDoneIsAdopted(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold(bot, "elevated", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Drop: true, AfterApply: true})
	_, err := b.try(bot)
	require.ErrorIs(t, err, auth0.ErrUnknownOutcome)
	b.restart()
	rep := b.run(bot)
	require.NotEmpty(t, rep.Changes)
	require.Empty(t, rep.Notes, "it is nobody else's")
	require.Len(t, b.writes, 1, "it is not written twice")
	b.after(2 * time.Hour)
	b.run(bot)
	require.Equal(t, "medium", level(b))
}

func TestCase03AHumanWhoPutsTheOldValueBackAfterACrashIsNotFought(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold(brute, "elevated", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Drop: true, AfterApply: true})
	_, err := b.try(brute)
	require.Error(t, err)
	b.human(brute, map[string]any{"max_attempts": 10})
	b.restart()
	b.hear(b.lines()...) // ours, and then theirs
	b.run(brute)
	require.Equal(t, 10.0, b.setting(brute, "max_attempts"))
	require.Contains(t, h.Note, "part of it")
	require.Len(t, b.writes, 1)
}

func TestCase04AnEditBetweenOurReadAndOurWriteComesBack(t *testing.T) {
	for name, during := range map[string]string{"who lowers": "low", "who raises": "high"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			b.hold(bot, "elevated", time.Hour)
			b.before = func() { lower(b, during) } // our write buries it
			b.run(bot)
			require.Equal(t, "high", level(b))
			notes := b.hear(b.lines()...)
			if during == "low" {
				require.Contains(t, notes, "bot_detection_level was set to low by administrator@corp.example during a hold: it comes back when the holds end")
			}
			b.run(bot)
			b.after(2 * time.Hour)
			b.run(bot)
			require.Equal(t, during, level(b), "what they chose, and not what was before")
		})
	}
}

func TestCase05WhoSetsTheVeryValueThatIsHeldKeepsIt(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold(bot, "elevated", time.Hour)
	b.run(bot)
	b.after(time.Minute)
	lower(b, "high") // "keep it high"
	require.Contains(t, b.hear(b.lines()...), "bot_detection_level was set to high by administrator@corp.example during a hold: kept, also when the holds end")
	b.after(2 * time.Hour)
	b.run(bot)
	require.Equal(t, "high", level(b))
	require.Equal(t, "never", b.setting(bot, "challenge_password_reset_policy"), "what they did not touch is put back")
}

func TestCase06WhoWeakensUnderAHoldIsNotFoughtAndANewHoldCounts(t *testing.T) {
	for name, told := range map[string]bool{"seen in the tenant first": false, "told by the log first": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			b.hold(bot, "elevated", time.Hour)
			b.run(bot)
			b.hear(b.lines()...)
			b.after(time.Minute)
			lower(b, "low")
			if told {
				require.Len(t, b.hear(b.lines()...), 1)
			} else {
				require.Len(t, b.run(bot).Notes, 1)
				require.Empty(t, b.hear(b.lines()...), "it is told once")
			}
			b.run(bot)
			b.quiet(bot)
			require.Equal(t, "low", level(b))
			b.after(time.Minute)
			b.hold(bot, "guarded", time.Hour)
			b.run(bot)
			require.Equal(t, "medium", level(b))
			b.hear(b.lines()...)
			b.after(2 * time.Hour)
			b.run(bot)
			require.Equal(t, "low", level(b))
		})
	}
}

func TestCase07AnObjectThatAHumanDeletesIsNotMadeAgain(t *testing.T) {
	const signup = "connection-signup"
	b := newBench(t, tenantsim.Options{})
	first := b.holdOn(signup, "closed", tenantsim.DefaultConnection, time.Hour)
	b.run(signup)
	second := b.holdOn(signup, "closed", tenantsim.DefaultConnection, 3*time.Hour)
	b.after(2 * time.Hour)
	b.DropConnection(tenantsim.DefaultConnection)
	b.run(signup)
	require.Equal(t, hold.Released, first.State)
	require.Equal(t, hold.Failed, second.State)
	require.Contains(t, second.Note, "no connection of that name")
	b.quiet(signup)
	require.Len(t, b.writes, 1)
}

func TestCase08AToolThatAppliesItsConfigurationAgainAndAgainIsNotFought(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	var notes []string
	for range 3 {
		b.after(10 * time.Minute)
		b.hold(bot, "elevated", time.Hour) // a new one each time
		b.run(bot)
		b.hear(b.lines()...)
		b.after(5 * time.Minute)
		lower(b, "low")
		notes = b.hear(b.lines()...)
		b.run(bot)
	}
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "for the third time: it is not held for a day")
	require.Contains(t, notes[0], "lifecycle { ignore_changes = [bot_detection_level] }")
	b.after(10 * time.Minute)
	h := b.hold(bot, "elevated", 48*time.Hour)
	b.run(bot)
	require.Equal(t, "low", level(b))
	require.Contains(t, h.Note, "keeps setting part of it back")
	require.Equal(t, "when_risky", b.setting(bot, "challenge_password_reset_policy"), "other fields are held all the same")
	b.after(25 * time.Hour)
	b.run(bot)
	require.Equal(t, "high", level(b), "a day later it is tried again")
}

func TestCase09AfterARateLimitTheSettingIsReadAgain(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold(bot, "elevated", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: http.StatusTooManyRequests, RetryAfter: "0", Times: 4})
	_, err := b.try(bot)
	require.ErrorIs(t, err, control.ErrNotApplied)
	require.Equal(t, hold.Active, h.State)
	b.human(bot, map[string]any{"bot_detection_level": "high", "challenge_password_reset_policy": "always"})
	b.writes = nil
	b.run(bot)
	require.Equal(t, []string{`PATCH /attack-protection/bot-detection {"challenge_passwordless_policy":"when_risky"}`}, b.writes, "the plan changed meanwhile")
}

func TestCase11WhatThePlanLacksFailsForThatControlAlone(t *testing.T) {
	b := newBench(t, tenantsim.Options{NoBotDetection: true})
	h := b.hold(bot, "elevated", time.Hour)
	b.run(bot)
	require.Equal(t, hold.Failed, h.State)
	require.Contains(t, h.Note, "not part of the tenant's subscription")
	b.hold(brute, "elevated", time.Hour)
	b.run(brute)
	require.Equal(t, 5.0, b.setting(brute, "max_attempts"))
}

func TestCase12AnExpiredTokenIsFetchedOnceAndAScopeThatIsGoneIsTold(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold(bot, "elevated", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: http.StatusUnauthorized})
	b.run(bot)
	require.Equal(t, "high", level(b), "one new token was enough")

	b.after(2 * time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: http.StatusForbidden})
	_, err := b.try(bot)
	require.ErrorIs(t, err, control.ErrUnsupported)
	require.ErrorContains(t, err, "scope")
	require.Equal(t, hold.Releasing, h.State, "it is not released while the setting is tight")
	b.run(bot)
	require.Equal(t, "medium", level(b))
}

func TestCase13AWriteWithOurCredentialsThatIsNotOursIsSomebodyElses(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold(bot, "elevated", time.Hour)
	b.run(bot)
	b.hear(b.lines()...)
	b.after(time.Minute)
	_, err := b.client.PatchAttackProtection(t.Context(), bot, map[string]any{"bot_detection_level": "low"}, "something-else")
	require.NoError(t, err)
	lines := b.lines()
	require.Len(t, lines, 1)
	require.Equal(t, hold.Theirs, lines[0].Whose)
	require.Contains(t, b.hear(lines...), "bot_detection_level was set to low by Attack response during a hold: left as they chose")
}

func TestCase14WhatAnotherDaemonOfThisInstallationWritesIsNobodysChoice(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold(bot, "guarded", time.Hour)
	b.run(bot)
	b.hear(b.lines()...)
	b.after(time.Minute)
	_, err := b.client.PatchAttackProtection(t.Context(), bot, map[string]any{"bot_detection_level": "high"}, "portcullis-two-1")
	require.NoError(t, err)
	notes := b.hear(b.lines()...)
	require.Equal(t, []string{"another daemon of this installation (portcullis-two-1) changed bot-detection: one tenant must have one"}, notes)
	b.after(2 * time.Hour)
	b.run(bot)
	require.Equal(t, "medium", level(b), "the baseline does not ratchet up")
}

func TestCase24LinesThatComeLateTwiceAndInAnyOrderMakeNoDifference(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 24))
		b := newBench(t, tenantsim.Options{})
		b.hold(bot, "elevated", time.Hour)
		b.run(bot)
		for _, v := range []string{"high", "low", "high", "medium"} {
			b.after(time.Minute)
			lower(b, v)
		}
		b.after(2 * time.Hour)
		b.run(bot)
		lines := b.lines()
		lines = append(lines, lines[rng.IntN(len(lines))], lines[rng.IntN(len(lines))])
		rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		for _, ln := range lines {
			b.hear(ln)
			b.run(bot)
		}
		require.Equal(t, "medium", level(b), "seed %d", seed)
	}
}

func TestCase25AStoreThatWentBackIsNoticedAndLetsNothingGoUnasked(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold(bot, "guarded", time.Hour)
	b.run(bot)
	b.hear(b.lines()...)
	backup := memStore{}
	for k, v := range b.store {
		backup[k] = v
	}
	b.after(time.Minute)
	h := b.hold(bot, "maximum", time.Hour)
	b.run(bot)
	b.store = backup
	b.restart()
	notes := b.hear(b.lines()...)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "was lost or put back to an older state")
	b.after(2 * time.Hour)
	b.run(bot)
	require.Contains(t, h.Asks, "older state")
	require.Equal(t, "high", level(b))
	for _, h := range b.holds {
		h.Let = "ada"
	}
	b.run(bot)
	require.Equal(t, "medium", level(b))
}

func TestCase25CorruptedStateStopsTheControlBeforeItTouchesAnything(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold(bot, "elevated", time.Hour)
	b.store[bot] = []byte(`{"cells":`)
	_, err := b.try(bot)
	require.ErrorContains(t, err, "load what is known of bot-detection")
	require.Empty(t, b.writes)
}

func TestCase32WithoutRoomToJournalNothingIsWritten(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold(bot, "elevated", time.Hour)
	b.controls[bot].Store = fullStore{b.store}
	_, err := b.try(bot)
	require.ErrorIs(t, err, control.ErrStore)
	require.Empty(t, b.writes)
	b.restart()
	b.run(bot)
	b.controls[bot].Store = fullStore{b.store}
	b.after(2 * time.Hour)
	_, err = b.try(bot)
	require.ErrorIs(t, err, control.ErrStore)
	require.Equal(t, hold.Releasing, h.State)
	require.Equal(t, "high", level(b))
	b.restart()
	b.run(bot)
	require.Equal(t, "medium", level(b), "it goes on when there is room")
}

type fullStore struct{ memStore }

func (fullStore) Put(context.Context, string, []byte) error {
	return errors.New("no space left on device")
}

func TestCase34ABaselineUnderTheFloorIsAskedAbout(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.human(brute, map[string]any{"enabled": false}) // the attacker's first step
	b.hear(b.lines()...)
	b.after(time.Minute)
	h := b.hold(brute, "elevated", time.Hour)
	b.run(brute)
	require.Equal(t, true, b.setting(brute, "enabled"))
	b.after(2 * time.Hour)
	b.run(brute)
	require.Equal(t, "enabled: it would be false again, which is under the floor of true: set on 2 March 09:00 UTC by administrator@corp.example", h.Asks)
	require.Equal(t, true, b.setting(brute, "enabled"))
	require.Equal(t, 10.0, b.setting(brute, "max_attempts"), "the rest is let go")
	b.quiet(brute)
	h.Let = "ada"
	b.run(brute)
	require.Equal(t, false, b.setting(brute, "enabled"), "a person said so")
	require.Equal(t, hold.Released, h.State)
}

func TestAGapInTheLogAsksBeforeAnythingIsLetGo(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	c := b.controls[bot]
	matters, err := c.Gap(t.Context(), "lines may be missing", b.now)
	require.NoError(t, err)
	require.False(t, matters, "nothing of ours is there")
	h := b.hold(bot, "elevated", time.Hour)
	b.run(bot)
	matters, err = c.Gap(t.Context(), "lines may be missing", b.now)
	require.NoError(t, err)
	require.True(t, matters)
	b.after(2 * time.Hour)
	b.restart()
	b.run(bot)
	require.Contains(t, h.Asks, "lines may be missing: a change that somebody made since may not be known")
	require.Equal(t, "high", level(b))
	h.Let = "ada"
	b.run(bot)
	require.Equal(t, "medium", level(b))
	b.after(time.Minute)
	h = b.hold(bot, "elevated", time.Hour)
	b.run(bot)
	b.after(2 * time.Hour)
	b.run(bot)
	require.Equal(t, hold.Released, h.State, "the doubt went with the holds that it was about")
}

func TestAWriteThatTheLogDoesNotTellOfIsADoubt(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold(bot, "guarded", 5*time.Hour)
	b.run(bot)
	b.hear(b.lines()...) // the log tells of our writes
	b.after(time.Minute)
	h := b.hold(bot, "maximum", time.Hour)
	b.run(bot)
	lost := b.lines()
	b.after(2 * time.Hour)
	b.run(bot)
	require.Contains(t, h.Asks, "the log does not tell of our own write of 09:01 UTC")
	require.Equal(t, "high", level(b))
	b.hear(lost...) // it was late
	b.run(bot)
	require.Equal(t, hold.Released, h.State)
	require.Equal(t, "medium", level(b))
}
