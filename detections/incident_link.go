package detections

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
)

// linkKind is what two alerts may share, the most telling first. A client_id is
// not among them: every login of an application names it.
type linkKind uint8

const (
	linkFamily linkKind = iota
	linkUser
	linkUserName
	linkIP
	linkJA4
	linkNetwork
	linkCampaign // nothing but the campaign and the hour
	linkKinds
)

var linkNames = [linkKinds]string{"token family", "user_id", "user_name", "ip", "ja4", "network", "campaign"}

// link is one value that links alerts.
type link struct {
	kind  linkKind
	value string
}

// maxLinkValue bounds the length of a value that links, in bytes.
const maxLinkValue = 256

// networkCampaign is the campaign whose alerts are always linked by network:
// who tries passwords spreads them over the addresses of a few networks.
const networkCampaign = "credential-attack"

// linksOf lists what may link an alert with another of its campaign, sorted,
// each once.
func linksOf(a *Alert) []link {
	var out []link
	add := func(k linkKind, values ...string) {
		for _, v := range values {
			if v != "" && len(v) <= maxLinkValue {
				out = append(out, link{k, v})
			}
		}
	}
	add(linkFamily, a.Entities.FamilyID...)
	add(linkFamily, a.Group["details.familyId"])
	add(linkUser, a.Entities.UserID...)
	add(linkUser, a.Group["user_id"])
	add(linkUserName, a.Group["user_name"])
	add(linkJA4, a.Entities.JA4...)
	add(linkJA4, a.Group["security_context.ja4"])
	networks := a.FoldNetwork || a.Campaign == networkCampaign
	for _, ip := range append(slices.Clone(a.Entities.IP), a.Group["ip"]) {
		address, err := netip.ParseAddr(ip)
		if err != nil {
			add(linkIP, ip) // masked or hashed, and still the same for the same address
			continue
		}
		address = address.Unmap().WithZone("")
		add(linkIP, address.String())
		if networks {
			add(linkNetwork, networkOf(address).String())
		}
	}
	if a.Fold != FoldLinked {
		add(linkCampaign, a.Campaign)
	}
	slices.SortFunc(out, compareLinks)
	return slices.Compact(out)
}

// networkOf is the network that an address is taken to be rented or leased with.
func networkOf(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked()
}

func compareLinks(a, b link) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.value, b.value))
}

// without lists the links of a, which is sorted, that b has not.
func without(a, b []link) []link {
	return slices.DeleteFunc(a, func(l link) bool {
		_, has := slices.BinarySearchFunc(b, l, compareLinks)
		return has
	})
}

// victimKeys are group keys that name one victim.
var victimKeys = []string{"user_id", "user_name", "details.familyId"}

// DefaultFold is how alerts of a rule fold that does not say. A rule that groups
// by a user or a token family tells of one victim, and two victims are two
// incidents; any other tells of an attack on the tenant, and folds by campaign.
func (r *Rule) DefaultFold() Fold {
	for _, g := range r.GroupBy {
		if slices.Contains(victimKeys, cmp.Or(g.Name, strings.TrimPrefix(g.Value, "data."))) {
			return FoldLinked
		}
	}
	return FoldCampaign
}

// checkFold reports a fold that is none, and fills in the default.
func (r *Rule) checkFold(d *yamldoc.Decoder) {
	folds := []string{string(FoldCampaign), string(FoldLinked)}
	switch {
	case r.Fold == "":
		r.Fold = r.DefaultFold()
	case !slices.Contains(folds, string(r.Fold)):
		d.Report(keyNode(r.node, "fold"), "fold", "unknown way to fold: %s%s", r.Fold, diag.DidYouMean(string(r.Fold), folds)).
			Hint = "campaign for a wave against the tenant, linked for one victim's alerts"
	}
}

// shown is the fold as alerts carry it: nothing for the common one.
func (f Fold) shown() Fold {
	if f == FoldCampaign {
		return ""
	}
	return f
}

const (
	// maxForeign is how many alerts of other campaigns may hold a value before it
	// links no more: the address of a carrier, the fingerprint of a browser.
	maxForeign = 20
	// maxIndexed bounds the values of each kind that are known. Strangers choose
	// them; one kind cannot take the place of another.
	maxIndexed = 50_000
	// maxHolders bounds the incidents that are known to hold a value.
	maxHolders = 32
)

