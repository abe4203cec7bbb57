package networkacl

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/hold"
)

func TestAddressesOfBothFamiliesAreDeniedByOneACLWhileTheyAreHeld(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign(20)
	others := b.NetworkACLs()
	v4 := b.hold("198.51.100.7", time.Hour)
	v6 := b.hold("2001:db8::7", 2*time.Hour)
	rep := b.run()
	require.Len(t, rep.Changes, 2)
	b.denies("198.51.100.7", "2001:db8::7")
	require.Len(t, b.writes, 1)
	require.True(t, strings.HasPrefix(b.writes[0], "POST "))
	require.NotContains(t, b.writes[0], `"id"`)
	require.Equal(t, 21, b.acl().Priority, "20 was taken")
	require.Contains(t, b.acl().Description, "exp=2026-03-02T11:00Z ")
	require.Equal(t, "denied", v4.To)
	b.quiet()
	b.after(time.Hour)
	b.run()
	b.denies("2001:db8::7")
	require.Equal(t, hold.Released, v4.State)
	require.Equal(t, hold.Active, v6.State)
	b.end()
	require.Equal(t, others, b.NetworkACLs(), "the ACLs of others are never touched")
	for _, w := range b.writes {
		require.NotContains(t, w, others[0]["id"])
	}
}

func TestTheTagFollowsTheHolds(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold("198.51.100.7", time.Hour)
	b.run()
	h.Expires = h.Expires.Add(10 * time.Minute)
	b.quiet()
	h.Expires = start.Add(2*time.Hour + time.Second)
	b.run()
	require.Contains(t, b.acl().Description, "exp=2026-03-02T11:01Z ", "never before the hold's end")
	require.Len(t, b.writes, 2)
	b.denies("198.51.100.7")
	b.quiet()
	b.end()
}

func TestAPriorityTakenMeanwhileIsLeftToWhoeverTookIt(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	raced := false
	b.before = func(r *http.Request) {
		if r.Method == http.MethodPost && !raced {
			raced = true
			b.foreign(20)
		}
	}
	b.hold("198.51.100.7", time.Hour)
	b.run()
	b.denies("198.51.100.7")
	require.Equal(t, 21, b.acl().Priority)
	b.end()
	require.Len(t, b.NetworkACLs(), 1)
}

func TestAFullTenantMakesHoldsWaitForRoom(t *testing.T) {
	b := newBench(t, tenantsim.Options{ACLLimit: 1})
	b.foreign(1)
	h := b.hold("198.51.100.7", time.Hour)
	b.run()
	require.Equal(t, hold.PendingCapacity, h.State)
	require.Contains(t, h.Note, "no room for another network ACL: it has 1 and allows no more")
	require.Empty(t, h.To)
	writes := len(b.NetworkACLs())
	b.run()
	require.Equal(t, hold.PendingCapacity, h.State)
	require.Len(t, b.NetworkACLs(), writes)
	b.human("DELETE", path+"/"+b.NetworkACLs()[0]["id"].(string), nil)
	b.run()
	b.denies("198.51.100.7")
	require.Equal(t, hold.Active, h.State)
	require.Empty(t, h.Note)
	b.end()
}

func TestNoPriorityLeftIsNoRoom(t *testing.T) {
	b := newBench(t, tenantsim.Options{ACLLimit: 30})
	for p := firstPriority; p <= lastPriority; p++ {
		b.foreign(p)
	}
	h := b.hold("198.51.100.7", time.Hour)
	b.run()
	require.Equal(t, hold.PendingCapacity, h.State)
	require.Contains(t, h.Note, "priorities 20 to 39 are all taken")
	require.Empty(t, b.writes)
	b.end()
}

func TestMoreAddressesThanAnACLTakesWaitForRoom(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	var first []*hold.Hold
	for i := range maxEntries {
		first = append(first, b.hold(fmt.Sprintf("198.51.100.%d", i+1), time.Hour))
	}
	b.run()
	b.after(time.Minute)
	waits := b.hold("198.51.100.99", 2*time.Hour)
	other := b.hold("2001:db8::1", 2*time.Hour)
	b.run()
	require.Equal(t, hold.PendingCapacity, waits.State)
	require.Equal(t, "the network ACL is full: 20 addresses of each family", waits.Note)
	require.Equal(t, hold.Active, other.State, "the other family has room")
	b.quiet()
	b.after(time.Hour)
	b.run()
	require.Equal(t, hold.Active, waits.State)
	require.Equal(t, hold.Released, first[0].State)
	b.denies("198.51.100.99", "2001:db8::1")
	b.end()
}

