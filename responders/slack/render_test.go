package slack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	slackapi "github.com/slack-go/slack"
	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/responders"
)

func TestTextTellsTheWholeStory(t *testing.T) {
	r := stuffing()
	r.Outcomes = append(r.Outcomes,
		responders.Outcome{Response: detections.Response{Kind: "hold", Control: "brute-force", Mode: "enforce", Outcome: "done"},
			From: "10", To: "3", Until: t0.Add(time.Hour), Ended: t0.Add(30 * time.Minute)},
		responders.Outcome{Response: detections.Response{Kind: "hold", Control: "signup", Mode: "observe", Outcome: "done", Reason: "mode of this response"},
			From: "open", To: "closed", Until: t0.Add(24 * time.Hour)},
		responders.Outcome{Response: detections.Response{Kind: "hold", Control: "mfa", Mode: "enforce", Outcome: "failed", Reason: "403 from the tenant"}, From: "off", To: "always"},
	)
	require.Equal(t, `SEV2 Credential stuffing - CONTAINING - tenant acme-prod
Credential stuffing from one address: 4,212 events for ip 198.51.100.7; involving 3 users and 1 address, from 2026-11-21 10:00 UTC to 10:12 UTC.
Started: 2026-11-21 10:00 UTC
Last seen: 2026-11-21 10:12 UTC
Users targeted: 3
Addresses: 1
Feed health: clear
Mode: enforce
What I did:
- set bot-detection: medium → high, until 10:42 UTC, hold h1 - signup and login under attack
- WOULD set signup: open → closed, until 2026-11-22 10:00 UTC - mode of this response
- set brute-force: 10 → 3, released 10:30 UTC
What I did not do:
- failed mfa: off → always - 403 from the tenant
- refused network-acl: level elevated for 198.51.100.7 - the hourly budget is used up
incident inc-1 - rules credential-stuffing-ip`, Text(r))
}

func TestObserveModeSaysWould(t *testing.T) {
	r := stuffing()
	r.Mode, r.State = responders.Observe, responders.StateObserving
	r.Outcomes[0].Outcome = "proposed" // what observe mode makes of a hold
	r.Outcomes[0].Mode = "observe"
	text := Text(r)
	require.Contains(t, text, "OBSERVING")
	require.Contains(t, text, "Mode: observe (nothing is changed)")
	require.Contains(t, text, "What I would do:\n- WOULD set bot-detection: medium → high, until 10:42 UTC")
	require.Contains(t, text, "What I would not do:\n- refused network-acl")
	require.NotContains(t, text, "What I did")
}

func TestProposalThatWaitsForAPersonIsNotDone(t *testing.T) {
	r := stuffing()
	r.Mode = responders.Propose
	r.Outcomes[0].Mode, r.Outcomes[0].Outcome = "propose", "proposed"
	require.Contains(t, Text(r), "What I did:\n- Nothing.\nWhat I did not do:\n- proposed bot-detection: medium → high")
}

func TestLineOfEachKindOfResponse(t *testing.T) {
	r := stuffing()
	resolved := t0.Add(20 * time.Minute)
	r.Incident.ResolvedAt = &resolved
	out := func(kind, control, outcome, from, to string) responders.Outcome {
		return responders.Outcome{Response: detections.Response{Kind: kind, Control: control, Outcome: outcome, Level: "elevated"}, From: from, To: to, At: t0.Add(24 * time.Hour)}
	}
	ended := out("hold", "signup", "done", "open", "closed")
	ended.Mode, ended.Ended = "shadow", t0.Add(time.Hour)
	r.Outcomes = []responders.Outcome{
		ended,
		out("message", "", "done", "", ""), out("playbook", "takeover", "done", "", "started"), out("hold", "mfa", "done", "always", "always"),
		out("hold", "late", "postponed", "a", "b"), out("", "", "", "", ""), out("hold", "two", "skipped", "a", "b"), out("hold", "one", "proposed", "a", "b"),
	}
	require.Contains(t, Text(r), `Attack over: 2026-11-21 10:20 UTC
What I did:
- sent message: level elevated
- did takeover: → started
- set mfa: already always
- WOULD set signup: open → closed, and release it 2026-11-21 11:00 UTC
What I did not do:
- proposed one: a → b - no reason was given
- skipped two: a → b - no reason was given
- postponed late: a → b - no reason was given
- not done: response: level elevated - no reason was given
`)
	r.Mode = responders.Observe
	require.Contains(t, Text(r), "- WOULD send message: level elevated\n- WOULD do takeover: → started\n")
}

