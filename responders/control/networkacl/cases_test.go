package networkacl

// The failure cases of the model of holds that concern network ACLs, by number.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

func TestCase07AnACLThatAHumanDeletesIsNotMadeAgain(t *testing.T) {
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tenantsim.Options{})
			h, s := b.holdOf(kind, k.first, time.Hour)
			other := b.hold("country:GL", time.Hour)
			b.run()
			b.human("DELETE", path+"/"+b.aclOf(s).ID, nil)
			rep := b.run()
			require.Len(t, rep.Notes, 1)
			require.Contains(t, rep.Notes[0], "deleted by somebody else")
			require.Equal(t, hold.Overruled, h.State)
			require.Equal(t, hold.Active, other.State, "another slot is not concerned")
			b.names(s)
			b.restart()
			b.quiet()
			b.names(s)
			again, _ := b.holdOf(kind, k.second, 2*time.Hour)
			b.run()
			b.names(s, again)
			b.end()
		})
	}
}

func TestCase10APriorityInUseIsLeftToWhoeverHasIt(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	for p := firstPriority; p < lastPriority-1; p += 3 {
		if len(b.NetworkACLs()) < 5 {
			b.foreign(p)
		}
	}
	others := b.NetworkACLs()
	b.hold("198.51.100.7", time.Hour)
	b.hold("ja4:t13d1516h2_8daaf6152771_b186095e22b6", time.Hour)
	b.hold("country:AQ", time.Hour)
	b.run()
	seen := map[any]bool{}
	for _, a := range b.NetworkACLs() {
		require.False(t, seen[a["priority"]])
		seen[a["priority"]] = true
		require.True(t, strings.HasPrefix(a["description"].(string), "ours since") || a["priority"].(float64) >= firstPriority && a["priority"].(float64) <= lastPriority)
	}
	b.end()
	require.Equal(t, others, b.NetworkACLs())
}

func TestCase11APlanWithOneACLHasOneSlotOfAddresses(t *testing.T) {
	b := newBench(t, tenantsim.Options{ACLLimit: 1})
	ja4 := b.hold("ja4:t13d1516h2_8daaf6152771_b186095e22b6", 3*time.Hour)
	ja4.Severity, ja4.Entry.Volume = 3, 1000
	b.run()
	require.Equal(t, hold.Active, ja4.State, "nothing is known of the plan yet")
	v4, v6 := b.hold("198.51.100.7", time.Hour), b.hold("2001:db8::7", time.Hour)
	b.run()
	b.denies("198.51.100.7", "2001:db8::7")
	require.Equal(t, hold.Active, v4.State)
	require.Equal(t, hold.Active, v6.State)
	require.Equal(t, hold.PendingCapacity, ja4.State)
	require.Contains(t, ja4.Note, "one network ACL, and it is for addresses")
	require.Len(t, b.NetworkACLs(), 1)
	b.quiet()
	b.restart()
	b.quiet()
	b.end()
}

func TestCase11AnACLOfAHumansOnAPlanWithOneIsNotTakenOver(t *testing.T) {
	b := newBench(t, tenantsim.Options{ACLLimit: 1})
	b.foreign(50)
	others := b.NetworkACLs()
	h := b.hold("198.51.100.7", time.Hour)
	b.run()
	require.Equal(t, hold.PendingCapacity, h.State)
	require.Equal(t, others, b.NetworkACLs())
	writes := len(b.writes)
	b.after(time.Minute)
	b.run()
	require.Len(t, b.writes, writes, "the plan is not tried again every minute")
	b.human("DELETE", path+"/"+others[0]["id"].(string), nil)
	b.run()
	b.denies("198.51.100.7")
	b.end()
}

// second is another daemon with the given instance and store on the same tenant.
func (b *bench) second(instance string, store memStore) *bench {
	b.t.Helper()
	other := &bench{Tenant: b.Tenant, t: b.t, store: store, client: b.client, now: b.now}
	other.restart()
	other.control.instance = instance
	return other
}

func TestCase14TwoDaemonsWithStoresOfTheirOwnLeaveEachOtherAlone(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	other := b.second("t2", memStore{})
	b.hold("198.51.100.7", time.Hour)
	theirs := other.hold("198.51.100.9", 3*time.Hour)
	b.run()
	rep := other.run()
	require.Len(t, rep.Notes, 1)
	require.Contains(t, rep.Notes[0], "of another installation")
	require.Equal(t, hold.Active, theirs.State)
	for range 3 {
		b.quiet()
		require.Empty(t, other.run().Changes)
	}
	b.denies("198.51.100.7")
	require.NotNil(t, other.acl())
	b.after(2 * time.Hour)
	b.run()
	b.denies()
	require.NotNil(t, other.acl(), "each takes back its own")
	require.Len(t, b.NetworkACLs(), 1)
}

