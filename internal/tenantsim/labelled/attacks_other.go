package labelled

import (
	"fmt"
	"time"
)

// fake is an account that an attacker makes.
func (r *run) fake(n int, email string) *person {
	p := r.person(r.rng, 5_000_000+n)
	p.email, p.factor = email, ""
	return &p
}

func fraudOneAddress(r *run, i Intensity) {
	from := r.host(4)
	r.each(i.of(45, 200, 1000), time.Hour, func(k int, at time.Time) {
		r.signUp(at, r.fake(k, fmt.Sprintf("%s.%s%d@outlook.com", firstNames[k%len(firstNames)], lastNames[k%len(lastNames)], r.rng.IntN(100_000))), from, 0)
	})
}

func fraudDisposable(r *run, i Intensity) {
	domains := []string{"mailinator.com", "yopmail.com", "guerrillamail.com", "trashmail.com"}
	places := r.exits(i.of(30, 150, 600), r.disguised)
	r.each(len(places), 2*time.Hour, func(k int, at time.Time) {
		r.signUp(at, r.fake(k, fmt.Sprintf("%x@%s", r.rng.Uint32(), domains[k%len(domains)])), places[k], time.Minute)
	})
}

// fraudPattern makes numbered names at a common provider, each from a household.
func fraudPattern(r *run, i Intensity) {
	places := r.exits(i.of(60, 300, 1500), r.disguised)
	r.each(len(places), 3*time.Hour, func(k int, at time.Time) {
		r.signUp(at, r.fake(k, fmt.Sprintf("anna.kern%04d@gmail.com", 1000+k)), places[k], 0)
	})
}

// pumping makes accounts and sends messages to a range of numbers that pays.
func pumping(r *run, i Intensity) {
	places := r.exits(i.of(20, 80, 300), r.disguised)
	r.each(len(places), 2*time.Hour, func(k int, at time.Time) {
		p := r.fake(k, fmt.Sprintf("%s%d@outlook.com", firstNames[k%len(firstNames)], r.rng.IntN(1_000_000)))
		p.factor, p.number = "sms", fmt.Sprintf("+9989032%05d", k*7)
		r.signUp(at, p, places[k], 0)
		for range 3 {
			at = at.Add(r.after(35*time.Second, 2*time.Minute))
			r.log(entry{at: at, typ: "gd_send_sms", text: factorTexts["gd_send_sms"], who: p, from: places[k],
				details: fmt.Sprintf(`"authenticator":{"id":"sms|%d","type":"sms","phone_number":"+99890XXXX%03d"}`, p.n, k*7%1000)})
		}
	})
}

func bombarding(r *run, i Intensity) {
	p := r.victim(func(p *person) bool { return p.factor == "sms" })
	from := r.host(5)
	r.each(i.of(9, 25, 90), 50*time.Minute, func(_ int, at time.Time) { r.factor(at, "gd_send_sms", p, from) })
}

// pushFatigue ends with the push that the user accepts.
func pushFatigue(r *run, i Intensity) {
	p := r.victim(func(p *person) bool { return p.factor == "push" })
	from := r.host(6)
	n := i.of(6, 12, 40)
	last := r.start
	r.each(n, time.Duration(n)*100*time.Second, func(k int, at time.Time) {
		r.factor(at, "gd_send_pn", p, from)
		if k%2 == 0 {
			r.factor(at.Add(12*time.Second), "gd_auth_rejected", p, p.home)
		}
		last = at
	})
	r.factor(last.Add(30*time.Second), "gd_auth_succeed", p, p.home)
	r.succeed(last.Add(31*time.Second), p, from, webApp)
}

func recoveryCodes(r *run, i Intensity) {
	for k, p := range r.crowd(i.of(1, 3, 10)) {
		victim := *p
		victim.factor = "otp"
		from := r.exits(1, tooled)[0]
		at := r.start.Add(time.Duration(k) * 7 * time.Minute)
		for range i.of(5, 10, 20) {
			r.factor(at, "gd_recovery_failed", &victim, from)
			at = at.Add(r.after(5*time.Second, 20*time.Second))
		}
		r.factor(at, "gd_recovery_succeed", &victim, from)
		r.succeed(at.Add(time.Second), &victim, from, webApp)
	}
}

