package actions

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

func TestAHoldBindsAPreparedActionAndUnbindsItAtItsEnd(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich", "claims")
	b.prepare()
	first, last, ip := b.hold("pkce-required", time.Hour), b.hold("mfa-required", 2*time.Hour), b.hold("last-ip-recorded", time.Hour)
	rep := b.run()
	require.Len(t, rep.Changes, 3)
	b.is(lastI, ours, "enrich", "claims", mfa)
	require.Len(t, b.writes, 1, "one flow is one write")
	require.Equal(t, "pkce-required bound", first.To)
	require.Equal(t, "pkce-required unbound", first.From)
	b.quiet()
	b.after(time.Hour)
	b.run()
	b.is("enrich", "claims", mfa)
	require.Equal(t, hold.Released, first.State)
	require.Equal(t, hold.Released, ip.State)
	require.Equal(t, hold.Active, last.State)
	b.after(time.Hour)
	b.run()
	b.is("enrich", "claims")
	b.quiet()
	b.forgotten()
}

func TestAHoldOnAnotherTriggerLeavesTheOthersAlone(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.prepare()
	b.hold("disposable-domains-refused", time.Hour)
	b.hold("unblock-after-password-change", time.Hour)
	b.run()
	require.Equal(t, []string{NamePrefix + "disposable-domains-refused"}, b.Flow("pre-user-registration"))
	require.Equal(t, []string{NamePrefix + "unblock-after-password-change"}, b.Flow("post-change-password"))
	for _, w := range b.writes {
		require.NotContains(t, w, "post-login")
	}
	b.after(time.Hour)
	b.run()
	require.Empty(t, b.Flow("pre-user-registration"))
	require.Empty(t, b.Flow("post-change-password"))
}

func TestWhatHumansDoToTheFlowMeanwhileIsKept(t *testing.T) {
	for name, tt := range map[string]struct {
		flow []string // what they make of enrich, claims with ours first
		note string
		held bool
		left []string // after the hold
	}{
		"they turn theirs round":      {[]string{ours, "claims", "enrich"}, "", true, []string{"claims", "enrich"}},
		"they move ours":              {[]string{"enrich", ours, "claims"}, "", true, []string{"enrich", "claims"}},
		"they take one of theirs out": {[]string{ours, "claims"}, "", true, []string{"claims"}},
		"they add one":                {[]string{"new", ours, "enrich", "claims"}, "", true, []string{"new", "enrich", "claims"}},
		"they take ours out":          {[]string{"enrich", "claims"}, "lowered from bound to unbound by somebody else during a hold", false, []string{"enrich", "claims"}},
		"they take everything out":    {nil, "lowered from bound to unbound by somebody else during a hold", false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			b.foreign("new")
			b.flow()
			b.foreign("enrich", "claims")
			b.prepare("pkce-required")
			h := b.hold("pkce-required", time.Hour)
			b.run()
			b.is(ours, "enrich", "claims")
			b.flow(tt.flow...)
			rep := b.run()
			b.is(tt.flow...)
			if tt.held {
				require.Empty(t, rep.Notes)
				require.Equal(t, hold.Active, h.State)
			} else {
				require.Contains(t, strings.Join(rep.Notes, "\n"), tt.note)
				require.Equal(t, hold.Overruled, h.State)
			}
			b.restart()
			b.quiet()
			b.after(time.Hour)
			b.run()
			b.is(tt.left...)
			require.Equal(t, hold.Released, h.State)
		})
	}
}

func TestAnActionThatAHumanBoundStaysBound(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.prepare("pkce-required")
	b.foreign("enrich")
	b.flow("enrich", ours)
	h := b.hold("pkce-required", time.Hour)
	b.run()
	require.Empty(t, b.writes)
	require.Equal(t, hold.Active, h.State)
	require.Empty(t, h.To, "it is as strict already")
	b.after(time.Hour)
	b.run()
	b.is("enrich", ours)
	require.Empty(t, b.writes)
}

func TestANewHoldCountsAfterAHumanTookItOut(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.prepare("pkce-required")
	b.hold("pkce-required", 2*time.Hour)
	b.run()
	b.flow()
	b.run()
	b.after(time.Minute)
	b.hold("pkce-required", time.Hour)
	b.run()
	b.is(ours)
	b.after(time.Hour)
	b.run()
	b.is()
}

