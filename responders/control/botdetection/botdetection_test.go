package botdetection

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

func TestAHoldWritesOnlyWhatItChangesAndPutsItBack(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold("elevated", time.Hour)
	rep := b.run()
	require.Equal(t, []control.Change{{Field: "bot_detection_level", From: "medium", To: "high", Op: "op-2"}}, rep.Changes)
	require.Equal(t, []string{`{"bot_detection_level":"high"}`}, b.bodies)
	require.Equal(t, "bot_detection_level medium", h.From)
	require.Equal(t, "bot_detection_level high", h.To)
	b.is("high", "when_risky")
	b.quiet()
	b.after(time.Hour)
	b.run()
	require.Equal(t, `{"bot_detection_level":"medium"}`, b.bodies[1])
	b.is("medium", "when_risky")
	require.Equal(t, hold.Released, h.State)
	require.Equal(t, b.now, h.Ended)
	b.forgotten()
	b.quiet()
}

func TestAStricterHumanValueStays(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.human(map[string]any{"bot_detection_level": "high", "challenge_password_policy": "always"})
	h := b.hold("elevated", time.Hour)
	b.run()
	require.Empty(t, b.bodies)
	require.Empty(t, h.To)
	b.after(time.Hour)
	b.run()
	b.is("high", "always")
	require.Empty(t, b.bodies)
}

func TestAHumanWhoLowersOverrulesThePresentHoldsOnly(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	first := b.hold("elevated", time.Hour)
	b.run()
	b.human(map[string]any{"bot_detection_level": "low"})
	b.after(time.Minute)
	rep := b.run()
	require.Equal(t, []string{"bot_detection_level was lowered from high to low by somebody else during a hold: left as they chose"}, rep.Notes)
	b.is("low", "when_risky")
	require.Equal(t, hold.Active, first.State, "the policy it asks for is still in force")
	require.Contains(t, first.Note, "part of it")
	b.quiet()
	b.quiet()
	require.Contains(t, first.Note, "part of it")

	second := b.hold("elevated", 30*time.Minute)
	b.run()
	b.is("high", "when_risky")
	require.Equal(t, "bot_detection_level low", second.From)
	b.after(30 * time.Minute)
	b.run()
	b.is("low", "when_risky")
	b.after(time.Hour)
	b.run()
	b.is("low", "when_risky")
	require.Equal(t, hold.Released, first.State)
	b.forgotten()
}

func TestAHoldIsOverruledWhenAllOfItIs(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold("elevated", time.Hour)
	b.run()
	b.human(map[string]any{"bot_detection_level": "low", "challenge_password_policy": "never"})
	b.run()
	require.Equal(t, hold.Overruled, h.State)
	b.quiet()
	b.after(time.Hour)
	b.run()
	require.Equal(t, hold.Released, h.State)
	b.is("low", "never")
	require.Len(t, b.bodies, 1)
}

func TestAHoldThatComesAfterAHumanLoweredCounts(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold("elevated", time.Hour)
	b.run()
	b.human(map[string]any{"bot_detection_level": "low"})
	b.after(time.Second)
	later := b.hold("elevated", time.Hour) // both are seen at the same look
	b.run()
	b.is("high", "when_risky")
	require.Equal(t, hold.Active, later.State)
	require.Empty(t, later.Note)
	b.after(2 * time.Hour)
	b.run()
	b.is("low", "when_risky")
}

func TestTheSameHoldAskedForAnewCountsAgain(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	keeper := b.hold("guarded", 10*time.Hour)
	h := b.hold("maximum", time.Hour)
	b.run()
	b.human(map[string]any{"bot_detection_level": "low", "challenge_password_policy": "never"})
	b.run()
	require.Equal(t, hold.Overruled, h.State)
	b.after(2 * time.Hour)
	anew := b.hold("maximum", time.Hour)
	anew.ID = h.ID
	b.run()
	require.Equal(t, hold.Active, anew.State)
	b.is("high", "always")
	require.Equal(t, hold.Overruled, keeper.State)
}

func TestAHumanWhoRaisesIsKeptAfterTheHold(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold("elevated", time.Hour)
	b.run()
	b.human(map[string]any{"challenge_password_policy": "always"})
	rep := b.run()
	require.Len(t, rep.Notes, 1)
	require.Contains(t, rep.Notes[0], "raised from when_risky to always by somebody else during a hold: kept")
	b.quiet()
	b.after(time.Hour)
	b.run()
	b.is("medium", "always")
}

func TestWhenTheStricterOfTwoHoldsEndsTheOtherStays(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.human(map[string]any{"bot_detection_level": "low", "challenge_password_policy": "never"})
	b.hold("guarded", 2*time.Hour)
	b.hold("maximum", time.Hour)
	b.run()
	b.is("high", "always")
	b.after(time.Hour)
	b.run()
	b.is("medium", "when_risky")
	b.after(time.Hour)
	b.run()
	b.is("low", "never")
	require.Len(t, b.bodies, 3)
}

