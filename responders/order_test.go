package responders

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
	"portcullis/responders/hold"
)

// give carries out an order and steps once.
func (w *world) give(o Order) (string, error) {
	w.t.Helper()
	if o.Actor == "" {
		o.Actor = "ada"
	}
	text, err := w.r.CarryOut(w.ctx, o)
	w.step()
	return text, err
}

// only is the one hold on a control.
func (w *world) only(control string) *hold.Hold {
	w.t.Helper()
	var found []*hold.Hold
	for _, h := range w.r.holds {
		if h.Control == control {
			found = append(found, h)
		}
	}
	require.Len(w.t, found, 1)
	return found[0]
}

// attacked is a world in the middle of an attack.
func attacked(t *testing.T, mode Mode) *world {
	w := newWorld(t, tenantsim.Options{})
	w.setup.Mode = mode
	w.start()
	w.r.Offer(opened(alert(0, 41, "198.51.100.7")))
	w.step()
	return w
}

func TestUnderAFreezeNothingIsWrittenAndARestartKeepsIt(t *testing.T) {
	w := attacked(t, Enforce)
	require.Equal(t, "high", w.bot())
	_, err := w.give(Order{Kind: OrderFreeze, Reason: "we look at it"})
	require.NoError(t, err)
	w.writes = nil
	w.r.Offer(updated(alert(time.Minute, 90, "198.51.100.7", "198.51.100.8")))
	w.step()
	require.Equal(t, 1, w.told("Did not hold network-acl on 198.51.100.8: frozen by ada since 2026-03-02 09:00 UTC: we look at it"), w.lines)
	w.start()
	w.after(2 * time.Hour)
	w.after(time.Minute)
	require.Empty(t, w.writes, "neither to tighten nor to release")
	require.Equal(t, "high", w.bot())
	require.Equal(t, 1, w.told("Not yet released: bot-detection at elevated (bot_detection_level high): frozen by ada"), w.lines)

	text, err := w.give(Order{Kind: OrderThaw})
	require.NoError(t, err)
	require.Equal(t, "Thawed by ada: policies decide again", text)
	w.step()
	require.Equal(t, "medium", w.bot())
	require.Empty(t, w.NetworkACLs())
}

func TestAFileOrWhateverElseDemandsAStopFreezes(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	why := "the file FREEZE is there"
	var levels []Level
	w.r.opts.Stop, w.r.opts.Switched = func() string { return why }, func(l Level) { levels = append(levels, l) }
	w.r.Offer(opened(alert(0, 41, "198.51.100.7")))
	w.step()
	require.Empty(t, w.writes)
	require.Equal(t, 1, w.told("Did not hold bot-detection at elevated: frozen: the file FREEZE is there"), w.lines)
	text, err := w.give(Order{Kind: OrderFreeze})
	require.NoError(t, err)
	require.Contains(t, text, "Frozen by ada")
	text, err = w.give(Order{Kind: OrderThaw})
	require.NoError(t, err)
	require.Equal(t, "Thawed by ada: policies decide again; yet it is frozen: the file FREEZE is there", text)
	why = ""
	w.r.Offer(updated(alert(time.Minute, 42, "198.51.100.7")))
	w.step()
	require.Equal(t, "high", w.bot())
	require.Equal(t, []Level{Frozen, Frozen, Frozen, Frozen, Frozen, Thawed}, levels)
}

func TestUnwindReleasesAllAndHoldsNothingNewUntilTheThaw(t *testing.T) {
	w := attacked(t, Enforce)
	text, err := w.give(Order{Kind: OrderUnwind, Reason: "false alarm"})
	require.NoError(t, err)
	require.Equal(t, "Unwinds, by ada: false alarm: 2 released, nothing new is held until the thaw", text)
	require.Equal(t, "medium", w.bot())
	require.Empty(t, w.NetworkACLs())
	require.Equal(t, map[hold.State]int{hold.Released: 2}, w.holds())
	w.r.Offer(updated(alert(time.Minute, 90, "198.51.100.7")))
	w.step()
	require.Equal(t, "medium", w.bot())
	require.Equal(t, 1, w.told("Did not hold bot-detection at elevated: no-tighten by ada"), w.lines)
	_, err = w.give(Order{Kind: OrderThaw})
	require.NoError(t, err)
	w.r.Offer(updated(alert(2*time.Minute, 91, "198.51.100.7")))
	w.step()
	require.Equal(t, "high", w.bot(), "policies decide again")

	_, err = w.give(Order{Kind: OrderFreeze})
	require.NoError(t, err)
	_, err = w.give(Order{Kind: OrderUnwind})
	require.ErrorIs(t, err, ErrOrder)
	require.ErrorContains(t, err, "thaw first")
}

