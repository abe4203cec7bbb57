package networkacl

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"portcullis/responders/control"
)

const (
	// healthyDays is for how long logins are remembered.
	healthyDays = 7
	// maxKeys bounds what is told apart on one day: some 24 bytes each. What finds
	// no room is counted, and may then have been anybody's.
	maxKeys = 150_000
	// maxMarked bounds what is remembered of people on the never-touch list.
	maxMarked = 5000
	// maxOwn bounds the addresses that this program calls the tenant from.
	maxOwn = 16
	// enoughDays, enoughLogins are how much must be remembered before silence means
	// anything.
	enoughTime   = 24 * time.Hour
	enoughLogins = 1000
	// mostHealthy is the share of all healthy logins above which a person must look
	// at an entry, unless nearly all that came with it was an attack: mostAttacked.
	mostHealthy  = 0.002
	mostAttacked = 0.9
)

// Healthy remembers, for a week, who logged in: how many logins succeeded on each
// day from each address, network, fingerprint, country and user agent, and no
// names. Every login that succeeded counts as healthy, so an attacker's own
// successes err on the side of care. It may be used from any goroutine.
type Healthy struct {
	mu    sync.Mutex
	state healthyState
}

type healthyState struct {
	Since  time.Time            // the first login that it was told of
	Days   map[int64]*day       // by days since 1970
	Marked map[uint64]int64     // what people on the never-touch list were seen with: the day
	Own    map[netip.Addr]int64 // where this program calls from: the day
}

type day struct {
	Counts map[uint64]uint32
	Total  int // logins
	Lost   int // those that found no room

	written []byte // as it was last written; nil after a change
}

// Login is a login that succeeded, as far as the event tells.
type Login struct {
	At                                time.Time
	Addr                              netip.Addr
	JA3, JA4, ASN, Country, UserAgent string
	Marked                            bool // of a user, client or network on the never-touch list
}

// NewHealthy makes a memory that knows nothing.
func NewHealthy() *Healthy { return &Healthy{} }

// key names something that logins have in common: FNV-1a of the kind and the
// value, in which case makes no difference. A value that is not told is "".
func key(kind, value string) uint64 {
	h := uint64(14695981039346656037)
	for _, text := range [...]string{kind, "\x00", value} {
		for i := range len(text) {
			b := text[i]
			if 'A' <= b && b <= 'Z' {
				b += 'a' - 'A'
			}
			h = (h ^ uint64(b)) * 1099511628211
		}
	}
	return h
}

// untold are the keys of logins that do not tell something.
var untold = (&Login{}).keys()

const kindBlock = "block" // the /24 or /48 of an address