func TestACrashAnywhereEndsTheSame(t *testing.T) {
	for name, fault := range map[string]tenantsim.Fault{
		"the request never arrives":         {Method: "PATCH", Drop: true},
		"it is refused with 503":            {Method: "PATCH", Status: 503},
		"it is applied and answered by 500": {Method: "PATCH", Status: 500, AfterApply: true},
		"it is applied and not answered":    {Method: "PATCH", Drop: true, AfterApply: true},
		"it is rate limited":                {Method: "PATCH", Status: 429, RetryAfter: "0"},
	} {
		for _, phase := range []string{"tightening", "relaxing"} {
			t.Run(phase+": "+name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, tenantsim.Options{})
				h := b.hold("maximum", time.Hour)
				if phase == "relaxing" {
					b.run()
					b.after(time.Hour)
				}
				b.Fail(fault)
				if _, err := b.try(); err != nil {
					require.NotEqual(t, hold.Released, h.State, "not released before it is seen to be")
				}
				b.restart()
				b.run()
				if phase == "tightening" {
					b.is("high", "always")
					b.restart()
					b.quiet()
				}
				b.after(time.Hour)
				b.run()
				b.is("medium", "when_risky")
				require.Equal(t, hold.Released, h.State)
			})
		}
	}
}

func TestAHumanAfterACrashKeepsTheirValue(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold("elevated", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 500, AfterApply: true})
	_, err := b.try()
	require.ErrorIs(t, err, auth0.ErrUnknownOutcome)
	b.human(map[string]any{"bot_detection_level": "low"})
	b.restart()
	b.run()
	b.is("low", "when_risky")
	b.after(time.Hour)
	b.run()
	b.is("low", "when_risky")
}

func TestAWriteThatLandedIsReportedAfterACrash(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold("elevated", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Drop: true, AfterApply: true})
	_, err := b.try()
	require.Error(t, err)
	rep := b.run()
	require.Equal(t, []control.Change{{Field: "bot_detection_level", From: "medium", To: "high"}}, rep.Changes)
	require.Len(t, b.bodies, 1, "it is not written twice")
}

func TestARateLimitStormPasses(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenantsim.Options{})
	h := b.hold("elevated", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 429, RetryAfter: "0", Times: 4}) // one more than a write is repeated
	_, err := b.try()
	require.ErrorIs(t, err, control.ErrNotApplied)
	require.Equal(t, hold.Active, h.State)
	b.human(map[string]any{"bot_detection_level": "high"}) // what we had in mind, and theirs: nothing of ours can have landed
	b.run()
	b.after(time.Hour)
	b.run()
	b.is("high", "when_risky")
}

func TestWhatTheTenantRefusesFailsForGood(t *testing.T) {
	readOnly := []string{"read:attack_protection"}
	for name, tt := range map[string]struct {
		opts  tenantsim.Options
		fault *tenantsim.Fault
		why   string
	}{
		"a plan without bot detection": {tenantsim.Options{NoBotDetection: true}, nil, "not part of the tenant's subscription"},
		"no scope to read":             {tenantsim.Options{Scopes: []string{"read:logs"}}, nil, "read:attack_protection"},
		"no scope to write":            {tenantsim.Options{Scopes: readOnly}, nil, "update:attack_protection"},
		"bot detection never set up":   {tenantsim.Options{}, &tenantsim.Fault{Method: "GET", PathPrefix: path, Status: 404}, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tt.opts)
			if tt.fault != nil {
				b.Fail(*tt.fault)
			}
			h := b.hold("elevated", time.Hour)
			b.run()
			require.Equal(t, hold.Failed, h.State)
			require.Contains(t, h.Note, tt.why)
			require.Empty(t, h.To)
			require.Equal(t, b.now, h.Ended)
			b.run()
			b.forgotten()
			b.is("medium", "when_risky")
		})
	}
}

func TestAHoldInForceOutlivesTheLossOfTheScope(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	first := b.hold("elevated", time.Hour)
	b.run()
	second := b.hold("maximum", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 403})
	b.run()
	require.Equal(t, hold.Failed, second.State)
	require.Equal(t, hold.Active, first.State, "what it tightened is still tight")
	b.after(time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 403})
	_, err := b.try()
	require.ErrorIs(t, err, control.ErrUnsupported)
	require.Equal(t, hold.Releasing, first.State, "it is not released while the setting is tight")
	b.run()
	require.Equal(t, hold.Released, first.State)
	b.is("medium", "when_risky")
}

func TestAWriteThatDoesNotShowReleasesNothing(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold("elevated", time.Hour)
	b.run()
	b.after(time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 200}) // answered, and not done
	rep, err := b.try()
	if err == nil {
		require.True(t, rep.Again)
	}
	require.Equal(t, hold.Releasing, h.State)
	b.run()
	require.Equal(t, hold.Released, h.State)
	b.is("medium", "when_risky")
}

func TestAStoreThatFailsKeepsTheTenantUntouched(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.control.Store = brokenStore{b.store}
	b.hold("elevated", time.Hour)
	_, err := b.try()
	require.ErrorIs(t, err, control.ErrStore)
	require.Empty(t, b.bodies)
	b.is("medium", "when_risky")
}

type brokenStore struct{ memStore }

func (brokenStore) Put(context.Context, string, []byte) error { return fmt.Errorf("disk full") }

func TestCheckNamesTheLevels(t *testing.T) {
	c := &control.Fields{Name: Name, Spec: Spec, Levels: levels}
	require.NoError(t, c.Check("maximum", ""))
	require.EqualError(t, c.Check("extreme", ""), `bot-detection has no level "extreme": one of elevated, guarded, maximum`)
	require.ErrorContains(t, c.Check("maximum", "198.51.100.7"), "takes no subject")
}
