package actions

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/hold"
)

func TestOurOwnLinesConfirmOurWritesAndLetHoldsGoUnasked(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich")
	b.prepare("pkce-required", "last-ip-recorded", "disposable-domains-refused")
	first := b.hold("pkce-required", 2*time.Hour)
	b.run()
	require.Empty(t, b.listen())
	b.after(20 * time.Minute)
	second := b.hold("last-ip-recorded", time.Hour)
	third := b.hold("disposable-domains-refused", time.Hour)
	b.run()
	require.Empty(t, b.listen())
	b.is(lastI, ours, "enrich")
	for range 4 {
		b.after(20 * time.Minute)
		b.run()
		require.Empty(t, b.listen())
	}
	b.run()
	b.is(ours, "enrich")
	b.after(time.Hour)
	b.run()
	b.is("enrich")
	for _, h := range []*hold.Hold{first, second, third} {
		require.Equal(t, hold.Released, h.State)
		require.Empty(t, h.Asks)
	}
	b.listen()
	b.forgotten()
}

func TestWhoMovesTheirOwnActionsChoosesNothingAboutOurs(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich", "claims")
	b.prepare("pkce-required")
	b.listen()
	h := b.hold("pkce-required", time.Hour)
	b.run()
	b.listen()
	b.after(time.Minute)
	b.flow("claims", ours, "enrich")
	require.Empty(t, b.listen())
	b.run()
	b.is("claims", ours, "enrich")
	b.after(time.Hour)
	b.run()
	b.is("claims", "enrich")
	require.Equal(t, hold.Released, h.State)
}

func TestWhoTakesOursOutIsNamedAndNotFought(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich")
	b.prepare("pkce-required")
	h := b.hold("pkce-required", time.Hour)
	b.run()
	b.listen()
	b.after(time.Minute)
	b.flow("enrich")
	notes := b.listen() // before anybody looks
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], `pkce-required was set to unbound by administrator@corp.example during a hold: left as they chose`)
	b.run()
	b.is("enrich")
	require.Equal(t, hold.Overruled, h.State)
	b.quiet()
}

func TestAFlowThatAHumanPutBackAfterACrashIsNotBoundAgain(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich")
	b.prepare("pkce-required")
	b.listen()
	h := b.hold("pkce-required", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 500, AfterApply: true})
	_, err := b.try()
	require.ErrorIs(t, err, auth0.ErrUnknownOutcome)
	b.is(ours, "enrich")
	b.after(10 * time.Second)
	b.flow("enrich")
	b.restart() // what was written is known by its intent alone
	b.listen()
	b.run()
	b.is("enrich")
	require.Equal(t, hold.Overruled, h.State, "the flow looks as if the write never landed; the log knows better")
}

func TestLinesAboutOtherThingsConcernNobody(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.prepare()
	b.foreign("enrich")
	require.NoError(t, b.HumanPatch("/attack-protection/bot-detection", map[string]any{"bot_detection_level": "high"}))
	require.NoError(t, b.HumanRequest("PATCH", "/actions/triggers/send-phone-message/bindings", map[string]any{"bindings": []any{}}))
	require.Empty(t, b.listen())
	b.forgotten()
}
