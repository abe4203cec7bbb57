package tenantsim

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

const (
	botSolves       = 0.02 // challenges a bot gets past
	blockExpiry     = 30 * 24 * time.Hour
	logAgain        = time.Hour // pwd_leak and limit_mu appear at most this often per address
	failureKeysKept = 200_000
)

// challengeChance is the chance that bot detection judges an automated attempt risky, by level.
var challengeChance = map[string]float64{"low": 0.20, "medium": 0.50, "high": 0.85}

const alwaysChance = 0.97

// defences are the attack protection settings in the form attempts are judged by, and what they remember.
type defences struct {
	botLevel                string
	passwordPolicy          string
	passwordlessPolicy      string
	monitoring              bool
	botAllowed              []netip.Prefix
	throttling, bruteForce  shield
	throttleMax             float64
	throttleRate            time.Duration
	bruteMax                int
	perIdentifier           bool
	breached, breachedBlock bool

	failures map[failureKey]failureCount
	spent    map[netip.Addr]spentAttempts
	leakSeen map[netip.Addr]time.Time
	muSeen   map[netip.Addr]time.Time
}

type shield struct {
	enabled, block bool
	allowed        []netip.Prefix
}

type failureKey struct {
	who  *user
	addr netip.Addr // the zero address counts all addresses together
}

type failureCount struct {
	n    int
	last time.Time
}

type spentAttempts struct {
	n  float64
	at time.Time
}

// configure reads the settings; what was counted stays.
func (d *defences) configure(settings map[string]map[string]any) {
	if d.failures == nil {
		d.failures = make(map[failureKey]failureCount)
		d.spent = make(map[netip.Addr]spentAttempts)
		d.leakSeen = make(map[netip.Addr]time.Time)
		d.muSeen = make(map[netip.Addr]time.Time)
	}
	bot := settings[botDetection]
	d.botLevel, _ = bot["bot_detection_level"].(string)
	d.passwordPolicy, _ = bot["challenge_password_policy"].(string)
	d.passwordlessPolicy, _ = bot["challenge_passwordless_policy"].(string)
	d.monitoring, _ = bot["monitoring_mode_enabled"].(bool)
	d.botAllowed = networksOf(bot["allowlist"])

	d.throttling = shieldOf(settings[suspiciousIP])
	stage, _ := settings[suspiciousIP]["stage"].(map[string]any)
	login, _ := stage["pre-login"].(map[string]any)
	d.throttleMax, _ = login["max_attempts"].(float64)
	rate, _ := login["rate"].(float64)
	d.throttleRate = time.Duration(rate) * time.Millisecond

	d.bruteForce = shieldOf(settings[bruteForce])
	most, _ := settings[bruteForce]["max_attempts"].(float64)
	d.bruteMax = int(most)
	d.perIdentifier = settings[bruteForce]["mode"] == "count_per_identifier"

	leak := shieldOf(settings[breachedPasswords])
	d.breached, d.breachedBlock = leak.enabled, leak.block
}

func shieldOf(s map[string]any) shield {
	enabled, _ := s["enabled"].(bool)
	shields, _ := s["shields"].([]any)
	return shield{enabled: enabled, block: slices.Contains(shields, any("block")), allowed: networksOf(s["allowlist"])}
}

func networksOf(v any) []netip.Prefix {
	list, _ := v.([]any)
	var out []netip.Prefix
	for _, item := range list {
		s, _ := item.(string)
		if p, err := parseNetwork(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// verdict is what bot detection says of one automated attempt.
type verdict struct {
	risky, stopped, allowlisted bool
}

func (d *defences) judgeBot(rng *rand.Rand, policy string, addr netip.Addr, unavailable bool) verdict {
	roll, solves := rng.Float64(), rng.Float64() < botSolves
	if unavailable {
		return verdict{}
	}
	v := verdict{allowlisted: contains(d.botAllowed, addr)}
	chance := challengeChance[d.botLevel]
	enforced := !v.allowlisted && !d.monitoring && policy != "never"
	if enforced && policy == "always" {
		chance = alwaysChance
	}
	v.risky = roll < chance
	v.stopped = enforced && v.risky && !solves
	return v
}

// throttled spends nothing; it reports whether the address has used up its failed logins.
func (d *defences) throttled(addr netip.Addr, now time.Time) bool {
	return d.throttling.enabled && !contains(d.throttling.allowed, addr) && d.spentNow(addr, now) > d.throttleMax-1
}

func (d *defences) spentNow(addr netip.Addr, now time.Time) float64 {
	s := d.spent[addr]
	if d.throttleRate <= 0 {
		return s.n
	}
	return max(0, s.n-float64(now.Sub(s.at))/float64(d.throttleRate))
}

// locked reports whether brute force protection has counted too many failures.
func (d *defences) locked(who *user, addr netip.Addr, now time.Time) bool {
	if who == nil || !d.bruteForce.enabled || contains(d.bruteForce.allowed, addr) {
		return false
	}
	key := failureKey{who: who, addr: addr}
	if d.perIdentifier {
		key.addr = netip.Addr{}
	}
	count := d.failures[key]
	return count.n >= d.bruteMax && now.Sub(count.last) < blockExpiry
}

// failed counts a failed login; who is nil for an unknown user name.
func (d *defences) failed(who *user, addr netip.Addr, now time.Time) {
	d.spent[addr] = spentAttempts{n: d.spentNow(addr, now) + 1, at: now}
	if who == nil {
		return
	}
	for _, key := range []failureKey{{who, addr}, {who, netip.Addr{}}} {
		d.failures[key] = failureCount{n: d.failures[key].n + 1, last: now}
	}
	if len(d.failures) > failureKeysKept {
		for key, count := range d.failures {
			if now.Sub(count.last) > time.Hour {
				delete(d.failures, key)
			}
		}
	}
}

// succeeded clears the failures of an account.
func (d *defences) succeeded(who *user, addr netip.Addr) {
	delete(d.failures, failureKey{who, addr})
	delete(d.failures, failureKey{who, netip.Addr{}})
}

// due reports whether something last logged per address may be logged again, and notes that it is.
func due(seen map[netip.Addr]time.Time, addr netip.Addr, now time.Time) bool {
	if last, ok := seen[addr]; ok && now.Sub(last) < logAgain {
		return false
	}
	seen[addr] = now
	return true
}