func blockOf(a netip.Addr) netip.Prefix {
	bits := joinedV4
	if a.Is6() {
		bits = joinedV6
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// keys are those of all that a login tells, and of what it does not tell.
func (l *Login) keys() [7]uint64 {
	addr, block := "", ""
	if l.Addr.IsValid() {
		a := l.Addr.Unmap().WithZone("")
		addr, block = a.String(), blockOf(a).String()
	}
	return [...]uint64{key(control.KindIP, addr), key(kindBlock, block), key(control.KindJA3, l.JA3), key(control.KindJA4, l.JA4),
		key(control.KindASN, strings.TrimPrefix(l.ASN, "AS")), key(control.KindCountry, l.Country), key(control.KindUserAgent, l.UserAgent)}
}

func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// Saw remembers a login that arrived at a time.
func (h *Healthy) Saw(l Login, arrived time.Time) {
	if l.At.IsZero() || l.At.After(arrived) {
		l.At = arrived
	}
	today, n := dayOf(arrived), dayOf(l.At)
	if n <= today-healthyDays {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.state
	if s.Since.IsZero() || l.At.Before(s.Since) {
		s.Since = l.At
	}
	d := s.Days[n]
	if d == nil {
		s.forget(today)
		d = &day{Counts: map[uint64]uint32{}}
		if s.Days == nil {
			s.Days = map[int64]*day{}
		}
		s.Days[n] = d
	}
	d.Total, d.written = d.Total+1, nil
	lost := false
	for _, k := range l.keys() {
		if l.Marked && !slices.Contains(untold[:], k) {
			s.mark(k, n)
		}
		switch _, known := d.Counts[k]; {
		case known || len(d.Counts) < maxKeys:
			d.Counts[k]++
		default:
			lost = true
		}
	}
	if lost {
		d.Lost++
	}
}

// forget drops what is older than a week.
func (s *healthyState) forget(today int64) {
	old := func(n int64) bool { return n <= today-healthyDays }
	maps.DeleteFunc(s.Days, func(n int64, _ *day) bool { return old(n) })
	maps.DeleteFunc(s.Marked, func(_ uint64, n int64) bool { return old(n) })
	maps.DeleteFunc(s.Own, func(_ netip.Addr, n int64) bool { return old(n) })
	if oldest := time.Unix((today-healthyDays+1)*24*60*60, 0).UTC(); s.Since.Before(oldest) {
		s.Since = oldest
	}
}

func (s *healthyState) mark(k uint64, n int64) {
	if s.Marked == nil {
		s.Marked = map[uint64]int64{}
	}
	if _, known := s.Marked[k]; known || len(s.Marked) < maxMarked {
		s.Marked[k] = max(n, s.Marked[k])
	}
}

// SawOwn remembers an address that this program calls the tenant from, as the
// tenant's log tells of its changes.
func (h *Healthy) SawOwn(a netip.Addr, arrived time.Time) {
	a = a.Unmap().WithZone("")
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state.Own == nil {
		h.state.Own = map[netip.Addr]int64{}
	}
	if _, known := h.state.Own[a]; a.IsValid() && (known || len(h.state.Own) < maxOwn) {
		h.state.Own[a] = dayOf(arrived)
	}
}

// Own lists the addresses that this program was seen to call the tenant from.
func (h *Healthy) Own() []netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.SortedFunc(maps.Keys(h.state.Own), netip.Addr.Compare)
}

// seen is how many logins had a value of a kind, and how many may have had: those
// that told none, and those that found no room.
func (s *healthyState) seen(kind, value string) (sure, most int) {
	k, untold := key(kind, value), key(kind, "")
	for _, d := range s.Days {
		n := int(d.Counts[k])
		sure, most = sure+n, most+n+int(d.Counts[untold])+d.Lost
	}
	return sure, most
}

func (s *healthyState) total() int {
	n := 0
	for _, d := range s.Days {
		n += d.Total
	}
	return n
}

// last is the latest day that anything was seen on.
func (s *healthyState) last() int64 {
	latest := int64(0)
	for n := range s.Days {
		latest = max(latest, n)
	}
	return latest
}

// enough reports whether so much is remembered that silence means something.
func (s *healthyState) enough() bool {
	end := time.Unix((s.last()+1)*24*60*60, 0)
	return !s.Since.IsZero() && end.Sub(s.Since) >= enoughTime+24*time.Hour && s.total() >= enoughLogins
}

// clean reports whether nobody healthy logged in from a network but, perhaps, its
// members, which are attackers. Of a network wider than what is remembered that
// is never so. known tells that enough is remembered to say so.
func (h *Healthy) clean(network netip.Prefix, members []string) (known, clean bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	block := blockOf(network.Addr())
	if !contains(block, network) {
		return h.state.enough(), false
	}
	_, most := h.state.seen(kindBlock, block.String())
	theirs := 0
	for _, m := range members {
		if p, err := control.ParseNetwork(m); err == nil && p.IsSingleIP() {
			sure, _ := h.state.seen(control.KindIP, p.Addr().String())
			theirs += sure
		}
	}
	return h.state.enough(), most <= theirs
}
