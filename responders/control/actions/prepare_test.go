package actions

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
)

func TestPreparingDeploysUnboundCopiesAndIsDoneOnce(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich")
	b.writes = nil
	for id, s := range b.plan(false) {
		require.Equal(t, Create, s.Do, id)
		require.NoError(t, b.do(s), id)
	}
	require.Len(t, b.Actions(), 12)
	b.is("enrich")
	for _, w := range b.writes {
		require.True(t, strings.HasPrefix(w, "POST /actions"), "made and deployed, and nothing is bound: %s", w)
	}
	writes := len(b.writes)
	for id, s := range b.plan(false) {
		require.Equal(t, Prepared, s.Condition, id)
		require.Equal(t, Nothing, s.Do, id)
		require.NoError(t, b.do(s), id)
	}
	require.Len(t, b.writes, writes)
}

func TestSecretsGoIntoTheActionsSecretsAndNowhereElse(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	require.NoError(t, b.do(b.plan(false)["unblock-after-password-change"]))
	for _, a := range b.Actions() {
		require.NotContains(t, a["code"], "the-secret-of-the-unblocker")
		require.Equal(t, "CLIENT_SECRET", a["secrets"].([]any)[0].(map[string]any)["name"])
	}
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 400})
	err := b.do(b.plan(true)["unblock-after-password-change"])
	require.ErrorIs(t, err, auth0.ErrInvalid)
	require.NotContains(t, err.Error(), "the-secret-of-the-unblocker")
}

func TestAStepWithoutAValueItNeedsIsSkipped(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.choices = nil
	plan := b.plan(false)
	require.Equal(t, Skip, plan["unblock-after-password-change"].Do)
	require.Equal(t, "it needs a value for client_id and secret CLIENT_SECRET", plan["unblock-after-password-change"].Why)
	require.Equal(t, Create, plan["pkce-required"].Do)
}

func TestPreparingGoesOnWhereACrashStoppedIt(t *testing.T) {
	for name, fault := range map[string]tenantsim.Fault{
		"the creation never arrives":             {PathPrefix: "/api/v2/actions/actions", Drop: true},
		"the creation lands and is not answered": {PathPrefix: "/api/v2/actions/actions", Drop: true, AfterApply: true},
		"the creation lands and is answered 500": {PathPrefix: "/api/v2/actions/actions", Status: 500, AfterApply: true},
		"the creation is refused with 503":       {PathPrefix: "/api/v2/actions/actions", Status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{ActionReads: 2})
			fault.Method = "POST"
			b.Fail(fault)
			_ = b.do(b.plan(false)["pkce-required"])
			require.NoError(t, b.do(b.plan(false)["pkce-required"]))
			require.Equal(t, Prepared, b.plan(false)["pkce-required"].Condition)
			require.Len(t, b.Actions(), 1, "there is never a second one")
		})
	}
	t.Run("between the creation and the deployment", func(t *testing.T) {
		b := newBench(t, tenantsim.Options{})
		p := &Preparer{API: b.client, Op: b.op}
		require.NoError(t, p.create(t.Context(), b.plan(false)["pkce-required"].Want))
		s := b.plan(false)["pkce-required"]
		require.Equal(t, Deploy, s.Do)
		b.writes = nil
		require.NoError(t, b.do(s))
		require.Len(t, b.writes, 1)
		require.Equal(t, Prepared, b.plan(false)["pkce-required"].Condition)
	})
	t.Run("between an update and its deployment", func(t *testing.T) {
		b := newBench(t, tenantsim.Options{})
		b.prepare("pkce-required")
		b.choices["pkce-required"] = Choice{Settings: map[string]any{"message": "other"}}
		b.FailDeploys(1)
		require.ErrorIs(t, b.do(b.plan(false)["pkce-required"]), ErrNotDeployed)
		s := b.plan(false)["pkce-required"]
		require.Equal(t, Outdated, s.Condition)
		require.Equal(t, Deploy, s.Do)
		require.NoError(t, b.do(s))
		require.Equal(t, Prepared, b.plan(false)["pkce-required"].Condition)
	})
}

