package responders

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

func TestModesDecideHowFarAResponseGoes(t *testing.T) {
	for name, tt := range map[string]struct {
		setup  func(w *world)
		state  hold.State
		line   string
		writes bool
	}{
		"observe says what would be done":       {func(w *world) { w.setup.Mode = Observe }, hold.Proposed, "Would hold bot-detection at elevated until", false},
		"propose asks":                          {func(w *world) { w.setup.Mode = Propose }, hold.AwaitingApproval, "Asks to hold bot-detection", false},
		"enforce does":                          {func(*world) {}, hold.Active, "Holds bot-detection", true},
		"a policy's own mode caps the tenant's": {func(w *world) { w.policy = strings.Replace(w.policy, "when:", "mode: propose\nwhen:", 1) }, hold.AwaitingApproval, "Asks to hold bot-detection", false},
		"an ask's own mode caps the policy's":   {func(w *world) { w.policy = strings.ReplaceAll(w.policy, "for:", "mode: observe, for:") }, hold.Proposed, "Would hold bot-detection", false},
		"the tenant's cap on a policy counts":   {func(w *world) { w.setup.Modes = map[string]Mode{"stuffing": Observe} }, hold.Proposed, "Would hold bot-detection", false},
		"no cap goes further than the tenant": {func(w *world) {
			w.setup.Mode = Observe
			w.setup.Modes = map[string]Mode{"stuffing": Enforce}
		}, hold.Proposed, "Would hold bot-detection", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tenantsim.Options{})
			tt.setup(w)
			w.start()
			w.r.Offer(opened(alert(0, 41, "198.51.100.7")))
			w.step()
			require.Equal(t, map[hold.State]int{tt.state: 2}, w.holds())
			require.Equal(t, 1, w.told(tt.line), w.lines)
			require.Equal(t, tt.writes, len(w.writes) > 0)
			want := "proposed"
			if tt.writes {
				want = "done"
			}
			require.Equal(t, want, w.report().Incident.Alerts[0].Responses[0].Outcome)
			w.r.Offer(resolved(alert(0, 41, "198.51.100.7"), time.Minute))
			w.step()
			w.after(2 * time.Hour)
			require.Equal(t, map[hold.State]int{hold.Released: 2}, w.holds(), "it ends by itself")
			require.Equal(t, StateClosed, w.report().State)
			require.Equal(t, "medium", w.bot())
		})
	}
}

func TestAProposalIsDoneWhenTheModeAllowsIt(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.setup.Mode = Observe
	w.start()
	w.r.Offer(opened(alert(0, 41, "198.51.100.7")))
	w.step()
	w.setup.Mode = Enforce
	w.r.SetPolicies(w.setup, w.r.policies)
	w.r.Offer(updated(alert(time.Minute, 50, "198.51.100.7")))
	w.step()
	require.Equal(t, "high", w.bot())
	w.setup.Mode = Observe
	w.r.SetPolicies(w.setup, w.r.policies)
	w.r.Offer(updated(alert(20*time.Minute, 60, "198.51.100.7")))
	w.after(31 * time.Minute)
	require.Equal(t, "medium", w.bot(), "nothing is renewed in a more careful mode")
}

func TestWhatIsOnTheNeverTouchListIsNotTouched(t *testing.T) {
	for _, ip := range []string{"203.0.113.5", "::ffff:203.0.113.5", "2001:db8:ffff::1", "10.1.2.3", "::ffff:192.168.1.1", "fd00::1", "127.0.0.1", "169.254.1.1", "not an address", "198.51.100.0/24"} {
		t.Run(ip, func(t *testing.T) {
			w := newWorld(t, tenantsim.Options{})
			w.start()
			a := alert(0, 41, ip)
			for i := range 3 {
				a.Count, a.UpdatedAt = a.Count+1, a.UpdatedAt.Add(time.Duration(i)*time.Minute)
				w.r.Offer(updated(a))
				w.step()
			}
			require.Empty(t, w.NetworkACLs())
			require.Equal(t, 1, w.told("Did not hold network-acl on "+ip+": "), w.lines)
			require.Equal(t, "refused", w.report().Incident.Alerts[0].Responses[1].Outcome)
		})
	}
}

func TestTheNeverTouchListFailsClosed(t *testing.T) {
	_, err := NewNeverTouch([]string{"203.0.113.0/24", "203.0.113"}, nil, nil)
	require.ErrorContains(t, err, `"203.0.113" is neither an address nor a network`)
	nt, err := NewNeverTouch([]string{"::ffff:203.0.113.0/120"}, nil, nil)
	require.NoError(t, err)
	require.ErrorContains(t, nt.Subject(control.Subject{Kind: control.KindIP, Value: "203.0.113.7"}), "on the never-touch list (203.0.113.0/24)")
	s, err := control.NewSubject(control.KindIP, "::ffff:198.51.100.7")
	require.NoError(t, err)
	require.NoError(t, nt.Subject(s))
	require.Equal(t, "198.51.100.7", s.String())
	_, err = NewNeverTouch(nil, []string{" "}, nil)
	require.ErrorContains(t, err, "never_touch.users: an id is empty")
}

