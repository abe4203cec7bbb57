package responders

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
	"portcullis/responders/hold"
)

// Failure cases, by their numbers, that need a whole responder. The others are in
// responders/control/all/cases_test.go.

func TestCase07AnACLThatAHumanDeletesIsNotMadeAgain(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41, "198.51.100.7")))
	w.step()
	require.Len(t, w.NetworkACLs(), 1)
	require.NoError(t, w.HumanPatch("/network-acls/"+w.NetworkACLs()[0]["id"].(string), nil))
	w.after(2 * time.Minute)
	w.after(2 * time.Minute)
	require.Empty(t, w.NetworkACLs())
	require.Equal(t, 1, w.holds()[hold.Overruled])
}

func TestCase12AScopeThatIsRemovedIsToldLoudly(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.Fail(tenantsim.Fault{Method: "PATCH", Status: 403})
	w.step()
	require.Equal(t, 1, w.told("Cannot hold bot-detection at elevated"), w.lines)
	require.True(t, w.report().Broadcast)
}

func TestASettingThatCannotBePutBackCallsPeopleTwice(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	w.Fail(tenantsim.Fault{Method: "PATCH", Status: 403, Times: -1})
	w.after(31 * time.Minute)
	require.Equal(t, 1, w.told("Not yet released:"), w.lines)
	for range 10 {
		w.after(2 * time.Minute)
	}
	require.Equal(t, map[hold.State]int{hold.Unreleased: 1}, w.holds())
	require.Equal(t, 1, w.told("Still not released, and a person is needed:"), w.lines)
	require.Equal(t, StateContaining, w.report().State)
	w.ClearFaults()
	w.after(2 * time.Minute)
	require.Equal(t, map[hold.State]int{hold.Released: 1}, w.holds())
	require.Equal(t, "medium", w.bot())
}

func TestCase22AClockThatJumpsReleasesOneRankAtMost(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.policy = ladderPolicy
	w.start()
	for _, at := range []time.Duration{0, 16 * time.Minute} {
		w.now = start.Add(at)
		w.r.Offer(updated(alert(at, 41+int(at.Minutes()))))
		w.step()
	}
	require.Equal(t, "always", w.BotDetection()["challenge_password_policy"])
	w.after(3*time.Hour + 30*time.Minute) // the clock jumps
	require.Equal(t, "when_risky", w.BotDetection()["challenge_password_policy"])
	require.Equal(t, "high", w.bot(), "the lower rung is kept for its probation")
	w.after(9 * time.Minute)
	require.Equal(t, "high", w.bot())
	w.after(2 * time.Minute)
	require.Equal(t, "medium", w.bot())
}

func TestCase23AfterAPauseNothingIsReleasedBeforeTheFeedIsJudgedAnew(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.opts.Pause = 5 * time.Minute
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	w.after(time.Hour) // the host was suspended
	require.Equal(t, "high", w.bot())
	require.Equal(t, 1, w.told("the daemon stood still for 1h0m0s"), w.lines)
	w.after(2 * time.Minute)
	require.Equal(t, "high", w.bot())
	w.r.SetFeed(Feed{})
	w.after(2 * time.Minute)
	require.Equal(t, "medium", w.bot())
}

func TestWhileTheFeedIsBlindAHoldEndsAtItsLongestTimeAndPeopleAreCalled(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	w.r.SetFeed(Feed{Blind: true, Reason: "nothing arrives"})
	for range 60 {
		w.after(2 * time.Minute)
		if w.now.Before(start.Add(2 * time.Hour)) {
			require.Equal(t, "high", w.bot(), "nobody can tell whether the attack is over")
		}
	}
	w.after(2 * time.Minute)
	require.Equal(t, "medium", w.bot())
	require.Equal(t, 1, w.told("Releases, though nobody can tell whether the attack is over"), w.lines)
}

func TestCase29OurOwnWritesAreNoEvidence(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	before := w.r.sortedHolds()[0].Expires
	for range 5 {
		w.after(2 * time.Minute) // what we wrote comes back in the log
	}
	require.Equal(t, before, w.r.sortedHolds()[0].Expires)
	require.Len(t, w.writes, 1)
	require.Zero(t, w.told("somebody else"))
}

