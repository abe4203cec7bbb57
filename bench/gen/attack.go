package main

import "time"

// attacks are what an attacker does, each in a form that a rule of the catalog
// answers. They are played in turn.
var attacks = []func(g *Generator, attacker int, from time.Time) []event{
	stuffing, smsBombing, botThenLogin,
}

// attack returns the events of the i-th attack, which is over before the file is.
func (g *Generator) attack(i int) []event {
	from := start.Add(time.Duration(g.rng.Int64N(int64(span - time.Hour)))).Truncate(time.Millisecond)
	return attacks[i%len(attacks)](g, i+1, from)
}

// act is one event of an attacker: after so much time, on a user.
func (g *Generator) act(code string, attacker int, at time.Time, user int) event {
	return event{
		at: at, logged: at, shape: shapes[code], user: user, address: -attacker,
		agent: attacker % len(agents), session: g.rng.Uint64(), risky: code == "pla",
	}
}

// stuffing tries leaked passwords from one address: names that exist, names
// that do not, two accounts locked, and one password that fits.
func stuffing(g *Generator, attacker int, from time.Time) []event {
	const tries = 120
	var out []event
	at := from
	for i := range tries {
		at = at.Add(time.Duration(4000+g.rng.IntN(4000)) * time.Millisecond)
		code := "fp"
		switch {
		case i%3 == 1:
			code = "fu"
		case i%40 == 39:
			code = "limit_wc"
		case i%40 == 20:
			code = "pwd_leak"
		}
		e := g.act(code, attacker, at, g.rng.IntN(g.opts.Users))
		if code == "fu" {
			e.user, e.name = -1, g.rng.IntN(1_000_000)
		}
		out = append(out, e)
	}
	return append(out, g.act("s", attacker, at.Add(3*time.Second), g.rng.IntN(g.opts.Users)))
}

// smsBombing starts the second factor of one user again and again.
func smsBombing(g *Generator, attacker int, from time.Time) []event {
	victim := g.rng.IntN(g.opts.Users)
	var out []event
	for i := range 24 {
		out = append(out, g.act("gd_send_sms", attacker, from.Add(time.Duration(i)*30*time.Second), victim))
	}
	return out
}

// botThenLogin is taken for a bot a few times and then logs in.
func botThenLogin(g *Generator, attacker int, from time.Time) []event {
	var out []event
	for i := range 6 {
		out = append(out, g.act("pla", attacker, from.Add(time.Duration(i)*20*time.Second), g.rng.IntN(g.opts.Users)))
	}
	return append(out, g.act("s", attacker, from.Add(10*time.Minute), g.rng.IntN(g.opts.Users)))
}
