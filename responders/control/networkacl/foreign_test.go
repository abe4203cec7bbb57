package networkacl

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/internal/tenantsim"
	"portcullis/responders/hold"
)

func TestWhatHumansDoToOurACLIsLeftAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		act      func(b *bench, id string)
		note     string
		state    hold.State
		left     []string // denied by ours afterwards
		keptOpen bool     // the ACL stays for good
	}{
		"deleted": {
			func(b *bench, id string) { b.human("DELETE", path+"/"+id, nil) }, "deleted by somebody else", hold.Overruled, nil, false},
		"switched off": {
			func(b *bench, id string) { b.human("PATCH", path+"/"+id, map[string]any{"active": false}) }, "switched off by somebody else", hold.Overruled, nil, false},
		"put into monitoring": {
			func(b *bench, id string) {
				r := rule("198.51.100.7", "198.51.100.8")
				r["action"] = map[string]any{"block": true, "log": true}
				b.human("PATCH", path+"/"+id, map[string]any{"rule": r})
			}, "switched off by somebody else", hold.Overruled, nil, false},
		"made to allow": {
			func(b *bench, id string) {
				r := rule("198.51.100.7", "198.51.100.8")
				r["action"] = map[string]any{"allow": true}
				b.human("PATCH", path+"/"+id, map[string]any{"rule": r})
			}, "theirs now", hold.Overruled, nil, true},
		"moved to another scope": {
			func(b *bench, id string) {
				r := rule("198.51.100.7", "198.51.100.8")
				r["scope"] = "management"
				b.human("PATCH", path+"/"+id, map[string]any{"rule": r})
			}, "theirs now", hold.Overruled, nil, true},
		"narrowed by another signal": {
			func(b *bench, id string) {
				r := rule("198.51.100.7", "198.51.100.8")
				r["match"].(map[string]any)["geo_country_codes"] = []any{"DE"}
				b.human("PATCH", path+"/"+id, map[string]any{"rule": r})
			}, "theirs now", hold.Overruled, nil, true},
		"renamed": {
			func(b *bench, id string) { b.human("PATCH", path+"/"+id, map[string]any{"description": "mine"}) }, "deleted by somebody else", hold.Overruled, nil, true},
		"an address taken out": {
			func(b *bench, id string) { b.human("PATCH", path+"/"+id, map[string]any{"rule": rule("198.51.100.8")}) }, "198.51.100.7 removed from", hold.Overruled, []string{"198.51.100.8"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tenantsim.Options{})
			h := b.hold("198.51.100.7", time.Hour)
			b.hold("198.51.100.8", time.Hour)
			b.run()
			id := b.acl().ID
			tt.act(b, id)
			after, writes := b.NetworkACLs(), len(b.writes)
			rep := b.run()
			require.Len(t, rep.Notes, 1)
			require.Contains(t, rep.Notes[0], tt.note)
			require.Equal(t, tt.state, h.State)
			b.restart()
			b.quiet()
			require.Equal(t, after, b.NetworkACLs(), "left alone")
			require.Len(t, b.writes, writes)
			if tt.left != nil {
				b.denies(tt.left...)
			}

			// A new hold counts again.
			h2 := b.hold("198.51.100.50", 3*time.Hour)
			b.run()
			require.Equal(t, hold.Active, h2.State)
			for _, raw := range b.NetworkACLs() {
				if raw["id"] == id && tt.keptOpen {
					require.Equal(t, after[0], raw, "what a human made of it stays")
				}
			}
			b.after(48 * time.Hour)
			b.run()
			if tt.keptOpen {
				require.Equal(t, after, b.NetworkACLs())
			} else {
				require.Empty(t, b.NetworkACLs())
			}
			b.quiet()
		})
	}
}

func TestANewHoldSwitchesTheACLOnForItsAddressAlone(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	old := b.hold("198.51.100.7", 3*time.Hour)
	b.run()
	b.human("PATCH", path+"/"+b.acl().ID, map[string]any{"active": false})
	b.run()
	b.hold("198.51.100.8", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Drop: true, AfterApply: true})
	_, err := b.try()
	require.Error(t, err)
	b.restart()
	b.run()
	b.denies("198.51.100.8")
	require.Equal(t, hold.Overruled, old.State)
	b.end()
}

func TestWhoSwitchesItOnAgainWantsTheHolds(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	h := b.hold("198.51.100.7", time.Hour)
	b.run()
	b.human("PATCH", path+"/"+b.acl().ID, map[string]any{"active": false})
	b.run()
	require.Equal(t, hold.Overruled, h.State)
	b.human("PATCH", path+"/"+b.acl().ID, map[string]any{"active": true})
	b.run()
	require.Equal(t, hold.Active, h.State)
	b.denies("198.51.100.7")
	b.end()
}

func TestAddressesThatHumansAddStay(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold("198.51.100.7", time.Hour)
	b.run()
	b.human("PATCH", path+"/"+b.acl().ID, map[string]any{"rule": rule("198.51.100.7", "192.0.2.0/24")})
	rep := b.run()
	require.Len(t, rep.Notes, 1)
	require.Contains(t, rep.Notes[0], "192.0.2.0/24 added to the network ACL by somebody else: kept")
	b.quiet()
	b.after(2 * time.Hour)
	b.run()
	b.denies("192.0.2.0/24")
	b.quiet()
	b.after(48 * time.Hour)
	b.hold("198.51.100.9", time.Hour)
	b.run()
	b.denies("192.0.2.0/24", "198.51.100.9")
	b.after(2 * time.Hour)
	b.run()
	b.denies("192.0.2.0/24")
	b.human("DELETE", path+"/"+b.acl().ID, nil)
	b.after(time.Hour)
	h := b.hold("198.51.100.10", time.Hour)
	b.run()
	require.Equal(t, hold.Active, h.State, "it was theirs to delete; nothing of ours was in it")
	b.end()
}

func TestAnAddressAddedByAHumanDuringACrashIsTheirsAndOursStaysOurs(t *testing.T) {
	b := newBench(t, tenantsim.Options{})
	b.hold("198.51.100.7", 2*time.Hour)
	b.run()
	b.hold("198.51.100.8", time.Hour)
	b.Fail(tenantsim.Fault{Method: "PATCH", Status: 500, AfterApply: true})
	_, err := b.try()
	require.ErrorIs(t, err, auth0.ErrUnknownOutcome)
	b.human("PATCH", path+"/"+b.acl().ID, map[string]any{"rule": rule("198.51.100.7", "198.51.100.8", "192.0.2.1")})
	b.restart()
	b.run()
	b.after(10 * time.Minute) // past the life of the intent
	b.run()
	b.after(3 * time.Hour)
	b.run()
	b.denies("192.0.2.1")
}
