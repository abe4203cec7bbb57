package detections_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/logstream"
)

// Each kind of rule, by its own tests: rules as an author writes them.

func requirePasses(t *testing.T, rules string) {
	t.Helper()
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(rules)}}, detections.Lists{"failed": detections.NewList("f", "fp", "fu")})
	require.NoError(t, err)
	for _, r := range set.Rules {
		require.NotEmpty(t, r.Tests, r.ID)
		for _, res := range set.RunTests(r, nil) {
			require.Empty(t, res.Failures, "%s: %s", res.Rule, res.Name)
		}
	}
}

func TestAStepMayDoNothingButCompareWithEarlierOnes(t *testing.T) {
	requirePasses(t, `
id: two-networks
title: A token is used here, there, and here again
severity: medium
where: type == "sertft"
group_by: [details.familyId]
steps:
  - {name: here, where: type == "sertft"}
  - {name: there, where: ip != here.ip}
  - {name: again, where: ip == here.ip}
within: 1h
tests:
  - name: here, there, and here again
    events:
      - {type: sertft, ip: 192.0.2.1, details: {familyId: f1}}
      - {type: sertft, ip: 198.51.100.7, details: {familyId: f1}}
      - {type: sertft, ip: 192.0.2.1, details: {familyId: f1}}
    alerts: [{count: 3}]
  - name: here, and there for good
    events:
      - {type: sertft, ip: 192.0.2.1, details: {familyId: f1}}
      - '3 × {type: sertft, ip: 198.51.100.7, details: {familyId: f1}}'
    alerts: []
`)
}

func TestASequenceHoldsWhenItsStepsFollowEachOther(t *testing.T) {
	requirePasses(t, `
id: owner-then-deletes
title: An owner was invited and deleted members
severity: critical
where: type == "sapi"
steps:
  - {name: invite, where: details.request.method == "post" && details.request.body.role == "owner"}
  - {name: delete, where: details.request.method == "delete" && user_name == invite.details.request.body.email, times: 2}
within: 10m
quiet: 5m
evidence: {who: values(user_name)}
tests:
  - name: the invited deletes two
    events:
      - {type: sapi, user_name: a@x.example, details: {request: {method: post, body: {role: owner, email: b@x.example}}}}
      - '2 × {type: sapi, user_name: b@x.example, details: {request: {method: delete}}} over 2m'
    alerts: [{count: 3, evidence: {who: "[a@x.example b@x.example]"}}]
  - name: somebody else deletes
    events:
      - {type: sapi, user_name: a@x.example, details: {request: {method: post, body: {role: owner, email: b@x.example}}}}
      - '5 × {type: sapi, user_name: c@x.example, details: {request: {method: delete}}} over 2m'
    alerts: []
  - name: one delete is not two
    events:
      - {type: sapi, user_name: a@x.example, details: {request: {method: post, body: {role: owner, email: b@x.example}}}}
      - {type: sapi, user_name: b@x.example, details: {request: {method: delete}}}
    alerts: []
  - name: the wrong order
    events:
      - '2 × {type: sapi, user_name: b@x.example, details: {request: {method: delete}}} over 1m'
      - {at: 2m, type: sapi, user_name: a@x.example, details: {request: {method: post, body: {role: owner, email: b@x.example}}}}
    alerts: []
  - name: too slow
    events:
      - {type: sapi, user_name: a@x.example, details: {request: {method: post, body: {role: owner, email: b@x.example}}}}
      - {at: 5m, type: sapi, user_name: b@x.example, details: {request: {method: delete}}}
      - {at: 10m, type: sapi, user_name: b@x.example, details: {request: {method: delete}}}
    alerts: []
  - name: an invitation later than the first is in time
    events:
      - {type: sapi, user_name: a@x.example, details: {request: {method: post, body: {role: owner, email: b@x.example}}}}
      - {at: 5m, type: sapi, user_name: a@x.example, details: {request: {method: post, body: {role: owner, email: b@x.example}}}}
      - {at: 6m, type: sapi, user_name: b@x.example, details: {request: {method: delete}}}
      - {at: 12m, type: sapi, user_name: b@x.example, details: {request: {method: delete}}}
    alerts: [{count: 3}]
---
id: any-order
title: Blocked and successful
severity: high
ordered: false
group_by: [ip]
steps:
  - {name: blocked, where: type == "limit_mu"}
  - {name: success, where: type == "s", times: 2}
within: 1h
tests:
  - name: in either order
    events:
      - {type: s, ip: 198.51.100.1}
      - {type: limit_mu, ip: 198.51.100.1}
      - {type: s, ip: 198.51.100.1}
    alerts: [{group: {ip: 198.51.100.1}, count: 3}]
  - name: of two addresses
    events: [{type: s, ip: 198.51.100.1}, {type: s, ip: 198.51.100.1}, {type: limit_mu, ip: 198.51.100.2}]
    alerts: []
`)
}

