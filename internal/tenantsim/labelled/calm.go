package labelled

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Day is the everyday traffic of one day, in order of time: logins with their
// rhythm, typing errors, forgotten passwords, second factors, tokens renewed on
// the move, sign-ups, machines, and administrators at work.
func (w *World) Day(n int) []Event {
	d := &day{World: w, writer: newWriter(uint64(n)+1, "", false), rng: w.rng(1000 + uint64(n)), start: DayStart(n), workday: n%7 < 5, n: n}
	for i := range w.people {
		d.live(&w.people[i])
	}
	d.signUps()
	d.strangers()
	d.machines()
	d.administrators()
	return Merge(d.out)
}

type day struct {
	*World
	*writer
	rng     *rand.Rand
	start   time.Time
	workday bool
	n       int
}

// rhythm is how much happens in each hour of the day, UTC.
var rhythm = [24]float64{2, 1, 1, 1, 2, 4, 8, 11, 12, 11, 10, 10, 9, 9, 9, 9, 9, 10, 12, 13, 12, 9, 6, 3}

var rhythmSum = func() (sum float64) {
	for _, x := range rhythm {
		sum += x
	}
	return sum
}()

// moment picks a time of the day as the rhythm has it.
func (d *day) moment() time.Time {
	x := d.rng.Float64() * rhythmSum
	for h, share := range rhythm {
		if x < share {
			return d.start.Add(time.Duration((float64(h) + x/share) * float64(time.Hour)))
		}
		x -= share
	}
	return d.start.Add(23 * time.Hour)
}

// where a person is at a time.
func (d *day) where(p *person, at time.Time) (place, *app) {
	switch h := at.Hour(); {
	case p.vpn && d.rng.IntN(100) < 60:
		return d.onVPN(d.rng, p), webApp
	case p.office >= 0 && d.workday && h >= 7 && h < 17 && d.rng.IntN(100) < 85:
		office := d.offices[p.office]
		office.agent = p.home.agent
		return office, webApp
	case p.mobile && d.rng.IntN(100) < 70:
		return d.onMobile(d.rng, p), phoneApp
	case p.mobile:
		home := p.home
		home.agent = p.phone
		return home, phoneApp
	}
	return p.home, webApp
}

func (d *day) poisson(mean float64) int {
	limit, k, x := math.Exp(-mean), 0, d.rng.Float64()
	for x > limit && k < 50 {
		k++
		x *= d.rng.Float64()
	}
	return k
}

func (d *day) chance(percent float64) bool { return d.rng.Float64()*100 < percent }

// after is some time between a and b.
func (d *day) after(a, b time.Duration) time.Duration {
	return a + time.Duration(d.rng.Int64N(int64(b-a)))
}

// live is one person's day.
func (d *day) live(p *person) {
	rate := p.rate
	if !d.workday {
		rate *= 0.7
	}
	for range d.poisson(rate) {
		at := d.moment()
		from, client := d.where(p, at)
		d.visit(p, at, from, client)
	}
	if p.mobile { // the app renews its token in the background
		counter := d.n*8 + 1
		for range d.poisson(2.2) {
			at := d.moment()
			from := d.onMobile(d.rng, p)
			if d.rng.IntN(2) == 0 {
				from = p.home
				from.agent = p.phone
			}
			counter++
			d.refresh(at, p, from, counter)
			if d.chance(0.02) { // two requests raced for the same token
				d.reuse(at.Add(300*time.Millisecond), p, from, counter)
			}
		}
	}
}