// tokenTheft: a copy of the token is used far away, while its owner goes on.
func tokenTheft(r *run, i Intensity) {
	for k, p := range r.crowd(i.of(1, 6, 30)) {
		thief := r.exits(1, tooled)[0]
		thief.agent = agent{name: "okhttp/3.9.0"}
		at := r.start.Add(time.Duration(k) * 3 * time.Minute)
		own := p.home
		own.agent = p.phone
		for n := range 5 {
			r.refresh(at, p, thief, 500+2*n)
			r.hostile = false // the owner, whose token is worthless by now
			r.reuse(at.Add(14*time.Minute), p, own, 500+2*n)
			r.hostile = true
			if i == Low && n == 2 {
				break
			}
			at = at.Add(r.after(20*time.Minute, 40*time.Minute))
		}
	}
}

// outsider is an administrator's session in the hands of somebody elsewhere.
func (r *run) outsider() (*person, place) {
	from := r.host(7)
	from.at = vietnam
	return &r.admins[2], from
}

func takeoverByInvitation(r *run, i Intensity) {
	who, from := r.outsider()
	at := r.start
	r.manage(at, who, from, call{method: "post", path: "/api/v2/tenants/members/invitations", text: "Create tenant invitations for a given client", body: `{"roles":["owner"],"owners":["k.nobody@gmail.com"]}`})
	owner := r.admins[4]
	owner.id, owner.email = "google-oauth2|1099511627776", "k.nobody@gmail.com"
	for k := range i.of(2, 3, 6) {
		r.manage(at.Add(12*time.Minute+time.Duration(k)*40*time.Second), &owner, from, call{method: "delete", path: fmt.Sprintf("/api/v2/tenants/members/%x", 70+k), text: "Delete tenant member"})
	}
}

func takeoverDefences(r *run, i Intensity) {
	who, from := r.outsider()
	steps := []call{
		{method: "patch", path: "/api/v2/attack-protection/brute-force-protection", text: "Update Brute-force settings", body: `{"enabled":false,"shields":[],"allowlist":[]}`},
		{method: "put", path: "/api/v2/guardian/policies", text: "Update multi-factor authentication policies", body: `[]`},
		{method: "delete", path: "/api/v2/log-streams/lst_0000000000001", text: "Delete a log stream"},
		{method: "patch", path: "/api/v2/attack-protection/bot-detection", text: "Update bot detection", body: `{"challenge_password_policy":"never","challenge_passwordless_policy":"never","challenge_password_reset_policy":"never"}`},
		{method: "put", path: "/api/v2/guardian/factors/otp", text: "Update multi-factor authentication type", body: `{"enabled":false}`},
		{method: "patch", path: "/api/v2/actions/triggers/post-login/bindings", text: "Update trigger bindings", body: `{"bindings":[]}`},
	}
	for k, c := range steps[:i.of(1, 3, 6)] {
		r.manage(r.start.Add(time.Duration(k)*3*time.Minute), who, from, c)
	}
}

// takeoverByClient reads a secret, and uses it from elsewhere to give itself more.
func takeoverByClient(r *run, i Intensity) {
	who, from := r.outsider()
	r.manage(r.start, who, from, call{method: "get", path: "/api/v2/clients/" + pipeline.id, text: "Get client by ID", read: "client_secret", answer: fmt.Sprintf(`{"client_id":%q,"client_secret":"*****"}`, pipeline.id)})
	at := r.start.Add(20 * time.Minute)
	r.log(entry{at: at, typ: "seccft", text: "Client Credentials for Access Token", from: from, app: pipeline})
	if i > Low {
		r.manage(at.Add(time.Minute), nil, from, call{method: "post", path: "/api/v2/client-grants", text: "Create client grant", client: pipeline,
			body: `{"client_id":"evil0000000000000000000000000000","audience":"https://storefront.eu.auth0.com/api/v2/","scope":["update:users","create:client_grants","read:client_keys"]}`})
	}
	for k := range i.of(0, 1, 6) {
		r.manage(at.Add(time.Duration(2+k)*time.Minute), nil, from, call{method: "patch", path: "/api/v2/users/" + r.someone().id, text: "Update a User", client: pipeline, body: `{"email":"k.nobody@gmail.com","email_verified":true}`})
	}
}
