package networkacl

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

func login(addr string) Login {
	return Login{At: start, Addr: netip.MustParseAddr(addr), JA4: "t13d1516h2_8daaf6152771_b186095e22b6", Country: "de", UserAgent: "Firefox"}
}

// aWeek is a memory of a week of logins from 192.0.2.0/24, until the start.
func aWeek() *Healthy {
	h := NewHealthy()
	for d := range healthyDays {
		at := start.Add(-time.Duration(healthyDays-1-d) * 24 * time.Hour)
		for i := range 400 {
			l := login(fmt.Sprintf("192.0.2.%d", i%250))
			l.At = at
			h.Saw(l, at)
		}
	}
	return h
}

func TestANetworkIsCleanWhenNobodyButItsMembersLoggedIn(t *testing.T) {
	h := aWeek()
	members := []string{"198.51.100.7", "198.51.100.8"}
	network := netip.MustParsePrefix("198.51.100.0/28")
	ask := func() bool { known, clean := h.clean(network, members); require.True(t, known); return clean }
	require.True(t, ask())
	h.Saw(login("198.51.100.7"), start)
	require.True(t, ask(), "an attacker's own success")
	h.Saw(login("::ffff:198.51.100.200"), start)
	require.False(t, ask(), "somebody else in its block")
	_, clean := h.clean(netip.MustParsePrefix("198.51.0.0/16"), members)
	require.False(t, clean, "wider than what is remembered")
	_, clean = h.clean(netip.MustParsePrefix("2001:db8:1:2::/64"), nil)
	require.True(t, clean)
	h.Saw(login("2001:db8:1:ffff::1"), start)
	_, clean = h.clean(netip.MustParsePrefix("2001:db8:1:2::/64"), nil)
	require.False(t, clean, "somebody in its /48")
}

func TestWithoutMemoryNothingIsKnown(t *testing.T) {
	h := NewHealthy()
	known, _ := h.clean(netip.MustParsePrefix("198.51.100.0/28"), nil)
	require.False(t, known)
	for i := range 2000 {
		h.Saw(login(fmt.Sprintf("192.0.2.%d", i%250)), start)
	}
	known, _ = h.clean(netip.MustParsePrefix("198.51.100.0/28"), nil)
	require.False(t, known, "many logins of one hour tell nothing of a day")

	h = aWeek()
	l := login("192.0.2.1")
	l.Addr = netip.Addr{}
	h.Saw(l, start)
	_, clean := h.clean(netip.MustParsePrefix("198.51.100.0/28"), nil)
	require.False(t, clean, "a login that tells no address may have come from there")
}

func TestMemoryIsBoundedAndErrsOnTheSideOfCare(t *testing.T) {
	h := aWeek()
	for i := range maxKeys {
		h.Saw(Login{At: start, Addr: netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)})}, start)
	}
	for _, d := range h.state.Days {
		require.LessOrEqual(t, len(d.Counts), maxKeys)
	}
	_, clean := h.clean(netip.MustParsePrefix("198.51.100.0/28"), nil)
	require.False(t, clean, "what found no room may have been there")
	for i := range 2 * maxMarked {
		h.Saw(Login{At: start, Marked: true, Addr: netip.AddrFrom4([4]byte{101, byte(i >> 16), byte(i >> 8), byte(i)})}, start)
	}
	require.LessOrEqual(t, len(h.state.Marked), maxMarked)
}

func TestAWeekIsForgotten(t *testing.T) {
	h := aWeek()
	h.Saw(login("198.51.100.200"), start)
	later := start.Add(8 * 24 * time.Hour)
	h.Saw(Login{At: later, Addr: netip.MustParseAddr("192.0.2.1")}, later)
	require.Len(t, h.state.Days, 1)
	h.Saw(login("198.51.100.9"), later) // it comes late, by more than a week
	require.Len(t, h.state.Days, 1)
	future := login("198.51.100.10")
	future.At = later.Add(1000 * time.Hour)
	h.Saw(future, later)
	require.Len(t, h.state.Days, 1, "a stamp from the future counts as of now")
}

func TestMemoryOutlivesARestart(t *testing.T) {
	h := aWeek()
	h.SawOwn(netip.MustParseAddr("127.0.0.1"), start)
	data, err := h.MarshalBinary()
	require.NoError(t, err)
	again := NewHealthy()
	require.NoError(t, again.UnmarshalBinary(data))
	for _, d := range h.state.Days {
		d.written = nil
	}
	require.Equal(t, h.state, again.state)
	h.Saw(login("198.51.100.200"), start)
	data, err = h.MarshalBinary()
	require.NoError(t, err)
	require.NoError(t, again.UnmarshalBinary(data))
	sure, _ := again.state.seen(control.KindIP, "198.51.100.200")
	require.Equal(t, 1, sure, "a day that changed is written anew")
	for n := range 200 {
		require.Error(t, again.UnmarshalBinary(data[:n*len(data)/200]))
		require.Equal(t, healthyState{}, again.state, "half of it would be worse than none")
	}
	require.Error(t, again.UnmarshalBinary(append(data, 0)))

	empty, err := NewHealthy().MarshalBinary()
	require.NoError(t, err)
	require.NoError(t, again.UnmarshalBinary(empty))
	require.Equal(t, healthyState{}, again.state)
}