// visit is one login, with what comes before and after it.
func (d *day) visit(p *person, at time.Time, from place, client *app) {
	switch k := d.rng.Float64() * 100; {
	case k < 0.5:
		at = d.forget(p, at, from)
	case k < 4.5:
		for range 1 + d.rng.IntN(2) {
			d.fail(at, p, "", from)
			at = at.Add(d.after(4*time.Second, 25*time.Second))
		}
	case k < 5.3:
		d.fail(at, nil, "x"+p.email, from)
		at = at.Add(d.after(5*time.Second, 20*time.Second))
	}
	if d.chance(8) {
		d.log(entry{at: at.Add(-2 * time.Second), typ: "pla", text: "Pre-login assessment", who: p, from: from, app: client,
			details: fmt.Sprintf(`"requiresVerification":%t,"ipOnAllowlist":false`, d.chance(4))})
	}
	if d.chance(0.02) {
		d.log(entry{at: at.Add(-time.Second), typ: "pwd_leak", text: "Login with a password found in a leak", who: p, from: from, app: client})
	}
	if p.factor != "" && d.chance(45) {
		at = d.secondFactor(p, at, from)
	}
	d.succeed(at, p, from, client)
	if d.chance(6) {
		d.log(entry{at: at.Add(d.after(time.Hour, 3*time.Hour)), typ: "fsa", text: "Login required", who: p, from: from, app: client})
	}
	if d.chance(15) {
		d.log(entry{at: at.Add(d.after(5*time.Minute, 2*time.Hour)), typ: "slo", text: "User successfully logged out", who: p, from: from, app: client})
	}
	if d.chance(0.15) {
		changed := *p
		changed.factor = []string{"sms", "push"}[d.rng.IntN(2)]
		d.factor(at.Add(time.Minute), "gd_enrollment_complete", &changed, from)
	}
}

// forget is a person who does not remember, asks for a mail, and sets another
// password.
func (d *day) forget(p *person, at time.Time, from place) time.Time {
	for range 3 + d.rng.IntN(6) {
		d.fail(at, p, "", from)
		at = at.Add(d.after(5*time.Second, 40*time.Second))
	}
	d.log(entry{at: at, typ: "scpr", text: "Change password request", who: p, from: from})
	at = at.Add(d.after(time.Minute, 8*time.Minute))
	d.log(entry{at: at, typ: "scp", text: "You can now login to the application with the new password.", who: p, from: from})
	return at.Add(d.after(10*time.Second, time.Minute))
}

func (d *day) secondFactor(p *person, at time.Time, from place) time.Time {
	send := map[string]string{"sms": "gd_send_sms", "push": "gd_send_pn"}[p.factor]
	tries := 1
	if d.chance(4) {
		tries += 1 + d.rng.IntN(2) // the message is slow
	}
	for range tries {
		if send != "" {
			d.factor(at, send, p, from)
		}
		at = at.Add(d.after(6*time.Second, 40*time.Second))
	}
	if d.chance(3) {
		d.factor(at, "gd_auth_failed", p, from)
		at = at.Add(d.after(6*time.Second, 20*time.Second))
	}
	d.factor(at, "gd_auth_succeed", p, from)
	return at.Add(time.Second)
}

// newcomer is a person who signs up on a day.
func (w *World) newcomer(rng *rand.Rand, n int) *person {
	p := w.person(rng, 2_000_000+n)
	p.email = fmt.Sprintf("%s%d.%s@%s", firstNames[rng.IntN(len(firstNames))], rng.IntN(90), lastNames[rng.IntN(len(lastNames))], mailDomains[rng.IntN(len(mailDomains))])
	p.office = -1
	return &p
}

func (d *day) signUps() {
	for i := range d.poisson(float64(len(d.people)) / 250) {
		p := d.newcomer(d.rng, d.n*1000+i)
		at := d.moment()
		from, _ := d.where(p, at)
		verified := time.Duration(0)
		if d.chance(88) {
			verified = d.after(time.Minute, 20*time.Minute)
		}
		d.signUp(at, p, from, verified)
	}
}