func TestCase14ADaemonOnACopyOfTheStoreIsNoticedAndNotFought(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold("198.51.100.7", 2*time.Hour)
	b.run()
	other := b.second("t1", maps.Clone(b.store))
	for _, h := range b.holds {
		same := *h
		other.holds = append(other.holds, &same)
	}
	other.hold("198.51.100.9", 2*time.Hour)
	other.run()
	rep := b.run()
	require.Len(t, rep.Notes, 1)
	require.Contains(t, rep.Notes[0], "another daemon runs on a copy of it")
	for range 3 {
		b.quiet()
		require.Empty(t, other.run().Changes)
	}
	b.denies("198.51.100.7", "198.51.100.9")
	b.after(3 * time.Hour)
	other.now = b.now
	other.run()
	b.run()
	b.denies()
}

func TestCase15AFullACLIsRankedAndWhatWaitsIsShown(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	var first []*hold.Hold
	for i := range 15 {
		h := b.hold(fmt.Sprintf("198.51.%d.7", i), 2*time.Hour)
		h.Severity, h.Entry.Volume = 2, 40
		first = append(first, h)
	}
	require.Empty(t, b.run().Notes)
	for i := 15; i < 18; i++ {
		h := b.hold(fmt.Sprintf("198.51.%d.7", i), 2*time.Hour)
		h.Severity, h.Entry.Volume = 2, 40
		first = append(first, h)
	}
	rep := b.run()
	require.Len(t, rep.Notes, 1)
	require.Contains(t, rep.Notes[0], "is nearly full: 18 entries, and there is room for 20")
	b.quiet()
	for i := range 4 {
		h := b.hold(fmt.Sprintf("192.0.%d.7", i), 2*time.Hour)
		h.Severity, h.Entry.Volume = 3, 400*(i+1)
	}
	small := b.hold("203.0.113.80", 2*time.Hour)
	small.Entry.Volume = 10
	b.run()
	waiting := 0
	for _, h := range append(first, small) {
		if h.State == hold.PendingCapacity {
			waiting++
			require.Equal(t, "the network ACL is full: 20 addresses of each family", h.Note)
		}
	}
	require.Equal(t, 3, waiting, "two of the small ones give way, the last newcomer waits")
	require.Equal(t, hold.PendingCapacity, small.State)
	b.quiet()
	b.end()
}

type brokenStore struct{ memStore }

func (brokenStore) Get(context.Context, string) ([]byte, bool, error) {
	return nil, false, errors.New("disk is gone")
}

func TestCase16WithoutTheListsNothingIsDenied(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.control = New(b.client, brokenStore{}, func() string { return "op" }, "t1", Options{})
	h := b.hold("198.51.100.7", time.Hour)
	_, err := b.try()
	require.ErrorIs(t, err, control.ErrStore)
	require.Equal(t, hold.Active, h.State, "it is tried again")
	require.Empty(t, b.writes)

	b.control = New(b.client, b.store, func() string { return "op" }, "t1", Options{Guard: func(control.Subject) error {
		return errors.New("the never-touch list is not readable")
	}})
	b.run()
	require.Equal(t, hold.Failed, h.State)
	require.Contains(t, h.Note, "not readable")
	require.Empty(t, b.writes)
	b.denies()
}

func TestCase25AnOlderStoreThatIsPutBackIsNoticed(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	kept := b.hold("198.51.100.7", 3*time.Hour)
	b.run()
	backup := maps.Clone(b.store)
	b.hold("198.51.100.8", 3*time.Hour)
	b.run()
	b.human("PATCH", path+"/"+b.acl().ID, map[string]any{"rule": rule("198.51.100.7", "198.51.100.8", "192.0.2.1")})
	b.run()
	b.hold("198.51.100.9", 3*time.Hour)
	b.run()

	b.store, b.holds = backup, []*hold.Hold{kept}
	b.restart()
	rep := b.run()
	require.Len(t, rep.Notes, 1)
	require.Contains(t, rep.Notes[0], "an older store was put back")
	b.denies("198.51.100.7", "198.51.100.8", "198.51.100.9", "192.0.2.1")
	b.quiet()
	b.after(4 * time.Hour)
	b.run()
	b.denies("192.0.2.1") // a human's
	b.after(48 * time.Hour)
	b.quiet()
	b.denies("192.0.2.1")
}

func TestALostStoreIsAdoptedOnlyWhereNobodyChangedWhatWasLeft(t *testing.T) {
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tenantsim.Options{})
			h, s := b.holdOf(kind, k.first, time.Hour)
			b.run()
			left := b.aclOf(s)
			b.store, b.holds = memStore{}, nil
			b.restart()
			rep := b.run()
			require.Len(t, rep.Notes, 1)
			require.Contains(t, rep.Notes[0], "found a network ACL of an earlier run with 1 entries")
			b.names(s, h)
			b.end()

			// The same, and a human has put an entry of their own into it.
			changed := *left
			changed.Rule = s.rule([]string{valueOf(h), valueOf(&hold.Hold{Subject: k.second})})
			require.NoError(t, b.client.CreateNetworkACL(t.Context(), auth0.NetworkACL{Description: left.Description, Active: true, Priority: 30, Rule: changed.Rule}, "op-human"))
			b.restart()
			rep = b.run()
			require.Len(t, rep.Notes, 1)
			require.Contains(t, rep.Notes[0], "which somebody else changed: it is theirs now")
			b.after(48 * time.Hour)
			b.run()
			require.Len(t, b.NetworkACLs(), 1)
		})
	}
}