func TestManyRulesAreCutAndCounted(t *testing.T) {
	r := stuffing()
	for i := range 12 {
		a := r.Incident.Alerts[0]
		a.Rule, a.Title, a.Count = fmt.Sprint("rule-", i), fmt.Sprint("Rule ", i), i
		a.Group = map[string]string{"a": "1", "b": "2", "c": "", "d": "4"}
		r.Incident.Alerts = append(r.Incident.Alerts, a)
	}
	require.Contains(t, Text(r), "Rule 11: 11 events for a 1 b 2 c (empty) …; Rule 10: 10 events for a 1 b 2 c (empty) …; and 10 more rules; involving")
	require.True(t, strings.HasSuffix(Text(r), "rules credential-stuffing-ip, rule-0, rule-1, rule-2, rule-3, rule-4 and 7 more"))
}

func TestFeedThatIsNotClearIsSaidFirst(t *testing.T) {
	for feed, said := range map[string]bool{"clear": false, "degraded: lag 4m": true, "blind: nothing arrives": true, "": true} {
		r := stuffing()
		r.Feed = feed
		require.Equal(t, said, strings.Contains(Text(r), "The feed is not clear, so the numbers may be too low"), feed)
		raw, err := json.Marshal(look(r).blocks()[1])
		require.NoError(t, err)
		require.Equal(t, said, bytes.Contains(raw, []byte("numbers may be too low")), feed)
	}
}

func TestNumbersAreThoseOfAllAlerts(t *testing.T) {
	r := stuffing()
	a := r.Incident.Alerts[0]
	a.Group = map[string]string{"ip": "198.51.100.8"}
	a.UpdatedAt = t0.Add(20 * time.Minute)
	a.Entities = detections.Entities{IP: []string{"198.51.100.8"}, UserID: []string{"auth0|3", "auth0|4"}}
	b := a
	b.Rule, b.Title, b.Count, b.Severity, b.Late = "breached-password", "Breached password used", 1, detections.Critical, true
	b.Group = nil
	r.Incident.Alerts = append(r.Incident.Alerts, a, b)
	text := Text(r)
	require.Contains(t, text, "Breached password used: 1 event; Credential stuffing from one address: 8,424 events for ip 198.51.100.7, ip 198.51.100.8; involving 4 users and 2 addresses, from 2026-11-21 10:00 UTC to 10:20 UTC.")
	require.Contains(t, text, "1 alert opened on evidence that came late.")

	var many detections.Entities
	for i := range listCap {
		many.UserID = append(many.UserID, fmt.Sprint("auth0|u", i))
	}
	r.Incident.Alerts[0].Entities = many
	require.Contains(t, Text(r), "Users targeted: at least 202")
}

func TestSeverityAndMissingThingsInTheHeader(t *testing.T) {
	for severity, want := range map[detections.Severity]string{
		detections.Critical: "SEV1", detections.High: "SEV2", detections.Medium: "SEV3", detections.Low: "SEV4", detections.Info: "SEV4",
	} {
		r := stuffing()
		r.Incident.Severity = severity
		require.True(t, strings.HasPrefix(Text(r), want+" Credential stuffing"), severity)
	}
	require.True(t, strings.HasPrefix(Text(responders.Report{}), "SEV4 Incident - UNKNOWN - tenant unknown\nNo alert is attached to this incident.\n"))
	validate(t, responders.Report{})
}