func TestADeployThatFailsLeavesTheFlowAndWhatRunsInIt(t *testing.T) {
	for name, fail := range map[string]func(b *bench){
		"a build that fails":      func(b *bench) { b.FailBuilds(1) },
		"a deployment that fails": func(b *bench) { b.FailDeploys(1) },
		"a tenant that refuses":   func(b *bench) { b.Fail(tenantsim.Fault{Method: "PATCH", Status: 403}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			b.foreign("enrich")
			b.prepare("pkce-required")
			b.hold("pkce-required", time.Hour)
			b.run()
			was := b.deployedCode()
			b.choices["pkce-required"] = Choice{Settings: map[string]any{"message": "other"}}
			b.restart()
			s := b.plan(false)["pkce-required"]
			require.Equal(t, Skip, s.Do, "it would go live at once")
			require.Contains(t, s.Why, "it is bound")
			fail(b)
			require.Error(t, b.do(b.plan(true)["pkce-required"]))
			b.is(ours, "enrich")
			require.Equal(t, was, b.deployedCode())
			b.quiet()
			require.NoError(t, b.do(b.plan(true)["pkce-required"]))
			require.NotEqual(t, was, b.deployedCode())
			b.is(ours, "enrich")
			b.after(time.Hour)
			b.run()
			b.is("enrich")
		})
	}
}

func (b *bench) deployedCode() string {
	b.t.Helper()
	for _, a := range b.Actions() {
		if a["name"] == ours {
			return a["deployed_version"].(map[string]any)["code"].(string)
		}
	}
	require.Fail(b.t, "it is gone")
	return ""
}

func TestWhatSomebodyWroteIsNotOverwrittenUnasked(t *testing.T) {
	for name, act := range map[string]func(b *bench){
		"in the draft": func(b *bench) { b.edit("// theirs\n", false) },
		"in force":     func(b *bench) { b.edit("// theirs\n", true) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			b.prepare("pkce-required")
			act(b)
			s := b.plan(false)["pkce-required"]
			require.Equal(t, Skip, s.Do)
			require.Equal(t, "somebody edited it: --force writes it anew", s.Why)
			require.Equal(t, Update, b.plan(true)["pkce-required"].Do)
			require.NoError(t, b.do(b.plan(true)["pkce-required"]))
			require.Equal(t, Prepared, b.plan(false)["pkce-required"].Condition)
		})
	}
	t.Run("under our name", func(t *testing.T) {
		b := newBench(t, tenantsim.Options{})
		b.foreign(ours)
		for _, force := range []bool{false, true} {
			s := b.plan(force)["pkce-required"]
			require.Equal(t, Foreign, s.Condition)
			require.Equal(t, Skip, s.Do)
		}
	})
}

func TestALookTellsPlacesAndTheOthersInTheFlow(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich", "claims")
	b.prepare("pkce-required")
	b.flow("enrich", ours, "claims")
	v, err := Look(t.Context(), b.client, b.wants())
	require.NoError(t, err)
	require.Equal(t, []Other{{"post-login", "enrich", 1}, {"post-login", "claims", 3}}, v.Others)
	require.Equal(t, 2, b.plan(false)["pkce-required"].Place)
	require.Zero(t, b.plan(false)["mfa-required"].Place)
}

func TestABuildThatNeverEndsIsGivenUp(t *testing.T) {
	b := newBench(t, tenantsim.Options{ActionReads: 1000})
	require.ErrorIs(t, b.do(b.plan(false)["pkce-required"]), ErrBuild)
}

func TestDifferencesAreShownWithTheLinesAroundThem(t *testing.T) {
	require.Empty(t, DiffLines("a\nb", "a\nb"))
	require.Equal(t, []string{"  1", "  2", "- 3", "+ x", "  4", "  5", "  …", "  8", "  9", "+ y"},
		DiffLines("0\n1\n2\n3\n4\n5\n6\n7\n8\n9", "0\n1\n2\nx\n4\n5\n6\n7\n8\n9\ny"))
	long := strings.Repeat("ä", 200)
	require.Equal(t, []string{"- a", "+ " + strings.Repeat("ä", 160) + "… (200 characters)"}, DiffLines("a", long))
}
