package responders

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/internal/tenantsim"
	"portcullis/responders/hold"
)

func TestAnIncidentLivesFromContainingToClosedAndEachStepIsToldOnce(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.onWrite = func() {
		for range w.r.holds {
			require.Contains(t, w.records, "hold", "recorded before the tenant is touched")
		}
		require.Len(t, w.stores["holds"], len(w.r.holds), "and saved")
	}
	w.start()
	w.r.Offer(opened(alert(0, 41, "198.51.100.7")))
	w.step()
	require.Equal(t, "high", w.bot())
	require.Len(t, w.NetworkACLs(), 1)
	require.Equal(t, StateContaining, w.report().State)
	require.Equal(t, []string{
		"Credential stuffing: ip 198.51.100.7, 41 events",
		"Holds bot-detection at elevated (bot_detection_level high) until 09:30 UTC",
		"Holds network-acl on 198.51.100.7 until 10:00 UTC",
	}, w.lines)
	for _, resp := range w.report().Incident.Alerts[0].Responses {
		require.Equal(t, "done", resp.Outcome)
	}

	w.after(10 * time.Minute)
	w.r.Offer(updated(alert(10*time.Minute, 90, "198.51.100.7")))
	w.step()
	w.after(25 * time.Minute) // past the first end
	require.Equal(t, "high", w.bot(), "renewed by the evidence")
	w.r.Offer(resolved(alert(10*time.Minute, 90, "198.51.100.7"), 36*time.Minute))
	w.step()
	require.Equal(t, StateRelaxing, w.report().State)
	w.after(5 * time.Minute)
	require.Equal(t, "medium", w.bot())
	w.after(30 * time.Minute)
	require.Empty(t, w.NetworkACLs())
	require.Equal(t, StateClosed, w.report().State)
	require.Equal(t, []string{
		"The attack is over: Credential stuffing",
		"The attack is over; holds run out by themselves",
		"Released bot-detection at elevated",
		"Released network-acl on 198.51.100.7",
		"Closed: every setting is back at the value a human chose",
	}, w.lines[3:])
	w.after(time.Hour)
	require.Len(t, w.lines, 8, "nothing is told twice")
	require.Equal(t, map[hold.State]int{hold.Released: 2}, w.holds())
	w.after(8 * 24 * time.Hour)
	require.Empty(t, w.stores["holds"])
	require.Empty(t, w.stores["incidents"], "ended long ago, forgotten")
}

func TestResolvingLongAfterTheHoldsEndedTellsNoNonsense(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41, "198.51.100.7")))
	w.step()
	w.after(90 * time.Minute)
	require.Equal(t, StateObserving, w.report().State)
	w.r.Offer(resolved(alert(0, 41, "198.51.100.7"), 80*time.Minute))
	w.step()
	require.Zero(t, w.told("Did not hold"), w.lines)
	require.Equal(t, "done", w.report().Incident.Alerts[0].Responses[0].Outcome)
	require.Equal(t, StateClosed, w.report().State)
}

func TestRenewalEndsAtTheLongestThePolicyAllows(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	for m := time.Duration(0); m <= 170; m += 10 {
		w.now = start.Add(m * time.Minute)
		w.r.Offer(updated(alert(m*time.Minute, 41+int(m), "198.51.100.7")))
		w.step()
		require.Equal(t, m < 120, w.bot() == "high", "after %d minutes", m)
	}
	require.Equal(t, 1, w.told("Did not hold bot-detection at elevated: it was held for 2h0m0s already"), w.lines)
	require.Equal(t, StateObserving, w.report().State)
}

func TestWhileBlindNothingIsRelaxedUntilTheLongest(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41, "198.51.100.7")))
	w.step()
	w.r.SetFeed(Feed{Blind: true, Reason: "nothing arrives"})
	for m := range 119 {
		w.now = start.Add(time.Duration(m) * time.Minute)
		w.step()
		require.Equal(t, "high", w.bot(), "after %d minutes", m)
	}
	require.Equal(t, 1, w.told("Keeps bot-detection at elevated (bot_detection_level high) until 09:31 UTC: the log is blind: nothing arrives"), w.lines)
	require.Equal(t, 1, w.told("Holds bot-detection"))
	w.now = start.Add(2 * time.Hour)
	w.step()
	require.Equal(t, "medium", w.bot())
	require.Empty(t, w.NetworkACLs())
}

func TestRelaxingGoesOnWhenTheFeedIsSeenAgain(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	w.r.SetFeed(Feed{Blind: true, Reason: "gap"})
	w.after(40 * time.Minute)
	require.Equal(t, "high", w.bot())
	w.r.SetFeed(Feed{})
	w.after(time.Minute)
	require.Equal(t, "medium", w.bot())
}