func TestHeaderKeepsStateAndTenantOfALongTitle(t *testing.T) {
	r := stuffing()
	r.Incident.Title = strings.Repeat("<long> ", 100)
	h := header(r)
	require.LessOrEqual(t, len([]rune(escape(h))), 150)
	require.True(t, strings.HasSuffix(h, "… - CONTAINING - tenant acme-prod"), h)
}

func TestTenThousandVictimsFitIntoOneMessage(t *testing.T) {
	r := crowd(10_000, "<&>")
	validate(t, r)
	require.Contains(t, Text(r), "Users targeted: 10,000\n")
	require.Regexp(t, `- and 9,9[0-9]{2} more\n`, Text(r))
}

func TestLongTextOfStrangersFitsIntoOneMessage(t *testing.T) {
	for name, fill := range map[string]string{
		"plain":                "x",
		"escaped five times":   "&",
		"quotes and backticks": "\"`",
		"two UTF-16 units":     "𝕏",
		"mixed":                "<!channel>&`*_~\n𝕏",
	} {
		t.Run(name, func(t *testing.T) {
			for _, length := range []int{1, 100, 5000} {
				r := crowd(50, strings.Repeat(fill, length))
				validate(t, r)
				text := Text(r)
				require.Less(t, size(text), 9000)
				require.Regexp(t, `- and [0-9,]+ more\n`, text, "what was cut is counted")
			}
		})
	}
}

// crowd is an incident of n victims, each with an alert and two outcomes, and
// hostile text wherever strangers have a say.
func crowd(n int, text string) responders.Report {
	r := stuffing()
	r.Feed = "degraded: " + text
	r.Incident.ID, r.Incident.Title, r.Incident.Tenant = text, text, text
	r.Incident.Alerts, r.Outcomes = nil, nil
	for i := range n {
		v := fmt.Sprint(text, i)
		r.Incident.Alerts = append(r.Incident.Alerts, detections.Alert{
			Rule: fmt.Sprint(text, i%9), Title: text, Severity: detections.High, Count: i, OpenedAt: t0, UpdatedAt: t0.Add(time.Hour), Late: true,
			Group:    map[string]string{"ip": v, "user_agent": text, text: text, "user_name": v},
			Entities: detections.Entities{IP: []string{v}, UserID: []string{v}},
		})
		res := detections.Response{Kind: "hold", Control: text, Level: text, Subject: v, Mode: "enforce", Outcome: "done", Reason: text}
		done := responders.Outcome{Response: res, HoldID: text, From: text, To: v, Until: t0.Add(48 * time.Hour)}
		res.Outcome = "failed"
		r.Outcomes = append(r.Outcomes, done, responders.Outcome{Response: res, From: v, To: text})
	}
	return r
}

// validate holds a message against Slack's limits, block by block.
func validate(t *testing.T, r responders.Report) {
	t.Helper()
	v := look(r)
	bs, note := v.blocks(), v.fallback()
	require.LessOrEqual(t, len(bs), 50)
	text := func(o *slackapi.TextBlockObject, limit int) {
		t.Helper()
		require.NoError(t, o.Validate())
		require.LessOrEqual(t, utf16Len(o.Text), limit)
		if o.Type == slackapi.MarkdownType {
			require.True(t, o.Verbatim)
			require.Zero(t, strings.Count(o.Text, "`")%2, "every code span is closed: %s", o.Text)
		} else {
			require.False(t, *o.Emoji)
		}
	}
	for _, b := range bs {
		switch b := b.(type) {
		case *slackapi.HeaderBlock:
			require.Equal(t, slackapi.PlainTextType, b.Text.Type)
			text(b.Text, 150)
		case *slackapi.SectionBlock:
			require.True(t, b.Text != nil || len(b.Fields) > 0)
			require.LessOrEqual(t, len(b.Fields), 10)
			if b.Text != nil {
				text(b.Text, 3000)
			}
			for _, f := range b.Fields {
				text(f, 2000)
			}
		case *slackapi.ContextBlock:
			require.LessOrEqual(t, len(b.ContextElements.Elements), 10)
			for _, e := range b.ContextElements.Elements {
				text(e.(*slackapi.TextBlockObject), 2000)
			}
		default:
			t.Fatalf("unexpected block %T", b)
		}
	}
	var all bytes.Buffer
	enc := json.NewEncoder(&all)
	enc.SetEscapeHTML(false)
	require.NoError(t, enc.Encode(bs))
	require.LessOrEqual(t, utf16Len(note), fallbackSize)
	require.Less(t, utf16Len(all.String())+utf16Len(note), 12_000)
}

