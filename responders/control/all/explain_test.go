package all

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
)

func TestAFieldIsExplainedFromItsHoldsToItsBaseline(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.human(brute, map[string]any{"max_attempts": 20})
	b.hear(b.lines()...)
	first := b.hold(brute, "elevated", 2*time.Hour)
	second := b.hold(brute, "maximum", time.Hour)
	b.run(brute)
	b.hear(b.lines()...)
	explained := func() map[string]control.Explained {
		all, err := b.controls[brute].Explain(t.Context(), b.holds, b.now)
		require.NoError(t, err)
		out := map[string]control.Explained{}
		for _, e := range all {
			out[e.Field] = e
		}
		return out
	}
	require.Equal(t, "brute-force-protection max_attempts is 3: the strictest of its baseline and of "+second.ID+" (3 at maximum until 10:00 UTC), "+first.ID+
		" (5 at elevated until 11:00 UTC); baseline 20, set by administrator@corp.example on Monday 2 March 09:00 UTC; becomes 5 at 10:00 UTC",
		explained()["max_attempts"].String())
	require.Equal(t, "present", explained()["shields[block]"].Value)
	require.Equal(t, "found", explained()["shields[block]"].Baseline.How)
	require.Empty(t, explained()["shields[block]"].Next, "it stays")
	b.after(time.Minute)
	b.human(brute, map[string]any{"max_attempts": 8})
	b.hear(b.lines()...)
	b.run(brute)
	require.Contains(t, explained()["max_attempts"].String(), "max_attempts is 8; baseline 8, set by administrator@corp.example on Monday 2 March 09:01 UTC; "+
		second.ID+" asks for 3 and does not count: overruled")
}