func TestAnAbsenceHoldsWhenNothingFollowsInTime(t *testing.T) {
	requirePasses(t, `
id: never-verified
title: Signed up and never verified
severity: low
after: type == "ss"
expect: type == "sv"
within: 1h
quiet: 1h
group_by: [user_id]
tests:
  - name: nothing came
    events: [{type: ss, user_id: auth0|1}]
    alerts: [{group: {user_id: auth0|1}, count: 1}]
  - name: it came at the last moment
    events: [{type: ss, user_id: auth0|1}, {at: 1h, type: sv, user_id: auth0|1}]
    alerts: []
  - name: it came for somebody else
    events: [{type: ss, user_id: auth0|1}, {at: 10m, type: sv, user_id: auth0|2}]
    alerts: [{group: {user_id: auth0|1}}]
  - name: it came too late, which ends the alert
    events: [{type: ss, user_id: auth0|1}, {at: 70m, type: sv, user_id: auth0|1}]
    alerts: [{count: 2}]
  - name: before is not after
    events: [{type: sv, user_id: auth0|1}, {type: ss, user_id: auth0|1}]
    alerts: [{count: 1}]
`)
}

func TestAValueIsNewWhenItsGroupIsNot(t *testing.T) {
	requirePasses(t, `
id: first-country
title: First login from a country
severity: medium
where: type == "s"
value: location_info.country_code
per: [user_id]
learn: 3d
forget: 30d
quiet: 10m
evidence: {countries: values(location_info.country_code)}
tests:
  - name: new after the time of learning
    events:
      - '10 × {type: s, user_id: auth0|1, location_info: {country_code: DE}} over 5d'
      - {at: 145h, type: s, user_id: auth0|1, location_info: {country_code: BR}}
      - {at: 146h, type: s, user_id: auth0|1, location_info: {country_code: BR}}
    alerts: [{group: {user_id: auth0|1}, count: 1, evidence: {countries: "[BR]"}}]
  - name: a user of whom nothing is known
    events: [{type: s, user_id: auth0|1, location_info: {country_code: BR}}, {type: s, user_id: auth0|1, location_info: {country_code: DE}}]
    alerts: []
  - name: another user's country is not mine
    events:
      - '10 × {type: s, user_id: "auth0|{i%2}", location_info: {country_code: "C{i%2}"}} over 5d'
      - {at: 145h, type: s, user_id: auth0|1, location_info: {country_code: C0}}
    alerts: [{group: {user_id: auth0|1}}]
  - name: forgotten and new again
    events:
      - {type: s, user_id: auth0|1, location_info: {country_code: DE}}
      - '40 × {type: s, user_id: auth0|1, location_info: {country_code: AT}} over 40d from 1h'
      - {at: 984h, type: s, user_id: auth0|1, location_info: {country_code: DE}}
    alerts: [{count: 1, evidence: {countries: "[DE]"}}]
---
id: impossible-travel
title: Two places at once
severity: high
where: type == "s"
value: location_info.country_code
per: [user_id]
learn: 1s
having: travel_kmh > 900 && travel_km > 500
tests:
  - name: from Berlin to Tokyo in ten minutes
    events:
      - {type: s, user_id: auth0|1, location_info: {country_code: DE, latitude: 52.5, longitude: 13.4}}
      - {at: 10m, type: s, user_id: auth0|1, location_info: {country_code: JP, latitude: 35.7, longitude: 139.7}}
    alerts: [{group: {user_id: auth0|1}}]
  - name: in a day
    events:
      - {type: s, user_id: auth0|1, location_info: {country_code: DE, latitude: 52.5, longitude: 13.4}}
      - {at: 24h, type: s, user_id: auth0|1, location_info: {country_code: JP, latitude: 35.7, longitude: 139.7}}
    alerts: []
  - name: a place that is not known
    events:
      - {type: s, user_id: auth0|1, location_info: {country_code: DE, latitude: 52.5, longitude: 13.4}}
      - {at: 10m, type: s, user_id: auth0|1, location_info: {country_code: JP}}
    alerts: []
`)
}