// strangers try a few names from addresses of hosts, as they do everywhere.
func (d *day) strangers() {
	for i := range 25 {
		from := place{ip: fmt.Sprintf("45.%d.%d.%d", 80+d.rng.IntN(60), d.rng.IntN(256), 1+d.rng.IntN(250)), at: hostileLand[i%len(hostileLand)], agent: agent{name: "Go-http-client/1.1", ja4: fmt.Sprintf("t13d1909h1_%012x_%012x", i*77, d.n*31)}}
		at := d.start.Add(d.after(0, 23*time.Hour))
		for range 1 + d.rng.IntN(4) {
			d.fail(at, nil, fmt.Sprintf("info%d@%s", d.rng.IntN(50), mailDomains[d.rng.IntN(len(mailDomains))]), from)
			at = at.Add(d.after(time.Second, 30*time.Second))
		}
	}
}

// machines fetch tokens for themselves, and deploy.
func (d *day) machines() {
	for c := range 6 {
		client := &app{fmt.Sprintf("m2m%029d", c), fmt.Sprintf("Service %d", c)}
		from := place{ip: fmt.Sprintf("18.19%d.10.%d", c%3, 40+c), at: germany, agent: agent{name: "axios/1.6.8", ja4: "t13d5911h1_a33745022dd6_1f22a2ca17c4"}}
		for at := d.start.Add(d.after(0, 10*time.Minute)); at.Before(d.start.Add(24 * time.Hour)); at = at.Add(d.after(9*time.Minute, 31*time.Minute)) {
			d.log(entry{at: at, typ: "seccft", text: "Client Credentials for Access Token", from: from, app: client})
		}
	}
	if !d.workday {
		return
	}
	from := place{ip: "20.113.7.20", at: germany, agent: agent{name: "Terraform/1.8.2", ja4: "t13d1411h2_8d1f5cf2b2d1_7ac4b6e27cf0"}}
	for range 3 {
		at := d.start.Add(d.after(8*time.Hour, 16*time.Hour))
		d.log(entry{at: at.Add(-time.Minute), typ: "seccft", text: "Client Credentials for Access Token", from: from, app: pipeline})
		d.manage(at, nil, from, call{method: "patch", path: "/api/v2/clients/" + webApp.id, text: "Update a client", client: pipeline,
			body: `{"callbacks":["https://www.storefront.example/cb"]}`, answer: fmt.Sprintf(`{"client_id":%q,"grant_types":["authorization_code","refresh_token"],"cross_origin_authentication":false,"client_secret":"*****"}`, webApp.id)})
		d.manage(at.Add(20*time.Second), nil, from, call{method: "patch", path: "/api/v2/tenants/settings", text: "Update tenant settings", client: pipeline, body: `{"session_lifetime":168}`})
	}
}

// administrators work in the dashboard, from the office.
func (d *day) administrators() {
	if !d.workday {
		return
	}
	for range 6 {
		who := &d.admins[d.rng.IntN(len(d.admins))]
		from := d.desk(who)
		at := d.start.Add(d.after(8*time.Hour, 16*time.Hour))
		p := &d.people[d.rng.IntN(len(d.people))]
		switch d.rng.IntN(4) {
		case 0:
			d.manage(at, who, from, call{method: "patch", path: "/api/v2/users/" + p.id, text: "Update a User", body: `{"user_metadata":{"plan":"gold"}}`})
		case 1:
			d.manage(at, who, from, call{method: "delete", path: "/api/v2/user-blocks/" + p.id, text: "Unblock a user"})
		case 2:
			d.manage(at, who, from, call{method: "patch", path: "/api/v2/branding", text: "Update branding settings", body: `{"colors":{"primary":"#0059d6"}}`})
		case 3:
			d.manage(at, who, from, call{method: "post", path: "/api/v2/roles/rol_1/users", text: "Assign users to a role", body: fmt.Sprintf(`{"users":[%q]}`, p.id)})
		}
	}
}

// desk is where an administrator works.
func (w *World) desk(who *person) place {
	office := w.offices[0]
	office.agent = who.home.agent
	return office
}