func TestARestartAndTheSameChangesAgainAddNothing(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	story := []detections.Change{opened(alert(0, 41, "198.51.100.7", "203.0.113.5")), updated(alert(time.Minute, 60, "198.51.100.7", "203.0.113.5")),
		resolved(alert(time.Minute, 60, "198.51.100.7", "203.0.113.5"), 5*time.Minute)}
	w.start()
	for _, c := range story {
		w.r.Offer(c)
		w.step()
	}
	lines, records, writes, holds := slices.Clone(w.lines), len(w.records), len(w.writes), w.holds()
	for range 2 {
		w.start()
		w.step()
		for _, c := range story {
			w.r.Offer(c)
			w.step()
		}
		require.Equal(t, lines, w.lines)
		require.Len(t, w.records, records)
		require.Len(t, w.writes, writes)
		require.Equal(t, holds, w.holds())
	}
	w.after(2 * time.Hour)
	require.Equal(t, StateClosed, w.report().State)
	w.start()
	for _, c := range story {
		w.r.Offer(c)
		w.step()
	}
	require.Equal(t, "medium", w.bot(), "what ended is not begun again by old evidence")
	require.Equal(t, 1, w.told("Closed"))
}

func TestAnAttackThatGoesOnAfterTheHoldEndedIsHeldAnew(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	w.after(40 * time.Minute)
	require.Equal(t, "medium", w.bot())
	w.r.Offer(updated(alert(40*time.Minute, 90)))
	w.step()
	require.Equal(t, "high", w.bot())
	require.Equal(t, 2, w.told("Holds bot-detection"))
}

func TestAHoldThatTheTenantRefusesIsToldOnceAndRests(t *testing.T) {
	w := newWorld(t, tenantsim.Options{NoBotDetection: true, ACLLimit: -1})
	w.start()
	for m := range 30 {
		w.now = start.Add(time.Duration(m) * time.Minute)
		w.r.Offer(updated(alert(time.Duration(m)*time.Minute, 41+m, "198.51.100.7")))
		w.step()
	}
	require.Equal(t, 1, w.told("Cannot hold bot-detection"), w.lines)
	require.Equal(t, 1, w.told("Cannot hold network-acl"), w.lines)
	require.Equal(t, StateObserving, w.report().State)
	for _, resp := range w.report().Incident.Alerts[0].Responses {
		require.Equal(t, "failed", resp.Outcome, "the alert says what became of its responses")
	}
	require.True(t, w.told("Closed") == 0)
}

func TestTroubleIsToldOnceAndPasses(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.Fail(tenantsim.Fault{Method: "PATCH", Status: 503, Times: 3})
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	for range 20 {
		w.after(time.Second)
	}
	require.Equal(t, 1, w.told("Not yet in force: bot-detection"), w.lines)
	require.Equal(t, 1, w.told("Holds bot-detection"), w.lines)
	require.Equal(t, "high", w.bot())
	require.Len(t, w.writes, 4, "it waits longer after each failure")
	w.Fail(tenantsim.Fault{Method: "PATCH", Status: 503, Times: 2})
	w.after(30 * time.Minute)
	require.Equal(t, "high", w.bot())
	require.Equal(t, StateContaining, w.report().State)
	require.True(t, w.report().Broadcast, "a setting that stays tight needs a person")
	w.after(time.Minute)
	w.after(time.Minute)
	require.Equal(t, 1, w.told("Not yet released: bot-detection"), w.lines)
	require.Equal(t, 1, w.told("Released bot-detection"))
	require.Equal(t, "medium", w.bot())
}

func TestAHumanWhoLowersIsToldOfOnce(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	require.NoError(t, w.HumanPatch("/attack-protection/bot-detection", map[string]any{"bot_detection_level": "low"}))
	for range 10 {
		w.after(2 * time.Minute)
	}
	require.Equal(t, "low", w.bot())
	require.Equal(t, 1, w.told("bot_detection_level was set to low by administrator@corp.example during a hold: left as they chose"), w.lines)
	require.Equal(t, 1, w.told("Holds bot-detection"), w.lines)
	w.after(time.Hour)
	require.Equal(t, "low", w.bot())
}

func TestAHoldOnAControlThatIsGoneEnds(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	w.start()
	delete(w.r.controls, "bot-detection")
	delete(w.r.due, "bot-detection")
	w.after(time.Hour)
	require.Equal(t, map[hold.State]int{hold.Failed: 1}, w.holds())
	require.Equal(t, 1, w.told("Cannot release bot-detection"), w.lines)
	w.after(time.Minute)
	require.Equal(t, 1, w.told("Cannot release bot-detection"))
}

