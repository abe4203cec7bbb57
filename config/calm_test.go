package config_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/config"
	"portcullis/detections"
	"portcullis/logstream"
	"portcullis/responders"
	"portcullis/responders/control"
)

// What looks like an attack and is none, through the shipped rules and policies.

// calm is traffic in the making.
type calm struct {
	rng    *rand.Rand
	events []map[string]any
	logins []control.Login
}

var calmStart = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC) // a Monday

// say adds an event so long after the start. fields are names and values in turn.
func (c *calm) say(at time.Duration, typ string, fields ...any) {
	when := calmStart.Add(at)
	ev := map[string]any{"type": typ, "date": when.Format("2006-01-02T15:04:05.000Z"), "strategy": "auth0", "connection": "Users"}
	for i := 0; i+1 < len(fields); i += 2 {
		ev[fields[i].(string)] = fields[i+1]
	}
	c.events = append(c.events, ev)
	if typ == "s" || typ == "ss" {
		user, _ := ev["user_id"].(string)
		ip, _ := ev["ip"].(string)
		c.logins = append(c.logins, control.Login{At: when, User: user, IP: ip})
	}
}

// within is a time from low to high.
func (c *calm) within(low, high time.Duration) time.Duration {
	return low + time.Duration(c.rng.Int64N(int64(high-low)))
}

// person are the fields of events of one of many people behind an address.
func person(n int, ip string) []any {
	return []any{"user_id", fmt.Sprintf("auth0|u%d", n), "user_name", fmt.Sprintf("%s@corp.example", nameOf(n)), "ip", ip,
		"user_agent", fmt.Sprintf("Chrome 138.0.%d / Windows 10.0.0", n%4), "security_context", map[string]any{"ja4": fmt.Sprintf("t13d%d", n%5)}}
}

// nameOf is a name for the n-th person.
func nameOf(n int) string {
	syllables := []string{"an", "ber", "cla", "dor", "el", "fri", "gus", "hen", "il", "jo", "kat", "lu", "mar", "nor", "ot", "pau", "ro", "sven", "ta", "vik"}
	out := ""
	for range 3 {
		out += syllables[n%len(syllables)]
		n /= len(syllables)
	}
	return out
}

// play runs the traffic through the shipped rules, and what they tell through the
// shipped policies as in a tenant that enforces.
func (c *calm) play(t *testing.T) ([]detections.Alert, []responders.Would) {
	t.Helper()
	content, err := config.LoadContent(nil)
	require.NoError(t, err)
	alerts := map[string]detections.Alert{}
	var changes []detections.Change
	engine, err := detections.NewEngine("acme", content.Rules, detections.Options{
		Now:      func() time.Time { return calmStart.AddDate(1, 0, 0) },
		OnChange: func(ch detections.Change) { alerts[ch.Alert.ID] = ch.Alert; changes = append(changes, ch) },
	})
	require.NoError(t, err)
	slices.SortStableFunc(c.events, func(a, b map[string]any) int {
		return cmpText(a["date"].(string), b["date"].(string))
	})
	for i, fields := range c.events {
		fields["log_id"] = fmt.Sprintf("%08d", i)
		raw, err := json.Marshal(fields)
		require.NoError(t, err)
		ev, err := logstream.Decode(raw)
		require.NoError(t, err)
		engine.Ingest(&ev)
	}
	engine.Finish()
	require.Empty(t, engine.Stats().RuleErrors)
	require.NotEmpty(t, c.events)
	var told []detections.Alert
	for _, a := range alerts {
		told = append(told, a)
	}
	slices.SortFunc(told, func(a, b detections.Alert) int { return a.OpenedAt.Compare(b.OpenedAt) })
	nobody, err := responders.NewNeverTouch(nil, nil, nil)
	require.NoError(t, err)
	slices.SortFunc(c.logins, func(a, b control.Login) int { return a.At.Compare(b.At) })
	what := responders.NewWhatIf(responders.Tenant{Name: "acme", NeverTouch: nobody}, content.Policies, content.Checkers(), nil)
	would, err := what.Play(t.Context(), told, c.logins, nil)
	require.NoError(t, err)
	return told, would
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestWhatIsNoAttackStaysSilentOrHitsNobody(t *testing.T) {
	for name, tt := range map[string]struct {
		traffic func(*calm)
		may     []string // rules that may tell of it
	}{
		"an office behind one address after all passwords were changed": {office, []string{"credential-stuffing-ip", "attacking-address", "login-from-attacking-address"}},
		"a carrier's address with thousands of users":                   {carrier, []string{"credential-stuffing-ip"}},
		"a user who forgot the password":                                {forgetful, nil},
		"a VPN that is switched on and off":                             {vpn, nil},
		"a broken monitor that logs in every minute":                    {monitor, nil},
		"a marketing campaign's sign-ups":                               {campaign, []string{"signups-over-usual"}},
		"an administrator who tunes protection and leaves it on":        {tuning, nil},
		"two tabs that race with one refresh token":                     {tabs, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &calm{rng: rand.New(rand.NewPCG(1, 2))}
			tt.traffic(c)
			alerts, would := c.play(t)
			for _, a := range alerts {
				require.Contains(t, tt.may, a.Rule, "%s of %v", a.Title, a.Group)
			}
			for _, w := range would {
				// A challenge of risky logins is one that a person passes. All else would
				// shut somebody out, so a person is asked first.
				require.True(t, w.Asked || w.Control == "bot-detection" && w.Level != "maximum", "%+v", w)
			}
		})
	}
}