func TestAStateHoldsUntilItIsChangedBack(t *testing.T) {
	requirePasses(t, `
id: bot-detection-off
title: Bot detection was turned off
severity: high
where: type == "sapi" && details.request.method == "patch" && details.request.path endsWith "/bot-detection"
value: details.response.body.policy
when: now == "never" && was != "never"
evidence: {was: was, now: now, who: values(user_name)}
tests:
  - name: off, and on again
    events:
      - {type: sapi, user_name: a, details: {request: {method: patch, path: /api/v2/attack-protection/bot-detection}, response: {body: {policy: always}}}}
      - {type: sapi, user_name: b, details: {request: {method: patch, path: /api/v2/attack-protection/bot-detection}, response: {body: {policy: never}}}}
      - {at: 100h, type: sapi, user_name: b, details: {request: {method: patch, path: /api/v2/attack-protection/bot-detection}, response: {body: {policy: never}}}}
      - {at: 200h, type: sapi, user_name: c, details: {request: {method: patch, path: /v2/attack-protection/bot-detection}, response: {body: {policy: when_risky}}}}
    alerts: [{count: 3, evidence: {was: always, who: "[b c]"}}]
  - name: it was off before we looked
    events: [{type: sapi, details: {request: {method: patch, path: /x/bot-detection}, response: {body: {policy: never}}}}]
    alerts: []
---
id: grants
title: A client may use passwords
severity: medium
where: type == "sapi"
key: [details.response.body.client_id]
value: details.response.body.grant_types
when: now contains "password"
evidence: {now: now}
tests:
  - name: each client has its own
    events:
      - {type: sapi, details: {response: {body: {client_id: a, grant_types: [password]}}}}
      - {type: sapi, details: {response: {body: {client_id: b, grant_types: [code]}}}}
      - {type: sapi, details: {response: {body: {client_id: a, grant_types: [code]}}}}
      - {type: sapi, details: {response: {body: {client_id: b, grant_types: [code, password]}}}}
      - {type: sapi, details: {response: {body: {client_id: b, grant_types: []}}}}
    alerts: [{group: {details.response.body.client_id: a}}, {group: {details.response.body.client_id: b}}]
`)
}

func TestABaselineComparesWithWhatIsUsualAtThisHour(t *testing.T) {
	requirePasses(t, `
id: surge
title: More failures than usual
severity: medium
where: type in lists.failed
window: 1h
having: count() > 20 && count() > 3 * baseline(count(), 7d).mean && baseline(count(), 7d).z > 4
quiet: 30m
evidence: {n: count()}
tests:
  - name: ten an hour for a week, then sixty
    events:
      - '1680 × {type: fp} over 168h'
      - '60 × {type: fp} over 20m from 168h10m'
    alerts: [{}]
  - name: always sixty an hour
    events: ['10080 × {type: fp} over 168h']
    alerts: []
  - name: without a past nothing is unusual
    events: ['60 × {type: fp} over 20m']
    alerts: []
`)
}