func TestBudgetsBoundAttemptsAndOutliveARestart(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.limits = map[string]Budget{KindNetworkACLEntry: {Hour: 2, Day: 3}}
	w.start()
	w.r.Offer(opened(alert(0, 41, "198.51.100.1", "198.51.100.2", "198.51.100.3")))
	w.step()
	require.Equal(t, 1, w.told("A budget is nearly used up: 2 of the 2 of network_acl_entry for one hour"), w.lines)
	require.Equal(t, 1, w.told("Asks to hold network-acl on 198.51.100.3 until 10:00 UTC: budget used up: the 2 of network_acl_entry for one hour"), w.lines)
	w.start()
	w.r.Offer(updated(alert(time.Minute, 50, "198.51.100.4")))
	w.step()
	require.Equal(t, 1, w.told("Asks to hold network-acl on 198.51.100.4"))
	w.now = start.Add(70 * time.Minute)
	w.r.Offer(updated(alert(70*time.Minute, 60, "198.51.100.5", "198.51.100.6")))
	w.step()
	require.Equal(t, 1, w.told("Asks to hold network-acl on 198.51.100.6 until 11:10 UTC: budget used up: the 3 of network_acl_entry for one day"), w.lines)
	w.now = start.Add(25 * time.Hour)
	w.r.Offer(updated(alert(25*time.Hour, 70, "198.51.100.6")))
	w.step()
	require.Equal(t, 1, w.told("Holds network-acl on 198.51.100.6"), w.lines)
}

func TestObservingLeavesTheBudgetOfEnforcingWhole(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.limits = map[string]Budget{KindNetworkACLEntry: {Hour: 1}}
	w.setup.Mode = Observe
	w.start()
	w.r.Offer(opened(alert(0, 41, "198.51.100.1", "198.51.100.2")))
	w.step()
	require.Equal(t, 1, w.told("198.51.100.2: budget used up"), "what would be refused is said too")
	w.setup.Mode = Enforce
	w.r.SetPolicies(w.setup, w.r.policies)
	w.r.Offer(updated(alert(time.Second, 42, "198.51.100.1")))
	w.step()
	require.Len(t, w.NetworkACLs(), 1)
}

func TestLateAndStaleEvidenceIsToldAndNotActedOn(t *testing.T) {
	for name, tt := range map[string]struct {
		policy string
		now    time.Duration
		late   bool
		acts   bool
	}{
		"late evidence":                         {standardPolicy, 0, true, false},
		"late evidence where the policy acts":   {strings.Replace(standardPolicy, "when:", "late: act\nwhen:", 1), 0, true, true},
		"evidence older than the hold would be": {standardPolicy, 2 * time.Hour, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tenantsim.Options{})
			w.policy, w.now = tt.policy, start.Add(tt.now)
			w.start()
			a := alert(0, 41, "198.51.100.7")
			a.Late = tt.late
			w.r.Offer(opened(a))
			w.step()
			require.Equal(t, tt.acts, w.bot() == "high")
			if !tt.acts {
				require.Equal(t, 1, w.told("Did not hold bot-detection at elevated: the evidence"), w.lines)
				require.Equal(t, "skipped", w.report().Incident.Alerts[0].Responses[0].Outcome)
			}
		})
	}
}

func TestAFloodOfSubjectsStaysReadableAndBounded(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	for batch := range 30 {
		var ips []string
		for i := range 200 {
			ips = append(ips, fmt.Sprintf("10.0.%d.%d", batch, i))
		}
		w.r.Offer(updated(alert(time.Duration(batch)*time.Second, 41+batch, ips...)))
		w.step()
	}
	require.Len(t, w.report().Outcomes, outcomesKept+1)
	in := w.report().Incident.ID
	require.LessOrEqual(t, len(w.r.refused[in]), refusalsNoted)
	require.Equal(t, 1, w.told("More than 100 responses were refused"))
	require.Less(t, len(w.lines), 110)

	w = newWorld(t, tenantsim.Options{})
	w.start()
	var ips []string
	for i := range 200 {
		ips = append(ips, fmt.Sprintf("198.51.100.%d", i))
	}
	w.r.Offer(opened(alert(0, 41, ips...)))
	w.step()
	require.Len(t, w.lines, 5, w.lines)
	require.Equal(t, 1, w.told("A budget is nearly used up: 160 of the 200"), w.lines)
	require.Equal(t, 1, w.told("and 15 more until 10:00 UTC"), w.lines)
	require.Equal(t, 1, w.told("and 175 more: the network ACL is full"), w.lines)
	require.Equal(t, map[hold.State]int{hold.Active: 21, hold.PendingCapacity: 180}, w.holds())
	w.after(90 * time.Minute)
	require.Equal(t, map[hold.State]int{hold.Released: 201}, w.holds())
}