func TestHoldsOnActionsThatAreNotPreparedAreRefusedWithWhatToDo(t *testing.T) {
	prepared := func(b *bench) { b.prepare("pkce-required") }
	for name, tt := range map[string]struct {
		before func(b *bench)
		want   string
	}{
		"not there":      {func(*bench) {}, "run portcullis actions prepare pkce-required"},
		"not made by us": {func(b *bench) { b.foreign(ours); b.flow() }, "was not made by us"},
		"edited": {func(b *bench) {
			prepared(b)
			b.edit("// theirs\n", true)
		}, "somebody edited the Action portcullis-pkce-required"},
		"never deployed": {func(b *bench) {
			b.FailDeploys(1)
			require.ErrorIs(b.t, b.do(b.plan(false)["pkce-required"]), ErrNotDeployed)
		}, "is there and not deployed"},
		"never built": {func(b *bench) {
			b.FailBuilds(1)
			require.ErrorIs(b.t, b.do(b.plan(false)["pkce-required"]), ErrBuild)
		}, "is there and not deployed"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			tt.before(b)
			b.writes = nil
			h := b.hold("pkce-required", time.Hour)
			b.run()
			require.Equal(t, hold.Failed, h.State)
			require.Contains(t, h.Note, tt.want)
			require.Empty(t, b.writes)
			b.is()
			require.Empty(t, b.store.memStore)
		})
	}
}

// edit is a human who puts something behind the code of ours, and may deploy it.
func (b *bench) edit(text string, deploy bool) {
	b.t.Helper()
	for _, a := range b.Actions() {
		if a["name"] != ours {
			continue
		}
		path := "/actions/actions/" + a["id"].(string)
		require.NoError(b.t, b.HumanRequest("PATCH", path, map[string]any{"code": a["code"].(string) + text}))
		_, err := b.client.Action(b.t.Context(), a["id"].(string))
		require.NoError(b.t, err)
		if deploy {
			require.NoError(b.t, b.HumanRequest("POST", path+"/deploy", map[string]any{}))
			_, err := b.client.Action(b.t.Context(), a["id"].(string))
			require.NoError(b.t, err)
		}
	}
}

func TestAnOlderVersionOrAnEditedDraftIsBoundAllTheSame(t *testing.T) {
	for name, act := range map[string]func(b *bench){
		"settings that changed": func(b *bench) {
			b.choices["pkce-required"] = Choice{Settings: map[string]any{"message": "other"}}
			b.restart()
		},
		"a draft that somebody edited": func(b *bench) { b.edit("// theirs\n", false) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			b.prepare("pkce-required")
			act(b)
			require.Equal(t, Outdated, b.plan(false)["pkce-required"].Condition)
			h := b.hold("pkce-required", time.Hour)
			b.run()
			require.Equal(t, hold.Active, h.State)
			b.is(ours)
		})
	}
}

func TestAnActionThatIsDeletedDuringAHoldIsNotMadeAgain(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich")
	b.prepare("pkce-required")
	h := b.hold("pkce-required", time.Hour)
	b.run()
	for _, a := range b.Actions() {
		if a["name"] == ours {
			_, err := b.client.HTTPClient().Do(mustRequest(t, "DELETE", b.client.BaseURL()+"/api/v2/actions/actions/"+a["id"].(string)+"?force=true"))
			require.NoError(t, err)
		}
	}
	writes := len(b.writes)
	b.run()
	require.Equal(t, hold.Overruled, h.State)
	b.quiet()
	b.after(time.Hour)
	b.run()
	require.Equal(t, hold.Released, h.State)
	b.is("enrich")
	require.Len(t, b.writes, writes)
}

func mustRequest(t *testing.T, method, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	return r
}

func TestAFullFlowIsLeftAsItIs(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	var names []string
	for i := range auth0.MaxBindings {
		names = append(names, fmt.Sprintf("theirs %d", i))
	}
	b.foreign(names...)
	b.prepare("pkce-required")
	h := b.hold("pkce-required", time.Hour)
	b.run()
	require.Equal(t, hold.Failed, h.State)
	require.Contains(t, h.Note, "post-login has 20 Actions already, and takes 20")
	require.Empty(t, b.writes)
	b.is(names...)
	b.forgotten()
}

func TestWhatTheTenantRefusesFailsForGood(t *testing.T) {
	for name, tt := range map[string]struct {
		scopes []string
		why    string
	}{
		"no scope to read":  {[]string{"read:logs"}, "read:actions"},
		"no scope to write": {[]string{"read:actions", "create:actions"}, "update:actions"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{Scopes: tt.scopes})
			if len(tt.scopes) > 1 {
				b.prepare("pkce-required") // which needs no update
			}
			h := b.hold("pkce-required", time.Hour)
			b.run()
			require.Equal(t, hold.Failed, h.State)
			require.Contains(t, h.Note, tt.why)
			b.is()
			b.forgotten()
		})
	}
}

