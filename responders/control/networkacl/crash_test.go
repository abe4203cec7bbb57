package networkacl

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
	"portcullis/responders/hold"
)

// kinds are two subjects for each kind of slot, and how they are held.
var kinds = map[string]struct {
	first, second string
	level         string
	entry         hold.Entry
}{
	"addresses":      {"198.51.100.7", "198.51.100.8", "", hold.Entry{}},
	"networks":       {"192.0.2.0/28", "2001:db8:7::/48", LevelBlock, hold.Entry{}},
	"JA3":            {"ja3:e7d705a3286e19ea42f587b344ee6865", "ja3:e7d705a3286e19ea42f587b344ee6866", "", hold.Entry{}},
	"JA4":            {"ja4:t13d1516h2_8daaf6152771_b186095e22b6", "ja4:t13d1516h2_8daaf6152771_b186095e22b7", "", hold.Entry{}},
	"countries":      {"country:AQ", "country:BV", LevelRedirect, hold.Entry{RedirectTo: "https://status.example/paused"}},
	"systems":        {"asn:64500", "asn:64501", LevelLog, hold.Entry{}},
	"user agents":    {"user_agent:curl/8.5.0 (a, b)", "user_agent:python-requests/2.32", "", hold.Entry{}},
	"registrations":  {"198.51.100.7", "198.51.100.8", "", hold.Entry{Scope: "dynamic_client_registration"}},
	"counted before": {"198.51.100.7", "198.51.100.8", "", hold.Entry{LogFirst: 24 * time.Hour}},
}

// holdOf begins a hold of a kind, and says where its entry belongs.
func (b *bench) holdOf(kind, subject string, ttl time.Duration) (*hold.Hold, slot) {
	b.t.Helper()
	h := b.hold(subject, ttl)
	h.Level, h.Entry = kinds[kind].level, kinds[kind].entry
	s, _, err := slotOf(h, false)
	require.NoError(b.t, err)
	return h, s
}

// names checks what our ACL of a slot names; nothing: there is none.
func (b *bench) names(s slot, holds ...*hold.Hold) {
	b.t.Helper()
	acl := b.aclOf(s)
	if len(holds) == 0 {
		require.Nil(b.t, acl)
		return
	}
	var want []string
	for _, h := range holds {
		want = append(want, valueOf(h))
	}
	slices.Sort(want)
	require.NotNil(b.t, acl)
	require.True(b.t, s.isShape(acl), "%+v", acl.Rule)
	require.False(b.t, isOff(acl))
	require.Equal(b.t, want, s.entries(acl))
}

func TestEveryKindOfEntryHasAnACLOfItsOwn(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.foreign(22)
	slots := map[string]slot{}
	holds := map[string][]*hold.Hold{}
	for kind, k := range kinds {
		first, s := b.holdOf(kind, k.first, time.Hour)
		second, _ := b.holdOf(kind, k.second, 2*time.Hour)
		slots[kind] = s
		holds[s.id()] = append(holds[s.id()], first, second)
	}
	b.run()
	priorities := map[int]bool{}
	for kind, s := range slots {
		b.names(s, holds[s.id()]...)
		priorities[b.aclOf(s).Priority] = true
		for _, h := range holds[s.id()] {
			require.Equal(t, hold.Active, h.State, kind)
			require.Equal(t, s.done(), h.To)
		}
	}
	require.Len(t, priorities, len(holds), "priorities are unique")
	require.Len(t, b.NetworkACLs(), len(holds)+1)
	b.quiet()
	b.restart()
	b.quiet()
	b.end()
	require.Len(t, b.NetworkACLs(), 1)
}

func TestACrashAnywhereEndsTheSame(t *testing.T) {
	faults := map[string]tenantsim.Fault{
		"the request never arrives":         {Drop: true},
		"it is refused with 503":            {Status: 503},
		"it is applied and answered by 500": {Status: 500, AfterApply: true},
		"it is applied and not answered":    {Drop: true, AfterApply: true},
		"it is rate limited":                {Status: 429, RetryAfter: "0"},
	}
	for kind, k := range kinds {
		for name, fault := range faults {
			for _, method := range []string{"POST", "PATCH", "DELETE"} {
				t.Run(kind+": "+method+": "+name, func(t *testing.T) {
					t.Parallel()
					fault := fault // each method has its own
					fault.Method, fault.PathPrefix = method, path
					b := newBench(t, tenantsim.Options{})
					b.foreign(50)
					first, s := b.holdOf(kind, k.first, 2*time.Hour)
					var grown *hold.Hold
					if method != "POST" {
						b.run()
						grown, _ = b.holdOf(kind, k.second, time.Hour)
					}
					if method == "DELETE" {
						b.run()
						b.after(3 * time.Hour)
					}
					b.Fail(fault)
					_, _ = b.try()
					b.restart()
					b.run()
					switch {
					case method == "DELETE":
						b.names(s)
					case grown != nil:
						b.names(s, first, grown)
					default:
						b.names(s, first)
					}
					b.quiet()
					b.end()
					require.Len(t, b.NetworkACLs(), 1)
				})
			}
		}
	}
}

func TestAFaultInOneSlotKeepsNoOtherWaiting(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	_, ja4 := b.holdOf("JA4", kinds["JA4"].first, time.Hour)
	h := b.hold("198.51.100.7", time.Hour)
	b.Fail(tenantsim.Fault{Method: "POST", PathPrefix: path, Status: 500})
	_, err := b.try()
	require.Error(t, err)
	b.denies() // the first that was written failed
	require.NotNil(t, b.aclOf(ja4))
	b.run()
	b.denies("198.51.100.7")
	require.Equal(t, hold.Active, h.State)
	b.end()
}
