package networkacl

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

var counted = slot{Level: LevelLog, Scope: auth0.ScopeAuthentication, Signal: control.KindIP}

// live lets time pass in the tenant too, and hands over the summaries that it
// logged.
func (b *bench) live(d time.Duration) {
	b.t.Helper()
	b.Advance(d)
	b.after(d)
	var out bytes.Buffer
	require.NoError(b.t, b.WriteEnvelopes(&out))
	for dec := json.NewDecoder(&out); dec.More(); {
		var env struct {
			Data json.RawMessage `json:"data"`
		}
		require.NoError(b.t, dec.Decode(&env))
		if bytes.Contains(env.Data, []byte(`"acls_summary"`)) {
			s, err := ReadSummary(env.Data)
			require.NoError(b.t, err)
			require.NotEmpty(b.t, s.ACLs)
			b.control.Summarised(s)
		}
	}
}

// attacked is a bench with a calm tenant that one address attacks.
func attacked(t *testing.T, opts tenantsim.Options, rate float64) *bench {
	t.Helper()
	b := newBench(t, opts)
	b.Tenant.Attack(tenantsim.Attack{Kind: tenantsim.CredentialStuffing, Duration: 3 * time.Hour, Rate: rate, IPs: []netip.Addr{netip.MustParseAddr("198.51.100.7")}})
	b.Tenant.Attack(tenantsim.Attack{Kind: tenantsim.CredentialStuffing, Duration: 3 * time.Hour, Rate: 1, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.200")}})
	return b
}

func TestAnEntryIsCountedFirstAndDeniesOnceTheTenantToldWhatItMatches(t *testing.T) {
	b := attacked(t, tenantsim.Options{}, 0.5)
	h := b.hold("198.51.100.7", 3*time.Hour)
	h.Entry.LogFirst, h.Severity = 15*time.Minute, 3
	b.run()
	b.names(counted, h)
	b.denies()
	require.Equal(t, "counted", h.To)
	require.Equal(t, "counted first, for 15m0s", h.Note)
	b.quiet()

	b.after(16 * time.Minute) // and no summary has come
	b.quiet()
	require.Equal(t, "only counted: the tenant's log has not told yet what it matches", h.Note)
	b.restart()
	b.quiet()

	b.live(20 * time.Minute)
	rep := b.run()
	require.Len(t, rep.Notes, 1)
	require.Contains(t, rep.Notes[0], "198.51.100.7 was only counted until now: its network ACL matched ")
	require.Contains(t, rep.Notes[0], "it is denied from here on")
	b.denies("198.51.100.7")
	b.names(counted)
	require.Equal(t, "denied", h.To)
	require.Empty(t, h.Note)
	b.restart()
	b.quiet()
	b.end()
}

func TestACrashWhileAnEntryIsPromotedEndsTheSame(t *testing.T) {
	for _, method := range []string{"POST", "DELETE"} {
		for name, fault := range map[string]tenantsim.Fault{"lost": {Drop: true}, "applied": {Status: 500, AfterApply: true}} {
			t.Run(method+" "+name, func(t *testing.T) {
				b := attacked(t, tenantsim.Options{}, 0.5)
				h := b.hold("198.51.100.7", 3*time.Hour)
				h.Entry.LogFirst = 10 * time.Minute
				b.run()
				b.live(20 * time.Minute)
				fault.Method, fault.PathPrefix = method, path
				b.Fail(fault)
				_, _ = b.try()
				b.restart()
				b.run()
				b.denies("198.51.100.7")
				b.names(counted)
				b.quiet()
				b.end()
			})
		}
	}
}

func TestWhatSpeaksAgainstAnEntryKeepsItCounted(t *testing.T) {
	t.Run("it matches nobody", func(t *testing.T) {
		b := attacked(t, tenantsim.Options{}, 0.5)
		h := b.hold("203.0.113.77", 3*time.Hour)
		h.Entry.LogFirst = 10 * time.Minute
		b.run()
		b.live(30 * time.Minute)
		b.run()
		b.denies()
		require.Equal(t, "only counted: it has matched no request", h.Note)
	})
	t.Run("it matches most of all requests", func(t *testing.T) {
		b := attacked(t, tenantsim.Options{}, 5)
		h := b.hold("198.51.100.7", 3*time.Hour)
		h.Entry.LogFirst = 10 * time.Minute
		b.run()
		b.live(30 * time.Minute)
		b.run()
		b.denies()
		require.Contains(t, h.Note, "more than an attack should: a person decides")
	})
	t.Run("somebody deleted the ACL that counts it", func(t *testing.T) {
		b := attacked(t, tenantsim.Options{}, 0.5)
		h := b.hold("198.51.100.7", 3*time.Hour)
		h.Entry.LogFirst = 10 * time.Minute
		b.run()
		b.human("DELETE", path+"/"+b.aclOf(counted).ID, nil)
		b.run()
		b.live(30 * time.Minute)
		b.run()
		require.Equal(t, hold.Overruled, h.State)
		b.denies()
		b.names(counted)
	})
}

func TestCriticalDeniesAtOnce(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold("198.51.100.7", time.Hour)
	h.Entry.LogFirst, h.Severity = 15*time.Minute, critical
	b.run()
	b.denies("198.51.100.7")
	b.names(counted)
	b.end()
}

func TestAPlanWithOneACLPromotesIntoIt(t *testing.T) {
	b := attacked(t, tenantsim.Options{ACLLimit: 1}, 0.5)
	h := b.hold("198.51.100.7", 3*time.Hour)
	h.Entry.LogFirst = 10 * time.Minute
	b.run()
	b.names(counted, h)
	b.live(20 * time.Minute)
	b.run()
	b.denies("198.51.100.7")
	b.end()
}

func TestASummaryThatIsNoneIsSaid(t *testing.T) {
	_, err := ReadSummary([]byte(`{"details":{"stats":"many"}}`))
	require.ErrorContains(t, err, "read acls_summary")
}

func TestALadderCountsFirstAndDeniesWhenTheAttackGoesOn(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold("198.51.100.7", 3*time.Hour)
	h.Level = LevelLog
	b.run()
	b.names(counted, h)
	h.Level = LevelBlock
	b.run()
	b.names(counted)
	b.denies("198.51.100.7")
	b.quiet()
	h.Level = LevelLog // a step down
	b.run()
	b.names(counted, h)
	b.denies()
	b.quiet()
	b.end()
}
