package actions

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// meanwhile has somebody act between the look at the flow and the next write of it.
func (b *bench) meanwhile(act func()) {
	b.before = func(r *http.Request) {
		if r.Method == http.MethodPatch && r.URL.Path == "/api/v2"+"/actions/triggers/post-login/bindings" {
			b.before = nil
			act()
		}
	}
}

// Failure case 4 of the model: somebody writes between our read and our write.
func TestAChangeThatOurWriteUndidIsPutBack(t *testing.T) {
	for name, tt := range map[string]struct {
		theirs []string
		crash  bool
	}{
		"they turn theirs round":             {theirs: []string{"claims", "enrich"}},
		"they add one":                       {theirs: []string{"enrich", "new", "claims"}},
		"they turn it round, and we restart": {theirs: []string{"claims", "enrich"}, crash: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			b.foreign("new")
			b.flow()
			b.foreign("enrich", "claims")
			b.prepare("pkce-required")
			b.after(time.Minute)
			b.listen()
			b.hold("pkce-required", time.Hour)
			b.meanwhile(func() { b.flow(tt.theirs...) })
			b.run()
			b.is(ours, "enrich", "claims")
			if tt.crash {
				b.restart()
			}
			b.listen()
			rep := b.run()
			require.Len(t, rep.Notes, 1)
			require.Contains(t, rep.Notes[0], "the flow of post-login was changed by administrator@corp.example, to ")
			require.Contains(t, rep.Notes[0], "it is put back as they chose")
			b.is(append([]string{ours}, tt.theirs...)...)
			b.quiet()
			b.after(time.Minute)
			b.listen()
			b.quiet()
			b.after(time.Hour)
			b.run()
			b.is(tt.theirs...)
			b.listen()
			b.quiet()
			b.forgotten()
		})
	}
}

func TestAWriteThatNamesBindingsOfThePastIsMadeAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		act func(b *bench)
		now []string
	}{
		"they bind everything anew": {func(b *bench) { b.newFlow("claims", "enrich") }, []string{"claims", "enrich"}},
		"they take one out":         {func(b *bench) { b.flow("claims") }, []string{"claims"}},
		"they take everything out":  {func(b *bench) { b.flow() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			b.foreign("enrich", "claims")
			b.prepare("pkce-required")
			h := b.hold("pkce-required", time.Hour)
			b.meanwhile(func() { tt.act(b) })
			_, err := b.try()
			require.ErrorIs(t, err, control.ErrNotApplied)
			require.Equal(t, hold.Active, h.State)
			b.is(tt.now...)
			b.run()
			b.is(append([]string{ours}, tt.now...)...)
			b.listen()
			b.quiet()
		})
	}
}

func TestAChangeDuringTheReleaseIsPutBackToo(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich", "claims")
	b.prepare("pkce-required")
	b.hold("pkce-required", time.Hour)
	b.run()
	b.listen()
	b.after(time.Hour)
	b.meanwhile(func() { b.flow("claims", ours, "enrich") })
	b.run()
	b.is("enrich", "claims")
	b.listen()
	b.run()
	b.is("claims", "enrich")
}

func TestWhatSomebodyChangedSinceIsNotUndoneByAnOldLine(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich", "claims", "third")
	b.prepare("pkce-required")
	b.after(time.Minute)
	b.hold("pkce-required", time.Hour)
	b.meanwhile(func() { b.flow("claims", "enrich", "third") })
	b.run()
	b.after(time.Minute)
	b.flow("third", ours, "enrich")
	b.listen()
	b.run()
	b.is("third", ours, "enrich")
	b.quiet()
}

func TestALineAboutTheFlowThatWasReadUndoesNothing(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich", "claims")
	b.flow("claims", "enrich") // in the very second in which we read it
	b.prepare("pkce-required")
	b.hold("pkce-required", time.Hour)
	b.run()
	b.listen()
	b.quiet()
	b.is(ours, "claims", "enrich")
}

func TestAChangeThatCannotBePutBackIsTold(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign("enrich", "claims")
	b.prepare("pkce-required")
	b.after(time.Minute)
	b.hold("pkce-required", time.Hour)
	b.meanwhile(func() { b.flow("claims", "enrich") })
	b.run()
	b.listen()
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 429, RetryAfter: "0", Times: 4})
	_, err := b.try()
	require.ErrorIs(t, err, auth0.ErrRateLimited)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 404})
	rep := b.run()
	require.Len(t, rep.Notes, 1)
	require.Contains(t, rep.Notes[0], "it cannot be put back as they chose: ")
	b.quiet()
	b.is(ours, "enrich", "claims")
}