func TestCase31AHoldWhosePolicyIsGoneRunsOutByItself(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	w.r.SetPolicies(w.setup, nil)
	w.r.Offer(updated(alert(10*time.Minute, 90)))
	w.after(10 * time.Minute)
	h := w.r.sortedHolds()[0]
	require.Equal(t, "stuffing", h.Cause.Policy, "it keeps what it was begun for")
	require.Equal(t, start.Add(30*time.Minute), h.Expires, "nobody renews it")
	w.after(21 * time.Minute)
	require.Equal(t, "medium", w.bot())
}

func TestCase34ARestoreIsProposedAndLetGoOnlyByAPerson(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.policy = "id: put-back\nwhen: alert.rule == \"stuffing\"\ndo:\n  - {restore: bot-detection, for: 1h}\n"
	w.start()
	require.NoError(t, w.HumanPatch("/attack-protection/bot-detection", map[string]any{"bot_detection_level": "low"}))
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	require.Equal(t, map[hold.State]int{hold.AwaitingApproval: 1}, w.holds(), "it is asked for, though the tenant's mode is enforce")
	require.Empty(t, w.writes)
	h := w.r.sortedHolds()[0]
	_, err := w.r.CarryOut(w.ctx, Order{Kind: OrderApprove, Hold: h.ID, Plan: PlanHash(h), Actor: "ada"})
	require.NoError(t, err)
	w.step()
	require.Equal(t, "medium", w.bot())
	w.after(2 * time.Hour)
	require.Equal(t, "medium", w.bot())
	require.Equal(t, 1, w.told("bot_detection_level: it would be low again, which is under the floor of medium: set on 2 March 09:00 UTC by administrator@corp.example"), w.lines)
	require.True(t, w.report().Broadcast)
	w.after(time.Hour)
	require.Equal(t, "medium", w.bot(), "it waits for a person")
	_, err = w.r.CarryOut(w.ctx, Order{Kind: OrderRelease, Hold: h.ID, Actor: "ada"})
	require.NoError(t, err)
	w.step()
	require.Equal(t, "low", w.bot())
	require.Equal(t, map[hold.State]int{hold.Released: 1}, w.holds())
}

func TestAGapIsToldAndOutlivesARestart(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	w.r.Gap("lines of the tenant's log may be missing: the cursor was lost", w.now)
	w.step()
	require.Equal(t, 1, w.told("a person is asked before bot-detection is let go"), w.lines)
	w.start()
	w.after(31 * time.Minute)
	require.Equal(t, "high", w.bot())
	require.Equal(t, 1, w.told("Asks before it lets go of bot-detection"), w.lines)
}

func TestLinesThatWaitOutliveARestart(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	require.NoError(t, w.HumanPatch("/attack-protection/bot-detection", map[string]any{"bot_detection_level": "high"}))
	w.hear() // and then the daemon is killed
	require.Len(t, w.stores["lines"], 2)
	w.start()
	w.after(31 * time.Minute)
	require.Equal(t, "high", w.bot(), "they chose the very value that was held")
	require.Empty(t, w.stores["lines"])
}

func TestControlsTightenBeforeOthersLetGo(t *testing.T) {
	r := &Responder{controls: map[string]Control{"a": nil, "b": nil, "c": nil, "d": nil}, holds: map[string]*hold.Hold{}}
	add := func(control string, state hold.State, confirmed bool, created time.Duration) {
		r.holds[control] = &hold.Hold{Control: control, Mode: string(Enforce), State: state, Confirmed: confirmed, Created: start.Add(created)}
	}
	add("a", hold.Releasing, true, time.Minute)
	add("b", hold.Active, true, 0)
	add("c", hold.Active, false, 0)
	add("d", hold.Releasing, true, time.Hour)
	require.Equal(t, []string{"c", "d", "a", "b"}, r.inOrder())
}