// office is 120 people who come to work between eight and ten. Most try the old
// password, some forget the new one; in the end everybody gets in.
func office(c *calm) {
	for n := range 120 {
		who := person(n, "203.0.113.10")
		at := c.within(2*time.Hour, 4*time.Hour)
		for range 1 + c.rng.IntN(4) {
			c.say(at, "fp", who...)
			at += c.within(5*time.Second, time.Minute)
		}
		if n%3 == 0 {
			c.say(at, "scpr", who...)
			at += c.within(time.Minute, 5*time.Minute)
			c.say(at, "scp", who...)
			at += 20 * time.Second
		}
		c.say(at, "s", who...)
	}
	// The hasty ones: thirty within a minute, before the first gets in.
	for n := range 30 {
		who := person(200+n, "203.0.113.10")
		for i := range 3 {
			c.say(110*time.Minute+time.Duration(n+30*i)*time.Second, "fp", who...)
		}
		c.say(115*time.Minute+time.Duration(n)*time.Second, "s", who...)
	}
}

// carrier is an address that a mobile carrier shares among its customers.
func carrier(c *calm) {
	for i := range 9000 {
		n := c.rng.IntN(4000)
		at := c.within(0, 6*time.Hour)
		who := person(n, "198.51.100.1")
		switch chance := c.rng.IntN(100); {
		case chance < 8:
			c.say(at, "fp", who...)
			at += c.within(5*time.Second, time.Minute)
		case chance < 11:
			c.say(at, "fu", "ip", "198.51.100.1", "user_name", fmt.Sprintf("%s@crop.example", nameOf(i)), "user_agent", "Chrome 138.0.1 / Windows 10.0.0")
			at += c.within(5*time.Second, time.Minute)
		}
		c.say(at, "s", who...)
	}
}

func forgetful(c *calm) {
	home, mobile := person(1, "203.0.113.20"), person(1, "198.51.100.9")
	for i := range 24 {
		c.say(time.Duration(i)*50*time.Second, "fp", [][]any{home, mobile}[i/16]...)
	}
	c.say(21*time.Minute, "limit_wc", home...)
	c.say(25*time.Minute, "scpr", mobile...)
	c.say(30*time.Minute, "scp", mobile...)
	c.say(31*time.Minute, "s", home...)
}

// vpn is a user at home who leaves by another country every few hours.
func vpn(c *calm) {
	places := []map[string]any{
		{"country_code": "DE", "latitude": 52.5, "longitude": 13.4},
		{"country_code": "US", "latitude": 40.7, "longitude": -74.0},
		{"country_code": "JP", "latitude": 35.7, "longitude": 139.7},
	}
	for i := range 200 {
		place := i % 7 % 3
		ip := []string{"203.0.113.30", "198.51.100.30", "192.0.2.30"}[place]
		c.say(time.Duration(i)*90*time.Minute, "s", append(person(1, ip), "location_info", places[place])...)
		c.say(time.Duration(i)*90*time.Minute+20*time.Minute, "sertft", append(person(1, ip), "details", map[string]any{"familyId": fmt.Sprintf("f%d", i)})...)
	}
}

