package networkacl

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
)

// tag is what the description of an ACL says: whose it is and when its entries
// end, so that what a lost run left behind is recognised and cleaned up:
//
//	portcullis:v1 inst=9f3c2a slot=block/authentication/ip gen=17 exp=2026-11-21T10:00Z sum=1f2e3d4c theirs=0 managed while an attack lasts, do not edit
type tag struct {
	Instance string
	Slot     string
	Gen      int       // counts the writes to the slot
	End      time.Time // when the last entry runs out; zero when it tells none
	Sum      string    // of the entries that were written with it
	Theirs   uint64    // which of them, in order, are a human's: the first is bit 0
}

const (
	// anyTag begins the tag of every installation.
	anyTag    = "portcullis:v1 inst="
	tagFormat = "2006-01-02T15:04Z"
)

func (t tag) String() string {
	return fmt.Sprintf("%s%s slot=%s gen=%d exp=%s sum=%s theirs=%x managed while an attack lasts, do not edit",
		anyTag, t.Instance, t.Slot, t.Gen, t.End.UTC().Add(time.Minute-1).Format(tagFormat), t.Sum, t.Theirs)
}

// split tells a human's entries from ours; false when they are not those that the
// tag was written with.
func (t tag) split(entries []string) (ours, theirs []string, ok bool) {
	for i, e := range entries {
		if t.Theirs>>i&1 == 1 {
			theirs = append(theirs, e)
		} else {
			ours = append(ours, e)
		}
	}
	return ours, theirs, t.Sum == sumOf(entries)
}

// tagOf reads a tag; false when the description is none.
func tagOf(description string) (tag, bool) {
	var t tag
	rest, ok := strings.CutPrefix(description, anyTag)
	if !ok {
		return t, false
	}
	t.Instance, rest, _ = strings.Cut(rest, " ")
	for _, word := range strings.Fields(rest) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "slot":
			t.Slot = value
		case "gen":
			t.Gen, _ = strconv.Atoi(value)
		case "exp":
			if end, err := time.Parse(tagFormat, value); err == nil {
				t.End = end
			}
		case "sum":
			t.Sum = value
		case "theirs":
			t.Theirs, _ = strconv.ParseUint(value, 16, 64)
		}
	}
	return t, true
}

// sumOf is the sum of entries in a tag. It finds edits, not forgeries: who can
// write an ACL can write its tag.
func sumOf(entries []string) string {
	h := fnv.New32a()
	for _, e := range entries {
		fmt.Fprintln(h, e)
	}
	return fmt.Sprintf("%08x", h.Sum32())
}

// draft is the ACL of a slot that names the given entries, sorted, until a time.
// theirs are those that humans added.
func (c *Control) draft(s slot, want, theirs []string, gen int, end time.Time) auth0.NetworkACL {
	t := tag{Instance: c.instance, Slot: s.id(), Gen: gen, End: end, Sum: sumOf(want)}
	for i, e := range want {
		if slices.Contains(theirs, e) {
			t.Theirs |= 1 << i
		}
	}
	return auth0.NetworkACL{Description: t.String(), Active: true, Rule: s.rule(want)}
}

// isOurs reports whether an ACL bears this installation's tag for a slot.
func (c *Control) isOurs(a *auth0.NetworkACL, id string) bool {
	t, ok := tagOf(a.Description)
	return ok && t.Instance == c.instance && t.Slot == id
}

// tellOthers says which network ACLs another installation holds or a lost store
// left behind: they are nobody's here to take back.
func (c *Control) tellOthers(all []auth0.NetworkACL, now time.Time, rep *control.Report) {
	for _, a := range all {
		t, ok := tagOf(a.Description)
		if !ok || t.Instance == c.instance {
			continue
		}
		note := fmt.Sprintf("network ACL %s is of another installation, or of a store that was lost: left alone (%s)", a.ID, a.Description)
		if !t.End.IsZero() && now.After(t.End.Add(sweepGrace)) {
			note += "; it has run out: portcullis holds sweep removes it"
		}
		rep.Notes = append(rep.Notes, note)
	}
}
