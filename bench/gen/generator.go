package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Options says what to write.
type Options struct {
	Events    int    // at least 1
	Users     int    // at least 1; each has events only if there are several times as many events
	Addresses int    // at least 1, at most 4,000,000
	Attacks   int    // may be 0; they go through the kinds of attack in turn
	Seed      uint64 // any
}

// start and span are the time that the events spread over. It lies in the past,
// as a stamp from the future is set aside.
var start = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

const span = 6 * time.Hour

// maxAddresses is how many the address space of [appendAddress] holds.
const maxAddresses = 4_000_000

// event is one event before it is written.
type event struct {
	at      time.Time // when it happened
	logged  time.Time // when it was logged: never before
	shape   *shape
	user    int    // -1 when the name is nobody's
	name    int    // the number in the name that was typed, when user is -1
	address int    // an attacker's when negative
	agent   int    // index in agents
	app     int    // index in apps
	session uint64 // seeds the ids in details
	risky   bool   // the verdict of a pla
}

// Generator makes events one after another in the order of their log_ids.
type Generator struct {
	opts    Options
	rng     *rand.Rand
	attacks []event // in order of time
	usual   int     // events that are no attack
	done    int     // of the usual ones
	seq     int     // events so far
	present event
}

// New returns a generator, or an error that says which option does not fit.
func New(o Options) (*Generator, error) {
	switch {
	case o.Events < 1:
		return nil, fmt.Errorf("%d events: at least 1 is needed", o.Events)
	case o.Users < 1:
		return nil, fmt.Errorf("%d users: at least 1 is needed", o.Users)
	case o.Addresses < 1 || o.Addresses > maxAddresses:
		return nil, fmt.Errorf("%d addresses: between 1 and %d can be made", o.Addresses, maxAddresses)
	case o.Attacks < 0:
		return nil, fmt.Errorf("%d attacks: a number below zero makes no sense", o.Attacks)
	}
	g := &Generator{opts: o, rng: rand.New(rand.NewPCG(o.Seed, 0x706f7274))}
	for i := range o.Attacks {
		g.attacks = append(g.attacks, g.attack(i)...)
		if len(g.attacks) > o.Events {
			return nil, fmt.Errorf("%d attacks do not fit into %d events: ask for fewer with --attacks", o.Attacks, o.Events)
		}
	}
	slices.SortStableFunc(g.attacks, func(a, b event) int { return a.logged.Compare(b.logged) })
	g.usual = o.Events - len(g.attacks)
	return g, nil
}

// Next moves on to the next event; false when there is none.
func (g *Generator) Next() bool {
	if g.seq == g.opts.Events {
		return false
	}
	g.seq++
	at := start.Add(span)
	if g.done < g.usual {
		at = start.Add(time.Duration(float64(span) * float64(g.done) / float64(g.usual))).Truncate(time.Millisecond)
	}
	if len(g.attacks) > 0 && !g.attacks[0].logged.After(at) {
		g.present, g.attacks = g.attacks[0], g.attacks[1:]
		return true
	}
	g.done++
	g.present = g.draw(at)
	return true
}

// draw chooses what happens in the usual traffic.
func (g *Generator) draw(at time.Time) event {
	n := g.rng.IntN(total)
	shape := byShare[n]
	user := g.rng.IntN(g.opts.Users)
	// A user has three addresses out of those of the tenant, and shares them
	// with few others.
	address := (user*g.opts.Addresses/g.opts.Users + g.rng.IntN(3)) % g.opts.Addresses
	e := event{
		at: at, logged: at, shape: shape, user: user, address: address,
		agent: user % len(agents), app: user % 5 * g.rng.IntN(len(apps)) % len(apps), session: g.rng.Uint64(),
	}
	if shape.unknown {
		e.user, e.name = -1, g.rng.IntN(1_000_000)
	}
	if shape.code == "pla" {
		e.risky = g.rng.IntN(200) == 0
	}
	if g.rng.IntN(50) == 0 { // logged somewhat later than it happened
		e.at = at.Add(-time.Duration(g.rng.IntN(20_000)) * time.Millisecond)
	}
	return e
}
