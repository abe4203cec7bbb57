package labelled

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// run is one story or attack that is being told.
type run struct {
	*World
	*writer
	rng   *rand.Rand
	start time.Time
}

func (w *World) newRun(stream uint64, name string, hostile bool, start time.Time) *run {
	return &run{World: w, writer: newWriter(stream, name, hostile), rng: w.rng(stream), start: start}
}

// after is some time between a and b.
func (r *run) after(a, b time.Duration) time.Duration {
	return a + time.Duration(r.rng.Int64N(int64(b-a)))
}

// someone picks a user.
func (r *run) someone() *person { return &r.people[r.rng.IntN(len(r.people))] }

// victim picks a user who uses no VPN, so that where the user is usually is known.
func (r *run) victim(ok func(*person) bool) *person {
	from := r.rng.IntN(len(r.people))
	for i := range r.people {
		if p := &r.people[(from+i)%len(r.people)]; !p.vpn && (ok == nil || ok(p)) {
			return p
		}
	}
	return &r.people[0]
}

// crowd picks n different users.
func (r *run) crowd(n int) []*person {
	out := make([]*person, 0, n)
	for _, i := range r.rng.Perm(len(r.people))[:min(n, len(r.people))] {
		out = append(out, &r.people[i])
	}
	return out
}

// each spreads n things over a span, unevenly.
func (r *run) each(n int, over time.Duration, do func(i int, at time.Time)) {
	step := over / time.Duration(max(n, 1))
	for i := range n {
		do(i, r.start.Add(time.Duration(i)*step+r.after(0, max(step, time.Second))))
	}
}

// stranger is a name of a leaked list that the tenant does not know.
func (r *run) stranger() string {
	return fmt.Sprintf("%s%d@%s", lastNames[r.rng.IntN(len(lastNames))], r.rng.IntN(1_000_000), mailDomains[r.rng.IntN(len(mailDomains))])
}

// A tool of an attacker, whose fingerprint no browser has.
var tool = agent{name: "Chrome 109.0.0 / Windows 10.0.0", ja4: "t13d311200_e8f1e7e78f70_339aad2d3cd3"}

// host is an address at a provider of machines.
func (r *run) host(i int) place {
	return place{ip: fmt.Sprintf("185.%d.%d.%d", 220+i%3, 10+i*7%200, 20+i*13%200), at: hostileLand[i%len(hostileLand)], agent: tool}
}

// exits are addresses of households all over the world that an attacker rents, as
// many networks as addresses.
func (r *run) exits(n int, with func(i int) agent) []place {
	seen := map[string]bool{}
	var out []place
	for len(out) < n {
		ip := fmt.Sprintf("%d.%d.%d.%d", []int{177, 113, 186, 41, 103, 36, 189, 200, 14, 59}[r.rng.IntN(10)], r.rng.IntN(250), r.rng.IntN(250), 1+r.rng.IntN(250))
		if seen[ip] {
			continue
		}
		seen[ip] = true
		out = append(out, place{ip: ip, at: hostileLand[len(out)%len(hostileLand)], agent: with(len(out))})
	}
	return out
}

// disguised is a browser as everybody has.
func (r *run) disguised(int) agent { return r.browser(r.rng) }

func tooled(int) agent { return tool }

// use tries one name with a password of a list. known is the share of names that
// exist, valid that of passwords that are right, both of one.
func (r *run) use(at time.Time, from place, known, valid float64) {
	p := r.someone()
	switch x := r.rng.Float64(); {
	case x < valid:
		r.succeed(at, p, from, webApp)
	case x < known:
		r.fail(at, p, "", from)
	default:
		r.fail(at, nil, r.stranger(), from)
	}
}

func (r *run) events() []Event { return Merge(slices.Clone(r.out)) }
