package labelled

import (
	"fmt"
	"time"
)

// Story is something harmless that looks like an attack.
type Story struct {
	Name string
	Day  int // of the calm week, 0 to 6, on which it begins
	tell func(r *run)
}

// Stories are the look-alikes, in the order of the week.
func Stories() []Story {
	return []Story{
		{"office after a forced password change", 0, forcedChange},
		{"a user who does not remember", 0, forgetful},
		{"broken monitor", 0, brokenMonitor},
		{"administrator tunes protection", 1, tuning},
		{"two tabs race for one token", 1, racingTabs},
		{"VPN switched on and off", 1, switchingVPN},
		{"marketing campaign", 2, campaign},
		{"a class signs up together", 3, classroom},
		{"slow text messages", 3, slowMessages},
		{"carrier's address at a busy hour", 3, busyCarrier},
		{"a journey", 4, journey},
		{"an administrator joins, another leaves", 4, handover},
		{"push arrives late", 4, latePush},
	}
}

// Events tells a story of the week that begins on a day.
func (s Story) Events(w *World, week int) []Event {
	stream := uint64(100_000 + s.Day)
	for _, c := range s.Name {
		stream = stream*31 + uint64(c)
	}
	r := w.newRun(stream%1_000_000_000+100_000, s.Name, false, DayStart(week+s.Day))
	s.tell(r)
	return r.events()
}

// forcedChange: everybody in an office must have another password, and tries the
// old one first.
func forcedChange(r *run) {
	office := r.offices[1]
	n := 0
	for i := range r.people {
		p := &r.people[i]
		if p.office != 1 || n == 140 {
			continue
		}
		n++
		from := office
		from.agent = p.home.agent
		at := r.start.Add(8*time.Hour + r.after(0, 50*time.Minute))
		for range 1 + r.rng.IntN(4) {
			r.fail(at, p, "", from)
			at = at.Add(r.after(5*time.Second, 40*time.Second))
		}
		r.log(entry{at: at, typ: "scpr", text: "Change password request", who: p, from: from})
		at = at.Add(r.after(time.Minute, 6*time.Minute))
		r.log(entry{at: at, typ: "scp", text: "You can now login to the application with the new password.", who: p, from: from})
		r.succeed(at.Add(r.after(10*time.Second, time.Minute)), p, from, webApp)
	}
}

func forgetful(r *run) {
	p := r.victim(nil)
	at := r.start.Add(19 * time.Hour)
	for range 18 {
		r.fail(at, p, "", p.home)
		at = at.Add(r.after(8*time.Second, 50*time.Second))
	}
	r.log(entry{at: at, typ: "scpr", text: "Change password request", who: p, from: p.home})
	at = at.Add(4 * time.Minute)
	r.log(entry{at: at, typ: "scp", text: "You can now login to the application with the new password.", who: p, from: p.home})
	r.succeed(at.Add(time.Minute), p, p.home, webApp)
}

// brokenMonitor: a check logs in every minute with a password that has expired.
func brokenMonitor(r *run) {
	p := &person{id: "auth0|monitor00000000000000001", email: "monitor@storefront.example"}
	from := place{ip: "35.180.12.9", at: france, agent: agent{name: "StatusCheck/2.4", ja4: "t13d1812h1_85036bcba153_375ca2c5e164"}}
	for i := range 3 * 24 * 60 {
		r.fail(r.start.Add(time.Duration(i)*time.Minute+3*time.Second), p, "", from)
	}
}

func (r *run) setting(at time.Time, what, body string) {
	r.manage(at, &r.admins[0], r.desk(&r.admins[0]), call{method: "patch", path: "/api/v2/attack-protection/" + what, text: "Update " + what, body: body})
}

// tuning: protection is made stricter and stays so.
func tuning(r *run) {
	at := r.start.Add(9 * time.Hour)
	r.setting(at, "brute-force-protection", `{"enabled":true,"shields":["block","user_notification"],"mode":"count_per_identifier_and_ip","allowlist":[],"max_attempts":7}`)
	r.setting(at.Add(4*time.Minute), "suspicious-ip-throttling", `{"enabled":true,"shields":["block","admin_notification"],"allowlist":[],"stage":{"pre-login":{"max_attempts":50,"rate":1728000}}}`)
	r.setting(at.Add(9*time.Minute), "bot-detection", `{"bot_detection_level":"high","challenge_password_policy":"when_risky","challenge_passwordless_policy":"when_risky","challenge_password_reset_policy":"when_risky","allowlist":[],"monitoring_mode_enabled":false}`)
	r.setting(at.Add(30*time.Minute), "bot-detection", `{"bot_detection_level":"medium","challenge_password_policy":"when_risky","challenge_passwordless_policy":"when_risky","challenge_password_reset_policy":"when_risky","allowlist":[],"monitoring_mode_enabled":false}`)
	r.setting(at.Add(40*time.Minute), "breached-password-detection", `{"enabled":true,"shields":["block","admin_notification"],"stage":{"pre-user-registration":{"shields":["block"]}}}`)
}

