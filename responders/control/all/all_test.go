package all

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/catalog"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

const (
	bot    = "bot-detection"
	sit    = "suspicious-ip-throttling"
	brute  = "brute-force-protection"
	leaked = "breached-password-detection"
)

func TestShippedLevelsHaveAnOrderAndNameWhatTheTenantHas(t *testing.T) {
	levels, err := ReadLevels(catalog.FS, "controls")
	require.NoError(t, err)
	controls := New(nil, levels, nil, nil)
	for name, order := range map[string][]string{
		bot: {"guarded", "elevated", "maximum"}, sit: {"guarded", "elevated", "maximum"}, brute: {"guarded", "elevated", "maximum"},
		leaked: {"guarded", "elevated", "maximum"}, "mfa-policy": {"risky", "always"}, "mfa-factors": {"without-sms"}, "connection-signup": {"closed"},
	} {
		c := controls[name]
		require.NotNil(t, c, name)
		for i, level := range order {
			require.Contains(t, c.Levels.Cells, level, name)
			if i > 0 {
				require.True(t, c.Ranks(order[i-1], level), "%s: %s is stricter than %s", name, level, order[i-1])
				require.False(t, c.Ranks(level, order[i-1]))
			}
		}
		for level := range c.Levels.Cells {
			require.Contains(t, append(order, control.Floor), level, name)
		}
	}
	require.Len(t, controls, 7)
}

// TestEveryLevelOfEveryControlIsHeldAndPutBack goes through all levels, and proves
// at the wire that each request names fields that the level names and no others.
func TestEveryLevelOfEveryControlIsHeldAndPutBack(t *testing.T) {
	levels, err := ReadLevels(catalog.FS, "controls")
	require.NoError(t, err)
	for _, name := range slices.Sorted(maps.Keys(levels)) {
		for _, level := range slices.Sorted(maps.Keys(levels[name].Cells)) {
			t.Run(name+" at "+level, func(t *testing.T) {
				b := newBench(t, tenantsim.Options{})
				if name == "mfa-factors" {
					require.NoError(t, b.HumanRequest("PUT", "/guardian/factors/otp", map[string]any{"enabled": false}))
				}
				subject := ""
				if b.controls[name].Subject != "" {
					subject = tenantsim.DefaultConnection
				}
				before := b.everything()
				h := b.holdOn(name, level, subject, time.Hour)
				b.run(name)
				require.Equal(t, hold.Active, h.State, h.Note)
				b.hear(b.lines()...)
				b.quiet(name)
				changed := len(b.writes)
				if h.To == "" {
					require.Zero(t, changed)
				} else {
					require.NotEqual(t, before, b.everything())
					require.NotZero(t, changed)
				}
				b.after(2 * time.Hour)
				b.run(name)
				if h.Asks != "" {
					require.NotEqual(t, before, b.everything(), "asked before anything is let go")
					h.Let = "ada"
					b.run(name)
				} else {
					require.False(t, level == control.Floor && changed > 0, "letting go would leave it off again")
				}
				require.Equal(t, hold.Released, h.State)
				require.Equal(t, before, b.everything())
				b.hear(b.lines()...)
				b.quiet(name)
			})
		}
	}
}

func (b *bench) everything() map[string]any {
	policies, factors := b.MFA()
	connection := b.Connection(tenantsim.DefaultConnection)
	if options := connection["options"].(map[string]any); options["disable_signup"] == nil {
		options["disable_signup"] = false // which is what leaving it out means
	}
	return map[string]any{bot: b.Settings(bot), sit: b.Settings(sit), brute: b.Settings(brute), leaked: b.Settings(leaked),
		"connection": connection, "policies": policies, "factors": factors}
}

func TestNoRequestNamesAFieldThatNobodyHolds(t *testing.T) {
	for name, want := range map[string][]string{
		bot:   {`PATCH /attack-protection/bot-detection {"bot_detection_level":"high","challenge_password_reset_policy":"when_risky","challenge_passwordless_policy":"when_risky"}`},
		brute: {`PATCH /attack-protection/brute-force-protection {"max_attempts":5}`},
		sit: {`PATCH /attack-protection/suspicious-ip-throttling {"enabled":true,"stage":{"pre-login":{"max_attempts":30,"rate":1800000},` +
			`"pre-user-registration":{"max_attempts":10,"rate":3600000}}}`},
		leaked: {`PATCH /attack-protection/breached-password-detection {"shields":["admin_notification","block"]}`},
	} {
		b := newBench(t, tenantsim.Options{})
		b.hold(name, "elevated", time.Hour)
		b.run(name)
		require.Equal(t, want, b.writes)
	}
}

func TestBothNumbersOfAStageAreWrittenThoughOneChanges(t *testing.T) {
	b := newBench(t, tenantsim.Options{SuspiciousIPThrottling: true})
	b.human(sit, map[string]any{"stage": map[string]any{"pre-login": map[string]any{"max_attempts": 30, "rate": 864000}}})
	b.hold(sit, "elevated", time.Hour)
	b.run(sit)
	require.Contains(t, b.writes[0], `"pre-login":{"max_attempts":30,"rate":1800000}`)
	require.Equal(t, 10.0, b.setting(sit, "stage", "pre-custom-token-exchange", "max_attempts"), "a stage that no hold names stays")
	b.after(2 * time.Hour)
	b.run(sit)
	require.Equal(t, map[string]any{"max_attempts": 30.0, "rate": 864000.0}, b.setting(sit, "stage", "pre-login"))
}