func TestANotifierThatFailsHoldsNothingUp(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.failing = true
	w.start()
	w.r.Offer(opened(alert(0, 41, "198.51.100.7")))
	w.step()
	require.Equal(t, "high", w.bot())
	require.Len(t, w.NetworkACLs(), 1)
}

func TestAStoreThatFailsEndsTheRun(t *testing.T) {
	for _, name := range []string{"holds", "incidents", "budgets", "controls"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tenantsim.Options{})
			w.stores[name] = fullStore{w.stores[name]}
			w.start()
			w.r.Offer(opened(alert(0, 41)))
			require.ErrorIs(t, w.r.Run(w.ctx), errFull)
			if name != "controls" {
				require.Empty(t, w.writes)
			}
			require.Equal(t, "medium", w.bot(), "nothing is touched that could not be written down first")
		})
	}
}

var errFull = errors.New("disk full")

type fullStore struct{ Store }

func (fullStore) Put(context.Context, string, []byte) error { return errFull }

func TestOfferCoalescesAndStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, reports: map[string]Report{}}
		policies, err := LoadPolicies([]detections.File{{Name: "p.yaml", Data: []byte("id: none\nwhen: false\ndo: []\n")}}, nil)
		require.NoError(t, err)
		recorded := 0
		r, err := New(t.Context(), Tenant{Name: "acme", Mode: Observe}, policies, nil, Options{Holds: memStore{}, Incidents: memStore{}, Budgets: memStore{},
			Notifiers: []Notifier{w}, Record: func(context.Context, string, any) error { recorded++; return nil }})
		require.NoError(t, err)
		for i := range 1000 {
			r.Offer(updated(alert(time.Duration(i)*time.Second, 41+i)))
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		require.Equal(t, 1, recorded, "of a thousand updates that waited the latest counts")
		require.Equal(t, 1040, w.report().Incident.Alerts[0].Count)
		cancel()
		r.Offer(updated(alert(time.Hour, 5000)))
		require.NoError(t, <-done)
		require.Equal(t, 2, recorded)
		require.Equal(t, 5000, w.report().Incident.Alerts[0].Count)
	})
}

// Of an alert that opens and goes on while the responder is busy, the journal has
// that it opened, as it opened, and how it stands.
func TestAnOpeningThatIsOvertakenIsRecordedAllTheSame(t *testing.T) {
	for name, later := range map[string][]detections.Change{
		"by updates":    {updated(alert(time.Minute, 50)), updated(alert(2*time.Minute, 60))},
		"by its end":    {resolved(alert(2*time.Minute, 60), 20*time.Minute)},
		"by both":       {updated(alert(time.Minute, 50)), resolved(alert(2*time.Minute, 60), 20*time.Minute)},
		"said again":    {updated(alert(time.Minute, 50)), opened(alert(0, 41)), updated(alert(2*time.Minute, 60))},
		"after its end": {resolved(alert(time.Minute, 50), 2*time.Minute), opened(alert(0, 41)), updated(alert(2*time.Minute, 60))},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tenantsim.Options{})
			w.start()
			w.r.Offer(opened(alert(0, 41)))
			for _, c := range later {
				w.r.Offer(c)
			}
			w.step()
			last := later[len(later)-1]
			require.Equal(t, []string{"opened 41", string(last.Transition) + " 60"}, w.alerts)
			w.r.Offer(opened(alert(0, 41)))
			w.r.Offer(last)
			w.step()
			require.Len(t, w.alerts, 2, "nothing of it is news a second time")
		})
	}
}

func TestAnOpenIncidentIsShownAgainAfterARestartWithoutAWord(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.r.Offer(opened(alert(0, 41)))
	w.step()
	lines := len(w.lines)
	clear(w.reports)
	w.start()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = w.r.Run(ctx)
	require.Equal(t, StateContaining, w.report().State)
	require.Len(t, w.lines, lines)
}

func TestATenantThatDoesNotAnswerHoldsNoStopUp(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	w.Fail(tenantsim.Fault{Latency: 6 * time.Second, Times: -1})
	w.r.Offer(opened(alert(0, 41)))
	ctx, cancel := context.WithTimeout(w.ctx, 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	require.NoError(t, w.r.Run(ctx))
	require.Less(t, time.Since(began), 5*time.Second, "the tenant is not waited for")
	require.Equal(t, map[hold.State]int{hold.Active: 1}, w.holds(), "what was planned is kept")
	require.Len(t, w.stores["holds"], 1)
}
