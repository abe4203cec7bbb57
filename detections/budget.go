package detections

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// A rule may keep so many groups and so many bytes. When a flood of keys fills
// them, the groups with the least evidence go: of those with one event the one
// that waited longest, and only when there are none left those with two or three,
// and so on. Groups that are followed closely, or whose alert is open, never go.
// A group that was let go and comes back counts as one that has evidence.

// Memory bounds what the engine keeps for each rule. The zero value of a field
// stands for its default.
type Memory struct {
	Keys  int   // groups of a rule; 500,000
	Bytes int64 // of a rule, as far as they can be told; 256 MiB
}

const (
	defaultKeys  = 500_000
	defaultBytes = 256 << 20
	// shedShare is the part of a rule's groups that goes at a time: a flood is
	// paid for once in so many keys.
	shedShare = 16
)

// What is shed, as Stats.Shed names it.
const (
	shedWaiting = "waiting_events"
	shedEntries = "group_events"
	shedGroups  = "groups"
	shedValues  = "list_values"
	shedChains  = "chains"
)

// Sheds lists all that Stats.Shed may name.
var Sheds = []string{shedWaiting, shedEntries, shedGroups, shedValues, shedChains}

// Sizes in bytes, with what the runtime adds: a packed group with its place in
// the map, what a group that is not packed has beside its entries, and an entry
// with its texts.
const (
	groupSize = 48 + 40
	hotSize   = 128
	entrySize = 320
)

// size is about what a group takes.
func (g *group) size() int64 {
	n := int64(groupSize + len(g.key) + len(g.cold))
	if g.hot != nil {
		n += hotSize + int64(len(g.entries))*entrySize + int64(len(g.memory))
	}
	return n
}

// class orders groups by their evidence: the binary logarithm of their events.
func (g *group) class() int {
	n := int(g.n)
	if g.hot != nil {
		for i := range g.entries {
			n += g.entries[i].count()
		}
	}
	if g.lost {
		n++ // it was let go before, and came back
	}
	return bits.Len(uint(n))
}

// makeRoom lets groups go when a rule has no room for another.
func (e *Engine) makeRoom(r *ruleState) {
	if r.groups.len() < e.opts.Memory.Keys && r.bytes < e.opts.Memory.Bytes {
		return
	}
	type candidate struct {
		g     *group
		class int
		t     int64
	}
	var all []candidate
	for g := range r.groups.all() {
		if g.hot == nil || g.watch == nil {
			all = append(all, candidate{g, g.class(), g.latest(r)})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.t, b.t), cmp.Compare(a.g.key, b.g.key))
	})
	most := e.opts.Memory.Bytes / shedShare * (shedShare - 1)
	n := 0
	for n < len(all) && (n <= r.groups.len()/shedShare || r.bytes > most) {
		g := all[n].g
		e.touch(r, g)
		r.bytes -= g.size()
		r.groups.drop(g)
		r.gone.add(g.key)
		n++
	}
	if e.stats.Shed[r.ID][shedGroups] == 0 {
		e.log.Warn("a rule has no room for more groups: those with the least evidence are let go", "rule", r.ID, "tenant", e.tenant, "groups", r.groups.len())
	}
	e.shed(r.ID, shedGroups, int64(n))
}

// latest is the time of the group's last entry, as far as it is known.
func (g *group) latest(r *ruleState) int64 {
	switch {
	case g.hot != nil && len(g.entries) > 0:
		return g.entries[len(g.entries)-1].t
	case r.remembers() && g.hot == nil:
		return memoryUntil(g.cold)
	}
	t := int64(0)
	eachPacked(g.cold, func(at int64, _ uint16, _ string) { t = max(t, at) })
	return t
}

func (e *Engine) shed(rule, what string, n int64) {
	if n == 0 {
		return
	}
	if e.stats.Shed[rule] == nil {
		e.stats.Shed[rule] = map[string]int64{}
	}
	e.stats.Shed[rule][what] += n
}

// gone remembers the keys of groups that were let go, in two Bloom filters of
// which the older is cleared when the newer is full. It takes 2 MiB once a rule
// sheds; one key in 400 is taken for one that it is not.
type gone struct {
	now, before []uint64
	n           int
}

const (
	goneBits = 8 << 20
	goneKeys = 500_000
)

func goneBit(key string, i int) (word, bit uint64) {
	h := xxhash.Sum64String(key)
	at := (h + uint64(i)*(h>>32|1)) % goneBits
	return at / 64, 1 << (at % 64)
}

func (f *gone) add(key string) {
	if f.now == nil {
		f.now, f.before = make([]uint64, goneBits/64), make([]uint64, goneBits/64)
	}
	if f.n++; f.n > goneKeys {
		f.now, f.before, f.n = f.before, f.now, 1
		clear(f.now)
	}
	for i := range 4 {
		word, bit := goneBit(key, i)
		f.now[word] |= bit
	}
}

func (f *gone) has(key string) bool {
	if f.now == nil {
		return false
	}
	in := func(bits []uint64) bool {
		for i := range 4 {
			if word, bit := goneBit(key, i); bits[word]&bit == 0 {
				return false
			}
		}
		return true
	}
	return in(f.now) || in(f.before)
}

// notes says what about an alert's numbers is not exact.
func (ep *episode) notes(c *compiled, lost bool) []string {
	var out []string
	if lost {
		out = append(out, fmt.Sprintf("at least %d: events of this group were let go to stay within the rule's memory", ep.count))
	}
	for i, acc := range ep.evidence {
		if d, ok := acc.(*distinct); ok && d.approximate() {
			out = append(out, fmt.Sprintf("%s is an estimate, within %.1f %% two times out of three", c.aggs[i].text, 100*sketchError))
		}
	}
	return out
}