func TestEachElementOfAListHasItsOwner(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.human(brute, map[string]any{"shields": []any{"user_notification"}})
	b.hear(b.lines()...)
	h := b.hold(brute, "guarded", time.Hour)
	b.run(brute)
	require.Equal(t, []any{"user_notification", "block"}, b.setting(brute, "shields"))

	b.human(brute, map[string]any{"shields": []any{"block"}}) // takes out what was theirs
	b.hear(b.lines()...)
	b.run(brute)
	require.Equal(t, []any{"block"}, b.setting(brute, "shields"), "who took an element out overrules the hold on it")
	require.Contains(t, h.Note, "part of it")
	b.after(2 * time.Hour)
	b.run(brute)
	require.Empty(t, h.Asks, "the list with the block is what they chose")
	require.Equal(t, []any{"block"}, b.setting(brute, "shields"), "they kept the block, so it is theirs")
	require.Equal(t, hold.Released, h.State)
}

func TestSideEffectsOfLettingGoAreTold(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold(brute, "maximum", time.Hour)
	b.run(brute)
	b.after(2 * time.Hour)
	rep := b.run(brute)
	require.Equal(t, 10.0, b.setting(brute, "max_attempts"))
	require.Contains(t, rep.Notes, "max_attempts is 10 again: a higher threshold lifts the blocks that brute-force protection has made; deny the worst addresses before if they go on")
}

func TestAConnectionKeepsItsOptionsAndItsName(t *testing.T) {
	const name = "connection-signup"
	b := newBench(t, tenantsim.Options{})
	before := b.Connection(tenantsim.DefaultConnection)
	h := b.holdOn(name, "closed", tenantsim.DefaultConnection, time.Hour)
	b.run(name)
	require.Equal(t, "options.disable_signup true", h.To)
	want := b.Connection(tenantsim.DefaultConnection)
	require.Equal(t, true, want["options"].(map[string]any)["disable_signup"])
	delete(want["options"].(map[string]any), "disable_signup")
	require.Equal(t, before, want)

	// Who saves the form in the dashboard while sign-up is closed wants it closed.
	require.NoError(t, b.HumanPatch("/connections/"+before["id"].(string), map[string]any{"options": map[string]any{"disable_signup": true, "passwordPolicy": "fair"}}))
	b.hear(b.lines()...)
	b.after(2 * time.Hour)
	b.run(name)
	require.Equal(t, hold.Released, h.State)
	require.Equal(t, map[string]any{"disable_signup": true, "passwordPolicy": "fair"}, b.Connection(tenantsim.DefaultConnection)["options"])
}

func TestAConnectionThatCannotBeWrittenWholeIsLeftAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		opts    tenantsim.Options
		subject string
		options map[string]any
		why     string
	}{
		"no scope for its options": {opts: tenantsim.Options{Scopes: []string{"read:connections", "update:connections"}}, why: "read:connections_options"},
		"secrets that are masked":  {options: map[string]any{"configuration": map[string]any{"KEY": "*****"}}, why: "secrets among its options (configuration)"},
		"not a database":           {subject: "google-oauth2", why: "of the kind google-oauth2"},
		"no such connection":       {subject: "nobody", why: "no connection of that name"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tt.opts)
			if tt.subject == "" {
				tt.subject = tenantsim.DefaultConnection
			}
			if tt.options != nil {
				require.NoError(t, b.HumanPatch("/connections/con_SimDatabase00001", map[string]any{"options": tt.options}))
			}
			h := b.holdOn("connection-signup", "closed", tt.subject, time.Hour)
			b.run("connection-signup")
			require.Equal(t, hold.Failed, h.State)
			require.Contains(t, h.Note, tt.why)
			require.Empty(t, b.writes)
		})
	}
}

func TestMFAIsHeldAndPutBack(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	require.NoError(t, b.HumanMFAPolicy("confidence-score"))
	b.hear(b.lines()...)
	b.hold("mfa-policy", "always", time.Hour)
	b.hold("mfa-factors", "without-sms", time.Hour)
	b.run("mfa-policy")
	b.run("mfa-factors")
	policies, factors := b.MFA()
	require.Equal(t, []string{"all-applications"}, policies)
	require.Equal(t, []string{"otp", "recovery-code"}, factors)
	require.Equal(t, []string{`PUT /guardian/policies ["all-applications"]`, `PUT /guardian/factors/sms {"enabled":false}`}, b.writes)
	b.after(2 * time.Hour)
	b.run("mfa-policy")
	b.run("mfa-factors")
	policies, factors = b.MFA()
	require.Equal(t, []string{"confidence-score"}, policies)
	require.Equal(t, []string{"sms", "otp", "recovery-code"}, factors)
}

func TestALimitBoundsWhatHoldsAskUntilItsTimeIsOver(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.controls[bot].Limits = func() []control.Limit {
		return []control.Limit{{Level: "elevated", Until: start.Add(time.Hour), Actor: "ada"}}
	}
	b.hold(bot, "maximum", 3*time.Hour)
	b.run(bot)
	require.Equal(t, "when_risky", b.setting(bot, "challenge_password_policy"))
	require.Equal(t, "high", b.setting(bot, "bot_detection_level"))
	b.after(2 * time.Hour)
	b.run(bot)
	require.Equal(t, "always", b.setting(bot, "challenge_password_policy"))
}
