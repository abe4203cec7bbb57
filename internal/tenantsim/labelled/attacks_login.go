package labelled

import (
	"fmt"
	"time"
)

// What a leaked list is worth: a fifth of its names exist, a hundredth of its
// passwords is right.
const (
	listKnown = 0.20
	listValid = 0.01
)

func stuffing(r *run, i Intensity) {
	from := r.host(0)
	r.each(i.of(120, 600, 4000), time.Hour, func(_ int, at time.Time) { r.use(at, from, listKnown, listValid) })
}

// stuffingAmongCustomers comes from a telephone: everybody behind the carrier's
// address would be hit by what is done to the address.
func stuffingAmongCustomers(r *run, i Intensity) {
	from := place{ip: carrierAddress(1, 7), at: germany, agent: tool}
	r.each(i.of(120, 600, 4000), time.Hour, func(_ int, at time.Time) { r.use(at, from, listKnown, listValid) })
}

// stuffingFromOffice comes from an infected machine in a large office.
func stuffingFromOffice(r *run, i Intensity) {
	from := r.offices[0]
	from.agent = tool
	r.each(i.of(80, 300, 1500), time.Hour, func(_ int, at time.Time) { r.use(at, from, listKnown, listValid) })
}

func (r *run) spread(places []place, tries int, over time.Duration, known, valid float64) {
	order := r.rng.Perm(len(places) * tries)
	r.each(len(order), over, func(k int, at time.Time) { r.use(at, places[order[k]%len(places)], known, valid) })
}

func distributedFingerprint(r *run, i Intensity) {
	places := r.exits(i.of(150, 600, 3000), tooled)
	for k := range places {
		places[k].agent.name = r.browser(r.rng).name
	}
	r.spread(places, 2, 2*time.Hour, listKnown, listValid)
}

func distributedNetwork(r *run, i Intensity) {
	places := make([]place, i.of(60, 250, 1000))
	for k := range places {
		places[k] = place{ip: fmt.Sprintf("91.244.%d.%d", k%250, 3+k/250), at: romania, agent: r.disguised(k)}
	}
	r.spread(places, 3, 2*time.Hour, listKnown, listValid)
}

func distributedAgent(r *run, i Intensity) {
	places := r.exits(i.of(150, 600, 3000), r.disguised)
	for k := range places {
		places[k].agent.name = "Chrome 103.0.0 / Windows 8.1.0"
	}
	r.spread(places, 2, 2*time.Hour, listKnown, listValid)
}

func slowStuffing(r *run, i Intensity) {
	from := r.host(1)
	r.each(14*i.of(3, 6, 12), 14*time.Hour, func(_ int, at time.Time) { r.use(at, from, 0.3, 0.02) })
}

// slowDistributed: each address tries one name an hour.
func slowDistributed(r *run, i Intensity) {
	r.spread(r.exits(i.of(20, 60, 200), tooled), 12, 12*time.Hour, 0.3, 0.02)
}

// spray tries one password on users that exist.
func (r *run) spray(at time.Time, p *person, from place) {
	if r.rng.Float64() < 0.004 {
		r.succeed(at, p, from, webApp)
		return
	}
	r.fail(at, p, "", from)
}

func spraying(r *run, i Intensity) {
	from := r.host(2)
	users := r.crowd(i.of(80, 400, 2000))
	r.each(len(users), 2*time.Hour, func(k int, at time.Time) { r.spray(at, users[k], from) })
}

// sprayingDistributed has each of many addresses, in disguise, try a few users.
func sprayingDistributed(r *run, i Intensity) {
	places := r.exits(i.of(20, 80, 300), r.disguised)
	users := r.crowd(len(places) * 6)
	r.each(len(users), 3*time.Hour, func(k int, at time.Time) { r.spray(at, users[k], places[k%len(places)]) })
}

// checkedList has passwords of which many are right.
func checkedList(r *run, i Intensity) {
	from := r.host(3)
	r.each(i.of(15, 60, 240), time.Hour, func(_ int, at time.Time) { r.use(at, from, 0.7, 0.3) })
}

// checkedDistributed tries checked passwords, each from an address of its own.
func checkedDistributed(r *run, i Intensity) {
	places := r.exits(i.of(20, 80, 300), tooled)
	r.each(len(places), 4*time.Hour, func(k int, at time.Time) { r.use(at, places[k], 0.9, 0.55) })
}

// accountTaken: the attacker logs in with a password known from elsewhere, and
// makes the account his own.
func accountTaken(r *run, i Intensity) {
	for k, p := range r.crowd(i.of(1, 4, 20)) {
		from := r.exits(1, tooled)[0]
		at := r.start.Add(time.Duration(k)*11*time.Minute + r.after(0, 5*time.Minute))
		if i > Low {
			r.fail(at.Add(-30*time.Second), p, "", from)
		}
		r.log(entry{at: at.Add(-2 * time.Second), typ: "pla", text: "Pre-login assessment", who: p, from: from, details: `"requiresVerification":true,"ipOnAllowlist":false`})
		r.succeed(at, p, from, webApp)
		thief := *p
		thief.factor, thief.number = "sms", "+40722000111"
		r.factor(at.Add(2*time.Minute), "gd_enrollment_complete", &thief, from)
		r.log(entry{at: at.Add(4 * time.Minute), typ: "sce", text: "Email changed", who: p, from: from})
		r.log(entry{at: at.Add(6 * time.Minute), typ: "scp", text: "You can now login to the application with the new password.", who: p, from: from})
	}
}
