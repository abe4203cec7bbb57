package networkacl

import (
	"context"
	"fmt"
	"time"

	"portcullis/internal/auth0"
)

// sweepGrace is how long after its tag's end an ACL is still left to the daemon
// that it may belong to, which lets the tag lag behind by up to [tagSlack].
const sweepGrace = 2 * tagSlack

// Leftover is an ACL with the tag of some installation.
type Leftover struct {
	ID       string    `json:"acl"`
	Instance string    `json:"instance"`
	Slot     string    `json:"slot"`
	Entries  []string  `json:"entries"`          // ours
	Theirs   []string  `json:"theirs,omitempty"` // that people added, which stay
	End      time.Time `json:"expires,omitzero"`
	Expired  bool      `json:"expired"` // it is to be removed
	Removed  bool      `json:"removed"`
	Why      string    `json:"why"`
}

// Sweep removes ACLs that a daemon left behind whose store is lost: those with
// the tag of any installation whose end is past, and that nobody changed since.
// With dry it only tells. It goes on tags alone, and needs no store.
func Sweep(ctx context.Context, api API, op func() string, now time.Time, dry bool) ([]Leftover, error) {
	all, err := api.NetworkACLs(ctx)
	if err != nil {
		return nil, fmt.Errorf("read network ACLs: %w", err)
	}
	out := []Leftover{}
	for i := range all {
		l, ours := leftover(&all[i], now)
		if !ours {
			continue
		}
		if l.Expired && !dry {
			if err := l.remove(ctx, api, &all[i], op()); err != nil {
				return out, err
			}
		}
		out = append(out, l)
	}
	if dry {
		return out, nil
	}
	return out, gone(ctx, api, out)
}

// leftover judges one ACL; false when it bears no tag.
func leftover(a *auth0.NetworkACL, now time.Time) (Leftover, bool) {
	t, ok := tagOf(a.Description)
	if !ok {
		return Leftover{}, false
	}
	l := Leftover{ID: a.ID, Instance: t.Instance, Slot: t.Slot, End: t.End}
	s, known := slotFound(a)
	intact := known && s.id() == t.Slot
	if known {
		var same bool
		l.Entries, l.Theirs, same = t.split(s.entries(a))
		intact = intact && same
	}
	switch {
	case !intact:
		l.Why = "somebody changed it since it was written: it is theirs"
	case t.End.IsZero():
		l.Why = "its tag tells no end"
	case !now.After(t.End.Add(sweepGrace)):
		l.Why = "it runs until " + t.End.UTC().Format("2006-01-02 15:04 UTC") + ", and a daemon may still need it for " + sweepGrace.String()
	default:
		l.Expired, l.Why = true, "it ran out at "+t.End.UTC().Format("2006-01-02 15:04 UTC")
	}
	return l, true
}

// remove removes what is ours in an ACL: all of it, or the entries beside those
// that people added.
func (l *Leftover) remove(ctx context.Context, api API, a *auth0.NetworkACL, op string) error {
	var err error
	if len(l.Theirs) == 0 {
		err = api.DeleteNetworkACL(ctx, l.ID, op)
	} else if s, ok := slotFound(a); ok {
		theirs := auth0.NetworkACL{Description: "entries that people added to a network ACL of portcullis", Active: a.Active, Priority: a.Priority, Rule: s.rule(l.Theirs)}
		theirs.Rule.LogOnly = a.Rule.LogOnly
		err = api.UpdateNetworkACL(ctx, l.ID, theirs, op)
	}
	if err != nil {
		return fmt.Errorf("remove network ACL %s: %w", l.ID, err)
	}
	l.Removed = true
	return nil
}

// gone checks that what was removed is not there any more.
func gone(ctx context.Context, api API, swept []Leftover) error {
	after, err := api.NetworkACLs(ctx)
	if err != nil {
		return fmt.Errorf("read network ACLs back: %w", err)
	}
	for _, l := range swept {
		for _, a := range after {
			if _, tagged := tagOf(a.Description); l.Removed && a.ID == l.ID && tagged {
				return fmt.Errorf("network ACL %s was removed and is there still", l.ID)
			}
		}
	}
	return nil
}