func TestTheGuardKeepsAnAddressOutEvenWhenItWasIn(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold(never, time.Hour)
	b.run()
	require.Equal(t, hold.Failed, h.State)
	require.Contains(t, h.Note, "never-touch")
	b.denies()
	require.Empty(t, b.writes)
	b.end()
}

func TestLeftoversOfALostStoreAreAdoptedAndRemovedAfterTheTagsEnd(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold("198.51.100.7", time.Hour)
	b.run()
	b.store, b.holds = memStore{}, nil
	b.restart()
	rep := b.run()
	require.Equal(t, []string{"found a network ACL of an earlier run with 1 entries, denied: kept until 2026-03-02 10:00 UTC"}, rep.Notes)
	b.denies("198.51.100.7")
	b.quiet()
	b.after(10 * time.Minute)
	short := b.hold("198.51.100.8", 10*time.Minute)
	b.run()
	b.denies("198.51.100.7", "198.51.100.8")
	require.Contains(t, b.acl().Description, "exp=2026-03-02T10:00Z ", "not earlier than what was found")
	b.after(10 * time.Minute)
	b.run()
	require.Equal(t, hold.Released, short.State)
	b.denies("198.51.100.7")
	b.restart()
	b.after(time.Hour)
	b.run()
	b.denies()
	b.end()
}

func TestACopyLeftByALateRequestIsRemoved(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold("198.51.100.7", time.Hour)
	b.run()
	mine := b.acl()
	// The first of two requests, thought lost, lands after the second.
	b.human("POST", path, map[string]any{"description": mine.Description, "active": true, "priority": 30, "rule": rule("198.51.100.7")})
	b.run()
	b.denies("198.51.100.7")
	b.end()
}

func TestWhatTheTenantRefusesFailsForGood(t *testing.T) {
	read := []string{"read:network_acls"}
	for name, tt := range map[string]struct {
		opts tenantsim.Options
		why  string
	}{
		"a plan without network ACLs": {tenantsim.Options{ACLLimit: -1}, "the tenant allows no network ACLs"},
		"no scope to read":            {tenantsim.Options{Scopes: []string{"read:logs"}}, "read:network_acls"},
		"no scope to write":           {tenantsim.Options{Scopes: read}, "create:network_acls"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tt.opts)
			h := b.hold("198.51.100.7", time.Hour)
			b.run()
			require.Equal(t, hold.Failed, h.State)
			require.Contains(t, h.Note, tt.why)
			b.run()
			b.end()
		})
	}
}

func TestAnACLThatMayNotBeRemovedIsNotReleased(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold("198.51.100.7", time.Hour)
	b.run()
	second := b.hold("198.51.100.8", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 403})
	b.run()
	require.Equal(t, hold.Failed, second.State)
	require.Equal(t, hold.Active, h.State, "its address is denied")
	b.after(time.Hour)
	b.Fail(tenantsim.Fault{Method: "DELETE", Status: 403})
	_, err := b.try()
	require.ErrorIs(t, err, auth0.ErrForbidden)
	require.Equal(t, hold.Releasing, h.State)
	b.Fail(tenantsim.Fault{Method: "GET", PathPrefix: path, Status: 403})
	_, err = b.try()
	require.ErrorIs(t, err, auth0.ErrForbidden)
	require.Equal(t, hold.Releasing, h.State)
	b.run()
	require.Equal(t, hold.Released, h.State)
	b.end()
}

func TestAWriteThatDoesNotShowSettlesNothing(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold("198.51.100.7", time.Hour)
	b.run()
	b.after(time.Hour)
	b.Fail(tenantsim.Fault{Method: "DELETE", Status: 204})
	rep := b.run()
	require.True(t, rep.Again)
	require.Equal(t, hold.Releasing, h.State)
	b.run()
	require.Equal(t, hold.Released, h.State)
	b.end()
}

func TestCheckAsksForASubjectAndALevel(t *testing.T) {
	c := New(nil, nil, nil, "", Options{})
	require.NoError(t, c.Check("", "2001:db8::1"))
	require.NoError(t, c.Check("log", "ja4:t13d1516h2_8daaf6152771_b186095e22b6"))
	require.ErrorContains(t, c.Check("high", "2001:db8::1"), `no level "high"`)
	require.ErrorContains(t, c.Check("", ""), "needs a subject")
	require.NoError(t, c.CheckEntry("redirect", hold.Entry{RedirectTo: "https://status.example/"}))
	require.ErrorContains(t, c.CheckEntry("redirect", hold.Entry{RedirectTo: "http://status.example/"}), "needs redirect_to")
	require.ErrorContains(t, c.CheckEntry("", hold.Entry{Scope: "all"}), `no scope "all"`)
	require.ErrorContains(t, c.CheckEntry("log", hold.Entry{LogFirst: time.Minute}), "takes no log_first")
}