func TestAnUnwindIsNotStoppedByABudget(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.limits = map[string]Budget{KindNetworkACLEntry: {Hour: 1}, KindSettingChange: {Hour: 1}}
	w.start()
	w.r.Offer(opened(alert(0, 41, "198.51.100.7")))
	w.step()
	_, err := w.give(Order{Kind: OrderUnwind})
	require.NoError(t, err)
	require.Equal(t, "medium", w.bot())
	require.Empty(t, w.NetworkACLs())
}

func TestAProposalIsDoneOnceAndOnlyAsItWasShown(t *testing.T) {
	w := attacked(t, Propose)
	require.Empty(t, w.writes)
	h := w.only("bot-detection")
	plan := PlanHash(h)

	_, err := w.give(Order{Kind: OrderApprove, Hold: h.ID, Plan: "another"})
	require.ErrorIs(t, err, ErrPlanChanged)
	require.ErrorContains(t, err, plan)
	require.Empty(t, w.writes)

	_, err = w.give(Order{Kind: OrderApprove, Hold: h.ID, Plan: plan, Reason: "go"})
	require.NoError(t, err)
	require.Equal(t, "high", w.bot())
	require.Equal(t, 1, w.told("Approved: holds bot-detection at elevated"), w.lines)
	writes := len(w.writes)
	_, err = w.give(Order{Kind: OrderApprove, Hold: h.ID, Plan: plan})
	require.ErrorContains(t, err, "was approved already, by ada at 09:00 UTC", "a click that comes twice")
	require.Len(t, w.writes, writes)

	w.now = w.now.Add(20 * time.Minute)
	w.r.Offer(updated(alert(20*time.Minute, 50, "198.51.100.7")))
	w.step()
	w.after(20 * time.Minute)
	require.Equal(t, hold.Active, w.only("bot-detection").State, "what was approved lives on with the attack")
	w.after(time.Hour)
	require.Equal(t, "medium", w.bot())
}

func TestAnApprovalThatComesTooLateIsRefused(t *testing.T) {
	w := attacked(t, Propose)
	h := w.only("bot-detection")
	plan := PlanHash(h)
	w.now = w.now.Add(40 * time.Minute)
	_, err := w.r.CarryOut(w.ctx, Order{Kind: OrderApprove, Hold: h.ID, Plan: plan, Actor: "ada"})
	require.ErrorIs(t, err, ErrOrder)
	require.ErrorContains(t, err, "nobody approved it in time")
	w.step()
	_, err = w.give(Order{Kind: OrderApprove, Hold: h.ID, Plan: plan})
	require.ErrorContains(t, err, "does not wait for an approval: it is released")
	require.Empty(t, w.writes)
}

func TestAnApprovalObeysTheRailsOfItsMoment(t *testing.T) {
	w := attacked(t, Propose)
	h := w.only("network-acl")
	approve := Order{Kind: OrderApprove, Hold: h.ID, Plan: PlanHash(h)}
	_, err := w.give(Order{Kind: OrderFreeze})
	require.NoError(t, err)
	_, err = w.give(approve)
	require.ErrorContains(t, err, "frozen by ada")
	_, err = w.give(Order{Kind: OrderThaw})
	require.NoError(t, err)

	guarded := w.setup
	guarded.NeverTouch, err = NewNeverTouch([]string{"198.51.100.0/24"}, nil, nil)
	require.NoError(t, err)
	w.r.SetPolicies(guarded, w.r.policies)
	_, err = w.give(approve)
	require.ErrorContains(t, err, "never-touch")

	observing := w.setup
	observing.Mode = Observe
	w.r.SetPolicies(observing, w.r.policies)
	_, err = w.give(approve)
	require.ErrorContains(t, err, "observe")
	require.Empty(t, w.writes)
}