// monitor logs in with a password that was changed, for a day. Another monitor
// on the same machine does well.
func monitor(c *calm) {
	for i := range 24 * 60 {
		at := time.Duration(i) * time.Minute
		if i%10 == 9 {
			c.say(at, "limit_wc", person(1, "203.0.113.40")...)
			continue
		}
		c.say(at, "fp", person(1, "203.0.113.40")...)
	}
}

// campaign is a calm week, and then a newsletter.
func campaign(c *calm) {
	providers := []string{"gmail.com", "outlook.com", "icloud.com", "gmx.net", "yahoo.com"}
	signup := func(n int, at time.Duration) {
		who := []any{"user_id", fmt.Sprintf("auth0|n%d", n), "user_name", nameOf(n) + "@" + providers[n%len(providers)], "ip", fmt.Sprintf("198.18.%d.%d", n/250%250, n%250)}
		c.say(at, "ss", who...)
		if n%10 < 7 {
			c.say(at+c.within(time.Minute, time.Hour), "sv", who...)
		}
	}
	for n := range 168 * 10 {
		signup(n, c.within(0, 168*time.Hour))
	}
	for n := range 3000 {
		signup(2000+n, c.within(168*time.Hour, 171*time.Hour))
	}
}

// tuning is an administrator who makes protection stricter, finds that it is too
// much, and settles in between.
func tuning(c *calm) {
	patch := func(at time.Duration, setting string, body map[string]any) {
		c.say(at, "sapi", "client_id", "dashboard", "ip", "203.0.113.50", "user_id", "auth0|adm", "details", map[string]any{
			"request": map[string]any{"method": "patch", "path": "/api/v2/attack-protection/" + setting, "body": body, "channel": "https://manage.auth0.com/",
				"userAgent": "Mozilla/5.0 (Windows NT 10.0) Chrome/138.0", "auth": map[string]any{"user": map[string]any{"user_id": "auth0|adm", "email": "ann@corp.example"}}},
			"response": map[string]any{"statusCode": 200, "body": body},
		})
	}
	for i, level := range []string{"low", "high", "medium"} {
		patch(time.Duration(i)*time.Hour, "bot-detection", map[string]any{"bot_detection_level": level, "challenge_password_policy": "when_risky",
			"challenge_passwordless_policy": "when_risky", "challenge_password_reset_policy": "when_risky", "monitoring_mode_enabled": false})
	}
	for i, attempts := range []int{10, 5, 8} {
		patch(time.Duration(i)*time.Hour+time.Minute, "brute-force-protection", map[string]any{"enabled": true, "shields": []string{"block", "user_notification"},
			"mode": "count_per_identifier_and_ip", "max_attempts": attempts})
		patch(time.Duration(i)*time.Hour+2*time.Minute, "suspicious-ip-throttling", map[string]any{"enabled": true, "shields": []string{"block", "admin_notification"},
			"stage": map[string]any{"pre-login": map[string]any{"max_attempts": 100 - 20*i, "rate": 864000}, "pre-user-registration": map[string]any{"max_attempts": 50, "rate": 1200}}})
		patch(time.Duration(i)*time.Hour+3*time.Minute, "breached-password-detection", map[string]any{"enabled": true, "shields": []string{"block", "admin_notification"},
			"stage": map[string]any{"pre-user-registration": map[string]any{"shields": []string{"block"}}}})
	}
}

// tabs are two tabs of one browser that now and then renew with the same token.
func tabs(c *calm) {
	for i := range 3 * 24 {
		who := append(person(1, "203.0.113.60"), "details", map[string]any{"familyId": "f1", "tokenCounter": i})
		c.say(time.Duration(i)*time.Hour, "sertft", who...)
		if i%16 == 5 {
			c.say(time.Duration(i)*time.Hour+200*time.Millisecond, "ferrt", who...)
		}
	}
}