// racingTabs: two tabs of one browser exchange the same refresh token.
func racingTabs(r *run) {
	p := r.victim(func(p *person) bool { return p.mobile })
	from := p.home
	for i := range 3 {
		at := r.start.Add(time.Duration(9+3*i) * time.Hour)
		r.refresh(at, p, from, 900+i)
		r.reuse(at.Add(250*time.Millisecond), p, from, 900+i)
	}
}

func switchingVPN(r *run) {
	p := r.victim(nil)
	for i := range 8 {
		at := r.start.Add(time.Duration(8*60+i*45) * time.Minute)
		from := p.home
		if i%2 == 1 {
			from = r.onVPN(r.rng, p)
		}
		r.succeed(at, p, from, webApp)
	}
}

// campaign: an advertisement brings very many newcomers.
func campaign(r *run) {
	r.start = r.start.Add(17 * time.Hour)
	r.each(len(r.people)/12, 5*time.Hour, func(i int, at time.Time) {
		p := r.newcomer(r.rng, 400_000+i)
		from := p.home
		if p.mobile {
			from = r.onMobile(r.rng, p)
		}
		verified := time.Duration(0)
		if r.rng.IntN(100) < 72 {
			verified = r.after(time.Minute, 40*time.Minute)
		}
		r.signUp(at, p, from, verified)
		r.log(entry{at: at.Add(time.Second), typ: "s", text: "Successful login", who: p, from: from})
	})
}

func classroom(r *run) {
	r.start = r.start.Add(9 * time.Hour)
	from := place{ip: "194.150.40.2", at: swiss}
	r.each(27, 25*time.Minute, func(i int, at time.Time) {
		from.agent = r.browser(r.rng)
		p := r.newcomer(r.rng, 600_000+i)
		r.signUp(at, p, from, r.after(time.Minute, 10*time.Minute))
		r.log(entry{at: at.Add(time.Second), typ: "s", text: "Successful login", who: p, from: from})
	})
}

// slowMessages: a carrier delays, and the user asks for the code again.
func slowMessages(r *run) {
	p := r.victim(func(p *person) bool { return p.factor == "sms" })
	at := r.start.Add(18 * time.Hour)
	for range 5 {
		r.factor(at, "gd_send_sms", p, p.home)
		at = at.Add(r.after(50*time.Second, 3*time.Minute))
	}
	r.factor(at, "gd_auth_succeed", p, p.home)
	r.succeed(at.Add(time.Second), p, p.home, webApp)
}

func latePush(r *run) {
	p := r.victim(func(p *person) bool { return p.factor == "push" })
	at := r.start.Add(8 * time.Hour)
	for range 4 {
		r.factor(at, "gd_send_pn", p, p.home)
		at = at.Add(r.after(30*time.Second, 90*time.Second))
	}
	r.factor(at, "gd_auth_succeed", p, p.home)
	r.succeed(at.Add(time.Second), p, p.home, webApp)
}

// busyCarrier: a match ends, and thousands of telephones log in through one gateway.
func busyCarrier(r *run) {
	r.start = r.start.Add(20 * time.Hour)
	ip := carrierAddress(2, 5)
	r.each(600, time.Hour, func(_ int, at time.Time) {
		p := r.someone()
		from := place{ip: ip, at: p.home.at, agent: p.phone}
		if r.rng.IntN(100) < 9 {
			for range 1 + r.rng.IntN(2) {
				r.fail(at, p, "", from)
				at = at.Add(r.after(5*time.Second, 20*time.Second))
			}
		}
		r.succeed(at, p, from, phoneApp)
	})
}

// journey: a user flies, with hours between two countries.
func journey(r *run) {
	p := r.victim(func(p *person) bool { return p.home.at.code == "DE" })
	r.succeed(r.start.Add(6*time.Hour), p, p.home, webApp)
	away := place{ip: "72.229.28.185", at: america, agent: p.phone}
	r.succeed(r.start.Add(18*time.Hour), p, away, phoneApp)
	r.refresh(r.start.Add(19*time.Hour), p, away, 700)
	r.succeed(r.start.Add(30*time.Hour), p, away, phoneApp)
}

// handover: a new administrator is invited, and one who left is removed.
func handover(r *run) {
	who := &r.admins[0]
	at := r.start.Add(10 * time.Hour)
	r.manage(at, who, r.desk(who), call{method: "post", path: "/api/v2/tenants/members/invitations", text: "Create tenant invitations for a given client", body: `{"roles":["editor-users"],"owners":["new.admin@corp.example"]}`})
	r.manage(at.Add(5*time.Hour), who, r.desk(who), call{method: "delete", path: "/api/v2/tenants/members/" + fmt.Sprintf("%x", 4711), text: "Delete tenant member"})
}