func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

var attacks = []string{
	"<!channel>", "<!here|all clear>", "<@U012ABC>", "<https://example.org/phish|Release the hold>", "&lt;!channel&gt;",
	"`<!channel>`", "```\n<!channel>\n```", "*done* ~done~ _done_", "> quoted\n> all is well", "line\r\nSEV4 all is well\u2028more",
	"\u202Egro.elpmaxe\u202C", "\u200Bzero\u2066width\uFEFF", "a\x00b\x1b[31mred", "\xff\xfe not UTF-8", ":rotating_light:", "@here @channel", "https://example.org/",
	"\U000E0041tag", "\u3164filler",
}

func TestTextOfStrangersIsInert(t *testing.T) {
	for _, a := range attacks {
		t.Run(fmt.Sprintf("%q", a), func(t *testing.T) {
			r := stuffing()
			r.Feed, r.Transition = a, a
			r.Incident.Title, r.Incident.Tenant, r.Incident.ID = a, a, a
			alert := &r.Incident.Alerts[0]
			alert.Title, alert.Rule, alert.Group = a, a, map[string]string{"user_agent": a, a: a}
			for i := range r.Outcomes {
				o := &r.Outcomes[i]
				o.Kind, o.Control, o.Level, o.Subject, o.Reason, o.From, o.To, o.HoldID = a, a, a, a, a, a, a, a
			}
			validate(t, r)
			text, lines := Text(r), strings.Count(Text(stuffing()), "\n")
			extra := strings.Count(text, "The feed is not clear")
			require.Equal(t, lines+extra, strings.Count(text, "\n"), "strangers add no line")
			requireVisible(t, text)

			var parts []string
			for _, b := range look(r).blocks() {
				parts = append(parts, textsOf(b)...)
			}
			for _, p := range append(parts, look(r).fallback()) {
				require.NotContains(t, p, "<")
				require.NotContains(t, p, ">")
				require.NotContains(t, strings.NewReplacer("&lt;", "", "&gt;", "", "&amp;", "").Replace(p), "&")
				requireVisible(t, p)
			}
		})
	}
}

func requireVisible(t *testing.T, s string) {
	t.Helper()
	for _, r := range s {
		require.False(t, r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp), "%U in %q", r, s)
	}
}

func textsOf(b slackapi.Block) []string {
	var texts []string
	switch b := b.(type) {
	case *slackapi.HeaderBlock:
		texts = append(texts, b.Text.Text)
	case *slackapi.SectionBlock:
		if b.Text != nil {
			texts = append(texts, b.Text.Text)
		}
		for _, f := range b.Fields {
			texts = append(texts, f.Text)
		}
	case *slackapi.ContextBlock:
		for _, e := range b.ContextElements.Elements {
			texts = append(texts, e.(*slackapi.TextBlockObject).Text)
		}
	}
	return texts
}

func TestGroupValueCannotLeaveItsCodeSpan(t *testing.T) {
	r := stuffing()
	r.Incident.Alerts[0].Group = map[string]string{"user_agent": "x` *<!channel>* `y"}
	got := textsOf(look(r).blocks()[1])[0]
	require.Contains(t, got, "user_agent `x' *&lt;!channel&gt;* 'y`;")
}