func TestRulesOnSignalsCountAlerts(t *testing.T) {
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(signalRules)}}, nil)
	require.NoError(t, err)
	for _, ahead := range []bool{false, true} {
		var got []string
		e, err := detections.NewEngine("acme", set, detections.Options{Ahead: ahead, OnChange: func(c detections.Change) {
			if c.Transition == detections.Resolved && c.Alert.Rule != "reuse" {
				got = append(got, c.Alert.Rule+" "+c.Alert.Group["rule"])
				require.Equal(t, 3, c.Alert.Count)
			}
		}})
		require.NoError(t, err)
		for i := range 7 {
			ingest(t, e, map[string]any{"type": "ferrt", "user_id": "auth0|" + string(rune('a'+i%3)), "ip": "198.51.100.1"}, i)
		}
		e.Finish()
		require.Empty(t, e.Stats().RuleErrors)
		require.Equal(t, []string{"many-users reuse"}, got, "ahead %v", ahead)
	}
}

const signalRules = `
id: many-users
title: Refresh tokens of many users were used twice
severity: high
on: signals
where: rule == "reuse" && severity != "info"
group_by: [rule]
window: 1h
having: distinct(group.user_id) >= 3
evidence: {users: values(user_id)}
---
id: reuse
title: Reuse
severity: low
where: type == "ferrt"
group_by: [user_id]
window: 10m
having: count() >= 2
`

func TestAListIsFilledByOneRuleAndReadByAnother(t *testing.T) {
	rules := `
id: reader
title: A login with a fingerprint seen in an attack
severity: high
where: type == "s" && security_context.ja4 in lists.attack_ja4
group_by: [user_id]
---
id: filler
title: An attack
severity: high
where: type == "fp"
group_by: [ip]
window: 10m
having: count() >= 3
publish: {list: attack_ja4, value: security_context.ja4, ttl: 1h}
---
id: calm
title: A login with another
severity: info
where: type == "s" && not (security_context.ja4 in lists.attack_ja4)
group_by: [user_id]
`
	set, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(rules)}}, nil)
	require.NoError(t, err)
	for _, ahead := range []bool{false, true} {
		var got []string
		e, err := detections.NewEngine("acme", set, detections.Options{Ahead: ahead, OnChange: func(c detections.Change) {
			if c.Transition == detections.Resolved && c.Alert.Rule != "filler" {
				got = append(got, c.Alert.Rule+" "+c.Alert.Group["user_id"])
			}
		}})
		require.NoError(t, err)
		login := func(user, ja4 string, second int) {
			ingest(t, e, map[string]any{"type": "s", "user_id": user, "security_context": map[string]any{"ja4": ja4}}, second)
		}
		login("before", "bad", 5)
		login("during", "bad", 40) // it arrives before what makes the list
		for i := range 3 {
			ingest(t, e, map[string]any{"type": "fp", "ip": "198.51.100.1", "security_context": map[string]any{"ja4": "bad"}}, 20+i)
		}
		login("other", "good", 50)
		login("after", "bad", 4000)
		e.Finish()
		require.Empty(t, e.Stats().RuleErrors)
		require.ElementsMatch(t, []string{"calm before", "reader during", "calm other", "calm after"}, got, "ahead %v", ahead)
	}
}

func TestRulesThatWaitForThemselvesAreRefused(t *testing.T) {
	_, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte(strings.TrimSpace(`
id: a
title: A
severity: low
where: type == "fp" && ip in lists.bad
publish: {list: bad, value: ip, ttl: 1h}
`))}}, nil)
	require.ErrorContains(t, err, "r.yaml:1:5: a: the rule waits for itself")
}

// ingest gives an engine one event, so many seconds after the start.
func ingest(t *testing.T, e *detections.Engine, fields map[string]any, second int) {
	t.Helper()
	ev := eventAt(t, fields, second, 0)
	e.Ingest(&ev)
}

// eventAt makes an event, so many seconds after the start.
func eventAt(t *testing.T, fields map[string]any, second, n int) logstream.Event {
	t.Helper()
	at := oracleBase.Add(time.Duration(second) * time.Second)
	fields["date"] = at.Format("2006-01-02T15:04:05.000Z")
	fields["log_id"] = fmt.Sprintf("id%06d-%d-%v-%v", second, n, fields["user_id"], fields["type"])
	raw, err := json.Marshal(fields)
	require.NoError(t, err)
	ev, err := logstream.Decode(raw)
	require.NoError(t, err)
	return ev
}