// linkIndex finds the incidents that hold a value.
type linkIndex struct {
	uses    map[link]*linkUse
	indexed [linkKinds]int
	refused [linkKinds]int // values not taken in since the index was swept last
}

// linkUse is where a value was seen.
type linkUse struct {
	alerts []string        // one alert of each incident that holds it
	counts []campaignCount // alerts that hold it
}

type campaignCount struct {
	campaign string
	n        int
}

// found is an incident that an alert is linked with.
type found struct {
	in   *Incident
	edge Edge
}

// find looks up the incidents beside cur that an alert belongs to for one of its
// links: each once, by the most telling.
func (x *linkIndex) find(a *Alert, links []link, cur *Incident, is *Incidents) []found {
	var out []found
	for _, l := range links {
		u := x.uses[l]
		if u == nil || l.kind != linkCampaign && u.foreign(a.Campaign) > maxForeign {
			continue
		}
		for _, id := range u.alerts {
			in := is.byAlert[id]
			if in == nil || in == cur || in.Campaign != a.Campaign || !in.near(a) || slices.ContainsFunc(out, func(f found) bool { return f.in == in }) {
				continue
			}
			other := &in.Alerts[in.find(id)]
			out = append(out, found{in, Edge{A: id, B: a.ID, Kind: linkNames[l.kind], Value: l.value, Since: later(other.OpenedAt, a.OpenedAt)}})
		}
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// foreign is how many alerts of other campaigns hold the value.
func (u *linkUse) foreign(campaign string) int {
	n := 0
	for _, c := range u.counts {
		if c.campaign != campaign {
			n += c.n
		}
	}
	return n
}

// note takes in links of an alert that its incident holds.
func (x *linkIndex) note(a *Alert, links []link, is *Incidents) {
	if x.uses == nil {
		x.uses = map[link]*linkUse{}
	}
	in := is.byAlert[a.ID]
	for _, l := range links {
		u := x.uses[l]
		if u == nil {
			if !x.room(l.kind, a, is) {
				continue
			}
			u = &linkUse{}
			x.uses[l] = u
			x.indexed[l.kind]++
		}
		u.count(a.Campaign, 1)
		u.alerts = slices.DeleteFunc(u.alerts, func(id string) bool { return is.byAlert[id] == nil })
		if slices.ContainsFunc(u.alerts, func(id string) bool { return is.byAlert[id] == in }) {
			continue
		}
		if len(u.alerts) >= maxHolders {
			u.alerts = slices.Delete(u.alerts, 0, 1)
		}
		u.alerts = append(u.alerts, a.ID)
	}
}

func (u *linkUse) count(campaign string, by int) {
	i := slices.IndexFunc(u.counts, func(c campaignCount) bool { return c.campaign == campaign })
	if i < 0 {
		i = len(u.counts)
		u.counts = append(u.counts, campaignCount{campaign: campaign})
	}
	if u.counts[i].n += by; u.counts[i].n <= 0 {
		u.counts = slices.Delete(u.counts, i, i+1)
	}
}

// room reports whether one more value of a kind may be known. When there is none,
// those that nothing can join any more make way, looked for now and then.
func (x *linkIndex) room(k linkKind, a *Alert, is *Incidents) bool {
	if x.indexed[k] < maxIndexed {
		return true
	}
	if x.refused[k]++; x.refused[k]%(maxIndexed/10) != 1 {
		return false
	}
	for l, u := range x.uses {
		if l.kind == k && !slices.ContainsFunc(u.alerts, func(id string) bool { in := is.byAlert[id]; return in != nil && in.near(a) }) {
			delete(x.uses, l)
			x.indexed[k]--
		}
	}
	return x.indexed[k] < maxIndexed
}

// drop takes an alert out that is forgotten.
func (x *linkIndex) drop(a *Alert) {
	for _, l := range linksOf(a) {
		u := x.uses[l]
		if u == nil {
			continue
		}
		if u.count(a.Campaign, -1); len(u.counts) == 0 {
			delete(x.uses, l)
			x.indexed[l.kind]--
		}
	}
}