func TestPeopleAreMaskedWhereverTheyAppear(t *testing.T) {
	const person = "jane.doe@example.org"
	r := crowd(3, person)
	r.Transition = "blocked " + person + ", phone +49 170 1234567"
	logger, log := newLogger()
	// Ids are ours, and shown as they are.
	r.Incident.ID = "inc-1"
	for i := range r.Incident.Alerts {
		r.Incident.Alerts[i].Rule = "rule"
	}
	for i := range r.Outcomes {
		r.Outcomes[i].HoldID = "h1"
	}
	require.NoError(t, NewLog(logger).Notify(t.Context(), r))
	shown := log.String() + Text(r) + look(r).fallback() + clean(r.Transition, transitionSize)
	for _, b := range look(r).blocks() {
		shown += strings.Join(textsOf(b), "\n")
	}
	require.Contains(t, shown, "j***@example.org")
	require.Contains(t, shown, "+4***67")
	require.NotContains(t, shown, "jane")
	require.NotContains(t, shown, "1234567")
}

func TestMasking(t *testing.T) {
	for in, want := range map[string]string{
		"jane@example.org":                        "j***@example.org",
		"user jane.doe+x@mail.example.org, twice": "user j***@mail.example.org, twice",
		"samlp|corp|jane@example.org":             "samlp|corp|j***@example.org",
		"jane%40example.org":                      "j***@example.org",
		"jane@localhost":                          "j***@localhost",
		"\"jane doe\"@example.org":                "j***@example.org",
		"jane@evil@example.org":                   "j***@example.org",
		"<jane@example.org>":                      "j***@example.org>",
		"ja\u200bne@exa\u00admple.org":            "j***@example.org",
		"ünal@bücher.example":                     "ü***@bücher.example",
		"@here":                                   "@here",
		"+1 (555) 123-4567":                       "+1***67",
		"+49.170.123.45.67":                       "+4***67",
		"sms|+491701234567":                       "sms|+4***67",
		"call 0170 1234567 now":                   "call 0***67 now",
		"5551234567 198.51.100.7":                 "5***67 198.51.100.7",
		"555.123.4567":                            "5***67",
		"198.51.100.107 and 198.51.100.108":       "198.51.100.107 and 198.51.100.108",
		"198.51.100.0/24":                         "198.51.100.0/24",
		"2001:db8::1234:5678":                     "2001:db8::1234:5678",
		"2026-11-21 10:42:00":                     "2026-11-21 10:42:00",
		"auth0|5f7c8ec7c33c6c004bbafe82":          "auth0|5f7c8ec7c33c6c004bbafe82",
		"123e4567-e89b-12d3-a456-426614174000":    "123e4567-e89b-12d3-a456-426614174000",
		"t13d1516h2_8daaf6152771_e5627efa2ab1":    "t13d1516h2_8daaf6152771_e5627efa2ab1",
		"90020261121100000000000000001223372036":  "90020261121100000000000000001223372036",
		"AS4200000000":                            "AS4200000000",
		"4212 failed, 40 usual":                   "4212 failed, 40 usual",
	} {
		require.Equal(t, want, clean(in, 200), in)
	}
}

func TestTextCutBeforeAnAddressEndsShowsNoneOfIt(t *testing.T) {
	long := strings.Repeat("word ", longestRaw/5-1) + "jane.doe@example.org"
	require.NotContains(t, clean(long, 1<<20), "jane")
}

func FuzzCleanIsVisibleBoundedAndInert(f *testing.F) {
	for _, a := range attacks {
		f.Add(a, 20)
	}
	f.Add("jane@example.org +49 170 1234567", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 1 + limit&0xff
		got := clean(s, limit)
		if size(got) > limit || utf16Len(escape(got)) > limit {
			t.Fatalf("%q is longer than %d", got, limit)
		}
		if strings.ContainsAny(got, "\n\r\t\x00\u202e\u2028") {
			t.Fatalf("%q holds control characters", got)
		}
		code := line{{text: got, value: true}}.mrkdwn()
		if strings.Count(code, "`") != 2 || strings.ContainsAny(code, "<>") {
			t.Fatalf("%q leaves its code span", code)
		}
	})
}