// Chains that each wait for another event are many, and cost each event no more
// than one look at each of them.
func TestASequenceWithAThousandOpenChainsIsStillFollowed(t *testing.T) {
	b := newBench(t, `
id: chains
title: Chains
severity: high
group_by: [ip]
within: 1h
steps:
  - {name: one, where: type == "fp"}
  - {name: two, where: type == "fp" && user_name != one.user_name, times: 3}
  - {name: three, where: type == "s" && user_name == one.user_name}
`, detections.Options{})
	for i := range 600 {
		b.at(time.Duration(i)*time.Second, "user_name", fmt.Sprintf("u%d", i))
	}
	b.at(610*time.Second, "type", "s", "user_name", "u580")
	b.Settle()
	require.Equal(t, []string{"opened chains 5"}, b.take())
	require.NotZero(t, b.Stats().Shed["chains"]["chains"])
}

// An event under way may show that a value was seen while its group learned.
func TestWhatAnEventUnderWayCouldMakeKnownIsNotToldAtOnce(t *testing.T) {
	const rule = `
id: new
title: New
severity: low
where: type == "s"
value: user_agent
per: [ip]
learn: 20m
forget: 1h
quiet: 1m
`
	see := func(b *bench, at time.Duration, agent string) { b.at(at, "type", "s", "user_agent", agent) }
	b := newBench(t, rule, detections.Options{Ahead: true})
	see(b, 0, "a")
	see(b, 20*time.Minute+30*time.Second, "b")
	require.Empty(t, b.take(), "it may have been seen a minute ago")
	see(b, 19*time.Minute, "b") // it was
	b.Finish()
	require.Empty(t, b.take())

	b = newBench(t, rule, detections.Options{Ahead: true})
	see(b, 0, "a")
	see(b, 20*time.Minute+30*time.Second, "b")
	require.Empty(t, b.take())
	b.clock(23 * time.Minute)
	require.Equal(t, []string{"opened new 1"}, b.take(), "it was not, and the watermark tells")
	b.clock(24 * time.Minute)
	require.Equal(t, []string{"resolved new 1"}, b.take())
	see(b, 24*time.Minute, "c")
	require.Equal(t, []string{"opened new 1"}, b.take(), "nothing under way can make it known")
}

// What is usual has the events that come out of order too.
func TestABaselineLooksAheadWithEventsThatCameOutOfOrder(t *testing.T) {
	b := newBench(t, `
id: usual
title: Usual
severity: low
where: type == "fp"
window: 10m
having: distinct(client_id) >= 1 && count() > 0.6 * baseline(count(), 4h).mean
quiet: 1m
`, detections.Options{Ahead: true})
	hour := 3 * time.Hour
	for at := time.Duration(0); at < hour; at += 2 * time.Minute { // ten within ten minutes, in pairs that change places
		b.at(at+time.Minute, "user_name", "x")
		b.at(at, "user_name", "y")
	}
	require.Empty(t, b.take())
	for i := range 4 {
		b.at(hour+30*time.Minute+time.Duration(i)*time.Minute, "client_id", "c")
	}
	b.Finish()
	require.Empty(t, b.take(), "four are fewer than usual")
	require.Empty(t, b.OpenAlerts())
}

func TestAStateThatGoesToAndFroWithinAMomentMakesAlertsOfTheirOwn(t *testing.T) {
	b := newBench(t, `
id: flaps
title: Flaps
severity: low
where: type == "sapi"
value: client_id
when: now != was
`, detections.Options{})
	for i := range 9 {
		b.at(0, "type", "sapi", "client_id", fmt.Sprint("c", i%2))
	}
	b.Finish()
	ids := map[string]bool{}
	for _, c := range b.changes {
		if c.Transition == detections.Opened {
			require.False(t, ids[c.Alert.ID])
			ids[c.Alert.ID] = true
		}
	}
	require.Len(t, ids, 4)
}