func FuzzMemoryIsReadOrRefused(f *testing.F) {
	h := NewHealthy()
	h.Saw(login("198.51.100.200"), start)
	h.SawOwn(netip.MustParseAddr("2001:db8::1"), start)
	data, err := h.MarshalBinary()
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte{healthyFormat, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		again := NewHealthy()
		if again.UnmarshalBinary(data) == nil {
			_, err := again.MarshalBinary()
			require.NoError(t, err)
			again.Saw(login("198.51.100.1"), start)
			again.clean(netip.MustParsePrefix("198.51.100.0/28"), nil)
		}
	})
}

func TestDoubtAsksAPersonWhereHealthyLoginsWouldBeHit(t *testing.T) {
	h := aWeek()
	boss := login("198.51.100.60")
	boss.Marked, boss.JA4, boss.UserAgent = true, "t13d000000_8daaf6152771_b186095e22b6", "Boss 1.0"
	h.Saw(boss, start)
	for range 50 {
		l := login("198.51.101.1")
		l.Country = "FR"
		h.Saw(l, start)
	}
	c := New(nil, nil, nil, "", Options{Healthy: h})
	for text, why := range map[string]string{
		"198.51.100.7":    "",
		"198.51.101.0/28": "of the 2851 logins that succeeded",
		"198.51.101.1":    "198.51.101.1 had 50 of the 2851 logins",
		"198.51.100.60":   "somebody on the never-touch list logged in with 198.51.100.60",
		"ja4:t13d000000_8daaf6152771_b186095e22b6": "somebody on the never-touch list",
		"ja4:t13d1516h2_8daaf6152771_b186095e22b6": "of the 2851 logins",
		"ja4:t13d1516h2_ffffffffffff_b186095e22b6": "",
		"country:DE":          "somebody on the never-touch list", // from where the boss is
		"country:FR":          "of the 2851 logins",
		"country:AQ":          "",
		"user_agent:Boss 1.0": "somebody on the never-touch list",
		"user_agent:curl/8":   "",
		"asn:64500":           "2851 of the 2851 logins that succeeded in the last 7 days do not tell whether",
		"198.51.0.0/16":       "wider than what is remembered",
		"198.51.100.0/24":     "somebody on the never-touch list",
	} {
		got := c.Doubt(&hold.Hold{Subject: text, Entry: hold.Entry{Volume: 40}})
		if why == "" {
			require.Empty(t, got, text)
		} else {
			require.Contains(t, got, why, text)
		}
	}
	require.Empty(t, c.Doubt(&hold.Hold{Subject: "198.51.101.1", Entry: hold.Entry{Volume: 5000}}), "nearly all that came from it was an attack")
	require.Empty(t, c.Doubt(&hold.Hold{Subject: "country:DE", Level: LevelLog}), "who is counted is not hit")

	young := New(nil, nil, nil, "", Options{Healthy: NewHealthy()})
	require.Empty(t, young.Doubt(&hold.Hold{Subject: "198.51.100.7"}))
	require.Contains(t, young.Doubt(&hold.Hold{Subject: "country:AQ"}), "too little is remembered")
}

func TestAFloodOfAddressesIsJoinedIntoNetworksWhereNobodyHealthyIs(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.healthy = aWeek()
	b.healthy.Saw(login("198.51.102.250"), start) // somebody lives in the third block
	b.restart()
	var holds []*hold.Hold
	for block := range 3 {
		for i := range 16 {
			holds = append(holds, b.hold(fmt.Sprintf("198.51.%d.%d", 100+block, i), time.Hour))
		}
	}
	b.run()
	got := blocked.entries(b.acl())
	require.Contains(t, got, "198.51.100.0/28")
	require.Contains(t, got, "198.51.101.0/28")
	for _, e := range got {
		require.NotRegexp(t, `^198\.51\.102\..*/`, e)
	}
	require.Len(t, got, 18)
	for _, h := range holds {
		require.Equal(t, hold.Active, h.State)
	}
	b.quiet()
	b.healthy = NewHealthy() // who lost the memory keeps what is in force, and joins nothing more
	b.restart()
	b.quiet()
	b.hold("198.51.103.1", time.Hour)
	b.hold("198.51.103.2", time.Hour)
	late := b.hold("198.51.103.3", time.Hour)
	b.run()
	require.Equal(t, hold.PendingCapacity, late.State)
	b.end()
}

func TestAHumanWhoTakesANetworkOutMeansAllThatIsInIt(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.healthy = aWeek()
	b.restart()
	var holds []*hold.Hold
	for i := range 21 {
		holds = append(holds, b.hold(fmt.Sprintf("198.51.100.%d", i), time.Hour))
	}
	b.hold("203.0.113.99", time.Hour)
	b.run()
	require.Contains(t, blocked.entries(b.acl()), "198.51.100.0/27")
	b.human("PATCH", path+"/"+b.acl().ID, map[string]any{"rule": rule("203.0.113.99")})
	b.run()
	for _, h := range holds {
		require.Equal(t, hold.Overruled, h.State)
	}
	b.denies("203.0.113.99")
	b.quiet()
	b.end()
}