func TestACrashAnywhereEndsTheSame(t *testing.T) {
	const binding = "/api/v2/actions/triggers"
	faults := map[string]tenantsim.Fault{
		"the request never arrives":         {Drop: true},
		"it is refused with 503":            {Status: 503},
		"it is applied and answered by 500": {Status: 500, AfterApply: true},
		"it is applied and not answered":    {Drop: true, AfterApply: true},
		"it is rate limited":                {Status: 429, RetryAfter: "0"},
	}
	for name, fault := range faults {
		for _, phase := range []string{"binding", "unbinding"} {
			for nth := range 2 { // the first and the second of two flows
				t.Run(fmt.Sprintf("%s, flow %d: %s", phase, nth+1, name), func(t *testing.T) {
					t.Parallel()
					b := newBench(t, tenantsim.Options{})
					b.foreign("enrich")
					b.prepare("pkce-required", "disposable-domains-refused")
					h := b.hold("pkce-required", time.Hour)
					b.hold("disposable-domains-refused", time.Hour)
					if phase == "unbinding" {
						b.run()
						b.after(time.Hour)
					}
					fault := fault
					fault.Method, fault.PathPrefix = "PATCH", binding+[]string{"/post-login", "/pre-user-registration"}[nth]
					b.Fail(fault)
					if _, err := b.try(); err != nil {
						require.NotEqual(t, hold.Released, h.State, "not released before it is seen to be")
					}
					b.restart()
					b.run()
					if phase == "binding" {
						b.is(ours, "enrich")
						require.Len(t, b.Flow("pre-user-registration"), 1)
						b.restart()
						b.quiet()
						b.after(time.Hour)
					}
					b.run()
					b.is("enrich")
					require.Empty(t, b.Flow("pre-user-registration"))
					require.Equal(t, hold.Released, h.State)
					b.forgotten()
				})
			}
		}
	}
}

func TestALossOfPowerAtAnyWriteOfTheStoreEndsTheSame(t *testing.T) {
	for _, phase := range []string{"binding", "unbinding"} {
		for left := range 6 {
			t.Run(fmt.Sprintf("%s, after %d writes", phase, left), func(t *testing.T) {
				b := newBench(t, tenantsim.Options{})
				b.foreign("enrich")
				b.prepare("pkce-required")
				h := b.hold("pkce-required", time.Hour)
				if phase == "unbinding" {
					b.run()
					b.after(time.Hour)
				}
				b.store.left = left
				if _, err := b.try(); err != nil {
					require.ErrorIs(t, err, control.ErrStore)
				}
				b.restart()
				b.run()
				if phase == "binding" {
					b.is(ours, "enrich")
					b.after(time.Hour)
					b.run()
				}
				b.is("enrich")
				require.Equal(t, hold.Released, h.State)
				b.forgotten()
			})
		}
	}
}

func TestAHumanAfterACrashKeepsTheirFlow(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich", "claims")
	b.prepare("pkce-required")
	b.hold("pkce-required", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 500, AfterApply: true})
	_, err := b.try()
	require.ErrorIs(t, err, auth0.ErrUnknownOutcome)
	b.flow("claims", ours, "enrich")
	b.restart()
	b.run()
	b.is("claims", ours, "enrich")
	b.after(time.Hour)
	b.run()
	b.is("claims", "enrich")
}

func TestTheFlowIsReadAgainJustBeforeItIsWritten(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich", "claims")
	b.prepare("pkce-required")
	b.hold("pkce-required", time.Hour)
	reads := 0
	b.before = func(r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/post-login/bindings") {
			if reads++; reads == 2 { // the look is over, the write has not begun
				b.before = nil
				b.flow("claims", "enrich")
			}
		}
	}
	b.run()
	b.is(ours, "claims", "enrich")
}

func TestAnActionEditedBetweenTheLookAndTheWriteIsNotBound(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.prepare("pkce-required")
	h := b.hold("pkce-required", time.Hour)
	lists := 0
	b.before = func(r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/api/v2/actions/actions" {
			if lists++; lists == 2 {
				b.before = nil
				b.edit("// theirs\n", true)
			}
		}
	}
	b.run()
	require.Equal(t, hold.Failed, h.State)
	require.Contains(t, h.Note, "somebody edited")
	b.is()
	b.forgotten()
}

func TestCheckNamesTheActions(t *testing.T) {
	c := Checker(shipped(t))
	require.NoError(t, c.Check("pkce-required", ""))
	require.ErrorContains(t, c.Check("pkce-required", "198.51.100.1"), "takes no subject")
	require.ErrorContains(t, c.Check("pkce", ""), `no Action "pkce" as its level: one of disposable-domains-refused, implicit-refused,`)
}