func TestWhatAPersonDeniedOrReleasedIsNotAskedForAgainForAnHour(t *testing.T) {
	for mode, order := range map[Mode]OrderKind{Propose: OrderDeny, Enforce: OrderRelease} {
		w := attacked(t, mode)
		h := w.only("bot-detection")
		_, err := w.give(Order{Kind: order, Hold: h.ID[:8], Reason: "our own test"})
		require.NoError(t, err)
		require.Equal(t, "medium", w.bot())
		w.now = w.now.Add(10 * time.Minute)
		w.r.Offer(updated(alert(10*time.Minute, 60, "198.51.100.7")))
		w.step()
		require.Equal(t, hold.Released, w.only("bot-detection").State)
		require.Equal(t, "medium", w.bot())
		w.now = w.now.Add(time.Hour)
		w.r.Offer(updated(alert(70*time.Minute, 99, "198.51.100.7")))
		w.step()
		require.NotEqual(t, hold.Released, w.only("bot-detection").State, "an attack that goes on is another question")
	}
}

func TestAHoldIsExtendedUpToWhatItsPolicyAllowsAndBeyondByName(t *testing.T) {
	w := attacked(t, Enforce)
	h := w.only("bot-detection")
	_, err := w.give(Order{Kind: OrderExtend, Hold: h.ID, For: time.Minute})
	require.ErrorContains(t, err, "anyway")
	_, err = w.give(Order{Kind: OrderExtend, Hold: h.ID, For: 100 * time.Hour})
	require.ErrorContains(t, err, "the longest that its policy allows")
	text, err := w.give(Order{Kind: OrderExtend, Hold: h.ID, For: 100 * time.Hour, Owner: true, Reason: "launch week"})
	require.NoError(t, err)
	require.Contains(t, text, "ada: launch week")
	w.after(90 * time.Hour)
	require.Equal(t, "high", w.bot())
	w.after(11 * time.Hour)
	require.Equal(t, "medium", w.bot())
}

func TestOrdersThatMakeNoSenseChangeNothing(t *testing.T) {
	w := attacked(t, Enforce)
	h := w.only("bot-detection")
	for text, o := range map[string]Order{
		"no hold is called":            {Kind: OrderRelease, Hold: "hd_none"},
		"is the beginning of 2":        {Kind: OrderRelease, Hold: "hd_"},
		"no hold is called \"\"":       {Kind: OrderDeny},
		"does not wait":                {Kind: OrderDeny, Hold: h.ID},
		"say for how long":             {Kind: OrderExtend, Hold: h.ID},
		"nothing that can be asked":    {Kind: "dance"},
		"does not wait for an approva": {Kind: OrderApprove, Hold: h.ID, Plan: PlanHash(h)},
	} {
		_, err := w.give(o)
		require.ErrorIs(t, err, ErrOrder)
		require.ErrorContains(t, err, text)
	}
	_, err := w.r.CarryOut(w.ctx, Order{Kind: OrderFreeze})
	require.ErrorContains(t, err, "the name of who gives it")
	require.Equal(t, "high", w.bot())
}

func TestABudgetThatIsUsedUpAsksAPersonAndThePersonsYesCounts(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.limits = map[string]Budget{KindNetworkACLEntry: {Hour: 1}}
	w.start()
	w.r.Offer(opened(alert(0, 41, "198.51.100.1", "198.51.100.2")))
	w.step()
	var waits *hold.Hold
	for _, h := range w.r.holds {
		if h.State == hold.AwaitingApproval {
			waits = h
		}
	}
	require.NotNil(t, waits)
	w.now = w.now.Add(time.Minute)
	w.r.Offer(updated(alert(time.Minute, 50, "198.51.100.1", "198.51.100.2")))
	w.step()
	require.Equal(t, hold.AwaitingApproval, waits.State)
	require.Equal(t, 1, w.told("Asks to hold"), "asked once: %v", w.lines)
	_, err := w.give(Order{Kind: OrderApprove, Hold: waits.ID, Plan: PlanHash(waits)})
	require.NoError(t, err)
	require.Equal(t, hold.Active, waits.State)
	hour, _ := w.r.budgets.used(KindNetworkACLEntry, Enforce, w.now)
	require.Equal(t, 2, hour)
}

func TestOrdersReachARunningResponder(t *testing.T) {
	w := attacked(t, Enforce)
	w.now = time.Now()
	done := make(chan error, 1)
	go func() { done <- w.r.Run(w.ctx) }()
	_, err := w.r.Order(t.Context(), Order{Kind: OrderFreeze, Actor: "ada"})
	require.NoError(t, err)
	_, err = w.r.Order(t.Context(), Order{Kind: OrderRelease, Actor: "ada"})
	require.ErrorIs(t, err, ErrOrder)
	w.fuse.cancel()
	require.NoError(t, <-done)
}
